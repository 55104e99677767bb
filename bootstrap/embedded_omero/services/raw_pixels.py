"""RawPixelsStore: the pixels of an image, in planes, tiles, rows and other pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from omero.rtypes import rstring

from .. import errors
from ..pixeldata import PixelData, open_pixels
from ..pixelreaders import RawPlanes, wire
from ..store import Record
from .pyramid import Pyramid, check_size, file_access, unsupported

if TYPE_CHECKING:
    from ..context import Call


class RawPixelsStore(Pyramid):
    """omero.api.RawPixelsStore."""

    exclusive = False  # moves much data; takes the lock of the store only where it touches records

    def __init__(self) -> None:
        super().__init__()
        self._pixels: Record | None = None
        self._changed = False

    # -- the image

    def setPixelsId(self, call: Call, pixelsId: int, bypassOriginalFile: bool) -> None:
        if self._pixels is not None and self._pixels.id == pixelsId:
            return
        self.discard()
        with call.store.lock:
            pixels = call.store.get("Pixels", pixelsId)
            if pixels is None or not call.visible(pixels):
                raise errors.validation(f"Cannot read pixels id={pixelsId}")
        self.data, self._pixels = open_pixels(call.core, pixels), pixels

    def prepare(self, call: Call, pixelsIds: list[int]) -> None:
        pass  # a hint that these come next

    def getPixelsId(self, call: Call) -> int:
        self.ready()
        return self._pixels.id

    def getPixelsPath(self, call: Call) -> str:
        return str(self.ready().path)

    def ready(self) -> PixelData:
        if self.data is None:
            raise errors.api_usage(
                "This RawPixelsStore has not been properly initialized.\n"
                "Please set the pixels id before executing any other methods.\n"
            )
        return self.data

    def save(self, call: Call):
        """The Pixels with their digest; recorded: only `close` writes it to the database."""
        data = self.ready()
        if not self._changed:
            return None
        with file_access():
            digest = data.digest().hex()
        self._changed = False
        with call.store.lock:
            pixels = call.wire(self._pixels)
        pixels.sha1 = rstring(digest)
        return pixels

    def finish(self, call: Call) -> None:
        if self._changed:
            with file_access():
                digest = self.ready().digest().hex()
            with call.store.lock:
                call.change(self._pixels, "sha1", digest)

    def discard(self) -> None:
        self.data = self._pixels = None
        self._changed, self.level = False, 0

    # -- sizes and positions

    @property
    def _width(self) -> int:
        return self.planes.dtype.itemsize

    def getByteWidth(self, call: Call) -> int:
        return self._width

    def isSigned(self, call: Call) -> bool:
        return self.planes.dtype.kind != "u"

    def isFloat(self, call: Call) -> bool:
        return self.planes.dtype.kind == "f"

    def getRowSize(self, call: Call) -> int:
        return self.resolution.size_x * self._width

    def getPlaneSize(self, call: Call) -> int:
        return self.getRowSize(call) * self.resolution.size_y

    def getStackSize(self, call: Call) -> int:
        return self.getPlaneSize(call) * self.planes.size_z

    def getTimepointSize(self, call: Call) -> int:
        return self.getStackSize(call) * self.planes.size_c

    def getTotalSize(self, call: Call) -> int:
        return self.getTimepointSize(call) * self.planes.size_t

    def getRowOffset(self, call: Call, y: int, z: int, c: int, t: int) -> int:
        self._check(y=y, z=z, c=c, t=t)
        return self._plane_offset(call, z, c, t) + y * self.getRowSize(call)

    def getPlaneOffset(self, call: Call, z: int, c: int, t: int) -> int:
        self._check(z=z, c=c, t=t)
        return self._plane_offset(call, z, c, t)

    def getStackOffset(self, call: Call, c: int, t: int) -> int:
        self._check(c=c, t=t)
        return self._plane_offset(call, 0, c, t)

    def getTimepointOffset(self, call: Call, t: int) -> int:
        self._check(t=t)
        return self._plane_offset(call, 0, 0, t)

    def _plane_offset(self, call: Call, z: int, c: int, t: int) -> int:
        return self.getPlaneSize(call) * (z + self.planes.size_z * (c + self.planes.size_c * t))

    def _check(self, **position: int) -> None:
        """Refuse a position outside the image, in the words of the server."""
        planes = self.planes
        sizes = {"x": self.resolution.size_x, "y": self.resolution.size_y, "z": planes.size_z, "c": planes.size_c,
                 "t": planes.size_t}  # fmt: skip
        for axis, value in position.items():
            if not 0 <= value < sizes[axis]:
                raise errors.api_usage(f"{axis.upper()} '{value}' greater than size{axis.upper()} '{sizes[axis]}'.")

    # -- reading

    def _region(self, z: int, c: int, t: int, x: int, y: int, w: int, h: int) -> np.ndarray:
        with file_access():
            return self.planes.read(z, c, t, x, y, w, h, self.level)

    def getPlane(self, call: Call, z: int, c: int, t: int) -> bytes:
        self._check(z=z, c=c, t=t)
        check_size(call, self.getPlaneSize(call))
        return wire(self._region(z, c, t, 0, 0, *self.resolution[:2]))

    def getTile(self, call: Call, z: int, c: int, t: int, x: int, y: int, w: int, h: int) -> bytes:
        self._check(x=x, y=y, z=z, c=c, t=t)
        if self.data.raw is not None:
            self._check(x=x + w - 1, y=y + h - 1)
        elif w < 1 or h < 1 or x + w > self.resolution.size_x or y + h > self.resolution.size_y:
            raise errors.wrapped("java.lang.RuntimeException", f"Invalid tile: x={x}, y={y}, w={w}, h={h}")
        check_size(call, w * h * self._width)
        return wire(self._region(z, c, t, x, y, w, h))

    def getRow(self, call: Call, y: int, z: int, c: int, t: int) -> bytes:
        self._check(y=y, z=z, c=c, t=t)
        return wire(self._region(z, c, t, 0, y, self.resolution.size_x, 1))

    def getCol(self, call: Call, x: int, z: int, c: int, t: int) -> bytes:
        self._check(z=z, c=c, t=t)
        if not 0 <= x < self.resolution.size_x:
            raise errors.wrapped("java.lang.IndexOutOfBoundsException")
        return wire(self._region(z, c, t, x, 0, 1, self.resolution.size_y))

    def getStack(self, call: Call, c: int, t: int) -> bytes:
        self._no_generated()
        self._check(c=c, t=t)
        return self._stacks(call, [(z, c, t) for z in range(self.planes.size_z)])

    def getTimepoint(self, call: Call, t: int) -> bytes:
        self._no_generated()
        self._check(t=t)
        planes = self.planes
        return self._stacks(call, [(z, c, t) for c in range(planes.size_c) for z in range(planes.size_z)])

    def _stacks(self, call: Call, positions: list[tuple[int, int, int]]) -> bytes:
        size_x, size_y = self.resolution[:2]
        check_size(call, self.getPlaneSize(call) * len(positions))
        out = np.empty((len(positions), size_y, size_x), self.planes.dtype.newbyteorder(">"))
        for n, (z, c, t) in enumerate(positions):
            out[n] = self._region(z, c, t, 0, 0, size_x, size_y)
        return out.tobytes()

    def getHypercube(self, call: Call, offset: list[int], size: list[int], step: list[int]) -> bytes:
        """Every ``step``-th pixel of a region; the three lists are in the order XYZCT."""
        self._no_generated()
        planes = self.planes
        sizes = (*self.resolution[:2], planes.size_z, planes.size_c, planes.size_t)
        if not len(offset) == len(size) == len(step) == 5:
            raise errors.api_usage("Offset, size and step must have five values each (XYZCT).")
        if any(
            o < 0 or s < 1 or n < 1 or o + s > whole for o, s, n, whole in zip(offset, size, step, sizes, strict=True)
        ):
            raise errors.wrapped("ome.io.nio.DimensionsOutOfBoundsException", f"{offset} + {size} is outside {sizes}")
        ranges = [range(o, o + s, n) for o, s, n in zip(offset, size, step, strict=True)]
        shape = [len(r) for r in reversed(ranges)]
        check_size(call, int(np.prod(shape)) * self._width)
        out = np.empty(shape, planes.dtype.newbyteorder(">"))
        for t_index, t in enumerate(ranges[4]):
            for c_index, c in enumerate(ranges[3]):
                for z_index, z in enumerate(ranges[2]):
                    region = self._region(z, c, t, offset[0], offset[1], size[0], size[1])
                    out[t_index, c_index, z_index] = region[:: step[1], :: step[0]]
        return out.tobytes()

    def getRegion(self, call: Call, size: int, offset: int) -> bytes:
        raw = self._writable()
        check_size(call, size)
        if size < 0 or offset < 0 or offset + size > raw.nbytes:
            raise errors.wrapped("java.lang.IndexOutOfBoundsException")
        with file_access():
            return raw.read_bytes(offset, size)

    def getPlaneRegion(self, call: Call, z: int, c: int, t: int, size: int, offset: int) -> bytes:
        """``size`` pixels of a plane from the pixel ``offset`` on."""
        self._check(z=z, c=c, t=t)
        raw = self._writable()
        if size < 0 or offset < 0 or offset + size > raw.size_x * raw.size_y:
            raise errors.wrapped("java.lang.IndexOutOfBoundsException")
        check_size(call, size * self._width)
        with file_access():
            return raw.read_bytes(raw.offset(0, z, c, t) + offset * self._width, size * self._width)

    def _no_generated(self) -> None:
        if self.ready().generated:
            raise unsupported()

    def calculateMessageDigest(self, call: Call) -> bytes:
        with file_access():
            return self.ready().digest()

    # -- statistics

    def getHistogram(self, call: Call, channels: list[int], binCount: int, globalRange: bool, plane) -> dict[int, Any]:
        """Counts of a plane for each channel, between its own limits or those of the whole channel."""
        self._check(z=plane.z, t=plane.t)
        if binCount < 1:
            raise errors.api_usage("binCount must be positive")
        region = plane.region
        x, y, w, h = (region.x, region.y, region.width, region.height) if region else (0, 0, *self.resolution[:2])
        self._check(x=x, y=y)
        self._check(x=x + w - 1, y=y + h - 1)
        found = {}
        for channel in channels:
            self._check(c=channel)
            pixels = self._region(plane.z, channel, plane.t, x, y, w, h)
            limits = self._limits(call, channel) if globalRange else None
            low, high = limits or (float(pixels.min()), float(pixels.max()))
            counts, _ = np.histogram(np.clip(pixels, low, high), binCount, (low, high if high > low else low + 1))
            found[channel] = counts.tolist()
        return found

    def _limits(self, call: Call, channel: int) -> tuple[float, float] | None:
        with call.store.lock:
            fields = self._pixels.entity.fields
            stats = call.store.collection(self._pixels, fields["channels"])[channel]["statsInfo"]
            return None if stats is None else (stats["globalMin"], stats["globalMax"])

    def findMinMax(self, call: Call, channels: list[int]) -> dict[int, list[float]]:
        """Smallest and largest value of each channel; nothing for images which are served in tiles."""
        if self.ready().large:
            return {}
        found = {}
        for channel in channels:
            self._check(c=channel)
            with file_access():
                limits = [(b.min(), b.max()) for t in range(self.planes.size_t) for b in self.planes.bands(channel, t)]
            found[channel] = [float(min(low for low, _ in limits)), float(max(high for _, high in limits))]
        return found

    # -- writing

    def _writable(self) -> RawPlanes:
        """The file, for an image which is not an imported one."""
        data = self.ready()
        if data.raw is None or data.generated:
            raise unsupported()
        return data.raw

    def _may_write(self, call: Call) -> None:
        with call.store.lock:
            if not call.flags(self._pixels).edit:
                raise errors.security(f"Updating ome.model.core.Pixels:Id_{self._pixels.id} not allowed.")

    def _write(self, call: Call, raw: RawPlanes, offset: int, buf: bytes, count: int) -> None:
        self._may_write(call)
        if len(buf) != count:
            raise errors.resource(f"Buffer{'Underflow' if len(buf) < count else 'Overflow'}Exception: null")
        with file_access():
            raw.write_bytes(offset, buf)
        self._changed = True

    def setPlane(self, call: Call, buf: bytes, z: int, c: int, t: int) -> None:
        raw = self._writable()
        self._check(z=z, c=c, t=t)
        self._write(call, raw, raw.offset(0, z, c, t), buf, self.getPlaneSize(call))

    def setRow(self, call: Call, buf: bytes, y: int, z: int, c: int, t: int) -> None:
        raw = self._writable()
        self._check(y=y, z=z, c=c, t=t)
        self._write(call, raw, raw.offset(y, z, c, t), buf, raw.row)

    def setStack(self, call: Call, buf: bytes, z: int, c: int, t: int) -> None:
        raw = self._writable()
        self._check(z=z, c=c, t=t)
        self._write(call, raw, raw.offset(0, 0, c, t), buf, self.getStackSize(call))

    def setTimepoint(self, call: Call, buf: bytes, t: int) -> None:
        raw = self._writable()
        self._check(t=t)
        self._write(call, raw, raw.offset(0, 0, 0, t), buf, self.getTimepointSize(call))

    def setRegion(self, call: Call, size: int, offset: int, buf: bytes) -> None:
        raw = self._writable()
        if size < 0 or offset < 0 or offset + size > raw.nbytes:
            raise errors.wrapped("java.lang.IndexOutOfBoundsException")
        self._write(call, raw, offset, buf, size)

    def setTile(self, call: Call, buf: bytes, z: int, c: int, t: int, x: int, y: int, w: int, h: int) -> None:
        """Write a tile; only images which are served in tiles can be written so."""
        data = self.ready()
        if data.raw is None or not data.generated:
            raise unsupported()
        self._check(x=x, y=y, z=z, c=c, t=t)
        self._check(x=x + w - 1, y=y + h - 1)
        self._may_write(call)
        row = w * self._width
        if len(buf) != row * h:
            raise errors.resource(f"Buffer{'Underflow' if len(buf) < row * h else 'Overflow'}Exception: null")
        view = memoryview(buf)
        with file_access():
            for n in range(h):
                data.raw.write_bytes(data.raw.offset(y + n, z, c, t) + x * self._width, view[n * row : (n + 1) * row])
        self._changed = True
