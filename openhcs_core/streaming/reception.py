"""The thread of a viewer that owns its sockets."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import zmq

from openhcs_core.streaming.control import ControlServer
from openhcs_core.streaming.endpoints import CONTROL_OFFSET, control_of, parse, tcp
from openhcs_core.streaming.errors import MessageError, SecurityError, StreamingError
from openhcs_core.streaming.identity import this_process
from openhcs_core.streaming.intake import Intake, Viewer
from openhcs_core.streaming.messages import (
    Ack,
    Begin,
    Bye,
    Credits,
    End,
    Error,
    Hello,
    Image,
    Images,
    Message,
    Ping,
    Pong,
    Progress,
    Replay,
    State,
    Welcome,
)
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import (
    LOST_S,
    Mailbox,
    Peer,
    Server,
    connect,
    incoming,
    listen,
    messages,
    open_gate,
)
from openhcs_core.streaming.subscriber import Subscriber
from openhcs_core.streaming.wire import MAX_HEADER_BYTES, Buffer, decode

logger = logging.getLogger(__name__)

_MAX_PUBLISHERS = 256
_GREET_S = 0.3
_DISPLAYED_S = 0.2
_PART_S = 1.0
_ACK_BYTES = 4 << 20


@dataclass
class _Publisher:
    """A publisher as its viewer sees it."""

    id: str
    name: str
    heard: float
    lost: bool = False
    received: list[int] = field(default_factory=list)
    unsaid_bytes: int = 0


class Reception:
    """The thread of a viewer with its sockets: greets publishers, hands what they send to the intake, acknowledges.

    What begins with an underscore, and what is given to `call`, runs in the thread, but for what comes before `start`.
    """

    def __init__(
        self,
        viewer: Viewer,
        intake: Intake,
        window: Credits,
        max_plane_bytes: int,
        name: str,
        endpoint: str | None,
        servers: Sequence[Server],
        keys: CurveKeys | None,
        allowed: tuple[str, ...],
        id: str | None,
        displays: bool,
    ) -> None:
        self._displays = displays
        self._viewer, self._intake, self._window, self._name = viewer, intake, window, name
        self._max_plane_bytes, self._keys = max_plane_bytes, keys
        self._mailbox = Mailbox()
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self._sockets: list[zmq.Socket] = []
        self._greeted: dict[zmq.Socket, float] = {}
        self._publishers: dict[Peer, _Publisher] = {}
        self._subscribers: list[Subscriber] = []
        self._told: dict[str, int] = {}
        self._told_at = 0.0
        self._parting = 0.0
        self._control: ControlServer | None = None
        self._closed = False
        self.endpoint: str | None = None
        self._thread = threading.Thread(target=self._run, name="openhcs-receiver", daemon=True)
        try:
            self._gate = open_gate(self._context, keys, allowed)
            if endpoint is not None:
                self._listen(endpoint)
            for server in servers:
                self.connect(server)
        except BaseException:
            self._context.destroy(linger=0)
            self._mailbox.close()
            raise
        self._me = this_process()
        self._incarnation = uuid.uuid4().hex
        self._port = parse(self.endpoint).port if self._control and self.endpoint else 0
        self._id = id or f"{name}@{self._me['host']}:{self._port or self._me['pid']}"

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Say goodbye, from outside the thread."""
        if not self._closed:
            self._closed = True
            self._mailbox.post(self._finish)
            if self.started:
                self._thread.join()
            else:
                self._run()
            self._mailbox.close()

    def allow(self, public_key: str) -> None:
        """Let one more publisher in."""
        if self._gate is None:
            raise SecurityError("There is nothing to allow: this viewer has no keys.")
        self._gate.allow(public_key)

    def change(self, window: Credits) -> None:
        """Take more or less at a time."""
        self._window = window
        self._tell(window)

    def replay(self, stream: str | None) -> None:
        """Ask for everything again."""
        self._intake.forget(stream)
        self._tell(Replay(stream=stream))

    def state(self) -> State:
        """Counts; from any thread."""
        state = self._intake.state(sum(not publisher.lost for publisher in list(self._publishers.values())))
        refused = sum(part.refused for part in (self._gate, self._control) if part is not None)
        return replace(state, refused=state.refused + refused)

    def _listen(self, endpoint: str) -> None:
        """Data and control; with any port, one that leaves room for control. No control beside a path."""
        if endpoint.startswith("ipc://"):
            router, self.endpoint = listen(self._context, endpoint, None, self._max_plane_bytes + MAX_HEADER_BYTES)
            self._add(router)
            return
        wanted = parse(endpoint)
        for attempt in range(20):
            max_bytes = self._max_plane_bytes + MAX_HEADER_BYTES
            router, self.endpoint = listen(self._context, endpoint, self._keys, max_bytes)
            host, port = parse(self.endpoint)
            try:
                if wanted.port == 0 and port + CONTROL_OFFSET > 65535:
                    raise StreamingError("There is no room for control above.")
                control, _ = listen(self._context, control_of(tcp(host, port)), self._keys, MAX_HEADER_BYTES)
            except StreamingError:
                router.close()
                if wanted.port or attempt == 19:
                    raise
                continue
            self._control = ControlServer(control, self._pong, self.state, self._viewer.shutdown)
            self._poller.register(control, zmq.POLLIN)
            self._add(router)
            return

    def connect(self, server: Server) -> None:
        """One more publisher."""
        dealer = connect(self._context, server, self._keys, self._max_plane_bytes + MAX_HEADER_BYTES)
        self._greeted[dealer] = -1e9
        self._add(dealer)

    def subscribe(self, endpoint: str) -> None:
        """One more of the first publishers."""
        subscriber = Subscriber(self._context, endpoint, self._intake)
        self._subscribers.append(subscriber)
        self._poller.register(subscriber.socket, zmq.POLLIN)

    def _add(self, each: zmq.Socket) -> None:
        self._sockets.append(each)
        self._poller.register(each, zmq.POLLIN)

    def call(self, work: Callable[[], object]) -> None:
        """Have something done in the thread, and wait for it."""
        if not self.started or threading.current_thread() is self._thread:
            work()
        else:
            self._mailbox.call(work, self._thread)

    def _run(self) -> None:
        self._poller.register(self._mailbox.fd, zmq.POLLIN)
        if self._gate:
            self._poller.register(self._gate.socket, zmq.POLLIN)
        last_beat = 0.0
        try:
            while not self._has_parted():
                ready = dict(self._poller.poll(100))
                self._mailbox.work(self._mailbox.fd in ready)
                if self._gate and self._gate.socket in ready:
                    self._gate.answer()
                if self._control and self._control.socket in ready:
                    self._control.answer()
                now = time.monotonic()
                for each in self._sockets:
                    if each in ready:
                        for frames in messages(each):
                            self._take(each, frames, now)
                        self._acknowledge_all()
                for subscriber in self._subscribers:
                    if subscriber.socket in ready:
                        subscriber.take()
                if now - last_beat > 0.1:
                    last_beat = now
                    self._beat(now)
        except Exception:
            logger.exception("The receiver has failed; no more images are taken.")
        finally:
            sockets = [*self._sockets, *(subscriber.socket for subscriber in self._subscribers)]
            sockets += [self._control.socket] if self._control else []
            sockets += [self._gate.socket] if self._gate else []
            silent = set(self._greeted) - {peer.socket for peer in self._publishers}
            for each in sockets:
                each.close(linger=0 if each in silent else 500)
            self._context.term()
            self._intake.close()

    def _finish(self) -> None:
        """Say goodbye; the answers are waited for, as closing at once could take the last messages away."""
        self._tell_displayed()
        self._acknowledge_all()
        self._tell(Bye())
        self._parting = time.monotonic()

    def _has_parted(self) -> bool:
        there = any(not publisher.lost for publisher in self._publishers.values())
        return bool(self._parting) and (not there or time.monotonic() > self._parting + _PART_S)

    def _take(self, source: zmq.Socket, frames: list[Buffer], now: float) -> None:
        """One message of a publisher; nothing in it ends the thread."""
        peer, buffers = incoming(source, frames)
        try:
            message, payload = decode(buffers)
            self._handle(peer, message, payload, now)
        except MessageError as error:
            self._intake.refused += 1
            self._send(peer, Error(message=str(error)[:1000]))
        except Exception:
            logger.exception("A message could not be taken.")
            self._intake.refused += 1

    def _handle(self, peer: Peer, message: Message, payload: Buffer | None, now: float) -> None:
        if isinstance(message, Hello):
            self._hello(peer, message, now)
            return
        if isinstance(message, Error):
            self._intake.refused += 1
            logger.warning("A publisher refuses a message: %s", message.message)
            return
        publisher = self._publishers.get(peer)
        if publisher is None or publisher.lost:
            if not isinstance(message, Bye):
                self._send(peer, self._greeting())
            return
        publisher.heard = now
        if isinstance(message, Image):
            self._image(peer, publisher, message, payload)
        elif isinstance(message, Images):
            for image in message.images:
                self._image(peer, publisher, image, None)
        elif isinstance(message, Begin):
            self._intake.begin(publisher.id, message)
        elif isinstance(message, End):
            self._intake.end(publisher.id, message)
        elif isinstance(message, Progress):
            self._intake.progress(message)
        elif isinstance(message, Ping):
            self._send(peer, self._pong())
        elif isinstance(message, Bye):
            if not self._parting:
                self._acknowledge(peer, publisher)
                self._send(peer, Bye())
            self._intake.gone(publisher.id)
            del self._publishers[peer]
        elif not isinstance(message, Pong):
            raise MessageError(f"A viewer takes no message '{message.type}'.")

    def _image(self, peer: Peer, publisher: _Publisher, image: Image, payload: Buffer | None) -> None:
        state, reason = self._intake.image(publisher.id, image, payload)
        if state == "received":
            publisher.received.append(image.seq)
            publisher.unsaid_bytes += image.nbytes
            if publisher.unsaid_bytes >= _ACK_BYTES:
                self._acknowledge(peer, publisher)
        else:
            self._send(peer, Ack(state=state, incarnation=self._incarnation, seqs=(image.seq,), reason=reason))  # type: ignore[arg-type]

    def _hello(self, peer: Peer, hello: Hello, now: float) -> None:
        if hello.role != "publisher":
            raise MessageError("This is a viewer; another one said hello.")
        for known, publisher in list(self._publishers.items()):
            if publisher.id == hello.id and known != peer:
                del self._publishers[known]
        if peer not in self._publishers and len(self._publishers) >= _MAX_PUBLISHERS:
            raise MessageError(f"There are {_MAX_PUBLISHERS} publishers already.")
        self._publishers[peer] = _Publisher(hello.id, hello.name, now)
        self._send(
            peer,
            Welcome(
                id=self._id,
                incarnation=self._incarnation,
                name=self._name,
                shared_memory=self._intake.sees(hello.probe),
                credits=self._window.credits,
                window_bytes=self._window.window_bytes,
                max_plane_bytes=self._max_plane_bytes,
                displays=self._displays,
                **self._me,
            ),
        )

    def _beat(self, now: float) -> None:
        for peer, publisher in list(self._publishers.items()):
            if not publisher.lost and now - publisher.heard > LOST_S:
                logger.warning("The publisher %s is not there any more.", publisher.name)
                publisher.lost = True
                self._intake.gone(publisher.id)
            elif publisher.lost and now - publisher.heard > 15 * LOST_S and peer.route:
                del self._publishers[peer]
        for dealer, greeted in self._greeted.items():
            server = self._publishers.get(Peer(dealer))
            if (server is None or server.lost) and now - greeted > _GREET_S:
                self._greeted[dealer] = now
                self._send(Peer(dealer), self._greeting())
        if now - self._told_at > _DISPLAYED_S:
            self._told_at = now
            self._tell_displayed()

    def _tell_displayed(self) -> None:
        for name, stream in list(self._intake.streams.items()):
            if stream.displayed != self._told.get(name, 0):
                self._told[name] = stream.displayed
                self._tell(Ack(state="displayed", incarnation=self._incarnation, stream=name, count=stream.displayed))

    def _acknowledge_all(self) -> None:
        for peer, publisher in self._publishers.items():
            if publisher.received:
                self._acknowledge(peer, publisher)

    def _acknowledge(self, peer: Peer, publisher: _Publisher) -> None:
        seqs = tuple(publisher.received)
        if self._send(peer, Ack(state="received", incarnation=self._incarnation, seqs=seqs)):
            publisher.received.clear()
            publisher.unsaid_bytes = 0

    def _greeting(self) -> Hello:
        return Hello(role="viewer", id=self._id, incarnation=self._incarnation, name=self._name, **self._me)

    def _pong(self) -> Pong:
        return Pong(name=self._name, id=self._id, incarnation=self._incarnation, port=self._port, **self._me)

    def _tell(self, message: Message) -> None:
        for peer, publisher in self._publishers.items():
            if not publisher.lost:
                self._send(peer, message)

    def _send(self, peer: Peer, message: Message) -> bool:
        with suppress(ConnectionError):
            return peer.send(message) is not None
        return False
