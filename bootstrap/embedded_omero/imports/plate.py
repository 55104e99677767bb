"""Plates of single files: which file is which well, field and channel, and an OME-XML companion which says so."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ImportFailed
from .tiff import COMPANION, Series, read_structure

NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_WELL = re.compile(r"([A-Za-z]{1,2})0*([1-9]\d*)")

Wells = Mapping[str, Sequence[Sequence[Path]]]
"""Well ("B03") -> fields -> one file for each channel."""


def position(well: str) -> tuple[int, int]:
    """Row and column, from 0, of a well such as "B03".

    Raises
    ------
    ImportFailed
        If that is no name of a well.
    """
    match = _WELL.fullmatch(well)
    if match is None:
        raise ImportFailed(f"{well!r} is no well; wells are named like A1 or H12.")
    row = 0
    for letter in match[1].upper():
        row = row * 26 + ord(letter) - ord("A") + 1
    return row - 1, int(match[2]) - 1


def find_wells(folder: Path, pattern: str) -> tuple[dict[str, list[list[Path]]], list[str]]:
    """Files of a folder whose names match a pattern, by well and field.

    Parameters
    ----------
    folder : Path
    pattern : str
        Regular expression for the whole name with the groups ``channel``, ``well`` and ``field``; the last two may be
        missing. What the group ``well`` finds may be anything: if it does not look like a well ("A1"), positions become
        the wells A1, A2, ... in their order.

    Returns
    -------
    wells : dict
        As `Wells`.
    channels : list of str
        Their names, in the order of the files.

    Raises
    ------
    ImportFailed
        If no file matches, or a field lacks a channel which others have.
    """
    try:
        expression = re.compile(pattern)
    except re.error as exc:
        raise ImportFailed(f"The pattern {pattern!r} is no regular expression: {exc}.") from exc
    if "channel" not in expression.groupindex:
        raise ImportFailed(f"The pattern {pattern!r} lacks the group (?P<channel>...).")
    files: dict[tuple[str, str], dict[str, Path]] = {}
    try:
        names = sorted(p for p in folder.iterdir() if p.is_file())
    except OSError as exc:
        raise ImportFailed(f"Cannot read the folder {folder}: {exc.strerror}.") from exc
    for path in names:
        match = expression.fullmatch(path.name)
        if match is not None:
            groups = match.groupdict()
            files.setdefault((groups.get("well") or "A1", groups.get("field") or ""), {})[groups["channel"]] = path
    if not files:
        raise ImportFailed(f"No file in {folder} matches {pattern!r}.")
    channels = sorted({c for by_channel in files.values() for c in by_channel})
    wells: dict[str, list[list[Path]]] = {}
    for (well, field), by_channel in sorted(files.items()):
        missing = [c for c in channels if c not in by_channel]
        if missing:
            raise ImportFailed(f"Well {well} field {field or 1} has no file for channel {', '.join(missing)}.")
        wells.setdefault(well, []).append([by_channel[c] for c in channels])
    if not all(_WELL.fullmatch(w) for w in wells):
        wells = {f"A{n}": fields for n, fields in enumerate(wells.values(), 1)}
    return wells, channels


def companion(wells: Wells, name: str, channels: Sequence[str] | None) -> tuple[Path, str, list[Path]]:
    """OME-XML which makes one plate of single files.

    Every file holds one channel; Z and T come from its pages.

    Returns
    -------
    path : Path
        Where the companion file belongs: in the folder above all files.
    text : str
    files : list of Path
        Those which it names, in the order of its images.

    Raises
    ------
    ImportFailed
        If files of one field do not fit each other, or two wells have the same place.
    """
    root = ElementTree.Element("OME", xmlns=NAMESPACE)
    places = {well: position(well) for well in wells}
    if len(set(places.values())) < len(places):
        raise ImportFailed(f"Wells have the same place: {', '.join(sorted(places))}.")
    plate = ElementTree.SubElement(
        root, "Plate", ID="Plate:0", Name=name, RowNamingConvention="letter", ColumnNamingConvention="number",
        Rows=str(max((r for r, _ in places.values()), default=-1) + 1),
        Columns=str(max((c for _, c in places.values()), default=-1) + 1),
    )  # fmt: skip
    used = list(dict.fromkeys(Path(f) for fields in wells.values() for files in fields for f in files))
    if not used:
        raise ImportFailed("The plate has no field with files.")
    folder = Path(os.path.commonpath([str(p.parent) for p in used]))
    images: list[ElementTree.Element] = []
    samples: list[str] = []
    for well, fields in sorted(wells.items(), key=lambda item: places[item[0]]):
        row, column = places[well]
        well_element = ElementTree.SubElement(
            plate, "Well", ID=f"Well:{row}:{column}", Row=str(row), Column=str(column)
        )
        for number, files in enumerate(fields):
            index = len(images)
            sample = ElementTree.SubElement(well_element, "WellSample", ID=f"WellSample:{index}", Index=str(index))
            ElementTree.SubElement(sample, "ImageRef", ID=f"Image:{index}")
            samples.append(sample.get("ID", ""))
            images.append(_image(index, f"{well} field {number + 1}", [Path(f) for f in files], folder, channels))
    most = max(len(f) for f in wells.values())
    run = ElementTree.SubElement(
        plate, "PlateAcquisition", ID="PlateAcquisition:0", Name=name, MaximumFieldCount=str(most)
    )
    for sample_id in samples:
        ElementTree.SubElement(run, "WellSampleRef", ID=sample_id)
    root.extend(images)
    text = '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")
    return folder / (name.replace("/", "_") + COMPANION), text, used


def _image(
    index: int, name: str, files: list[Path], folder: Path, channels: Sequence[str] | None
) -> ElementTree.Element:
    """One field of view, whose files are named relative to a folder."""
    if not files:
        raise ImportFailed(f"{name} has no file.")
    if channels is not None and len(channels) != len(files):
        raise ImportFailed(f"{name} has {len(files)} files, but {len(channels)} channels are named.")
    parts = [_single(path) for path in files]
    first = parts[0].image
    for path, part in zip(files, parts, strict=True):
        if part.image.sizes != first.sizes or part.image.type != first.type:
            raise ImportFailed(f"{path} does not fit {files[0]}: {_kind(part)} and {_kind(parts[0])}.")
    size_x, size_y, size_z, _, size_t = first.sizes
    element = ElementTree.Element("Image", ID=f"Image:{index}", Name=name)
    pixels = ElementTree.SubElement(
        element, "Pixels", ID=f"Pixels:{index}", DimensionOrder="XYZCT", Type=first.type, SizeX=str(size_x),
        SizeY=str(size_y), SizeZ=str(size_z), SizeC=str(len(files)), SizeT=str(size_t),
    )  # fmt: skip
    for axis in "XYZ":
        size = first.pixels.get("physicalSize" + axis)
        if size is not None and size.unit == "MICROMETER":
            pixels.set("PhysicalSize" + axis, repr(size.value))
    for c in range(len(files)):
        channel = ElementTree.SubElement(pixels, "Channel", ID=f"Channel:{index}:{c}", SamplesPerPixel="1")
        if channels is not None:
            channel.set("Name", channels[c])
    for c, (path, part) in enumerate(zip(files, parts, strict=True)):
        for t in range(size_t):
            for z in range(size_z):
                data = ElementTree.SubElement(
                    pixels, "TiffData", IFD=str(part.layout.page[t, 0, z]), FirstC=str(c), FirstZ=str(z), FirstT=str(t),
                    PlaneCount="1",
                )  # fmt: skip
                ElementTree.SubElement(data, "UUID", FileName=str(path.relative_to(folder)))
    return element


def _single(path: Path) -> Series:
    structure = read_structure(path)
    if len(structure.series) != 1 or len(structure.files) != 1:
        raise ImportFailed(f"{path} holds {len(structure.series)} images; a file of a plate must hold one.")
    series = structure.series[0]
    if series.image.sizes[3] != 1:
        raise ImportFailed(f"{path} has {series.image.sizes[3]} channels; a file of a plate must hold one.")
    return series


def _kind(series: Series) -> str:
    return " x ".join(map(str, series.image.sizes)) + " " + series.image.type
