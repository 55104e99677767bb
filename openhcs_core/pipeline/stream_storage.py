"""How a worker hands its images to viewers: a backend that passes them on to the parent process of the run."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from openhcs_core.storage.backend import Results, ResultWriter, StorageBackend
from openhcs_core.streaming.backend import StreamingBackend
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.publisher import Publisher, PublisherOptions

logger = logging.getLogger(__name__)

STUCK_S = 5.0
"""Parents that take no image for so long are not waited for."""


@dataclass(frozen=True)
class StreamStorage(StorageBackend):
    """Takes results of a run for its viewers; nothing that goes wrong with them gets out of it.

    Attributes
    ----------
    name : str
    endpoint : str
        Of the `openhcs_core.streaming.relay.Relay` in the parent.
    options : PublisherOptions
        Of one worker.
    facts : mapping of (step, kind) to mapping
        See `openhcs_core.streaming.backend.StreamingBackend`.
    """

    name: str
    endpoint: str
    options: PublisherOptions
    facts: Mapping[tuple[str, str], Mapping[str, Any]]

    def open_results(self, results: Results) -> ResultWriter:
        """Begin to pass results on; where that is not possible, it is logged."""
        return _Handover(self, results)


class _Handover(ResultWriter):
    """Passes images on to the parent, which counts what of them arrives."""

    def __init__(self, storage: StreamStorage, results: Results) -> None:
        self._stack = ExitStack()
        self._publisher: Publisher | None = None
        self._backend: StreamingBackend | None = None
        self._quietly(lambda: self._open(storage, results))

    def save_batch(
        self,
        data_list: Sequence[np.ndarray],
        file_paths: Sequence[str],
        *,
        step_name: str,
        kind: str = "image",
        **kwargs: Any,
    ) -> None:
        backend = self._backend
        if backend is not None:
            self._quietly(lambda: backend.save_batch(data_list, file_paths, step_name=step_name, kind=kind))

    def save_table(self, table: Mapping[str, Sequence[Any]], well: str, *, step_name: str) -> None:
        """Tables are not shown."""

    def finish_well(self, well: str) -> None:
        """Wait until the parent has all of it, so that this process may end."""
        if self._publisher is not None and self._publisher.drain(lambda: STUCK_S, poll_s=0.002):
            self._backend = self._publisher = None
            logger.warning("Images of this worker do not reach the viewers any more: the run does not take them.")

    def close(self) -> None:
        self._backend = self._publisher = None
        self._quietly(self._stack.close)

    def _open(self, storage: StreamStorage, results: Results) -> None:
        host = results.parent.rpartition(":")[0]
        if host != platform.node() or not Path(storage.endpoint.removeprefix("ipc://")).exists():
            raise StreamingError(f"This worker ({platform.node()}, {os.getpid()}) is not where its run was started.")
        self._publisher = self._stack.enter_context(
            Publisher([storage.endpoint], options=storage.options, name="worker")
        )
        self._backend = StreamingBackend(self._publisher, results.layout, results.run, facts=storage.facts)

    def _quietly(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception:
            self._backend = None
            logger.warning("Images of this worker do not reach the viewers any more.", exc_info=True)
