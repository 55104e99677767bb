"""Where a running script tells how far it is: its output, and the message of its job in OMERO."""

from __future__ import annotations

import logging
import time

import Ice
import omero

from openhcs_core.progress import Lines, Progress

logger = logging.getLogger(__name__)

MESSAGE_LENGTH = 255  # what the server keeps
INTERVAL_S = 3.0


class JobProgress:
    """Progress of the job that this script runs as; a listener of `openhcs_core.progress`.

    OMERO shows a script's output only when it has ended. While it runs, the message of its job can be
    read by other programs.

    Parameters
    ----------
    client : omero.client
        Of the script.

    Attributes
    ----------
    headline : str
        First line of the job's message, whatever else it says; empty for none. Set it before what follows it.
    """

    def __init__(self, client: omero.client) -> None:
        self._next = 0.0
        self.headline = ""
        self._lines = Lines(lambda event: print(_text(event), flush=True))
        self._handle = None
        job = client.getProperty("omero.job")
        if job:
            try:
                self._handle = client.sf.createJobHandle()
                self._handle.attach(int(job))
            except (omero.ServerError, Ice.Exception) as error:
                self._give_up(error)

    def line(self, text: str) -> None:
        """Print a line, and make it the job's message at once."""
        print(text, flush=True)
        self._set_message(text)

    def __call__(self, event: Progress) -> None:
        """Make an event the job's message, unless the last one is only seconds old; print a line now and then."""
        self._lines(event)
        if time.monotonic() >= self._next:
            self._set_message(_text(event))

    def close(self) -> None:
        """Let go of the job."""
        if self._handle is not None:
            try:
                self._handle.close()
            except (omero.ServerError, Ice.Exception) as error:
                self._give_up(error)

    def _set_message(self, text: str) -> None:
        if self._handle is None:
            return
        if self.headline:
            text = f"{self.headline}\n{text}"
        try:
            self._handle.setMessage(text[:MESSAGE_LENGTH])
        except (omero.ServerError, Ice.Exception) as error:
            self._give_up(error)
        self._next = time.monotonic() + INTERVAL_S

    def _give_up(self, error: Exception) -> None:
        """The work matters more than its message."""
        self._handle = None
        logger.warning("Progress cannot be told to OMERO: %s", getattr(error, "message", None) or type(error).__name__)


def _text(event: Progress) -> str:
    return f"{event.subject}: {event}"
