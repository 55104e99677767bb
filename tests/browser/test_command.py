"""``openhcs browse`` and ``python -m openhcs_browser``."""

import os
import signal
import subprocess
import sys

import numpy as np

from bootstrap._display import screenshot, xvfb
from openhcs_core import plugins
from openhcs_core.cli import main
from tests.streaming.peers import until


def test_it_is_a_command_of_openhcs():
    assert plugins.commands()["browse"].help == "walk through OMERO with thumbnails and view images in napari or Fiji"


def test_without_a_screen(monkeypatch, capsys):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["browse"]) == 1
    assert capsys.readouterr().err == (
        "openhcs: The image browser needs a screen and there is none: the environment variable DISPLAY is not set. "
        "Start it on a desktop, with ssh -X, or with xvfb-run.\n"
    )


def test_without_qt(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "qtpy.QtWidgets", None)
    assert main(["browse", "--server", "omero.example.org", "--user", "ada"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("openhcs: The image browser needs more packages (")
    assert 'Install them with: pip install "openhcs-omero[browser]" PyQt6' in error


def test_as_a_module_on_a_screen_that_is_not_there():
    environment = {
        name: value for name, value in os.environ.items() if name not in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    environment["DISPLAY"] = ":987654"
    command = [sys.executable, "-W", "ignore", "-m", "openhcs_browser"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert result.stderr.startswith("openhcs: Qt cannot open a window here: ")
    assert ":987654" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_its_window_comes_and_goes(tmp_path):
    with xvfb() as display:
        environment = {
            **os.environ,
            "DISPLAY": display,
            "OMERO_USERDIR": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path),
        }
        environment.pop("QT_QPA_PLATFORM", None)
        command = [sys.executable, "-W", "ignore", "-m", "openhcs_browser", "--server", "omero.example.org"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            until(lambda: np.asarray(screenshot(display)).any() or process.poll() is not None, bool)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_the_plugin_is_light():
    """`openhcs --help` does not wait for Qt or OMERO."""
    code = "import sys, openhcs_browser.plugin; print(*{'qtpy', 'omero', 'Ice', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
