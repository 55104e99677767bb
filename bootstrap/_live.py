"""A napari window that shows the results of a script while they are made: on the screen, or as a picture."""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path

from bootstrap._display import NoDisplay, screenshot, xvfb

SETTLED_S = 30.0
"""How long the window gets to show everything that has come."""


class LiveView(AbstractContextManager["LiveView"]):
    """A viewer for the demo. Where there is a screen its window stays open afterwards.

    Parameters
    ----------
    picture : Path
        Where a picture of the window goes if there is no screen.

    Attributes
    ----------
    where : str
        For people: where the window is, or why there is none.
    arguments : tuple of str
        For the script: where to send results.
    """

    def __init__(self, picture: Path) -> None:
        from openhcs_core.errors import OpenHCSError
        from openhcs_core.streaming.manager import manager

        self._picture, self._viewer = picture, None
        self._screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        self.arguments: tuple[str, ...] = ()
        with contextlib.ExitStack() as stack:
            try:
                if not self._screen:
                    os.environ["DISPLAY"] = stack.enter_context(xvfb("1100x680x24"))
                    stack.callback(os.environ.pop, "DISPLAY")
                self._viewer = manager().get_or_create("napari", persistent=bool(self._screen), title="OpenHCS demo")
            except (NoDisplay, OpenHCSError) as error:
                self.where = f"left out: {error}"
                return
            self.where = f"at {self._viewer.address}" + ("" if self._screen else ", on a screen in memory")
            self.arguments = (f"Viewer_Address={self._viewer.address}",)
            self._stack = stack.pop_all()

    def look(self) -> str:
        """Wait until everything is shown; make the picture if there is no screen. What there is to see, for people."""
        if self._viewer is None:
            return "nothing: there is no window"
        deadline = time.monotonic() + SETTLED_S
        while True:
            state = self._viewer.state()
            shown = state is not None and 0 < state.received == state.displayed
            if shown or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if state is None:
            return "nothing: napari does not answer"
        counts = f"{state.displayed} of {state.received} images"
        if self._screen:
            return f"{counts}; the window stays open"
        screenshot(os.environ["DISPLAY"], self._picture)
        return f"{counts}; {self._picture}"

    def __exit__(self, *_: object) -> None:
        if self._viewer is not None:
            if not self._screen:
                self._viewer.stop()
            self._stack.close()
