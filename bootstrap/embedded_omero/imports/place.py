"""Files of an import on their way into the managed repository."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ImportFailed

if TYPE_CHECKING:
    from ..context import Call


@dataclass
class Placement:
    """Files in the managed repository.

    Attributes
    ----------
    prefix : str
        Folder of the import, relative to the repository, with a slash at the end.
    folder : Path
    files : list of Path
        Where the files are now; the first is the one that describes the others.
    sources : list of Path
        Where they came from.
    log : Path
        The import's log file.
    """

    prefix: str
    folder: Path
    files: list[Path]
    sources: list[Path]
    log: Path

    def remove(self) -> None:
        """Take everything away again."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.log.unlink(missing_ok=True)
        for folder in list(self.folder.parents)[: self.prefix.count("/") - 1]:
            try:
                folder.rmdir()
            except OSError:
                break  # others have files there


def place(call: Call, sources: Sequence[Path], transfer: str, generated: dict[Path, str] | None = None) -> Placement:
    """Copy files into a folder of their own in the managed repository, or link them there.

    Parameters
    ----------
    sources : sequence of Path
        Files which lie in one folder or below; those in ``generated`` are written instead of copied.
    transfer : {"copy", "ln_s"}
    generated : dict of Path to str, optional

    Raises
    ------
    ImportFailed
        If a file cannot be read or the repository cannot be written; nothing is left then.
    """
    base = Path(os.path.commonpath([str(p.parent) for p in sources]))
    placed = _folder(call)
    try:
        for source in sources:
            target = placed.folder / source.relative_to(base)
            target.parent.mkdir(parents=True, exist_ok=True)
            if generated and source in generated:
                target.write_text(generated[source], encoding="utf-8")
            elif transfer == "ln_s":
                target.symlink_to(source)
            else:
                shutil.copyfile(source, target)
            placed.files.append(target)
            placed.sources.append(source)
        placed.log.touch()
    except OSError as exc:
        placed.remove()
        raise ImportFailed(f"Cannot put {exc.filename or source} into the managed repository: {exc.strerror}.") from exc
    return placed


def _folder(call: Call) -> Placement:
    """A folder which no other import has: <user>_<id>/<year>-<month>/<day>/<time>/."""
    user = call.user["omeName"].replace("/", "_")
    moment = datetime.now()
    while True:
        time = f"{moment:%H-%M-%S}.{moment.microsecond // 1000:03d}"
        prefix = f"{user}_{call.user.id}/{moment:%Y-%m}/{moment:%d}/{time}/"
        folder = call.core.repositories.managed / prefix
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            moment += timedelta(milliseconds=1)
            continue
        except OSError as exc:
            raise ImportFailed(f"Cannot write into the managed repository: {exc}.") from exc
        return Placement(prefix, folder, [], [], folder.with_name(time + ".log"))
