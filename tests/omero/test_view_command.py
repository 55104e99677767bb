"""`openhcs view --run|--show`: real scripts in a real processor, real viewers on real sockets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from itertools import takewhile

import numpy as np
import pytest
from omero.rtypes import rlist, rlong, rstring

from openhcs_core import plugins
from openhcs_core.cli import main
from openhcs_core.omero.scripts import register_scripts, script_states
from openhcs_core.omero.session import session
from openhcs_core.omero.view_command import RUN, SHOW
from openhcs_core.streaming.manager import manager
from tests.omero.plates import PlateField, write_plate
from tests.scripts.viewer import own_address
from tests.streaming.tiny import ROOT, TinyPlugin, free_port, install_tiny, viewer_of

VOXELS = np.arange(1 * 2 * 3 * 40 * 50, dtype="u4").reshape(1, 2, 3, 40, 50).astype("u2")
PLANES = 2 * 3


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch, omero_server, omero_user):
    """Settings of the processor, the tiny viewer as a plugin, and who logs in."""
    file = tmp_path / "server" / "etc" / "openhcs.toml"
    file.parent.mkdir(parents=True)
    (tmp_path / "scratch").mkdir()
    file.write_text(
        f'scratch = "{tmp_path}/scratch"\nviewer_listen = "127.0.0.1:5700-5799"\n'
        f'viewer_targets = ["127.0.0.1", "{own_address()}"]\n'
    )
    monkeypatch.setenv("OMERODIR", str(tmp_path / "server"))
    monkeypatch.setenv("OMERO_USERDIR", str(tmp_path))
    monkeypatch.setenv("OMERO_PASSWORD", omero_user.password)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plugin = TinyPlugin()
    plugins.get_plugin_manager().register(plugin, "tiny")
    yield
    plugins.get_plugin_manager().unregister(plugin)


@pytest.fixture
def scripts(omero_server):
    """All scripts are on the server."""
    place = {"user": omero_server.user, "password": omero_server.password}
    with session(omero_server.host, omero_server.port, **place) as client:
        if any(script.state != "current" for script in script_states(client)):
            assert [outcome.problem for outcome in register_scripts(client) if outcome.problem] == []


@pytest.fixture
def login(omero_server, omero_user):
    """Arguments by which the user logs in."""
    return ["--server", omero_server.host, "--port", str(omero_server.port), "--user", omero_user.name]


@pytest.fixture
def plate(omero_server, omero_user, tmp_path):
    """Id of a plate of two wells, each with one field of two channels and three sections."""
    wells = {(0, 0): [PlateField(VOXELS)], (1, 2): [PlateField(VOXELS + 1)]}
    (result,) = omero_server.import_files([write_plate(tmp_path / "p.ome.tif", wells)], user=omero_user.name)
    return result.plate_id


@pytest.fixture
def view(login, scripts):
    """Function which runs the command to its end; gives the exit status, and how many images the viewer took."""
    opened = []

    def run(*arguments, host="127.0.0.1", curve=False):
        port = free_port()
        status = main(["view", "tiny", *arguments, "--viewer-port", str(port), "--keep", *login])
        viewer = manager().get_or_create("tiny", port, host=host, curve=curve)
        opened.append(viewer)
        return status, viewer.state().received

    yield run
    for viewer in opened:
        viewer.stop()


def test_a_plate_is_shown(view, plate, capsys):
    assert view("--show", f"Plate:{plate}") == (0, 2 * PLANES)
    said = capsys.readouterr().out
    assert re.search(r"^tiny: tcp://127\.0\.0\.1:\d+$", said, re.MULTILINE)
    assert re.search(r"^Stream_To_Viewer\.py runs as job \d+; Ctrl-C cancels it\.$", said, re.MULTILINE)
    assert f"Plate:{plate} (P): {2 * PLANES} planes" in said
    assert "Stream:" not in said


def test_a_preset_runs_on_some_wells(view, plate, capsys):
    status, received = view("--run", f"Plate:{plate}", "max_projection", "--wells", "b3", "--workers", "1")
    assert (status, received) == (0, 2)
    assert "Run_Pipeline.py runs as job" in capsys.readouterr().out


def test_a_script_that_fails_makes_the_status_1(view, plate, capsys, tmp_path):
    """It gets the text of the pipeline, and says what is wrong with it."""
    pipeline = tmp_path / "smooth.py"
    pipeline.write_text("pipeline_steps = [smooth]\n")
    assert view("--run", f"Plate:{plate}", str(pipeline)) == (1, 0)
    assert "Nothing was run: " in (said := capsys.readouterr().out)
    assert "smooth" in said


def test_the_key_of_the_script_is_let_in(view, plate):
    """As for a server on another machine."""
    assert view("--show", f"Plate:{plate}", "--host", own_address(), host=own_address()) == (0, 2 * PLANES)


def test_the_viewer_connects_to_the_server(view, plate):
    assert view("--show", f"Plate:{plate}", "--from-server", curve=True) == (0, 2 * PLANES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--show", "12"], "'12' is nothing of OMERO; write it like Plate:12"),
        (["--show", "Screen:12"], "'Screen:12' is nothing of OMERO"),
        (["--show", "Plate:12", "--workers", "2"], "--workers needs --run."),
        (["--menu", "--keep"], "--menu stays as long as the viewer"),
        (["--run", "Plate:12", "nowhere.py"], "nowhere.py is neither a file nor a preset"),
    ],
)
def test_options_that_make_no_sense(arguments, message, scripts, login, capsys):
    """Found out before a viewer opens."""
    assert main(["view", "tiny", *arguments, *login]) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert said.out == ""


@pytest.mark.parametrize(("path", "state"), [(RUN, "not"), (SHOW, "only in an old version")])
def test_a_script_that_the_server_does_not_have(omero_server, login, capsys, path, state):
    source = "import omero.scripts as s\ns.client('old', s.Long('IDs')).closeSession()"
    with session(
        omero_server.host, omero_server.port, user=omero_server.user, password=omero_server.password
    ) as client:
        service = client.sf.getScriptService()
        number = service.getScriptID(path)
        if number >= 0:
            service.deleteScript(number)
        if state != "not":
            number = service.uploadOfficialScript(path, source)
        what = ["--run", "Plate:1", "nuclei"] if path == RUN else ["--show", "Plate:1"]
        assert main(["view", "tiny", *what, *login]) == 1
        name = path.rpartition("/")[2]
        assert f"{name} is {state} on this server. An administrator of OMERO brings it" in capsys.readouterr().err
        if state != "not":
            service.deleteScript(number)


def test_without_a_viewer_of_that_name(scripts, login, capsys):
    assert main(["view", "tinny", "--show", "Plate:1", *login]) == 1
    assert "There is no viewer 'tinny'. Did you mean 'tiny'" in capsys.readouterr().err


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The plugin of the tiny viewer, for programs."""
    install_tiny(tmp_path / "site", monkeypatch)


@pytest.mark.parametrize("state", [signal.SIGSTOP, signal.SIGKILL])
def test_ctrl_c_cancels_the_script(installed, scripts, plate, login, state):
    """While it waits for a viewer that hangs, whose end the command then waits for, or that has crashed."""
    command = [sys.executable, "-W", "ignore", "-m", "openhcs_core.cli", "view", "tiny"]
    arguments = ["--show", f"Plate:{plate}", "--viewer-port", "0", *login]
    with subprocess.Popen(
        [*command, *arguments], cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as program:
        try:
            lines = iter(program.stdout)
            assert next(lines).startswith("tiny: ")
            viewer = viewer_of(program.pid)
            os.kill(viewer, state)
            wanted = ["Waiting for a viewer"]
            wanted += ["tiny has ended; the script goes on."] if state == signal.SIGKILL else []
            while wanted:
                line = next(lines)
                wanted = [beginning for beginning in wanted if not line.startswith(beginning)]
            program.send_signal(signal.SIGINT)
            said = list(takewhile(lambda line: not line.startswith("Close tiny"), lines))
            assert said[0] == "Cancelling ...\n"
            assert any(line.startswith("Stopped from outside.") for line in said)
            if state == signal.SIGSTOP:
                os.kill(viewer, signal.SIGCONT)
                os.kill(viewer, signal.SIGTERM)
                assert list(lines) == ["tiny has ended.\n"]
            assert program.wait() == 130
        finally:
            program.kill()  # of which the viewer ends, too


def test_scripts_from_the_menu_are_let_in(installed, scripts, plate, login, omero_server, omero_user):
    """As from OMERO.web: another program starts the script, with the address that the command has said."""
    command = [sys.executable, "-W", "ignore", "-m", "openhcs_core.cli", "view", "tiny"]
    arguments = ["--menu", "--host", own_address(), "--viewer-port", str(free_port()), *login]
    with subprocess.Popen(
        [*command, *arguments], cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as program:
        try:
            address = program.stdout.readline().removeprefix("tiny: ").strip()
            assert program.stdout.readline().startswith("Give this as Viewer_Address of a script")
            inputs = {
                "Data_Type": rstring("Plate"),
                "IDs": rlist([rlong(plate)]),
                "Viewer_Address": rstring(address),
            }
            user = {"user": omero_user.name, "password": omero_user.password}
            with session(omero_server.host, omero_server.port, **user) as client:
                service = client.sf.getScriptService()
                process = service.runScript(service.getScriptID(SHOW), inputs, None)
                number = process.getJob().id.val
                assert program.stdout.readline() == f"Script of job {number}: let in.\n"
                while process.poll() is None:
                    time.sleep(0.1)
                assert f"{2 * PLANES} images delivered" in process.getResults(0)["Message"].val
                process.close(False)
            program.send_signal(signal.SIGINT)
            assert program.wait(20) == 0
        finally:
            program.kill()
