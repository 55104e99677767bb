"""The examples work as they are, in a project of their own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from openhcs_core.imaris import check_ims

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("test_*.py")))
def test_example_passes(name, tmp_path):
    shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_imaris_file_of_images_made_as_they_are_needed(tmp_path):
    command = [sys.executable, "-W", "error", EXAMPLES / "write_ims.py", "cells.ims"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert check_ims(tmp_path / "cells.ims") == []


def test_documentation_shows_the_example():
    text = (ROOT / "docs" / "embedded-omero.md").read_text()
    (shown,) = [part.partition("```")[0] for part in text.split("```python\n") if part.startswith("SCRIPT")]
    assert (EXAMPLES / "test_an_omero_script.py").read_text().endswith(shown)
