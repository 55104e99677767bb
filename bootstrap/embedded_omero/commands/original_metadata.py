"""What a file says about its images beyond the model, read from the file when somebody asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import omero
import omero.cmd
import tifffile
from omero.rtypes import rdouble, rint, rlong, rstring

from ..context import Call

# Formats whose tags are reported; of others, OME-TIFF among them, the server has nothing to tell.
_PLAIN = "TiffDelegate"
_COMPRESSIONS = {1: "Uncompressed", 5: "LZW", 7: "JPEG", 32773: "PackBits"}
_PHOTOMETRIC = {0: "WhiteIsZero", 1: "BlackIsZero", 2: "RGB", 3: "Palette"}
_RESOLUTION_UNITS = {1: "None", 2: "Inch", 3: "Centimeter"}
_PLANAR = {1: "Chunky", 2: "Planar"}


def original_metadata(call: Call, request: omero.cmd.OriginalMetadataRequest) -> omero.cmd.OriginalMetadataResponse:
    """Names and values from the file of an image; nothing for images without a file, or of other formats."""
    everywhere = Call(call.core, call.session, call.client, {**call.ctx, "omero.group": "-1"})
    image = everywhere.read("Image", request.imageId)
    fileset = image["fileset"]
    response = omero.cmd.OriginalMetadataResponse(globalMetadata={}, seriesMetadata={})
    if fileset is None:
        return response
    response.filesetId = rlong(fileset.id)
    if image["format"] is not None and image["format"]["value"] == _PLAIN:
        first = call.store.collection(fileset, fileset.entity.fields["usedFiles"])[0]["originalFile"]
        found = tiff_tags(call.core.repositories.path_of(first))
        response.globalMetadata = {name: _wrap(value) for name, value in found.items()}
    return response


def tiff_tags(path: Path) -> dict[str, str | int | float]:
    """Tags of the first page of a TIFF file as the server names them, and what ImageJ noted."""
    with tifffile.TiffFile(path) as tiff:
        page, imagej = tiff.pages.first, tiff.imagej_metadata or {}
        tags: dict[str, Any] = {tag.name: tag.value for tag in page.tags}
    compression, photometric = int(page.compression), int(page.photometric)
    found = {
        "ImageWidth": page.imagewidth,
        "ImageLength": page.imagelength,
        "BitsPerSample": page.bitspersample,
        "Compression": _COMPRESSIONS.get(compression) or tifffile.COMPRESSION(compression).name,
        "PhotometricInterpretation": _PHOTOMETRIC.get(photometric) or tifffile.PHOTOMETRIC(photometric).name,
        "MetaDataPhotometricInterpretation": "RGB" if photometric == 2 else "Monochrome",
        "MetaMorph": "no",
        "NumberOfChannels": page.samplesperpixel,
        "SamplesPerPixel": page.samplesperpixel,
        "PlanarConfiguration": _PLANAR.get(tags.get("PlanarConfiguration")),
        "ResolutionUnit": _RESOLUTION_UNITS.get(tags.get("ResolutionUnit")),
        "XResolution": _ratio(tags.get("XResolution")),
        "YResolution": _ratio(tags.get("YResolution")),
        "Software": tags.get("Software"),
        "ImageJ": imagej.get("ImageJ"),
        "Color mode": imagej.get("mode"),
        "Unit": imagej.get("unit"),
        "Spacing": imagej.get("spacing"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _ratio(value: tuple[int, int] | None) -> float | None:
    return value[0] / value[1] if value is not None and value[1] else None


def _wrap(value: str | int | float):
    if isinstance(value, float):
        return rdouble(value)
    return rint(value) if isinstance(value, int) else rstring(value)
