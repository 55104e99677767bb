"""IRoi: regions of interest with their shapes."""

from __future__ import annotations

from collections.abc import Callable

import omero
import omero.api

from ..context import Call
from ..hql.params import filter_page
from ..store import Record
from ..wiring import Loaded


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
