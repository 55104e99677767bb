"""The parameters of an Imaris file: sections of named texts under ``DataSetInfo``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from openhcs_core.imaris.layout import Shape3
from openhcs_core.imaris.metadata import ImsChannel, ImsMetadata, clean_name, clean_text

Sections = dict[str, dict[str, str]]

# Readers look for these names in every section of the file, not only in their own.
_MISREAD_NAME = re.compile(
    r"^(image\s?size)?[xyz]$|^numberofchannels$|^filetimepoints$|^recordingentry(sample|line|plane)spacing$|^ext(min|max)\d*$",
    re.IGNORECASE,
)
_OWN_SECTION = re.compile(r"^(image|imarisdataset|imaris|timeinfo|log|channel.*)$", re.IGNORECASE)


def is_misread_name(name: str) -> bool:
    """Whether a parameter of this name is taken for a property of the image wherever it stands."""
    return _MISREAD_NAME.match(name.strip()) is not None


def number_text(value: float) -> str:
    """Shortest decimal text, without exponent, that reads back as the same float64."""
    return np.format_float_positional(np.float64(value), unique=True, trim="0")


def time_text(time: datetime) -> str:
    """``YYYY-MM-DD HH:MM:SS.mmm``."""
    return time.isoformat(sep=" ", timespec="milliseconds")


def safe_sections(sections: Mapping[str, Mapping[str, object]]) -> tuple[Sections, list[str]]:
    """Sections of the caller, renamed where readers would mistake them for the file's own.

    Returns
    -------
    sections : dict of dict of str
    statements : list of str
        One per renamed entry.
    """
    safe: Sections = {}
    statements = []
    for title, entries in sections.items():
        section = clean_name(title) or "Parameters"
        if _OWN_SECTION.match(section) or set(section) == {"."}:
            section = f"Source {section}"
            statements.append(f"section {clean_name(title)!r} renamed to {section!r}")
        target = safe.setdefault(section, {})
        for key, value in entries.items():
            name = clean_name(str(key).replace("/", "_"))
            if not name:
                continue
            if is_misread_name(name):
                statements.append(f"parameter {name!r} of section {section!r} renamed to 'Source {name}'")
                name = f"Source {name}"
            target[name] = clean_text(value)
    return safe, statements


def dataset_info(
    metadata: ImsMetadata,
    *,
    shape_zyx: Shape3,
    voxel_um: tuple[float, float, float],
    channels: Sequence[ImsChannel],
    times: Sequence[datetime],
    sections: Sections,
    creator: str,
    version: str,
) -> Sections:
    """All sections of a file.

    Parameters
    ----------
    metadata : ImsMetadata
    shape_zyx : (z, y, x)
        Size of the full resolution in voxels.
    voxel_um : (z, y, x)
        Voxel size in micrometres.
    channels : sequence of ImsChannel
        With name, colour and window.
    times : sequence of datetime
        One per time point.
    sections : dict of dict of str
        Further sections, already safe.
    creator, version : str
        The program that writes the file.

    Returns
    -------
    dict of dict of str
        Section, name, value.
    """
    image = {
        "Name": clean_name(metadata.name),
        "Description": clean_text(metadata.description),
        "Unit": "um",
        "RecordingDate": time_text(times[0]) if metadata.acquisition_date or metadata.times else "",
    }
    # The file counts axes as x, y, z. Extents are outer faces: size times voxel.
    for index, axis in enumerate("XYZ"):
        size, voxel, origin = shape_zyx[2 - index], voxel_um[2 - index], metadata.origin_um[2 - index]
        origin = float(origin) if np.isfinite(origin) else 0.0
        image[axis] = str(size)
        image[f"ExtMin{index}"] = number_text(origin)
        # Rounded to 14 digits: else 301 voxels of 0.1083 end at 32.598299999999995.
        image[f"ExtMax{index}"] = number_text(float(f"{origin + size * voxel:.14g}"))
        image[f"ResampleDimension{axis}"] = "true"
    info: Sections = {
        "Image": image,
        "ImarisDataSet": {"Creator": creator, "NumberOfImages": "1", "Version": version},
        "Log": {"Entries": "0"},
        "TimeInfo": {"DatasetTimePoints": str(len(times)), "FileTimePoints": str(len(times))},
    }
    for index, time in enumerate(times, start=1):
        info["TimeInfo"][f"TimePoint{index}"] = time_text(time)
    for index, channel in enumerate(channels):
        info[f"Channel {index}"] = _channel_entries(channel)
    info.update(sections)
    return info


def _channel_entries(channel: ImsChannel) -> dict[str, str]:
    low, high = channel.window or (0.0, 1.0)
    entries = {
        "Name": channel.name,
        "Description": clean_text(channel.description),
        "ColorMode": "BaseColor",
        "Color": " ".join(f"{part:.3f}" for part in channel.color or (1.0, 1.0, 1.0)),
        "ColorRange": f"{number_text(low)} {number_text(high)}",
        "ColorOpacity": "1.000",
        "GammaCorrection": "1.000",
    }
    for name, wavelength in (
        ("LSMEmissionWavelength", channel.emission_nm),
        ("LSMExcitationWavelength", channel.excitation_nm),
    ):
        if wavelength is not None and np.isfinite(wavelength) and wavelength > 0:
            entries[name] = number_text(wavelength).removesuffix(".0")
    return entries
