"""What goes to which viewer, and when: images alone or together, never more than its window has room for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import zmq

from openhcs_core.streaming.link import Flight, Link, Stream
from openhcs_core.streaming.messages import Image, Images
from openhcs_core.streaming.outbox import Entry, Outbox
from openhcs_core.streaming.slots import PooledSlot
from openhcs_core.streaming.sockets import Peer

INLINE_BYTES = 64 * 1024
"""Smaller images go inside the message in any case: copying them is quicker than finding them."""

TOGETHER = 8
"""Images in one message; not so many that long names could make it too large."""

_AT_ONCE = 64
_TOGETHER_BYTES = 4 << 20
_TOGETHER_MS = 2
"""What comes quickly goes together: when it is so much, or after so long. What comes after a while goes at once."""
_IDLE_MS = 100


class Delivery:
    """Sends images and what frames them. For the postman's thread, but for `added`.

    Parameters
    ----------
    outbox : Outbox
    streams : mapping of str to Stream
    send : callable
        Given peer, message, and what `Peer.send` takes; returns None if that is not possible now.

    Attributes
    ----------
    moved : float
        When something was sent, or arrived; monotonic seconds.
    wait_ms : int
        How long there will be nothing to do unless something happens.
    """

    def __init__(
        self,
        outbox: Outbox,
        streams: Mapping[str, Stream],
        send: Callable[..., zmq.MessageTracker | None],
    ) -> None:
        self._outbox, self._streams, self._send = outbox, streams, send
        self._lingering: list[Flight] = []
        self._idle, self._unsent = True, 0
        self._hungry = self._behind = False
        self._fed = 0.0
        self.moved = 0.0
        self.wait_ms = 0

    def added(self, nbytes: int) -> bool:
        """There is another image; whether it has to go now. From any thread."""
        self._unsent += nbytes
        return self._hungry and (self._idle or self._unsent >= _TOGETHER_BYTES)

    def work(self, links: Mapping[Peer, Link]) -> None:
        """Send what it is time for."""
        self._let_go()
        now = time.monotonic()
        if self._idle or self._behind or self._unsent >= _TOGETHER_BYTES or now > self._fed + _TOGETHER_MS / 1000:
            self._fed = now
            self._idle, self._unsent = True, 0  # first: what is added from now on asks to be sent
            live = [link for link in links.values() if link.state == "live"]
            self._hungry = bool(live)
            known = len(self._outbox.entries)
            sent = [self._feed(peer, link, len(links)) for peer, link in list(links.items())]
            self._idle = not any(sent)
            behind = [link.cursor < known or bool(link.retry) for link in live]
            self._behind, self._hungry = any(behind), not all(behind)
            busy = 0 if max(sent, default=0) == _AT_ONCE else _TOGETHER_MS
            self.wait_ms = _IDLE_MS if self._idle else busy
        self._outbox.delivered(min((link.low_water for link in links.values() if link.state != "left"), default=0))

    def end(self, peer: Peer, link: Link) -> None:
        """Tell a viewer of the end of all streams, whatever it lacks."""
        for name, stream in list(self._streams.items()):
            if name not in link.ended:
                self._send(peer, link.end_of(stream, self._outbox.entries))

    def land(self, flights: Sequence[Flight]) -> None:
        """Let go of what is not on its way any more, but for slots from which a socket still reads."""
        free = []
        for flight in flights:
            if flight.tracker and not flight.tracker.done:
                self._lingering.append(flight)
            elif flight.held:
                free.append(flight.entry)
        if free:
            self._outbox.release(free)

    def _let_go(self) -> None:
        lingering, self._lingering = self._lingering, []
        self.land(lingering)

    def _feed(self, peer: Peer, link: Link, viewers: int) -> int:
        """Send a viewer what its window has room for, or a part of it; how many images."""
        if link.state != "live":
            return 0
        if len(link.begun) < len(self._streams):
            for name in list(self._streams):
                self._begin(peer, link, name)
        # What is on its way stays in memory: a viewer that stalls must leave room for what the pipeline makes.
        share = self._outbox.window // (4 * viewers)
        together: list[Image] = []
        sent, entry = 0, None
        for _ in range(_AT_ONCE):
            entry = link.next(self._outbox.entries, share)
            if entry is None or not self._image(peer, link, entry, together):
                break
            sent += 1
        if self._together(peer, link, together) and entry is None:
            self._end_what_is_complete(peer, link)
        if sent:
            self.moved = time.monotonic()
        return sent

    def _begin(self, peer: Peer, link: Link, name: str) -> bool:
        """Have a stream begun; whether it has. Another may begin at any time, so each image asks for its own."""
        if name not in link.begun and self._send(peer, self._streams[name].begin):
            link.begun.add(name)
        return name in link.begun

    def _image(self, peer: Peer, link: Link, entry: Entry, together: list[Image]) -> bool:
        """Send an image, or put it to those that go together; false if that is not possible now."""
        if not self._begin(peer, link, entry.image.stream):
            return False
        held = self._outbox.hold(entry)
        if held is None:
            link.lost_on_the_way(entry)
            return True
        slot = held if isinstance(held, PooledSlot) else None
        if slot and entry.image.slot and link.shared_memory and slot.nbytes > INLINE_BYTES:
            link.sent(Flight(entry))
            together.append(entry.image)
            return len(together) < TOGETHER or self._together(peer, link, together)
        tracker = self._send(peer, entry.image, slot.data if slot else held, slot=None)
        if tracker is None:
            if slot:
                self._outbox.release([entry])
            return False
        link.sent(Flight(entry, slot is not None, tracker))
        return True

    def _together(self, peer: Peer, link: Link, together: list[Image]) -> bool:
        """Send images that are in slots, if there are any, and empty the list."""
        if not together:
            return True
        sent = self._send(peer, together[0] if len(together) == 1 else Images(images=tuple(together)))
        if sent is None and link.state == "live":
            link.take_back([image.seq for image in together])
        together.clear()
        return sent is not None

    def _end_what_is_complete(self, peer: Peer, link: Link) -> None:
        water = link.low_water
        for name, stream in list(self._streams.items()):
            due = stream.ended and name not in link.ended and water >= stream.last
            if due and self._send(peer, link.end_of(stream, self._outbox.entries)):
                link.ended.add(name)
