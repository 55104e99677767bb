"""What the machine must have before anything can be built: checked in one go, named by package.

Standard library only.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from bootstrap._console import SetupError


@dataclass(frozen=True)
class Missing:
    """One thing that is missing, and the packages which bring it."""

    what: str
    debian: str
    fedora: str


_PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

COMPILER = Missing("a C++ compiler", "g++", "gcc-c++")
VENV = Missing("Python's venv module with ensurepip", f"{_PYTHON}-venv", "python3-pip")
HEADERS = {
    "Python.h": Missing("the header Python.h of this Python", f"{_PYTHON}-dev", "python3-devel"),
    "openssl/ssl.h": Missing("the OpenSSL headers", "libssl-dev", "openssl-devel"),
    "bzlib.h": Missing("the bzip2 headers", "libbz2-dev", "bzip2-devel"),
}


def compilers() -> dict[str, str] | None:
    """Return the commands of the C and the C++ compiler as ``{"CC": ..., "CXX": ...}``, None if one is missing.

    The environment decides, then what this Python was built with, then what is on the PATH.
    """
    found = {}
    for variable, fallbacks in (("CC", ("gcc", "cc", "clang")), ("CXX", ("g++", "c++", "clang++"))):
        wishes = [os.environ.get(variable), sysconfig.get_config_var(variable), *fallbacks]
        command = next((wish for wish in wishes if wish and shutil.which(shlex.split(wish)[0])), None)
        if command is None:
            return None
        found[variable] = command
    return found


def missing_for_ice() -> list[Missing]:
    """Return what is missing to compile Ice for this Python: the compiler, and the headers which are not found."""
    include = sysconfig.get_path("include")
    commands = compilers()
    if commands is None:
        usual = [Path(include), Path("/usr/include"), Path("/usr/local/include")]
        absent = [name for name in HEADERS if not any((folder / name).is_file() for folder in usual)]
        return [COMPILER, *(HEADERS[name] for name in absent)]
    command = [*shlex.split(commands["CXX"]), f"-I{include}"]
    for variable in ("CPPFLAGS", "CXXFLAGS"):
        command += shlex.split(os.environ.get(variable, ""))
    return [package for name, package in HEADERS.items() if not _compiles(command, name)]


def _compiles(compiler: list[str], header: str) -> bool:
    command = [*compiler, "-x", "c++", "-fsyntax-only", "-"]
    return subprocess.run(command, input=f"#include <{header}>\n".encode(), capture_output=True).returncode == 0


def require(missing: list[Missing]) -> None:
    """Raise an error that names everything in `missing` and how to install it; do nothing if it is empty.

    Raises
    ------
    SetupError
        Something is missing.
    """
    if not missing:
        return
    names = "".join(f"\n  - {item.what}" for item in missing)
    raise SetupError(
        f"This machine lacks what the set-up needs:{names}\n"
        f"Debian, Ubuntu:  sudo apt-get install {' '.join(item.debian for item in missing)}\n"
        f"Fedora, Rocky:   sudo dnf install {' '.join(item.fedora for item in missing)}\n"
        "Then run the same command again."
    )
