"""Make ``.venv`` and install everything that the demo and the tests need. Standard library only.

    bootstrap/setup

Started by the shell entry of the same name with any Python 3.10 to 3.13. Run again it does nothing unless something
that matters has changed: the stamp inside ``.venv`` tells.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bootstrap._cache import ROOT
from bootstrap._console import Progress, SetupError, run, say
from bootstrap._prerequisites import VENV, require
from bootstrap.ice.provide import ensure_ice, ice_works

EXTRAS = "embedded,fast,test"
FOLDER = ROOT / ".venv"
PYTHON = FOLDER / "bin" / "python"
STAMP = FOLDER / "openhcs-setup.txt"


def main() -> int:
    """Set up; return the exit status."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that what is half done is removed
    try:
        with _alone():
            _set_up()
    except SetupError as error:
        print(f"\n[setup] {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n[setup] stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _set_up() -> None:
    state = _state()
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == state and ice_works(PYTHON):
        say("ready: .venv (nothing to do)")
        return
    _make_venv()
    STAMP.unlink(missing_ok=True)
    ensure_ice(PYTHON)
    progress = Progress("Installing the project and what it needs into .venv")
    run(
        [PYTHON, "-m", "pip", "install", "--progress-bar", "off", "--editable", f"{ROOT}[{EXTRAS}]"],
        "pip could not install the project; what it said last is below (network? pip's settings?)",
        progress,
        interesting=("Collecting", "Installing", "Building"),
    )
    progress.done()
    STAMP.write_text(state, encoding="utf-8")
    say("ready: .venv")


@contextmanager
def _alone() -> Iterator[None]:
    """Let only one set-up of this checkout run at a time; a second one waits."""
    with open(__file__, "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _state() -> str:
    """Return what the content of .venv depends on, as text."""
    lines = [f"python {sys.version}", f"at {sys.base_prefix}", f"checkout {ROOT}", f"extras {EXTRAS}"]
    for name in ("pyproject.toml", "setup.cfg", "setup.py"):
        lines.append(f"{name} {hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}")
    lines += [f"plugin {folder.name}" for folder in sorted((ROOT / "plugins").glob("[!._]*"))]
    return "\n".join(lines) + "\n"


def _make_venv() -> None:
    """Make .venv with a working pip, unless it is there and of this Python."""
    if FOLDER.exists():
        probe = "import sys, pip; print(sys.version, sys.base_prefix)"
        found = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True) if PYTHON.exists() else None
        if found is not None and found.stdout.strip() == f"{sys.version} {sys.base_prefix}":
            return
        say("Replacing .venv: it is broken or of another Python")
    version = sys.version.split()[0]
    progress = Progress(f"Making .venv with Python {version} ({sys.executable})")
    ways: list[list[list[str | Path]]] = [
        [[sys.executable, "-m", "venv", "--clear", FOLDER]],
        [[sys.executable, "-m", "virtualenv", "--quiet", "--clear", FOLDER]],
        [
            [sys.executable, "-m", "venv", "--clear", "--without-pip", FOLDER],
            [sys.executable, "-m", "pip", "--quiet", "--python", FOLDER, "install", "pip"],
        ],
    ]
    for commands in ways:
        try:
            for command in commands:
                run(command, f"{command[2]} failed")
        except SetupError as error:
            reason = error
        else:
            progress.done()
            return
    shutil.rmtree(FOLDER, ignore_errors=True)
    say(str(reason))
    require([VENV])


if __name__ == "__main__":
    if sys.prefix != sys.base_prefix:  # an active virtual environment, perhaps the one to make anew
        base = str(getattr(sys, "_base_executable", sys.executable))
        os.execv(base, [base, "-m", "bootstrap._setup"])
    sys.exit(main())
