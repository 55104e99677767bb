"""Build a wheel of zeroc-ice 3.6.5 from its unmodified sdist on Python 3.10 to 3.13. Standard library only.

The sdist compiles as it is up to Python 3.10. Later versions need a header forced into every C++ file
(``compat/ice_compat.h``), and ``Ice.py`` needs another way to make a module than ``imp``, which Python 3.12 removed.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from bootstrap._console import Progress, run
from bootstrap._prerequisites import compilers, missing_for_ice, require

VERSION = "3.6.5"
SDIST_SHA256 = "4235ffeb605bcd4e22e716577f7d61e4aa1bc82f65276bb542701a81b7933356"
# From 75 on setuptools hands CXXFLAGS to C++ files; 81 and later are untried.
BUILD_TOOLS = "setuptools>=75,<81"
COMPAT = Path(__file__).with_name("compat")
COMPILE = Path(__file__).with_name("compile.py")

#: The only change to the sources: what Ice.py says, and what it has to say where there is no `imp`.
ICE_PY_PATCH = (
    ("import sys, string, imp, os, threading,", "import sys, string, types, os, threading,"),
    ("imp.new_module(curr)", "types.ModuleType(curr)"),
)


def build_wheel(python: Path, folder: Path) -> Path:
    """Build the wheel for one Python and put it into a folder.

    Parameters
    ----------
    python : Path
        The interpreter to build for; it needs pip, and must be of the version which runs this function.
    folder : Path
        Where the wheel goes.

    Returns
    -------
    Path
        The wheel.

    Raises
    ------
    SetupError
        The compiler or a header is missing (the message names the packages), the sdist cannot be fetched, or it
        does not compile.
    """
    require(missing_for_ice())
    with tempfile.TemporaryDirectory(prefix="openhcs-ice-") as name:
        work = Path(name)
        progress = Progress(f"Building zeroc-ice {VERSION} (takes minutes, once)")
        environment = _build_tools(python, work / "tools")
        source = _unpack(_fetch(python, work, environment), work)
        patch_ice_py(source / "lib" / "Ice.py")
        # Relative to the folder of the sources, since flags are split at blanks.
        shutil.copytree(COMPAT, work / "compat")
        flags = "-O1 -DNDEBUG -I../compat -include ../compat/ice_compat.h"
        environment |= compilers() or {}
        environment["CXXFLAGS"] = f"{flags} {os.environ.get('CXXFLAGS', '')}"
        run(
            [python, COMPILE, "bdist_wheel", "--dist-dir", work / "dist"],
            "zeroc-ice does not compile here; the compiler's last words are below",
            progress,
            interesting=[str(digit) for digit in range(10)],
            env=environment,
            cwd=source,
        )
        progress.done()
        (wheel,) = (work / "dist").glob("*.whl")
        return Path(shutil.copy(wheel, folder))


def patch_ice_py(path: Path) -> None:
    """Replace `imp` in ``Ice.py`` by `types`.

    Raises
    ------
    ValueError
        The file is not the one of zeroc-ice 3.6.5.
    """
    text = path.read_text(encoding="utf-8")
    for old, new in ICE_PY_PATCH:
        if text.count(old) != 1:
            raise ValueError(f"{path}: expected {old!r} exactly once; is this zeroc-ice {VERSION}?")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def _build_tools(python: Path, folder: Path) -> dict[str, str]:
    """Install setuptools into a folder; return the environment in which Python finds it there."""
    run(
        [python, "-m", "pip", "install", "--quiet", "--target", folder, BUILD_TOOLS],
        f"Cannot install {BUILD_TOOLS}, which building zeroc-ice needs; check the network and pip's settings",
    )
    return {**os.environ, "PYTHONPATH": str(folder)}


def _fetch(python: Path, folder: Path, environment: dict[str, str]) -> Path:
    requirement = folder / "requirements.txt"
    requirement.write_text(f"zeroc-ice=={VERSION} --hash=sha256:{SDIST_SHA256}\n", encoding="utf-8")
    options = ["--no-deps", "--no-binary", "zeroc-ice", "--no-build-isolation", "--require-hashes"]
    run(
        [python, "-m", "pip", "download", *options, "--requirement", requirement, "--dest", folder],
        "Cannot fetch the source of zeroc-ice; check the network and pip's settings",
        env=environment,
    )
    return folder / f"zeroc-ice-{VERSION}.tar.gz"


def _unpack(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:  # the content is pinned by its hash
            archive.extractall(folder)
    return folder / f"zeroc-ice-{VERSION}"
