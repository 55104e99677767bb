"""One viewer as its publisher sees it: what it has, what is on its way, how much more it takes. No sockets here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import zmq

from openhcs_core.streaming.messages import Ack, Begin, Credits, End, Image, Welcome
from openhcs_core.streaming.outbox import Entry

MAX_TRIES = 5
"""How often an image is sent whose slot the viewer cannot read."""


@dataclass
class Stream:
    """A stream as its publisher keeps it; `last` is the number of its last image."""

    begin: Begin
    images: int = 0
    last: int = 0
    ended: bool = False
    aborted: bool = False


@dataclass(frozen=True)
class ViewerReport:
    """What one viewer got.

    Attributes
    ----------
    name : str
        Of the viewer.
    state : {"live", "lost", "left", "waiting"}
        At the end; waiting is one that never answered.
    delivered, displayed : int
        Images that it received, and that it says it has drawn.
    failed : sequence of Image
        Those that it refused.
    undelivered : sequence of Image
        Those that it has not received.
    """

    name: str
    state: str
    delivered: int
    displayed: int
    failed: Sequence[Image]
    undelivered: Sequence[Image]

    def __str__(self) -> str:
        text = f"{self.name}: {self.delivered} images delivered"
        if self.displayed:
            text += f", {self.displayed} displayed"
        if self.failed:
            text += f", {len(self.failed)} refused"
        if self.undelivered:
            text += f", {len(self.undelivered)} NOT delivered"
        return text + ("" if self.state == "live" else f" (viewer {self.state})")


@dataclass(slots=True)
class Flight:
    """An image on its way; whether it holds its slot, and who tells when the socket has read what is there."""

    entry: Entry
    held: bool = True
    tracker: zmq.MessageTracker | None = None


@dataclass
class Link:
    """State of one viewer.

    Attributes
    ----------
    name : str
        For people: the endpoint or name of the viewer.
    land : callable
        Called with what is not on its way any more.
    state : {"waiting", "live", "lost", "left"}
    heard, greeted, pinged : float
        When it was last heard of, greeted, pinged; monotonic seconds.
    said_bye, parted : bool
        The publisher has said goodbye; the viewer has answered.
    """

    name: str
    land: Callable[[Sequence[Flight]], None]
    state: Literal["waiting", "live", "lost", "left"] = "waiting"
    id: str = ""
    incarnation: str = ""
    shared_memory: bool = False
    said_bye: bool = False
    parted: bool = False
    heard: float = 0.0
    greeted: float = -1e9
    pinged: float = 0.0
    credits: int = 0
    window_bytes: int = 0
    max_plane_bytes: int = 0
    cursor: int = 0
    in_flight: dict[int, Flight] = field(default_factory=dict)
    flying_bytes: int = 0
    retry: deque[int] = field(default_factory=deque)
    tries: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    displays: bool = False
    displayed: dict[str, int] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def welcome(self, message: Welcome) -> None:
        """It takes images from now on; if it was started anew, all of them."""
        if message.incarnation != self.incarnation:
            self.restart()
        self.id, self.incarnation, self.name = message.id, message.incarnation, message.name or self.name
        self.shared_memory, self.displays = message.shared_memory, message.displays
        self.max_plane_bytes = message.max_plane_bytes
        self.credits, self.window_bytes = message.credits, message.window_bytes
        self.begun.clear()
        self.ended.clear()
        self.state = "live"

    def is_drawing(self, images: int) -> bool:
        """Whether more is going to be drawn, as far as it says."""
        return self.displays and sum(self.displayed.values()) < images - len(self.failed)

    def change(self, message: Credits) -> None:
        """It takes more or less at a time."""
        self.credits, self.window_bytes = message.credits, message.window_bytes

    def restart(self, seqs: Sequence[int] | None = None) -> None:
        """Send everything, or the given images, again."""
        self.ground()
        if seqs is None:
            self.cursor = 0
            for kept in (self.retry, self.failed, self.missing, self.tries, self.displayed, self.begun, self.ended):
                kept.clear()
            return
        known = set(self.retry)
        self.retry.extend(seq for seq in seqs if seq <= self.cursor and seq not in known)
        self.ended.clear()
        for seq in seqs:
            self.failed.pop(seq, None)
            self.missing.discard(seq)
            self.tries.pop(seq, None)

    def ground(self, state: Literal["lost", "left"] | None = None) -> None:
        """What is on its way may not arrive: it is to be sent again."""
        self.take_back(list(self.in_flight))
        if state:
            self.state = state

    def take_back(self, seqs: Sequence[int]) -> None:
        """Images that are on their way are to be sent again."""
        flights = [self.in_flight.pop(seq) for seq in seqs]
        self.flying_bytes -= sum(flight.entry.image.nbytes for flight in flights)
        self.retry.extendleft(sorted(seqs, reverse=True))
        self.land(flights)

    def next(self, entries: Sequence[Entry], share: int) -> Entry | None:
        """What to send next; None if it has everything, or its window or share of the memory is full."""
        if self.state != "live" or len(self.in_flight) >= self.credits:
            return None
        while True:
            if self.retry:
                entry = entries[self.retry[0] - 1]
            elif self.cursor < len(entries):
                entry = entries[self.cursor]
            else:
                return None
            seq = entry.image.seq
            if not entry.exists:
                self._passed(seq)
                self.missing.add(seq)
            elif entry.image.nbytes > self.max_plane_bytes:
                self._passed(seq)
                self.failed[seq] = "larger than the viewer takes"
            elif self.in_flight and self.flying_bytes + entry.image.nbytes > min(self.window_bytes, share):
                return None
            else:
                return entry

    def sent(self, flight: Flight) -> None:
        """An image is on its way."""
        image = flight.entry.image
        self._passed(image.seq)
        self.in_flight[image.seq] = flight
        self.flying_bytes += image.nbytes

    def lost_on_the_way(self, entry: Entry) -> None:
        """Its bytes are gone."""
        self._passed(entry.image.seq)
        self.missing.add(entry.image.seq)

    def acknowledge(self, ack: Ack) -> None:
        """Take note of what became of images; what an earlier incarnation says does not count."""
        if ack.incarnation != self.incarnation:
            return
        if ack.state == "displayed":
            if ack.stream in self.begun:  # not of other publishers
                self.displayed[ack.stream] = ack.count
            return
        landed = []
        for seq in ack.seqs:
            flight = self.in_flight.pop(seq, None)
            if flight is not None:
                self.flying_bytes -= flight.entry.image.nbytes
                landed.append(flight)
            elif seq in self.retry:  # it had been given up too early
                self.retry.remove(seq)
            else:
                continue
            if ack.state == "failed":
                self.failed[seq] = ack.reason
            elif ack.state == "again":
                self.shared_memory = False
                self.tries[seq] = self.tries.get(seq, 0) + 1
                if self.tries[seq] < MAX_TRIES:
                    self.retry.append(seq)
                else:
                    self.failed[seq] = "the viewer could not read it"
        self.land(landed)

    @property
    def low_water(self) -> int:
        """It has, or will never have, every image before this index."""
        flying = min(self.in_flight, default=self.cursor + 1)
        return min(self.cursor, flying - 1, min(self.retry, default=flying) - 1)

    def undelivered(self, entries: Sequence[Entry]) -> list[Image]:
        """What it has not received; without what it refused."""
        seqs = {*self.in_flight, *self.retry, *self.missing}
        return [entries[seq - 1].image for seq in sorted(seqs)] + [entry.image for entry in entries[self.cursor :]]

    def end_of(self, stream: Stream, entries: Sequence[Entry]) -> End:
        """What it is told at the end of a stream; what it refused counts as not delivered."""
        name = stream.begin.stream
        seqs = {*self.in_flight, *self.retry, *self.missing, *self.failed}
        lost = sum(entry.image.stream == name for entry in entries[self.cursor :])
        lost += sum(entries[seq - 1].image.stream == name for seq in seqs)
        return End(
            stream=name,
            images=stream.images,
            delivered=stream.images - lost,
            undelivered=lost,
            aborted=stream.aborted,
        )

    def report(self, entries: Sequence[Entry]) -> ViewerReport:
        """What it got."""
        undelivered = self.undelivered(entries)
        failed = [entries[seq - 1].image for seq in sorted(self.failed)]
        delivered = len(entries) - len(undelivered) - len(failed)
        return ViewerReport(self.name, self.state, delivered, sum(self.displayed.values()), failed, undelivered)

    def _passed(self, seq: int) -> None:
        if self.retry and self.retry[0] == seq:
            self.retry.popleft()
        elif seq == self.cursor + 1:
            self.cursor = seq
