"""What comes back from other threads goes on in the thread of the windows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import omero
from qtpy.QtCore import QObject, Qt, Signal


class Tasks(QObject):
    """Delivers the results of futures to the thread that made this, until it is closed."""

    _finished = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._closed = False
        self._finished.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    def watch(
        self,
        future: Future[Any],
        done: Callable[[Any], object] = lambda _: None,
        failed: Callable[[BaseException], object] = lambda _: None,
    ) -> None:
        """Call `done` with the result of a future, or `failed` with its exception; neither if it is cancelled."""

        def finished(future: Future[Any]) -> None:
            if not self._closed:
                with suppress(RuntimeError):  # the window was deleted in the meantime
                    self._finished.emit((future, done, failed))

        future.add_done_callback(finished)

    def close(self) -> None:
        """Deliver nothing more."""
        self._closed = True

    def _deliver(
        self, finished: tuple[Future[Any], Callable[[Any], object], Callable[[BaseException], object]]
    ) -> None:
        future, done, failed = finished
        if self._closed or future.cancelled():
            return
        error = future.exception()
        if error is None:
            done(future.result())
        else:
            failed(error)


def error_text(error: BaseException) -> str:
    """For people: what an exception says, in one line."""
    said = error.message if isinstance(error, omero.ServerError) else str(error)
    return (said or "").strip().partition("\n")[0] or type(error).__name__
