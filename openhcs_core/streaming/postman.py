"""The thread of a publisher with its sockets: greets viewers, fills their windows, notices when they are gone."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import zmq

from openhcs_core.streaming.errors import MessageError
from openhcs_core.streaming.identity import this_process
from openhcs_core.streaming.link import Link, Stream
from openhcs_core.streaming.messages import (
    Ack,
    Bye,
    Credits,
    Error,
    Hello,
    Message,
    Ping,
    Pong,
    Probe,
    Progress,
    Replay,
    Welcome,
)
from openhcs_core.streaming.outbox import Entry, Outbox
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.slots import PooledSlot, SlotPool
from openhcs_core.streaming.sockets import (
    LOST_S,
    PING_S,
    Mailbox,
    Peer,
    Server,
    connect,
    incoming,
    listen,
    messages,
    open_gate,
)
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, Buffer, decode

logger = logging.getLogger(__name__)

INLINE_BYTES = 64 * 1024
"""Smaller images go inside the message in any case: copying them is quicker than finding them."""

_MAX_VIEWERS = 32
_GREET_S = 0.3
_AT_ONCE = 64
_FLUSH_MS = 500
_PART_S = 3.0
"""How long to wait for a viewer to have read the last message: closing at once could take it away from it."""


class Postman:
    """See above. Its public methods may be called from any thread."""

    def __init__(
        self,
        outbox: Outbox,
        streams: Mapping[str, Stream],
        servers: Sequence[Server],
        endpoint: str | None,
        keys: CurveKeys | None,
        allowed: tuple[str, ...],
        name: str,
        id: str,
    ) -> None:
        self._outbox, self._streams = outbox, streams
        self._hello = Hello(role="publisher", id=id, incarnation=uuid.uuid4().hex, name=name, **this_process())
        self._probe_slot: PooledSlot | None = None
        self._mailbox = Mailbox()
        self._context = zmq.Context()
        self._sockets: list[zmq.Socket] = []
        self._links: dict[Peer, Link] = {}
        self._lingering: list[tuple[Any, Entry]] = []
        self._progress: Progress | None = None
        self._closing: tuple[float, float, float] | None = None
        self._moved = 0.0
        self._live = threading.Condition()
        self._refused = 0
        self.endpoint = None
        try:
            self._gate = open_gate(self._context, keys, allowed)
            if endpoint is not None:
                router, self.endpoint = listen(self._context, endpoint, keys, MAX_HEADER_BYTES)
                self._sockets.append(router)
            for server in servers:
                dealer = connect(self._context, server, keys, MAX_HEADER_BYTES)
                self._sockets.append(dealer)
                self._links[Peer(dealer)] = Link(server.endpoint)
        except BaseException:
            self._context.destroy(linger=0)
            self._mailbox.close()
            raise
        self._thread = threading.Thread(target=self._run, name="openhcs-publisher", daemon=True)

    @property
    def links(self) -> list[Link]:
        """All viewers, also those that are gone."""
        return list(self._links.values())

    @property
    def refused(self) -> int:
        """Messages and clients that made no sense or had no right."""
        return self._refused + (self._gate.refused if self._gate else 0)

    def probe(self, pool: SlotPool) -> None:
        """Let viewers find out whether they see the shared memory of this machine."""
        slot = pool.take(16, alone=True) if pool.shared else None
        if slot is not None and slot.place is not None:
            nonce = secrets.token_bytes(16)
            slot.data[:] = nonce
            self._probe_slot = slot
            self._hello = replace(self._hello, probe=Probe(slot=slot.place, nonce=nonce.hex()))

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Something has changed."""
        self._mailbox.post()

    def begun(self, stream: str) -> None:
        """What is known about a stream has changed."""
        self._mailbox.post(lambda: self._begin_again(stream))

    def progress(self, progress: Progress) -> None:
        """Tell all viewers."""
        self._mailbox.post(lambda: self._tell_progress(progress))

    def wait_for(self, viewers: int, timeout_s: float) -> bool:
        """Wait for so many viewers."""
        with self._live:
            return self._live.wait_for(lambda: sum(link.state == "live" for link in self.links) >= viewers, timeout_s)

    def close(self, drain_s: float, absent_s: float) -> None:
        """Deliver what there is, as long as that goes on; then part."""

        def closing() -> None:
            self._closing = time.monotonic(), drain_s, absent_s

        self._mailbox.post(closing)
        self._thread.join()
        self._mailbox.close()

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:
            logger.exception("The publisher has failed; images do not reach viewers any more.")
        finally:
            if self._gate:
                self._gate.socket.close()
            for each in self._sockets:
                each.close(linger=_FLUSH_MS)
            self._context.term()
            for link in self.links:
                link.ground()

    def _loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._mailbox.fd, zmq.POLLIN)
        for each in [*self._sockets, *([self._gate.socket] if self._gate else [])]:
            poller.register(each, zmq.POLLIN)
        last_beat, more = 0.0, False
        parting = 0.0
        while True:
            if not parting and self._done():
                parting = time.monotonic()
                for peer, link in self._links.items():
                    self._part(peer, link)
            if parting and (self._all_parted() or time.monotonic() > parting + _PART_S):
                return
            ready = dict(poller.poll(0 if more else 100))
            now = time.monotonic()
            self._mailbox.work()
            if self._gate and self._gate.socket in ready:
                self._gate.answer()
            for each in self._sockets:
                if each in ready:
                    for frames in messages(each):
                        self._take(each, frames, now)
            if now - last_beat > 0.1:
                last_beat = now
                self._beat(now)
            self._let_go()
            more = sum(self._feed(peer, link) for peer, link in list(self._links.items())) > 0
            waited_for = [link.low_water for link in self._links.values() if link.state != "left"]
            self._outbox.delivered(min(waited_for, default=0))

    def _done(self) -> bool:
        """Whether it is time to part: nobody is waited for, or not any longer."""
        if self._closing is None:
            return False
        began, drain_s, absent_s = self._closing
        entries, streams = len(self._outbox.entries), set(self._streams)
        lacking = {
            link.state for link in self._links.values() if link.low_water < entries or not link.ended >= streams
        } - {"left"}
        now = time.monotonic()
        if "live" in lacking:
            return now > max(self._moved, began) + drain_s
        return now > began + absent_s if lacking or (not self._links and entries) else True

    def _all_parted(self) -> bool:
        return all(link.parted for link in self._links.values() if link.state == "live")

    def _take(self, source: zmq.Socket, frames: list[zmq.Frame], now: float) -> None:
        """One message of a viewer."""
        peer, buffers = incoming(source, frames)
        try:
            message, _ = decode(buffers)
        except MessageError as error:
            self._refuse(peer, str(error))
            return
        if isinstance(message, Hello):
            self._find(peer, message)
        link = self._links.get(peer)
        if link is None:
            self._refuse(peer, "Say hello first.")
            return
        link.heard = now
        if isinstance(message, Hello):
            self._greet(peer, link, now)
        elif isinstance(message, Welcome):
            self._welcome(link, message)
        elif isinstance(message, Ack):
            self._moved = now
            link.acknowledge(message)
        elif isinstance(message, Credits):
            link.change(message)
        elif isinstance(message, Replay):
            entries = self._outbox.entries
            wanted = [entry.image.seq for entry in entries if message.stream in (None, entry.image.stream)]
            link.restart(None if message.stream is None else wanted)
        elif isinstance(message, Ping):
            self._send(peer, Pong(name=self._hello.name, id=self._hello.id, incarnation=self._hello.incarnation))
        elif isinstance(message, Bye) and link.said_bye:
            link.parted = True
        elif isinstance(message, Bye):
            link.ground("left")
            self._send(peer, Bye())
            logger.info("The viewer %s has left.", link.name)
        elif isinstance(message, Error):
            self._refused += 1
            logger.warning("The viewer %s refuses a message: %s", link.name, message.message)

    def _find(self, peer: Peer, message: Hello) -> None:
        """A viewer has come: a new one, or one that is known from before and has been away."""
        if peer in self._links:
            if self._links[peer].state == "left":
                self._links[peer].state = "waiting"
            return
        for known, link in list(self._links.items()):
            if link.id == message.id and known.socket is peer.socket:
                del self._links[known]
                link.ground("lost")
                self._links[peer] = link
                return
        if len(self._links) < _MAX_VIEWERS:
            self._links[peer] = Link(message.name or "viewer", id=message.id)

    def _greet(self, peer: Peer, link: Link, now: float) -> None:
        link.greeted = now
        self._send(peer, self._hello)

    def _welcome(self, link: Link, message: Welcome) -> None:
        back = link.state == "lost"
        with self._live:
            if link.state == "live" and link.incarnation == message.incarnation:
                return
            link.ground()
            link.welcome(message)
            self._live.notify_all()
        way = "shared memory" if link.shared_memory else "messages"
        logger.info("The viewer %s is %s (images in %s).", link.name, "back" if back else "here", way)
        if self._progress:
            self._tell_progress(self._progress)

    def _beat(self, now: float) -> None:
        """Ping, and notice who does not answer."""
        for peer, link in list(self._links.items()):
            if link.state == "live" and now - link.heard > LOST_S:
                logger.warning("The viewer %s does not answer any more; its images are kept for it.", link.name)
                link.ground("lost")
            if link.state == "live" and now - link.pinged > PING_S:
                link.pinged = now
                self._send(peer, Ping())
            elif link.state in ("waiting", "lost") and now - link.greeted > _GREET_S:
                self._greet(peer, link, now)

    def _feed(self, peer: Peer, link: Link) -> bool:
        """Send a viewer what its window has room for; whether there may be more at once."""
        if link.state != "live":
            return False
        if not all(self._begin(peer, link, name) for name in list(self._streams)):
            return False
        # What is on its way stays in memory: a viewer that stalls must leave room for what the pipeline makes.
        share = self._outbox.window // (4 * len(self._links))
        for _ in range(_AT_ONCE):
            entry = link.next(self._outbox.entries, share)
            if entry is None:
                self._end_streams(peer, link)
                return False
            if not self._begin(peer, link, entry.image.stream) or not self._send_image(peer, link, entry):
                return False
        return True

    def _begin(self, peer: Peer, link: Link, name: str) -> bool:
        """Have a stream begun; whether it has. Another may begin at any time, so each image asks for its own."""
        if name not in link.begun and self._send(peer, self._streams[name].begin):
            link.begun.add(name)
        return name in link.begun

    def _send_image(self, peer: Peer, link: Link, entry: Entry) -> bool:
        held = self._outbox.hold(entry)
        if held is None:
            link.lost_on_the_way(entry)
            return True
        if isinstance(held, bytes):
            payload: Buffer | None = held
            slot = None
        else:
            slot = held.place if link.shared_memory and entry.image.nbytes > INLINE_BYTES else None
            payload = held.data if slot is None else None
        tracker = self._send(peer, entry.image, payload, slot=slot)
        if tracker is None:
            if not isinstance(held, bytes):
                self._outbox.release(entry)
            return False
        self._moved = time.monotonic()
        link.sent(entry, (lambda: None) if isinstance(held, bytes) else lambda: self._release(entry, tracker))
        return True

    def _release(self, entry: Entry, tracker: zmq.MessageTracker) -> None:
        if tracker.done:
            self._outbox.release(entry)
        else:  # the socket still reads from the slot
            self._lingering.append((tracker, entry))

    def _let_go(self) -> None:
        if self._lingering:
            done = [entry for tracker, entry in self._lingering if tracker.done]
            self._lingering = [kept for kept in self._lingering if not kept[0].done]
            for entry in done:
                self._outbox.release(entry)

    def _end_streams(self, peer: Peer, link: Link) -> None:
        water = link.low_water
        for name, stream in list(self._streams.items()):
            due = stream.ended and name not in link.ended and water >= stream.last
            if due and self._send(peer, link.end_of(stream, self._outbox.entries)):
                link.ended.add(name)

    def _part(self, peer: Peer, link: Link) -> None:
        """Tell a viewer what it has not got, and goodbye."""
        if link.state != "live":
            return
        for name, stream in self._streams.items():
            if name not in link.ended:
                self._send(peer, link.end_of(stream, self._outbox.entries))
        link.said_bye = True
        self._send(peer, Bye())

    def _begin_again(self, stream: str) -> None:
        for link in self._links.values():
            link.begun.discard(stream)

    def _tell_progress(self, progress: Progress) -> None:
        self._progress = progress
        for peer, link in self._links.items():
            if link.state == "live":
                self._send(peer, progress)

    def _refuse(self, peer: Peer, problem: str) -> None:
        self._refused += 1
        self._send(peer, Error(message=problem))

    def _send(
        self, peer: Peer, message: Message, payload: Buffer | None = None, **changes: Any
    ) -> zmq.MessageTracker | None:
        """Send if that is possible at once; None if it is not."""
        try:
            return peer.send(message, payload, **changes)
        except ConnectionError:
            link = self._links.get(peer)
            if link and link.state == "live":
                link.ground("lost")
            return None
