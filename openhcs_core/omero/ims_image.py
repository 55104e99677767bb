"""One Imaris file made, or an earlier one used again; put on the server, attached."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omero.gateway import BlitzGateway

from openhcs_core.imaris import check_ims
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.ims_file import WAITING, fingerprint, write_subject
from openhcs_core.omero.names import file_stem
from openhcs_core.omero.part import crop_label
from openhcs_core.omero.request import ExportRequest
from openhcs_core.omero.results import Origin, attach, find_attachment
from openhcs_core.omero.scratch import workplace
from openhcs_core.omero.subject import Subject
from openhcs_core.progress import ProgressMeter
from openhcs_core.settings import Settings

_ASK_FOR = "Ask the administrator to set, in openhcs.toml, a folder that the user of OMERO.server may write to:"


@dataclass
class SubjectExport:
    """The export of one image or mosaic.

    Parameters
    ----------
    conn : BlitzGateway
    subject : Subject
    request : ExportRequest
    settings : Settings
    meter : ProgressMeter
        What its listeners raise ends the work.
    cancelled : callable
        Asked often; when it returns true, the work ends with ImsCancelled.

    Attributes
    ----------
    name : str
        Of the file; may be changed before anything is made.
    source : str
        Where the voxels came from; empty if none were read.
    notes : list of str
        What the user should know of the result.

    Raises
    ------
    OmeroError
        If the subject does not have what is wanted.
    """

    conn: BlitzGateway
    subject: Subject
    request: ExportRequest
    settings: Settings
    meter: ProgressMeter
    cancelled: Callable[[], bool]
    name: str = field(init=False)
    source: str = field(init=False, default="")
    notes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        sizes = self.subject.sizes
        if min(sizes.values()) < 1:
            size = " × ".join(f"{axis} {count}" for axis, count in sizes.items())
            raise OmeroError(f"it is empty in OMERO ({size}). Import it again.")
        self._crop = self.request.part.crop(sizes, self.subject.channel_names)
        self._metadata = self.subject.metadata(self._crop)
        self._identity = self.subject.identity()
        self.notes = list(self._metadata.statements)
        label = crop_label(self._crop, sizes)
        self._origin = Origin(
            options=f"{label or 'whole'} {self.subject.content}, {self.request.preset}",
            fingerprint=fingerprint(self._identity, self._crop, self._metadata, self.request.preset),
        )
        self._stem = file_stem(self.subject.name, label)
        self.name = f"{self._stem}.ims"

    def publish(self) -> Path:
        """Put the file into the folder of the server, unless it is there and valid; return its path.

        Raises
        ------
        OpenHCSError
            If it cannot be made or the folder refuses it.
        """
        assert self.settings.export_dir is not None
        folder = self.settings.export_dir / self.subject.key
        path = folder / f"{self._stem} {self._origin.fingerprint}.ims"
        if self.request.reuse and path.is_file() and not check_ims(path, full=False):
            self.notes.append("the file on the server is still valid and was not made again")
            return path
        if not self.settings.export_dir.is_dir():  # never made here: it may be a disk that is not mounted
            raise OmeroError(
                f"the folder for exports, {self.settings.export_dir}, does not exist. {_ASK_FOR} export_dir."
            )
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OmeroError(f"the folder {folder} cannot be made: {error.strerror}. {_ASK_FOR} export_dir.") from error
        try:
            self._write(path)
        except BaseException:
            with suppress(OSError):
                folder.rmdir()  # empty unless there are other exports
            raise
        return path

    def attach(self, path: Path | None) -> Any:
        """Attach the file to what it belongs to, unless it is and valid; return the file annotation.

        While another process attaches the same file, this one waits and then uses what that has attached.

        Parameters
        ----------
        path : Path or None
            The file, where it has been made already.

        Raises
        ------
        OpenHCSError
            If it cannot be made, or OMERO refuses it.
        """
        target = self.subject.target
        if not target.canAnnotate():
            raise OmeroError("you may not attach files to it. Choose the delivery 'Server folder', or ask its owner.")
        place = f"{self.subject.key} {self._origin.fingerprint}"
        waiting = functools.partial(self.meter.tell, WAITING)
        with workplace(self.settings.scratch, self.conn.getUserId(), place, waiting) as (scratch, waited):
            if self.request.reuse or waited:
                found = find_attachment(self.conn, target, self._origin.fingerprint)
                if found is not None:
                    another = "another export has just attached the same file; it was not made again"
                    self.notes.append(another if waited else "the attached file is still valid and was not made again")
                    return found
            if path is None:
                path = scratch / f"{self._stem}.ims"
                if path.is_file() and not check_ims(path, full=False):
                    self.notes.append("an interrupted export had made the file already")
                else:
                    self._write(path)
            self.meter.begin("upload")
            return attach(self.conn, target, path, self.name, self._origin, self.meter.report)

    def _write(self, path: Path) -> None:
        self.source, statements = write_subject(
            self.subject,
            self._crop,
            self._metadata,
            path,
            identity=self._identity,
            resume=self._origin.fingerprint,
            settings=self.settings,
            preset=self.request.preset,
            meter=self.meter,
            cancelled=self.cancelled,
        )
        self.notes += statements
