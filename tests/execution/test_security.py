"""Whoever comes without the right to, and whatever he sends: he is refused, and the server goes on as before."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from openhcs_core.execution.record import Execution
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.wire import MAX_HEADER_BYTES
from tests.execution.serving import ROOT, TEXT, Asking, write_plate
from tests.execution.strangers import Proxy, hostile, is_let_in
from tests.execution.test_access import key, new_plate
from tests.pipeline.hostile import CANARY, SHORT
from tests.streaming.peers import until

FUZZ = 10_000


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def port(server: Server) -> int:
    return int(server.endpoint.rpartition(":")[2])


@pytest.fixture
def alive(local_server):
    """The server, which is the same process before and after, well, and has written into its own folders only."""
    pid, before = local_server.process.pid, files(local_server.folder)
    yield local_server
    for place in (local_server.address, local_server.health):
        assert local_server.ask({"command": "ping"}, to=place)["ready"]
    assert local_server.process.pid == pid
    more = files(local_server.folder) - before
    assert all(name.startswith(("state/", "logs/")) for name in more), more
    assert not [place for place in (ROOT, Path("/"), local_server.folder) if (place / CANARY).exists()]


@pytest.mark.parametrize("where", ["address", "health"])
@pytest.mark.parametrize("how", ["no key", "another key", "key of the client for the server's"])
def test_without_the_key_of_the_server_nobody_is_let_in(alive, where, how):
    right = getattr(alive, where)
    keys = CurveKeys.new()
    key_ = {"no key": None, "another key": CurveKeys.new().public}.get(how, keys.public)
    with Asking(Server(right.endpoint, key_), keys=keys, connect=False) as asking:
        assert not is_let_in(asking.socket, right.endpoint)
    with Asking(right, connect=False) as asking:
        assert is_let_in(asking.socket, right.endpoint)


def test_a_session_that_is_over_starts_nothing(server, connect, omero_user):
    conn = connect(omero_user)
    session, plate = key(conn), new_plate(conn)
    assert server.ask({"command": "list", "session": session})["executions"] == []
    conn.close()
    for session_ in (session, str(uuid.uuid4()), "", "root", session.upper(), f" {session}"):
        answer = server.ask({"command": "execute", "session": session_, "pipeline_code": TEXT, "plate_id": plate})
        assert (answer["code"], answer["field"]) == ("no_session", "session"), answer
    assert server.ask({"command": "resume", "session": session, "execution_id": str(uuid.uuid4())})["code"] == (
        "no_session"
    )
    again = connect(omero_user)
    assert server.ask({"command": "list", "session": key(again)})["executions"] == []


def test_a_plate_of_others_is_out_of_reach(server, omero_conn, connect, make_user):
    plate, stranger = new_plate(omero_conn), key(connect(make_user()))
    for place in ({"plate_id": plate}, {"plate": f"Plate:{plate}"}):
        answer = server.ask({"command": "execute", "session": stranger, "pipeline_code": TEXT} | place)
        assert (answer["code"], answer["field"]) == ("no_access", "plate")
    assert server.ask({"command": "list", "session": stranger})["executions"] == []


def test_a_request_again_is_the_same_execution(local_server, tmp_path):
    me = {"session": local_server.session}
    request = {"command": "execute", "pipeline_code": TEXT, "plate": str(write_plate(tmp_path / "plate"))} | me
    found: list[str] = []

    def ask():
        found.append(local_server.ask(request | {"request_key": "once"})["execution_id"])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    local_server.ask(me | {"command": "cancel", "execution_id": found[0]})


def test_recorded_bytes_are_worth_nothing(alive, tmp_path):
    me = {"session": alive.session}
    request = me | {"command": "execute", "pipeline_code": TEXT, "plate": str(write_plate(tmp_path / "plate"))}
    with Proxy(port(alive.address)) as proxy:
        with Asking(Server(proxy.endpoint, alive.address.public_key)) as asking:
            execution_id = asking.ask(request)["execution_id"]
        recorded = proxy.sent
    assert len(recorded) > len(TEXT)
    assert alive.session.encode() not in recorded
    assert TEXT.encode()[:20] not in recorded
    before = alive.ask(me | {"command": "list"})["executions"]
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port(alive.address))) as raw:
            raw.sendall(recorded)
            assert ended(raw)  # the server broke the connection
    after = alive.ask(me | {"command": "list"})["executions"]
    assert [one["execution_id"] for one in after] == [one["execution_id"] for one in before]
    alive.ask(me | {"command": "cancel", "execution_id": execution_id})


def ended(raw: socket.socket) -> bool:
    """Whether the other side breaks a connection off."""
    raw.settimeout(20)
    try:
        while raw.recv(65536):
            pass
    except ConnectionError:
        pass
    return True


def test_a_gigabyte_is_not_taken(alive):
    """From a client that was let in: a frame is announced that has a gigabyte, and sent as far as it is taken."""
    before = memory(alive.process.pid)
    with Proxy(port(alive.address)) as proxy, Asking(Server(proxy.endpoint, alive.address.public_key)) as asking:
        assert asking.ask({"command": "ping"})["ready"]
        proxy.server.sendall(b"\x02" + struct.pack(">Q", 1 << 30))
        sent, part = 0, bytes(1 << 20)
        with suppress(ConnectionError):
            while sent < 1 << 30:
                proxy.server.sendall(part)
                sent += len(part)
        assert sent < 64 << 20
    assert memory(alive.process.pid) - before < 32 << 20


def test_what_just_fits_is_taken_and_what_is_too_large_is_told_so_or_sent_away(alive):
    def request(size):
        table = {"session": alive.session, "command": "execute", "plate": "absent", "pipeline_code": ""}
        return json.dumps(table | {"pipeline_code": "#" * (size - len(json.dumps(table)))}).encode()

    with Asking(alive.address) as asking:
        assert asking.ask(request(MAX_HEADER_BYTES))["field"] == "plate"
        for size in (MAX_HEADER_BYTES + 1, 3 * MAX_HEADER_BYTES):
            answer = asking.ask(request(size))
            assert answer["code"] == "bad_request"
            assert str(size) in answer["message"]
    with Asking(alive.address, connect=False) as asking:
        assert not is_let_in(asking.socket, alive.address.endpoint, request(5 * MAX_HEADER_BYTES))


@pytest.mark.parametrize("name", ["call-system", "walk-in-step-class"])
def test_hostile_text_fails_in_a_process_of_its_own(alive, tmp_path, name):
    me = {"session": alive.session}
    plate = str(write_plate(tmp_path / "plate"))
    text = SHORT[name].replace("tests.pipeline.texts", "openhcs_functions.smoothing").replace("smooth\n", "gaussian\n")
    accepted = alive.ask(me | {"command": "execute", "pipeline_code": text, "plate": plate})
    which = me | {"execution_id": accepted["execution_id"]}
    answer = alive.until(which | {"command": "status"}, lambda answer: Execution.from_table(answer).has_ended)
    assert answer["state"] == "failed"
    assert "line 3" in answer["message"], answer
    assert files(tmp_path) == {f"plate/A{well:02}_s001_w1_z001_t001.tif" for well in (1, 2)}


IDS = (
    *("", ".", "..", "/", "../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "server.key", "a\nb", "*", "%s"),
    *("' or '1'='1", "$(touch /tmp/x)", "~root", "file:///etc/passwd", str(uuid.uuid4()) + "/../../state/server.key"),
    *(str(uuid.uuid4()).upper(), "{" + str(uuid.uuid4()) + "}", "urn:uuid:" + str(uuid.uuid4()), uuid.uuid4().hex),
)


@pytest.mark.parametrize("command", ["status", "cancel", "resume", "logs"])
def test_ids_that_are_paths_are_no_ids(alive, command):
    with Asking(alive.address) as asking:
        for execution_id in IDS:
            answer = asking.ask({"command": command, "session": alive.session, "execution_id": execution_id})
            assert (answer["code"], answer["field"]) == ("unknown", "execution_id"), execution_id


def test_a_session_is_nowhere_to_be_read(serve, omero_conn):
    """Not in a file, in the arguments or in the environment of a process; the execution has it all the same."""
    server = serve()
    session = key(omero_conn)
    me = {"session": session}
    request = me | {"command": "execute", "pipeline_code": TEXT, "plate_id": new_plate(omero_conn)}
    which = me | {"execution_id": server.ask(request)["execution_id"]}
    (child,) = until(server.children, bool)
    for pid in (child, server.process.pid):
        for kind in ("cmdline", "environ"):
            assert session.encode() not in Path(f"/proc/{pid}/{kind}").read_bytes()
    server.until(which | {"command": "status"}, lambda answer: Execution.from_table(answer).has_ended)
    server.ask({"command": "list", "session": session + "x"})
    assert server.stop() == 0
    assert len(files(server.folder)) > 4
    for name in files(server.folder):
        assert session.encode() not in (server.folder / name).read_bytes(), name
        if not name.startswith(("openhcs.toml", "stderr.txt")):
            assert (server.folder / name).stat().st_mode & 0o077 == 0, name


def test_ten_thousand_hostile_messages_get_ten_thousand_answers(alive):
    chance = random.Random(7)
    log = alive.logs / "execution_server.log"
    used = []
    for _ in range(2):
        for place in (alive.address, alive.health):
            with Asking(place, zmq.DEALER) as asking:
                sent = answered = 0
                while answered < FUZZ // 4:
                    while sent < FUZZ // 4 and sent - answered < 16:
                        asking.socket.send_multipart([b"", *hostile(chance, alive.session)])
                        sent += 1
                    answer = asking.read()
                    answered += 1
                    assert answer["status"] == "ok" or (answer["code"] in KNOWN and answer["message"]), answer
        used.append(memory(alive.process.pid))
    assert used[1] - used[0] < 32 << 20
    told = log.read_text()
    assert "Traceback" not in told
    assert "went wrong" not in told


KNOWN = ("bad_request", "no_session", "no_access", "unknown")


def test_bytes_of_any_kind_on_the_ports_are_no_harm(alive):
    chance = random.Random(3)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00"
    curve = greeting + b"CURVE".ljust(20, b"\0") + b"\0" + bytes(31)
    for place in (alive.address, alive.health):
        for _ in range(150):
            start = chance.choice(
                [b"", b"\xff", greeting, curve, curve + b"\x04\xc8\x05HELLO", b"GET / HTTP/1.1\r\n\r\n"]
            )
            with socket.create_connection(("127.0.0.1", port(place))) as raw:
                raw.sendall(start + chance.randbytes(chance.choice([0, 1, 200, 5000])))


def memory(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
