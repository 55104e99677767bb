"""Units of length and time, as files name them."""

from __future__ import annotations

_UM_PER: dict[str, float] = {
    "pm": 1e-6, "Å": 1e-4, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "dm": 1e5, "m": 1e6, "km": 1e9,
    "thou": 25.4, "in": 25400.0, "ft": 304800.0, "yd": 914400.0, "mi": 1609344e3, "pt": 25400 / 72,
    "picometer": 1e-6, "angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "micron": 1.0, "microns": 1.0,
    "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6, "kilometer": 1e9, "inch": 25400.0, "foot": 304800.0,
    "yard": 914400.0, "mile": 1609344e3,
}  # fmt: skip
_S_PER: dict[str, float] = {
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
    "nanosecond": 1e-9, "microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600.0,
    "day": 86400.0,
}  # fmt: skip


def micrometres(value: float, unit: str) -> float | None:
    """A length in µm; None if its unit is no measure."""
    factor = _UM_PER.get(_plain(unit))
    return None if factor is None else value * factor


def seconds(value: float, unit: str) -> float | None:
    """A time in seconds; None if its unit is unknown."""
    factor = _S_PER.get(_plain(unit))
    return None if factor is None else value * factor


def _plain(unit: str) -> str:
    """Symbols as they are, words in small letters and American spelling; u for µ, which ImageJ writes in ASCII."""
    unit = unit.strip().replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u")
    return unit if len(unit) <= 3 else unit.lower().replace("metre", "meter")
