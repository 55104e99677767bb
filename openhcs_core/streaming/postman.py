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

from openhcs_core.streaming.delivery import Delivery
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
from openhcs_core.streaming.outbox import Outbox
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

_MAX_VIEWERS = 32
_GREET_S = 0.3
_FLUSH_MS = 500
_PART_S = 3.0
"""How long to wait for a viewer to have read the last message: closing at once could take it away from it."""
_PART_ABORTED_S = 0.5
_DRAW_S = 1.0
"""How long to wait for a viewer that has everything to have drawn some more of it."""


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
        self._delivery = Delivery(outbox, streams, self._send)
        self._hello = Hello(role="publisher", id=id, incarnation=uuid.uuid4().hex, name=name, **this_process())
        self._probe_slot: PooledSlot | None = None
        self._mailbox = Mailbox()
        self._context = zmq.Context()
        self._sockets: list[zmq.Socket] = []
        self._links: dict[Peer, Link] = {}
        self._progress: Progress | None = None
        self._closing: tuple[float, float, float] | None = None
        self._aborted = False
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
                self._links[Peer(dealer)] = Link(server.endpoint, self._delivery.land)
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

    def added(self, nbytes: int) -> None:
        """There is another image."""
        if self._delivery.added(nbytes):
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

    def abort(self) -> None:
        """Part from the viewers at once, as soon as this is closed."""
        self._aborted = True
        self.wake()

    def _run(self) -> None:
        try:
            self._loop()
        except Exception:
            logger.exception("The publisher has failed; images do not reach viewers any more.")
            self._outbox.give_up()
        finally:
            if self._gate:
                self._gate.socket.close()
            there = {peer.socket for peer, link in self._links.items() if link.state in ("live", "left")}
            for each in self._sockets:
                each.close(linger=_FLUSH_MS if each in there else 0)
            self._context.term()
            for link in self.links:
                link.ground()

    def _loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._mailbox.fd, zmq.POLLIN)
        for each in [*self._sockets, *([self._gate.socket] if self._gate else [])]:
            poller.register(each, zmq.POLLIN)
        last_beat = 0.0
        parting = 0.0
        while True:
            if not parting and self._done():
                parting = time.monotonic()
                for peer, link in self._links.items():
                    self._part(peer, link)
            if parting and (
                self._all_parted() or time.monotonic() > parting + (_PART_ABORTED_S if self._aborted else _PART_S)
            ):
                return
            ready = dict(poller.poll(self._delivery.wait_ms))
            now = time.monotonic()
            self._mailbox.work(self._mailbox.fd in ready)
            if self._gate and self._gate.socket in ready:
                self._gate.answer()
            for each in self._sockets:
                if each in ready:
                    for frames in messages(each):
                        self._take(each, frames, now)
            if now - last_beat > 0.1:
                last_beat = now
                self._beat(now)
            self._delivery.work(self._links)

    def _done(self) -> bool:
        """Whether it is time to part: nobody is waited for, or not any longer."""
        if self._closing is None or self._aborted:
            return self._closing is not None
        began, drain_s, absent_s = self._closing
        entries, streams = len(self._outbox.entries), set(self._streams)
        lacking = {
            link.state for link in self._links.values() if link.low_water < entries or not link.ended >= streams
        } - {"left"}
        now = time.monotonic()
        if "live" in lacking:
            return now > max(self._delivery.moved, began) + drain_s
        if any(link.state == "live" and link.is_drawing(entries) for link in self._links.values()):
            return now > max(self._delivery.moved, began) + _DRAW_S
        return now > began + absent_s if lacking or (not self._links and entries) else True

    def _all_parted(self) -> bool:
        return all(link.parted for link in self._links.values() if link.state == "live")

    def _take(self, source: zmq.Socket, frames: list[Buffer], now: float) -> None:
        """One message of a viewer."""
        peer, buffers = incoming(source, frames)
        try:
            message, _ = decode(buffers)
        except MessageError as error:
            self._refuse(peer, str(error))
            return
        if isinstance(message, Hello) and message.role == "viewer":
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
            self._delivery.moved = now
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
            self._links[peer] = Link(message.name or "viewer", self._delivery.land, id=message.id)

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

    def _part(self, peer: Peer, link: Link) -> None:
        """Tell a viewer what it has not got, and goodbye."""
        if link.state != "live":
            return
        self._delivery.end(peer, link)
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
