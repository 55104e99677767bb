"""The demo, run as people run it once everything is installed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
NAME = "coli_nucl_ori_crop"


@contextlib.contextmanager
def demo(*arguments, **environment):
    """The demo in a process of its own."""
    without_screen = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    process = subprocess.Popen(
        [sys.executable, "-m", "bootstrap._demo", *arguments],
        cwd=ROOT,
        env={**without_screen, "COLUMNS": "200", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def check_results(output, folder, *others):
    for reader in ("imaris-ims-file-reader", "Bio-Formats"):
        assert f"by {reader}" in output
    assert output.count("all 368,640 voxels are equal") == 2
    assert (folder / f"{NAME}.ims").stat().st_size > 100_000
    assert (folder / f"{NAME}.png").read_bytes().startswith(b"\x89PNG")
    assert str(folder / f"{NAME}.ims") in output
    assert sorted(p.name for p in folder.iterdir()) == [f"{NAME}.ims", f"{NAME}.png", *others]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_and_a_server_which_stays(tmp_path, number):
    login = tmp_path / "login.json"
    with demo("--keep", "--out", str(tmp_path)) as process:
        deadline = time.monotonic() + 90
        while not login.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        known = json.loads(login.read_text()) if login.exists() else {"port": 0, "password": "never"}
        process.send_signal(number)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert f"omero login -s 127.0.0.1 -p {known['port']}" in output
    assert known["password"] not in output
    assert "87 objects of 'nuclei' as masks" in output
    assert "38 in A01, 49 in A02" in output
    assert "4 of 4 images" in output
    with Image.open(tmp_path / "napari.png") as picture:
        colours = picture.convert("RGB").getcolors(1 << 20)
    # Labels in many colours, which are none of the window's own greys.
    assert sum(max(rgb) - min(rgb) > 100 for count, rgb in colours if count > 30) > 10
    check_results(output, tmp_path, "measurements.csv", "napari.png")


def test_demo_on_another_server(omero_server, tmp_path):
    server = f"{omero_server.host}:{omero_server.port}"
    with demo("--server", server, "--out", str(tmp_path), OMERO_PASSWORD=omero_server.password) as process:
        output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert "Upload the sample image" in output
    check_results(output, tmp_path)


@pytest.mark.parametrize(
    ("port", "message"),
    [(None, "cannot log in to 127.0.0.1"), (1, "cannot log in to 127.0.0.1:1 as root")],
    ids=["wrong password", "nobody there"],
)
def test_demo_which_cannot_log_in(omero_server, tmp_path, port, message):
    server = f"{omero_server.host}:{port or omero_server.port}"
    with demo("--server", server, "--out", str(tmp_path), OMERO_PASSWORD="wrong") as process:
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert message in output
    assert "Traceback" not in output.split("The demo failed")[-1]
