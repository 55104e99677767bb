"""Images of OMERO go to viewers as they are, without processing."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.omero.errors import OmeroError, Stopped
from openhcs_core.omero.login import Login
from openhcs_core.omero.part import EVERYTHING, Part
from openhcs_core.omero.pipeline_run import BACKEND
from openhcs_core.omero.plates import alike, parse_location
from openhcs_core.plate import PlaneAddress, PlateLayout, component_values
from openhcs_core.plugins import backend
from openhcs_core.progress import Listener, ProgressMeter
from openhcs_core.storage.backend import Plate
from openhcs_core.streaming.backend import StreamingBackend
from openhcs_core.streaming.messages import DTYPES
from openhcs_core.streaming.publisher import Publisher

STEP = "source"
BATCH_BYTES = 8 << 20
"""About what is read at a time; a cancel waits for it."""
AHEAD = 2
"""Batches that are read while another one is sent."""

Batch = Sequence[PlaneAddress]


@dataclass
class Streamed:
    """What was handed to a publisher.

    Attributes
    ----------
    planes : int
    done, failed : list of str
        Statements: one for each place that was read, one for each place or image that could not be.
    """

    planes: int = 0
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def stream_places(
    login: Login,
    places: Sequence[str],
    publisher: Publisher,
    *,
    wells: Sequence[str] = (),
    sites: Sequence[int] = (),
    part: Part = EVERYTHING,
    display: Mapping[str, str] | None = None,
    progress: Listener | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Streamed:
    """Read planes and hand them to a publisher; each place becomes a stream of its own.

    It returns once the publisher has all planes; that the viewers have them, only the publisher knows.

    Parameters
    ----------
    login : Login
        The session to read in.
    places : sequence of str
        Such as "Plate:12" or "Image:5,6"; see `openhcs_core.omero.plates.locations`. Images that differ in size become
        several streams.
    publisher : Publisher
        Not closed here.
    wells : sequence of str
        Names such as "B03"; all wells if empty.
    sites : sequence of int
        Fields of view, from 1; all of them if empty.
    part : Part
        Channels, sections and time points.
    display : mapping of str to str
        What viewers are to do with a component; see `openhcs_core.streaming.messages.Begin`.
    progress : callable, optional
    cancelled : callable
        Asked between batches of planes.

    Returns
    -------
    Streamed
        A place that cannot be read does not stop the others.

    Raises
    ------
    Stopped
        If `cancelled` says so.
    """
    home: Any = backend(BACKEND).factory()
    home = home.of(login)
    run, streamed = uuid.uuid4().hex, Streamed()
    with login.gateway() as conn:
        places = [part for place in places for part in alike(conn, place)]
    for number, place in enumerate(places, start=1):
        meter = ProgressMeter([progress] if progress else [], place, number, len(places))
        try:
            with home.open_plate(place) as plate:
                planes = _wanted(plate.layout, wells, sites, part)
                facts = _facts(place, plate.layout, planes)
                with StreamingBackend(
                    publisher, plate.layout, f"{run}/{place}", display, {(STEP, "image"): facts}
                ) as sink:
                    _stream(place, plate, planes, sink, meter, cancelled, streamed)
        except Stopped:
            raise
        except OpenHCSError as error:
            streamed.failed.append(f"{place}: {error}")
    return streamed


def _wanted(layout: PlateLayout, wells: Sequence[str], sites: Sequence[int], part: Part) -> list[PlaneAddress]:
    """The wanted planes, in the order of the plate."""
    unknown = [well for well in wells if well not in layout.planes]
    if unknown:
        raise OmeroError(f"there is no well {', '.join(unknown)}. Choose from {', '.join(layout.wells)}.")
    every = [
        plane
        for well in layout.wells
        if not wells or well in wells
        for plane in layout.planes[well]
        if not sites or plane.site in sites
    ]
    if not every:
        raise OmeroError(f"there is no field {' or '.join(map(str, sites))} in these wells.")
    sizes = {"Z": max(plane.z_index for plane in every), "T": max(plane.timepoint for plane in every)}
    crop = part.crop(sizes, [channel.name for channel in layout.channels])
    return [
        plane
        for plane in every
        if plane.channel - 1 in crop.channels and plane.z_index - 1 in crop.z and plane.timepoint - 1 in crop.t
    ]


def _facts(place: str, layout: PlateLayout, planes: Sequence[PlaneAddress]) -> dict[str, Any]:
    """What is known of a stream before it begins."""
    if layout.dtype.name not in DTYPES:
        raise OmeroError(f"pixels of type {layout.dtype.name} cannot be shown.")
    kind, ids = parse_location(place)
    return {
        "title": layout.name,
        "values": component_values(planes),
        "images": len(planes),
        "dtype": layout.dtype.name,
        "size_yx": layout.size_yx,
        "source": {kind: ids[0] if len(ids) == 1 else ",".join(map(str, ids))},
    }


def _stream(
    place: str,
    plate: Plate,
    planes: Sequence[PlaneAddress],
    sink: StreamingBackend,
    meter: ProgressMeter,
    cancelled: Callable[[], bool],
    streamed: Streamed,
) -> None:
    layout = plate.layout
    nbytes = layout.dtype.itemsize * layout.size_yx[0] * layout.size_yx[1]
    images = {(plane.well, plane.site) for plane in planes}
    sent = tried = 0
    meter.begin("stream")
    with closing(_read_ahead(plate, _batches(planes, max(1, BATCH_BYTES // nbytes)))) as found:
        for batch, reading in found:
            if cancelled():
                raise Stopped("SIGTERM")
            try:
                arrays = reading.result()
            except OpenHCSError as error:
                statement = f"{place}: {error}"
                if statement not in streamed.failed:
                    streamed.failed.append(statement)
            else:
                sink.save_batch(arrays, [plane.path for plane in batch], step_name=STEP)
                sent += len(batch)
            tried += len(batch)
            if tried == len(planes) or planes[tried].well != batch[-1].well:
                sink.finish_well(batch[-1].well)
            meter.report(tried * nbytes, len(planes) * nbytes)
    if sink.failed:
        streamed.failed.append(f"{place}: {sink.failed} planes could not be shown")
    streamed.planes += sent
    streamed.done.append(f"{place} ({layout.name}): {sent} planes of {len(images)} images, read from {plate.source}")


def _batches(planes: Sequence[PlaneAddress], size: int) -> Iterator[Batch]:
    """So many planes at most, of one image each."""
    for _, group in groupby(planes, lambda plane: (plane.well, plane.site)):
        image = list(group)
        for start in range(0, len(image), size):
            yield image[start : start + size]


def _read_ahead(plate: Plate, batches: Iterator[Batch]) -> Generator[tuple[Batch, Future[list[np.ndarray]]]]:
    """Each batch with its planes, while the next ones are being read."""
    pending: deque[tuple[Batch, Future[list[np.ndarray]]]] = deque()
    with ThreadPoolExecutor(1, "openhcs-read") as reader:
        try:
            for batch in batches:
                pending.append((batch, reader.submit(plate.read, batch)))
                if len(pending) > AHEAD:
                    yield pending.popleft()
            while pending:
                yield pending.popleft()
        finally:
            reader.shutdown(cancel_futures=True)
