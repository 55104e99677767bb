"""The commands and the set-up that they share: what is said if it cannot work, what a second run does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bootstrap import _cache, _console, _setup
from bootstrap._console import SetupError

ROOT = _cache.ROOT
COMMANDS = (".ci/run", "bootstrap/demo", "bootstrap/setup", "bootstrap/test")


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_can_be_run(name):
    path = ROOT / name
    assert os.access(path, os.X_OK)
    interpreter = path.read_text().splitlines()[0].split()[-1].rpartition("/")[2]
    subprocess.run([interpreter, "-n", path], check=True)


@pytest.mark.parametrize("name", ["bootstrap/demo", "bootstrap/setup", "bootstrap/test"])
def test_an_unfit_python_is_refused_with_advice(name, tmp_path):
    environment = {**os.environ, "OPENHCS_PYTHON": "/bin/false"}
    result = subprocess.run([ROOT / name], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1
    assert "No Python 3.10 to 3.13 found (tried: /bin/false)" in result.stderr
    assert "apt-get install" in result.stderr
    assert "dnf install" in result.stderr


def test_ci_runs_the_test_command():
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith('exec bootstrap/test "$@"')


@pytest.fixture
def venv(monkeypatch, tmp_path):
    """A folder in place of .venv."""
    folder = tmp_path / "venv"
    monkeypatch.setattr(_setup, "FOLDER", folder)
    monkeypatch.setattr(_setup, "PYTHON", folder / "bin" / "python")
    monkeypatch.setattr(_setup, "STAMP", folder / "stamp.txt")
    return folder


def test_without_venv_virtualenv_and_pip_the_package_is_named(venv, monkeypatch, tmp_path, capsys):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'ensurepip is not available'\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(SetupError, match=r"apt-get install python3\.\d+-venv\n.*dnf install python3-pip"):
        _setup._make_venv()
    assert "ensurepip is not available" in capsys.readouterr().out
    assert not venv.exists()


def test_venv_that_is_broken_is_replaced_and_a_good_one_kept(venv, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", sys._base_executable)
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/nowhere")
    _setup._make_venv()
    assert "Replacing" in capsys.readouterr().out
    (venv / "mark").touch()
    _setup._make_venv()
    assert (venv / "mark").exists()


def test_second_run_does_nothing_until_setup_cfg_changes(venv, monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr(_setup, "ROOT", tmp_path)
    monkeypatch.setattr(_setup, "_make_venv", lambda: venv.mkdir(exist_ok=True))
    monkeypatch.setattr(_setup, "ensure_ice", lambda python: None)
    monkeypatch.setattr(_setup, "ice_works", lambda python: True)
    monkeypatch.setattr(_setup, "run", lambda *args, **kwargs: done.append("install"))
    for name in ("pyproject.toml", "setup.cfg", "setup.py"):
        (tmp_path / name).touch()
    _setup._set_up()
    _setup._set_up()
    assert done == ["install"]
    (tmp_path / "setup.cfg").write_text("[metadata]\n")
    _setup._set_up()
    (tmp_path / "plugins" / "openhcs_new").mkdir(parents=True)
    _setup._set_up()
    assert done == ["install"] * 3


def test_failed_installation_is_not_taken_for_done(venv, monkeypatch, capsys):
    monkeypatch.setattr(_setup, "_make_venv", lambda: venv.mkdir(exist_ok=True))

    def fail(python):
        raise SetupError("no compiler")

    monkeypatch.setattr(_setup, "ensure_ice", fail)
    assert _setup.main() == 1
    assert "no compiler" in capsys.readouterr().err
    assert not _setup.STAMP.exists()


def test_failing_program_is_quoted():
    code = "print('first'); print('the reason'); raise SystemExit(3)"
    with pytest.raises(SetupError, match=r"(?s)it failed \(exit status 3\)\nfirst\nthe reason$"):
        _console.run([sys.executable, "-c", code], "it failed")


def test_program_that_cannot_start_is_an_error(tmp_path):
    with pytest.raises(SetupError, match="it failed\n"):
        _console.run([tmp_path / "nothing"], "it failed")


def test_progress_shows_the_interesting_lines(monkeypatch, capsys):
    monkeypatch.setattr(_console, "QUIET_SECONDS", 0.0)
    progress = _console.Progress("Working")
    code = "print('Collecting one'); print('noise'); print('Collecting two')"
    _console.run([sys.executable, "-c", code], "it failed", progress, interesting=("Collecting",))
    progress.done()
    lines = [line.removeprefix("[setup] ").strip() for line in capsys.readouterr().out.splitlines()]
    assert [line.partition(" ")[0] for line in lines] == ["Working", "Collecting", "Collecting", "Working:"]


def test_cache_is_where_one_asks(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENHCS_CACHE", str(tmp_path / "asked"))
    assert _cache.cache_dir("wheels") == tmp_path / "asked" / "wheels"


def test_cache_follows_the_home(monkeypatch, tmp_path):
    monkeypatch.delenv("OPENHCS_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _cache.cache_dir("wheels") == tmp_path / ".cache" / "openhcs" / "wheels"


def test_cache_of_an_unwritable_home_is_in_the_checkout(monkeypatch, tmp_path):
    (tmp_path / "home").touch()
    monkeypatch.delenv("OPENHCS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(_cache, "ROOT", tmp_path / "checkout")
    assert _cache.cache_dir("wheels") == tmp_path / "checkout" / ".venv" / "cache" / "wheels"


def test_cache_asked_for_but_unwritable_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OPENHCS_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match="file"):
        _cache.cache_dir("wheels")
