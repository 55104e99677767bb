"""Results of a pipeline on their way into OMERO: images, masks, tables, and what they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from openhcs_backends.omero_complete import complete_run, is_complete
from openhcs_backends.omero_errors import as_storage_error
from openhcs_backends.omero_spool import PlaneSpool
from openhcs_core.omero.attachments import Records
from openhcs_core.omero.deletion import delete
from openhcs_core.omero.derived import NewImage, image_ids_of, save_images, source_facts, storable, well_ids_of
from openhcs_core.omero.masks import mask_rois, roi_ids_of, save_rois
from openhcs_core.omero.plates import load_targets
from openhcs_core.omero.provenance import PipelineRun, begin_run, find_run, now, results_exist, versions
from openhcs_core.omero.session import in_group
from openhcs_core.plate import PlaneAddress
from openhcs_core.settings import load_settings
from openhcs_core.storage.backend import Results, ResultWriter, StorageError
from openhcs_core.storage.checks import checked_planes, checked_table
from openhcs_core.storage.memory import append_rows

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway


@dataclass
class _Part:
    """Planes of one step, kind and site."""

    addresses: set[PlaneAddress] = field(default_factory=set)
    ranges: dict[int, tuple[float, float]] = field(default_factory=dict)
    dtypes: set[np.dtype] = field(default_factory=set)
    sizes: set[tuple[int, int]] = field(default_factory=set)

    def values(self, component: str) -> list[int]:
        """Those of a component, sorted."""
        return sorted({getattr(address, component) for address in self.addresses})


_OUTPUT_OF = {"image": "images", "labels": "masks"}
_Key = tuple[str, str, int]
"""Step, kind and site."""


class OMEROResults(ResultWriter):
    """Results of a plate of OMERO, which go where the plate is.

    The results of a well wait outside of OMERO until it is finished; then they are saved, and at last a record that
    says so. What an interrupted attempt has saved of a well is removed before.

    Parameters
    ----------
    conn : BlitzGateway
        Reading in all groups.
    results : Results
        Its location is the plate that was read.
    outputs : sequence of {"images", "masks", "tables"}
        What is saved.

    Attributes
    ----------
    resources : ExitStack
        Closed in the end.

    Raises
    ------
    StorageError
        If the user may not write there.
    """

    def __init__(self, conn: BlitzGateway, results: Results, outputs: Sequence[str]) -> None:
        self._conn, self._results, self._outputs, self.resources = conn, results, outputs, ExitStack()
        if not results.layout.source_ids:
            raise StorageError("omero_local takes results of plates in OMERO only. Save to another backend.")
        self._targets = load_targets(conn, results.location)
        groups = {target.getDetails().getGroup().getId() for target in self._targets}
        if len(groups) > 1:
            raise StorageError(f"{results.location} is of {len(groups)} groups of OMERO. Run on one group at a time.")
        self._context = in_group(conn, groups.pop())
        self._run = self._begin() if results.in_parent else self._found()
        assert self._run.annotation_id is not None
        self._records = Records(conn, self._run.annotation_id, self._context)
        self._spool = PlaneSpool(load_settings().scratch)
        self._well: str | None = None
        self._parts: dict[_Key, _Part] = {}
        self._tables: dict[str, dict[str, list[Any]]] = {}

    def finished_wells(self) -> set[str]:
        with as_storage_error():
            found = set(self._records.files())
            return found | set(self._run.wells) if is_complete(self._run, self._results) else found

    def begin_well(self, well: str) -> None:
        self._well = well
        self._parts, self._tables = {}, {}
        self._spool.clear()

    def save_batch(
        self,
        data_list: Sequence[np.ndarray],
        file_paths: Sequence[str],
        *,
        step_name: str,
        kind: str = "image",
        **kwargs: Any,
    ) -> None:
        for address, plane in checked_planes(data_list, file_paths, step_name, kind):
            self._take(address.well)
            if _OUTPUT_OF[kind] not in self._outputs:
                continue
            part = self._parts.setdefault((step_name, kind, address.site), _Part())
            part.addresses.add(address)
            part.dtypes.add(plane.dtype)
            part.sizes.add(plane.shape)
            low, high = part.ranges.get(address.channel, (np.inf, -np.inf))
            with np.errstate(invalid="ignore"):
                part.ranges[address.channel] = (min(low, float(plane.min())), max(high, float(plane.max())))
            self._spool.add((step_name, kind, address), plane)

    def save_table(self, table: Mapping[str, Sequence[Any]], well: str, *, step_name: str) -> None:
        self._take(well)
        if "tables" in self._outputs:
            append_rows(self._tables.setdefault(step_name, {}), checked_table(table, step_name))

    def finish_well(self, well: str) -> None:
        self._take(well)
        with as_storage_error(f"{well}: "):
            self._remove_leftovers(well)
            images = self._save_images(well)
            masks = self._save_masks(well, images)
            self._records.save(
                well,
                {
                    "images": [[step, site, number] for (step, site), number in images.items()],
                    "masks": masks,
                    "tables": self._tables,
                },
            )
        self.begin_well(well)
        self._well = None

    def finish(self, wells: Sequence[str]) -> list[str]:
        with as_storage_error():
            self._run, statements = complete_run(
                self._conn, self._results, self._run, self._targets, self._records, wells, self._context
            )
        return statements

    def close(self) -> None:
        self._spool.close()
        self.resources.close()

    def _take(self, well: str) -> None:
        if self._well != well:
            self.begin_well(well)

    # -- the run

    def _begin(self) -> PipelineRun:
        """The run of an earlier attempt, if it can be gone on with, else a new one; also the proof of rights."""
        for target in self._targets:
            if not target.canAnnotate():
                raise StorageError(
                    f"You may not add results to {target.OMERO_CLASS}:{target.getId()} of "
                    f"{target.getOwnerOmeName()} in the group '{target.getDetails().getGroup().getName()}', so nothing "
                    "was computed. Ask its owner or the leader of the group, or work on a copy of your own."
                )
        known = find_run(self._conn, self._results.run)
        if known is not None and results_exist(self._conn, known):
            return known
        facts = {**versions(), **self._results.metadata, "Outputs": " ".join(self._outputs)}
        run = PipelineRun(self._results.run, self._results.pipeline, self._results.location, started=now(), facts=facts)
        return begin_run(self._conn, run, self._targets, self._context)

    def _found(self) -> PipelineRun:
        known = find_run(self._conn, self._results.run)
        if known is None:
            raise StorageError("The run was not begun in OMERO: its annotation is missing.")
        return known

    # -- one well

    def _remove_leftovers(self, well: str) -> None:
        sources = [number for (name, _), number in self._results.layout.source_ids.items() if name == well]
        assert self._run.annotation_id is not None
        images = image_ids_of(self._conn, self._run.annotation_id, f"{self._run.maker}: {well} ", self._context)
        found = {
            "OriginalFile": self._records.files(complete=False).get(well, []),
            "Roi": roi_ids_of(self._conn, sources, self._run.maker, self._context),
            "Well": well_ids_of(self._conn, images, self._context),
            "Image": images,
        }
        delete(self._conn, found, self._context)

    def _save_images(self, well: str) -> dict[tuple[str, int], int]:
        wanted = [key for key in sorted(self._parts) if key[1] == "image"]
        wanted += [key for key in sorted(self._parts) if key[1] == "labels" and self._home(key) is None]
        sources = self._results.layout.source_ids
        facts = source_facts(self._conn, [sources[well, site] for *_, site in wanted], self._context)
        images = [self._new_image(well, key, *facts[sources[well, key[2]]]) for key in wanted]
        assert self._run.annotation_id is not None
        ids = save_images(self._conn, images, self._run.annotation_id, self._context)
        return {(_title(step, kind), site): number for (step, kind, site), number in zip(wanted, ids, strict=True)}

    def _new_image(self, well: str, key: _Key, name: str, acquired: int | None) -> NewImage:
        step, kind, site = key
        part, layout = self._parts[key], self._results.layout
        if len(part.sizes) > 1:
            raise StorageError(
                f"Step '{step}' gives planes of several sizes in field {site}: {sorted(part.sizes)}. An image of "
                "OMERO has one size; save them by separate steps."
            )
        ((height, width),) = part.sizes
        channels, zs, ts = (part.values(component) for component in ("channel", "z_index", "timepoint"))
        z_um, y_um, x_um = layout.voxel_size_um
        # A mosaic keeps the size of pixels; of what is smaller nobody knows whether it was cut or scaled.
        keeps = height >= layout.size_yx[0] and width >= layout.size_yx[1]

        def read(t: int, c: int, z: int) -> np.ndarray | None:
            return self._spool.read((step, kind, PlaneAddress(well, site, channels[c], zs[z], ts[t])))

        source = f"Image:{layout.source_ids[well, site]}"
        return NewImage(
            name=name,
            description=f"{self._run.maker}: {well} field {site} of {self._results.location} ({source}), step '{step}'",
            shape=(len(ts), len(channels), len(zs), height, width),
            dtype=storable(sorted(part.dtypes, key=str)),
            channels=[layout.channels[channel - 1] for channel in channels],
            ranges=[tuple(np.nan_to_num(part.ranges[channel])) for channel in channels],
            voxel_size_um=(z_um if len(zs) > 1 else None, *((y_um, x_um) if keeps else (None, None))),
            read=read,
            acquired=acquired,
        )

    def _home(self, key: _Key) -> str | None:
        """Where masks of labels go: "" is the source, else a step whose image has their size; None if there is none."""
        part = self._parts[key]
        if part.sizes == {self._results.layout.size_yx}:
            return ""
        for step, kind, site in sorted(self._parts):
            other = self._parts[step, kind, site]
            holds = all(set(part.values(axis)) <= set(other.values(axis)) for axis in ("z_index", "timepoint"))
            if kind == "image" and site == key[2] and other.sizes == part.sizes and holds:
                return step
        return None

    def _save_masks(self, well: str, images: Mapping[tuple[str, int], int]) -> dict[str, int]:
        """Put masks onto images; return how many objects each step has."""
        counts: dict[str, int] = {}
        layout = self._results.layout
        for key in sorted(key for key in self._parts if key[1] == "labels"):
            step, _, site = key
            home, part = self._home(key), self._parts[key]
            if home == "":
                image, zs, ts = layout.source_ids[well, site], None, None
            else:
                title = _title(step, "labels") if home is None else home
                own = part if home is None else self._parts[home, "image", site]
                image, zs, ts = images[title, site], own.values("z_index"), own.values("timepoint")
            # One section of a stack is what became of all sections, as a rule: a projection.
            everywhere = home == "" and len(part.values("z_index")) < 2 <= len(layout.values("z_index", well))
            counts.setdefault(step, 0)
            for channel in part.values("channel"):
                planes = {}
                for address in part.addresses:
                    z = None if everywhere else _index(address.z_index, zs)
                    plane = self._spool.read((step, "labels", address)) if address.channel == channel else None
                    if plane is not None:
                        planes[z, _index(address.timepoint, ts)] = plane
                name = step if len(part.ranges) == 1 else f"{step} {layout.channels[channel - 1].name}"
                rois = mask_rois(planes, image, name, self._run.maker)
                counts[step] += save_rois(self._conn, rois, self._context)
        return counts


def _title(step: str, kind: str) -> str:
    return step if kind == "image" else f"{step} labels"


def _index(number: int, values: list[int] | None) -> int:
    """From 0: in the source by its number, in a derived image by its place there."""
    return number - 1 if values is None else values.index(number)
