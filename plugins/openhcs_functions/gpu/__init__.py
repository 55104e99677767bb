"""The same functions on CuPy arrays: the same names, parameters and maths.

Results equal those on the host, up to these tolerances:

- filters, corrections, projections, arithmetic: one unit of integer types; of floats 1e-4 of the range of the image;
- thresholds: the same mask but for 2 in 1000 pixels, which lie at the threshold;
- labels: the same objects, which may be numbered in another order; those of watersheds share at least 90 % of what
  either covers (`openhcs_functions._flood` says why);
- tables: 1e-6 of the value.

CuPy is imported when a function runs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from openhcs_core.functions import FunctionSpec, processing_function
from openhcs_functions._declared import declared


def on_gpu(host: ModuleType, device: str) -> dict[str, Callable[..., Any]]:
    """The functions of a module, declared to take arrays of CuPy.

    Parameters
    ----------
    host : module
        Declares functions that work with either kind of array.
    device : str
        Name of the module in which they are found.
    """
    return {spec.function.__name__: _declare(spec, device) for spec in declared(host)}


def _declare(spec: FunctionSpec, device: str) -> Callable[..., Any]:
    @functools.wraps(spec.function)
    def function(*arguments: Any, **parameters: Any) -> Any:
        return spec.function(*arguments, **parameters)

    function.__module__ = device
    declare = processing_function(
        axes=spec.axes,
        outputs=spec.outputs,
        planes=spec.planes,
        memory_type="cupy",
        inputs=spec.inputs,
        context=spec.context,
    )
    return declare(function)
