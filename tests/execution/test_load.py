"""Many clients at once; how quick it is, ``bench/execution_server.py`` says."""

from __future__ import annotations

import socket
import uuid
from contextlib import ExitStack

import zmq

from openhcs_core.execution.listener import MAX_WAITING_PER_CLIENT
from tests.execution.serving import TEXT, Asking

CLIENTS, QUESTIONS = 60, 10


def test_every_client_gets_all_its_answers(local_server):
    questions = ({"command": "ping"}, {"command": "list", "session": local_server.session}, {"command": "list"})
    with ExitStack() as stack:
        clients = [stack.enter_context(Asking(local_server.address, zmq.DEALER)) for _ in range(CLIENTS)]
        for _ in range(QUESTIONS):
            for client in clients:
                client.send(*questions)
        for client in clients:
            answers = [client.read() for _ in range(QUESTIONS * len(questions))]
            kinds = [answer.get("code") or answer.get("type") or "list" for answer in answers]
            assert {kind: kinds.count(kind) for kind in set(kinds)} == {"pong": 10, "list": 10, "no_session": 10}


def test_clients_that_come_and_go_leave_nothing_behind(local_server):
    for _ in range(100):
        with Asking(local_server.address, zmq.DEALER) as client:
            client.send({"command": "list", "session": local_server.session}, {"command": "ping"})
            assert client.read()["status"] == "ok"  # and leaves without the other answer
    assert local_server.ask({"command": "ping"})["ready"]


def test_one_client_cannot_take_all_there_is(serve):
    """OMERO takes connections and never answers: what has to be asked of it waits, and nothing else does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = serve(server_omero=f"127.0.0.1:{silent.getsockname()[1]}")
        request = {"command": "execute", "session": str(uuid.uuid4()), "pipeline_code": TEXT, "plate_id": 1}
        with Asking(server.address, zmq.DEALER) as greedy, Asking(server.address) as other:
            greedy.send(*[request] * (MAX_WAITING_PER_CLIENT + 8))
            assert [greedy.read()["code"] for _ in range(8)] == ["limit"] * 8
            assert other.ask({"command": "ping"})["ready"]
            assert server.ask({"command": "ping"}, to=server.health)["ready"]
            assert other.ask({"command": "list", "session": "nobody"})["code"] == "no_session"
    assert server.stop() == 0
