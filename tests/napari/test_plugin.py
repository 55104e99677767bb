"""How napari and this project find the viewer."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from openhcs_core import plugins
from openhcs_core.screen import QT
from openhcs_core.streaming.endpoints import NAPARI_PORT


def test_the_viewer_is_offered_and_can_be_started_here():
    spec = plugins.viewer("napari")
    assert (spec.module, spec.port) == ("openhcs_napari", NAPARI_PORT)
    assert importlib.util.find_spec(f"{spec.module}.__main__") is not None
    assert spec.missing() == ""


@pytest.mark.parametrize(
    ("absent", "advice"),
    [
        (("napari",), "napari is not installed: pip install"),
        (("PyQt6", "PySide6", "PyQt5", "PySide2"), "napari has no Qt"),
        (("qtpy",), "qtpy is not installed"),
    ],
)
def test_what_is_missing_is_said_with_how_to_install_it(monkeypatch, absent, advice):
    monkeypatch.setattr("openhcs_napari.plugin.find_spec", lambda name: None if name in absent else object())
    assert advice in plugins.viewer("napari").missing()


def test_asking_for_the_viewer_does_not_import_napari():
    code = "from openhcs_core import plugins; import sys; plugins.viewers(); print('napari' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == "False"


def test_the_manifest_is_valid_and_its_widgets_can_be_imported():
    command = [sys.executable, "-m", "npe2", "validate", "--imports", "openhcs-omero"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_without_a_screen_it_says_so():
    environment = {name: value for name, value in os.environ.items() if name not in QT}
    command = [sys.executable, "-m", "openhcs_napari", "--listen", "tcp://127.0.0.1:0"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    last = json.loads(result.stdout.splitlines()[-1])
    assert (result.returncode, last["phase"], result.stderr) == (1, "failed", "")
    assert "napari needs a screen" in last["error"]
