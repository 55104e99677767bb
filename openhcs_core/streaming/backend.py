"""Results of a pipeline go to viewers the way they go to disk: the methods of a `ResultWriter`, on a publisher."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from openhcs_core.plate import COMPONENTS, PlaneAddress, PlateLayout
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import KINDS, Begin, Channel, Progress
from openhcs_core.streaming.publisher import Publisher

logger = logging.getLogger(__name__)


class StreamingBackend(AbstractContextManager["StreamingBackend"]):
    """Streams the results of one run; a step streams as it saves.

    A stream is one step and kind of result of the run. Viewing never decides about the run: what cannot be shown is
    logged and counted, once for each reason.

    Parameters
    ----------
    publisher : Publisher
        Of this process; not closed here.
    layout : PlateLayout
        Of the plate that the run reads: names, colours and sizes come from there.
    run : str
        Identity of the run, the same in all its workers.
    display : mapping of str to str
        What viewers are to do with a component; see `openhcs_core.streaming.messages.Begin`.
    facts : mapping of (step, kind) to mapping
        Further fields of `Begin` that are known of the images of a step, such as ``{"values": {"z_index": range(1, 6)},
        "images": 480, "dtype": "uint16"}``; they go before those of the layout.

    Attributes
    ----------
    failed : int
        Images that could not be shown.
    """

    def __init__(
        self,
        publisher: Publisher,
        layout: PlateLayout,
        run: str,
        display: Mapping[str, str] | None = None,
        facts: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    ) -> None:
        self._publisher, self._layout, self._run = publisher, layout, run
        self._display, self._facts = dict(display or {}), facts or {}
        self._begun: set[str] = set()
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self.failed = 0

    def finished_wells(self) -> set[str]:
        """None: viewers keep nothing between runs."""
        return set()

    def begin_well(self, well: str) -> None:
        """Nothing to do: what is sent again takes the place of what was there."""

    def save_batch(
        self,
        data_list: Sequence[np.ndarray],
        file_paths: Sequence[str],
        *,
        step_name: str = "",
        kind: str = "image",
        **kwargs: Any,
    ) -> None:
        """Send planes of one step. They are copied: the arrays stay the caller's.

        Parameters
        ----------
        data_list : sequence of ndarray, (Y, X)
        file_paths : sequence of str
            Of each plane, such as ``B03_s001_w1_z001_t001.tif``.
        step_name : str
        kind : {"image", "labels", "points", "shapes"}
        **kwargs
            Hints for other backends.

        Raises
        ------
        StreamingError
            If there are not as many paths as planes, or the kind is unknown.
        """
        if len(data_list) != len(file_paths) or kind not in KINDS:
            raise StreamingError(f"{len(data_list)} planes with {len(file_paths)} paths, of kind {kind!r}, cannot go.")
        for array, path in zip(data_list, file_paths, strict=True):
            address = PlaneAddress.from_path(path)
            array = np.asarray(array)
            try:
                stream = self._stream(step_name, kind)
                self._publisher.save(stream, array, address, self._layout.source_ids.get((address.well, address.site)))
            except StreamingError as error:
                self._complain(str(error))

    def save_table(self, table: Mapping[str, Sequence[Any]], well: str, *, step_name: str) -> None:
        """Tables are not shown."""

    def finish_well(self, well: str) -> None:
        """Tell the viewers that a well is done."""
        self._publisher.progress(Progress(what="well finished", subject=well))

    def finish(self, wells: Sequence[str]) -> list[str]:
        """End the streams; wait for the viewers and say what they got."""
        return [str(self._publisher.close())]

    def close(self) -> None:
        """Nothing is held open here; the publisher is its owner's."""

    def __exit__(self, *_: object) -> None:
        self.close()

    def _stream(self, step: str, kind: str) -> str:
        stream = f"{self._run}/{step}/{kind}"
        with self._lock:
            if stream not in self._begun:
                self._begun.add(stream)
                self._publisher.begin(self._begin(stream, step, kind))
        return stream

    def _begin(self, stream: str, step: str, kind: str) -> Begin:
        layout = self._layout
        known: dict[str, Any] = {
            "title": f"{layout.name} {step}".strip(),
            "plate": layout.name,
            "channels": channels_of(layout),
            "voxel_size_um": layout.voxel_size_um,
            "display": self._display,
            **self._facts.get((step, kind), {}),
        }
        values = known.pop("values", {})
        ordered = {name: tuple(values[name]) for name in COMPONENTS if name in values}
        return Begin(stream=stream, step=step, kind=kind, values=ordered, **known)  # type: ignore[arg-type]

    def _complain(self, problem: str) -> None:
        self.failed += 1
        if problem not in self._said:
            self._said.add(problem)
            logger.warning("An image cannot be shown: %s", problem)


def channels_of(layout: PlateLayout, lut: str = "") -> tuple[Channel, ...]:
    """The channels of a plate for viewers, all with one lookup table if it is named."""
    return tuple(
        Channel(name=channel.name, color=channel.color, window=channel.window, lut=lut) for channel in layout.channels
    )
