"""Colours of channels and labels, as lookup tables of ImageJ."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from openhcs_core.streaming.messages import Channel

COLORS = (
    *((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 1.0)),
    *((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0)),
)
"""Of channels that come without, in ImageJ's order."""

GRAY = (1.0, 1.0, 1.0)


def label_table() -> np.ndarray:
    """Colours (256, 3) of labels: 0 is black, and those that follow one another are unlike."""
    table = np.zeros((256, 3), np.uint8)
    for index in range(1, 256):
        hue, strength = index * 0.6180339887 % 1, (1.0, 0.6, 0.85)[index % 3]
        table[index] = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, strength, (1.0, 0.85)[index % 2])]
    return table


def color_table(color: tuple[float, float, float]) -> np.ndarray:
    """Colours (256, 3) from black to one."""
    return np.rint(np.outer(np.arange(256), np.clip(color, 0, 1))).astype(np.uint8)


class Luts:
    """Makes lookup tables.

    Parameters
    ----------
    jpype : module
        With Java started.
    """

    def __init__(self, jpype: Any) -> None:
        self._jpype = jpype
        self._lut = jpype.JClass("ij.process.LUT")
        self._loader = jpype.JClass("ij.plugin.LutLoader")

    def named(self, name: str) -> Any | None:
        """A table of ImageJ, such as "fire"; None if it has none of this name."""
        model = self._loader.getLut(name)
        return None if model is None else self._lut(model, 0.0, 255.0)

    def labels(self) -> Any:
        """The table of labels."""
        return self._made(label_table())

    def of(self, channel: Channel | None, index: int, channels: int) -> Any:
        """The table of a channel: the one it names, else from its colour, else from ImageJ's colours or gray."""
        if channel is not None and channel.lut and (lut := self.named(channel.lut)) is not None:
            return lut
        if channel is not None and channel.color is not None:
            return self._made(color_table(channel.color))
        return self._made(color_table(COLORS[index % len(COLORS)] if channels > 1 else GRAY))

    def with_range(self, lut: Any, low: float, high: float) -> Any:
        """A table for other values of pixels."""
        made = lut.clone()
        made.min, made.max = low, high
        return made

    def _made(self, table: np.ndarray) -> Any:
        reds, greens, blues = (self._jpype.JArray(self._jpype.JByte)(table[:, part].view(np.int8)) for part in range(3))
        return self._lut(reds, greens, blues)
