"""How far a run over a plate is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from openhcs_core.pipeline.plan import WellContext
from openhcs_core.pipeline.worker import WellEvent
from openhcs_core.progress import Listener, Progress, RateEstimator


class RunProgress:
    """Makes events of what the workers tell: the step and the well at hand, amounts and time left of the whole run.

    Parameters
    ----------
    listener : callable, optional
        Given a `Progress`; what it raises ends the run.
    contexts : sequence of WellContext
        The wells that are to be worked on.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        listener: Listener | None,
        contexts: Sequence[WellContext],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listener, self._clock = listener, clock
        self._numbers = {context.well: number for number, context in enumerate(contexts, 1)}
        self._calls = {context.well: context.plan.calls for context in contexts}
        self._done = dict.fromkeys(self._calls, 0)
        self._sum, self._total = 0, sum(self._calls.values())
        self._start = clock()
        self._rate = RateEstimator(0, self._start)

    def tell(self, event: WellEvent) -> None:
        """Take note of an event of a worker."""
        self._report(event.well, event.step, event.done)

    def ended(self, well: str, state: str) -> None:
        """A well has come to its end, whatever the end."""
        self._report(well, state, self._calls[well])

    def _report(self, well: str, what: str, done: int) -> None:
        grown = max(0, done - self._done[well])  # a well that is tried again does not go back
        self._done[well] += grown
        self._sum += grown
        if self._listener is None:
            return
        now = self._clock()
        rate = self._rate.update(self._sum, now)
        self._listener(
            Progress(
                f"{what}; plate",
                self._sum,
                self._total,
                unit="calls",
                rate=rate,
                seconds_left=(self._total - self._sum) / rate if rate else None,
                observed_s=now - self._start,
                subject=well,
                item=self._numbers[well],
                items=len(self._numbers),
            )
        )
