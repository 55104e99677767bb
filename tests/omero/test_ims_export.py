"""The export job where a processor cannot be made to show it: what it says while it runs, and a session that dies."""

import dataclasses
import signal
import threading
import time

import pytest
from omero.rtypes import rlist, rlong, rstring, unwrap

from openhcs_core.omero.errors import Stopped
from openhcs_core.omero.ims_export import GOES_ON, ImsExport, run
from openhcs_core.omero.job import ASK_FOR_TIME, SESSION_OVER, SessionWarning
from openhcs_core.omero.progress import MESSAGE_LENGTH, JobProgress
from openhcs_core.progress import Progress


@pytest.fixture
def job(omero_conn, make_image, voxels, monkeypatch, tmp_path):
    """A client with the inputs of a script, for one image."""
    settings = tmp_path / "openhcs.toml"
    settings.write_text(f'scratch = "{tmp_path}/scratch"\n')
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("OPENHCS_CONFIG", str(settings))
    client = omero_conn.c
    client.setInput("Data_Type", rstring("Image"))
    client.setInput("IDs", rlist([rlong(make_image(voxels(1, 1, 2, 30, 20)).getId())]))
    return client


def test_a_session_that_ends_in_the_middle(job, omero_server, capsys, monkeypatch, tmp_path):
    def end(self, event):
        with omero_server.core.store.lock:
            sessions = omero_server.core.sessions
            sessions.close(sessions.get(job_session))

    job_session = job.getSessionId()
    monkeypatch.setattr(JobProgress, "__call__", end)
    assert run(job) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("Traceback")
    assert errors.endswith(f"{SESSION_OVER} {GOES_ON} {ASK_FOR_TIME}\n")
    assert sorted(path.name for path in (tmp_path / "scratch").glob("*/*/*/*")) == ["lock", "made.ims"]


def event(observed=5.0, left=1000.0, **more):
    return Progress("export", 1, 10, seconds_left=left, observed_s=observed, subject="Image 1 of 1", **more)


def test_a_session_that_will_not_last_is_told_once(job, capsys):
    export = ImsExport(job, threading.Event())
    export._warn = SessionWarning(export.progress, time.monotonic() + 100, GOES_ON)
    export._watch(event(observed=4.9))
    export._watch(event(left=50))
    export._watch(event(left=None))
    assert capsys.readouterr().out == ""
    export._watch(event())
    export._watch(event())
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "Warning: Image 1 of 1: export: about 17 min are needed, but the session of this script ends in 2 min "
        "(omero.scripts.timeout). Start the same export again: it goes on"
    )


def test_many_images_that_the_session_will_not_last_for(job, make_image, voxels, capsys):
    image = unwrap(job.getInput("IDs"))[0]
    other = make_image(voxels(1, 1, 1, 8, 8)).getId()
    job.setInput("IDs", rlist([rlong(image), rlong(other)]))
    export = ImsExport(job, threading.Event())
    export._warn = SessionWarning(export.progress, time.monotonic(), GOES_ON)
    assert export.run() == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning"))
    assert line.startswith("Warning: 1 more: about ")


def test_a_stop_ends_the_upload(job):
    export = ImsExport(job, threading.Event())
    export._watch(event())
    export._stop.set()
    with pytest.raises(Stopped):
        export._watch(event())


def test_sigterm_before_the_work(job, monkeypatch):
    monkeypatch.setattr(JobProgress, "line", lambda self, text: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert run(job) == 143
    assert unwrap(job.getOutput("Message")) == f"Stopped from outside. {GOES_ON}"
    assert signal.getsignal(signal.SIGTERM) is before


def test_progress_without_a_job(job, capsys):
    progress = JobProgress(job)
    progress.line("hello")
    progress(event())
    progress.close()
    assert capsys.readouterr().out == "hello\n"


class Handle:
    """Stands in for the handle of a job, to count what reaches it."""

    def __init__(self):
        self.messages = []

    def setMessage(self, text):
        self.messages.append(text)


def test_messages_are_short_and_few(job, capsys):
    progress = JobProgress(job)
    progress._handle = handle = Handle()
    progress(dataclasses.replace(event(), subject="x" * 1000))
    for _ in range(1000):
        progress(event())
    progress.line("a line counts at once")
    progress._next = 0.0
    progress(event())
    assert handle.messages == [
        "x" * MESSAGE_LENGTH,
        "a line counts at once",
        "Image 1 of 1: export 10 %, about 17 min left",
    ]
    assert capsys.readouterr().out == "a line counts at once\n"


def test_a_job_that_cannot_be_told_anything_does_not_stop_the_work(job, caplog):
    progress = JobProgress(job)
    progress._handle = job.sf.createJobHandle()  # attached to no job
    progress.line("one")
    progress.line("two")
    assert [record.message.partition(":")[0] for record in caplog.records] == ["Progress cannot be told to OMERO"]
