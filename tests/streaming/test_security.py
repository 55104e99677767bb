"""Who comes in and who does not; what strangers send and see."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress

import numpy as np
import pytest
import zmq

from openhcs_core.streaming.control import ask
from openhcs_core.streaming.endpoints import check_target, control_of, is_local
from openhcs_core.streaming.errors import SecurityError, StreamingError
from openhcs_core.streaming.messages import (
    Begin,
    Ping,
)
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.security import CurveKeys, public_key, require_keys
from openhcs_core.streaming.sockets import Server
from tests.streaming.peers import Recorder, address, plane, until

ANY = "tcp://127.0.0.1:0"
QUICK = PublisherOptions(absent_s=5, shared_memory=False)
SECRET = b"nobody but the viewer sees this."


@pytest.fixture
def keys():
    return CurveKeys.new(), CurveKeys.new()


class Tap:
    """Stands between two peers, passes everything on and keeps it."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        self.seen = bytearray()
        self._port = port
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        one, _ = self._listening.accept()
        two = socket.create_connection(("127.0.0.1", self._port))
        self._listening.close()
        back = threading.Thread(target=self._pass, args=(two, one))
        back.start()
        self._pass(one, two)
        back.join()
        one.close()
        two.close()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # they may hang up as they like
            while data := source.recv(65536):
                self.seen += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def join(self) -> None:
        self._threads[0].join(10)


def send_secret(publisher: Publisher) -> None:
    publisher.begin(Begin(stream="s", title=SECRET.decode()))
    publisher.save("s", np.frombuffer(SECRET * 4096, np.uint8).reshape(-1, 32).copy(), address(0))


@pytest.mark.parametrize("encrypted", [True, False])
def test_an_eavesdropper_sees_no_pixel_and_no_key(keys, encrypted):
    mine, theirs = keys
    recorder = Recorder()
    recorder.received = lambda image: recorder.times.update([image.seq])
    given = {"keys": theirs, "allow": [mine.public]} if encrypted else {}
    with Receiver(recorder, listen=ANY, **given) as receiver:
        tap = Tap(int(receiver.endpoint.rpartition(":")[2]))
        server = Server(tap.endpoint, theirs.public if encrypted else None)
        with Publisher([server], keys=mine if encrypted else None, options=QUICK) as publisher:
            send_secret(publisher)
            publisher.close()
    tap.join()
    assert len(recorder.times) == 1
    assert len(tap.seen) > 4096 * 32
    assert (SECRET in tap.seen) == (not encrypted)  # the tap does see what is not encrypted
    for secret in (mine.secret, theirs.secret):
        assert secret not in tap.seen
        assert zmq.utils.z85.decode(secret) not in tap.seen


@pytest.mark.parametrize("which", ["stranger", "none", "wrong server"])
def test_a_client_with_a_wrong_key_gets_nothing(keys, which):
    mine, theirs = keys
    recorder = Recorder()
    with Publisher(listen=ANY, keys=mine, allow=[theirs.public], options=QUICK) as publisher:
        send_secret(publisher)
        own = {"stranger": CurveKeys.new(), "none": None, "wrong server": theirs}[which]
        wanted = {"stranger": mine.public, "none": None, "wrong server": CurveKeys.new().public}[which]
        with Receiver(recorder, connect=[Server(publisher.endpoint, wanted)], keys=own):
            assert not publisher.wait(1.0)
        right = Recorder()
        right.received = lambda image: right.times.update([image.seq])
        with Receiver(right, connect=[Server(publisher.endpoint, mine.public)], keys=theirs):
            report = publisher.close()
    assert recorder.begins == []
    assert len(right.times) == 1
    assert (report.refused > 0) == (which == "stranger")


def test_a_viewer_lets_publishers_in_as_their_keys_come(keys):
    mine, theirs = keys
    recorder = Recorder()
    with Receiver(recorder, listen=ANY, keys=theirs) as receiver:
        assert ask(receiver.endpoint, Ping(), 0.5, mine, theirs.public) is None
        assert ask(receiver.endpoint, Ping(), 0.5, CurveKeys.new(), theirs.public) is None
        both = until(receiver.state, lambda state: state.refused >= 2).refused
        receiver.allow(mine.public)
        assert until(receiver.state, lambda state: state.refused < both).refused > 0  # the stranger stays one
        assert ask(receiver.endpoint, Ping(), 20, mine, theirs.public).ready
        with Publisher([Server(receiver.endpoint, theirs.public)], keys=mine) as publisher:
            publisher.begin(Begin(stream="s"))
            publisher.save("s", plane(3), address(3))
    assert (len(recorder.times), recorder.wrong) == (1, 0)


def test_outside_this_machine_there_are_always_keys(keys):
    for endpoint in (
        "tcp://*:5555",
        "tcp://0.0.0.0:5555",
        "tcp://192.168.1.20:5555",
        "tcp://desk:5555",
        "tcp://[::]:1",
    ):
        with pytest.raises(SecurityError, match="keys are needed"):
            require_keys(endpoint, None)
        require_keys(endpoint, keys[0])
    with pytest.raises(SecurityError):
        Publisher(["tcp://192.0.2.1:5555"])
    with pytest.raises(SecurityError):
        Publisher([Server("tcp://192.0.2.1:5555", None)], keys=keys[0])
    with pytest.raises(SecurityError):
        Receiver(Recorder(), listen="tcp://*:0")
    local = ("tcp://127.0.0.1:1", "tcp://127.8.8.8:1", "tcp://[::1]:1", "tcp://localhost:1", "ipc:///tmp/x")
    assert all(is_local(endpoint) for endpoint in local)


def test_keys_are_not_shown_and_nonsense_is_none(keys):
    assert keys[0].secret.decode() not in repr(keys[0])
    assert len(public_key(f" {keys[0].public}\n")) == 40
    for text in ("", "short", keys[0].public + "x", keys[0].public[:-1] + "ü"):
        with pytest.raises(SecurityError, match="64 hexadecimal digits"):
            public_key(text)


ALLOWED = ("10.1.0.0/16:5555-5600", "127.0.0.1:5555", "localhost:7000", "[2001:db8::]/32:9000")


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("tcp://10.1.2.3:5555", "tcp://10.1.2.3:5555"),
        ("tcp://10.1.2.3:5600", "tcp://10.1.2.3:5600"),
        ("tcp://10.1.2.3:5601", None),
        ("tcp://10.2.0.1:5555", None),
        ("tcp://localhost:5555", "tcp://127.0.0.1:5555"),
        ("tcp://127.0.0.1:22", None),
        ("tcp://[2001:db8::5]:9000", "tcp://[2001:db8::5]:9000"),
        ("tcp://[2001:db9::5]:9000", None),
        ("tcp://0x7f000001:22", None),
        ("tcp://2130706433:22", None),
    ],
)
def test_only_allowed_targets_by_number(endpoint, expected):
    if expected is None:
        with pytest.raises(StreamingError):
            check_target(endpoint, ALLOWED)
    else:
        assert check_target(endpoint, ALLOWED) == expected


def test_no_list_allows_nothing_and_other_schemes_are_none():
    with pytest.raises(SecurityError, match="administrator"):
        check_target("tcp://127.0.0.1:5555", ())
    for endpoint in ("ipc:///run/x", "tcp://h", "http://h:1", "tcp://h:99999", "tcp://a b:1", "tcp://u@h:1"):
        with pytest.raises(StreamingError, match="no address"):
            check_target(endpoint, ALLOWED)
    with pytest.raises(SecurityError, match="no network"):
        check_target("tcp://127.0.0.1:5555", ["a:b:c"])
    with pytest.raises(StreamingError, match="lower"):
        control_of("tcp://127.0.0.1:65000")


def test_the_first_viewers_control_messages():
    recorder = Recorder()
    with Receiver(recorder, listen=ANY) as receiver, zmq.Context() as context:
        client = context.socket(zmq.REQ)
        client.connect(control_of(receiver.endpoint))
        replies = []
        for text in (b'{"type": "ping"}', b'{"type": "shutdown"}', b"\x80\x04K\x01.", b'{"type": "status"}'):
            client.send(text)
            assert client.poll(5000)
            replies.append(json.loads(client.recv()))
        client.close(linger=0)
    assert [reply["type"] for reply in replies] == ["pong", "pong", "error", "state"]
    assert replies[0]["ready"] is True
    assert [reply["status"] for reply in replies] == ["ok", "ok", "error", "ok"]
    assert recorder.shutdowns == [""]
