"""Who asks is whoever's session OMERO says it is."""

from __future__ import annotations

import getpass
import threading
import uuid

import pytest

from openhcs_core.execution import access
from openhcs_core.execution.access import Access, User
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.settings import Settings
from tests.execution.serving import free_port


@pytest.fixture
def settings(omero_server):
    return Settings(server_omero=f"{omero_server.host}:{omero_server.port}")


@pytest.fixture
def plate(omero_conn):
    """Id of an empty plate of the user."""
    return new_plate(omero_conn)


def new_plate(conn) -> int:
    from omero.model import PlateI
    from omero.rtypes import rstring

    plate = PlateI()
    plate.name = rstring("plate")
    return conn.getUpdateService().saveAndReturnObject(plate).id.val


def key(conn) -> str:
    return conn.c.getSessionId()


def refused(call, *arguments, **named) -> tuple[str, str]:
    with pytest.raises(ExecutionError) as caught:
        call(*arguments, **named)
    return caught.value.code, caught.value.field


def test_a_session_tells_its_user_and_goes_on(settings, omero_conn, omero_user):
    access = Access(settings)
    assert not access.knows(key(omero_conn))
    found = access.user(key(omero_conn))
    assert found == User(omero_user.id, omero_user.name, False, found.groups)
    assert omero_user.group_id in found.groups
    assert access.knows(key(omero_conn))
    assert omero_conn.getEventContext().userId == omero_user.id


def test_an_administrator_is_one(settings, connect):
    assert Access(settings).user(key(connect())).is_admin


def test_a_restricted_administrator_is_one_only_if_he_may_act_for_others(settings, connect, make_user):
    admin = connect().getAdminService()
    user = make_user()
    person, all_there_are = admin.getExperimenter(user.id), admin.getCurrentAdminPrivileges()
    admin.addGroups(person, [admin.getGroup(admin.getSecurityRoles().systemGroupId)])
    for name in ("ReadSession", "Sudo"):
        admin.setAdminPrivileges(person, [one for one in all_there_are if one.value.val == name])
        assert Access(settings).user(key(connect(user))).is_admin is (name == "Sudo")


UNKNOWN = "8a1f6f0e-5f5e-4f0a-9a43-0b6b2a5f4d11"


@pytest.mark.parametrize("session", ["", "root", "a" * 36, "../" * 12, f"{UNKNOWN}\n", UNKNOWN.upper()])
def test_what_is_no_session_is_refused(settings, session):
    assert refused(Access(settings).user, session) == ("no_session", "session")


def test_what_is_no_key_is_not_even_shown_to_omero():
    nowhere = Access(Settings(server_omero=f"127.0.0.1:{free_port()}"))
    assert refused(nowhere.user, "root") == ("no_session", "session")
    assert refused(nowhere.user, str(uuid.uuid4()))[0] == "omero"


def test_a_session_that_has_ended_is_remembered_for_what_starts_nothing_only(
    settings, connect, omero_user, monkeypatch
):
    conn = connect(omero_user)
    session, access_ = key(conn), Access(settings)
    access_.user(session)
    conn.close()
    assert access_.user(session).id == omero_user.id
    assert refused(access_.user, session, fresh=True) == ("no_session", "session")
    assert not access_.knows(session)
    assert refused(access_.user, session) == ("no_session", "session")
    monkeypatch.setattr(access, "REMEMBERED_S", 0.0)
    conn = connect(omero_user)
    session = key(conn)
    access_.user(session)
    conn.close()
    assert refused(access_.user, session) == ("no_session", "session")


def test_many_questions_at_once_join_a_session_once(settings, omero_conn, monkeypatch):
    joined, really = [], Access._joined
    monkeypatch.setattr(Access, "_joined", lambda self, session: joined.append(session) or really(self, session))
    access_, found = Access(settings), []
    threads = [threading.Thread(target=lambda: found.append(access_.user(key(omero_conn)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert len(joined) == 1


def test_sessions_that_are_over_are_forgotten(settings, monkeypatch):
    access_ = Access(settings)
    monkeypatch.setattr(access_, "_joined", lambda session: pytest.fail("it is not reached"))
    access_._sessions = {bytes([n % 256, n // 256]): access._Known() for n in range(10_001)}
    with pytest.raises(pytest.fail.Exception):
        access_.user(str(uuid.uuid4()))
    assert len(access_._sessions) == 1


def test_the_key_is_nowhere_in_what_is_remembered(settings, omero_conn):
    access_ = Access(settings)
    access_.user(key(omero_conn))
    assert key(omero_conn) not in repr(vars(access_))


def test_an_own_plate_may_be_worked_on(settings, omero_conn, omero_user, plate):
    access_ = Access(settings)
    assert access_.check_place(key(omero_conn), f"Plate:{plate}").id == omero_user.id
    assert access_.knows(key(omero_conn))


def test_a_plate_of_others_is_not_there(settings, connect, make_user, plate):
    stranger = connect(make_user())
    with pytest.raises(ExecutionError, match="does not exist, or you may not see it") as hidden:
        Access(settings).check_place(key(stranger), f"Plate:{plate}")
    assert (hidden.value.code, hidden.value.field) == ("no_access", "plate")
    with pytest.raises(ExecutionError, match="does not exist, or you may not see it"):
        Access(settings).check_place(key(stranger), "Plate:999999")


@pytest.mark.parametrize(("level", "allowed"), [("rwra--", True), ("rwr---", False)])
def test_a_plate_of_the_group_needs_the_right_to_annotate(settings, connect, make_user, level, allowed):
    owner = make_user(f"shared {level}", level)
    number = new_plate(connect(owner))
    other = key(connect(make_user(owner.group)))
    if allowed:
        Access(settings).check_place(other, f"Plate:{number}")
    else:
        assert refused(Access(settings).check_place, other, f"Plate:{number}") == ("no_access", "plate")


def test_without_omero_the_session_is_the_one_in_the_state_folder():
    access_ = Access(Settings(), "secret")
    assert access_.user("secret") == User(-1, getpass.getuser(), True)
    for wrong in ("", "secre", "secret2", "sécret", str(uuid.uuid4())):
        assert refused(access_.user, wrong) == ("no_session", "session")
