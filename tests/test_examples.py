"""The examples work as they are, in a project of their own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from openhcs_core.imaris import check_ims
from tests.execution.serving import Serving
from tests.omero.plates import PlateField, write_plate

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def _without(*plugins):
    """Options of pytest; the plugins of napari import it, with warnings of its own."""
    return [option for name in plugins for option in ("-p", f"no:{name}")]


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("test_*.py")))
def test_example_passes(name, tmp_path):
    shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", *_without("cacheprovider", "napari", "npe2"), name]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_imaris_file_of_images_made_as_they_are_needed(tmp_path):
    command = [sys.executable, "-W", "error", EXAMPLES / "write_ims.py", "cells.ims"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert check_ims(tmp_path / "cells.ims") == []


def test_arrays_of_a_program_go_to_a_viewer_of_ones_own(tmp_path):
    viewer = subprocess.Popen(
        [sys.executable, "-W", "error", EXAMPLES / "tiff_viewer.py", "images", "--listen", "tcp://127.0.0.1:0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    with viewer:
        address = json.loads(viewer.stdout.readline())["address"]
        command = [sys.executable, "-W", "error", EXAMPLES / "stream_arrays.py", address]
        sender = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert (sender.returncode, sender.stderr) == (0, "")
        assert "40 images delivered" in sender.stdout
        assert viewer.stdout.readline() == "40 of 40 images are in images/A ball.\n"
        viewer.terminate()
        assert viewer.wait(30) == 0
    ball = tifffile.imread(tmp_path / "images" / "A ball" / "c1_z005_t003.tif")
    assert (ball.shape, ball.dtype, np.unravel_index(ball.argmax(), ball.shape)) == ((256, 256), "uint16", (128, 120))


def test_a_pipeline_on_an_execution_server(omero_server, omero_user, tmp_path):
    cells = np.full((1, 1, 3, 60, 80), 100, "u2")
    cells[..., 10:20, 10:20] = cells[..., 40:52, 50:61] = 3000
    wells = {(0, 0): [PlateField(cells)], (1, 2): [PlateField(cells + 1)]}
    omero_server.import_files([write_plate(tmp_path / "p.ome.tif", wells, "HeLa")], user=omero_user.name)
    omero = f"{omero_server.host}:{omero_server.port}"
    server = Serving(tmp_path / "server", server_omero=omero)
    try:
        command = [sys.executable, EXAMPLES / "omero_remote_execution.py", omero, omero_user.name, str(server.address)]
        result = subprocess.run(
            [*command, "--plate", "HeLa", "--save", "images"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "OMERO_PASSWORD": omero_user.password},
        )
    finally:
        server.close()
    assert (result.returncode, result.stdout.splitlines()[0]) == (0, "HeLa: 2 wells"), result.stderr
    assert "is HeLa projection" in result.stdout
    (nuclei,) = (tmp_path / "images" / "HeLa_nuclei").glob("B03_*.tif")
    assert tifffile.imread(nuclei).max() == 2
    (projection,) = (tmp_path / "images" / "HeLa_projection").glob("B03_*.tif")
    np.testing.assert_array_equal(tifffile.imread(projection), cells[0, 0, 0] + 1)


def test_documentation_shows_the_example():
    text = (ROOT / "docs" / "embedded-omero.md").read_text()
    (shown,) = [part.partition("```")[0] for part in text.split("```python\n") if part.startswith("SCRIPT")]
    assert (EXAMPLES / "test_an_omero_script.py").read_text().endswith(shown)
