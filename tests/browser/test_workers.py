"""Threads that ask OMERO: connections of their own, made again when one breaks; and a session that ends."""

import threading

import pytest

from openhcs_browser.workers import Connection, SessionLost
from openhcs_core.omero.errors import OmeroError


def who(conn):
    return conn.c.sf.getAdminService().getEventContext().userName


def test_each_thread_has_a_connection_of_its_own_in_one_session(connection, omero_user):
    together = threading.Barrier(2)

    def meet(conn):
        together.wait(10)
        return conn, conn.c.getSessionId(), who(conn)

    found = [future.result() for future in [connection.thumbnails.submit(meet) for _ in range(2)]]
    assert found[0][0] is not found[1][0]
    assert {key for _, key, _ in found} == {connection.login.key}
    assert {name for *_, name in found} == {omero_user.name}


def test_a_connection_that_broke_is_made_again(connection):
    first = connection.tree.submit(lambda conn: conn.c).result()
    first.sf.ice_getCachedConnection().close(True)  # as when the network is gone for a while
    again = connection.tree.submit(lambda conn: (conn.c, who(conn))).result()
    assert again[0] is not first


def test_what_waits_can_be_cancelled(connection):
    go = threading.Event()
    busy = connection.tree.submit(lambda conn: go.wait(10))
    waiting = connection.tree.submit(who)
    assert waiting.cancel()
    go.set()
    assert busy.result()
    assert waiting.cancelled()


def test_the_end_of_the_session_is_told(connection, end_session):
    connection.tree.submit(who).result()
    end_session(connection.login.key)
    for workers in (connection.tree, connection.thumbnails):
        with pytest.raises(SessionLost, match="the OMERO session is over. Log in again"):
            workers.submit(who).result()


def test_errors_of_the_work_are_those_of_the_work(connection):
    def fail(conn):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        connection.tree.submit(fail).result()


def test_closing_ends_the_session_that_began_here(omero_server, omero_user):
    made = Connection(omero_server.host, omero_server.port, user=omero_user.name, password=omero_user.password)
    made.thumbnails.submit(who).result()
    key = made.login.key
    made.close()
    with pytest.raises(OmeroError, match="the session is over"):
        Connection(omero_server.host, omero_server.port, key=key)


def test_closing_leaves_a_session_that_was_joined(omero_server, omero_conn, connect, omero_user):
    key = omero_conn.c.sf.getSessionService().createUserSession(60_000, 60_000, omero_user.group).uuid.val
    for _ in range(2):
        made = Connection(omero_server.host, omero_server.port, key=key)
        made.tree.submit(who).result()
        made.close()


def test_the_password_is_kept_nowhere(connection, omero_user):
    assert omero_user.password not in repr(vars(connection)) + str(dict(connection.login.properties))
