"""The frame of viewers, by a tiny one: what it says, what it obeys, how it ends. Real processes and sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from openhcs_core.streaming.endpoints import CONTROL_OFFSET, parse
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.security import CurveKeys, key_text
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.viewer_process import NOWHERE, ViewerOptions
from openhcs_core.streaming.visualizer import ping
from tests.streaming.tiny import ROOT, ByHand, stream, wait_for

KEY = CurveKeys.new().public


def test_options_of_a_command_line():
    assert ViewerOptions.parse("tiny", 5955, []) == ViewerOptions("tcp://127.0.0.1:5955")
    given = ["--listen", NOWHERE, "--connect", f"tcp://203.0.113.1:5/{key_text(KEY)}", "--allow", key_text(KEY)]
    assert ViewerOptions.parse("tiny", 5955, [*given, "--title", "T", "--commands", "--persistent"]) == ViewerOptions(
        None, (Server("tcp://203.0.113.1:5", KEY),), (KEY,), title="T", commands=True, persistent=True
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--connect", "here"], "'here' is no address of a viewer"),
        (["--allow", "me"], "not a public key"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_options_that_make_no_sense(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        ViewerOptions.parse("tiny", 5955, arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_it_says_how_far_it_is_and_who_it_is():
    with ByHand() as viewer:
        ready = viewer.hear("ready")
        assert json.loads(viewer.lines[0]) == {"phase": "started"}
        assert ready["pid"] == viewer.process.pid
        assert ready["public_key"] is None
        pong = ping(Server(ready["address"]))
        assert (pong.name, pong.pid, pong.ready) == ("tiny", viewer.process.pid, True)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "shutdown", "end of input"])
def test_a_clean_end(how):
    with ByHand("--commands", "--title", "Tim") as viewer:
        viewer.ready()
        if how == "shutdown":
            viewer.order({"shutdown": "that is enough"})
        elif how == "end of input":
            viewer.process.stdin.close()
        else:
            viewer.process.send_signal(how)
        status, said = viewer.ends()
    assert status == 0
    # At the end of its input, it prints to its log.
    assert ("The end of Tim." in said) == (how != "end of input")
    assert ("that is enough" in said) == (how == "shutdown")


def test_a_persistent_one_goes_on_when_nobody_speaks_or_listens_any_more():
    with ByHand("--commands", "--persistent", stderr=subprocess.PIPE) as viewer:
        server = viewer.ready()
        viewer.process.stdin.close()
        viewer.process.stdout.close()
        output, errors = (f"/proc/{viewer.process.pid}/fd/{number}" for number in (1, 2))
        wait_for(lambda: os.readlink(output) == os.readlink(errors))
        assert ping(server).pid == viewer.process.pid
        viewer.process.terminate()
        with viewer.process.stderr as log:  # where it prints now
            assert "The end of ." in log.read()
        assert viewer.process.wait() == 0


def test_without_commands_the_input_is_left_alone():
    with ByHand() as viewer:
        server = viewer.ready()
        viewer.process.stdin.close()
        assert ping(server).pid == viewer.process.pid


def test_one_that_hangs_does_not_stay_without_its_parent():
    with ByHand("--commands", tiny="stubborn impatient") as viewer:
        viewer.ready()
        viewer.process.stdin.close()
        assert viewer.ends()[0] == 1


def test_commands_that_make_no_sense_are_refused_and_the_next_is_obeyed():
    with ByHand("--commands") as viewer:
        viewer.ready()
        for nonsense in (5, None, ["allow"], {"connect": 5}, {"allow": KEY}, {"connect": f"tcp://203.0.113.1:5/{KEY}"}):
            viewer.order(nonsense)
            assert viewer.hear("refused")["error"]
        viewer.process.stdin.write("{\n\n")
        viewer.process.stdin.flush()
        for _ in range(2):
            viewer.hear("refused")
        viewer.order({"shutdown": ""})
        assert viewer.ends()[0] == 0


@pytest.mark.parametrize("offset", [0, CONTROL_OFFSET])
def test_a_port_that_is_taken(offset):
    with ByHand() as first:
        port = parse(first.ready().endpoint).port
        with ByHand(listen=f"tcp://127.0.0.1:{port + offset}") as second:
            assert "in use. Choose another port" in second.hear("failed")["error"]
            assert second.ends()[0] == 1


@pytest.mark.parametrize("secure", [False, True])
def test_it_connects_to_a_publisher_that_listens(secure):
    keys = CurveKeys.new() if secure else None
    with ByHand("--commands", *["--curve"] * secure) as viewer:
        key = viewer.ready().public_key
        assert (key is not None) == secure
        with Publisher(listen="tcp://127.0.0.1:0", keys=keys, allow=[key] if key else []) as publisher:
            stream(publisher)
            viewer.order({"connect": str(Server(publisher.endpoint, keys.public if keys else None))})
            wait_for(lambda: not publisher.undelivered)


def test_keys_are_let_in_by_command_after_the_publisher_has_knocked():
    keys = CurveKeys.new()
    with ByHand("--commands", "--curve") as viewer:
        server = viewer.ready()
        assert ping(Server(server.endpoint), 0.3) is None
        with Publisher(connect=[server], keys=keys) as publisher:
            stream(publisher)
            assert not publisher.wait(1.0, viewers=1)
            viewer.order({"allow": key_text(keys.public)})
            wait_for(lambda: not publisher.undelivered)


def test_nobody_listens_to_what_it_says():
    code = "from openhcs_core.streaming.viewer_process import say\nimport sys\nsys.stdin.read()\nsay('a'); say('b')"
    reading, writing = os.pipe()
    program = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=writing, cwd=ROOT)
    os.close(writing)
    os.close(reading)
    program.communicate()
    assert program.returncode == 0


def test_an_address_of_another_machine_is_encrypted():
    """Without being asked: every address but those that cannot leave the machine."""
    host = _own_address()
    with ByHand(listen=f"tcp://{host}:0") as viewer:
        assert viewer.ready().public_key is not None


def _own_address() -> str:
    """An address of this machine that is not loopback, or one that stands for all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return "0.0.0.0"
        return probe.getsockname()[0]
