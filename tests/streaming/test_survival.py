"""Viewers that die, memory and disks that are short, containers that see no shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack

import numpy as np
import pytest

from openhcs_core.streaming.messages import Begin
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from tests.streaming.peers import ROOT, Peer, Recorder, address, orphans, plane, segments, until

ANY = "tcp://127.0.0.1:0"


def test_ten_thousand_images_of_two_senders_through_a_viewer_that_is_killed_three_times(tmp_path):
    given = {"images": 5000, "size": 192, "absent_s": 30.0, "scratch": str(tmp_path), "memory_bytes": 16 << 20}
    with ExitStack() as stack:
        viewer = stack.enter_context(Peer("viewer", listen=ANY))
        to = [viewer.hello["endpoint"]]
        one, two = (stack.enter_context(Peer("sender", connect=to, well=well, **given)) for well in ("A01", "B02"))
        for shown in (500, 2000, 4000):
            got = viewer.until(lambda got, shown=shown: got["images"] > shown)
            assert (got["twice"], got["wrong"]) == (0, 0)
            viewer.kill()
            viewer = stack.enter_context(Peer("viewer", listen=to[0]))
        reports = [one.result(), two.result()]
        got = viewer.until(lambda got: got["images"] == 10_000)
        assert got["slots"] > 100
    assert (got["twice"], got["wrong"], got["wells"]) == (0, 0, {"A01": 5000, "B02": 5000})
    for report in reports:
        assert (report["images"], report["undelivered"], report["dropped"]) == (5000, 0, 0)
    assert not list(tmp_path.iterdir())
    until(orphans, [].__eq__, 5)


def test_what_a_killed_viewer_did_not_get_is_listed(tmp_path):
    with (
        Peer("viewer", listen=ANY, delay_s=0.01, credits=2) as viewer,
        Peer("sender", connect=[viewer.hello["endpoint"]], absent_s=5.0, drain_s=1.0) as sender,
    ):
        got = viewer.until(lambda got: got["images"] > 10)
        viewer.kill()
        report = sender.result()
    listed = report["viewers"][0]["undelivered"]
    assert 0 < len(listed) < 100 - got["images"] + 5
    assert listed == list(range(100))[-len(listed) :]
    assert report["viewers"][0]["state"] == "lost"
    assert "NOT delivered" in report["text"]


def test_a_stalled_viewer_does_not_stop_the_pipeline_and_nothing_is_lost(tmp_path):
    options = PublisherOptions(memory_bytes=16 << 20, scratch=tmp_path)
    with Peer("viewer", listen=ANY) as viewer, Publisher([viewer.hello["endpoint"]], options=options) as publisher:
        assert publisher.wait(20)
        viewer.send_signal(signal.SIGSTOP)
        publisher.begin(Begin(stream="s"))
        for number in range(120):  # 60 MiB
            publisher.save("s", plane(number, 512), address(number))
        assert not publisher._outbox.dropped
        viewer.send_signal(signal.SIGCONT)
        got = viewer.until(lambda got: got["images"] == 120)
        report = publisher.close()
    assert (got["wrong"], got["twice"]) == (0, 0)
    assert report.peak_memory <= 16 << 20
    assert report.spooled > 40 << 20
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overflow", ["drop", "wait"])
def test_without_any_room_images_are_dropped_and_counted(tmp_path, overflow):
    options = PublisherOptions(
        memory_bytes=4 << 20, scratch=tmp_path, spool_bytes=4 << 20, overflow=overflow, wait_s=0.1, absent_s=0
    )
    recorder = Recorder()
    with Publisher(listen=ANY, options=options) as publisher:
        publisher.begin(Begin(stream="s"))
        saved = [publisher.save("s", plane(number, 512), address(number)) for number in range(20)]
        with Receiver(recorder, connect=[publisher.endpoint]):
            until(lambda: len(recorder.times), sum(saved).__eq__)
            report = publisher.close()
    assert 8 < sum(saved) < 18
    assert recorder.wrong == 0
    assert report.dropped == len(report.undelivered) == 20 - sum(saved)
    assert recorder.ends[0].undelivered == report.dropped
    assert overflow == "drop" or report.waited_s > 0.1


def test_what_all_have_makes_room_and_is_missing_for_those_that_come_later(tmp_path):
    options = PublisherOptions(memory_bytes=4 << 20, scratch=tmp_path, spool_bytes=4 << 20, wait_s=20)
    early, late = Recorder(), Recorder()
    with (
        Publisher(listen=ANY, options=options) as publisher,
        Receiver(early, connect=[publisher.endpoint], id="early"),
    ):
        publisher.begin(Begin(stream="s"))
        for number in range(40):
            publisher.save("s", plane(number, 512), address(number))
        until(lambda: len(early.times), (40).__eq__)
        with Receiver(late, connect=[publisher.endpoint], id="late"):
            assert publisher.wait(5, viewers=2)
            report = publisher.close()
    assert (early.wrong, late.wrong, report.dropped, len(report.undelivered)) == (0, 0, 0, 0)
    by_size = sorted(report.viewers, key=lambda viewer: viewer.delivered)
    assert [viewer.delivered for viewer in by_size] == [len(late.times), 40]
    assert 0 < len(late.times) < 40
    assert len(by_size[0].undelivered) == 40 - len(late.times) == late.ends[0].undelivered


def test_a_full_disk_is_no_crash(tmp_path):
    options = PublisherOptions(memory_bytes=2 << 20, scratch=tmp_path / "absent", overflow="drop", absent_s=0)
    with Publisher(listen=ANY, options=options) as publisher:
        publisher.begin(Begin(stream="s"))
        saved = [publisher.save("s", plane(number, 512), address(number)) for number in range(8)]
        report = publisher.close()
    assert 1 <= sum(saved) <= 4
    assert report.dropped == 8 - sum(saved)


MOUNT = """
    mount -t tmpfs -o size=$1 tmpfs /dev/shm
    shift
    exec "$@"
"""
AS_ROOT = os.geteuid() == 0
UNSHARE = ("unshare", "-m") if AS_ROOT else ("unshare", "-r", "-m")
"""Runs a command with mounts of its own; who is not root is it in there."""


def mounting(size: str) -> tuple[str, ...]:
    """Runs a command with shared memory of its own; empty where that is not allowed."""
    wrapper = (*UNSHARE, "sh", "-c", MOUNT, "sh", size)
    return wrapper if subprocess.run([*wrapper, "true"], capture_output=True).returncode == 0 else ()


def test_once_shared_memory_is_full_images_go_inside_messages():
    """As in a container, which has 64 MB of it."""
    wrapper = mounting("16m")
    with Peer("viewer", wrapper, listen=ANY) as viewer:
        beside = ("nsenter", "-t", str(viewer.pid), *(() if AS_ROOT else ("-U", "--preserve-credentials")), "-m")
        given = {} if wrapper else {"shm_bytes": 16 << 20}
        to = [viewer.hello["endpoint"]]
        with Peer("sender", beside if wrapper else (), connect=to, size=1024, **given) as sender:
            report = sender.result()
        got = viewer.until(lambda got: got["ends"])
    assert (got["images"], got["wrong"], report["undelivered"]) == (100, 0, 0)
    assert 0 < got["slots"] <= 8


def test_a_viewer_that_does_not_see_the_senders_shared_memory_gets_messages(tmp_path):
    wrapper = mounting("64m")
    given = {} if wrapper else {"shm_folder": str(tmp_path)}
    with Peer("viewer", wrapper, listen=ANY, **given) as viewer:
        with Peer("sender", connect=[viewer.hello["endpoint"]], size=512) as sender:
            report = sender.result()
        got = viewer.until(lambda got: got["ends"])
    assert (got["images"], got["wrong"], got["slots"], report["undelivered"]) == (100, 0, 0, 0)


def test_a_sender_that_is_killed_leaves_no_segment():
    code = f"""
        import os, signal, sys
        sys.path.insert(0, {str(ROOT)!r})
        from tests.streaming.peers import *
        publisher = Publisher(listen="tcp://127.0.0.1:0")
        publisher.begin(Begin(stream="s"))
        publisher.save("s", plane(0, 512))
        print(len(segments()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert int(done.stdout) > 0
    until(segments, [].__eq__, 10)


def test_a_publisher_belongs_to_one_process():
    with Publisher(listen=ANY, options=PublisherOptions(absent_s=0)) as publisher:
        publisher.begin(Begin(stream="s"))
        code = os.fork() if hasattr(os, "fork") else 0
        if code == 0:
            try:
                publisher.save("s", np.zeros((2, 2), np.uint8))
            except Exception as error:
                os._exit(7 if "one process" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(code, 0)[1]) == 7


def test_a_viewer_that_leaves_is_not_waited_for():
    with Publisher(listen=ANY, options=PublisherOptions(absent_s=30)) as publisher:
        publisher.begin(Begin(stream="s"))
        with Receiver(Recorder(), connect=[publisher.endpoint]):
            assert publisher.wait(20)
        publisher.save("s", plane(0))
        begin = time.monotonic()
        report = publisher.close()
    assert time.monotonic() - begin < 10
    assert report.viewers[0].state == "left"
    assert len(report.undelivered) == 1
