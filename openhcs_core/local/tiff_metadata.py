"""What TIFF files say of their images besides the voxels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openhcs_core.imaris import ImsChannel, ImsMetadata
from openhcs_core.local.ome import ome_metadata
from openhcs_core.local.samples import described_channels
from openhcs_core.local.units import micrometres

if TYPE_CHECKING:
    import tifffile

_RESOLUTION_UNITS = {3: "cm", 4: "mm", 5: "um"}
"""Numbers of units in the tag ResolutionUnit. Inches are missing: dots per inch are about paper."""


def tiff_metadata(
    tiff: tifffile.TiffFile, series: int, channels: int, samples: int, path: Path
) -> tuple[ImsMetadata, list[str]]:
    """Metadata of one image.

    Parameters
    ----------
    tiff : TiffFile
    series : int
        Number of the image.
    channels : int
        Of the image, all samples of a page counted.
    samples : int
        Channels that are stored together in a page.
    path : Path
        Gives the image its name if it has none.

    Returns
    -------
    metadata : ImsMetadata
    statements : list of str
        What could not be taken over.
    """
    statements: list[str] = []
    page: Any = tiff.series[series].keyframe
    if tiff.is_ome:
        metadata, statements = ome_metadata(tiff.ome_metadata or "", series)
    elif tiff.is_imagej:
        metadata = _imagej(tiff.imagej_metadata or {}, page, channels)
    else:
        height, width = _pixel_size(page, _RESOLUTION_UNITS.get(page.tags.valueof("ResolutionUnit", 1), ""))
        metadata = ImsMetadata(voxel_size_um=(None, height, width))
    described, unused = described_channels(metadata.channels, channels, samples)
    return replace(metadata, name=metadata.name or path.name.split(".")[0], channels=described), statements + unused


def _imagej(known: dict[str, Any], page: Any, channels: int) -> ImsMetadata:
    unit = str(known.get("unit", ""))
    step = known.get("spacing")
    height, width = _pixel_size(page, unit)
    increment = known.get("finterval")
    ranges, tables = known.get("Ranges") or (), known.get("LUTs") or ()
    described = []
    for number in range(channels):
        window = tuple(map(float, ranges[2 * number : 2 * number + 2])) if len(ranges) >= 2 * channels else None
        color = tuple(float(part) / 255 for part in tables[number][:, -1]) if len(tables) == channels else None
        described.append(ImsChannel("", color, window))  # type: ignore[arg-type]
    return ImsMetadata(
        voxel_size_um=(micrometres(float(step), unit) if step else None, height, width),
        time_increment_s=float(increment) if increment else None,
        channels=tuple(described) if ranges or tables else (),
    )


def _pixel_size(page: Any, unit: str) -> tuple[float | None, float | None]:
    """Height and width of a pixel in µm, from the resolution in pixels per unit."""
    sizes = []
    for name in ("YResolution", "XResolution"):
        number, per = page.tags.valueof(name, (0, 1))
        sizes.append(micrometres(per / number, unit) if number else None)
    return sizes[0], sizes[1]
