"""One image of OMERO: its Imaris file made, or an earlier one used again; put on the server, attached."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omero.gateway import BlitzGateway, ImageWrapper

from openhcs_core.imaris import check_ims
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.ims_file import file_stem, fingerprint, write_image
from openhcs_core.omero.metadata import channel_names, image_metadata
from openhcs_core.omero.request import ExportRequest, crop_label
from openhcs_core.omero.results import Origin, attach, find_attachment
from openhcs_core.settings import Settings

_ASK_FOR = "Ask the administrator to set, in openhcs.toml, a folder that the user of OMERO.server may write to:"


@dataclass
class ImageExport:
    """The export of one image.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper
    request : ExportRequest
    settings : Settings
    progress : callable
        ``progress(what, bytes_done, bytes_total)``, often; what it raises ends the work.
    cancelled : callable
        Asked often; when it returns true, the work ends with ImsCancelled.

    Attributes
    ----------
    name : str
        Of the file.
    source : str
        Where the voxels came from; empty if nothing was made.
    notes : list of str
        What the user should know of the result.

    Raises
    ------
    OmeroError
        If the image does not have what is wanted.
    """

    conn: BlitzGateway
    image: ImageWrapper
    request: ExportRequest
    settings: Settings
    progress: Callable[[str, int, int], object]
    cancelled: Callable[[], bool]
    name: str = field(init=False)
    source: str = field(init=False, default="")
    notes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        sizes = {"T": self.image.getSizeT(), "C": self.image.getSizeC(), "Z": self.image.getSizeZ()}
        self._crop = self.request.crop(sizes, channel_names(self.conn, self.image))
        self._metadata = image_metadata(self.conn, self.image, self._crop)
        self.notes = list(self._metadata.statements)
        label = crop_label(self._crop, sizes)
        self._origin = Origin(
            options=f"{label or 'whole image'}, {self.request.preset}",
            fingerprint=fingerprint(self.conn, self.image, self._crop, self._metadata, self.request.preset),
        )
        self._stem = file_stem(self.image.getName(), label)
        self.name = f"{self._stem}.ims"

    def publish(self) -> Path:
        """Put the file into the folder of the server, unless it is there and valid; return its path.

        Raises
        ------
        OpenHCSError
            If it cannot be made or the folder refuses it.
        """
        assert self.settings.export_dir is not None
        folder = self.settings.export_dir / f"image_{self.image.getId()}"
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
        """Attach the file to the image, unless it is and valid; return the file annotation.

        Parameters
        ----------
        path : Path or None
            The file, where it has been made already.

        Raises
        ------
        OpenHCSError
            If it cannot be made, or OMERO refuses it.
        """
        if not self.image.canAnnotate():
            raise OmeroError("you may not attach files to it. Choose the delivery 'Server folder', or ask its owner.")
        if self.request.reuse:
            found = find_attachment(self.conn, self.image, self._origin.fingerprint)
            if found is not None:
                self.notes.append("the attached file is still valid and was not made again")
                return found
        with _scratch(self.settings.scratch) as scratch:
            if path is None:
                path = scratch / self.name
                self._write(path)
            uploaded = functools.partial(self.progress, "upload")
            return attach(self.conn, self.image, path, self.name, self._origin, uploaded)

    def _write(self, path: Path) -> None:
        self.source, statements = write_image(
            self.conn,
            self.image,
            self._crop,
            self._metadata,
            path,
            settings=self.settings,
            preset=self.request.preset,
            progress=functools.partial(self.progress, "export"),
            cancelled=self.cancelled,
        )
        self.notes += statements


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder of our own for files that are being made, removed at the end."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="openhcs-ims-", dir=parent)
    except OSError as error:
        raise OmeroError(
            f"the scratch folder {parent} cannot be used: {error.strerror}. {_ASK_FOR} scratch."
        ) from error
    with folder as name:
        yield Path(name)
