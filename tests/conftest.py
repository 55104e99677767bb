"""Fixtures for all tests. An OMERO to talk to comes from the plugin `embedded_omero.pytest_plugin`.

Tests marked `gpu` need one; without it they are the only ones that are skipped.
"""

from __future__ import annotations

import sys
import warnings

import pytest

import embedded_omero.slices  # noqa: F401  (first of all: it keeps omero-py's temporary files out of the home folder)

# They write what they read with Zarr 3, which needs Python 3.11.
collect_ignore = [] if sys.version_info >= (3, 11) else ["local/test_ome_zarr.py", "storage/test_zarr.py"]


def _has_gpu() -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns where it finds no CUDA
            import cupy
        return cupy.cuda.runtime.getDeviceCount() > 0
    except (ImportError, RuntimeError):  # CUDA's errors are of the second kind
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and not _has_gpu():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU with CuPy here"))
