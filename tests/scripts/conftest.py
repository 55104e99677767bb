"""Fixtures for scripts: run one through the processor, with settings and folders of its own."""

from __future__ import annotations

import sys

import pytest

from bootstrap._cli import OmeroCli
from embedded_omero.script_runner import Script

SCRIPT = "/openhcs/export_scripts/IMS_Export.py"


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """The settings file that scripts find: a function which writes it, given tables of TOML as text."""
    file = tmp_path / "server" / "etc" / "openhcs.toml"
    file.parent.mkdir(parents=True)
    for folder in ("scratch", "exports"):
        (tmp_path / folder).mkdir()
    # One of the few variables that a processor hands on.
    monkeypatch.setenv("OMERODIR", str(tmp_path / "server"))

    def write(more="", scratch=tmp_path / "scratch", export_dir=tmp_path / "exports"):
        file.write_text(f'scratch = "{scratch}"\nexport_dir = "{export_dir}"\n{more}\n', encoding="utf-8")

    write()
    return write


@pytest.fixture
def left(tmp_path):
    """Function which lists everything in the scratch and export folders."""

    def find():
        return sorted(
            str(path.relative_to(tmp_path))
            for folder in ("scratch", "exports")
            for path in (tmp_path / folder).rglob("*")
        )

    return find


@pytest.fixture
def scripts_by_path(omero_server):
    """Ids of all registered scripts."""
    from openhcs_core.omero.scripts import register_scripts
    from openhcs_core.omero.session import session

    with session(
        omero_server.host, omero_server.port, user=omero_server.user, password=omero_server.password
    ) as client:
        outcomes = register_scripts(client)
    assert [outcome.problem for outcome in outcomes] == [""] * len(outcomes)
    return {outcome.path: outcome.id for outcome in outcomes}


@pytest.fixture
def script(scripts_by_path):
    """Id of the registered export script."""
    return scripts_by_path[SCRIPT]


@pytest.fixture
def start(script):
    """Function which starts the script for somebody; answers its process."""
    return lambda conn, **inputs: Script(conn, script).start(inputs)


@pytest.fixture
def finish(script):
    """Function which waits for the end of a script and collects what it has left."""
    return lambda conn, process: Script(conn, script).finish(process)


@pytest.fixture
def export(script, omero_conn):
    """Function which runs the script to its end."""
    return lambda conn=omero_conn, **inputs: Script(conn, script)(inputs)


@pytest.fixture
def cli(omero_server, omero_user, tmp_path):
    """The command `omero`, logged in."""
    cli = OmeroCli(tmp_path / "cli")
    login = cli.login(omero_server.host, omero_server.port, omero_user.name, omero_user.password)
    assert login.returncode == 0, login.stderr
    return cli


@pytest.fixture
def messages(omero_conn):
    """Function which gives the message that a job shows now; the first time while it runs."""
    jobs = {}

    def read(process):
        if process not in jobs:
            jobs[process] = process.getJob().id.val
        query = f"select j.message from ScriptJob j where j.id = {jobs[process]}"
        ((message,),) = omero_conn.getQueryService().projection(query, None, {"omero.group": "-1"})
        return message.val

    return read


@pytest.fixture
def python(omero_server, monkeypatch, tmp_path):
    """Function which has the processor start scripts through lines of shell; ``"$@"`` is what it would have started."""

    def use(lines):
        launcher = tmp_path / "python"
        launcher.write_text(f'#!/bin/sh\nset -- "{sys.executable}" "$@"\n{lines}\n')
        launcher.chmod(0o755)
        monkeypatch.setitem(omero_server.core.config, "omero.launcher.python", str(launcher))

    return use
