"""The messages between publishers and viewers: what they say, not how they travel.

``docs/messaging.md`` documents every type with an example. Each class is one type; its fields are the header.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import numpy as np

from openhcs_core.plate import COMPONENTS, PlaneAddress
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
        _require(_SEGMENT.fullmatch(self.segment) is not None, "the name of a segment of shared memory is no such name")
        _require(self.offset >= (64 if self.ticket else 0), "an offset in shared memory is out of range")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A piece of shared memory with known content: who reads it there sees the same memory."""

    slot: Slot
    nonce: str


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel, as `openhcs_core.plate.PlateChannel`: colour from 0 to 1, window in values of pixels."""

    name: str
    color: tuple[float, float, float] | None = None
    window: tuple[float, float] | None = None


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
class Hello(Introduction):
    """The first message of a publisher to a viewer; of a viewer, where the publisher listens or is not known yet.

    Attributes
    ----------
    role : {"publisher", "viewer"}
    probe : Probe, optional
        Of a publisher that has shared memory.
    """

    type: ClassVar[str] = "hello"
    role: Literal["publisher", "viewer"]
    probe: Probe | None = None


@dataclass(frozen=True, kw_only=True)
class Welcome(Introduction):
    """A viewer's answer to a publisher's `Hello`.

    So many images, and bytes of them, may be on the way; larger ones are refused; whether it has read the probe.
    """

    type: ClassVar[str] = "welcome"
    credits: int
    window_bytes: int
    max_plane_bytes: int
    shared_memory: bool = False


@dataclass(frozen=True, kw_only=True)
class Begin(Message):
    """A stream begins: what all its images have in common. Sent again, it is the same stream.

    Attributes
    ----------
    stream : str
        Unique among all publishers; workers of one run may send parts of one stream.
    title, step, plate : str
        For people; the step that made the images and the plate they belong to.
    kind : {"image", "labels", "points", "shapes"}
    dtype : str, optional
        One of `DTYPES`, if all images have it.
    size_yx : (height, width), optional
        If all images have it, in pixels.
    values : mapping of str to sequence
        For components that are known beforehand, all values they are going to take, in order; see
        `openhcs_core.plate.COMPONENTS`.
    images : int, optional
        How many there are going to be, if known.
    channels : sequence of Channel
        That of channel 1 first.
    voxel_size_um : (z, y, x)
        Micrometres; None where unknown.
    source : mapping
        Where the images came from: types and ids of objects of OMERO, such as ``{"Plate": 12}``.
    display : mapping of str to str
        What a viewer is to do with a component: "stack", "slice", "separate".
    """

    type: ClassVar[str] = "begin"
    stream: str
    title: str = ""
    step: str = ""
    plate: str = ""
    kind: Kind = "image"
    dtype: str | None = None
    size_yx: tuple[int, int] | None = None
    values: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    images: int | None = None
    channels: tuple[Channel, ...] = ()
    voxel_size_um: tuple[float | None, float | None, float | None] = (None, None, None)
    source: dict[str, Value] = field(default_factory=dict)
    display: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(self.stream), "a stream needs a name")
        _require(self.dtype is None or self.dtype in DTYPES, "a dtype is unknown")
        _require(self.size_yx is None or all(0 < size < 2**31 for size in self.size_yx), "a size is out of range")
        _require(self.values.keys() <= set(COMPONENTS), "a component is unknown")
        _require(self.display.keys() <= set(COMPONENTS), "a component is unknown")


@dataclass(frozen=True, kw_only=True)
class Image(Message):
    """One array of a stream. Its bytes lie in the slot, or are the payload of the message.

    Attributes
    ----------
    stream : str
    seq : int
        Number among all images of its publisher, from 1. What is sent again has the same number.
    well, site, channel, z_index, timepoint
        Coordinates, as in `openhcs_core.plate.PlaneAddress`. An image with a higher number and the same coordinates
        takes the place of the earlier.
    source_id : int, optional
        Of the image in OMERO.
    shape : (height, width)
        Of images and labels. Points are (number, 2): y and x in pixels; shapes (number, 3): number of the outline,
        y, x.
    dtype : str
        One of `DTYPES`.
    nbytes : int
    slot : Slot, optional
        Else they are the payload.
    """

    type: ClassVar[str] = "image"
    stream: str
    seq: int
    well: str = ""
    site: int = 1
    channel: int = 1
    z_index: int = 1
    timepoint: int = 1
    source_id: int | None = None
    shape: tuple[int, int]
    dtype: str
    nbytes: int
    slot: Slot | None = None

    def __post_init__(self) -> None:
        _require(self.dtype in DTYPES, "a dtype is unknown")
        _require(min(self.shape) >= 0 and max(self.shape) < 2**31, "a size is out of range")
        _require(
            math.prod(self.shape) * DTYPES[self.dtype].itemsize == self.nbytes,
            "the number of bytes does not fit shape and dtype",
        )

    @property
    def address(self) -> PlaneAddress:
        """Its coordinates."""
        return PlaneAddress(self.well, self.site, self.channel, self.z_index, self.timepoint)


@dataclass(frozen=True, kw_only=True)
class Ack(Message):
    """What became of images.

    Attributes
    ----------
    state : {"received", "displayed", "failed", "again"}
        Received: copied, the slot is free. Failed: it will not be shown. Again: the slot could not be read (any more).
    incarnation : str
        Of the viewer.
    seqs : sequence of int
        The images; empty with "displayed".
    stream : str
        With "displayed".
    count : int
        With "displayed": images of the stream that have been drawn.
    reason : str
        For people.
    """

    type: ClassVar[str] = "ack"
    state: Literal["received", "displayed", "failed", "again"]
    incarnation: str
    seqs: tuple[int, ...] = ()
    stream: str = ""
    count: int = 0
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress(Message):
    """How far the run is, as `openhcs_core.progress.Progress`; a total of 0 where there is nothing to count."""

    type: ClassVar[str] = "progress"
    what: str
    done: int = 0
    total: int = 0
    unit: str = ""
    subject: str = ""


@dataclass(frozen=True, kw_only=True)
class End(Message):
    """Nothing more comes of a stream from this publisher, which took so many images.

    Of them so many reached this viewer, and so many did not, those included that were dropped for want of room.
    Aborted: the run did not come to its end.
    """

    type: ClassVar[str] = "end"
    stream: str
    images: int
    delivered: int
    undelivered: int
    aborted: bool = False


@dataclass(frozen=True, kw_only=True)
class Error(Message):
    """A message could not be taken; never an answer to another error."""

    type: ClassVar[str] = "error"
    message: str


@dataclass(frozen=True, kw_only=True)
class Ping(Message):
    """Are you there?"""

    type: ClassVar[str] = "ping"


@dataclass(frozen=True, kw_only=True)
class Pong(Introduction):
    """I am. Of a viewer, ready once it takes images; `port` is that of its data."""

    type: ClassVar[str] = "pong"
    ready: bool = True
    port: int = 0


@dataclass(frozen=True, kw_only=True)
class Status(Message):
    """How are you doing? Answered by `State`."""

    type: ClassVar[str] = "status"


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


@dataclass(frozen=True, kw_only=True)
class State(Message):
    """What a viewer holds and counted."""

    type: ClassVar[str] = "state"
    publishers: int = 0
    received: int = 0
    displayed: int = 0
    failed: int = 0
    refused: int = 0
    nbytes: int = 0
    streams: tuple[StreamState, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Shutdown(Message):
    """A viewer is asked to end."""

    type: ClassVar[str] = "shutdown"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Replay(Message):
    """A viewer wants everything again, of one stream or (without its name) of all."""

    type: ClassVar[str] = "replay"
    stream: str | None = None


@dataclass(frozen=True, kw_only=True)
class Credits(Message):
    """A viewer changes how much may be on the way; 0 is a pause."""

    type: ClassVar[str] = "credits"
    credits: int
    window_bytes: int


@dataclass(frozen=True, kw_only=True)
class Bye(Message):
    """I am leaving, on purpose."""

    type: ClassVar[str] = "bye"
    reason: str = ""


TYPES: dict[str, type[Message]] = {
    kind.type: kind
    for kind in (
        *(Hello, Welcome, Begin, Image, Ack, Progress, End, Error, Ping, Pong, Status, State, Shutdown, Replay),
        *(Credits, Bye),
    )
}
"""All types by their name on the wire."""


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise MessageError(f"A message is refused: {problem}.")
