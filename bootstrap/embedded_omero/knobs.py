"""Faults which a test can ask for, in Python only: no OMERO call reaches them."""

from __future__ import annotations

from dataclasses import dataclass

from . import errors


@dataclass
class Knobs:
    """Faults of one server; set an attribute and the next calls fail.

    Attributes
    ----------
    busy : int
        So many of the next requests find no script processor.
    script_seconds : float
        Life time of script sessions; 0 for the server's own, ``omero.scripts.timeout``.
    failing_writes : int
        So many of the next writes to files fail, as on a full disk.
    """

    busy: int = 0
    script_seconds: float = 0
    failing_writes: int = 0

    def take_busy(self) -> bool:
        """Whether this request for a processor shall find none."""
        if self.busy <= 0:
            return False
        self.busy -= 1
        return True

    def write(self) -> None:
        """Raise ResourceError if this write shall fail."""
        if self.failing_writes > 0:
            self.failing_writes -= 1
            raise errors.resource("No space left on device")
