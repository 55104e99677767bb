"""Arrays that keep apart from those of NumPy as CuPy's do, for machines without a GPU.

They compute with NumPy, but refuse what CuPy refuses: conversion unasked for, and being mixed with arrays of the host.
Reductions give arrays without axes, as there.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.ndimage


class DeviceArray:
    """An array that one gets at by `get` only."""

    __array_ufunc__ = None  # NumPy leaves operators to this class
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: Any) -> None:
        self.held = np.asarray(held)

    def get(self) -> np.ndarray:
        return self.held.copy()

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.held, name)
        return _wrapped(value) if callable(value) else _out(value)

    def __getitem__(self, index: Any) -> Any:
        return _out(self.held[_in(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.held[_in(index)] = _in(value)

    def __len__(self) -> int:
        return len(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __float__(self) -> float:
        return float(self.held)


def _operator(name: str) -> Any:
    def operator(self: DeviceArray, *others: Any) -> Any:
        return _out(getattr(self.held, name)(*map(_in, others)))

    return operator


for _name in ("add", "sub", "mul", "truediv", "pow", "and", "or"):
    for _form in (f"__{_name}__", f"__r{_name}__", f"__i{_name}__"):
        setattr(DeviceArray, _form, _operator(_form))
for _form in ("__neg__", "__invert__", "__abs__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
    setattr(DeviceArray, _form, _operator(_form))


def _in(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value.held
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_in, value))
    return value


def _out(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(value)
    if isinstance(value, tuple) and any(isinstance(item, np.ndarray) for item in value):
        return tuple(map(_out, value))
    return value


def _wrapped(function: Any, takes_host: bool = False) -> Any:
    def call(*arguments: Any, **parameters: Any) -> Any:
        convert = (lambda value: value.held if isinstance(value, DeviceArray) else value) if takes_host else _in
        return _out(function(*map(convert, arguments), **{name: convert(item) for name, item in parameters.items()}))

    return call


class _Module(ModuleType):
    def __init__(self, name: str, behind: Any, takes_host: tuple[str, ...]) -> None:
        super().__init__(name)
        self._behind, self._takes_host = behind, takes_host

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._behind, name)
        return _wrapped(value, name in self._takes_host) if callable(value) and not isinstance(value, type) else value


def pretend_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put modules in the place of CuPy's until the end of the test."""
    filters = _Module("cupyx.scipy.ndimage", scipy.ndimage, ("label",))
    packages = {"cupyx": ModuleType("cupyx"), "cupyx.scipy": ModuleType("cupyx.scipy"), "cupyx.scipy.ndimage": filters}
    packages["cupyx"].scipy = packages["cupyx.scipy"]  # type: ignore[attr-defined]
    packages["cupyx.scipy"].ndimage = filters  # type: ignore[attr-defined]
    for name, module in {"cupy": _Module("cupy", np, ("asarray", "array")), **packages}.items():
        monkeypatch.setitem(sys.modules, name, module)
