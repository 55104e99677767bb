"""Ice servants around plain Python classes.

A service is a class whose methods are named like the operations of its Slice interface and take
``(self, call, *arguments)``. `servant` wraps an instance: it builds the `Call`, answers both kinds of dispatch which
omero-py's skeletons know (plain and asynchronous), turns exceptions into what clients expect, and reports every
operation which the service does not have, by name.
"""

from __future__ import annotations

import collections
import functools
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import Ice
import omero

from . import errors

log = logging.getLogger(__name__)
_OPERATION = re.compile(r"^    (\w+)\._op_(\w+) = IcePy\.Operation\('\w+', [\w.]+, [\w.]+, (True|False), (.*)$", re.M)
_VOID = re.compile(r"\(\), None, \([^()]*\)\)$")

missing: collections.Counter[str] = collections.Counter()
"""How often each operation was called which is not implemented, by ``Interface.operation``."""


class Operations:
    """Operations of the Slice interfaces: which are asynchronous, which return nothing."""

    @functools.cached_property
    def table(self) -> dict[str, dict[str, tuple[bool, bool]]]:
        found: dict[str, dict[str, tuple[bool, bool]]] = {}
        folder = Path(omero.__file__).parent.parent
        for path in folder.glob("*_ice.py"):
            if path.name.startswith(("omero_model_", "Ice_", "IceGrid", "IceStorm", "IceBox", "IcePatch")):
                continue
            for cls, name, asynchronous, rest in _OPERATION.findall(path.read_text(encoding="utf-8")):
                found.setdefault(cls, {})[name] = (asynchronous == "True", bool(_VOID.search(rest)))
        return found

    def of(self, interface: type) -> dict[str, tuple[bool, bool]]:
        """All operations of an interface, inherited ones included."""
        operations: dict[str, tuple[bool, bool]] = {}
        for cls in reversed(interface.__mro__):
            operations.update(self.table.get(cls.__name__, {}))
        return operations


_operations = Operations()


def translate(exc: BaseException, where: str) -> BaseException:
    """The exception to send to the client."""
    if isinstance(exc, (omero.ServerError, Ice.Exception)):
        return exc
    log.error("%s failed", where, exc_info=exc)
    return errors.internal(f"{type(exc).__name__} in {where}: {exc}")


def servant(interface: type, service: Any, enter: Callable[[Ice.Current], Any]) -> Ice.Object:
    """An Ice object of ``interface`` whose operations are the methods of ``service``.

    Parameters
    ----------
    interface : type
        Class generated from Slice, such as ``omero.api.IQuery``.
    service : object
        The implementation.
    enter : callable
        Makes the `Call` from Ice's ``Current``; may raise what the client shall see.
    """
    made = _servant_class(interface)()
    made._service, made._enter = service, enter
    return made


@functools.cache
def _servant_class(interface: type) -> type:
    methods: dict[str, Any] = {"__init__": lambda self: None}
    for name, (asynchronous, void) in _operations.of(interface).items():
        if asynchronous:
            methods[name + "_async"] = _asynchronous(interface.__name__, name, void)
        else:
            methods[name] = _plain(interface.__name__, name)
    return type(interface.__name__ + "Servant", (interface,), methods)


def _run(self, interface: str, name: str, args: tuple) -> Any:
    where = f"{interface}.{name}"
    current: Ice.Current = args[-1]
    call = self._enter(current)
    method = getattr(self._service, name, None)
    if method is None:
        missing[where] += 1
        log.warning("not implemented: %s", where)
        raise errors.internal(f"not implemented: {where}")
    log.debug("%s", where)
    # A call which fails has changed nothing. A service which waits for others (scripts) or moves much data (pixels)
    # says ``exclusive = False`` and takes the lock itself where it needs it.
    if not getattr(self._service, "exclusive", True):
        return method(call, *args[:-1])
    with call.store.lock, call.store.transaction():
        return method(call, *args[:-1])


def _asynchronous(interface: str, name: str, void: bool):
    def operation(self, callback, *args):
        try:
            result = _run(self, interface, name, args)
        except Exception as exc:
            callback.ice_exception(translate(exc, f"{interface}.{name}"))
            return
        if void:
            callback.ice_response()
        else:
            callback.ice_response(result)

    return operation


def _plain(interface: str, name: str):
    def operation(self, *args):
        try:
            return _run(self, interface, name, args)
        except Exception as exc:
            # Without the cause: Ice would print a chained traceback for every refusal.
            raise translate(exc, f"{interface}.{name}") from None

    return operation
