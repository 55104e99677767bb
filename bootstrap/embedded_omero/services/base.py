"""What stateful services have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..context import Call


class Closeable:
    """What lives on the server until its client closes it or goes."""

    def close(self, call: Call) -> None:
        """Finish properly and disappear."""
        try:
            self.finish(call)
        finally:
            self.discard()
            call.core.withdraw(call.client, self)

    def finish(self, call: Call) -> None:
        """Hook: what a regular close still writes."""

    def discard(self) -> None:
        """Hook: free what is held, also when the client just went away."""


class StatefulService(Closeable):
    """A service with a state of its own; while one is open the session cannot change its group."""

    def activate(self, call: Call) -> None:
        pass

    def passivate(self, call: Call) -> None:
        pass

    def getCurrentEventContext(self, call: Call):
        return call.event_context()
