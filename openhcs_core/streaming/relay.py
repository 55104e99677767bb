"""One publisher for a run of many processes: workers hand their images to their parent, which publishes them."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Begin, End, Image, Progress
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.receiver import Receiver


class Relay(AbstractContextManager["Relay"]):
    """Publishes what publishers of other processes of this user and machine send.

    Close it after the workers' publishers and before the parent's.

    Parameters
    ----------
    publisher : Publisher
        The parent's. Streams that workers begin begin there; who has it ends them.

    Attributes
    ----------
    endpoint : str
        For the workers: ``Publisher(connect=[endpoint])``. A path that only this user may use.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._folder = tempfile.mkdtemp(prefix="openhcs-")
        self._publisher = publisher
        self._receiver = Receiver(self, "relay", listen=f"ipc://{Path(self._folder, 'relay')}").start()
        self.endpoint = str(self._receiver.endpoint)

    def begin(self, begin: Begin) -> _Through:
        """See `openhcs_core.streaming.intake.Viewer`; so for the others."""
        self._publisher.begin(begin)
        return _Through(self._publisher)

    def progress(self, progress: Progress) -> None:
        self._publisher.progress(progress)

    def shutdown(self, reason: str) -> None:
        """Nobody asks: there is no control here."""

    def close(self) -> None:
        """Take no more."""
        self._receiver.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        self.close()


class _Through:
    """Hands each image of a stream on, through one array that is used again and again."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._array = np.empty((0, 0), np.uint8)

    def target(self, image: Image) -> np.ndarray:
        if self._array.shape != image.shape or self._array.dtype.name != image.dtype:
            self._array = np.empty(image.shape, image.dtype)
        return self._array

    def received(self, image: Image) -> None:
        if not self._publisher.save(image.stream, self._array, image.address, image.source_id):
            raise StreamingError("There was no room for it at the publisher.")

    def end(self, end: End) -> None:
        """The stream ends with the run: other workers may still send to it."""
