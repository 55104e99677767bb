"""The command ``omero`` for programs: in a process of its own, with folders of its own, as any user."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

# `omero` itself refuses to run as root; what it calls does not.
_CODE = "import sys; from omero.cli import argv; argv(['omero', *sys.argv[1:]])"


class OmeroCli:
    """Runs ``omero`` with sessions and temporary files below one folder.

    Parameters
    ----------
    folder : Path
        Made if it is not there. Log-ins are remembered in it, as in a home directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "OMERO_USERDIR": str(folder / "user"),
            "OMERO_TMPDIR": str(folder / "tmp"),
            "PYTHONWARNINGS": "ignore",
            "TERM": os.environ.get("TERM", "dumb"),  # omero asks `tput` for the width of the terminal
        }
        for name in ("user", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def run(self, *arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run ``omero`` with these arguments; nothing is raised if it fails."""
        return subprocess.run(
            [sys.executable, "-c", _CODE, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def login(self, host: str, port: int, user: str, password: str) -> subprocess.CompletedProcess[str]:
        """Log in; the password goes by the environment, where other users do not see it."""
        self.environment["OMERO_PASSWORD"] = password
        try:
            return self.run("login", "-s", host, "-p", str(port), "-u", user)
        finally:
            del self.environment["OMERO_PASSWORD"]


def launch_outputs(text: str) -> dict[str, str]:
    """The outputs of a script out of what ``omero script launch`` prints.

    Parameters
    ----------
    text : str
        Standard output of the command.

    Returns
    -------
    dict of str
        Value by name. A value may have several lines; objects are given as ``FileAnnotation:12``.
    """
    block = text.partition("*** out parameters ***")[2].partition("\t***  done ***")[0]
    outputs: dict[str, str] = {}
    for entry in re.split(r"^\t\* ", block, flags=re.MULTILINE)[1:]:
        name, _, value = entry.rstrip("\n").partition("=")
        found = re.match(
            r"object #0 \(::omero::model::(\w+)\).*?_id = object #\d+ \S+\s*{\s*_val = (\d+)", value, re.DOTALL
        )
        outputs[name] = f"{found[1]}:{found[2]}" if found else value
    return outputs
