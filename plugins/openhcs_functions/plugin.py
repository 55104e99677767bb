"""What this plugin offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from openhcs_core.hookspecs import PresetSpec, hookimpl
from openhcs_functions._declared import declared

MODULES = (
    *("background", "channels", "flatfield", "intensity", "labelling", "measurement", "projection"),
    *("segmentation", "smoothing", "stitching", "thresholds", "watershed"),
)
PRESETS = Path(__file__).with_name("presets")


@hookimpl
def openhcs_functions() -> list[Callable[..., Any]]:
    """All functions, those for the GPU after the others; CuPy is imported when one of them runs."""
    names = [f"{package}.{module}" for package in ("openhcs_functions", "openhcs_functions.gpu") for module in MODULES]
    return [spec.function for name in names for spec in declared(import_module(name))]


@hookimpl
def openhcs_presets() -> Sequence[PresetSpec]:
    """Pipelines for common assays; the first line of each says what it is for."""
    files = sorted(path for path in PRESETS.glob("*.py") if path.name != "__init__.py")
    return [PresetSpec(path.stem, _summary(path), path) for path in files]


def _summary(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").strip()
