"""Logging in, joining, leaving: what clients see of sessions."""

import json
import os
import signal
import stat
import subprocess
import sys
import time

import Glacier2
import Ice
import omero
import pytest
from omero.gateway import BlitzGateway


@pytest.fixture
def client(omero_server):
    made = []

    def make(url=None):
        new = omero.client(url) if url else omero.client(omero_server.host, omero_server.port)
        made.append(new)
        return new

    yield make
    for c in made:
        c.__del__()


def test_both_ports_let_a_user_in(omero_server, omero_user, client):
    for url in (None, f"tcp://{omero_server.host}:{omero_server.tcp_port}"):
        context = client(url).createSession(omero_user.name, omero_user.password).getAdminService().getEventContext()
        assert (context.userName, context.groupName) == (omero_user.name, omero_user.group)


def test_wrong_password_is_refused(omero_user, client):
    with pytest.raises(Glacier2.PermissionDeniedException, match="Password check failed"):
        client().createSession(omero_user.name, "wrong")


def test_last_client_to_leave_ends_the_session(omero_user, client):
    first, second = client(), client()
    first.createSession(omero_user.name, omero_user.password)
    uuid = first.getSessionId()
    second.joinSession(uuid)
    first.closeSession()
    assert second.sf.getAdminService().getEventContext().userName == omero_user.name
    second.closeSession()
    with pytest.raises(Glacier2.PermissionDeniedException):
        client().joinSession(uuid)


def test_detached_session_stays(omero_user, client):
    first, second = client(), client()
    first.createSession(omero_user.name, omero_user.password).detachOnDestroy()
    uuid = first.getSessionId()
    first.closeSession()
    assert second.joinSession(uuid).getAdminService().getEventContext().userName == omero_user.name


def test_lost_connection_ends_the_session(omero_server, omero_user, client):
    """A client which vanishes without good-bye does not keep its session."""
    lost = client()
    lost.createSession(omero_user.name, omero_user.password)
    uuid = lost.getSessionId()
    lost.ic.destroy()
    deadline = time.monotonic() + 5
    while uuid in omero_server.core.sessions.open and time.monotonic() < deadline:
        time.sleep(0.02)
    assert uuid not in omero_server.core.sessions.open


def test_killed_session_cuts_off_everybody(omero_user, client):
    first, second = client(), client()
    first.createSession(omero_user.name, omero_user.password)
    second.joinSession(first.getSessionId())
    assert first.killSession() == 2
    with pytest.raises(Ice.ObjectNotExistException):
        second.sf.getAdminService()


def test_insecure_gateway_finds_the_plain_port(omero_server, omero_user):
    conn = BlitzGateway(
        omero_user.name, omero_user.password, host=omero_server.host, port=omero_server.port, secure=False
    )
    try:
        assert conn.connect()
        assert not conn.isSecure()
        assert conn.getUser().getName() == omero_user.name
    finally:
        conn.close()


def test_unimplemented_call_is_named(omero_conn, caplog):
    from embedded_omero import dispatch

    before = dispatch.missing["IAdmin.getMyUserPhotos"]
    with pytest.raises(omero.InternalException, match="not implemented: IAdmin.getMyUserPhotos"):
        omero_conn.getAdminService().getMyUserPhotos()
    assert dispatch.missing["IAdmin.getMyUserPhotos"] == before + 1
    assert "not implemented: IAdmin.getMyUserPhotos" in caplog.text


def test_process_writes_a_private_ready_file_and_no_password(tmp_path):
    ready = tmp_path / "ready.json"
    command = [
        sys.executable,
        "-m",
        "embedded_omero",
        "--port",
        "0",
        "--tcp-port",
        "0",
        "--ready-file",
        str(ready),
        "-vv",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        deadline = time.monotonic() + 20
        while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        values = json.loads(ready.read_text())
        assert set(values) == {"host", "port", "tcp_port", "user", "password"}
        assert values["host"] == "127.0.0.1"
        assert stat.S_IMODE(ready.stat().st_mode) == 0o600
        client = omero.client(values["host"], values["port"])
        client.createSession(values["user"], values["password"])
        client.closeSession()
    finally:
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=20)[0]
    assert process.returncode == 0, output
    assert values["password"] not in output


def test_taken_port_is_said_clearly(omero_server):
    command = [sys.executable, "-m", "embedded_omero", "--port", str(omero_server.port), "--tcp-port", "0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, env={**os.environ, "LANG": "C"})
    assert result.returncode == 1
    assert f"Cannot start: Cannot listen on 127.0.0.1, ports {omero_server.port}" in result.stderr
    assert "Traceback" not in result.stderr
