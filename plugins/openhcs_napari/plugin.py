"""What this plugin offers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from openhcs_core.hookspecs import ViewerSpec, hookimpl
from openhcs_core.streaming.endpoints import NAPARI_PORT


@hookimpl
def openhcs_viewers() -> Sequence[ViewerSpec]:
    """napari, in a process of its own."""
    return [
        ViewerSpec(
            "napari", "napari: layers with sliders, one for each channel", NAPARI_PORT, "openhcs_napari", missing
        )
    ]


def missing() -> str:
    """What napari lacks here and how to install that; "" if it can be started."""
    if find_spec("napari") is None:
        return "napari is not installed: pip install 'openhcs-omero[napari]' 'napari[pyqt6]'"
    if not any(find_spec(name) for name in ("PyQt6", "PySide6", "PyQt5", "PySide2")):
        return "napari has no Qt, which draws its window: pip install 'napari[pyqt6]'"
    if find_spec("qtpy") is None:
        return "qtpy is not installed: pip install 'openhcs-omero[napari]'"
    return ""
