"""The records: on disk when they are said to be, for one server at a time, without anything secret."""

from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace

import pytest

from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.record import Execution
from openhcs_core.execution.store import JobStore
from tests.execution.jobs_world import SESSION, request


@pytest.fixture
def store(tmp_path):
    opened = JobStore(tmp_path)
    yield opened
    opened.close()


def execution(number=1, **fields):
    given = {"state": "queued", "plate": "Plate:1", "user_id": 7, "user": "ada", "created": float(number)}
    return Execution(execution_id=f"00000000-0000-4000-8000-{number:012}", **(given | fields))


def test_everything_is_read_as_it_was_kept(tmp_path):
    store = JobStore(tmp_path)
    asked = request("text\n" * 1000, wells=("A01", "B02"), outputs=("tables",), resume=False, workers=3)
    job = store.add(execution(), asked, b"sealed")
    job.execution = replace(
        job.execution, state="running", results=("Plate:5",), rate=2.5, traceback="Trace\n" * 100, started=3.0
    )
    job.pid, job.start, job.due, job.tries = 12, 34, 5.5, 2
    store.save(job)
    store.close()
    with JobStore(tmp_path) as again:
        assert again.get(job.execution.execution_id) == job
        assert again.request(job.execution.execution_id) == replace(asked, session="")
        assert again.in_states("running") == [job]
        assert again.in_states("queued") == []
        assert again.last_starts() == {7: 3.0}


def test_the_session_is_kept_until_the_end_only(store, tmp_path):
    job = store.add(execution(), request(), b"sealed-for-this-server")
    assert store.get(job.execution.execution_id).session == b"sealed-for-this-server"
    job.execution = replace(job.execution, state="failed", ended=5.0)
    store.save(job)
    assert store.get(job.execution.execution_id).session is None
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SESSION.encode() not in files


def test_nobody_else_may_read_them(store, tmp_path):
    store.add(execution(), request(), b"")
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == dict.fromkeys(
        ("executions.sqlite3", "executions.sqlite3-wal", "executions.sqlite3-shm", "server.lock"), 0o600
    )


def test_one_server_at_a_time(store, tmp_path):
    with pytest.raises(ExecutionError, match="Another execution server uses"):
        JobStore(tmp_path)


def test_who_is_queued_again_comes_last(store):
    first, second = (store.add(execution(number), request(), b"") for number in (1, 2))
    store.save(first, behind_all=True)
    assert store.in_states("queued") == [second, first]
    assert store.get(first.execution.execution_id).number == first.number == 3


def test_a_key_is_that_of_one_user(store):
    mine = store.add(execution(1), request(request_key="k"), b"")
    theirs = store.add(execution(2, user_id=8), request(request_key="k"), b"")
    without = [store.add(execution(number), request(), b"") for number in (3, 4)]
    assert store.by_key(7, "k") == mine
    assert store.by_key(8, "k") == theirs
    assert store.by_key(9, "k") is None
    assert len(without) == 2
    with pytest.raises(ExecutionError, match="UNIQUE"):
        store.add(execution(5), request(request_key="k"), b"")
    assert store.get(execution(5).execution_id) is None


def test_newest_first_of_a_user_or_of_all(store):
    for number, user, state in [(1, 7, "queued"), (2, 8, "queued"), (3, 7, "failed"), (4, 7, "queued")]:
        store.add(execution(number, user_id=user, state=state), request(), b"")

    def created(*arguments):
        return [found.created for found in store.select(*arguments)]

    assert created() == [4, 3, 2, 1]
    assert created(7) == [4, 3, 1]
    assert created(7, "queued") == [4, 1]
    assert created(None, "queued", 2) == [4, 2]
    assert created(99) == []


def test_what_has_ended_long_ago_is_forgotten(store):
    old, late = execution(1, state="failed", ended=10.0), execution(2, state="failed", ended=20.0)
    for each in (old, late, execution(3)):
        store.add(each, request(), b"")
    assert store.forget(15.0) == [old.execution_id]
    assert [found.created for found in store.select()] == [3, 2]


def test_an_unknown_request(store):
    with pytest.raises(ExecutionError, match="no such execution"):
        store.request("00000000-0000-4000-8000-000000000009")


def test_records_of_a_newer_version_are_left_alone(tmp_path):
    JobStore(tmp_path).close()
    with sqlite3.connect(tmp_path / "executions.sqlite3") as db:
        db.execute("pragma user_version = 99")
    db.close()
    before = (tmp_path / "executions.sqlite3").read_bytes()
    with pytest.raises(ExecutionError, match="of version 99"):
        JobStore(tmp_path)
    assert (tmp_path / "executions.sqlite3").read_bytes() == before


def test_what_is_no_file_of_records(tmp_path):
    (tmp_path / "executions.sqlite3").write_bytes(b"no database " * 100)
    for _ in range(2):  # nor does the lock stay behind
        with pytest.raises(ExecutionError, match="move it away"):
            JobStore(tmp_path)


def test_links_are_not_followed(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "executions.sqlite3").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExecutionError, match="cannot be used"):
        JobStore(tmp_path / "state")
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_kept_is_not_kept_in_part(store):
    """A full disk, as SQLite tells it."""
    kept = store.add(execution(1), request(), b"")
    (pages,) = store._db.execute("pragma page_count").fetchone()
    store._db.execute(f"pragma max_page_count = {pages}")
    with pytest.raises(ExecutionError, match="cannot keep its records.*full"):
        store.add(execution(2), request("x" * 100_000), b"")
    assert [found.created for found in store.select()] == [1]
    store._db.execute("pragma max_page_count = 1000000")
    assert store.add(execution(2), request("x" * 100_000), b"").number == kept.number + 1
