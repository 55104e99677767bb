"""`openhcs remote`: real servers, in OMERO and without."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest
import tifffile

from openhcs_core.cli import main
from openhcs_core.execution.remote import RemoteOrchestrator
from tests.execution.peers import answering, with_functions
from tests.execution.serving import ROOT, Serving, free_port
from tests.omero.plates import PlateField, write_plate
from tests.pipeline import functions
from tests.streaming.tiny import install_tiny, viewer_of, wait_for

PLUS = "from openhcs_core.pipeline import FunctionStep\nfrom tests.pipeline.functions import plus, slow\n"
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A local server with functions for tests."""
    folder = tmp_path_factory.mktemp("local")
    serving = Serving(folder / "server", True, with_functions(folder / "site"), server_jobs=2, server_jobs_per_user=2)
    yield serving
    serving.close()


@pytest.fixture(autouse=True)
def _known(local, monkeypatch):
    """The session is found as a user's is."""
    monkeypatch.setenv("OPENHCS_CONFIG", str(local.config))


@pytest.fixture
def plate(tmp_path):
    """A folder with two wells of one plane each."""
    return str(functions.write_plate(tmp_path / "plate", wells=("A01", "A02"), sites=1, channels=1, sections=1))


@pytest.fixture
def pipeline(tmp_path):
    """Function which writes a pipeline of one step; gives its file."""

    def write(step):
        file = tmp_path / "pipeline.py"
        file.write_text(f"{PLUS}pipeline_steps = [FunctionStep({step})]\n")
        return str(file)

    return write


@pytest.fixture
def remote(local, capsys):
    """Function which runs the command with the local server; gives the exit status, the output and the messages."""

    def run(action, *arguments):
        status = main(["remote", action, str(local.address), *([] if action == "ping" else ["--local"]), *arguments])
        return status, *capsys.readouterr()

    return run


def id_in(text):
    return re.search(r"^Execution ([0-9a-f-]{36})", text, re.MULTILINE)[1]


def test_a_run_with_everything(remote, plate, pipeline, tmp_path):
    """Images come into a folder; afterwards the execution can be looked at."""
    images = tmp_path / "images"
    arguments = [plate, pipeline("(plus, {'amount': 2})"), "--save", str(images), "--workers", "1", "--wells", "A02"]
    status, out, _ = remote("run", *arguments)
    number = id_in(out)
    assert status == 0
    assert f"1 images are in {images}." in out
    assert re.search(rf"^{plate}: completed, 1 of 1 wells\. 1 wells?: 1 finished", out, re.MULTILINE)
    assert f"Results: {plate}_results" in out
    (file,) = images.rglob("*.tif")
    assert tifffile.imread(file)[0, 0] == 212
    status, out, _ = remote("status", number)
    assert (status, out.splitlines()[-1]) == (0, f"Results: {plate}_results")
    status, out, _ = remote("list", "--state", "completed", "--limit", "1")
    assert re.fullmatch(rf"{number}  \d{{4}}-\d\d-\d\d \d\d:\d\d  {plate}  completed, 1 of 1 wells\. .*\n", out)
    status, out, _ = remote("logs", number, "--follow")
    assert (status, "1 images delivered" in out) == (0, True)
    status, out, err = remote("cancel", number)
    assert (status, out) == (1, "It has ended before: completed.\n")
    status, out, err = remote("resume", number)
    assert (status, out, err[:9]) == (2, "", "openhcs: ")


def test_ctrl_c_ends_the_watching_only(local, remote, plate, pipeline):
    """The words say how to go on; what is cancelled can be resumed."""
    words = ["remote", "run", str(local.address), plate, pipeline("(slow, {'seconds': 60})"), "--local"]
    command = [sys.executable, "-W", "ignore", "-m", "openhcs_core.cli", *words]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        try:
            number = id_in(program.stdout.readline())
            program.stderr.readline()  # it watches
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=20)
        finally:
            program.kill()
    assert (program.returncode, out) == (130, "")
    assert "Not watched any more; the execution goes on." in err
    assert f"End it:         openhcs remote cancel {local.address} {number}" in err
    wait_for(lambda: RemoteOrchestrator(str(local.address)).status(number).state == "running")
    status, out, _ = remote("status", number)
    assert (status, out.startswith(f"{plate}: running")) == (0, True)
    assert remote("cancel", number)[:2] == (0, "It is cancelled.\n")
    status, out, _ = remote("status", number, "--wait")
    assert (status, f"openhcs remote resume {local.address} {number}" in out) == (1, True)
    assert remote("resume", number, "--detach")[:2] == (0, f"Execution {number}\n")
    assert remote("cancel", number)[0] == 0


def test_a_pipeline_that_is_none(remote, plate, tmp_path):
    """The server says so, with line and column."""
    (tmp_path / "broken.py").write_text("pipeline_steps = [smooth]\n")
    status, out, _ = remote("run", plate, str(tmp_path / "broken.py"))
    assert status == 1
    assert re.search(r"^.*: failed\. .*line 1.*smooth", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["PLATE", "nowhere.py"], "nowhere.py is neither a file nor a preset"),
        (["/nowhere", "max_projection"], "plate is no folder of this machine"),
        (["PLATE", "max_projection", "--from-server"], "--from-server and --viewer-port need --view or --save."),
        (["PLATE", "max_projection", "--detach", "--save", "x"], "--detach does not go with --view and --save"),
        (["PLATE", "max_projection", "--view", "napary"], "There is no viewer 'napary'"),
        (["PLATE", "max_projection", "--outputs", "masks,videos"], "--outputs are some of images, masks, tables, not "),
    ],
)
def test_what_cannot_be_begun(remote, plate, arguments, message):
    status, out, err = remote("run", *(plate if word == "PLATE" else word for word in arguments))
    assert (status, out) == (2, "")
    assert err.startswith("openhcs: ")
    assert message in err


def test_ping(remote, capsys):
    status, out, _ = remote("ping")
    assert (status, out.endswith(": ready, version 0.1.0.dev0\n")) == (0, True)
    with answering(b'{"status":"ok","type":"pong","ready":false,"version":"2"}') as (server, _):
        assert main(["remote", "ping", str(server)]) == 1
    assert capsys.readouterr().out == f"{server.endpoint}: ending, takes nothing new, version 2\n"


@pytest.mark.parametrize("action", ["status", "cancel", "resume", "logs"])
def test_an_execution_that_is_not_there(remote, action):
    status, out, err = remote(action, NOBODY)
    assert (status, out, err) == (2 if action == "resume" else 1, "", "openhcs: There is no such execution.\n")


def test_a_server_that_is_not_there(capsys, monkeypatch):
    monkeypatch.setattr("openhcs_core.execution.client.BACK_OFF_S", 0.01)
    key = "0" * 64
    assert main(["remote", "ping", f"tcp://127.0.0.1:{free_port()}/{key}"]) == 1
    assert "the execution server is not running there" in capsys.readouterr().err
    assert main(["remote", "list", "gpu.example.org", "--user", "nobody"]) == 1
    assert "The public key of the execution server at tcp://gpu.example.org:7777 is not known here" in (
        capsys.readouterr().err
    )


@pytest.fixture
def in_omero(omero_server, omero_user, tmp_path, monkeypatch):
    """Id of a plate of OMERO, and how its user logs in."""
    field = PlateField(functions.pixels(functions.addresses()[0])[None, None, None])
    (imported,) = omero_server.import_files(
        [write_plate(tmp_path / "p.ome.tif", {(0, 0): [field]})], user=omero_user.name
    )
    monkeypatch.setenv("OMERO_PASSWORD", omero_user.password)
    return imported.plate_id, [
        *("--server", omero_server.host, "--port", str(omero_server.port)),
        *("--user", omero_user.name),
    ]


def test_a_plate_of_omero_with_a_viewer(server, in_omero, tmp_path, monkeypatch):
    """It stays open until the person closes it."""
    install_tiny(tmp_path / "plugins", monkeypatch)
    number, login = in_omero
    words = ["remote", "run", str(server.address), str(number), "max_projection", "--view", "tiny", *login]
    command = [sys.executable, "-W", "ignore", "-m", "openhcs_core.cli", *words, "--viewer-port", str(viewer_port())]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as program:
        try:
            lines = []
            while not (lines and lines[-1].startswith("Close tiny, or press Ctrl-C here")):
                lines.append(program.stdout.readline())
                assert lines[-1], lines
            assert viewer_of(program.pid)
            program.send_signal(signal.SIGINT)
            assert program.wait(20) == 0
        finally:
            program.kill()
    assert f"Plate:{number}: completed, 1 of 1 wells." in "".join(lines)
    assert re.search(r"^Results: .*Plate:\d+", "".join(lines), re.MULTILINE)


def viewer_port():
    """One that the server may connect to."""
    from openhcs_core.streaming.endpoints import control_of
    from openhcs_core.streaming.visualizer import is_taken

    places = (f"tcp://127.0.0.1:{port}" for port in range(5580, 5600))
    return next(int(place[-4:]) for place in places if not (is_taken(place) or is_taken(control_of(place))))
