"""IRoi: regions of interest with their shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import omero
import omero.api

from .. import errors
from ..context import Call
from ..hql.params import filter_page
from ..pixeldata import open_pixels
from ..shapes import pixels_of
from ..store import Record
from ..wiring import Loaded
from .pyramid import file_access


class Rois:
    """omero.api.IRoi."""

    def findByImage(self, call: Call, imageId: int, opts: omero.api.RoiOptions | None) -> omero.api.RoiResult:
        return self._result(call, self._of_image(call, imageId), opts)

    def findByRoi(self, call: Call, roiId: int, opts: omero.api.RoiOptions | None) -> omero.api.RoiResult:
        roi = call.store.get("Roi", roiId)
        return self._result(call, [roi] if roi is not None else [], opts)

    def findByPlane(
        self, call: Call, imageId: int, z: int, t: int, opts: omero.api.RoiOptions | None
    ) -> omero.api.RoiResult:
        def on_plane(shape: Record) -> bool:
            return shape["theZ"] in (None, z) and shape["theT"] in (None, t)

        rois = [r for r in self._of_image(call, imageId) if any(map(on_plane, self._shapes(call, r)))]
        return self._result(call, rois, opts, on_plane)

    # -- statistics

    def getPoints(self, call: Call, shapeId: int) -> omero.api.ShapePoints:
        points = pixels_of(call.read("Shape", shapeId))
        return omero.api.ShapePoints(points[:, 0].tolist(), points[:, 1].tolist())

    def getShapeStats(self, call: Call, shapeId: int) -> omero.api.ShapeStats:
        return self.getShapeStatsList(call, [shapeId])[0]

    def getShapeStatsList(self, call: Call, shapeIdList: list[int]) -> list[omero.api.ShapeStats]:
        """Statistics over all planes on which the shapes are."""
        return [_stats(call, call.read("Shape", id)) for id in shapeIdList]

    def getShapeStatsRestricted(
        self, call: Call, shapeIdList: list[int], zForUnattached: int, tForUnattached: int, channels: list[int]
    ) -> list[omero.api.ShapeStats]:
        """Statistics over one plane: that of the shape or, where it has none, the given one."""
        plane = (zForUnattached, tForUnattached)
        return [_stats(call, call.read("Shape", id), plane, channels) for id in shapeIdList]

    # -- what is found

    @staticmethod
    def _of_image(call: Call, image_id: int) -> list[Record]:
        image = call.store.get("Image", image_id)
        return list(call.store.where("Roi", image=image)) if image is not None else []

    @staticmethod
    def _shapes(call: Call, roi: Record) -> list[Record]:
        return call.store.collection(roi, roi.entity.fields["shapes"])

    def _result(
        self,
        call: Call,
        rois: list[Record],
        opts: omero.api.RoiOptions | None,
        wanted: Callable[[Record], bool] = lambda shape: True,
    ) -> omero.api.RoiResult:
        """What was found, by id, as far as the options and the caller's rights go."""
        opts = opts or omero.api.RoiOptions()
        rois = [r for r in rois if call.visible(r)]
        if opts.userId is not None:
            rois = [r for r in rois if r.owner.id == opts.userId.val]
        if opts.groupId is not None:
            rois = [r for r in rois if r.group.id == opts.groupId.val]
        rois.sort(key=lambda r: r.id)
        offset, limit = filter_page(opts)
        rois = rois[offset : None if limit is None else offset + limit]
        loaded = Loaded()
        for roi in rois:
            loaded.fetch_collection(roi, "shapes", [s for s in self._shapes(call, roi) if wanted(s)])
            folders = call.store.collection(roi, roi.entity.fields["folderLinks"])
            loaded.collections[(roi, "folderLinks")] = [f for f in folders if call.visible(f)]
        graph = call.graph(loaded)
        return omero.api.RoiResult(opts, [graph.wire(r) for r in rois])


def _stats(
    call: Call, shape: Record, plane: tuple[int, int] | None = None, channels: list[int] | None = None
) -> omero.api.ShapeStats:
    """Statistics of the pixels under a shape, one value for each channel; pixels outside the image do not count."""
    image = shape["roi"]["image"]
    pixels = call.store.collection(image, image.entity.fields["pixels"])[0]
    data = open_pixels(call.core, pixels)
    if data.large:
        raise errors.api_usage(f"{image!r} is too large for statistics of shapes")
    planes = data.planes
    z, t = plane or (None, None)
    zs, ts = _indices(shape["theZ"], z, planes.size_z), _indices(shape["theT"], t, planes.size_t)
    cs = channels or _indices(shape["theC"], None, planes.size_c)
    for axis, indices, size in (("Z", zs, planes.size_z), ("T", ts, planes.size_t), ("C", cs, planes.size_c)):
        if any(not 0 <= i < size for i in indices):
            raise errors.api_usage(f"{axis} of {shape!r} is outside the image: {list(indices)}")
    x, y = pixels_of(shape).T
    seen = (x >= 0) & (x < planes.size_x) & (y >= 0) & (y < planes.size_y)
    x, y = x[seen], y[seen]
    rows = call.store.collection(pixels, pixels.entity.fields["channels"])
    stats = omero.api.ShapeStats(shape.id, [rows[c]["logicalChannel"].id for c in cs], [], [], [], [], [], [])
    with file_access():
        for c in cs:
            values = np.concatenate([planes.plane(z, c, t)[y, x] for z in zs for t in ts]).astype(float)
            stats.pointsCount.append(len(values))
            stats.min.append(float(values.min(initial=np.inf)) if len(values) else 0.0)
            stats.max.append(float(values.max(initial=-np.inf)) if len(values) else 0.0)
            stats.sum.append(float(values.sum()))
            stats.mean.append(float(values.mean()) if len(values) else 0.0)
            stats.stdDev.append(float(values.std(ddof=1)) if len(values) > 1 else 0.0)
    return stats


def _indices(own: int | None, given: int | None, size: int) -> Sequence[int]:
    """Where a shape is along one axis: at an index of its own, else at the given one, else everywhere."""
    index = given if own is None else own
    return range(size) if index is None else [index]
