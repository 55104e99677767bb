"""Sessions: how one is opened, joined and left, and how long it lasts."""

import time

import Ice
import omero
import pytest
from omero.util.sessions import SessionsStore

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.session import gateway, in_group, session, session_deadline, session_is_over, stored_session


@pytest.fixture
def place(omero_server):
    return omero_server.host, omero_server.port


def test_a_session_of_its_own_ends_with_the_block(place, omero_user):
    with session(*place, user=omero_user.name, password=omero_user.password) as client:
        key = client.getSessionId()
        assert client.sf.getAdminService().getEventContext().userName == omero_user.name
    with pytest.raises(OmeroError, match="refused the log-in: the session is over; log in again"):
        session(*place, key=key).__enter__()


def test_a_joined_session_goes_on(place, omero_conn, omero_user):
    key = omero_conn.c.sf.getSessionService().createUserSession(60_000, 60_000, omero_user.group).uuid.val
    for _ in range(2):
        with session(*place, key=key) as client:
            assert client.getSessionId() == key


def test_wrong_password(place, omero_user):
    with pytest.raises(OmeroError, match=f"refused the log-in: wrong password, or no user '{omero_user.name}'"):
        session(*place, user=omero_user.name, password="wrong").__enter__()


def test_no_server():
    with pytest.raises(OmeroError, match=r"No OMERO\.server could be reached at 127\.0\.0\.1:1 \("):
        session("127.0.0.1", 1, user="root", password="omero").__enter__()


def test_session_of_the_command_line(place, omero_user, monkeypatch, tmp_path):
    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path))
    assert stored_session() is None
    store = SessionsStore()
    store.add(place[0], omero_user.name, "the-key", {"omero.port": str(place[1])})
    store.set_current(place[0], omero_user.name, "the-key", {"omero.port": str(place[1])})
    assert stored_session() == (*place, "the-key")


def test_reading_is_everywhere_writing_in_one_group(omero_conn, omero_user):
    conn = gateway(omero_conn.c)
    assert conn.SERVICE_OPTS.getOmeroGroup() == "-1"
    context = in_group(conn, omero_user.group_id)
    assert context["omero.group"] == str(omero_user.group_id)
    assert context["omero.session.uuid"] == omero_conn.c.getSessionId()
    assert conn.SERVICE_OPTS.getOmeroGroup() == "-1"


def test_deadline(place, omero_conn, omero_user):
    assert session_deadline(gateway(omero_conn.c)) is None
    admin = omero_conn.c.sf.getSessionService()
    limited = admin.createUserSession(60_000, 60_000, omero_user.group)
    with session(*place, key=limited.uuid.val) as client:
        deadline = session_deadline(gateway(client))
    assert 30 < deadline - time.monotonic() <= 60


def test_what_tells_that_a_session_is_over(place, omero_user, omero_server):
    with session(*place, user=omero_user.name, password=omero_user.password) as client:
        service = client.sf.getConfigService()
        with pytest.raises(omero.ValidationException) as other:
            client.sf.getQueryService().get("Image", 10**9)
        assert not session_is_over(other.value)
        with omero_server.core.store.lock:
            omero_server.core.sessions.close(omero_server.core.sessions.get(client.getSessionId()))
        with pytest.raises(Ice.ObjectNotExistException) as caught:
            service.getVersion()
    assert session_is_over(caught.value)
