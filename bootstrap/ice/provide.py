"""Make ``import Ice`` work in a Python: as it is, with a wheel kept or offered, else with one built here.

Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from bootstrap._cache import cache_dir
from bootstrap._console import SetupError, run, say
from bootstrap.ice.build import build_wheel

REQUIREMENT = "zeroc-ice>=3.6.5,<3.7"
_TRY = "import Ice; Ice.initialize().destroy()"


def ensure_ice(python: Path) -> None:
    """Install zeroc-ice 3.6 into a Python unless it works there already.

    In this order: what is installed; a wheel kept from an earlier time; a wheel which the package index offers; a
    wheel built here. The wheel that works is kept for the next time.

    Parameters
    ----------
    python : Path
        Interpreter of a virtual environment with pip, of the version which runs this function.

    Raises
    ------
    SetupError
        No way led to a working Ice; the message says what to do.
    """
    if ice_works(python):
        return
    kept = cache_dir("wheels")
    ways = (
        (f"the wheel kept in {kept}", lambda folder: _download(python, folder, "--no-index", "--find-links", kept)),
        ("the wheel offered by the package index", lambda folder: _download(python, folder)),
        ("the wheel built here", lambda folder: build_wheel(python, folder)),
    )
    for name, find in ways:
        with tempfile.TemporaryDirectory(prefix="openhcs-ice-") as folder:
            wheel = find(Path(folder))
            if wheel is None:
                continue
            _install(python, wheel)
            if ice_works(python):
                _keep(wheel, kept)
                say(f"zeroc-ice: installed {name}")
                return
            say(f"zeroc-ice: {name} does not work on this machine")
    raise SetupError(f"zeroc-ice is built but does not work. To see why:  {python} -c '{_TRY}'")


def ice_works(python: Path) -> bool:
    """Tell whether this Python can import Ice and start its run time."""
    return subprocess.run([python, "-W", "ignore", "-c", _TRY], capture_output=True).returncode == 0


def _download(python: Path, folder: Path, *options: str | Path) -> Path | None:
    """Return the wheel that pip finds for this Python with these options, None if it finds none."""
    common = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    command: list[str | Path] = [python, "-m", "pip", "download", *common, *options, REQUIREMENT]
    if subprocess.run(command, capture_output=True).returncode != 0:
        return None
    return next(folder.glob("zeroc_ice-*.whl"))


def _install(python: Path, wheel: Path) -> None:
    options = ["--quiet", "--no-index", "--no-deps", "--force-reinstall"]
    run([python, "-m", "pip", "install", *options, wheel], f"Cannot install {wheel.name}")


def _keep(wheel: Path, folder: Path) -> None:
    """Copy a wheel into the cache: complete or not at all, whoever else does the same."""
    partial = folder / f".{wheel.name}.{os.getpid()}"
    shutil.copyfile(wheel, partial)
    os.replace(partial, folder / wheel.name)
