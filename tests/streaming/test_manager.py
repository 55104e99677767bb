"""The manager of viewers with a tiny viewer: real processes, real sockets."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openhcs_core.plugins import PluginError
from openhcs_core.streaming.endpoints import CONTROL_OFFSET, parse
from openhcs_core.streaming.errors import SecurityError, StreamingError
from openhcs_core.streaming.manager import ViewerManager, default_ports, is_here, manager, scan
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.security import CurveKeys, key_text
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.visualizer import ping
from tests.streaming.tiny import (  # noqa: F401
    ByHand,
    free_port,
    gone,
    manager_of_viewers,
    stream,
    tiny_plugin,
    wait_for,
)

pytestmark = pytest.mark.usefixtures("tiny")


def logs():
    return list(Path(tempfile.gettempdir()).glob("openhcs-*.log"))


def test_a_viewer_is_started_once_and_ends_when_asked(viewers):
    port = free_port()
    viewer = viewers.get_or_create("tiny", port, title="Tim")
    assert viewer.address == viewer.endpoint == f"tcp://127.0.0.1:{port}"
    assert viewer.is_running
    assert viewer.ping().pid == viewer.pid
    assert viewers.get_or_create("tiny", port) is viewer
    assert viewers.get_or_create("tiny", port, host="localhost") is viewer
    assert viewers.running() == [viewer]
    viewer.allow(CurveKeys.new().public)  # nothing to do
    with Publisher(connect=[viewer.endpoint]) as publisher:
        stream(publisher)
        wait_for(lambda: not publisher.undelivered)
    assert viewer.state().received == 1
    viewer.stop()
    assert viewer.status == 0
    assert gone(viewer.pid)
    assert viewers.running() == []
    viewer.stop()  # again
    wait_for(lambda: not logs())


def test_any_port(viewers):
    first, second = viewers.get_or_create("tiny", 0), viewers.get_or_create("tiny", 0)
    assert first.endpoint != second.endpoint
    assert viewers.get_or_create("tiny", parse(second.endpoint).port) is second


def test_many_who_ask_at_once_get_the_same(viewers):
    port = free_port()
    with ThreadPoolExecutor(4) as threads:
        got = list(threads.map(lambda _: viewers.get_or_create("tiny", port), range(4)))
    assert len({viewer.pid for viewer in got}) == 1
    assert len(set(map(id, got))) == 1


def test_two_programs_that_start_the_same_viewer_share_it(viewers):
    port, other = free_port(), ViewerManager()
    try:
        mine = viewers.get_or_create("tiny", port, async_mode=True)
        theirs = other.get_or_create("tiny", port)
        mine = viewers.get_or_create("tiny", port)
        assert mine.pid == theirs.pid == mine.ping().pid
    finally:
        other.close()


def test_one_that_was_started_by_hand_is_used(viewers):
    with ByHand() as by_hand:
        port = parse(by_hand.ready().endpoint).port
        viewer = viewers.get_or_create("tiny", port)
        assert (viewer.viewer, viewer.pid, viewer.is_running) == ("tiny", by_hand.process.pid, True)
        assert viewers.get_or_create("tiny", port) is viewer
        with pytest.raises(StreamingError, match="was not started from here and takes no commands"):
            viewer.connect("tcp://127.0.0.1:5")
        with pytest.raises(StreamingError, match="without encryption; choose another port"):
            viewers.get_or_create("tiny", port, curve=True)
        viewers.close()  # leaves it alone
        assert viewer.is_running
        viewer.stop()
        assert by_hand.ends()[0] == 0
        assert not viewer.is_running


def test_another_viewer_at_the_port(viewers):
    with ByHand(tiny="other") as by_hand:
        port = parse(by_hand.ready().endpoint).port
        with pytest.raises(StreamingError, match="runs other, not tiny. Choose another port"):
            viewers.get_or_create("tiny", port)
        assert by_hand.process.poll() is None


@pytest.mark.parametrize("offset", [0, CONTROL_OFFSET])
def test_something_else_at_the_port_is_left_alone(viewers, offset):
    port = free_port()
    with socket.create_server(("127.0.0.1", port + offset)) as something:
        with pytest.raises(StreamingError, match=f"cannot listen at tcp://127.0.0.1:{port}: something else does"):
            viewers.get_or_create("tiny", port)
        with socket.create_connection(something.getsockname()):
            pass
    assert viewers.running() == []
    assert viewers.get_or_create("tiny", port).is_running


def test_a_viewer_that_crashes_leaves_the_cache_and_is_started_anew(viewers, caplog):
    port = free_port()
    viewer = viewers.get_or_create("tiny", port)
    os.kill(viewer.pid, signal.SIGKILL)
    wait_for(lambda: not viewer.is_running)
    assert gone(viewer.pid)
    another = viewers.get_or_create("tiny", port)
    assert another.pid != viewer.pid
    assert f"tiny at tcp://127.0.0.1:{port} is not running any more" in caplog.text
    with pytest.raises(StreamingError, match="tiny has ended"):
        viewer.connect("tcp://127.0.0.1:5")


def test_one_by_hand_that_crashes_leaves_the_cache(viewers):
    """A zombie until its parent looks: that is no running viewer."""
    with ByHand() as by_hand:
        port = parse(by_hand.ready().endpoint).port
        viewers.get_or_create("tiny", port)
        by_hand.process.kill()
        os.waitid(os.P_PID, by_hand.process.pid, os.WEXITED | os.WNOWAIT)
        assert viewers.get_or_create("tiny", port).pid != by_hand.process.pid


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("crash", r"it ended with status 1\. The last lines of its log, .*log:\nNo window could be made\.$"),
        ("mute", "nothing was heard of it"),
    ],
)
def test_a_viewer_that_does_not_start_says_why_and_nothing_stays(viewers, monkeypatch, how, message):
    monkeypatch.setenv("TINY", how)
    monkeypatch.setattr("openhcs_core.streaming.visualizer.START_S", 1.0)
    port = free_port()
    viewer = viewers.get_or_create("tiny", port, async_mode=True)
    with pytest.raises(StreamingError, match=f"tiny has not started: {message}"):
        viewer.wait_ready(1.0)
    assert gone(viewer.pid)
    assert viewers.running() == []
    monkeypatch.delenv("TINY")
    assert viewers.get_or_create("tiny", port).pid != viewer.pid


def test_a_port_that_is_taken_meanwhile(viewers, monkeypatch):
    """Found out by the viewer, which says it."""
    port = free_port()
    monkeypatch.setattr("openhcs_core.streaming.manager.is_taken", lambda endpoint: False)
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(StreamingError, match=r"tiny has not started: Cannot listen at .*: it is in use"),
    ):
        viewers.get_or_create("tiny", port)


def test_a_viewer_that_lacks_something_is_not_started(viewers, tiny):
    tiny.missing = "install it with: pip install tiny"
    with pytest.raises(StreamingError, match="tiny cannot be started: install it with: pip install tiny"):
        viewers.get_or_create("tiny", 0)
    with pytest.raises(PluginError, match="There is no viewer 'tinny'. Did you mean 'tiny'"):
        viewers.get_or_create("tinny")


class Silent:
    """Listens at some ports, says nothing, and counts who waits at the same time."""

    def __init__(self, number: int) -> None:
        self._servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
        self.ports = [server.getsockname()[1] - CONTROL_OFFSET for server in self._servers]
        self.open = self.most = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._serve, args=(server,)) for server in self._servers]

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                with self._lock:
                    self.open += 1
                    self.most = max(self.most, self.open)
                while connection.recv(1000):
                    pass
                with self._lock:
                    self.open -= 1

    def __enter__(self) -> Silent:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
        for thread in self._threads:
            thread.join()


def test_scan_asks_all_at_once_and_finds_viewers_only():
    with ByHand() as first, ByHand(tiny="other") as second, ByHand("--curve") as hidden, Silent(6) as silent:
        by_hand = [first, second, hidden]
        ports = [parse(each.ready().endpoint).port for each in by_hand]
        found = scan([*ports, *silent.ports, free_port()], timeout_s=2.0)
        assert {(each.viewer, each.endpoint, each.pid, each.ready) for each in found} == {
            ("tiny", f"tcp://127.0.0.1:{ports[0]}", first.process.pid, True),
            ("other", f"tcp://127.0.0.1:{ports[1]}", second.process.pid, True),
        }
        assert silent.most > 1


def test_ports_that_are_searched():
    ports = default_ports()
    assert {5955, 5964} <= set(ports)
    assert ports == sorted(ports)


def test_keys_keep_others_out_and_are_let_in(viewers):
    viewer = viewers.get_or_create("tiny", 0, curve=True)
    assert viewer.address == f"{viewer.endpoint}/{key_text(viewer.public_key)}"
    assert viewer.ping().name == "tiny"
    stranger = CurveKeys.new()
    server = Server.from_text(viewer.address)
    assert ping(Server(viewer.endpoint), 0.2) is None
    assert ping(server, 0.2, stranger) is None
    viewer.allow(key_text(stranger.public))
    wait_for(lambda: ping(server, 0.5, stranger))
    with pytest.raises(SecurityError, match="not a public key"):
        viewer.allow("me")
    with Publisher(connect=[server], keys=stranger) as publisher:
        stream(publisher)
        wait_for(lambda: not publisher.undelivered)
    viewer.stop()
    assert viewer.status == 0


def test_a_viewer_connects_to_a_publisher(viewers):
    viewer, keys = viewers.get_or_create("tiny", 0, curve=True), CurveKeys.new()
    with Publisher(listen="tcp://127.0.0.1:0", keys=keys, allow=[viewer.public_key]) as publisher:
        stream(publisher)
        viewer.connect(str(Server(publisher.endpoint, keys.public)))
        wait_for(lambda: not publisher.undelivered)
    with pytest.raises(StreamingError, match="has no keys"):
        viewers.get_or_create("tiny", 0).connect(f"tcp://127.0.0.1:5/{key_text(keys.public)}")


def test_one_that_is_not_encrypted_is_not_taken_for_one_that_is(viewers):
    port = free_port()
    viewers.get_or_create("tiny", port)
    with pytest.raises(StreamingError, match="without encryption; choose another port"):
        viewers.get_or_create("tiny", port, curve=True)


def test_a_viewer_on_another_machine_is_not_started(viewers):
    key = CurveKeys.new().public
    assert not is_here("203.0.113.1")
    with pytest.raises(SecurityError, match="is on another machine: give the public key"):
        viewers.get_or_create("tiny", host="203.0.113.1")
    viewer = viewers.get_or_create("tiny", host="203.0.113.1", key=key_text(key))
    assert viewer.address == f"tcp://203.0.113.1:5955/{key_text(key)}"
    assert (viewer.pid, viewer.is_running) == (0, True)
    with pytest.raises(StreamingError, match="is on another machine; end it there"):
        viewer.stop()
    with pytest.raises(StreamingError, match="The host nowhere.invalid is not known here"):
        viewers.get_or_create("tiny", host="nowhere.invalid")


def test_addresses_that_others_reach_are_encrypted(viewers):
    """All of 127.0.0.0/8 cannot be reached; 0.0.0.0 is every address of this machine."""
    viewer = viewers.get_or_create("tiny", 0, host="0.0.0.0")
    assert viewer.public_key is not None


def test_the_manager_of_the_process():
    assert manager() is manager()


def test_waiting_has_a_deadline():
    """A viewer that never answers although its process runs."""
    with ByHand() as by_hand:
        (viewer,) = scan([parse(by_hand.ready().endpoint).port])
        by_hand.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, by_hand.process.pid, os.WSTOPPED | os.WNOWAIT)
        before, viewer.ready = time.monotonic(), False
        with pytest.raises(StreamingError, match="does not answer"):
            viewer.wait_ready(0.5)
        assert time.monotonic() >= before + 0.5
        by_hand.process.send_signal(signal.SIGCONT)
        viewer.wait_ready()
        assert viewer.ready


def test_a_viewer_that_hangs_for_a_while_is_not_given_up(viewers):
    port = free_port()
    viewer = viewers.get_or_create("tiny", port)
    os.kill(viewer.pid, signal.SIGSTOP)
    assert viewers.get_or_create("tiny", port) is viewer
    assert viewer.ping(0.2) is None
    os.kill(viewer.pid, signal.SIGCONT)
    assert viewer.ping().pid == viewer.pid


def test_a_crash_is_told_and_a_log_stays_only_if_it_says_something(viewers, monkeypatch, caplog):
    silent = viewers.get_or_create("tiny", 0)
    monkeypatch.setenv("TINY", "talkative")
    talkative, ended = viewers.get_or_create("tiny", 0), viewers.get_or_create("tiny", 0)
    for viewer, number in ((silent, signal.SIGKILL), (talkative, signal.SIGSEGV), (ended, signal.SIGTERM)):
        os.kill(viewer.pid, number)
    wait_for(lambda: {"tiny has ended with status -9."} <= {record.getMessage() for record in caplog.records})
    wait_for(lambda: "tiny has ended with status -11; its log: " in caplog.text)
    wait_for(lambda: len(logs()) == 1)
    assert logs()[0].read_text() == "Something is strange.\n"
