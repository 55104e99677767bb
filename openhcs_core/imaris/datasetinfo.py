"""The parameters of an Imaris file: sections of named texts under ``DataSetInfo``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np

from openhcs_core._version import __version__
from openhcs_core.imaris.metadata import (
    ImsChannel,
    ImsMetadata,
    clean_name,
    clean_text,
    replaced_characters,
    resolved_channels,
    resolved_times,
    resolved_voxel_size,
)

Sections = dict[str, dict[str, str]]

CREATOR = "OpenHCS"
"""The program that writes the file; also the section of its parameters."""

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


class ImageInfo:
    """All that a file says of an image besides its voxels.

    Parameters
    ----------
    metadata : ImsMetadata
    shape_tczyx : (T, C, Z, Y, X)
        Size of the image.
    name : str
        Name of the image if the metadata have none.
    statements : sequence of str
        What is to be noted in the file.

    Attributes
    ----------
    channels : list of ImsChannel
        With name and colour; those without a window need one.
    statements : list of str
        Those given, and what was assumed or renamed.

    Raises
    ------
    ImsError
        If the metadata make no sense or do not fit the size.
    """

    def __init__(
        self,
        metadata: ImsMetadata,
        shape_tczyx: tuple[int, int, int, int, int],
        name: str,
        statements: Sequence[str] = (),
    ) -> None:
        times, channels, *self._zyx = shape_tczyx
        self._metadata = metadata
        self._name = metadata.name or name
        self.channels = resolved_channels(metadata, channels)
        self._voxel_um, calibration = resolved_voxel_size(metadata, self._zyx[0])
        self._times, timing = resolved_times(metadata, times)
        self._sections, renamed = safe_sections(metadata.sections)
        self.statements = [*statements, *calibration, *timing, *renamed, *replaced_characters(metadata)]
        for number, text in enumerate(self.statements, start=1):
            self.note(f"Note {number}", text)

    def note(self, name: str, text: str) -> None:
        """Add a parameter to the section of the program that writes the file."""
        self._sections.setdefault(CREATOR, {})[name] = text

    def sections(self, windows: Sequence[tuple[float, float]]) -> Sections:
        """All sections of the file.

        Parameters
        ----------
        windows : sequence of (low, high)
            One per channel, for those without one.

        Returns
        -------
        dict of dict of str
            Section, name, value.
        """
        metadata, times = self._metadata, self._times
        image = {
            "Name": clean_name(self._name),
            "Description": clean_text(metadata.description),
            "Unit": "um",
            "RecordingDate": time_text(times[0]) if metadata.acquisition_date or metadata.times else "",
        }
        # The file counts axes as x, y, z. Extents are outer faces: size times voxel.
        for index, axis in enumerate("XYZ"):
            size, voxel, origin = self._zyx[2 - index], self._voxel_um[2 - index], metadata.origin_um[2 - index]
            origin = float(origin) if np.isfinite(origin) else 0.0
            image[axis] = str(size)
            image[f"ExtMin{index}"] = number_text(origin)
            # Rounded to 14 digits: else 301 voxels of 0.1083 end at 32.598299999999995.
            image[f"ExtMax{index}"] = number_text(float(f"{origin + size * voxel:.14g}"))
            image[f"ResampleDimension{axis}"] = "true"
        info: Sections = {
            "Image": image,
            "ImarisDataSet": {"Creator": CREATOR, "NumberOfImages": "1", "Version": __version__},
            "Log": {"Entries": "0"},
            "TimeInfo": {"DatasetTimePoints": str(len(times)), "FileTimePoints": str(len(times))},
        }
        for index, time in enumerate(times, start=1):
            info["TimeInfo"][f"TimePoint{index}"] = time_text(time)
        for index, (channel, window) in enumerate(zip(self.channels, windows, strict=True)):
            info[f"Channel {index}"] = _channel_entries(channel, channel.window or window)
        info.update(self._sections)
        return info


def _channel_entries(channel: ImsChannel, window: tuple[float, float]) -> dict[str, str]:
    low, high = window
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
