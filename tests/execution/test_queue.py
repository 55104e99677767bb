"""The queue: who is next, what is kept, and what becomes of executions however they end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from openhcs_core.execution.child import SESSION_OVER
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.jobs import turns
from openhcs_core.execution.record import Execution
from openhcs_core.execution.store import Job
from openhcs_core.streaming.identity import is_alive, process_start
from tests.execution.jobs_world import BOB, SESSION, World
from tests.streaming.peers import until

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def world(tmp_path):
    """Function which opens a `World`; settings as keywords, `options` for the queue."""
    opened = []

    def make(**arguments):
        opened.append(World(tmp_path, **arguments))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def test_from_a_request_to_its_end(world):
    here = world()
    made = here.submit("pipeline_steps = []  # print")
    assert (made.state, made.plate, made.user_id, made.user, made.ahead) == ("queued", "Plate:1", 7, "ada", 0)
    assert made.text_hash == sha256(b"pipeline_steps = []  # print").hexdigest()
    done = here.ended(made)
    assert (done.state, done.message, done.percent, done.attempts) == ("completed", "done", 100, 1)
    assert (done.wells_processed, done.wells_total) == (2, 2)
    assert made.created <= done.started <= done.ended
    assert "Attempt 1" in here.log(made)
    assert '"place": "Plate:1"' in here.log(made)
    assert "\nerr\n" in here.log(made)
    assert here.log(made).endswith("--- completed: done\n")
    assert here.queue.counts() == (0, 0)
    assert here.queue.list(7) == [done]
    here.close()
    here.open()
    assert here.queue.get(made.execution_id) == done
    assert here.started() == [made.execution_id]


def test_what_the_process_tells_is_told(world):
    here = world()
    made = here.submit("# progress")
    found = here.until(made, lambda found: found.wells_processed)
    assert (found.stream, found.message) == ("tcp://127.0.0.1:5700", "B02")
    assert (found.wells_processed, found.wells_total, found.percent, found.rate) == (1, 4, 37, 2.5)
    here.queue.cancel(made.execution_id)
    ended = here.ended(made)
    assert (ended.wells_processed, ended.rate, ended.percent) == (1, None, 37)


def test_nothing_secret_is_anywhere_but_in_the_pipe(world):
    here = world()
    made = here.submit("# hold print")
    here.until(made, lambda found: found.message == "ready")
    job = here.store.get(made.execution_id)
    process = Path("/proc", str(job.pid))
    for name in ("cmdline", "environ"):
        assert SESSION.encode() not in (process / name).read_bytes()
    assert made.execution_id.encode() in (process / "cmdline").read_bytes()
    assert job.session not in (b"", None)
    leaked = here.submit("# leak")
    here.queue.cancel(made.execution_id)
    assert here.ended(leaked).message == "[hidden]"
    printed = here.submit("# print")
    here.ended(printed)
    assert "[hidden]" in here.log(printed)
    files = [path for path in here.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"executions.sqlite3", "executions.sqlite3-wal", f"{made.execution_id}.log"}
    assert [path for path in files if SESSION.encode() in path.read_bytes()] == []
    assert here.store.get(made.execution_id).session is None


def test_the_same_key_is_the_same_execution_also_after_a_restart(world):
    here = world()
    made = here.submit("# hold", request_key="k")
    assert here.submit("# hold", request_key="k").execution_id == made.execution_id
    theirs = here.submit(user=BOB, request_key="k")
    assert theirs.execution_id != made.execution_id
    here.close()
    here.open()
    assert here.submit("# hold", request_key="k").execution_id == made.execution_id
    here.ended(theirs)
    assert Counter(here.started()).most_common(1)[0][1] == 1


def test_so_many_may_wait(world):
    here = world(server_queue_per_user=2)
    held = here.submit("# hold")
    here.in_state(held, "running")
    waiting = [here.submit() for _ in range(2)]
    with pytest.raises(ExecutionError, match="2 executions of yours wait already.*server_queue_per_user") as caught:
        here.submit()
    assert caught.value.code == "limit"
    other = here.submit(user=BOB)
    here.queue.cancel(waiting[0].execution_id)
    here.submit()
    with pytest.raises(ExecutionError, match="2 executions"):
        here.queue.resume(waiting[0].execution_id, SESSION)
    here.queue.cancel(held.execution_id)
    here.ended(other)


def test_one_of_each_user_after_the_other(world):
    here = world()
    held = here.submit("# hold")
    here.in_state(held, "running")
    mine = [here.submit() for _ in range(3)]
    theirs = [here.submit(user=BOB) for _ in range(2)]
    expected = [theirs[0], mine[0], theirs[1], mine[1], mine[2]]
    ahead = {found.execution_id: found.ahead for found in here.queue.list()}
    assert [ahead[each.execution_id] for each in expected] == list(range(5))
    here.queue.cancel(held.execution_id)
    for each in expected:
        here.ended(each)
    assert here.started()[1:] == [each.execution_id for each in expected]


def test_so_many_of_one_user_run(world):
    here = world(server_jobs=2)
    mine = [here.submit("# hold") for _ in range(2)]
    theirs = here.submit("# hold", user=BOB)
    here.in_state(theirs, "running")
    assert here.in_state(mine[0], "running")
    assert here.queue.get(mine[1].execution_id).state == "queued"
    assert here.queue.counts() == (1, 2)
    here.queue.cancel(mine[0].execution_id)
    here.in_state(mine[1], "running")


def test_turns():
    def job(number, user):
        fields = {"state": "queued", "plate": "", "user": "", "created": 0.0}
        return Job(number, Execution(execution_id=str(number), user_id=user, **fields))

    waiting = [job(5, 1), job(3, 1), job(4, 2), job(6, 3), job(7, 3)]
    assert turns(waiting, {}) == ["3", "4", "6", "5", "7"]
    assert turns(waiting, {1: 50.0, 2: 40.0, 3: 60.0}) == ["4", "3", "6", "5", "7"]
    assert turns([], {}) == []


def test_cancelled_before_and_while_it_runs(world):
    here = world()
    held, waiting = here.submit("# hold"), here.submit()
    here.until(held, lambda found: found.message == "ready")
    assert here.queue.cancel(waiting.execution_id).state == "cancelled"
    assert here.queue.cancel(held.execution_id).message == "It is being cancelled."
    assert here.ended(held).state == "cancelled"
    assert here.queue.cancel(held.execution_id) == here.queue.get(held.execution_id)
    assert here.started() == [held.execution_id]
    resumed = here.queue.resume(waiting.execution_id, SESSION)
    assert (resumed.state, resumed.message) == ("queued", "")
    assert here.ended(waiting).state == "completed"


def test_who_does_not_end_is_killed_with_all_it_has_started(world):
    here = world()
    made = here.submit("# deaf")
    here.until(made, lambda found: found.message == "ready")
    pid = int(Path(f"{here.started_file}.sleep").read_text())
    start = process_start(pid)
    assert is_alive(pid, start)
    here.queue.cancel(made.execution_id)
    assert here.ended(made).state == "cancelled"
    until(lambda: is_alive(pid, start), lambda alive: not alive)


@pytest.mark.parametrize(("text", "said"), [("# crash", "SIGSEGV"), ("# status", "exit status 3")])
def test_a_crash_is_told_and_costs_this_execution_only(world, text, said):
    here = world()
    made, next_one = here.submit(text), here.submit()
    failed = here.ended(made)
    assert failed.state == "failed"
    assert said in failed.message
    assert failed.can_resume
    assert here.ended(next_one).state == "completed"
    assert said in here.log(made)
    here.queue.resume(made.execution_id, SESSION)
    assert here.until(made, lambda found: found.has_ended and found.attempts == 2).state == "failed"
    assert "Attempt 2" in here.log(made)


def test_a_program_that_is_not_there_is_tried_again_later(world):
    here = world(child=("/nowhere/program",))
    made = here.submit()
    found = here.until(made, lambda found: found.message)
    assert (found.state, found.attempts) == ("queued", 0)
    assert "cannot be started now" in found.message
    assert here.queue.cancel(made.execution_id).state == "cancelled"


def test_much_output_is_no_harm(world, monkeypatch):
    monkeypatch.setattr("openhcs_core.execution.queue.LOG_BYTES", 1000)
    here = world()
    assert here.ended(here.submit("# flood")).state == "completed"
    (log,) = (here.folders.logs / "executions").iterdir()
    assert 1000 < log.stat().st_size < 1200
    assert b"bytes more are not in this log" in log.read_bytes()


def test_what_cannot_be_kept_is_kept_later(world, monkeypatch):
    """A full disk, as SQLite tells it."""
    monkeypatch.setattr("openhcs_core.execution.jobs.SAVED_S", 0.05)
    here = world()
    held = here.submit("# hold")
    here.until(held, lambda found: found.message == "ready")
    database = here.store._db
    with here.store._thread_lock:
        database.execute("pragma query_only = on")
    with pytest.raises(ExecutionError, match="cannot keep its records"):
        here.submit()
    here.queue.cancel(held.execution_id)
    assert here.ended(held).state == "cancelled"
    assert here.store.get(held.execution_id).execution.state == "running"
    with here.store._thread_lock:
        database.execute("pragma query_only = off")
    until(lambda: here.store.get(held.execution_id).execution.state, lambda state: state == "cancelled")
    assert here.ended(here.submit()).state == "completed"


def test_resuming_what_waits_runs_or_is_complete(world):
    here = world()
    done = here.ended(here.submit())
    with pytest.raises(ExecutionError, match="completed: there is nothing to resume") as caught:
        here.queue.resume(done.execution_id, SESSION)
    assert caught.value.code == "bad_request"
    held = here.submit("# hold")
    here.in_state(held, "running")
    assert here.queue.resume(held.execution_id, SESSION).state == "running"
    waiting = here.submit()
    assert here.queue.resume(waiting.execution_id, SESSION) == here.queue.get(waiting.execution_id)


@pytest.mark.parametrize("execution_id", [NOBODY, "../../etc/passwd", "", "' or 1=1 --"])
def test_executions_that_do_not_exist(world, execution_id):
    here = world()
    assert here.queue.get(execution_id) is None
    for ask in (here.queue.cancel, lambda unknown: here.queue.resume(unknown, SESSION)):
        with pytest.raises(ExecutionError) as caught:
            ask(execution_id)
        assert caught.value.code == "unknown"
    if execution_id != NOBODY:
        with pytest.raises(ExecutionError, match="UUID"):
            here.queue.log(execution_id)
    else:
        assert here.queue.log(execution_id)["text"] == ""


def test_the_end_of_the_server(world):
    here = world()
    held, waiting = here.submit("# hold"), here.submit()
    here.until(held, lambda found: found.message == "ready")
    here.close()
    with pytest.raises(ExecutionError, match="is ending") as caught:
        here.submit()
    assert caught.value.code == "closing"
    assert here.started() == [held.execution_id]
    here.open()
    assert here.ended(waiting).state == "completed"
    found = here.queue.get(held.execution_id)
    assert (found.state, found.can_resume) == ("interrupted", True)
    assert "server ended" in found.message


def test_who_runs_may_finish_within_the_grace(world):
    here = world()
    gate = Path(f"{here.started_file}.closed")
    gate.touch()
    held, waiting = here.submit("# gate"), here.submit()
    here.until(held, lambda found: found.message == "ready")
    gate.unlink()
    here.close(grace_s=30)
    here.open()
    assert here.queue.get(held.execution_id).state == "completed"
    assert here.ended(waiting).state == "completed"


def test_without_omero_it_is_tried_again_with_a_clear_state(world):
    here = world(options={"retry_s": (0.05, 60)})
    made = here.submit("# lost")
    found = here.until(made, lambda found: found.attempts == 2 and found.state == "queued")
    assert found.message == "OMERO.server cannot be reached; next try in 60 s (2 of 2)."
    other = here.ended(here.submit())
    assert other.state == "completed"
    here.close()
    here.open()
    assert here.queue.get(made.execution_id).message == found.message
    assert here.queue.counts() == (1, 0)


def test_without_omero_for_long_it_fails_and_can_be_resumed(world):
    here = world(options={"retry_s": (0.01, 0.01)})
    made = here.submit("# lost")
    failed = here.ended(made)
    assert (failed.state, failed.attempts) == ("failed", 3)
    assert failed.message.startswith("OMERO.server could not be reached in 3 tries. Resume it")
    Path(f"{here.started_file}.back").touch()
    here.queue.resume(made.execution_id, SESSION)
    assert here.ended(made).state == "completed"


def test_sessions_of_those_that_wait_are_kept(world):
    here = world(options={"keep_s": 0.02})
    held, waiting = here.submit("# hold"), here.submit()
    until(lambda: here.checked, lambda checked: len(checked) > 2)
    assert set(here.checked) == {SESSION}
    assert here.queue.get(waiting.execution_id).state == "queued"
    here.over.add(SESSION)
    failed = here.ended(waiting)
    assert (failed.state, failed.message) == ("failed", SESSION_OVER)
    assert here.queue.get(held.execution_id).state == "running"
    other = "11111111-2222-4333-8444-555555555555"
    here.queue.resume(waiting.execution_id, other)
    until(lambda: here.checked, lambda checked: other in checked)
    assert here.queue.get(waiting.execution_id).state == "queued"


def test_sessions_that_were_sealed_by_another_key(world):
    here = world()
    here.submit("# hold")
    waiting = here.submit()
    here.close()
    (here.folders.state / "server.key").unlink()
    here.open()
    assert here.ended(waiting).message == SESSION_OVER


def test_what_has_ended_long_ago_is_forgotten_with_its_log(world):
    here = world()
    old, held = here.ended(here.submit()), here.submit("# hold")
    here.in_state(held, "running")
    job = here.store.get(old.execution_id)
    job.execution = replace(job.execution, ended=time.time() - 91 * 86_400)
    here.store.save(job)
    here.close()
    log = here.folders.execution_log(old.execution_id)
    assert log.exists()
    here.open()
    until(lambda: here.queue.get(old.execution_id), lambda found: found is None)
    until(log.exists, lambda there: not there)
    assert here.queue.get(held.execution_id).state == "interrupted"
