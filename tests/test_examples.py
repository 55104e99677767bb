"""The examples work as they are, in a project of their own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from openhcs_core.imaris import check_ims

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


def test_documentation_shows_the_example():
    text = (ROOT / "docs" / "embedded-omero.md").read_text()
    (shown,) = [part.partition("```")[0] for part in text.split("```python\n") if part.startswith("SCRIPT")]
    assert (EXAMPLES / "test_an_omero_script.py").read_text().endswith(shown)
