"""RenderingEngine: planes in the colours of the rendering settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import omero
import omero.model
import omero.romio
from omero.rtypes import rint

from .. import display, errors
from ..display import ChannelSettings, Settings
from ..pixeldata import PixelData, open_pixels
from ..store import Record
from ..wiring import Loaded
from .pyramid import Pyramid, check_size, file_access

if TYPE_CHECKING:
    from ..context import Call


def loaded_settings(call: Call, rdef: Record) -> Loaded:
    """What belongs to a RenderingDef that is handed out."""
    loaded = Loaded()
    loaded.refs.update((rdef, n) for n in ("quantization", "model", "details.owner"))
    bindings = call.store.collection(rdef, rdef.entity.fields["waveRendering"])
    loaded.fetch_collection(rdef, "waveRendering", list(bindings))
    for binding in bindings:
        loaded.refs.add((binding, "family"))
        maps = call.store.collection(binding, binding.entity.fields["spatialDomainEnhancement"])
        loaded.fetch_collection(binding, "spatialDomainEnhancement", list(maps))
    return loaded


class RenderingEngine(Pyramid):
    """omero.api.RenderingEngine.

    Settings change here only; `saveCurrentSettings` writes them to the database.
    """

    exclusive = False

    def __init__(self) -> None:
        super().__init__()
        self._pixels: Record | None = None
        self._rdef: Record | None = None
        self._settings: Settings | None = None
        self._quality = 0.85

    # -- opening

    def lookupPixels(self, call: Call, pixelsId: int) -> None:
        self.discard()
        with call.store.lock:
            pixels = call.store.get("Pixels", pixelsId)
            if pixels is None or not call.visible(pixels):
                raise errors.validation(f"Pixels object with id {pixelsId} not found.")
            self._pixels = pixels

    def lookupRenderingDef(self, call: Call, pixelsId: int) -> bool:
        """Take the caller's settings of the image; false if there are none.

        Who could not save settings for the image sees it with those of its owner.
        """
        with call.store.lock:
            rdef = display.settings_for(call, self._with_pixels())
            if rdef is None:
                return False
            self._take(call, rdef)
        return True

    def loadRenderingDef(self, call: Call, renderingDefId: int) -> None:
        with call.store.lock:
            rdef = call.store.get("RenderingDef", renderingDefId)
            if rdef is None or not call.visible(rdef):
                raise errors.validation(f"No rendering definition exists with ID = {renderingDefId}")
            if rdef["pixels"]["sizeC"] != self._with_pixels()["sizeC"]:
                raise errors.validation(
                    f"The rendering definition {renderingDefId} is incompatible with the pixels set."
                )
            self._take(call, rdef)

    def _take(self, call: Call, rdef: Record) -> None:
        self._rdef, self._settings = rdef, Settings.of(call, rdef)

    def load(self, call: Call) -> None:
        self._with_pixels()
        self._with_settings()
        self.data = open_pixels(call.core, self._pixels)

    def discard(self) -> None:
        self.data = self._pixels = self._rdef = self._settings = None
        self.level = 0

    def _with_pixels(self) -> Record:
        if self._pixels is None:
            raise errors.api_usage("RenderingEngine not ready: Pixels object not set.")
        return self._pixels

    def _with_settings(self) -> Settings:
        if self._settings is None:
            raise errors.api_usage("RenderingEngine not ready: RenderingDef object not set.")
        return self._settings

    def ready(self) -> PixelData:
        self._with_settings()
        if self.data is None:
            raise errors.api_usage("RenderingEngine not ready: Pixels and rendering settings are not loaded.")
        return self.data

    def getRenderingDefId(self, call: Call) -> int:
        self._with_settings()
        return self._rdef.id

    def getPixels(self, call: Call):
        pixels = self._with_pixels()
        with call.store.lock:
            loaded = Loaded()
            loaded.refs.add((pixels, "pixelsType"))
            channels = call.store.collection(pixels, pixels.entity.fields["channels"])
            loaded.fetch_collection(pixels, "channels", list(channels))
            loaded.refs.update((c, n) for c in channels for n in ("logicalChannel", "statsInfo"))
            return call.wire(pixels, loaded)

    # -- rendering

    def render(self, call: Call, _def) -> omero.romio.RGBBuffer:
        colors = self._render(_def)
        check_size(call, colors.size)
        bands = [colors[..., n].tobytes() for n in range(3)]
        return omero.romio.RGBBuffer(bands, colors.shape[1], colors.shape[0])

    def renderAsPackedInt(self, call: Call, _def) -> list[int]:
        return _packed(call, self._render(_def))

    def renderCompressed(self, call: Call, _def) -> bytes:
        return display.jpeg(self._render(_def), self._quality)

    def renderProjectedAsPackedInt(self, call: Call, algorithm, timepoint, stepping, start, end) -> list[int]:
        return _packed(call, self._project(algorithm, timepoint, stepping, start, end))

    def renderProjectedCompressed(self, call: Call, algorithm, timepoint, stepping, start, end) -> bytes:
        return display.jpeg(self._project(algorithm, timepoint, stepping, start, end), self._quality)

    def _render(self, plane) -> np.ndarray:
        planes = self.ready().planes
        if plane.slice != omero.romio.XY:
            raise errors.internal("not implemented: RenderingEngine renders XY planes only")
        self._inside(plane.z, planes.size_z, "z")
        self._inside(plane.t, planes.size_t, "t")
        region = None
        if plane.region is not None:
            r = plane.region
            size_x, size_y = self.resolution[:2]
            # As on the server a region over the edge is cut.
            w, h = min(r.width, size_x - r.x), min(r.height, size_y - r.y)
            if r.x < 0 or r.y < 0 or w < 1 or h < 1:
                raise errors.wrapped(
                    "java.lang.RuntimeException", f"region {r.x}, {r.y}, {r.width}, {r.height} is outside"
                )
            region = (r.x, r.y, w, h)
        with file_access():
            read = display.read_active(self._settings, planes, plane.z, plane.t, region, self.level)
        return self._colors(read, region)

    def _project(self, algorithm, t: int, stepping: int, start: int, end: int) -> np.ndarray:
        planes = self.ready().planes
        kind = algorithm.value
        for z in (start, end):
            self._inside(z, planes.size_z, "z")
        self._inside(t, planes.size_t, "t")
        if stepping < 1 or start > end:
            raise errors.validation(f"A projection cannot go from Z {start} to {end} in steps of {stepping}")
        with file_access():
            read = display.project(self._settings, planes, kind, t, range(start, end + 1, stepping), self.level)
        return self._colors(read, None)

    def _colors(self, read: list, region) -> np.ndarray:
        if any(p is not None for p in read):
            return display.render(self._settings, read)
        width, height = region[2:] if region else self.resolution[:2]
        return np.zeros((height, width, 3), np.uint8)  # no channel is active

    @staticmethod
    def _inside(value: int, size: int, axis: str) -> None:
        if not 0 <= value < size:
            raise errors.wrapped("java.lang.RuntimeException", f"{axis} {value} is not in 0..{size - 1}")

    def setCompressionLevel(self, call: Call, percentage: float) -> None:
        if not 0 <= percentage <= 1:
            raise errors.validation(f"Compression level {percentage} is not between 0 and 1")
        self._quality = percentage

    def getCompressionLevel(self, call: Call) -> float:
        return self._quality

    # -- settings of the image

    def getDefaultZ(self, call: Call) -> int:
        return self._with_settings().z

    def getDefaultT(self, call: Call) -> int:
        return self._with_settings().t

    def setDefaultZ(self, call: Call, z: int) -> None:
        self._with_settings().z = z

    def setDefaultT(self, call: Call, t: int) -> None:
        self._with_settings().t = t

    def getModel(self, call: Call):
        return self._enumeration(call, "RenderingModel", self._with_settings().model)

    def setModel(self, call: Call, model) -> None:
        settings = self._with_settings()
        with call.store.lock:
            settings.model = call.read("RenderingModel", model.id.val)["value"]

    def getAvailableModels(self, call: Call) -> list:
        return self._enumerations(call, "RenderingModel")

    def getAvailableFamilies(self, call: Call) -> list:
        return self._enumerations(call, "Family")

    @staticmethod
    def _enumeration(call: Call, entity: str, value: str):
        with call.store.lock:
            return call.wire(call.enum(entity, value))

    @staticmethod
    def _enumerations(call: Call, entity: str) -> list:
        with call.store.lock:
            return [call.wire(r) for r in call.store.all(entity)]

    def getQuantumDef(self, call: Call):
        settings = self._with_settings()
        with call.store.lock:
            quantum = call.wire(self._rdef["quantization"])
        quantum.cdStart, quantum.cdEnd = rint(settings.cd_start), rint(settings.cd_end)
        quantum.bitResolution = rint(settings.bits)
        return quantum

    def setQuantumStrategy(self, call: Call, bitResolution: int) -> None:
        if bitResolution not in (1, 3, 7, 15, 31, 63, 127, 255):
            raise errors.validation(f"Bit resolution {bitResolution} is not 2^n - 1 for n from 1 to 8")
        self._with_settings().bits = bitResolution

    def setCodomainInterval(self, call: Call, start: int, end: int) -> None:
        if not 0 <= start < end <= 255:
            raise errors.validation(f"The interval {start}, {end} is not within 0, 255")
        settings = self._with_settings()
        settings.cd_start, settings.cd_end = start, end

    # -- settings of a channel

    def _channel(self, w: int) -> ChannelSettings:
        channels = self._with_settings().channels
        if not 0 <= w < len(channels):
            raise errors.wrapped("java.lang.ArrayIndexOutOfBoundsException", str(w))
        return channels[w]

    def isActive(self, call: Call, w: int) -> bool:
        return self._channel(w).active

    def setActive(self, call: Call, w: int, active: bool) -> None:
        self._channel(w).active = active

    def getChannelWindowStart(self, call: Call, w: int) -> float:
        return self._channel(w).start

    def getChannelWindowEnd(self, call: Call, w: int) -> float:
        return self._channel(w).end

    def setChannelWindow(self, call: Call, w: int, start: float, end: float) -> None:
        channel = self._channel(w)
        channel.start, channel.end = start, end

    def getRGBA(self, call: Call, w: int) -> list[int]:
        return list(self._channel(w).color)

    def setRGBA(self, call: Call, w: int, red: int, green: int, blue: int, alpha: int) -> None:
        if any(not 0 <= v <= 255 for v in (red, green, blue, alpha)):
            raise errors.validation(f"Colour {red}, {green}, {blue}, {alpha} is not within 0..255")
        self._channel(w).color = (red, green, blue, alpha)

    def getChannelFamily(self, call: Call, w: int):
        return self._enumeration(call, "Family", self._channel(w).family)

    def getChannelCurveCoefficient(self, call: Call, w: int) -> float:
        return self._channel(w).coefficient

    def getChannelNoiseReduction(self, call: Call, w: int) -> bool:
        return self._channel(w).noise_reduction

    def setQuantizationMap(self, call: Call, w: int, family, coefficient: float, noiseReduction: bool) -> None:
        channel = self._channel(w)
        with call.store.lock:
            channel.family = call.read("Family", family.id.val)["value"]
        channel.coefficient, channel.noise_reduction = coefficient, noiseReduction

    def getChannelLookupTable(self, call: Call, w: int) -> str:
        return self._channel(w).lookup_table

    def setChannelLookupTable(self, call: Call, w: int, lookup: str) -> None:
        self._channel(w).lookup_table = lookup or ""  # kept; there are no lookup tables here, the colour is used

    def getChannelStats(self, call: Call, w: int) -> list[float]:
        """Smallest and largest value of the channel."""
        self._channel(w)
        with call.store.lock:
            stats = call.store.collection(self._pixels, self._pixels.entity.fields["channels"])[w]["statsInfo"]
            if stats is None:
                return list(display.type_range(self._pixels["pixelsType"]["value"]))
            return [stats["globalMin"], stats["globalMax"]]

    def addCodomainMapToChannel(self, call: Call, mapCtx, w: int) -> None:
        self._reverse(mapCtx, w, True)

    def removeCodomainMapFromChannel(self, call: Call, mapCtx, w: int) -> None:
        self._reverse(mapCtx, w, False)

    def _reverse(self, context, w: int, value: bool) -> None:
        if not isinstance(context, omero.romio.ReverseIntensityMapContext):
            raise errors.internal("not implemented: only the map which reverses intensities is known")
        self._channel(w).reverse = value

    def getCodomainMapContext(self, call: Call, w: int) -> list:
        if not self._channel(w).reverse:
            return []
        context = omero.model.ReverseIntensityContextI()
        context.reverse = omero.rtypes.rbool(True)
        return [context]

    # -- saving and resetting

    def saveCurrentSettings(self, call: Call) -> None:
        settings = self._with_settings()
        with call.store.lock:
            # The settings of another user are not touched: the caller gets settings of their own.
            own = self._rdef if self._rdef.owner is call.user else display.settings_of(call, self._pixels)
            self._rdef = settings.save(call, self._pixels, own)

    def saveAsNewSettings(self, call: Call) -> int:
        settings = self._with_settings()
        with call.store.lock:
            return settings.save(call, self._pixels).id

    def resetDefaultSettings(self, call: Call, save: bool) -> int:
        pixels = self._with_pixels()
        with call.store.lock, file_access():
            settings = display.default_settings(call, pixels)
            own = display.settings_of(call, pixels)
            if not save:
                self._settings = settings
                return own.id if own is not None else -1
            rdef = settings.save(call, pixels, own)
            if self._settings is not None:
                self._rdef, self._settings = rdef, settings
            return rdef.id

    def updateSettings(self, call: Call, settings) -> None:
        """Take Z, T, windows and colours of a RenderingDef which the client holds."""
        mine = self._with_settings()
        mine.z, mine.t = settings.defaultZ.val, settings.defaultT.val
        for channel, binding in zip(mine.channels, settings.copyWaveRendering(), strict=False):
            channel.start, channel.end = binding.inputStart.val, binding.inputEnd.val
            channel.active = binding.active.val
            channel.color = (binding.red.val, binding.green.val, binding.blue.val, binding.alpha.val)

    # -- pixel type

    def isPixelsTypeSigned(self, call: Call) -> bool:
        return self._type_range()[0] < 0

    def getPixelsTypeLowerBound(self, call: Call, w: int) -> float:
        return self._type_range()[0]

    def getPixelsTypeUpperBound(self, call: Call, w: int) -> float:
        return self._type_range()[1]

    def _type_range(self) -> tuple[float, float]:
        return display.type_range(self._with_pixels()["pixelsType"]["value"])


def _packed(call: Call, colors: np.ndarray) -> list[int]:
    """Colours as 32-bit integers: alpha, red, green, blue."""
    check_size(call, colors.shape[0] * colors.shape[1] * 4)
    wide = colors.astype(np.uint32)
    return (
        (0xFF000000 | wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
        .astype(np.uint32)
        .view(np.int32)
        .ravel()
        .tolist()
    )
