"""Whether windows can be opened here."""

from __future__ import annotations

import os
import sys

from openhcs_core.errors import OpenHCSError

X, QT = ("DISPLAY",), ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
"""Environment variables that lead programs of X, and of Qt, to a screen."""


def require_screen(program: str, variables: tuple[str, ...]) -> None:
    """Make sure that there is a screen, as far as one can know without opening a window.

    Raises
    ------
    OpenHCSError
    """
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in variables):
        raise OpenHCSError(
            f"{program} needs a screen and there is none: the environment variable DISPLAY is not set. Start it on a "
            "desktop, with ssh -X, or with xvfb-run."
        )
