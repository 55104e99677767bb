"""The messages between publishers and viewers: what they say, not how they travel.

``docs/messaging.md`` documents every type with an example. Each class is one type; its fields are the header.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from openhcs_core.plate import COMPONENTS, PlaneAddress
from openhcs_core.streaming.parts import (
    DTYPES,
    Channel,
    Introduction,
    Kind,
    Message,
    Probe,
    Slot,
    StreamState,
    Value,
    require,
)
from openhcs_core.streaming.parts import KINDS as KINDS

MAX_IMAGES = 64
"""Of one message."""


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

    So many images, and bytes of them, may be on the way; larger ones are refused; whether it has read the probe, and
    whether it tells what it has drawn.
    """

    type: ClassVar[str] = "welcome"
    credits: int
    window_bytes: int
    max_plane_bytes: int
    shared_memory: bool = False
    displays: bool = False


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
        require(bool(self.stream), "a stream needs a name")
        require(self.dtype is None or self.dtype in DTYPES, "a dtype is unknown")
        require(self.size_yx is None or all(0 < size < 2**31 for size in self.size_yx), "a size is out of range")
        require(self.values.keys() <= set(COMPONENTS), "a component is unknown")
        require(self.display.keys() <= set(COMPONENTS), "a component is unknown")


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
        require(self.dtype in DTYPES, "a dtype is unknown")
        height, width = self.shape
        require(0 <= height < 2**31 and 0 <= width < 2**31, "a size is out of range")
        fits = height * width * DTYPES[self.dtype].itemsize == self.nbytes
        require(fits, "the number of bytes does not fit shape and dtype")

    @property
    def address(self) -> PlaneAddress:
        """Its coordinates."""
        return PlaneAddress(self.well, self.site, self.channel, self.z_index, self.timepoint)


@dataclass(frozen=True, kw_only=True)
class Images(Message):
    """Several images at once, all of them in slots; nothing else than as many messages `Image`."""

    type: ClassVar[str] = "images"
    images: tuple[Image, ...]

    def __post_init__(self) -> None:
        require(0 < len(self.images) <= MAX_IMAGES, "it has no images, or too many")
        require(all(image.slot is not None for image in self.images), "an image is in no slot")


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
        *(Hello, Welcome, Begin, Image, Images, Ack, Progress, End, Error, Ping, Pong, Status, State, Shutdown),
        *(Replay, Credits, Bye),
    )
}
"""All types by their name on the wire."""
