"""``openhcs serve`` and its options, and the unit that systemd starts it with."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys

import pytest

from openhcs_core.execution.client import ServerClient
from openhcs_core.execution.requests import Ping
from openhcs_core.settings import Settings
from openhcs_core.streaming.sockets import Server
from tests.execution.serving import ROOT, SERVE, free_port
from tests.streaming.peers import until


@pytest.fixture
def command(tmp_path):
    """Function which runs ``openhcs serve`` with the settings of a server, or others."""

    def run(*arguments, config=None, **environment):
        named = {"OPENHCS_CONFIG": str(config)} if config else {}
        return subprocess.run(
            [*SERVE, *arguments],
            cwd=ROOT,
            env={**os.environ, **named, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def test_show_key_prints_the_address_that_clients_take(command, local_server):
    shown = command("--show-key", config=local_server.config)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert Server.from_text(shown.stdout) == local_server.address
    assert ServerClient(Server.from_text(shown.stdout)).ask(Ping())["ready"]


def test_show_key_names_this_machine_if_the_server_listens_everywhere(command, tmp_path):
    config = tmp_path / "openhcs.toml"
    config.write_text(f'server_listen = "0.0.0.0:7777"\nserver_state = "{tmp_path}/s"\nserver_logs = "{tmp_path}/l"\n')
    shown = [command("--show-key", config=config).stdout.strip() for _ in range(2)]
    assert shown[0] == shown[1]  # the key is made once
    assert shown[0].startswith(f"tcp://{os.uname().nodename}:7777/")
    assert [path.stat().st_mode & 0o077 for path in (tmp_path / "s").iterdir()] == [0]


def test_check_says_how_the_server_is(command, local_server):
    checked = command("--check", config=local_server.config)
    assert (checked.returncode, checked.stderr) == (0, "")
    healthy = json.loads(checked.stdout)
    assert healthy["ready"]
    assert healthy["problems"] == []


def test_check_fails_if_something_is_wrong(command, serve):
    port = free_port()
    server = serve(server_omero=f"127.0.0.1:{port}")
    until(lambda: server.ask({"command": "ping"}, to=server.health), lambda answer: answer["problems"])
    checked = command("--check", config=server.config)
    assert checked.returncode == 1
    assert f"127.0.0.1:{port} cannot be reached" in checked.stdout
    server.stop()
    checked = command("--check", config=server.config)
    assert checked.returncode == 1
    assert "connection refused" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_its_options_are_found_without_what_a_server_needs():
    """The command is quick to be asked for help."""
    code = (
        "import sys, argparse\nfrom openhcs_core.execution.serve_command import add_command\n"
        "add_command(argparse.ArgumentParser().add_subparsers())\n"
        "print(*{'zmq', 'numpy', 'omero', 'sqlite3', 'cryptography'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_it_lacks_is_named_with_how_to_get_it(tmp_path):
    code = "import sys; sys.modules['cryptography'] = None\nfrom openhcs_core.cli import main; sys.exit(main())"
    config = tmp_path / "openhcs.toml"
    config.write_text(f'server_state = "{tmp_path}/s"\nserver_logs = "{tmp_path}/l"\n')
    for option in ("--show-key", "--local"):
        done = subprocess.run(
            [sys.executable, "-c", code, "serve", option],
            cwd=ROOT,
            env={**os.environ, "OPENHCS_CONFIG": str(config)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert 'openhcs-omero[server]"' in done.stderr
        assert "Traceback" not in done.stderr


def test_what_contradicts_itself_is_refused(command):
    done = command("--show-key", "--check")
    assert done.returncode == 2
    assert "not allowed with" in done.stderr


def test_systemd_gives_executions_their_grace_and_leaves_them_to_the_server():
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(ROOT / "bootstrap" / "deploy" / "openhcs-serve.service")
    service = unit["Service"]
    assert service["ExecStart"].endswith("openhcs serve")
    assert int(service["TimeoutStopSec"]) >= Settings.server_grace_s + 30
    assert service["KillMode"] == "mixed"
    assert service["OOMPolicy"] == "continue"
    assert "PrivateTmp" not in service  # the locks of the GPUs are everybody's
