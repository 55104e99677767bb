"""Exporter: images as OME-TIFF and their description as OME-XML."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import tifffile

from .. import errors
from ..pixeldata import open_pixels
from ..pixelreaders import Planes
from ..store import Record
from ..wiring import quantity
from .base import StatefulService
from .pyramid import file_access

if TYPE_CHECKING:
    from ..context import Call

MAX_READ = 1 << 20
AXES = "TCZYX"


class Exporter(StatefulService):
    """omero.api.Exporter: add an image, generate a file, read it; then it may begin again."""

    exclusive = False

    def __init__(self) -> None:
        self._images: list[Record] = []
        self._output: IO[bytes] | None = None

    def addImage(self, call: Call, id: int) -> None:
        self._configurable()
        with call.store.lock:
            self._images.append(call.read("Image", id))

    def generateXml(self, call: Call) -> int:
        xml = tifffile.OmeXml()
        for image in self._chosen():
            planes, metadata = _description(call, image)
            xml.addimage(planes.dtype, _shape(planes), _stored_shape(planes), axes=AXES, **metadata)
        output = self._begin()
        output.write(xml.tostring().encode())
        return output.tell()

    def generateTiff(self, call: Call) -> int:
        images = self._chosen()
        if len(images) != 1:
            raise errors.api_usage(f"Only one image supported for TIFF, not {len(images)}")
        planes, metadata = _description(call, images[0])
        output = self._begin()
        with file_access(), tifffile.TiffWriter(output, ome=True) as writer:
            writer.write(
                _all_planes(planes), shape=_shape(planes), dtype=planes.dtype, photometric="minisblack",
                metadata={"axes": AXES, **metadata},
            )  # fmt: skip
        return output.seek(0, 2)

    def read(self, call: Call, position: int, length: int) -> bytes:
        """Bytes from a position; fewer at the end."""
        if self._output is None:
            raise errors.api_usage("Call a generate method first" if self._images else "Add data first")
        if length > MAX_READ:
            raise errors.api_usage(f"Max read size is: {MAX_READ}")
        self._output.seek(position)
        return self._output.read(length)

    def discard(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None

    def _configurable(self) -> None:
        if self._output is not None:
            raise errors.api_usage("Cannot configure during output")

    def _chosen(self) -> list[Record]:
        self._configurable()
        return self._images

    def _begin(self) -> IO[bytes]:
        self._images, self._output = [], tempfile.NamedTemporaryFile()  # noqa: SIM115  (closed by discard)
        return self._output


def _shape(planes: Planes) -> tuple[int, ...]:
    return planes.size_t, planes.size_c, planes.size_z, planes.size_y, planes.size_x


def _stored_shape(planes: Planes) -> tuple[int, int, int, int, int, int]:
    """As tifffile describes planes: pages, separate samples, depth, length, width, samples."""
    return planes.size_t * planes.size_c * planes.size_z, 1, 1, planes.size_y, planes.size_x, 1


def _all_planes(planes: Planes) -> Iterator[np.ndarray]:
    for t in range(planes.size_t):
        for c in range(planes.size_c):
            for z in range(planes.size_z):
                yield planes.plane(z, c, t).astype(planes.dtype)


def _description(call: Call, image: Record) -> tuple[Planes, dict[str, Any]]:
    """Planes of an image and what OME-XML says of it, in tifffile's words."""
    with call.store.lock:
        pixels = call.store.collection(image, image.entity.fields["pixels"])[0]
        data = open_pixels(call.core, pixels)
        if data.large:
            raise errors.api_usage(f"{image!r} is too large to be exported")
        found: dict[str, Any] = {"Name": image["name"], "Description": image["description"]}
        for name in ("PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ", "TimeIncrement"):
            f = pixels.entity.fields[name[0].lower() + name[1:]]
            if pixels[f.name] is not None:
                found[name], found[f"{name}Unit"] = pixels[f.name].value, quantity(f.type, pixels[f.name]).getSymbol()
        names = [c["logicalChannel"]["name"] for c in call.store.collection(pixels, pixels.entity.fields["channels"])]
        if None not in names:
            found["Channel"] = {"Name": names}
        return data.planes, {name: value for name, value in found.items() if value is not None}
