"""Colours and contrast of channels."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap

from openhcs_core.streaming.messages import Begin, Channel

_CYCLE = ((0.0, 0.4, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0))
_SAMPLE = 250_000


def channel_of(begin: Begin, number: int) -> Channel:
    """A channel of a stream by its number from 1."""
    return begin.channels[number - 1] if 0 < number <= len(begin.channels) else Channel(name="")


def colormap(begin: Begin, number: int) -> Colormap:
    """The colours of a channel: its lookup table, else its colour, else grey where there is no other."""
    channel = channel_of(begin, number)
    table = AVAILABLE_COLORMAPS.get(channel.lut.removesuffix(".lut").lower())
    if table is not None:
        return table
    color = channel.color
    if color is None:
        several = number > 1 or len(begin.channels) > 1 or len(begin.values.get("channel", ())) > 1
        color = _CYCLE[(number - 1) % len(_CYCLE)] if several else (1.0, 1.0, 1.0)
    name = "#" + "".join(f"{round(255 * part):02x}" for part in color)
    return Colormap([[0.0, 0.0, 0.0], [*color]], name=name)


def window_of(plane: np.ndarray) -> tuple[float, float] | None:
    """A contrast window for planes like this one; None if all its values are alike."""
    step = max(1, round((plane.size / _SAMPLE) ** 0.5))
    sample = plane[::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return None
    low, high = np.percentile(sample, (0.5, 99.8))
    if low == high:
        low, high = sample.min(), sample.max()
    return (float(low), float(high)) if low < high else None


def limits_of(dtype: np.dtype, window: tuple[float, float]) -> tuple[float, float]:
    """How far the sliders of the contrast go: a window on each side, within what the type can hold."""
    low, high = window
    room = high - low
    bottom, top = (0, 1) if dtype.kind == "b" else (-np.inf, np.inf)
    if dtype.kind in "iu":
        bottom, top = np.iinfo(dtype).min, np.iinfo(dtype).max
    return min(low, max(float(bottom), low - room)), max(high, min(float(top), high + room))
