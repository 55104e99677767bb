"""``openhcs_plate.toml``: what names and headers of image files do not say of a plate, beside the files.

.. code-block:: toml

    name = "Kc167"
    # Where files have names of their own. Groups: well (or row and column), site, channel, z_index, timepoint.
    pattern = '01_POS(?P<site>\\d+)_(?P<channel>[DFR])\\.TIF'
    well = "A01"                  # of all files, where the pattern has none
    pixel_size_um = 0.65          # or [height, width]
    z_step_um = 2.0
    channels = [                  # that of number 1 first; or only names: ["DNA", "actin"]
        { key = "D", name = "DNA", color = "0000FF", window = [0, 4000] },  # key: what the pattern finds
        { key = "F", name = "actin" },
    ]

    [wells]                       # what the pattern finds as well, and which it is
    "002" = "B02"

    [positions_um]                # of a field in its well: [y, x]
    A01_s001 = [0.0, 650.0]

All of it is optional.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openhcs_core.plate import PlaneAddress, PlateChannel, PlateError, PlateLayout
from openhcs_core.storage.backend import StorageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLATE_FILE = "openhcs_plate.toml"
_GROUPS = ("well", "row", "column", "site", "channel", "z_index", "timepoint")
_KEYS = ("name", "pattern", "well", "wells", "channels", "pixel_size_um", "z_step_um", "positions_um")


@dataclass(frozen=True)
class PlateFile:
    """What such a file says.

    Attributes
    ----------
    name : str
    pattern : re.Pattern, optional
        Of the path of an image file below the folder.
    well : str
        Of all files.
    wells : mapping of str to str
    channels : sequence of PlateChannel
    keys : sequence of str
        What the pattern finds as channel, for each of `channels`; empty where not given.
    voxel_size_um : (z, y, x)
    positions_um : mapping of (well, site) to (y, x)
    """

    name: str = ""
    pattern: re.Pattern[str] | None = None
    well: str = ""
    wells: Mapping[str, str] = field(default_factory=dict)
    channels: Sequence[PlateChannel] = ()
    keys: Sequence[str] = ()
    voxel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    positions_um: Mapping[tuple[str, int], tuple[float, float]] = field(default_factory=dict)


def read_plate_file(folder: Path) -> PlateFile:
    """What is said of the plate in a folder; nothing if there is no such file.

    Raises
    ------
    StorageError
        If it makes no sense; the message names the file and the entry.
    """
    path = folder / PLATE_FILE
    try:
        known = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return PlateFile()
    except (OSError, ValueError) as error:
        raise StorageError(f"{path} cannot be read: {error}.") from error
    unknown = sorted(known.keys() - set(_KEYS))
    if unknown:
        raise StorageError(f"{path}: there is no entry '{unknown[0]}'. Entries: {', '.join(_KEYS)}.")
    entry = "name"
    try:
        name = _text(known.get("name", ""))
        entry = "pattern"
        pattern = _pattern(known["pattern"]) if "pattern" in known else None
        entry = "well"
        well = _text(known.get("well", ""))
        entry = "wells"
        wells = {key: _text(value) for key, value in known.get("wells", {}).items()}
        entry = "channels"
        channels = [_channel(item) for item in known.get("channels", ())]
        entry = "pixel_size_um"
        size = known.get("pixel_size_um")
        y, x = (None, None) if size is None else _pair(size if isinstance(size, list) else [size, size], above=0)
        entry = "z_step_um"
        z = _pair([known["z_step_um"], 1], above=0)[0] if "z_step_um" in known else None
        entry = "positions_um"
        positions = {}
        for key, value in known.get("positions_um", {}).items():
            address = PlaneAddress.from_path(f"{key}_w1_z1")
            positions[address.well, address.site] = _pair(value)
    except (AttributeError, KeyError, TypeError, ValueError, re.error, PlateError) as error:
        raise StorageError(f"{path}: the entry '{entry}' makes no sense: {error}.") from error
    described, keys = [channel for _, channel in channels], [key for key, _ in channels]
    return PlateFile(name, pattern, well, wells, described, keys, (z, y, x), positions)


def plate_text(layout: PlateLayout) -> str:
    """Such a file for files with names of our own."""
    z, y, x = layout.voxel_size_um
    lines = [f"name = {_quoted(layout.name)}"]
    if y is not None and x is not None:
        lines.append(f"pixel_size_um = [{float(y)!r}, {float(x)!r}]")
    if z is not None:
        lines.append(f"z_step_um = {float(z)!r}")
    lines.append("channels = [")
    for channel in layout.channels:
        parts = [f"name = {_quoted(channel.name)}"]
        if channel.color is not None:
            parts.append(f'color = "{hex_color(channel.color)}"')
        if channel.window is not None:
            parts.append(f"window = [{float(channel.window[0])!r}, {float(channel.window[1])!r}]")
        lines.append(f"    {{ {', '.join(parts)} }},")
    lines.append("]")
    if layout.positions_um:
        lines += ["", "[positions_um]"]
        for (well, site), (top, left) in layout.positions_um.items():
            lines.append(f"{well}_s{site:03} = [{float(top)!r}, {float(left)!r}]")
    return "\n".join([*lines, ""])


def hex_color(color: Sequence[float]) -> str:
    """Red, green and blue from 0 to 1 as six hexadecimal digits."""
    return "".join(f"{round(255 * min(max(part, 0.0), 1.0)):02X}" for part in color)


def parsed_color(text: str) -> tuple[float, float, float]:
    """The inverse; raises ValueError."""
    digits = text.lstrip("#")
    if re.fullmatch(r"[0-9A-Fa-f]{6}", digits) is None:
        raise ValueError(f"{text!r} is no colour such as 00FF00")
    return int(digits[:2], 16) / 255, int(digits[2:4], 16) / 255, int(digits[4:], 16) / 255


def _quoted(text: str) -> str:
    """As a string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _pattern(value: Any) -> re.Pattern[str]:
    pattern = re.compile(_text(value))
    unknown = sorted(pattern.groupindex.keys() - set(_GROUPS))
    if unknown:
        raise ValueError(f"there is no component '{unknown[0]}'; groups: {', '.join(_GROUPS)}")
    return pattern


def _pair(value: Any, above: float = float("-inf")) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or any(isinstance(item, (bool, str)) for item in value):
        raise ValueError(f"{value!r} are not two numbers")
    first, second = float(value[0]), float(value[1])
    if not (above < first < float("inf") and above < second < float("inf")):
        raise ValueError(f"{value!r} are no such numbers")
    return first, second


def _channel(item: Any) -> tuple[str, PlateChannel]:
    if isinstance(item, str):
        return "", PlateChannel(item)
    unknown = sorted(item.keys() - {"key", "name", "color", "window"})
    if unknown:
        raise ValueError(f"a channel has no '{unknown[0]}'")
    key = _text(item.get("key", ""))
    return key, PlateChannel(
        _text(item.get("name", key)),
        parsed_color(_text(item["color"])) if "color" in item else None,
        _pair(item["window"]) if "window" in item else None,
    )
