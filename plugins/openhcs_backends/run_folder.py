"""How results come into a folder: aside first, to their place when a well is complete, and never over foreign files.

Beside the results lies ``.openhcs/<backend>``::

    run.json            identity of the run that the results belong to
    lock                held by the parent of a run
    parts/B03/          what is being made of a well
    wells/B03.json      the well is finished: these files are its results
    wells/B03.moving    its results are being brought to their place
    tables/<step>/B03.csv
    made.json           files that belong to no well
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from openhcs_backends.faults import writing
from openhcs_core.plate import sorted_wells
from openhcs_core.storage.backend import Results, StorageError

STATE = ".openhcs"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
_HELD: dict[Path, tuple[int, dict[str, str], int]] = {}
"""Locks of this process: descriptor, run, and how many use it."""


class RunFolder:
    """The folder that the results of a run go to, for one backend and process.

    Parameters
    ----------
    results : Results
    backend : str
        Its name.

    Attributes
    ----------
    path : Path
    replaced : bool
        Whether results of another run were there; they are removed.

    Raises
    ------
    StorageError
        If the folder cannot be used, another run is writing there, or (in a worker) the parent has not begun.
    """

    def __init__(self, results: Results, backend: str) -> None:
        self.path = Path(results.location).absolute()
        self._state = self.path / STATE / backend
        self._record = {"run": results.run, "plate": results.layout.name}
        self._results = results
        self._begun: set[str] = set()
        self._locked = False
        self.replaced = False
        with writing(self.path):
            if results.in_parent:
                self._begin()
        if not results.in_parent and self._known() != self._record:
            raise StorageError(
                f"The run that saves to {self.path} was not begun there by its parent process. "
                "Workers on other machines need the same folder."
            )

    def finished_wells(self) -> set[str]:
        """Wells whose results are in their place."""
        return {path.stem for path in (self._state / "wells").glob("*.json")}

    def begin_well(self, well: str) -> None:
        """Forget the parts of a well."""
        with writing(self.path):
            _remove(self._state / "parts" / well)
        self._begun.discard(well)

    def parts(self, well: str) -> Path:
        """The folder for the parts of a well, empty if this process saves the first of them."""
        if not well.isalnum():
            raise StorageError(f"{well!r} is no name of a well such as B03.")
        folder = self._state / "parts" / well
        if well not in self._begun:
            with writing(self.path):
                _remove(folder)
                folder.mkdir(parents=True)
            self._begun.add(well)
        return folder

    def finish_well(self, well: str, moves: Sequence[tuple[Path, Path]], tables: Mapping[str, str]) -> None:
        """Bring the results of a well to their place; what there was of it before goes.

        Parameters
        ----------
        well : str
        moves : sequence of (source, target)
            Files or folders, in the folder of parts, and where in the folder of results.
        tables : mapping of str to str
            Rows of the table of each step, as CSV with a head.
        """
        moving, finished = (self._state / "wells" / f"{well}{ending}" for ending in (".moving", ".json"))
        with writing(self.path):
            for earlier in (moving, finished):
                self._forget(earlier, prune=False)  # another worker may be about to use them
            for folder in {target.parent for _, target in moves}:
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            self._refuse_foreign([target for _, target in moves], tables)
            write_text(moving, json.dumps([target.as_posix() for _, target in moves]))
            for source, target in moves:
                os.rename(source, self.path / target)
            for part in (self._state / "tables").glob(f"*/{well}.csv"):
                part.unlink()
            for step, text in tables.items():
                part = self._state / "tables" / step / f"{well}.csv"
                part.parent.mkdir(parents=True, exist_ok=True)
                write_text(part, text)
            os.replace(moving, finished)
            _remove(self._state / "parts" / well)
        self._begun.discard(well)

    def results(self) -> dict[str, list[Path]]:
        """What was brought to its place of each finished well, in the folder of results."""
        wells = sorted_wells(self.finished_wells())
        return {well: [Path(name) for name in _read(self._state / "wells" / f"{well}.json") or ()] for well in wells}

    def tables(self) -> dict[str, list[Path]]:
        """The parts of the table of each step, by well; of finished wells only."""
        wells = sorted_wells(self.finished_wells())
        folders = sorted(path for path in (self._state / "tables").glob("*") if path.is_dir())
        return {
            folder.name: [path for path in (folder / f"{well}.csv" for well in wells) if path.is_file()]
            for folder in folders
        }

    def made(self, paths: Iterable[Path]) -> None:
        """Remember files and folders that belong to the run, not to a well."""
        known = [path.relative_to(self.path).as_posix() for path in paths]
        with writing(self.path):
            write_text(self._state / "made.json", json.dumps(known))

    def tidy(self) -> None:
        """In the parent, in the end: parts of wells that were not finished go, wherever they lie."""
        with writing(self.path):
            for moving in (self._state / "wells").glob("*.moving"):
                self._forget(moving)
            _remove(self._state / "parts")

    def close(self) -> None:
        """Give up the lock."""
        if self._locked:
            self._locked = False
            descriptor, record, uses = _HELD.pop(self._state)
            if uses > 1:
                _HELD[self._state] = descriptor, record, uses - 1
            else:
                os.close(descriptor)

    def _begin(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise StorageError(f"{self.path} is a file. Give the name of a folder for the results.")
        foreign = [name for name in ("run.json", "pipeline.py") if (self.path / name).exists()]
        if foreign and not (self.path / STATE).is_dir():
            raise StorageError(f"{self.path} holds a {foreign[0]} of something else. Choose another folder.")
        self._state.mkdir(parents=True, exist_ok=True)
        self._lock()
        try:
            if self._known() != self._record:
                self.replaced = self._known() is not None
                self._clear()
                write_text(self._state / "run.json", json.dumps(self._record))
            (self._state / "wells").mkdir(exist_ok=True)
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        """Keep the parents of other runs away; this run may be open more than once in its parent."""
        busy = StorageError(
            f"Another run is saving to {self.path} at this moment. Wait for it, or choose another folder."
        )
        if self._state in _HELD:
            descriptor, record, uses = _HELD[self._state]
            if record != self._record:
                raise busy
        else:
            descriptor, uses = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), 0
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise busy from None
            except OSError as error:
                if error.errno not in _NO_LOCKS:  # some network file systems know none
                    os.close(descriptor)
                    raise
        _HELD[self._state] = descriptor, self._record, uses + 1
        self._locked = True

    def _known(self) -> Any:
        return _read(self._state / "run.json")

    def _clear(self) -> None:
        """Remove the results of an earlier run, and nothing else."""
        _remove(self._state / "run.json")
        for record in [*(self._state / "wells").glob("*"), self._state / "made.json"]:
            self._forget(record)
        for name in ("parts", "tables", "wells"):
            _remove(self._state / name)

    def _refuse_foreign(self, targets: Iterable[Path], tables: Iterable[str]) -> None:
        """Raise StorageError if something is there in place of results, or of a table that no backend has made."""
        states = list((self.path / STATE).iterdir())
        foreign = [Path(f"{step}.csv") for step in tables if not any((x / "tables" / step).exists() for x in states)]
        for target in (*targets, *foreign):
            if os.path.lexists(self.path / target):
                raise StorageError(
                    f"{self.path / target} is there already, and is no result of this run. Choose another folder."
                )

    def _forget(self, record: Path, prune: bool = True) -> None:
        """Remove what a record names, then the record; folders that become empty go, too, if `prune`."""
        named, whole = _read(record), self.path.resolve()
        paths = [self.path / str(name) for name in named] if isinstance(named, list) else []
        folders = {folder for folder in {path.parent for path in paths} if folder.resolve().is_relative_to(whole)}
        for path in paths:
            if path.parent in folders and path.name != "..":
                _remove(path)
        for folder in folders if prune else ():
            while folder != self.path and folder.is_relative_to(self.path):
                try:
                    folder.rmdir()
                except OSError:
                    break
                folder = folder.parent
        _remove(record)


def write_text(path: Path, text: str) -> None:
    """Write a file that has its name only when it is complete."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Any:
    """What a record says; None if there is none, or none that can be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        if not path.is_dir():
            raise
        shutil.rmtree(path)
