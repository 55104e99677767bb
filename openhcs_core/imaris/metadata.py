"""What is known about an image besides its voxels, and how its texts are made safe for the file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from openhcs_core.imaris.errors import ImsError

NAME_BYTES = 1024
"""Longest name in UTF-8 bytes: a longer one would not be stored as an attribute, where readers look for it."""

DEFAULT_COLORS = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0))

_BEYOND_BMP = re.compile("[\U00010000-\U0010ffff]")

UNKNOWN_START = datetime(2000, 1, 1)
"""Time of the first time point where none is known."""


@dataclass(frozen=True)
class ImsChannel:
    """One channel.

    Attributes
    ----------
    name : str
    color : (r, g, b), optional
        0 to 1 each; from a palette if not given.
    window : (low, high), optional
        Grey values shown as black and full colour; the extremes of the channel if not given.
    emission_nm, excitation_nm : float, optional
        Wavelengths in nanometres.
    description : str
    """

    name: str = ""
    color: tuple[float, float, float] | None = None
    window: tuple[float, float] | None = None
    emission_nm: float | None = None
    excitation_nm: float | None = None
    description: str = ""


@dataclass(frozen=True)
class ImsMetadata:
    """Everything about an image that is not a voxel; all of it optional.

    Attributes
    ----------
    name, description : str
        Name of the image; the file's name if empty.
    voxel_size_um : (z, y, x)
        Micrometres, None where unknown.
    origin_um : (z, y, x)
        Micrometres: position of the outer corner of the first voxel.
    channels : sequence of ImsChannel
        One per channel, or none at all.
    times : sequence of datetime, optional
        One per time point.
    time_increment_s : float, optional
        Seconds between time points where `times` are not known.
    acquisition_date : datetime, optional
        When recording began.
    sections : dict of dict of str
        Further parameters: section, name, value. Imaris shows them with the image.
    """

    name: str = ""
    description: str = ""
    voxel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: tuple[ImsChannel, ...] = ()
    times: tuple[datetime, ...] | None = None
    time_increment_s: float | None = None
    acquisition_date: datetime | None = None
    sections: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def clean_text(text: object) -> str:
    """Text without the characters that a file or a reader stumbles over; line ends are kept.

    Control characters go. Emoji and other characters beyond U+FFFF become the replacement character:
    one of them anywhere in a file, and Bio-Formats cannot convert it.
    """
    text = str(text).replace("\r\n", "\n").replace("\r", "\n")
    text = _BEYOND_BMP.sub("\ufffd", text.encode("utf-8", "replace").decode("utf-8"))
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]", "", text)


def replaced_characters(metadata: ImsMetadata) -> list[str]:
    """A statement if `clean_text` replaces characters in any text of the metadata."""
    texts = [metadata.name, metadata.description]
    for channel in metadata.channels:
        texts += [channel.name, channel.description]
    for title, entries in metadata.sections.items():
        texts += [title, *map(str, entries), *map(str, entries.values())]
    found = sorted({match for text in texts for match in _BEYOND_BMP.findall(text)})
    return [f"characters that Bio-Formats cannot read were replaced in texts: {len(found)} different"] if found else []


def clean_name(text: object) -> str:
    """A name: one line, single blanks, at most NAME_BYTES in UTF-8 (cut between characters)."""
    text = " ".join(clean_text(text).split())
    return text.encode("utf-8")[:NAME_BYTES].decode("utf-8", "ignore").rstrip()


def resolved_channels(metadata: ImsMetadata, number: int) -> list[ImsChannel]:
    """One channel for each of `number`, with a name and a colour.

    Raises
    ------
    ImsError
        If channels are given, but not `number` of them, or a colour or window makes no sense.
    """
    given = metadata.channels or (ImsChannel(),) * number
    if len(given) != number:
        raise ImsError(f"The image has {number} channels, but {len(given)} are described. Describe all or none.")
    channels = []
    for index, channel in enumerate(given):
        color = channel.color
        if color is None:
            color = (1.0, 1.0, 1.0) if number == 1 else DEFAULT_COLORS[index % len(DEFAULT_COLORS)]
        if len(color) != 3 or not all(math.isfinite(part) for part in color):
            raise ImsError(f"Colour {color!r} of channel {index} is not (red, green, blue) with parts from 0 to 1.")
        red, green, blue = (min(1.0, max(0.0, float(part))) for part in color)
        window = channel.window
        if window is not None and not (math.isfinite(window[0]) and math.isfinite(window[1])):
            raise ImsError(f"Window {window!r} of channel {index} is not (low, high) in grey values.")
        if window is not None and window[0] >= window[1]:
            window = None
        name = clean_name(channel.name) or f"Channel {index + 1}"
        channels.append(
            ImsChannel(
                name, (red, green, blue), window, channel.emission_nm, channel.excitation_nm, channel.description
            )
        )
    return channels


def resolved_voxel_size(metadata: ImsMetadata, depth: int) -> tuple[tuple[float, float, float], list[str]]:
    """Voxel size (z, y, x) in micrometres, and a statement for every part of it that is assumed.

    Parameters
    ----------
    metadata : ImsMetadata
    depth : int
        Number of planes; the thickness of a single one needs no statement.
    """
    z, y, x = (_usable(size) for size in metadata.voxel_size_um)
    statements = []
    for label, size in zip(("z step", "pixel height", "pixel width"), metadata.voxel_size_um, strict=True):
        if size is not None and _usable(size) is None:
            statements.append(f"{label} of {size} µm makes no sense and is ignored")
    if x is None and y is None:
        statements.append("no pixel size: 1 µm assumed")
    elif x is None or y is None:
        statements.append(f"pixel size known in one direction only: {x or y:g} µm taken for both")
    x, y = x or y or 1.0, y or x or 1.0
    if z is None and depth > 1:
        statements.append("no z step: 1 µm assumed")
    return (z or 1.0, y, x), statements


def _usable(size: float | None) -> float | None:
    """The size if it can be one: finite, positive, and within what single precision can hold."""
    return float(size) if size is not None and 1e-12 < size < 1e12 else None


def resolved_times(metadata: ImsMetadata, number: int) -> tuple[list[datetime], list[str]]:
    """Strictly increasing time stamps in whole milliseconds, and statements about what is assumed.

    Raises
    ------
    ImsError
        If times are given, but not one per time point.
    """
    statements = []
    if metadata.times is not None:
        if len(metadata.times) != number:
            raise ImsError(f"The image has {number} time points, but {len(metadata.times)} times are given.")
        times = [_naive(time) for time in metadata.times]
    else:
        start = _naive(metadata.acquisition_date) if metadata.acquisition_date else UNKNOWN_START
        step = metadata.time_increment_s
        if step is None or not 0 < step < 1e9:
            if number > 1 and step is None:
                statements.append("no time increment: 1 s assumed")
            elif step is not None:
                statements.append(f"time increment of {step} s makes no sense: 1 s assumed")
            step = 1.0
        try:
            times = [start + timedelta(seconds=step * index) for index in range(number)]
        except OverflowError:
            raise ImsError(f"{number} time points {step} s apart reach beyond the year 9999.") from None
        if number > 1 and not metadata.acquisition_date:
            statements.append(f"no acquisition date: the time stamps start at {UNKNOWN_START:%Y-%m-%d}")
    moved = False
    for index, time in enumerate(times):
        time = time.replace(microsecond=time.microsecond // 1000 * 1000)
        if index and time <= times[index - 1]:
            time = times[index - 1] + timedelta(milliseconds=1)
            moved = True
        times[index] = time
    if moved:
        statements.append("time stamps that did not increase were moved to 1 ms after the one before")
    return times, statements


def _naive(time: datetime) -> datetime:
    """Without a time zone: the file has no place for it, so it is UTC where one is known."""
    return time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time
