"""What messages are made of: slots of shared memory, channels, who sends; see `openhcs_core.streaming.messages`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from openhcs_core.streaming.errors import MessageError

DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float32", "float64")
}
"""Types of pixels by name; on the wire always little-endian."""

Kind = Literal["image", "labels", "points", "shapes"]
KINDS: tuple[str, ...] = get_args(Kind)
"""What an array can be: pixels, numbered objects, points, outlines."""

Value = str | int
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Where in shared memory the bytes of an array lie.

    Attributes
    ----------
    segment : str
        Name, without folders.
    offset : int
        Of the first byte.
    ticket : int
        Number that the owner keeps in the 8 bytes at ``offset - 64`` (little-endian) for as long as these bytes are
        what the message says. 0 where there is none.
    """

    segment: str
    offset: int
    ticket: int

    def __post_init__(self) -> None:
        require(_SEGMENT.fullmatch(self.segment) is not None, "the name of a segment of shared memory is no such name")
        require(self.offset >= (64 if self.ticket else 0), "an offset in shared memory is out of range")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A piece of shared memory with known content: who reads it there sees the same memory."""

    slot: Slot
    nonce: str


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel, as `openhcs_core.plate.PlateChannel`: colour from 0 to 1, window in values of pixels.

    `lut` is the name of a lookup table of ImageJ, such as "fire", that goes before the colour; "" for none.
    """

    name: str
    color: tuple[float, float, float] | None = None
    window: tuple[float, float] | None = None
    lut: str = ""


@dataclass(frozen=True, kw_only=True)
class Message:
    """Any message."""

    type: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class Introduction(Message):
    """Who sends a message.

    Attributes
    ----------
    id : str
        Of a publisher: unique. Of a viewer: the same after a restart.
    incarnation : str
        Another one after every start of the program.
    name : str
        For people.
    host : str
    pid, start : int
        Process, and when it was started (in the kernel's own unit; 0 where unknown).
    """

    id: str
    incarnation: str
    name: str = ""
    host: str = ""
    pid: int = 0
    start: int = 0


@dataclass(frozen=True, kw_only=True)
class StreamState:
    """Counts of one stream, as a viewer sees them; part of `State`."""

    stream: str
    title: str = ""
    images: int | None = None
    received: int = 0
    displayed: int = 0
    failed: int = 0
    ended: bool = False


def require(condition: bool, problem: str) -> None:
    """Refuse a message unless a condition holds."""
    if not condition:
        raise MessageError(f"A message is refused: {problem}.")
