"""What is selected goes to a viewer: read from OMERO and sent as one stream, in a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from openhcs_browser.model import ImageFacts, Node, size_text
from openhcs_core import plugins
from openhcs_core.omero.errors import OmeroError, Stopped
from openhcs_core.omero.login import Login
from openhcs_core.omero.streaming import Streamed, stream_places
from openhcs_core.progress import Progress
from openhcs_core.settings import load_settings
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.endpoints import control_of, tcp
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.manager import PORTS_EACH, Visualizer, manager
from openhcs_core.streaming.messages import Ping
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.visualizer import is_taken

VIEWERS = {"napari": "napari", "fiji": "Fiji"}
"""Names for people by the names of viewers."""

DISPLAY = {"fiji": {"well": "stack", "site": "stack"}}
"""How what is selected is shown, where viewers would do otherwise: in one window, not in one for each well."""

POLL_S = 0.05
ALIVE_S = 3.0
"""So often a viewer that takes nothing is asked whether it is still there."""


@dataclass(frozen=True)
class Request:
    """Images to be shown together.

    Attributes
    ----------
    place : str
        In OMERO, such as "Plate:12" or "Image:5,6": one place is one stream.
    sites : tuple of int
        Fields of wells, from 1; all if empty.
    planes, nbytes : int
    """

    place: str
    sites: tuple[int, ...]
    planes: int
    nbytes: int

    @classmethod
    def of(
        cls, node: Node, images: Sequence[ImageFacts], *, complete: bool = False, sites: Sequence[int] = ()
    ) -> Request:
        """Images of one container.

        Parameters
        ----------
        node : Node
            The container.
        images : sequence of ImageFacts
        complete : bool
            Whether these are all that it has.
        sites : sequence of int
            Fields from 1 if the images of wells are only these.

        Raises
        ------
        OmeroError
            If there is nothing to show.
        """
        usable = [image for image in images if image.pixels_id is not None]
        if not usable:
            raise OmeroError("There is nothing to show: select images that have pixels.")
        complete = complete and len(usable) == len(images)
        if node.is_plate:
            wells = dict.fromkeys(image.well_id for image in usable)
            place = f"Plate:{node.id}" if complete and node.kind == "Plate" else f"Well:{','.join(map(str, wells))}"
            if node.kind == "PlateAcquisition":
                sites = sorted({image.field + 1 for image in usable})
        elif complete and node.kind == "Dataset":
            place = f"Dataset:{node.id}"
        else:
            place = f"Image:{','.join(str(image.id) for image in usable)}"
        return cls(place, tuple(sites), sum(image.planes for image in usable), sum(image.nbytes for image in usable))


@dataclass(frozen=True)
class Outcome:
    """What became of it: a statement for people, and whether all planes arrived."""

    text: str
    good: bool


class Sending:
    """One request on its way to one viewer.

    Parameters
    ----------
    login : Login
    request : Request
    viewer : str
        Such as "napari".
    endpoint : str or None
        Of a viewer that runs; None: found or started at its usual place.
    """

    def __init__(self, login: Login, request: Request, viewer: str, endpoint: str | None) -> None:
        self._login, self._request, self._viewer, self._endpoint = login, request, viewer, endpoint
        self._name = VIEWERS.get(viewer, viewer)
        self._cancelled = False
        self._publisher: Publisher | None = None
        self._read = 0
        self.phase = f"Starting {self._name} ..." if endpoint is None else f"Reading from OMERO for {self._name} ..."

    @property
    def delivered(self) -> int:
        """Planes that the viewer has by now."""
        return max(self._read - (self._publisher.undelivered if self._publisher else 0), 0)

    def cancel(self) -> None:
        """Stop soon; what the viewer has stays there."""
        self._cancelled = True
        self.phase = "Stopping ..."

    def run(self) -> Outcome:
        """Read and send; return when the viewer has all of it, or is gone, or it was cancelled.

        Raises
        ------
        OpenHCSError
            If the viewer does not start, or nothing can be read.
        """
        endpoint = self._endpoint or manager().get_or_create(self._viewer, persistent=True).endpoint
        if self._cancelled:
            return Outcome("Stopped before anything was sent.", False)
        self.phase = f"Reading from OMERO for {self._name} ..."
        started = time.monotonic()
        options = load_settings().publisher_options()
        publisher = Publisher([Server(endpoint)], options=options, name="OpenHCS browser")
        streamed = Streamed()
        try:
            self._publisher = publisher
            streamed = stream_places(
                self._login,
                [self._request.place],
                publisher,
                sites=self._request.sites,
                display=DISPLAY.get(self._viewer),
                progress=self._progress,
                cancelled=lambda: self._cancelled,
            )
            self._read = streamed.planes
            self._wait(publisher, endpoint)
        except Stopped:
            self._cancelled = True
        except BaseException:
            publisher.close(aborted=True)
            raise
        report = publisher.close(aborted=self._cancelled)
        arrived = report.images - len(report.undelivered)
        text = f"{self._name}: {arrived:,} of {self._request.planes:,} planes arrived"
        if self._cancelled:
            return Outcome(f"{text}; stopped.", False)
        if arrived == self._request.planes and not streamed.failed:
            seconds = time.monotonic() - started
            return Outcome(f"{text}, {size_text(self._request.nbytes)} in {seconds:.1f} s.", True)
        problems = [*streamed.failed, *([str(report)] if report.undelivered else [])]
        return Outcome("; ".join([text, *problems]), False)

    def _progress(self, progress: Progress) -> None:
        if progress.total:
            self._read = self._request.planes * progress.done // progress.total

    def _wait(self, publisher: Publisher, endpoint: str) -> None:
        """Until the viewer has all, is gone, or it was cancelled. One that the user has paused is waited for."""
        if publisher.undelivered and not self._cancelled:
            self.phase = f"Waiting for {self._name} ..."
        while publisher.drain(lambda: ALIVE_S, lambda: self._cancelled, POLL_S) and not self._cancelled:
            if ask(endpoint, Ping()) is None:
                return


def start_another(viewer: str) -> Visualizer:
    """Start a viewer beside those that run, at the first free one of its ports.

    Raises
    ------
    OpenHCSError
        If it does not start, or all of its ports are taken.
    """
    first = plugins.viewer(viewer).port
    for port in range(first, first + PORTS_EACH):
        endpoint = tcp("127.0.0.1", port)
        if not (is_taken(endpoint) or is_taken(control_of(endpoint))):
            return manager().get_or_create(viewer, port, persistent=True)
    raise StreamingError(f"The ports {first} to {first + PORTS_EACH - 1} of {viewer} are all taken; close a viewer.")
