"""Names of image files, and the planes that they say they hold."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from openhcs_backends.plate_file import PLATE_FILE, PlateFile
from openhcs_core.plate import well_name
from openhcs_core.storage.backend import StorageError

SUFFIX = re.compile(r"\.(?:ome\.)?tiff?", re.IGNORECASE)
_ENDING = r"\.(?:ome\.)?tiff?"
_FOLDERS = re.compile(r"TimePoint_\d+|ZStep_\d+|Images", re.IGNORECASE)
_PATTERNS = {
    "OpenHCS": r"(?P<well>[A-Za-z]{1,2}\d{1,3})(?:_s(?P<site>\d+))?(?:_w(?P<channel>\d+))?(?:_z(?P<z_index>\d+))?"
    r"(?:_t(?P<timepoint>\d+))?",
    "ImageXpress": r"(?:TimePoint_(?P<timepoint>\d+)/)?(?:ZStep_(?P<z_index>\d+)/)?[^/]*_(?P<well>[A-Z]{1,2}\d{2})"
    r"(?:_s(?P<site>\d+))?(?:_w(?P<channel>\d{1,2}))?(?:[0-9A-F]{8}-(?:[0-9A-F]{4}-){3}[0-9A-F]{12})?",
    "Opera Phenix or Operetta": r"(?:Images/)?r(?P<row>\d+)c(?P<column>\d+)f(?P<site>\d+)p(?P<z_index>\d+)"
    r"-ch(?P<channel>\d+)sk(?P<timepoint>\d+)fk\d+fl\d+",
}
PATTERNS = {name: re.compile(pattern + _ENDING, re.IGNORECASE) for name, pattern in _PATTERNS.items()}
"""Names that are known, by where they come from."""


@dataclass(frozen=True)
class NamedFile:
    """What the name of a file says.

    Attributes
    ----------
    path : str
        Below the folder, with slashes.
    well : str
    site : int
    channel, z_index, timepoint : int or None
        None if the name does not say.
    """

    path: str
    well: str
    site: int
    channel: int | None
    z_index: int | None
    timepoint: int | None


def image_files(folder: Path, everywhere: bool) -> list[str]:
    """Paths of TIFF files below a folder, sorted: in it and in the folders that microscopes make, or everywhere."""

    def below(here: str, prefix: str) -> Iterator[str]:
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if SUFFIX.search(entry.name):
                    yield prefix + entry.name
                elif (everywhere or _FOLDERS.fullmatch(entry.name)) and entry.is_dir():
                    yield from below(entry.path, f"{prefix}{entry.name}/")

    return sorted(below(os.fspath(folder), ""))


def named_files(
    paths: Sequence[str], about: PlateFile, folder: Path
) -> tuple[list[NamedFile], list[str], Sequence[str]]:
    """What the names of files say.

    Parameters
    ----------
    paths : sequence of str
    about : PlateFile
        Its pattern and wells count where it has some; else that of the known patterns which fits most files.
    folder : Path
        For messages.

    Returns
    -------
    files : list of NamedFile
    left : list of str
        Paths that say nothing.
    channels : sequence of str
        What the names call the channels, that of number 1 first; empty if by number.

    Raises
    ------
    StorageError
        If no name says anything, or what it says is no address.
    """
    pattern = about.pattern or max(PATTERNS.values(), key=lambda known: sum(map(bool, map(known.fullmatch, paths))))
    found = {path: match.groupdict() for path in paths if (match := pattern.fullmatch(path))}
    if not found:
        example = f", such as {paths[0]},"
        raise StorageError(
            f"None of the {len(paths)} TIFF files in {folder}{example} has a name that says which plane it is. "
            f"Known are names as of {', '.join(PATTERNS)}; for others describe them in {PLATE_FILE} beside them: "
            "pattern = '(?P<well>...)_(?P<site>...)_(?P<channel>...)'."
        )
    channels = _channel_numbers([groups.get("channel") for groups in found.values()], about.keys)
    first = {
        name: 1 - min([1, *(_number(groups[name], path) for path, groups in found.items() if groups.get(name))])
        for name in ("site", "z_index", "timepoint")
    }

    def number(name: str, path: str, groups: Mapping[str, str | None]) -> int | None:
        text = groups.get(name)
        return None if text is None else _number(text, path) + first[name]

    files = [
        NamedFile(
            path,
            _well(groups, about, path),
            number("site", path, groups) or 1,
            None if groups.get("channel") is None else channels[groups["channel"] or ""],
            number("z_index", path, groups),
            number("timepoint", path, groups),
        )
        for path, groups in found.items()
    ]
    texts = [text for text, _ in sorted(channels.items(), key=lambda item: item[1])]
    return files, [path for path in paths if path not in found], () if all(map(str.isdigit, texts)) else texts


def some_names(paths: Sequence[str]) -> str:
    """Some of many names, for people."""
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


def _channel_numbers(texts: Sequence[str | None], keys: Sequence[str]) -> dict[str, int]:
    """Number of each text that names a channel: as the keys have them, as it says, or by order."""
    named = Counter(text for text in texts if text is not None)
    if any(keys):
        lacking = sorted(text for text in named if text not in keys)
        if lacking:
            raise StorageError(
                f"{PLATE_FILE} describes the channels {', '.join(keys)}, but files have {lacking[0]}. Describe it, too."
            )
        return {text: keys.index(text) + 1 for text in named}
    if all(text.isdigit() for text in named):
        shift = 1 if any(int(text) == 0 for text in named) else 0
        return {text: int(text) + shift for text in named}
    return {text: place + 1 for place, text in enumerate(sorted(named))}


def _number(text: str | None, path: str) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,9}", text):
        raise StorageError(f"{path}: {text!r} is no number. In {PLATE_FILE}, only well and channel may be text.")
    return int(text)


def _well(groups: Mapping[str, str | None], about: PlateFile, path: str) -> str:
    """Name of the well such as B03."""
    row, column = groups.get("row"), groups.get("column")
    if row and column:
        if row.isdigit():
            return well_name(_number(row, path) - 1, _number(column, path) - 1)
        text = row + column
    else:
        text = groups.get("well") or about.well
    text = about.wells.get(text, text)
    if not text:
        raise StorageError(f'{path}: the name says no well. Say it in {PLATE_FILE}: well = "A01".')
    found = re.fullmatch(r"([A-Za-z]{1,2})0*(\d{1,3})", text)
    if found is None or not int(found[2]):
        raise StorageError(
            f'{path}: {text!r} is no well such as B03. Say which in {PLATE_FILE}: [wells] "{text}" = "B03"'
        )
    return f"{found[1].upper()}{int(found[2]):02}"
