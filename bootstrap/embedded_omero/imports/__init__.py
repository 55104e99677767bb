"""Importing images into the embedded OMERO, with the records and files which a server makes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import omero

from ..context import Call
from ..store import Record
from .errors import ImportFailed

if TYPE_CHECKING:
    from ..core import Core
    from .plate import Wells

__all__ = ["ImportFailed", "ImportResult", "import_files", "import_plate"]

AnyPath = str | os.PathLike


@dataclass
class ImportResult:
    """What was imported: ids of the fileset, of its images in the order of the file, and of the plate."""

    fileset_id: int
    image_ids: list[int]
    plate_id: int | None = None


def import_files(
    core: Core,
    paths: AnyPath | Iterable[AnyPath],
    *,
    user: str | None = None,
    group: str | None = None,
    dataset: int | str | None = None,
    project: int | str | None = None,
    screen: int | str | None = None,
    name: str | None = None,
    description: str | None = None,
    transfer: str = "copy",
) -> list[ImportResult]:
    """Import TIFF, ImageJ and OME-TIFF files.

    Every file becomes a fileset; files to which another one refers belong to its fileset.

    Parameters
    ----------
    core : Core
    paths : path or iterable of paths
    user, group : str, optional
        Who imports, and into which group; root and the user's default group unless given.
    dataset, project, screen : int or str, optional
        Where the images, or the plates, go: an id, or a name which is made if the user has none such in the group. A
        project needs a dataset, to which it is linked.
    name, description : str, optional
        Replace those of the file.
    transfer : {"copy", "ln_s"}
        Whether files are copied or linked.

    Returns
    -------
    list of ImportResult
        One for each fileset.

    Raises
    ------
    ImportFailed
        If a file cannot be imported. Nothing of that file is left; files before it stay imported.
    """
    from .build import import_placed
    from .place import place
    from .tiff import read_structure

    sources = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    if not sources:
        raise ImportFailed("No file to import was given.")
    with _importer(core, user, group) as call:
        targets = _Targets(call, dataset, project, screen)
        _check_transfer(transfer)
        results = []
        done: set[Path] = set()
        for source in sources:
            path = Path(source).absolute()
            if path in done:
                continue
            structure = read_structure(path)
            targets.check(path, bool(structure.plates))
            for file in structure.files:
                if not file.is_file():
                    raise ImportFailed(f"{file} does not exist, but {path} needs it.")
            done.update(structure.files)
            placed = place(call, structure.files, transfer)
            fileset, images, plates = import_placed(call, placed, transfer=transfer, name=name, description=description)
            targets.link(images, plates)
            results.append(ImportResult(fileset.id, [i.id for i in images], plates[0].id if plates else None))
        return results


def import_plate(
    core: Core,
    wells: Wells | AnyPath,
    *,
    pattern: str | None = None,
    name: str = "Plate",
    channels: list[str] | None = None,
    user: str | None = None,
    group: str | None = None,
    screen: int | str | None = None,
    description: str | None = None,
    transfer: str = "copy",
) -> ImportResult:
    """Import single files as one plate, with one file for each channel of each field of view.

    The fileset holds the files as they are and an OME-XML companion file which says what they mean.

    Parameters
    ----------
    core : Core
    wells : mapping or path
        Well ("B03") -> fields -> one file for each channel; or a folder, with ``pattern``.
    pattern : str, optional
        Regular expression for names of files with the groups ``channel``, ``well`` and ``field``; see
        `plate.find_wells`.
    name : str
        Of the plate; images are called "<name> [<well> field <n>]".
    channels : list of str, optional
        Names of the channels; those which the pattern finds unless given.
    user, group, screen, description, transfer
        As for `import_files`.

    Raises
    ------
    ImportFailed
        If files are missing or do not fit each other. Nothing is left then.
    """
    from .build import import_placed
    from .place import place
    from .plate import companion, find_wells

    if isinstance(wells, (str, os.PathLike)):
        if pattern is None:
            raise ImportFailed("A folder of a plate needs a pattern for the names of its files.")
        wells, found = find_wells(Path(wells).absolute(), pattern)
        channels = channels or found
    located = {w: [[Path(f).absolute() for f in files] for files in fields] for w, fields in wells.items()}
    with _importer(core, user, group) as call:
        targets = _Targets(call, None, None, screen)
        _check_transfer(transfer)
        sidecar, text, files = companion(located, name, channels)
        placed = place(call, [sidecar, *files], transfer, {sidecar: text})
        fileset, images, plates = import_placed(call, placed, transfer=transfer, name=name, description=description)
        targets.link(images, plates)
        return ImportResult(fileset.id, [i.id for i in images], plates[0].id)


def _check_transfer(transfer: str) -> None:
    if transfer not in ("copy", "ln_s"):
        raise ImportFailed(f"Unknown transfer {transfer!r}; known are copy and ln_s.")


@contextlib.contextmanager
def _importer(core: Core, user: str | None, group: str | None) -> Iterator[Call]:
    """A session of the user who imports."""
    with core.store.lock:
        who = core.accounts.user(user or "root")
        where = core.accounts.group(group) if group is not None else None
        if who is None or (group is not None and where is None):
            raise ImportFailed(f"There is no user {user!r}." if who is None else f"There is no group {group!r}.")
        try:
            session = core.sessions.create(who, where, agent="import")
        except omero.SecurityViolation as exc:
            raise ImportFailed(f"{who['omeName']} cannot import into {group}: {exc.message}") from exc
    try:
        yield Call(core, session)
    finally:
        with core.store.lock:
            core.sessions.close(session)


class _Targets:
    """Where images and plates go; found before anything is imported, made only afterwards."""

    def __init__(self, call: Call, dataset, project, screen) -> None:
        self.call = call
        if project is not None and dataset is None:
            raise ImportFailed("A project needs a dataset to put images into.")
        self._wanted = {"Dataset": dataset, "Project": project, "Screen": screen}
        self._found = {entity: self._find(entity, value) for entity, value in self._wanted.items()}

    def _find(self, entity: str, value: int | str | None) -> Record | None:
        if value is None:
            return None
        call, store = self.call, self.call.store
        with store.lock:
            if isinstance(value, str):
                rows = store.where(entity, name=value)
                return next((r for r in rows if r.owner is call.user and r.group is call.group), None)
            try:
                record = call.read(entity, value)
            except omero.ServerError as exc:
                raise ImportFailed(f"Cannot use {entity}:{value}: {exc.message}") from exc
            if record.group is not call.group or not call.flags(record).link:
                raise ImportFailed(f"{call.user['omeName']} cannot put anything into {entity}:{value}.")
            return record

    def check(self, path: Path, plates: bool) -> None:
        """Refuse a target which cannot hold what the file has."""
        if plates and self._wanted["Dataset"] is not None:
            raise ImportFailed(f"{path} is a plate; it goes into a screen, not into a dataset.")
        if not plates and self._wanted["Screen"] is not None:
            raise ImportFailed(f"{path} is no plate; it goes into a dataset, not into a screen.")

    def link(self, images: list[Record], plates: list[Record]) -> None:
        with self.call.store.lock:
            if self._wanted["Dataset"] is not None:
                dataset = self._target("Dataset")
                for image in images:
                    self.call.add("DatasetImageLink", {"parent": dataset, "child": image})
                if self._wanted["Project"] is not None:
                    self._link_once(self._target("Project"), dataset)
            if self._wanted["Screen"] is not None:
                screen = self._target("Screen")
                for plate in plates:
                    self.call.add("ScreenPlateLink", {"parent": screen, "child": plate})

    def _target(self, entity: str) -> Record:
        found = self._found[entity]
        if found is None:
            found = self._found[entity] = self.call.add(entity, {"name": self._wanted[entity]})
        return found

    def _link_once(self, project: Record, dataset: Record) -> None:
        if self.call.store.find("ProjectDatasetLink", parent=project, child=dataset) is None:
            self.call.add("ProjectDatasetLink", {"parent": project, "child": dataset})
