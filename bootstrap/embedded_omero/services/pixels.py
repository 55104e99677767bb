"""IPixels: descriptions of pixels, new and copied images, enumerations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import omero
from omero.rtypes import rlong

from .. import display, errors
from ..hql import answers
from ..pixeldata import NOT_WRITTEN
from ..saving import Save
from ..store import Record
from .rendering import loaded_settings

if TYPE_CHECKING:
    from ..context import Call

_DESCRIPTION = (
    "select p from Pixels as p left outer join fetch p.pixelsType left outer join fetch p.channels as c "
    "left outer join fetch c.logicalChannel as lc left outer join fetch c.statsInfo "
    "left outer join fetch lc.photometricInterpretation left outer join fetch lc.illumination "
    "left outer join fetch lc.mode left outer join fetch lc.contrastMethod where p.id = :id"
)
_COPIED = ("dimensionOrder", "pixelsType", "physicalSizeX", "physicalSizeY", "physicalSizeZ", "significantBits",
           "timeIncrement", "waveStart", "waveIncrement")  # fmt: skip


class Pixels:
    """omero.api.IPixels."""

    def retrievePixDescription(self, call: Call, pixId: int):
        params = omero.sys.ParametersI()
        params.addId(rlong(pixId))
        return answers.find_one(call, _DESCRIPTION, params)

    # -- rendering settings

    def retrieveRndSettings(self, call: Call, pixId: int):
        return self._settings(call, pixId, call.user)

    def retrieveRndSettingsFor(self, call: Call, pixId: int, userId: int):
        return self._settings(call, pixId, call.store.get("Experimenter", userId))

    def _settings(self, call: Call, pixels_id: int, user: Record | None):
        pixels = self._visible(call, pixels_id)
        rdef = display.settings_of(call, pixels, user) if pixels is not None and user is not None else None
        return None if rdef is None else call.wire(rdef, loaded_settings(call, rdef))

    def retrieveAllRndSettings(self, call: Call, pixId: int, userId: int) -> list:
        """Settings of one user, or of all with -1."""
        pixels = self._visible(call, pixId)
        if pixels is None:
            return []
        found = [r for r in call.store.collection(pixels, pixels.entity.fields["settings"]) if call.visible(r)]
        return [
            call.wire(r, loaded_settings(call, r))
            for r in found
            if userId < 0 or (r.owner is not None and r.owner.id == userId)
        ]

    def loadRndSettings(self, call: Call, renderingSettingsId: int):
        rdef = call.store.get("RenderingDef", renderingSettingsId)
        if rdef is None or not call.visible(rdef):
            return None
        return call.wire(rdef, loaded_settings(call, rdef))

    def saveRndSettings(self, call: Call, rndSettings) -> None:
        Save(call).save(rndSettings)

    @staticmethod
    def _visible(call: Call, pixels_id: int) -> Record | None:
        pixels = call.store.get("Pixels", pixels_id)
        return pixels if pixels is not None and call.visible(pixels) else None

    # -- enumerations

    def getBitDepth(self, call: Call, type) -> int:
        if type is None:
            raise errors.api_usage("The pixels type is null.")
        return call.read("PixelsType", type.id.val)["bitSize"]

    def getEnumeration(self, call: Call, enumClass: str, value: str):
        return call.wire(call.store.find(self._enumeration(call, enumClass), value=value))

    def getAllEnumerations(self, call: Call, enumClass: str) -> list:
        return [call.wire(r) for r in call.store.all(self._enumeration(call, enumClass))]

    @staticmethod
    def _enumeration(call: Call, name: str):
        entity = call.store.model.get(name or "")
        if entity is None or not entity.is_global or "value" not in entity.fields:
            raise errors.api_usage(f"{name} does not specify a valid class.")
        return entity

    # -- new images

    def createImage(self, call: Call, sizeX, sizeY, sizeZ, sizeT, channelList, pixelsType, name: str, description: str):
        if not channelList:
            raise errors.validation("Channel list must be filled.")
        sizes = {"sizeX": sizeX, "sizeY": sizeY, "sizeZ": sizeZ, "sizeC": len(channelList), "sizeT": sizeT}
        _check_sizes(sizes)
        if pixelsType is None:
            raise errors.validation(
                "not-null property references a null or transient value: ome.model.core.Pixels.pixelsType"
            )
        kind = call.read("PixelsType", pixelsType.id.val)
        image = call.add("Image", {"name": name, "description": description or None, "series": 0})
        order = call.enum("DimensionOrder", "XYZCT")
        pixels = call.add(
            "Pixels", {"image": image, "pixelsType": kind, "dimensionOrder": order, "sha1": NOT_WRITTEN, **sizes}
        )
        for _ in channelList:
            call.add("Channel", {"pixels": pixels, "logicalChannel": call.add("LogicalChannel")})
        return rlong(image.id)

    def copyAndResizeImage(
        self, call: Call, imageId, sizeX, sizeY, sizeZ, sizeT, channelList, methodology: str, copyStats: bool
    ):
        """A new image like another one, without its planes; sizes which are null stay."""
        source = call.read("Image", imageId)
        pixels = _primary(call, source)
        sizes = _sizes(pixels, sizeX, sizeY, sizeZ, sizeT, channelList)
        name = methodology or f"{source['name']}copy"
        values = {
            n: source[n] for n in ("instrument", "objectiveSettings", "imagingEnvironment", "stageLabel", "experiment")
        }
        image = call.add("Image", {"name": name, "series": 0, **{n: v for n, v in values.items() if v is not None}})
        _copy(call, pixels, image, sizes, channelList, copyStats)
        return rlong(image.id)

    def copyAndResizePixels(
        self, call: Call, pixelsId, sizeX, sizeY, sizeZ, sizeT, channelList, methodology: str, copyStats: bool
    ):
        """More pixels of the same image, without planes."""
        pixels = call.read("Pixels", pixelsId)
        if not call.flags(pixels["image"]).edit:
            raise errors.security(f"Updating ome.model.core.Image:Id_{pixels['image'].id} not allowed.")
        sizes = _sizes(pixels, sizeX, sizeY, sizeZ, sizeT, channelList)
        made = _copy(call, pixels, pixels["image"], sizes, channelList, copyStats)
        if methodology:
            call.store.set(made, "methodology", methodology)
        return rlong(made.id)

    def setChannelGlobalMinMax(self, call: Call, pixelsId: int, channelIndex: int, min: float, max: float) -> None:
        pixels = call.read("Pixels", pixelsId)
        channels = call.store.collection(pixels, pixels.entity.fields["channels"])
        if not 0 <= channelIndex < len(channels):
            raise errors.wrapped("java.lang.IndexOutOfBoundsException", f"Index {channelIndex} of {len(channels)}")
        channel = channels[channelIndex]
        if not call.flags(channel).edit:
            raise errors.security(f"Updating ome.model.core.Channel:Id_{channel.id} not allowed.")
        values = {"globalMin": min, "globalMax": max}
        stats = channel["statsInfo"]
        if stats is None:
            call.change(channel, "statsInfo", call.add("StatsInfo", values))
            return
        for name, value in values.items():
            call.change(stats, name, value)


def _check_sizes(sizes: dict[str, int]) -> None:
    for name, value in sizes.items():
        if value < 1:
            raise errors.api_usage(f"values of Pixels.{name} must be strictly positive")


def _primary(call: Call, image: Record) -> Record:
    found = call.store.collection(image, image.entity.fields["pixels"])
    if not found:
        raise errors.validation(f"Image {image.id} has no pixels")
    return found[0]


def _sizes(pixels: Record, x, y, z, t, channels: list[int]) -> dict[str, int]:
    if not channels:
        raise errors.validation("Channel list must be filled.")
    if any(not 0 <= c < pixels["sizeC"] for c in channels):
        raise errors.validation(f"Channel index out of bounds: {list(channels)} of {pixels['sizeC']} channels")
    given = {"sizeX": x, "sizeY": y, "sizeZ": z, "sizeT": t}
    sizes = {n: pixels[n] if v is None else v.val for n, v in given.items()} | {"sizeC": len(channels)}
    _check_sizes(sizes)
    return sizes


def _copy(call: Call, source: Record, image: Record, sizes: dict[str, int], channels: list[int], stats: bool) -> Record:
    """New Pixels with the description of others; channels share their logical channels."""
    values = {n: source[n] for n in _COPIED if source[n] is not None}
    pixels = call.add("Pixels", {"image": image, "relatedTo": source, "sha1": NOT_WRITTEN, **values, **sizes})
    old = call.store.collection(source, source.entity.fields["channels"])
    for index in channels:
        channel = call.add("Channel", {"pixels": pixels, "logicalChannel": old[index]["logicalChannel"]})
        limits = old[index]["statsInfo"]
        if stats and limits is not None:
            copied = {n: limits[n] for n in ("globalMin", "globalMax")}
            call.store.set(channel, "statsInfo", call.add("StatsInfo", copied))
    return pixels
