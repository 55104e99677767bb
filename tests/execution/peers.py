"""Servers that misbehave as no real one can be made to, a network that breaks, and functions for real ones to run."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import zmq

from openhcs_core.hookspecs import hookimpl
from openhcs_core.streaming.endpoints import parse, tcp
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import Server
from tests.pipeline import functions

ROOT = Path(__file__).parents[2]


@contextmanager
def answering(*answers: bytes, curve: bool = True):
    """Context manager: a ROUTER that gives these answers one by one; gives its `Server` and what it hears."""
    keys, heard = CurveKeys.new(), []
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.linger = 1000
        if curve:
            router.curve_server = True
            router.curve_publickey, router.curve_secretkey = keys.public.encode(), keys.secret
        port = router.bind_to_random_port("tcp://127.0.0.1")

        def run() -> None:
            for answer in answers:
                if not router.poll(10_000):
                    return
                *envelope, question = router.recv_multipart()
                heard.append(json.loads(question))
                router.send_multipart([*envelope, answer])

        thread = threading.Thread(target=run)
        thread.start()
        yield Server(f"tcp://127.0.0.1:{port}", keys.public), heard
        thread.join()


@contextmanager
def breaking(server: Server, after: int):
    """Context manager: a way to a server that breaks when its first connection, of so many bytes, is to be answered.

    Gives the `Server` to talk to.
    """
    place = parse(server.endpoint)

    def carry(here: socket.socket, breaks: bool) -> None:
        sent = 0
        with here, socket.create_connection(place) as there:
            while True:
                for source in select.select([here, there], [], [])[0]:
                    data = source.recv(65536)
                    if not data or (breaks and source is there and sent > after):
                        return
                    sent += len(data) if source is here else 0
                    (there if source is here else here).sendall(data)

    def run() -> None:
        breaks = True
        with suppress(OSError):
            while True:
                here, _ = listening.accept()
                with suppress(ConnectionError):
                    carry(here, breaks)
                breaks = False

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        yield Server(tcp(*listening.getsockname()), server.public_key)
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


class Functions:
    """A plugin with functions for tests."""

    @hookimpl
    def openhcs_functions(self):
        return [functions.plus, functions.highest, functions.slow, functions.broken_at]


plugin = Functions()


def with_functions(home: Path) -> dict[str, str]:
    """The environment of a server that has them, as if the plugin were installed."""
    info = home / "peers-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: peers\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[openhcs_omero]\npeers = tests.execution.peers:plugin\n")
    return {"PYTHONPATH": os.pathsep.join((str(home), str(ROOT)))}
