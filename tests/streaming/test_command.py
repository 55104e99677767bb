"""`openhcs view` as people type it, with a tiny viewer that a plugin offers. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from openhcs_core.cli import main
from openhcs_core.streaming.endpoints import parse
from openhcs_core.streaming.identity import process_start
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.security import CurveKeys, key_text
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.visualizer import is_alive, ping
from tests.streaming.tiny import ROOT, ByHand, free_port, install_tiny, stream, viewer_of, wait_for


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """The plugin of the tiny viewer, installed for the programs that a test starts."""
    install_tiny(tmp_path / "site", monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TINY", raising=False)


class View:
    """A running ``openhcs view tiny``; a context manager."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "openhcs_core.cli", "view", "tiny", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
        )

    def hear(self, beginning: str) -> str:
        """The rest of the next line that begins so."""
        heard = []
        for line in self.process.stdout:
            heard.append(line)
            if line.startswith(beginning):
                return line[len(beginning) :].strip()
        raise AssertionError(f"It has ended: {heard}")

    def address(self) -> Server:
        return Server.from_text(self.hear("tiny: "))

    def paste(self, text: str) -> None:
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def ends(self) -> tuple[int, str]:
        rest = self.process.stdout.read()
        return self.process.wait(), rest

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()  # which ends the viewer, too
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def test_a_viewer_stays_until_ctrl_c(monkeypatch):
    port = free_port()
    with View("--viewer-port", str(port)) as view:
        server = view.address()
        assert server == Server(f"tcp://127.0.0.1:{port}")
        assert view.hear("Only this machine reaches it")
        with View("--viewer-port", str(port)) as again:  # says where it is
            assert again.address() == server
            assert again.ends()[0] == 0
        view.process.send_signal(signal.SIGINT)
        assert view.ends() == (0, "tiny is closed.\n")
        assert ping(server, 0.2) is None


def test_it_ends_with_the_viewer():
    with View("--viewer-port", "0") as view:
        pong = ping(view.address())
        os.kill(pong.pid, signal.SIGTERM)
        status, said = view.ends()
        assert (status, said.splitlines()[-1]) == (0, "tiny has ended.")


def test_keys_that_are_pasted_are_let_in():
    keys = CurveKeys.new()
    known = CurveKeys.new()
    with View("--viewer-port", "0", "--allow", key_text(known.public)) as view:
        server = view.address()
        assert server.public_key
        view.hear("Paste this address as Viewer_Address")
        assert ping(server, 3, known)
        assert ping(server, 0.2, keys) is None
        view.paste("Hello")
        assert view.hear("The key is not a public key")
        view.paste(f"Stream: {key_text(keys.public)}")
        view.hear("Let in.")
        wait_for(lambda: ping(server, 1, keys))


def test_a_publisher_that_listens():
    with Publisher(listen="tcp://127.0.0.1:0") as publisher:
        stream(publisher)
        with View("--viewer-port", "0", "--connect", publisher.endpoint):
            wait_for(lambda: not publisher.undelivered)
    with Publisher(listen="tcp://127.0.0.1:0") as publisher, View("--viewer-port", "0") as view:
        stream(publisher)
        view.address()
        view.paste(publisher.endpoint)
        wait_for(lambda: not publisher.undelivered)


def test_a_viewer_that_is_kept_is_listed_and_stopped(capsys):
    port = str(free_port())
    with View("--viewer-port", port, "--keep") as view:
        server = view.address()
        assert view.ends()[0] == 0
    pong = ping(server)
    assert main(["view", "--list", "--viewer-port", port]) == 0
    assert capsys.readouterr().out == f"tiny: {server} (process {pong.pid}), 0 images of 0 publishers\n"
    assert main(["view", "other", "--stop", "--viewer-port", port]) == 1
    assert "No viewer runs here" in capsys.readouterr().out
    assert main(["view", "tiny", "--stop", "--viewer-port", port]) == 0
    assert capsys.readouterr().out == f"tiny at {server} (process {pong.pid}) is closed.\n"
    assert main(["view", "--list", "--viewer-port", port]) == 0
    assert "No viewer runs here" in capsys.readouterr().out


def test_listening_to_other_machines_is_encrypted():
    with View("--viewer-port", "0", "--listen", "--host", "127.0.0.2") as view:  # as much another address as there is
        server = view.address()
        assert parse(server.endpoint).host == "127.0.0.2"
        assert server.public_key


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Which viewer? Known: "),
        (["tinny"], "There is no viewer 'tinny'"),
        (["napari", "--allow", "me"], "The key is not a public key"),
        (["napari", "--connect", "there"], "'there' is no address of a viewer"),
        (["napari", "--host", "0.0.0.0"], "--host 0.0.0.0 is no address that others could use"),
        (["napari", "--host", "203.0.113.1"], "--host 203.0.113.1 is not this machine"),
        (["napari", "--viewer-port", "65000"], "Port 65000 is too high"),
        (["napari", "--viewer-port", "70000"], "is no address of a viewer"),
        (["napari", "--wells", "A01"], "--wells needs --run or --show."),
        (["napari", "--from-server"], "--from-server needs --run or --show."),
    ],
)
def test_options_that_make_no_sense(arguments, message, capsys):
    assert main(["view", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_ctrl_c_while_the_viewer_starts(monkeypatch):
    """Nothing stays, not even of a viewer that was to be kept."""
    monkeypatch.setenv("TINY", "mute")
    with View("--viewer-port", "0", "--keep") as view:
        wait_for(lambda: viewer_of(view.process.pid))
        viewer = viewer_of(view.process.pid)
        start = process_start(viewer)
        view.process.send_signal(signal.SIGINT)
        assert view.ends() == (130, "openhcs: stopped\n")
        assert not is_alive(viewer, start)


def test_a_port_that_is_taken():
    with ByHand(tiny="other") as other:
        port = parse(other.ready().endpoint).port
        with View("--viewer-port", str(port)) as view:
            status, said = view.ends()
    assert status == 1
    assert "runs other, not tiny" in said
