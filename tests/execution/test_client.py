"""Questions to a real server, and what is said where there is no answer."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import traceback

import pytest

from openhcs_core.execution import client
from openhcs_core.execution.client import ServerClient, WrongKeyError, server_at
from openhcs_core.execution.errors import ExecutionError, UnreachableError
from openhcs_core.execution.requests import Cancel, Execute, List, Ping, Status
from openhcs_core.streaming.errors import SecurityError
from openhcs_core.streaming.security import CurveKeys, key_from_text, key_text
from openhcs_core.streaming.sockets import Server
from tests.execution.peers import answering, breaking
from tests.execution.serving import free_port

KEY = key_from_text("853559361954ab4bcac87f975710ae57a8b44e23068bd897bc820cee76cc9c27")
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(client, "BACK_OFF_S", 0.01)


def refused(server, kind=UnreachableError, **options):
    """What is said instead of an answer to a ping."""
    with pytest.raises(kind) as caught:
        ServerClient(server, **options).ask(Ping())
    return str(caught.value)


def test_the_server_answers(local_server):
    answer = ServerClient(local_server.address).ask(Ping())
    assert (answer["type"], answer["ready"]) == ("pong", True)


def test_an_error_of_the_server_is_raised(local_server):
    """With its code, the field and the words."""
    with pytest.raises(ExecutionError, match="There is no such execution") as caught:
        ServerClient(local_server.address).ask(Status(session=local_server.session, execution_id=NOBODY))
    assert (caught.value.code, caught.value.field) == ("unknown", "execution_id")


def test_the_traceback_of_the_server_is_shown():
    answer = b'{"status":"error","code":"failed","message":"It broke.","traceback":"Traceback ...\\nKeyError: 12\\n"}'
    with answering(answer) as (server, _), pytest.raises(ExecutionError) as caught:
        ServerClient(server).ask(Ping())
    assert caught.value.traceback.startswith("Traceback")
    shown = "".join(traceback.format_exception(caught.value))
    assert '"""\nTraceback ...\nKeyError: 12\n"""' in shown
    assert shown.endswith("ExecutionError: It broke.\n")


def test_an_answer_that_is_none():
    with answering(b"HTTP/1.1 400 Bad Request") as (server, _), pytest.raises(ExecutionError, match="is not JSON"):
        ServerClient(server).ask(Ping())


def test_nobody_listens(caplog):
    """Each attempt is in the log; the person reads it once."""
    caplog.set_level("INFO", "openhcs_core.execution.client")
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    said = refused(Server(endpoint, KEY), retries=2)
    assert said.startswith(f"Nothing listens at {endpoint} (connection refused): the execution server is not running")
    assert said.count("Nothing listens") == 1
    with pytest.raises(UnreachableError) as caught:
        ServerClient(Server(endpoint, KEY), retries=0).ask(Execute(pipeline_code=""))
    assert "It may have taken" not in str(caught.value)
    assert [record.getMessage()[:16] for record in caplog.records[:3]] == [f"ping: attempt {n}:" for n in (1, 2, 3)]


def test_a_host_that_is_not_known():
    assert "The host nowhere.invalid is not known here" in refused(Server("tcp://nowhere.invalid:1", KEY), retries=0)


def test_something_else_listens():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server("tcp://127.0.0.1:{1}".format(*listening.getsockname()), KEY)
        said = refused(server, timeout_s=0.2, retries=0)
    assert said.startswith(f"What listens at {server.endpoint} took the connection, but did not answer within 0.2 s")


def test_a_server_that_does_not_answer():
    with answering() as (server, _):
        said = refused(server, timeout_s=0.5, retries=0)
        assert said.endswith("did not answer within 0.5 s (timeout): it is overloaded or hangs.")
        with pytest.raises(UnreachableError, match=r"It may have taken the request \(cancel\) all the same"):
            ServerClient(server, timeout_s=0.5, retries=0).ask(Cancel(execution_id=NOBODY))


def test_a_stopped_server_a_crash_and_a_new_start(serve):
    """Timeout, reset and refused are told apart; who keeps asking is answered by the next start."""
    server = serve(local=True)
    place = re.escape(server.address.endpoint)
    server.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
    said = refused(server.address, timeout_s=0.3, retries=1)
    assert re.fullmatch(rf"What listens at {place} took the connection, .* \(timeout\): .* hangs, or .*", said)

    killed = threading.Timer(0.3, server.kill)
    killed.start()
    said = refused(server.address, retries=1)
    killed.join()
    first, _, then = said.partition(" Then: ")
    assert re.match(rf"The execution server at {place} broke the connection \(reset\): it has crashed", first)
    assert re.match(rf"Nothing listens at {place} \(connection refused\)", then)

    answers = []
    asking = threading.Thread(target=lambda: answers.append(ServerClient(server.address, retries=10_000).ask(Ping())))
    asking.start()
    server.start()
    asking.join(20)
    assert answers[0]["ready"]


@pytest.mark.parametrize("curve", [True, False], ids=["other key", "no key"])
def test_a_server_with_another_key(curve):
    """Asking again would not help."""
    with answering(curve=curve) as (server, heard):
        said = refused(Server(server.endpoint, KEY), WrongKeyError, retries=1000)
    assert "does not have the key that is pinned" in said
    assert heard == []


def test_no_server_is_asked_whose_key_is_not_known():
    with pytest.raises(ExecutionError, match="`openhcs serve --show-key` prints it on the server"):
        ServerClient(Server("tcp://127.0.0.1:7777"))


def test_a_lost_answer_starts_nothing_twice(local_server, tmp_path):
    """The network breaks when the answer is on its way: the question is put again, and gets the same execution."""
    session = local_server.session
    request = Execute(session=session, pipeline_code="x" * 4000, plate=str(tmp_path), request_key="once")
    before = ServerClient(local_server.address).ask(List(session=session))["executions"]
    with breaking(local_server.address, after=4000) as server:
        execution = ServerClient(server).ask(request)
    after = ServerClient(local_server.address).ask(List(session=session))["executions"]
    ServerClient(local_server.address).ask(Cancel(session=session, execution_id=execution["execution_id"]))
    assert [item["execution_id"] for item in after[: len(after) - len(before)]] == [execution["execution_id"]]


def test_a_request_that_is_too_large():
    """It is not even sent: the server would break the connection."""
    with pytest.raises(ExecutionError, match="too large: 29. KiB, 256 are allowed") as caught:
        ServerClient(Server("tcp://127.0.0.1:1", KEY)).ask(Execute(pipeline_code="x" * 300_000))
    assert caught.value.code == "bad_request"


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("gpu.example.org", "tcp://gpu.example.org:7777"),
        ("gpu.example.org:8888", "tcp://gpu.example.org:8888"),
        ("10.1.2.3", "tcp://10.1.2.3:7777"),
        ("fe80::1", "tcp://[fe80::1]:7777"),
        ("[fe80::1]:8888", "tcp://[fe80::1]:8888"),
        (f"tcp://10.1.2.3:8888/{key_text(KEY)}", "tcp://10.1.2.3:8888"),
    ],
)
def test_ways_to_name_a_server(host, endpoint, monkeypatch, tmp_path):
    """The key comes with the address, by itself, or from the settings."""
    given = "/" in host
    assert server_at(host) == Server(endpoint, KEY if given else None)
    other = CurveKeys.new().public
    assert server_at(host, key=key_text(other)).public_key == other
    settings = tmp_path / "openhcs.toml"
    settings.write_text(f'[known_servers]\n"{endpoint.removeprefix("tcp://")}" = "{key_text(other)}"\n')
    monkeypatch.setenv("OPENHCS_CONFIG", str(settings))
    assert server_at(host).public_key == (KEY if given else other)


@pytest.mark.parametrize("host", ["", "a b", "http://x:1", "x:99999", "tcp://10.1.2.3"])
def test_what_names_no_server(host):
    with pytest.raises(ExecutionError, match="is no address of an execution server; write it like"):
        server_at(host)


@pytest.mark.parametrize("key", ["short", KEY + "x"])
def test_what_is_no_key(key):
    with pytest.raises(SecurityError, match="copy all of it"):
        server_at("gpu.example.org", key=key)
    with pytest.raises(SecurityError, match="copy all of it"):
        server_at(f"tcp://gpu.example.org:7777/{key}")
