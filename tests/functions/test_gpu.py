"""Functions for the GPU give what those for the host give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from openhcs_core import plugins
from tests.functions.cases import CALLS, arguments
from tests.functions.strict_arrays import DeviceArray, pretend_cupy

FLOODED = {"blobs", "blobs_3d", "split_touching", "split_touching_3d", "seeded_watershed"}
NUMBERED = {"connected_components", "connected_components_3d"}
THRESHOLDS = {"threshold", "threshold_3d", "threshold_fixed", "threshold_local"}
DTYPES = (np.uint8, np.uint16, np.float32)


def compare(
    name: str, dtype: Any, to_device: Callable[[np.ndarray], Any], to_host: Callable[[Any], np.ndarray]
) -> None:
    """Call a function on both sides, and compare within the tolerances that `openhcs_functions.gpu` states."""
    host, device = plugins.function(f"openhcs_functions.{name}"), plugins.function(f"openhcs_functions.gpu.{name}")
    for parameters in CALLS[name]:
        image, extra = arguments(host, name, dtype)
        moved = {key: to_device(item) if isinstance(item, np.ndarray) else item for key, item in extra.items()}
        expected = host.function(image, **extra, **parameters)
        found = device.function(to_device(image), **moved, **parameters)
        if host.outputs == ("table",):
            assert found.keys() == expected.keys()
            for column, values in expected.items():
                np.testing.assert_allclose(found[column], values, rtol=1e-6, atol=1e-9, err_msg=column)
            continue
        result = to_host(found)
        assert (result.shape, result.dtype) == (expected.shape, expected.dtype)
        function = host.function.__name__
        if function in FLOODED | NUMBERED:
            assert_same_objects(result, expected, 0.9 if function in FLOODED else 1.0)
        elif function in THRESHOLDS:
            assert (result != expected).mean() < 0.002
        elif host.outputs == ("labels",):
            np.testing.assert_array_equal(result, expected)
        elif expected.dtype.kind == "f":
            span = float(np.ptp(image)) if image.dtype == expected.dtype else 1.0
            np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4 * span)
        else:
            np.testing.assert_allclose(result.astype(np.int64), expected.astype(np.int64), atol=1)


def assert_same_objects(found: np.ndarray, expected: np.ndarray, overlap: float) -> None:
    """The same number of objects, each at the place of another one of which it covers so much."""
    assert found.max() == expected.max()
    for number in np.unique(expected[expected > 0]):
        there = expected == number
        other = found == np.bincount(found[there]).argmax()
        assert np.count_nonzero(there & other) >= overlap * np.count_nonzero(there | other)


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_host_and_device_are_never_mixed(name, dtype, monkeypatch):
    """With arrays as strict as CuPy's, but computed by NumPy: no GPU is needed."""
    pretend_cupy(monkeypatch)

    def to_host(array: Any) -> np.ndarray:
        assert isinstance(array, DeviceArray), "the result has left the device"
        return array.get()

    compare(name, dtype, DeviceArray, to_host)


@pytest.mark.gpu
@pytest.mark.parametrize("name", CALLS)
def test_functions_on_the_gpu_equal_those_on_the_host(name):
    import cupy

    def to_host(array: Any) -> np.ndarray:
        assert isinstance(array, cupy.ndarray), "the result has left the device"
        return array.get()

    for dtype in DTYPES:
        compare(name, dtype, cupy.asarray, to_host)
