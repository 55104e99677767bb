"""Fixtures for all tests. An OMERO to talk to comes from the plugin `embedded_omero.pytest_plugin`.

Tests marked `gpu` need one; without it they are the only ones that are skipped.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import warnings
from collections.abc import Iterator

import pytest

import embedded_omero.slices  # noqa: F401  (first of all: it keeps omero-py's temporary files out of the home folder)

# They write what they read with Zarr 3, which needs Python 3.11.
collect_ignore = [] if sys.version_info >= (3, 11) else ["local/test_ome_zarr.py", "storage/test_zarr.py"]


STUCK_S = 360
"""Beyond the limit of pytest-timeout, which a call into a library that does not return does not notice, and which
does not count when a test that has failed is taken down."""
_ERRORS = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_ERRORS] = os.dup(2)  # before what is written there is captured


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    return (yield from _ending(item))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    return (yield from _ending(item))


def _ending(item: pytest.Item) -> Iterator[None]:
    """Ends a process that is stuck, saying where; the tests go on in another one, and this one has failed."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True, file=item.config.stash[_ERRORS])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


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
