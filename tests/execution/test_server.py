"""What a running server answers, to whom, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid

import pytest
import zmq

from openhcs_core import __version__
from openhcs_core.execution.errors import CODES
from openhcs_core.execution.record import Execution
from tests.execution.serving import ROOT, SERVE, TEXT, Asking, free_port, write_plate
from tests.execution.test_access import key, new_plate
from tests.streaming.peers import until

NOWHERE = str(uuid.uuid4())
MALFORMED = {
    "empty": (b"", ""),
    "noise": (b"\xff\xfe\0junk", ""),
    "number": (b"1", ""),
    "list": (b"[]", ""),
    "null": (b"null", ""),
    "not-a-number": (b'{"command": "list", "limit": NaN}', ""),
    "deep": (b"[" * 100_000, ""),
    "nothing": ({}, "command"),
    "command-unknown": ({"command": "shutdown"}, "command"),
    "command-number": ({"command": 1}, "command"),
    "command-list": ({"command": ["ping"]}, "command"),
    "id-absent": ({"command": "status"}, "execution_id"),
    "id-number": ({"command": "cancel", "execution_id": 5}, "execution_id"),
    "id-too-long": ({"command": "logs", "execution_id": "a" * 5000}, "execution_id"),
    "offset-negative": ({"command": "logs", "execution_id": NOWHERE, "offset": -1}, "offset"),
    "text-absent": ({"command": "execute"}, "pipeline_code"),
    "text-number": ({"command": "execute", "pipeline_code": 1}, "pipeline_code"),
    "text-broken": ({"command": "execute", "pipeline_code": "\ud800"}, "pipeline_code"),
    "text-nul": ({"command": "execute", "pipeline_code": "a\0"}, "pipeline_code"),
    "plate-id-text": ({"command": "execute", "pipeline_code": "", "plate_id": "12"}, "plate_id"),
    "plate-id-negative": ({"command": "execute", "pipeline_code": "", "plate_id": -1}, "plate_id"),
    "plate-id-true": ({"command": "execute", "pipeline_code": "", "plate_id": True}, "plate_id"),
    "plate-id-huge": ({"command": "execute", "pipeline_code": "", "plate_id": 2**63}, "plate_id"),
    "workers-half": ({"command": "execute", "pipeline_code": "", "workers": 1.5}, "workers"),
    "workers-none": ({"command": "execute", "pipeline_code": "", "workers": 0}, "workers"),
    "outputs-unknown": ({"command": "execute", "pipeline_code": "", "outputs": ["films"]}, "outputs"),
    "wells-text": ({"command": "execute", "pipeline_code": "", "wells": "A01"}, "wells"),
    "wells-broken": ({"command": "execute", "pipeline_code": "", "wells": ["A01", "\udfff"]}, "wells"),
    "resume-text": ({"command": "execute", "pipeline_code": "", "resume": "yes"}, "resume"),
    "state-unknown": ({"command": "list", "state": "sleeping"}, "state"),
    "limit-negative": ({"command": "list", "limit": -1}, "limit"),
    "session-number": ({"command": "list", "session": 12}, "session"),
    "field-unknown": ({"command": "list", "colour": "red"}, "colour"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_gets_an_answer_that_names_the_field(local_server, name):
    request, field = MALFORMED[name]
    if isinstance(request, dict) and "command" in request and "session" not in request:
        request = request | {"session": local_server.session}
    with Asking(local_server.address) as asking:
        answer = asking.ask(request)
        assert (answer["status"], answer["code"], answer["field"]) == ("error", "bad_request", field)
        assert answer["message"]
        assert asking.ask({"command": "ping"})["ready"]  # the same socket goes on


def test_ping_needs_nobody_and_health_says_more(local_server):
    pong = local_server.ask({"command": "ping"})
    assert pong.pop("time") > 1.7e9
    assert pong == {"status": "ok", "type": "pong", "ready": True, "version": __version__, "protocol": 1}
    assert local_server.ask({"type": "ping"}).keys() == {*pong, "time"}  # as viewers are asked
    healthy = local_server.ask({"command": "ping"}, to=local_server.health)
    assert pong.items() <= healthy.items()
    assert {"uptime_s", "queued", "running", "omero", "gpus", "disk", "problems"} <= healthy.keys()
    answer = local_server.ask({"command": "list", "session": local_server.session}, to=local_server.health)
    assert (answer["code"], answer["field"]) == ("bad_request", "command")


def test_dealers_may_leave_the_empty_frame_out_and_ask_ahead(local_server):
    with Asking(local_server.address, zmq.DEALER) as asking:
        asking.send({"command": "ping"}, b"", {"command": "list", "session": local_server.session})
        kinds = sorted(str(asking.read().get("code", "ok")) for _ in range(3))
        assert kinds == ["bad_request", "ok", "ok"]
        asking.socket.send_multipart([b"", b'{"command": "ping"}'])
        assert [len(frame) > 0 for frame in asking.socket.recv_multipart()] == [False, True]
        for frames in ([b"", b"a", b"b"], [b"a", b"b"], [b""] * 9, [b"x"] * 100):
            asking.socket.send_multipart(frames)
            assert asking.read()["code"] == "bad_request"


def test_a_run_from_request_to_results_and_log(local_server, tmp_path):
    me = {"session": local_server.session}
    request = me | {"command": "execute", "pipeline_code": TEXT, "plate": str(write_plate(tmp_path / "plate"))}
    request |= {"request_key": "mine"}
    accepted = local_server.ask(request)
    assert accepted["status"] in ("accepted", "running")
    which = me | {"execution_id": accepted["execution_id"]}
    assert local_server.ask(request)["execution_id"] == accepted["execution_id"]
    ended = local_server.until(which | {"command": "status"}, lambda answer: Execution.from_table(answer).has_ended)
    assert (ended["status"], ended["state"], ended["wells_processed"]) == ("completed", "completed", 2), ended
    assert ended["execution_id"] in [
        one["execution_id"] for one in local_server.ask(me | {"command": "list", "state": "completed"})["executions"]
    ]
    assert local_server.ask(me | {"command": "list", "state": "running"})["executions"] == []
    assert len(local_server.ask(me | {"command": "list", "limit": 0})["executions"]) == 1
    log = local_server.ask(which | {"command": "logs"})
    assert log["status"] == "ok"
    assert "completed" in log["text"]
    assert local_server.ask(which | {"command": "logs", "offset": log["next"]})["text"] == ""
    assert local_server.ask(which | {"command": "cancel"})["state"] == "completed"
    assert local_server.ask(which | {"command": "resume"})["code"] == "bad_request"


def test_places_of_a_local_server_are_folders(local_server, tmp_path):
    request = {"command": "execute", "session": local_server.session, "pipeline_code": TEXT}
    for more, field in (
        ({}, "plate"),
        ({"plate_id": 1}, "plate_id"),
        ({"plate": "Plate:1"}, "plate"),
        ({"plate": "."}, "plate"),
        ({"plate": str(tmp_path / "absent")}, "plate"),
        ({"plate": "/" + "a" * 4000}, "plate"),
    ):
        answer = local_server.ask(request | more)
        assert (answer["code"], answer["field"]) == ("bad_request", field), more
        assert local_server.ask(request | more | {"session": ""})["code"] == "no_session"  # which folders there are


def test_viewers_that_the_site_does_not_allow_are_refused_at_once(local_server, tmp_path):
    request = {"command": "execute", "session": local_server.session, "pipeline_code": TEXT, "plate": str(tmp_path)}
    for address in ("192.0.2.1:5555", "127.0.0.1:22", "tcp://127.0.0.1", "listen"):
        answer = local_server.ask(request | {"client_address": address})
        assert (answer["code"], answer["field"]) == ("bad_request", "client_address"), answer


def test_places_in_omero_are_checked_before_anything_is_queued(server, omero_conn):
    request = {"command": "execute", "session": key(omero_conn), "pipeline_code": TEXT}
    for more, code, field in (
        ({}, "bad_request", "plate_id"),
        ({"plate_id": 1, "plate": "Plate:1"}, "bad_request", "plate_id"),
        ({"plate": "/etc"}, "bad_request", "plate"),
        ({"plate": "Plate:" + "9" * 19}, "bad_request", "plate"),
        ({"plate": "Image:1, or 1=1"}, "bad_request", "plate"),
        ({"plate_id": 2**63 - 1}, "no_access", "plate"),
        ({"plate": "Well:999999,999998"}, "no_access", "plate"),
    ):
        answer = server.ask(request | more)
        assert (answer["code"], answer["field"]) == (code, field), (more, answer)
    assert server.ask({"command": "list", "session": key(omero_conn)})["executions"] == []


def test_executions_are_their_users_business(server, omero_conn, connect, make_user):
    mine = {"session": key(omero_conn)}
    request = mine | {"command": "execute", "pipeline_code": TEXT, "plate_id": new_plate(omero_conn)}
    execution_id = server.ask(request)["execution_id"]
    status = {"command": "status", "execution_id": execution_id}
    ended = server.until(mine | status, lambda answer: answer["state"] == "failed")  # an empty plate

    other = {"session": key(connect(make_user()))}
    for command in ("status", "cancel", "resume", "logs"):
        asked = server.ask(other | {"command": command, "execution_id": execution_id})
        assert asked == server.ask(other | {"command": command, "execution_id": NOWHERE})
        assert asked["code"] == "unknown"
    assert server.ask(other | {"command": "list"})["executions"] == []
    assert server.ask(other | {"command": "list", "everyone": True})["code"] == "no_access"

    admin = {"session": key(connect())}
    assert server.ask(admin | status)["user"] == ended["user"]
    assert server.ask(admin | {"command": "list"})["executions"] == []
    listed = server.ask(admin | {"command": "list", "everyone": True})["executions"]
    assert [one["execution_id"] for one in listed] == [execution_id]
    assert server.ask(admin | {"command": "logs", "execution_id": execution_id})["status"] == "ok"
    assert server.ask(admin | {"command": "resume", "execution_id": execution_id})["code"] == "no_access"
    assert server.ask(mine | {"command": "resume", "execution_id": execution_id})["state"] in ("queued", "running")
    again = server.until(mine | status, lambda answer: Execution.from_table(answer).has_ended)
    assert again["attempts"] == 2


def test_a_server_that_omero_is_missing_for_says_so(serve):
    port = free_port()
    alone = serve(server_omero=f"127.0.0.1:{port}")
    assert alone.ask({"command": "ping"})["ready"]
    answer = alone.ask({"command": "execute", "session": NOWHERE, "pipeline_code": TEXT, "plate_id": 1})
    assert answer["code"] == "omero"
    with Asking(alone.health) as health:
        healthy = until(lambda: health.ask({"command": "ping"}), lambda answer: answer["problems"])
    assert healthy["ready"]
    assert str(port) in healthy["problems"][0]


def test_told_to_end_it_lets_runs_finish_and_takes_nothing_new(serve, tmp_path):
    server = serve(local=True, server_grace_s=60)
    me = {"session": server.session}
    request = me | {"command": "execute", "pipeline_code": TEXT, "plate": str(write_plate(tmp_path / "plate"))}
    which = me | {"execution_id": server.ask(request)["execution_id"]}
    (child,) = until(server.children, bool)
    os.kill(child, signal.SIGSTOP)
    waiting = me | {"execution_id": server.ask(request)["execution_id"]}
    server.process.terminate()
    server.until({"command": "ping"}, lambda pong: not pong["ready"])
    assert server.ask(request)["code"] == "closing"
    assert server.ask(which | {"command": "resume"})["code"] == "closing"
    assert server.ask(which | {"command": "status"})["state"] == "running"
    os.kill(child, signal.SIGCONT)
    assert server.process.wait(60) == 0
    assert server.started() == []
    server.start()  # on the same ports
    assert server.ask(which | {"command": "status"})["state"] == "completed"
    later = server.until(waiting | {"command": "status"}, lambda answer: Execution.from_table(answer).has_ended)
    assert later["state"] == "completed"


def test_told_to_end_without_grace_it_interrupts_what_runs(serve, tmp_path):
    server = serve(local=True)
    me = {"session": server.session}
    request = me | {"command": "execute", "pipeline_code": TEXT, "plate": str(write_plate(tmp_path / "plate"))}
    which = me | {"execution_id": server.ask(request)["execution_id"]}
    (child,) = until(server.children, bool)
    os.kill(child, signal.SIGSTOP)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0
    assert server.started() == []
    server.start()
    assert server.ask(which | {"command": "status"})["state"] == "interrupted"
    server.ask(which | {"command": "resume"})
    ended = server.until(which | {"command": "status"}, lambda answer: Execution.from_table(answer).has_ended)
    assert ended["state"] == "completed"


def test_a_second_server_is_told_why_it_cannot_start(local_server, tmp_path):
    def said(**changes):
        config = tmp_path / "openhcs.toml"
        settings = local_server.settings | changes
        config.write_text("".join(f"{name} = {value!r}\n".replace("'", '"') for name, value in settings.items()))
        environment = {**os.environ, "OPENHCS_CONFIG": str(config)}
        command = [*SERVE, "--local"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    assert f"Another execution server uses {local_server.state}" in said(server_listen="127.0.0.1:0")
    assert "it is in use" in said(server_state=str(tmp_path / "state"))
    assert "on this machine only" in said(server_listen="0.0.0.0:0")
    assert "cannot be used" in said(server_state="/proc/nowhere")


def test_every_code_of_an_error_is_one_that_is_documented(local_server):
    answers = [local_server.ask(request) for request, _ in MALFORMED.values()]
    assert {answer["code"] for answer in answers} <= CODES.keys()
