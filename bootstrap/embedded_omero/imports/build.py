"""The records which an import makes."""

from __future__ import annotations

import logging
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import omero
import omero_version
import tifffile

from .. import display, pixeldata
from ..services.job import new_job
from ..services.raw_file import checksum
from ..services.repository import make_directories
from ..store import Record, now_ms
from . import omexml
from .errors import ImportFailed
from .measure import Measured, measure
from .place import Placement
from .tiff import Series, Structure

if TYPE_CHECKING:
    from ..context import Call

log = logging.getLogger(__name__)
HASHER = "SHA1-160"
TRANSFER_NAMESPACE = "openmicroscopy.org/omero/import/fileTransfer"
SYMLINK_TRANSFER = "ome.formats.importer.transfers.SymlinkFileTransfer"
THUMBNAIL = 96
_NAME_LENGTH = 255
_LATER_JOBS = ("MetadataImportJob", "PixelDataJob", "ThumbnailGenerationJob", "IndexingJob")


class Builder:
    """Makes the records of one import. Whatever can fail has been tried before.

    Parameters
    ----------
    call : Call
        Of the user who imports, in the group which gets the images.
    structure : Structure
        Of the files where they are now.
    placed : Placement
    measured : list of Measured
        One for each series.
    name, description : str or None
        Replace those of the file.
    """

    def __init__(self, call: Call, structure: Structure, placed: Placement, measured: list[Measured], name: str | None,
                 description: str | None) -> None:  # fmt: skip
        self.call, self.structure, self.placed, self.measured = call, structure, placed, measured
        self.name, self.description = name or placed.files[0].name, description
        self.named = name is not None
        self.format = call.enum("Format", structure.format)
        self.monochrome = call.enum("PhotometricInterpretation", "Monochrome")
        self._logical: dict[tuple, Record] = {}

    def build(self, transfer: str) -> tuple[Record, list[Record], list[Record]]:
        """Make everything; answers fileset, images and plates."""
        self.fileset = self.call.add("Fileset", {"templatePrefix": self.placed.prefix})
        make_directories(self.call, self._repo, self.placed.prefix.strip("/").split("/"))
        self._jobs()
        for file, source in zip(self.placed.files, self.placed.sources, strict=True):
            self._entry(file, source)
        if transfer == "ln_s":
            note = self.call.add("CommentAnnotation", {"ns": TRANSFER_NAMESPACE, "textValue": SYMLINK_TRANSFER})
            self.call.add("FilesetAnnotationLink", {"parent": self.fileset, "child": note})
        images = [self._image(n, series) for n, series in enumerate(self.structure.series)]
        by_id = {s.image.id: image for s, image in zip(self.structure.series, images, strict=True)}
        return self.fileset, images, [self._plate(p, by_id) for p in self.structure.plates]

    @property
    def _repo(self) -> str:
        return self.call.core.repositories.managed_uuid

    def add(self, entity: str, values: dict[str, Any]) -> Record:
        """A record; values of enumerations are given by name, and left out if the model does not know them."""
        fields = self.call.store.model[entity].fields
        found = {}
        for name, value in values.items():
            f = fields[name]
            if f.kind == "ref" and isinstance(value, str):
                value = self.call.store.find(f.type, value=value) or self.call.store.find(f.type, value="Other")
                if value is None:
                    log.warning("%s: %s of the file is no %s of OMERO", self.placed.files[0], values[name], f.type)
            if value is not None:
                found[name] = value
        return self.call.add(entity, found)

    def _entry(self, file: Path, source: Path) -> None:
        folder = file.parent.relative_to(self.placed.folder)
        parts = self.placed.prefix.strip("/").split("/") + list(folder.parts)
        if folder.parts:
            make_directories(self.call, self._repo, parts)
        status = file.stat()
        row = self.add(
            "OriginalFile",
            {
                "name": file.name, "path": "/".join(parts) + "/", "repo": self._repo, "size": status.st_size,
                "hash": checksum(file, HASHER), "hasher": HASHER, "ctime": now_ms(),
                "mtime": int(status.st_mtime * 1000),
            },
        )  # fmt: skip
        self.add("FilesetEntry", {"fileset": self.fileset, "originalFile": row, "clientPath": str(source).lstrip("/")})

    def _jobs(self) -> None:
        """The steps of an import as a server notes them; after the upload nothing is ever done with them."""
        upload = self._job("UploadJob")
        versions = self._versions()
        store = self.call.store
        store.set(upload, "versionInfo", [("bioformats.reader", self.structure.format), *versions])
        store.set(upload, "status", self.call.enum("JobStatus", "Finished"))
        store.set(upload, "message", "Finished")
        store.set(upload, "finished", now_ms())
        log_file = self.placed.log
        path = self.placed.prefix.rstrip("/").rpartition("/")[0] + "/"
        row = self.add("OriginalFile", {"name": log_file.name, "path": path, "repo": self._repo, "size": 0,
                                        "mimetype": "application/omero-log-file"})  # fmt: skip
        self.add("JobOriginalFileLink", {"parent": upload, "child": row})
        for entity in _LATER_JOBS:
            job = self._job(entity)
            if entity == "MetadataImportJob":
                store.set(job, "versionInfo", versions)

    def _job(self, entity: str) -> Record:
        job = new_job(self.call, entity)
        self.add("FilesetJobLink", {"parent": self.fileset, "child": job})
        return job

    @staticmethod
    def _versions() -> list[tuple[str, str]]:
        return [
            ("bioformats.version", f"tifffile {tifffile.__version__}"),
            ("client.language.name", "Python"),
            ("client.language.vendor", platform.python_implementation()),
            ("client.language.version", platform.python_version()),
            ("locale", os.environ.get("LANG", "C")),
            ("omero.version", omero_version.omero_version),
            ("os.architecture", platform.machine()),
            ("os.name", platform.system()),
            ("os.version", platform.release()),
        ]

    # -- images

    def _image(self, number: int, series: Series) -> Record:
        said = series.image
        values = {"description": "", **said.values, "series": number, "format": self.format, "fileset": self.fileset}
        if self.description is not None:
            values["description"] = self.description
        values["name"] = self._image_name(number, said)
        if said.stage_label is not None:
            values["stageLabel"] = self.add("StageLabel", {"name": "", **said.stage_label})
        if said.environment is not None:
            values["imagingEnvironment"] = self.add("ImagingEnvironment", said.environment)
        image = self.add("Image", values)
        pixels = self._pixels(image, series, self.measured[number])
        for plane in said.planes:
            self.add("PlaneInfo", {"pixels": pixels, **plane})
        settings = display.default_settings(self.call, pixels, from_plane=False)
        settings.save(self.call, pixels)
        size = display.thumbnail_size(said.sizes[0], said.sizes[1], THUMBNAIL)
        self.add("Thumbnail", {"pixels": pixels, "mimeType": "image/jpeg", "sizeX": size[0], "sizeY": size[1]})
        return image

    def _image_name(self, number: int, said: omexml.Image) -> str:
        """Recorded: one image has the name of its file, of several each adds its own name."""
        if len(self.structure.series) == 1:
            return self.name[:_NAME_LENGTH]
        return f"{self.name} [{said.name or number}]"[:_NAME_LENGTH]

    def _pixels(self, image: Record, series: Series, measured: Measured) -> Record:
        said = series.image
        sizes = dict(zip(("sizeX", "sizeY", "sizeZ", "sizeC", "sizeT"), said.sizes, strict=True))
        bits = said.pixels.get("significantBits") or self._bits(said.type)
        pixels = self.add(
            "Pixels",
            {
                **said.pixels, **sizes, "image": image, "pixelsType": said.type, "dimensionOrder": "XYZCT",
                "significantBits": bits, "sha1": measured.sha1,
            },
        )  # fmt: skip
        # An RGB channel of OME-XML stands for three channels.
        channels = [c for c in said.channels for _ in range(c.samples)]
        channels += [omexml.Channel()] * (said.sizes[3] - len(channels))
        for number, channel in enumerate(channels[: said.sizes[3]]):
            self._channel(pixels, number, channel, channels, measured.limits[number])
        return pixels

    def _bits(self, pixels_type: str) -> int:
        return self.call.enum("PixelsType", pixels_type)["bitSize"]

    def _channel(self, pixels: Record, number: int, channel: omexml.Channel, channels: list, limits) -> None:
        color = channel.color if channel.samples == 1 else None
        if color is None:
            emissions = [c.values.get("emissionWave") for c in channels]
            plain = len(channels) == 1 and emissions == [None]
            color = display.GREY if plain else display.usual_color(number, emissions)
        values = {"pixels": pixels, "logicalChannel": self._logical_channel(number, channel), "alpha": 255}
        values.update(zip(("red", "green", "blue"), color, strict=True))
        if limits is not None:
            values["statsInfo"] = self.add("StatsInfo", {"globalMin": limits[0], "globalMax": limits[1]})
        self.add("Channel", values)

    def _logical_channel(self, number: int, channel: omexml.Channel) -> Record:
        """What the file says of a channel. Recorded: the images of a plate share it if it is the same."""
        values = {**channel.values, "samplesPerPixel": 1, "photometricInterpretation": self.monochrome}
        if not self.structure.plates:
            return self.add("LogicalChannel", values)
        key = (number, *sorted(channel.values.items()))
        if key not in self._logical:
            self._logical[key] = self.add("LogicalChannel", values)
        return self._logical[key]

    # -- plates

    def _plate(self, said: omexml.Plate, images: dict[str, Record]) -> Record:
        rows = max((w.values.get("row", 0) for w in said.wells), default=-1) + 1
        columns = max((w.values.get("column", 0) for w in said.wells), default=-1) + 1
        values = {"rows": rows, "columns": columns, "name": self.name, **said.values}
        if self.named:
            values["name"] = self.name
        if self.description is not None:
            values["description"] = self.description
        plate = self.add("Plate", values)
        acquisition_of = {}
        for acquisition in said.acquisitions:
            record = self.add("PlateAcquisition", {**acquisition.values, "plate": plate})
            acquisition_of.update(dict.fromkeys(acquisition.samples, record))
        for well in said.wells:
            record = self.add("Well", {**well.values, "plate": plate})
            for sample in well.samples:
                image = images.get(sample.image or "")
                if image is None:
                    continue  # a field of view which was planned but never taken
                self.add("WellSample", {**sample.values, "well": record, "image": image,
                                        "plateAcquisition": acquisition_of.get(sample.id)})  # fmt: skip
        return plate


def import_placed(
    call: Call, placed: Placement, *, transfer: str, name: str | None, description: str | None
) -> tuple[Record, list[Record], list[Record]]:
    """Read files where they are now, and make their records.

    Raises
    ------
    ImportFailed
        If anything about the files is wrong; they are gone then.
    """
    try:
        structure = pixeldata.structure(placed.files[0])
        measured = []
        for number, series in enumerate(structure.series):
            planes = pixeldata.imported_planes(placed.files[0], number)
            if (planes.size_z, planes.size_c, planes.size_t) != series.image.sizes[2:]:
                raise ImportFailed(
                    f"{placed.sources[0]}: the planes do not fit the sizes of image {series.image.id!r}."
                )
            measured.append(measure(planes, series.image.type))
    except (OSError, ImportFailed) as exc:
        placed.remove()
        # The user knows the file by its own path.
        text = str(exc).replace(f"{placed.folder}/", f"{placed.sources[0].parent}/")
        raise ImportFailed(text) from exc
    with call.store.lock, call.store.transaction():
        try:
            return Builder(call, structure, placed, measured, name, description).build(transfer)
        except omero.ServerError as exc:
            placed.remove()
            raise ImportFailed(f"{placed.sources[0]}: {exc.message}") from exc
