"""What becomes one file: an image, or anything else that has metadata and voxels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from omero.gateway import BlitzGateway, BlitzObjectWrapper, ImageWrapper
from omero.rtypes import unwrap
from omero.sys import ParametersI

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import Crop, ImageMetadata, channel_names, image_metadata
from openhcs_core.omero.pixels import ImagePixels, PixelSource
from openhcs_core.settings import Settings


class Subject(Protocol):
    """What becomes one file.

    Nothing is asked of the server before a member other than `target`, `label`, `key`, `name` and `content` is used.

    Attributes
    ----------
    target : ImageWrapper, WellWrapper or PlateWrapper
        What the file belongs to in OMERO and is attached to.
    label : str
        For people: type, id and name, such as ``Image:12 (cells.tif)``.
    key : str
        Unique on a server and fit for a folder's name, such as ``image_12``.
    name : str
        Of what is shown, as in OMERO.
    content : str
        Which of all that the target holds; with the wanted part of it, what a new file replaces an older one of.
    sizes : mapping of str to int
        Of the axes "T", "C", "Z", "Y" and "X".
    channel_names : sequence of str
        Empty texts where there is no name.
    """

    @property
    def target(self) -> BlitzObjectWrapper: ...

    @property
    def label(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def content(self) -> str: ...

    @property
    def sizes(self) -> Mapping[str, int]: ...

    @property
    def channel_names(self) -> Sequence[str]: ...

    def metadata(self, crop: Crop) -> ImageMetadata:
        """What is known of the wanted part besides its voxels."""

    def pixels(self, settings: Settings) -> PixelSource:
        """The voxels, to be closed by the caller.

        Raises
        ------
        OmeroError
            If the server has none.
        """

    def identity(self) -> list[Any]:
        """All that tells whether the voxels are still the same; can be written as JSON."""


class ImageSubject:
    """One image.

    Parameters
    ----------
    conn : BlitzGateway
    image : ImageWrapper
    """

    def __init__(self, conn: BlitzGateway, image: ImageWrapper) -> None:
        self._conn = conn
        self.target = image
        self.name: str = image.getName()
        self.label = f"Image:{image.getId()} ({self.name})"
        self.key = f"image_{image.getId()}"
        self.content = "image"

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Of the axes "T", "C", "Z", "Y" and "X".

        Raises
        ------
        OmeroError
            If the server has no pixels for the image.
        """
        pixels = self.target.getPrimaryPixels()
        if pixels is None:
            raise OmeroError("the image has no pixels in OMERO; its import may have failed. Import it again.")
        return {axis: getattr(pixels, f"getSize{axis}")() for axis in "TCZYX"}

    @cached_property
    def channel_names(self) -> Sequence[str]:
        """Empty texts where there is no name."""
        return channel_names(self._conn, self.target)

    def metadata(self, crop: Crop) -> ImageMetadata:
        """What is known of the wanted part besides its voxels."""
        return image_metadata(self._conn, self.target, crop)

    def pixels(self, settings: Settings) -> ImagePixels:
        """The voxels, to be closed by the caller."""
        return ImagePixels(self._conn, self.target, settings)

    def identity(self) -> list[Any]:
        """The pixels' id, their checksum in OMERO and the event of their last change."""
        return pixels_identity(self._conn, [self.target.getPixelsId()])


def pixels_identity(conn: BlitzGateway, ids: Sequence[int]) -> list[Any]:
    """Of each of several Pixels, by id: its id, its checksum in OMERO and the event of its last change."""
    found = conn.getQueryService().projection(
        "select p.id, p.sha1, p.details.updateEvent.id from Pixels p where p.id in (:ids) order by p.id",
        ParametersI().addLongs("ids", list(ids)),
        conn.SERVICE_OPTS,
    )
    return [list(unwrap(row)) for row in found]
