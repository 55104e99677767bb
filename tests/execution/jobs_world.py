"""A queue in this process, on a state folder of its own, whose executions are small programs of the shell.

What they do is told by the texts of their pipelines; see `PROGRAM`.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from openhcs_core.execution.access import User
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.keys import ServerKeys
from openhcs_core.execution.places import folders
from openhcs_core.execution.queue import JobQueue
from openhcs_core.execution.requests import Execute
from openhcs_core.execution.store import JobStore
from openhcs_core.settings import read_settings
from tests.streaming.peers import until

ADA, BOB = User(7, "ada"), User(8, "bob")
SESSION = "3fa85f64-5717-4562-b3fc-2c963f66afa6"

MANY = {"server_jobs": 4, "server_jobs_per_user": 4, "server_queue_per_user": 500}

PROGRAM = r"""
exec 3>/proc/self/fd/$1
read -r job || exit 9
echo "$2" >> "$STARTED"
tell() { echo "$1" >&3; }
completed='{"event": "ended", "state": "completed", "message": "done", "wells_processed": 2, "wells_total": 2}'
ready() { tell '{"event": "progress", "message": "ready"}'; }
case "$job" in
*"# print"*) echo "out $job"; echo "err" >&2; tell "$completed" ;;
*"# progress"*)
    tell '{"event": "stream", "stream": "tcp://127.0.0.1:5700"}'
    tell 'no event'
    tell '{"event": "progress", "message": "B02", "wells": 1, "items": 4, "done": 6, "total": 16, "rate": 2.5}'
    read -r more ;;
*"# flood"*) yes 0123456789 | head -c 300000; tell "$completed" ;;
*"# hold"*) trap 'tell "{\"event\": \"ended\", \"state\": \"stopped\"}"; exit 0' TERM; ready; read -r more ;;
*"# deaf"*) trap '' TERM; sleep 1000 & echo $! > "$STARTED.sleep"; ready; wait ;;
*"# crash"*) kill -SEGV $$ ;;
*"# status"*) exit 3 ;;
*"# leak"*)
    key=${job#*'"session": "'}
    tell "{\"event\": \"ended\", \"state\": \"failed\", \"message\": \"${key%%\"*}\"}" ;;
*"# lost"*) [ -e "$STARTED.back" ] && tell "$completed" || tell '{"event": "ended", "state": "lost"}' ;;
*"# gate"*)
    if [ -e "$STARTED.closed" ]; then
        [ -e "$STARTED.sleep" ] || { sleep 1000 & echo $! > "$STARTED.sleep"; }
        ready
        while [ -e "$STARTED.closed" ]; do sleep 0.02; done
    fi
    tell "$completed" ;;
*) tell "$completed" ;;
esac
"""


def request(text: str = "pipeline_steps = []", **fields) -> Execute:
    return Execute(pipeline_code=text, session=SESSION, plate="Plate:1", **fields)


class World:
    """A queue with its store, which can be closed and opened again; a context manager.

    Attributes
    ----------
    checked : list of str
        Sessions that were checked; `over` are those that are over.
    """

    def __init__(
        self, folder: Path, child=("sh", "-c", PROGRAM, "child"), options=None, session=SESSION, **settings
    ) -> None:
        self.folder, self.child, self.options, self.session = folder, child, options or {}, session
        (folder / "scratch").mkdir(exist_ok=True)
        folders_of = {"server_state": "state", "server_logs": "logs", "scratch": "scratch"}
        given = {name: str(folder / place) for name, place in folders_of.items()} | settings
        file = folder / "openhcs.toml"
        file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()))
        self.settings = read_settings(file)
        self.started_file = folder / "started"
        self.started_file.touch()
        self.checked: list[str] = []
        self.over: set[str] = set()
        self.open()

    def open(self) -> JobQueue:
        os.environ["STARTED"] = str(self.started_file)
        self.folders = folders(self.settings)
        self.keys = ServerKeys.load(self.folders.state)
        self.store = JobStore(self.folders.state)
        self.queue = JobQueue(
            self.settings, self.store, self.keys, self.folders, self._check, child=self.child, **self.options
        )
        self.queue.start()
        return self.queue

    def close(self, grace_s: float = 0.0) -> None:
        self.queue.close(grace_s)
        self.store.close()
        os.environ.pop("STARTED", None)

    def submit(self, text: str = "pipeline_steps = []", user: User = ADA, place: str = "Plate:1", **fields):
        return self.queue.submit(replace(request(text, **fields), session=self.session), place, user)

    def resume(self, execution):
        return self.queue.resume(execution.execution_id, self.session)

    def ended(self, execution, timeout_s: float = 60.0):
        """The execution, as soon as it has ended."""
        return self.until(execution, lambda found: found.has_ended, timeout_s)

    def until(self, execution, condition, timeout_s: float = 60.0):
        return until(lambda: self.queue.get(execution.execution_id), condition, timeout_s)

    def in_state(self, execution, state):
        return self.until(execution, lambda found: found.state == state)

    def log(self, execution) -> str:
        return self.queue.log(execution.execution_id)["text"]

    def started(self) -> list[str]:
        """Ids of what was started, in order."""
        return self.started_file.read_text().split()

    def _check(self, session: str) -> None:
        self.checked.append(session)
        if session in self.over:
            raise ExecutionError("The session is over.", "no_session")

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_) -> None:
        self.close()
