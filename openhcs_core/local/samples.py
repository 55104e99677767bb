"""Channels that a format describes once although they are several, such as red, green and blue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from openhcs_core.imaris import ImsChannel

_RGB = (("Red", (1.0, 0.0, 0.0)), ("Green", (0.0, 1.0, 0.0)), ("Blue", (0.0, 0.0, 1.0)))


def described_channels(
    described: Sequence[ImsChannel], channels: int, samples: int
) -> tuple[tuple[ImsChannel, ...], list[str]]:
    """The description of every channel.

    Parameters
    ----------
    described : sequence of ImsChannel
        As the file has them.
    channels : int
        Of the image, all samples counted.
    samples : int
        Channels that are stored together in a pixel.

    Returns
    -------
    channels : tuple of ImsChannel
        Empty if they do not fit the image.
    statements : list of str
        What could not be taken over.
    """
    if samples > 1 and len(described) * samples == channels:
        described = [_sample(channel, number, samples) for channel in described for number in range(samples)]
    elif samples in (3, 4) and channels == samples:
        described = [_sample(ImsChannel(), number, samples) for number in range(samples)]
    if len(described) in (0, channels):
        return tuple(described), []
    return (), [f"{len(described)} channels are described, {channels} are there: the descriptions are not used"]


def _sample(channel: ImsChannel, number: int, samples: int) -> ImsChannel:
    """One of the channels of a colour picture."""
    if samples not in (3, 4) or number == 3:
        return replace(channel, name=f"{channel.name} {number + 1}".strip(), color=None)
    name, color = _RGB[number]
    return replace(channel, name=f"{channel.name} {name}".strip(), color=color)
