"""The command `openhcs` as people type it."""

import os
import re
import subprocess
import sys

import pytest

from openhcs_core import __version__, plugins
from openhcs_core.cli import main
from openhcs_core.hookspecs import CommandSpec, hookimpl

SCRIPTS = [
    "/openhcs/export_scripts/IMS_Export.py",
    "/openhcs/pipeline_scripts/Run_Pipeline.py",
    "/openhcs/viewer_scripts/Stream_To_Viewer.py",
]


@pytest.fixture(autouse=True)
def nobody_logged_in(monkeypatch, tmp_path):
    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path))
    monkeypatch.delenv("OMERO_PASSWORD", raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)


@pytest.fixture
def login(omero_server, monkeypatch):
    """Arguments by which the administrator logs in."""
    monkeypatch.setenv("OMERO_PASSWORD", omero_server.password)
    return ["--server", omero_server.host, "--port", str(omero_server.port), "--user", "root"]


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"openhcs {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["scripts"], ["scripts", "burn"], ["ims-export"]])
def test_what_is_not_a_command(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: openhcs")


@pytest.fixture
def offer():
    """Function which has a plugin offer commands; ``add`` gets the parser."""
    manager = plugins.get_plugin_manager()
    registered = []

    def register(answer):
        class Plugin:
            @hookimpl
            def openhcs_commands(self):
                return answer() if callable(answer) else answer

        registered.append(Plugin())
        manager.register(registered[-1], f"plugin {len(registered)}")

    yield register
    for plugin in registered:
        manager.unregister(plugin)
    plugins.registry.cache_clear()


def add_rewind(parser):
    parser.add_argument("--fast", action="store_true")
    parser.set_defaults(action=lambda options: 7 if options.fast else 8)


def test_commands_of_plugins(offer, capsys):
    offer([CommandSpec("tape", "rewind the tape", add_rewind), CommandSpec("view", "not this one", add_rewind)])
    assert main(["tape", "--fast"]) == 7
    assert main(["tape"]) == 8
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert re.search(r"^ +tape +rewind the tape$", said, re.MULTILINE)
    assert "not this one" not in said
    with pytest.raises(SystemExit):
        main(["tape", "--slow"])
    assert "usage: openhcs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("add", "message"),
    [
        (lambda parser: 1 / 0, "The command 'tape' of a plugin cannot be used: ZeroDivisionError"),
        (lambda parser: None, "The command 'tape' of a plugin cannot be used: it sets no action."),
    ],
)
def test_a_command_that_fails_breaks_no_other(offer, capsys, add, message):
    offer([CommandSpec("tape", "rewind the tape", add)])
    offer(lambda: 1 / 0)
    offer([CommandSpec("reel", "change the reel", add_rewind)])
    assert main(["tape"]) == 1
    assert message in capsys.readouterr().err
    assert main(["reel"]) == 8
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "rewind the tape" in capsys.readouterr().out


def test_help_in_spite_of_broken_settings(capsys, monkeypatch, tmp_path):
    plugins.registry.cache_clear()
    monkeypatch.setenv("OPENHCS_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    said = capsys.readouterr()
    assert (ended.value.code, said.err.startswith("openhcs: OPENHCS_CONFIG names")) == (0, True)
    assert "ims-export" in said.out


@pytest.mark.parametrize("arguments", [["--version"], ["view", "--help"], ["run", "--help"]])
def test_plugins_are_not_loaded_for_what_the_core_has(arguments):
    plugins.registry.cache_clear()
    with pytest.raises(SystemExit):
        main(arguments)
    assert plugins.registry.cache_info().currsize == 0


def test_scripts_from_nothing_and_back(login, capsys):
    def table(*arguments):
        status = main(["scripts", *arguments, *login])
        header, *rows = capsys.readouterr().out.splitlines()
        return status, header.split(), [row.split(maxsplit=2) for row in rows]

    def rows(state, ids=None):
        return [[number, path, state] for number, path in zip(ids or ["-"] * len(SCRIPTS), SCRIPTS, strict=True)]

    table("register", "--remove")
    assert table("list") == (0, ["Id", "Script", "State"], rows("missing"))
    assert table("register", "--dry-run") == (0, ["Id", "Script", "Action", "Problem"], rows("would upload"))
    status, _, registered = table("register")
    ids = [number for number, _, _ in registered]
    assert (status, registered, len(set(ids))) == (0, rows("uploaded", ids), len(SCRIPTS))
    assert table("list")[2] == rows("current", ids)
    assert table("register")[2] == rows("already current", ids)
    assert table("register", "--remove", "--dry-run")[2] == rows("would remove", ids)
    assert table("register", "--remove")[2] == rows("removed", ids)


def test_a_script_that_does_not_work_makes_the_status_1(login, capsys, monkeypatch):
    monkeypatch.setattr(
        "openhcs_core.omero.scripts.bundled_scripts", lambda: {"/tests/cli/Broken.py": "import nowhere"}
    )
    assert main(["scripts", "register", *login]) == 1
    assert capsys.readouterr().out.splitlines()[1].startswith("-   /tests/cli/Broken.py  ")


def test_a_session_by_its_key(omero_server, omero_conn, capsys, monkeypatch):
    monkeypatch.setenv("MY_KEY", omero_conn.c.getSessionId())
    place = ["--server", omero_server.host, "--port", str(omero_server.port)]
    assert main(["scripts", "list", *place, "--session-key-env", "MY_KEY"]) == 0
    assert SCRIPTS[0] in capsys.readouterr().out
    assert main(["scripts", "register", *place, "--session-key-env", "MY_KEY"]) == 1
    assert capsys.readouterr().err.startswith("openhcs: You may not register scripts")


def test_the_session_of_omero_login(omero_server, omero_conn, omero_user, capsys):
    from omero.util.sessions import SessionsStore

    key, properties = omero_conn.c.getSessionId(), {"omero.port": str(omero_server.port)}
    store = SessionsStore()
    store.add(omero_server.host, omero_user.name, key, properties)
    store.set_current(omero_server.host, omero_user.name, key, properties)
    assert main(["scripts", "list"]) == 0
    assert SCRIPTS[0] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Not logged in. Give --server and --user, or run `omero login` first."),
        (["--session-key-env", "NO_KEY"], "The environment variable NO_KEY is empty or not set."),
        (["--user", "root"], "No password for root: set OMERO_PASSWORD, or run this in a terminal."),
    ],
)
def test_without_a_way_to_log_in(arguments, message, capsys):
    assert main(["scripts", "list", *arguments]) == 1
    assert capsys.readouterr().err == f"openhcs: {message}\n"


def test_a_wrong_password(omero_server, capsys, monkeypatch):
    monkeypatch.setenv("OMERO_PASSWORD", "wrong")
    place = ["--server", omero_server.host, "--port", str(omero_server.port)]
    assert main(["scripts", "list", *place]) == 1
    assert "refused the log-in: wrong password, or no user 'root'" in capsys.readouterr().err


def test_a_password_that_is_typed(omero_server, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: omero_server.password)
    assert main(["scripts", "list", "--server", omero_server.host, "--port", str(omero_server.port)]) == 0


def test_python_without_omero(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "omero", None)
    for name in [name for name in sys.modules if name.startswith("openhcs_core.omero.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["scripts", "list", "--user", "root"]) == 1
    assert "install them with: " in capsys.readouterr().err


def test_register_of_the_checkout(omero_server):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "bootstrap.register", "--dry-run", "--server", omero_server.host]
        + ["--port", str(omero_server.port)],
        env={**os.environ, "OMERO_PASSWORD": omero_server.password},
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert SCRIPTS[0] in run.stdout
