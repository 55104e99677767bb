"""The backend ``omero_local``: plates in OMERO, read as directly as this machine can."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from openhcs_backends.omero_errors import as_storage_error
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.login import Login
from openhcs_core.omero.pipeline_request import OUTPUTS
from openhcs_core.omero.pixels import ImagePixels
from openhcs_core.omero.plates import is_location, load_layout, parse_location
from openhcs_core.plate import PlaneAddress, PlateLayout
from openhcs_core.settings import load_settings
from openhcs_core.storage.backend import Plate, Results, ResultWriter, StorageBackend, StorageError

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

OPEN_IMAGES = 8
"""Images that are open at a time: each holds a file, and a store on the server."""


class OMEROLocalBackend(StorageBackend):
    """Plates, wells, datasets and images of OMERO, such as "Plate:12" or "Image:5,6".

    It can be pickled; what it becomes in another process joins the session there by itself.

    Parameters
    ----------
    login : Login, optional
        The session to work in; that of ``omero login`` unless given.
    outputs : sequence of {"images", "masks", "tables"}
        What is saved of results.
    """

    name = "omero_local"

    def __init__(self, login: Login | None = None, outputs: Sequence[str] = OUTPUTS) -> None:
        self._login, self._outputs = login, tuple(outputs)

    def of(self, login: Login, outputs: Sequence[str] = OUTPUTS) -> OMEROLocalBackend:
        """Another backend, for a session; arguments as of the class."""
        return OMEROLocalBackend(login, outputs)

    def identity(self, run: str) -> str:
        """What a run is called in OMERO: equal for runs that go on with each other, and save the same."""
        outputs = () if self._outputs == OUTPUTS else self._outputs
        return "-".join((run, *outputs))

    def recognises(self, location: str) -> bool:
        """Whether it reads as an object of OMERO, such as "Plate:12"."""
        return is_location(location)

    def open_plate(self, location: str) -> OMEROLocalPlate:
        """Open a plate for reading.

        Raises
        ------
        StorageError
            If there is none, or OMERO does not let it be read.
        """
        with as_storage_error(), ExitStack() as stack:
            conn = stack.enter_context(self._login_now().gateway())
            plate = OMEROLocalPlate(conn, load_layout(conn, location))
            plate.resources = stack.pop_all()
            return plate

    def open_results(self, results: Results) -> ResultWriter:
        """Begin to take results of a plate that was read from OMERO.

        Raises
        ------
        StorageError
            If the user may not write where the plate is.
        """
        from openhcs_backends.omero_results import OMEROResults

        with as_storage_error(), ExitStack() as stack:
            parse_location(results.location)
            conn = stack.enter_context(self._login_now().gateway())
            results = replace(results, run=self.identity(results.run))
            writer = OMEROResults(conn, results, self._outputs)
            writer.resources = stack.pop_all()
            return writer

    def _login_now(self) -> Login:
        return self._login or Login.stored()


class OMEROLocalPlate(Plate):
    """A plate of OMERO, open for reading in one process.

    Parameters
    ----------
    conn : BlitzGateway
    layout : PlateLayout
        With the ids of the images.

    Attributes
    ----------
    resources : ExitStack
        Closed with the plate.
    """

    def __init__(self, conn: BlitzGateway, layout: PlateLayout) -> None:
        self._conn, self.layout, self.resources = conn, layout, ExitStack()
        self._images: OrderedDict[int, ImagePixels] = OrderedDict()
        self._settings = load_settings()
        self._sources: set[str] = set()
        self._process = os.getpid()

    @property
    def source(self) -> str:  # type: ignore[override]
        """For people: where the planes come from."""
        return "; ".join(sorted(self._sources)) or "OMERO"

    def read(self, addresses: Sequence[PlaneAddress]) -> list[np.ndarray]:
        """Planes (Y, X) in the byte order of the machine, each its own array.

        Raises
        ------
        StorageError
            If OMERO cannot deliver one, or a file was changed since it was opened.
        """
        if os.getpid() != self._process:
            raise StorageError("A plate of OMERO was opened in another process. Open it in each process anew.")
        planes = []
        height = self.layout.size_yx[0]
        for address in addresses:
            number = self.layout.source_ids.get((address.well, address.site))
            if number is None:
                raise StorageError(f"The plate has no field {address.site} in well {address.well}.")
            with as_storage_error(f"{address.well} field {address.site} (Image:{number}): "):
                t, c, z = address.timepoint - 1, address.channel - 1, address.z_index - 1
                slab = self._opened(number).read(t, c, z, z + 1, 0, height)
            planes.append(np.array(slab[0], self.layout.dtype))
        return planes

    def close(self) -> None:
        """Close all files, and leave the session."""
        for pixels in self._images.values():
            pixels.close()
        self._images.clear()
        self.resources.close()

    def _opened(self, number: int) -> ImagePixels:
        if number in self._images:
            self._images.move_to_end(number)
            return self._images[number]
        image = self._conn.getObject("Image", number)
        if image is None:
            raise OmeroError("it does not exist any more, or you may not see it.")
        while len(self._images) >= OPEN_IMAGES:
            _, oldest = self._images.popitem(last=False)
            self._finish(oldest)
        self._images[number] = ImagePixels(self._conn, image, self._settings)
        self._sources.add(self._images[number].source)
        return self._images[number]

    def _finish(self, pixels: ImagePixels) -> None:
        try:
            pixels.check()
        finally:
            pixels.close()
