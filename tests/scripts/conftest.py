"""Fixtures for scripts: run one through the processor, with settings and folders of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest
from omero.rtypes import rbool, rint, rlist, rlong, rstring, unwrap

SCRIPT = "/openhcs/export_scripts/IMS_Export.py"


@dataclass
class Finished:
    """What a script has left behind."""

    code: int
    outputs: dict[str, Any]
    stdout: str
    stderr: str

    @property
    def message(self):
        return self.outputs["Message"]


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
def script(omero_server):
    """Id of the registered export script."""
    from openhcs_core.omero.scripts import register_scripts
    from openhcs_core.omero.session import session

    with session(
        omero_server.host, omero_server.port, user=omero_server.user, password=omero_server.password
    ) as client:
        outcomes = register_scripts(client)
    assert [outcome.problem for outcome in outcomes] == [""] * len(outcomes)
    return next(outcome.id for outcome in outcomes if outcome.path == SCRIPT)


@pytest.fixture
def start(script):
    """Function which starts the script for somebody; answers its process."""

    def begin(conn, **inputs):
        return conn.getScriptService().runScript(script, {name: wrap(value) for name, value in inputs.items()}, None)

    return begin


@pytest.fixture
def finish():
    """Function which waits for the end of a script and collects what it has left."""

    def wait(conn, process, seconds=60):
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            assert time.monotonic() < deadline, "the script does not end"
            time.sleep(0.02)
        results = process.getResults(0)
        texts = {name: text_of(conn, results.pop(name, None)) for name in ("stdout", "stderr")}
        outputs = {name: unwrap(value) for name, value in results.items()}
        finished = Finished(process.poll().val, outputs, **texts)
        process.close(False)
        return finished

    return wait


@pytest.fixture
def export(start, finish, omero_conn):
    """Function which runs the script to its end."""

    def run(conn=omero_conn, **inputs):
        return finish(conn, start(conn, **inputs))

    return run


def wrap(value):
    """As OMERO.web would send it."""
    if isinstance(value, list):
        return rlist([rlong(entry) if isinstance(entry, int) else rstring(entry) for entry in value])
    if isinstance(value, bool):
        return rbool(value)
    return value if hasattr(value, "ice_id") else rint(value) if isinstance(value, int) else rstring(value)


def text_of(conn, file):
    if file is None:
        return ""
    return b"".join(conn.getObject("OriginalFile", file.val.id.val).getFileInChunks()).decode()
