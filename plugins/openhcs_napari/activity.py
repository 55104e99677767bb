"""How far runs and streams are, in napari's activity dock."""

from __future__ import annotations

import os
from collections.abc import Mapping

from napari.utils import progress

from openhcs_core.streaming.messages import Progress, State


class Activity:
    """Bars in the activity dock; for the thread of the window."""

    def __init__(self) -> None:
        self._bars: dict[str, progress] = {}
        self._silent = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (else they are in the terminal, too)

    def show(self, progresses: Mapping[str, Progress], state: State) -> None:
        """Show the state of things; nothing goes on where there are no publishers."""
        for each in progresses.values():
            total = each.total if state.publishers else 0
            self._bar(f"run/{each.what}", f"{each.what} {each.subject}".strip(), each.done, total)
        for stream in state.streams:
            total = stream.images or 0 if state.publishers and not stream.ended else 0
            self._bar(f"stream/{stream.stream}", stream.title or stream.stream, stream.received, total)

    def close(self) -> None:
        """Remove all bars."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()
        self._silent.close()

    def _bar(self, key: str, name: str, done: int, total: int) -> None:
        bar = self._bars.get(key)
        if done >= total:
            if bar is not None:
                self._bars.pop(key).close()
            return
        if bar is None:
            bar = self._bars[key] = progress(total=total, desc=name, file=self._silent)
        if done != bar.n:
            bar.update(done - bar.n)
