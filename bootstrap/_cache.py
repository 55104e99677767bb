"""Where things that took long to make or fetch are kept for the next time. Standard library only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cache_dir(kind: str) -> Path:
    """Return the folder, made if need be, which keeps things of one kind between runs and checkouts.

    ``$OPENHCS_CACHE`` if it is set, else ``$XDG_CACHE_HOME/openhcs`` (``~/.cache/openhcs``); where that
    cannot be written, a folder inside the checkout's ``.venv``.

    Parameters
    ----------
    kind : str
        Name of the subfolder, for instance ``"wheels"``.

    Raises
    ------
    OSError
        None of these places can be written, or ``$OPENHCS_CACHE`` was asked for and cannot be.
    """
    wish = os.environ.get("OPENHCS_CACHE")
    if wish:
        return _writable(Path(wish).expanduser() / kind)
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    try:
        return _writable(home / "openhcs" / kind)
    except OSError:
        return _writable(ROOT / ".venv" / "cache" / kind)


def _writable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return folder
