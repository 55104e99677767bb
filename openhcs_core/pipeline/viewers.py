"""One publisher of a run, and the viewers that it sends to."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.pipeline.stream_plan import Key
from openhcs_core.pipeline.stream_storage import STUCK_S, StreamStorage
from openhcs_core.pipeline.viewing import StreamingConfig
from openhcs_core.plate import PlaneAddress
from openhcs_core.progress import Progress
from openhcs_core.settings import load_settings
from openhcs_core.streaming import messages
from openhcs_core.streaming.errors import SecurityError, StreamingError
from openhcs_core.streaming.publisher import NO_PLATE, Publisher, PublisherOptions, Report
from openhcs_core.streaming.relay import Relay
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.slots import sweep
from openhcs_core.streaming.sockets import Server

if TYPE_CHECKING:
    from openhcs_core.streaming.manager import Visualizer

logger = logging.getLogger(__name__)

P = TypeVar("P", bound=Publisher)

START_S = 60.0
"""Viewers that are starting when the wells are done are waited for, so long at most."""
WAIT_S = 2.0
"""The longest that one image waits for room: who waits in the relay cannot answer meanwhile."""
DRAIN_S = 10.0
"""For so long, unless options say otherwise, a viewer that stalls is waited for at the end."""
CLOSE_S = 1.0
"""How long a publisher waits for one once that is over; the run, which can be cancelled, has waited before."""


@dataclass(frozen=True, kw_only=True)
class Viewers:
    """Where a run streams to, whatever its steps say about hosts and ports.

    Attributes
    ----------
    connect : sequence of Server
        Viewers that listen.
    listen : sequence of str
        Endpoints to listen at: the first that is free is taken.
    keys : CurveKeys, optional
        Needed outside this machine.
    allow : sequence of str
        Public keys of the viewers that may come in.
    start : sequence of StreamingConfig
        Viewers of this machine, which are started unless they run.
    options : PublisherOptions, optional
        For the whole run; as the settings say unless given, but never waiting for viewers.
    everything : bool
        If no step has `stream_to`: all images and labels that are saved.
    ready : callable, optional
        Called once before the first well: given the endpoint and public key where viewers may come to, or None where
        the run only connects.
    """

    connect: Sequence[Server] = ()
    listen: Sequence[str] = ()
    keys: CurveKeys | None = None
    allow: Sequence[str] = ()
    start: Sequence[StreamingConfig] = ()
    options: PublisherOptions | None = None
    everything: bool = False
    ready: Callable[[Server | None], object] | None = None


class _Counting(Publisher):
    """A publisher that knows which images have come to it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.came: set[tuple[str, PlaneAddress]] = set()
        super().__init__(*arguments, **named)

    def save(
        self, stream: str, array: np.ndarray, address: PlaneAddress = NO_PLATE, source_id: int | None = None
    ) -> bool:
        self.came.add((stream, address))
        return super().save(stream, array, address, source_id)


def open_publisher(viewers: Viewers, name: str = "OpenHCS") -> Publisher:
    """A publisher for these viewers; tells `Viewers.ready`. Does not start any.

    Parameters
    ----------
    viewers : Viewers
    name : str
        Of the publisher, for people.

    Raises
    ------
    StreamingError
        If an endpoint makes no sense or needs keys, or none of those to listen at is free.
    """
    return _open(Publisher, viewers, name)


def _open(kind: type[P], viewers: Viewers, name: str) -> P:
    options = viewers.options or load_settings().publisher_options()
    problem: StreamingError | None = None
    endpoints: Sequence[str | None] = viewers.listen or [None]
    for endpoint in endpoints:
        try:
            publisher = kind(viewers.connect, endpoint, viewers.keys, viewers.allow, options, name)
            break
        except SecurityError:
            raise
        except StreamingError as error:
            problem = error
    else:
        assert problem is not None
        raise problem
    if viewers.ready is not None:
        key = viewers.keys.public if viewers.keys else None
        try:
            viewers.ready(Server(publisher.endpoint, key) if publisher.endpoint else None)
        except BaseException:
            publisher.close(aborted=True)
            raise
    return publisher


def open_viewer(config: StreamingConfig, title: str = "") -> Visualizer:
    """The viewer that a configuration names: one that runs, or a new one, which may not be ready yet.

    Raises
    ------
    OpenHCSError
        If there is none and none can be started.
    """
    from openhcs_core.streaming.manager import manager  # not needed where nothing is shown

    return manager().get_or_create(
        config.viewer, config.port, host=config.host, persistent=config.persistent, title=title, async_mode=True
    )


class Show:
    """One publisher of a run, with what workers need to reach it and the viewers that were started for it.

    Parameters
    ----------
    counts : mapping of str to int
        How many images each well is going to give.
    title : str
        Of what is shown, for people.

    Attributes
    ----------
    statements : list of str
        Which viewers cannot be used, and why.
    """

    def __init__(self, counts: Mapping[str, int], title: str) -> None:
        self._counts, self._title = counts, title
        self._visualizers: list[Visualizer] = []
        self._publisher: _Counting | None = None
        self._relay: Relay | None = None
        self._options = PublisherOptions()
        self._targets = 0
        self.statements: list[str] = []

    def open(self, wanted: Viewers, shares: int) -> None:
        """Find or start the viewers, and begin to send.

        Parameters
        ----------
        wanted : Viewers
        shares : int
            Publishers that share the memory.

        Raises
        ------
        OpenHCSError
            If there is nobody to send to.
        """
        servers = [*wanted.connect, *self._started(wanted.start)]
        if not servers and not wanted.listen:
            raise StreamingError("no viewer could be started.")
        keys = wanted.keys
        if keys is None and any(server.public_key for server in servers):
            keys = CurveKeys.new()
        for visualizer in self._visualizers:
            if keys is not None:
                visualizer.allow(keys.public)
        given = wanted.options or replace(load_settings().publisher_options(), overflow="drop", drain_s=DRAIN_S)
        self._options = replace(
            given,
            memory_bytes=given.memory_bytes // shares,
            spool_bytes=given.spool_bytes // shares,
            wait_s=min(given.wait_s, WAIT_S),
        )
        options = replace(
            self._options,
            memory_bytes=self._options.memory_bytes // 2,
            drain_s=CLOSE_S,
            absent_s=0.0,
        )
        self._publisher = _open(
            _Counting, replace(wanted, connect=servers, keys=keys, options=options), f"run on {self._title}"
        )
        self._targets = len(servers) + len(wanted.allow)
        self._relay = Relay(self._publisher)

    def storage(self, name: str, workers: int, facts: Mapping[Key, Mapping[str, object]]) -> StreamStorage:
        """The backend that workers use; the other half of the memory is theirs."""
        assert self._relay is not None
        options = replace(
            self._options,
            memory_bytes=self._options.memory_bytes // (2 * workers),
            spool_bytes=0,
            overflow="wait",
            wait_s=STUCK_S,
            replay=False,
            drain_s=0.2,
            absent_s=0.0,
        )
        return StreamStorage(name, self._relay.endpoint, options, facts)

    def progress(self, event: Progress) -> None:
        """Tell the viewers how far the run is."""
        assert self._publisher is not None
        self._publisher.progress(
            messages.Progress(
                what=event.what, done=event.done, total=event.total, unit=event.unit, subject=event.subject
            )
        )

    def drain(self, cancelled: Callable[[], bool]) -> None:
        """Wait until all viewers have everything, or it is clear that they will not."""
        publisher = self._publisher
        assert publisher is not None
        until = time.monotonic() + START_S
        while not cancelled() and time.monotonic() < until and any(viewer.is_starting for viewer in self._visualizers):
            time.sleep(0.1)

        expected = max(self._targets, 1)
        until = time.monotonic() + self._options.absent_s  # what those have who are there is not all
        while publisher.came and not cancelled() and time.monotonic() < until and not publisher.wait(0.05, expected):
            pass

        def patience_s() -> float:
            return self._options.drain_s if publisher.wait(0, expected) else self._options.absent_s

        publisher.drain(patience_s, cancelled)

    def close(self, aborted: bool, finished: Sequence[str] = ()) -> list[str]:
        """End it; return what is to be known about it."""
        if self._relay is not None:
            self._relay.close()
        if self._publisher is None:
            return []
        report = self._publisher.close(aborted)
        sweep()  # of workers that were killed
        return self._told(report, self._publisher.came, set(finished))

    def _told(self, report: Report, images: set[tuple[str, PlaneAddress]], wells: set[str]) -> list[str]:
        told = [f"Viewers: {report}"]
        expected = sum(count for well, count in self._counts.items() if well in wells)
        came = sum(address.well in wells for _, address in images)
        if came < expected:
            told.append(f"{expected - came} of {expected} images did not get from the workers to the viewers.")
        if report.images and not any(viewer.delivered for viewer in report.viewers):
            told.append(
                "Nothing was shown; the results are saved all the same. A viewer that comes while a run goes on gets "
                "all its images from the beginning: start one, such as with `openhcs view napari`, and run without "
                "resuming."
            )
        opened = [visualizer for visualizer in self._visualizers if visualizer.is_running and visualizer.persistent]
        told += [f"{item.viewer} at {item.endpoint} stays open." for item in opened]
        return told

    def _started(self, configs: Sequence[StreamingConfig]) -> list[Server]:
        servers = []
        for config in configs:
            try:
                visualizer = open_viewer(config, self._title)
            except OpenHCSError as error:
                logger.warning("%s cannot be used: %s", config.viewer, error)
                self.statements.append(f"{config.viewer} shows nothing: {error}")
                continue
            self._visualizers.append(visualizer)
            servers.append(Server(visualizer.endpoint, visualizer.public_key))
        return servers
