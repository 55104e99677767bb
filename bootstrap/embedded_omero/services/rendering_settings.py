"""IRenderingSettings: rendering settings of many images at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .. import display, errors
from ..display import Settings
from ..store import Record
from .pyramid import file_access
from .rendering import loaded_settings

if TYPE_CHECKING:
    from ..context import Call

# From a container to what is in it: the collection, then the reference of its elements ("" for these themselves).
_INSIDE = {
    "Project": [("datasetLinks", "child")],
    "Dataset": [("imageLinks", "child")],
    "Screen": [("plateLinks", "child")],
    "Plate": [("wells", "")],
    "Well": [("wellSamples", "image")],
    "PlateAcquisition": [("wellSample", "image")],
    "Image": [("pixels", "")],
}


class RenderingSettings:
    """omero.api.IRenderingSettings; what is changed are always the caller's own settings."""

    def getRenderingSettings(self, call: Call, pixelsId: int):
        pixels = call.read("Pixels", pixelsId)
        rdef = display.settings_of(call, pixels)
        return None if rdef is None else call.wire(rdef, loaded_settings(call, rdef))

    def sanityCheckPixels(self, call: Call, pFrom, pTo) -> bool:
        one, two = (call.read("Pixels", p.id.val) for p in (pFrom, pTo))
        return _compatible(one, two)

    # -- defaults

    def resetDefaultsInImage(self, call: Call, imageId: int) -> None:
        self._reset(call, _pixels(call, "Image", [imageId]), True)

    def resetDefaultsForPixels(self, call: Call, pixelsId: int) -> None:
        self._reset(call, _pixels(call, "Pixels", [pixelsId]), True)

    def resetDefaultsInDataset(self, call: Call, datasetId: int) -> list[int]:
        return self.resetDefaultsInSet(call, "Dataset", [datasetId])

    def resetDefaultsInSet(self, call: Call, type: str, nodeIds: list[int]) -> list[int]:
        return self._reset(call, _pixels(call, type, nodeIds), True)

    def resetMinMaxInSet(self, call: Call, type: str, nodeIds: list[int]) -> list[int]:
        return self._reset(call, _pixels(call, type, nodeIds), True)

    def setOriginalSettingsInImage(self, call: Call, imageId: int) -> None:
        self._reset(call, _pixels(call, "Image", [imageId]), False)

    def setOriginalSettingsForPixels(self, call: Call, pixelsId: int) -> None:
        self._reset(call, _pixels(call, "Pixels", [pixelsId]), False)

    def setOriginalSettingsInDataset(self, call: Call, datasetId: int) -> list[int]:
        return self.setOriginalSettingsInSet(call, "Dataset", [datasetId])

    def setOriginalSettingsInSet(self, call: Call, type: str, nodeIds: list[int]) -> list[int]:
        return self._reset(call, _pixels(call, type, nodeIds), False)

    def resetDefaultsByOwnerInSet(self, call: Call, type: str, nodeIds: list[int]) -> list[int]:
        """Take over the settings of the owners of the images."""
        changed = []
        for pixels in _pixels(call, type, nodeIds):
            owners = display.settings_of(call, pixels, pixels.owner)
            if owners is not None:
                Settings.of(call, owners).save(call, pixels, display.settings_of(call, pixels))
                changed.append(pixels["image"].id)
        return changed

    @staticmethod
    def _reset(call: Call, all_pixels: Iterable[Record], from_plane: bool) -> list[int]:
        """Images whose settings are the defaults now."""
        changed = []
        for pixels in all_pixels:
            with file_access():
                settings = display.default_settings(call, pixels, from_plane=from_plane)
            settings.save(call, pixels, display.settings_of(call, pixels))
            changed.append(pixels["image"].id)
        return changed

    # -- copying settings

    def applySettingsToImage(self, call: Call, _from: int, to: int) -> bool:
        return bool(self._apply(call, _from, _pixels(call, "Image", [to]))[True])

    def applySettingsToPixels(self, call: Call, _from: int, to: int) -> bool:
        return bool(self._apply(call, _from, _pixels(call, "Pixels", [to]))[True])

    def applySettingsToImages(self, call: Call, _from: int, to: list[int]) -> dict[bool, list[int]]:
        return self._apply(call, _from, _pixels(call, "Image", to))

    def applySettingsToDataset(self, call: Call, _from: int, to: int) -> dict[bool, list[int]]:
        return self._apply(call, _from, _pixels(call, "Dataset", [to]))

    def applySettingsToProject(self, call: Call, _from: int, to: int) -> dict[bool, list[int]]:
        return self._apply(call, _from, _pixels(call, "Project", [to]))

    def applySettingsToSet(self, call: Call, _from: int, toType: str, nodeIds: list[int]) -> dict[bool, list[int]]:
        return self._apply(call, _from, _pixels(call, toType, nodeIds))

    @staticmethod
    def _apply(call: Call, source_id: int, targets: Iterable[Record]) -> dict[bool, list[int]]:
        """Ids of images which took the settings of ``source_id`` (pixels), and of those which do not fit."""
        source = call.read("Pixels", source_id)
        rdef = display.settings_of(call, source) or display.settings_of(call, source, source.owner)
        answer: dict[bool, list[int]] = {True: [], False: []}
        for pixels in targets:
            fits = rdef is not None and _compatible(source, pixels)
            if fits and pixels is not source:
                settings = Settings.of(call, rdef)
                settings.z, settings.t = min(settings.z, pixels["sizeZ"] - 1), min(settings.t, pixels["sizeT"] - 1)
                settings.save(call, pixels, display.settings_of(call, pixels))
            answer[fits].append(pixels["image"].id)
        return answer


def _compatible(one: Record, two: Record) -> bool:
    return one["pixelsType"] is two["pixelsType"] and one["sizeC"] == two["sizeC"]


def _pixels(call: Call, type_name: str, ids: list[int]) -> Iterator[Record]:
    """Pixels of the images in containers."""
    entity = call.store.model.get(type_name or "")
    if entity is None or (entity.name != "Pixels" and entity.name not in _INSIDE):
        raise errors.api_usage(f"{type_name} is no class which holds images.")
    seen: set[Record] = set()
    for id in ids:
        for pixels in _below(call, call.read(entity.name, id)):
            if pixels not in seen:
                seen.add(pixels)
                yield pixels


def _below(call: Call, record: Record) -> Iterator[Record]:
    if record.entity.name == "Pixels":
        yield record
        return
    for collection, reference in _INSIDE[record.entity.name]:
        for element in call.store.collection(record, record.entity.fields[collection]):
            inner = element[reference] if reference else element
            if inner is not None and call.visible(inner):
                yield from _below(call, inner)
