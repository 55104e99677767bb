"""What viewers see of a run: in its parent process, for its time, from the first well to the last report."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from openhcs_core.errors import OpenHCSError
from openhcs_core.pipeline.compiler import ELSEWHERE
from openhcs_core.pipeline.plan import WellContext
from openhcs_core.pipeline.stream_plan import all_together, as_steps_say, facts_of, given_by
from openhcs_core.pipeline.viewers import Show, Viewers, open_publisher, open_viewer
from openhcs_core.pipeline.worker import Work
from openhcs_core.progress import Listener, Progress

__all__ = ["Streams", "Viewers", "open_publisher", "open_viewer"]

logger = logging.getLogger(__name__)

_PLACE = re.compile(r"(Plate|Well|Image|Dataset|Screen):(\d+)")


class Streams(AbstractContextManager["Streams"]):
    """Shows a run in viewers. Whatever goes wrong with them is logged and stated; it never ends the run.

    Parameters
    ----------
    viewers : Viewers, optional
        As the steps say unless given.
    """

    def __init__(self, viewers: Viewers | None) -> None:
        self._viewers = viewers
        self._shows: list[Show] = []
        self._statements: list[str] = []
        self._wanted = False

    def begin(self, work: Work, contexts: Sequence[WellContext], workers: int, elsewhere: bool) -> Work:
        """The work of the run with its viewers in it.

        Parameters
        ----------
        work : Work
        contexts : sequence of WellContext
            Wells that are worked on.
        workers : int
        elsewhere : bool
            Whether workers are not on this machine.
        """
        viewers = self._viewers
        groups = as_steps_say(work.steps) if viewers is None else all_together(work.steps, viewers.everything)
        asked = any(step.stream_to for step in work.steps)
        quiet = [replace(step, streamed=()) for step in work.steps]
        if viewers is not None and not (viewers.connect or viewers.listen or viewers.start):
            if asked:
                self._state("Nothing is shown in viewers, although steps ask for it: no viewer was given for this run.")
            groups = []
        if groups and elsewhere:
            if not asked:  # else the compiler has said so
                self._state(ELSEWHERE)
            groups = []
        self._wanted = bool(groups)
        if not groups or not contexts:
            return replace(work, steps=tuple(quiet))
        first = next(iter(work.results.values()))
        place = _PLACE.fullmatch(work.plate)
        source = {place[1]: int(place[2])} if place else {}
        plans = {id(context.plan): given_by(work.steps, context.plan) for context in contexts}
        given = [(context, plans[id(context.plan)]) for context in contexts]
        backends, results = dict(work.backends), dict(work.results)
        names: dict[str, list[str]] = {}
        for number, group in enumerate(groups, 1):
            facts = facts_of(group, given, first.layout, source)
            counts = {context.well: sum(len(planes.get(key, ())) for key in facts) for context, planes in given}
            show = Show(counts, first.layout.name)
            try:
                show.open(viewers or Viewers(start=group.viewers), len(groups))
            except OpenHCSError as error:
                show.close(aborted=True)
                self._state(f"Nothing is shown of {', '.join(group.looks)}: {error}")
                continue
            finally:
                for statement in show.statements:
                    self._state(statement)
            self._shows.append(show)
            name = f"viewers {number}"
            backends[name], results[name] = show.storage(name, workers, facts), first
            for step in group.looks:
                names.setdefault(step, []).append(name)
        kinds: dict[str, tuple[str, ...]] = {step: shown for group in groups for step, shown in group.kinds.items()}
        steps = [
            replace(step, streams=tuple(names[step.name]), streamed=kinds[step.name]) if step.name in names else step
            for step in quiet
        ]
        return replace(work, backends=backends, results=results, steps=tuple(steps))

    def listener(self, progress: Listener | None) -> Listener | None:
        """Tells the viewers, too, how far the run is."""
        if not self._shows:
            return progress

        def tell(event: Progress) -> None:
            for show in self._shows:
                show.progress(event)
            if progress is not None:
                progress(event)

        return tell

    def end(self, finished: Sequence[str], skipped: int, cancelled: Callable[[], bool]) -> list[str]:
        """Wait for the viewers while they take images; then say what they got.

        Parameters
        ----------
        finished : sequence of str
            Wells that were worked on and are complete.
        skipped : int
            Wells that an earlier run had finished.
        cancelled : callable
            Whether to wait no more.
        """
        shows, self._shows = self._shows, []
        for show in shows:
            show.drain(cancelled)
        for show in shows:
            self._state(*show.close(cancelled(), finished))
        if self._wanted and skipped:
            self._state(
                f"Viewers got nothing of {skipped} wells that an earlier run had finished; run without resuming to see "
                "them, too."
            )
        return self._statements

    def __exit__(self, *_: object) -> None:
        for show in self._shows:
            show.close(aborted=True)
        self._shows = []

    def _state(self, *statements: str) -> None:
        for statement in statements:
            logger.info("%s", statement)
            self._statements.append(statement)
