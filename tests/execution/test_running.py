"""One process seen from the server: whatever it does, its end is noticed and nothing of it is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress

import pytest

from openhcs_core.execution.logs import ExecutionLog
from openhcs_core.execution.outcome import ended, progressed
from openhcs_core.execution.record import Execution
from openhcs_core.execution.running import Running, end_left_behind
from openhcs_core.streaming.identity import is_alive, process_start
from tests.streaming.peers import until

RECORD = Execution(execution_id="x", state="running", plate="Plate:1", user_id=1, user="ada", created=1.0)


@pytest.fixture
def run(tmp_path):
    """Function which starts a program of the shell; killed after the test."""
    started = []

    def make(program):
        log = ExecutionLog(tmp_path / "log")
        started.append(Running(("sh", "-c", program), "id", dict(os.environ), log, []))
        return started[-1]

    yield make
    for running in started:
        if process_start(running.pid):
            running.kill()
            running.close()


def finished(running):
    """What it has told, and its exit status."""
    told = []

    def poll():
        code = running.poll()
        told.extend(running.events(last=code is not None))
        return code

    code = until(poll, lambda code: code is not None)
    running.close()
    return told, code


def test_the_last_that_it_tells_is_heard(run, tmp_path):
    running = run('exec 3>/proc/self/fd/$0; echo \'{"event": "progress"}\' >&3; echo said; kill -9 $$')
    until(lambda: is_alive(running.pid, running.start), lambda alive: not alive)
    assert finished(running) == ([{"event": "progress"}], -signal.SIGKILL)
    assert (tmp_path / "log").read_text() == "said\n"


def test_stopping_what_has_just_ended(run):
    running = run("exit 7")
    until(lambda: is_alive(running.pid, running.start), lambda alive: not alive)
    running.stop("cancelled")
    assert finished(running) == ([], 7)


def test_a_long_job_gets_there(run, tmp_path):
    running = run('read -r job; echo "${#job}"')
    running.give({"text": "x" * 300_000})
    assert finished(running) == ([], 0)
    assert (tmp_path / "log").read_text() == f"{300_000 + len(json.dumps({'text': ''}))}\n"


def test_it_does_nothing_without_a_job(run, tmp_path):
    running = run(f"read -r job && touch {tmp_path / 'mark'}")
    assert running.poll() is None
    running.kill()
    assert finished(running) == ([], -signal.SIGKILL)
    assert not (tmp_path / "mark").exists()


def test_what_it_has_started_goes_with_it(run, tmp_path):
    running = run(f"sleep 1000 & echo $! > {tmp_path / 'pid'}; exit 0")
    assert finished(running) == ([], 0)
    pid = int((tmp_path / "pid").read_text())
    until(lambda: is_alive(pid, process_start(pid)), lambda alive: not alive)


def test_endless_events_are_given_up(run, monkeypatch):
    monkeypatch.setattr("openhcs_core.execution.running.LONGEST_EVENT", 1000)
    running = run('exec 3>/proc/self/fd/$0; head -c 100000 /dev/zero >&3; echo >&3; echo \'{"event": "a"}\' >&3')
    told, code = finished(running)
    assert code == 0
    assert told == [{"event": "a"}]


def test_a_program_that_cannot_be_started_leaves_no_pipe_open(tmp_path, monkeypatch):
    pipes, make = {}, os.pipe

    def pipe():
        made = make()
        pipes.update({descriptor: os.fstat(descriptor).st_ino for descriptor in made})
        return made

    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(FileNotFoundError):
        Running(("/nowhere/program",), "id", {}, ExecutionLog(tmp_path / "none" / "log"), [])
    assert len(pipes) >= 6
    for descriptor, inode in pipes.items():
        with suppress(OSError):  # its number may be that of another file by now
            assert os.fstat(descriptor).st_ino != inode


def test_what_a_killed_server_has_left_is_ended_and_nothing_else(run):
    running = run("trap '' TERM; sleep 1000")
    assert end_left_behind(running.pid, running.start + 1), "the process of that time is gone"
    assert is_alive(running.pid, running.start)
    assert end_left_behind(running.pid, running.start)
    assert finished(running)[1] == -signal.SIGKILL


def test_what_has_no_group_of_its_own_is_left_alone():
    with subprocess.Popen(["sleep", "1000"]) as other:
        assert not end_left_behind(other.pid, process_start(other.pid))
        assert other.poll() is None
        other.kill()


def test_wells_of_earlier_attempts_count():
    event = {"message": "A05", "wells": 1, "items": 4, "done": 2, "total": 8, "rate": 1.5, "unit": "calls"}
    first = progressed(RECORD, event)
    assert (first.wells_processed, first.wells_total, first.percent) == (1, 4, 25)
    again = progressed(first, {**event, "wells": 0, "items": 3, "done": 3, "total": 6})
    assert (again.wells_processed, again.wells_total, again.percent) == (1, 4, 62)
    assert progressed(again, {"message": "waits"}).wells_total == 4


def test_who_ended_it_decides_what_it_is():
    told = {"event": "ended", "state": "completed", "message": "done"}
    assert ended(RECORD, told, 0, "cancelled", 5.0)[0].state == "completed"
    assert ended(RECORD, None, -15, "cancelled", 5.0)[0].state == "cancelled"
    assert ended(RECORD, None, -9, "interrupted", 5.0)[0].state == "interrupted"
    assert ended(RECORD, {"state": "stopped"}, 0, None, 5.0)[0].state == "interrupted"
    assert ended(RECORD, {"state": "failed", "wells_total": "many"}, 0, None, 5.0)[0].wells_total == 0
    assert "signal 50" in ended(RECORD, None, -50, None, 5.0)[0].message
    lost, again = ended(RECORD, {"state": "lost", "results": ["Plate:1"]}, 0, None, 5.0)
    assert (lost.state, lost.results, lost.ended, again) == ("failed", ("Plate:1",), 5.0, True)
