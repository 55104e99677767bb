"""Takes what OpenHCS's first publishers send; see `seeds`."""

from __future__ import annotations

import itertools
import logging

import zmq

from openhcs_core.streaming.errors import MessageError
from openhcs_core.streaming.intake import Intake
from openhcs_core.streaming.seeds import read_seed
from openhcs_core.streaming.slots import remove_foreign
from openhcs_core.streaming.sockets import messages
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, Buffer

logger = logging.getLogger(__name__)

_numbers = itertools.count()


class Subscriber:
    """One such publisher, in the thread of a receiver. It is told nothing, so what is lost on the way stays unknown.

    Attributes
    ----------
    socket : zmq.Socket
        To poll; `take` when something has come.
    """

    def __init__(self, context: zmq.Context, endpoint: str, intake: Intake) -> None:
        self._intake = intake
        self._id = f"subscribed {next(_numbers)}"
        self._next = 1
        self._level = logging.WARNING
        self.socket = context.socket(zmq.SUB)
        self.socket.linger = 0
        self.socket.maxmsgsize = 16 * MAX_HEADER_BYTES
        self.socket.subscribe(b"")
        self.socket.connect(endpoint)

    def take(self) -> None:
        """Take what has come; nothing in it ends the thread."""
        for frames in messages(self.socket):
            try:
                self._take(frames[-1])
            except MessageError as error:
                self._intake.refused += 1
                self._say("A message of an old publisher is refused: %s", error)
            except Exception:
                self._intake.refused += 1
                logger.exception("A message could not be taken.")

    def _take(self, text: Buffer) -> None:
        batch = read_seed(text, self._next)
        self._next += len(batch.images)
        for begin in batch.begins:
            self._intake.begin(self._id, begin)
        for image in batch.images:
            state, reason = self._intake.image(self._id, image, None)
            if state != "received":
                self._intake.refused += 1
                self._say("An image of an old publisher is lost: %s", reason)
        for segment in batch.segments:
            remove_foreign(segment)

    def _say(self, text: str, why: object) -> None:
        """Warn of the first; all are counted."""
        logger.log(self._level, text, why)
        self._level = logging.DEBUG
