"""napari with settings of its own: those of whoever runs the tests are neither used nor changed."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

SETTINGS = Path(tempfile.mkdtemp(prefix="openhcs-napari-")) / "settings.yaml"
os.environ["NAPARI_CONFIG"] = str(SETTINGS)
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # napari's use of pydantic, as it is imported
    import napari.components
    import napari.layers
    import napari.utils.colormaps  # noqa: F401


def pytest_sessionfinish() -> None:
    shutil.rmtree(SETTINGS.parent, ignore_errors=True)
