"""ThumbnailStore: small JPEG images."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import omero
from omero.rtypes import unwrap

from .. import display, errors
from ..display import Settings
from ..pixeldata import open_pixels
from ..store import Record
from .base import StatefulService
from .pyramid import file_access

if TYPE_CHECKING:
    from ..context import Call

LONGEST = 96  # side of thumbnails where nobody says anything else


class ThumbnailStore(StatefulService):
    """omero.api.ThumbnailStore.

    Thumbnails are rendered when somebody asks for them; the database holds their sizes only.
    """

    exclusive = False

    def __init__(self) -> None:
        self._pixels: Record | None = None
        self._rdef: Record | None = None

    # -- the image

    def setPixelsId(self, call: Call, pixelsId: int) -> bool:
        """Choose an image; answers whether there are settings for it."""
        self._pixels = self._rdef = None
        with call.store.lock:
            pixels = call.store.get("Pixels", pixelsId)
            if pixels is None or not call.visible(pixels):
                raise errors.resource(
                    f"Error retrieving Pixels id:{pixelsId}. Pixels set does not exist or the user id:{call.user.id} "
                    "has insufficient permissions to retrieve it."
                )
            self._pixels, self._rdef = pixels, display.settings_for(call, pixels)
            return self._rdef is not None

    def setRenderingDefId(self, call: Call, renderingDefId: int) -> None:
        with call.store.lock:
            rdef = call.store.get("RenderingDef", renderingDefId)
            if rdef is None or not call.visible(rdef):
                raise errors.validation(f"No rendering definition exists with ID = {renderingDefId}")
            self._rdef = rdef

    def getRenderingDefId(self, call: Call) -> int:
        return self._with_settings().id

    def resetDefaults(self, call: Call) -> None:
        pixels = self._with_pixels()
        with call.store.lock, file_access():
            settings = display.default_settings(call, pixels)
            self._rdef = settings.save(call, pixels, display.settings_of(call, pixels))

    def isInProgress(self, call: Call) -> bool:
        return False

    def _with_pixels(self) -> Record:
        if self._pixels is None:
            raise errors.api_usage("Thumbnail service not ready: Pixels not set.")
        return self._pixels

    def _with_settings(self) -> Record:
        self._with_pixels()
        if self._rdef is None:
            raise errors.api_usage("Thumbnail service not ready: Rendering settings not set.")
        return self._rdef

    # -- thumbnails which are kept

    def getThumbnail(self, call: Call, sizeX, sizeY) -> bytes:
        rdef, size = self._with_settings(), _size(sizeX, sizeY)
        self._keep(call, self._pixels, size)
        return _render(call, self._pixels, rdef, size)

    def getThumbnailWithoutDefault(self, call: Call, sizeX, sizeY) -> bytes:
        return self.getThumbnail(call, sizeX, sizeY)

    def getThumbnailByLongestSide(self, call: Call, size) -> bytes:
        """The thumbnail which is kept, if there is one (recorded: whatever its size), or a new one."""
        rdef = self._with_settings()
        with call.store.lock:
            kept = _kept(call, self._pixels)
        wanted = (kept[-1]["sizeX"], kept[-1]["sizeY"]) if kept else _longest(self._pixels, size)
        self._keep(call, self._pixels, wanted)
        return _render(call, self._pixels, rdef, wanted)

    def getThumbnailSet(self, call: Call, sizeX, sizeY, pixelsIds) -> dict[int, bytes]:
        size = _size(sizeX, sizeY)
        return self._set(call, pixelsIds, lambda pixels: size)

    def getThumbnailByLongestSideSet(self, call: Call, size, pixelsIds) -> dict[int, bytes]:
        return self._set(call, pixelsIds, lambda pixels: _longest(pixels, size))

    @staticmethod
    def _set(call: Call, pixels_ids, size_of) -> dict[int, bytes]:
        """Thumbnails of many images; what is not visible or cannot be read is left out."""
        found = {}
        for pixels_id in pixels_ids:
            with call.store.lock:
                pixels = call.store.get("Pixels", pixels_id)
                rdef = display.settings_for(call, pixels) if pixels is not None and call.visible(pixels) else None
            if pixels is None or not call.visible(pixels):
                continue
            with contextlib.suppress(omero.ResourceError):  # which opening it has logged
                found[pixels_id] = _render(call, pixels, rdef, size_of(pixels))
        return found

    def createThumbnail(self, call: Call, sizeX, sizeY) -> None:
        self._with_settings()
        self._keep(call, self._pixels, _size(sizeX, sizeY))

    def createThumbnails(self, call: Call) -> None:
        self._with_settings()
        self._keep(call, self._pixels, _longest(self._pixels, None))

    def createThumbnailsByLongestSideSet(self, call: Call, size, pixelsIds) -> None:
        with call.store.lock:
            for pixels_id in pixelsIds:
                pixels = call.read("Pixels", pixels_id)
                self._keep(call, pixels, _longest(pixels, size))

    def thumbnailExists(self, call: Call, sizeX, sizeY) -> bool:
        pixels, size = self._with_pixels(), _size(sizeX, sizeY)
        with call.store.lock:
            return any((r["sizeX"], r["sizeY"]) == size for r in _kept(call, pixels))

    @staticmethod
    def _keep(call: Call, pixels: Record, size: tuple[int, int]) -> None:
        """Note that the caller has a thumbnail of this size."""
        with call.store.lock:
            kept = _kept(call, pixels)
            if not call.flags(pixels).annotate or any((r["sizeX"], r["sizeY"]) == size for r in kept):
                return
            values = {"pixels": pixels, "mimeType": "image/jpeg", "sizeX": size[0], "sizeY": size[1]}
            call.add("Thumbnail", values)

    # -- thumbnails made for this call only

    def getThumbnailDirect(self, call: Call, sizeX, sizeY) -> bytes:
        return _render(call, self._with_pixels(), self._with_settings(), _size(sizeX, sizeY))

    def getThumbnailByLongestSideDirect(self, call: Call, size) -> bytes:
        return _render(call, self._with_pixels(), self._with_settings(), _longest(self._pixels, size))

    def getThumbnailForSectionDirect(self, call: Call, theZ: int, theT: int, sizeX, sizeY) -> bytes:
        return self._section(call, theZ, theT, _size(sizeX, sizeY))

    def getThumbnailForSectionByLongestSideDirect(self, call: Call, theZ: int, theT: int, size) -> bytes:
        return self._section(call, theZ, theT, _longest(self._with_pixels(), size))

    def _section(self, call: Call, z: int, t: int, size: tuple[int, int]) -> bytes:
        pixels = self._with_pixels()
        if not (0 <= z < pixels["sizeZ"] and 0 <= t < pixels["sizeT"]):
            raise errors.api_usage(f"Z {z} or T {t} is outside the image.")
        return _render(call, pixels, self._with_settings(), size, z, t)


def _kept(call: Call, pixels: Record) -> list[Record]:
    found = call.store.collection(pixels, pixels.entity.fields["thumbnails"])
    return [r for r in found if r.owner is call.user]


def _size(size_x, size_y) -> tuple[int, int]:
    found = tuple(LONGEST if v is None else unwrap(v) for v in (size_x, size_y))
    if min(found) < 1:
        raise errors.api_usage(f"The size of a thumbnail must be positive: {found[0]} x {found[1]}")
    return found  # type: ignore[return-value]


def _longest(pixels: Record, size) -> tuple[int, int]:
    return display.thumbnail_size(pixels["sizeX"], pixels["sizeY"], _size(size, size)[0])


def _render(call: Call, pixels: Record, rdef: Record | None, size: tuple[int, int], z=None, t=None) -> bytes:
    data = open_pixels(call.core, pixels)
    with file_access():
        with call.store.lock:
            settings = Settings.of(call, rdef) if rdef is not None else display.default_settings(call, pixels)
        return display.thumbnail(settings, data.planes, size, z, t)
