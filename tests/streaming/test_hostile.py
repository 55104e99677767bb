"""What strangers send does no harm."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import zmq

from openhcs_core.streaming.control import ask
from openhcs_core.streaming.endpoints import control_of
from openhcs_core.streaming.messages import (
    Ack,
    Begin,
    Bye,
    Hello,
    Image,
    Images,
    Ping,
    Progress,
    Slot,
    Status,
    Welcome,
)
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.relay import Relay
from openhcs_core.streaming.wire import PROTOCOL, encode
from tests.streaming.peers import ROOT, Recorder, address, plane, until

ANY = "tcp://127.0.0.1:0"
QUICK = PublisherOptions(absent_s=5, shared_memory=False)

IN_SLOT = Image(
    stream="fuzz",
    seq=1,
    shape=(4, 4),
    dtype="uint8",
    nbytes=16,
    slot=Slot(segment="x", offset=0, ticket=0),
)


def hostile(chance: random.Random) -> list[bytes]:
    """Frames nobody should send: noise, or messages with a few bytes changed."""
    if chance.random() < 0.3:
        return [chance.randbytes(chance.choice([0, 1, 5, 30, 300])) for _ in range(chance.randint(1, 5))]
    message, payload = chance.choice(
        [
            (Hello(role="publisher", id="x", incarnation="y"), None),
            (Begin(stream="fuzz", dtype="uint8", size_yx=(4, 4)), None),
            (Image(stream="fuzz", seq=chance.randint(1, 99), shape=(4, 4), dtype="uint8", nbytes=16), bytes(16)),
            (
                Image(
                    stream="fuzz",
                    seq=1,
                    shape=(4, 4),
                    dtype="uint8",
                    nbytes=16,
                    slot=Slot(segment=chance.choice(["x", "null"]), offset=chance.choice([0, 2**50]), ticket=0),
                ),
                None,
            ),
            (Images(images=(IN_SLOT, IN_SLOT)), None),
            (Ack(state="received", incarnation="y", seqs=(1, 2)), None),
            (Welcome(id="x", incarnation="y", credits=1, window_bytes=1, max_plane_bytes=1), None),
            (Hello(role="viewer", id="x", incarnation="y"), None),
            (Progress(what="w"), None),
            (Status(), None),
            (Bye(), None),
        ]
    )
    frames = [bytes(frame) for frame in encode(message, payload)]
    for _ in range(chance.randint(0, 3)):
        which = chance.randrange(len(frames))
        changed = bytearray(frames[which] or b"\0")
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        frames[which] = bytes(changed)
    if chance.random() < 0.1:
        frames.append(b"more")
    return frames


def hostile_json(chance: random.Random) -> list[bytes]:
    """What an old publisher should not send."""
    flat = {
        "shm_name": "psm_fuzz",
        "shape": [4, 4],
        "dtype": "uint8",
        "name": "A01_s001_w1_z001",
        "metadata": {"site": 1},
    }
    text = bytearray(
        json.dumps(chance.choice([flat, {"images": [flat] * 3, "display_config": {"site_mode": "STACK"}}])).encode()
    )
    for _ in range(chance.randint(0, 3)):
        text[chance.randrange(len(text))] = chance.randrange(256)
    return [bytes(text)]


class Attacker:
    """Sends messages to one socket, and reads what is answered."""

    def __init__(self, context: zmq.Context, kind: int, endpoint: str | None = None) -> None:
        self.socket = context.socket(kind)
        self.socket.linger = 5000
        self.socket.sndhwm = 0 if kind == zmq.PUB else 1000
        self.route = []
        if endpoint is None:
            port = self.socket.bind_to_random_port("tcp://127.0.0.1")
            self.endpoint = f"tcp://127.0.0.1:{port}"
        else:
            self.socket.connect(endpoint)

    def greeted(self) -> None:
        """Wait for somebody to come."""
        assert self.socket.poll(5000)
        self.route = self.socket.recv_multipart()[:1]

    def send(self, messages: list[list[bytes]]) -> None:
        for number, frames in enumerate(messages):
            self.socket.send_multipart(self.route + frames)
            while number % 50 == 0 and self.socket.type != zmq.PUB and self.socket.poll(0):
                self.socket.recv_multipart()

    def close(self) -> None:
        self.socket.close()


def refused(receiver: Receiver) -> int:
    return receiver.state().refused


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def attack_every_socket() -> None:
    """In a process of its own, whose memory is not that of other tests."""
    chance = random.Random(7)
    messages = [hostile(chance) for _ in range(10_000)]
    plain = [hostile_json(chance) for _ in range(10_000)]
    recorder = Recorder()
    recorder.received = lambda image: None
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        enter = stack.enter_context
        listening = enter(Receiver(recorder, listen=ANY))
        publisher = enter(Publisher(listen=ANY, options=QUICK))
        relay = enter(Relay(publisher))
        false_publisher, false_viewer = Attacker(context, zmq.ROUTER), Attacker(context, zmq.ROUTER)
        old_publisher = Attacker(context, zmq.PUB)
        connecting = enter(Receiver(recorder, connect=[false_publisher.endpoint]))
        enter(Publisher([false_viewer.endpoint], options=QUICK))
        subscribed = enter(Receiver(recorder))
        subscribed.subscribe(old_publisher.endpoint)
        places = listening.endpoint, control_of(listening.endpoint), publisher.endpoint, relay.endpoint
        attackers = [Attacker(context, zmq.DEALER, place) for place in places]
        for attacker in (false_publisher, false_viewer):
            attacker.greeted()
            attackers.append(attacker)
        while not refused(subscribed):  # it does not hear what is sent before it is there
            old_publisher.send([[b"nonsense"]])
            time.sleep(0.01)
        used = []
        for part in (slice(0, 5_000), slice(5_000, 10_000)):
            for attacker in attackers:
                attacker.send(messages[part])
            old_publisher.send(plain[part])
            heard = refused(subscribed)
            old_publisher.send([[b"the end of it"]] * 10)
            until(lambda heard=heard: refused(subscribed), lambda now, heard=heard: now > heard)
            assert ask(listening.endpoint, Ping(), 20).ready
            used.append(resident())
        for attacker in (*attackers, old_publisher):
            attacker.close()
        publisher.begin(Begin(stream="after"))
        publisher.save("after", plane(1), address(1))
        good = Recorder()
        with Receiver(good, connect=[publisher.endpoint]):
            until(lambda: good.times["after", address(1)], (1).__eq__)
        with Publisher([relay.endpoint]) as worker, Publisher([listening.endpoint]) as other:
            for each in (worker, other):
                each.begin(Begin(stream="more"))
                each.save("more", plane(1), address(1))
                assert each.close().viewers[0].delivered == 1
        assert all(refused(receiver) > 1000 for receiver in (listening, connecting, subscribed, relay._receiver))
        assert publisher._postman.refused > 1000
    assert used[1] - used[0] < 32 << 20


def test_ten_thousand_hostile_messages_to_every_socket():
    code = "from tests.streaming.test_hostile import attack_every_socket as attack; attack()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


def test_plain_bytes_on_the_ports_are_no_harm():
    chance = random.Random(3)
    with Receiver(Recorder(), listen=ANY) as receiver:
        for endpoint in (receiver.endpoint, control_of(receiver.endpoint)):
            for _ in range(100):
                with socket.create_connection(("127.0.0.1", int(endpoint.rpartition(":")[2]))) as raw:
                    raw.sendall(chance.randbytes(200))
        assert ask(receiver.endpoint, Ping(), 20).ready


def test_a_message_larger_than_allowed_is_not_taken():
    recorder = Recorder()
    with Receiver(recorder, listen=ANY, max_plane_bytes=1 << 20) as receiver, zmq.Context() as context:
        client = context.socket(zmq.DEALER)
        client.linger = 0
        client.connect(receiver.endpoint)
        client.send_multipart([PROTOCOL, b"{}", bytes(4 << 20)])
        assert client.poll(300) == 0
        client.close()
        assert ask(receiver.endpoint, Ping(), 20).ready
