"""How far long work is: events with rate and time left, for whoever listens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MEMORY_S = 10.0
"""Seconds after which an amount counts only a third in the rate."""


@dataclass(frozen=True)
class Progress:
    """One event of long work.

    Attributes
    ----------
    what : str
        What is being done, such as "export" or "upload".
    done, total : int
        Amounts; a total of 0 where there is nothing to count.
    unit : str
        Of the amounts.
    rate : float or None
        Units per second, of late; None while it is unknown.
    seconds_left : float or None
        As the rate lets expect; None while it is unknown.
    observed_s : float
        Seconds for which this has been watched.
    subject : str
        What it is done to, for people.
    item, items : int
        Number of the subject, from 1, and of all of them.
    """

    what: str
    done: int
    total: int
    unit: str = "bytes"
    rate: float | None = None
    seconds_left: float | None = None
    observed_s: float = 0.0
    subject: str = ""
    item: int = 1
    items: int = 1

    @property
    def percent(self) -> int:
        """Whole percent that are done; 100 only at the end."""
        return 100 * self.done // self.total if self.total else 100

    def __str__(self) -> str:
        """Such as ``export 40 %, 105 MB/s, about 12 s left``."""
        if not self.total:
            return self.what
        text = f"{self.what} {self.percent} %"
        if self.rate is not None:
            speed = f"{self.rate / 1e6:.3g} MB/s" if self.unit == "bytes" else f"{self.rate:.3g} {self.unit}/s"
            text += f", {speed}"
        if self.seconds_left is not None:
            text += f", about {duration_text(self.seconds_left)} left"
        return text


Listener = Callable[[Progress], object]
"""Called with every event; what it raises ends the work."""


class RateEstimator:
    """Amount per second, smoothed: what is long ago counts less.

    Parameters
    ----------
    done : int
        Amount that was there before the work began; it was not made in the time that is measured.
    now : float
        Seconds of any clock.
    """

    def __init__(self, done: int, now: float) -> None:
        self._last_done, self._last = done, now
        self._amount = self._seconds = 0.0

    def update(self, done: int, now: float) -> float | None:
        """Take note of the amount at a time; return the rate, None while nothing has been done."""
        if done > self._last_done:
            fading = math.exp(-(now - self._last) / MEMORY_S)
            self._amount = self._amount * fading + done - self._last_done
            self._seconds = self._seconds * fading + now - self._last
            self._last_done, self._last = done, now
        return self._amount / self._seconds if self._amount and self._seconds else None


class ProgressMeter:
    """Makes events of amounts.

    Parameters
    ----------
    listeners : sequence of callable
    subject : str
    item, items : int
        See `Progress`.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        subject: str = "",
        item: int = 1,
        items: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listeners = listeners
        self._subject, self._item, self._items = subject, item, items
        self._clock = clock
        self._what = ""
        self.begin("")

    def begin(self, what: str, found: int = 0) -> None:
        """Begin with something new.

        Parameters
        ----------
        what : str
        found : int
            Amount that an interrupted run had done already.
        """
        self._what, self._found, self._start = what, found, self._clock()
        self._rate = RateEstimator(found, self._start)

    def tell(self, what: str) -> None:
        """Tell the listeners what is being done where there is nothing to count."""
        self.begin(what)
        self.report(0, 0)

    def report(self, done: int, total: int) -> None:
        """Tell the listeners how much is done."""
        now = self._clock()
        rate = self._rate.update(done, now)
        event = Progress(
            self._what,
            done,
            total,
            rate=rate,
            seconds_left=(total - done) / rate if rate else None,
            observed_s=now - self._start,
            subject=self._subject,
            item=self._item,
            items=self._items,
        )
        for listener in self._listeners:
            listener(event)


def duration_text(seconds: float) -> str:
    """A time for people, such as ``12 s``, ``5 min``, ``1.5 h``."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Lines:
    """A listener that has a line written now and then: not before ten seconds, then every tenth or minute.

    Parameters
    ----------
    write : callable
        Given the event.
    clock : callable
        Seconds.
    """

    def __init__(self, write: Listener, clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._what, self._percent, self._last = "", 0, clock()

    def __call__(self, event: Progress) -> None:
        now = self._clock()
        if event.what != self._what:
            self._what, self._percent = event.what, 0
        waited = now - self._last
        if waited >= 60 or (waited >= 10 and event.percent >= self._percent + 10):
            self._percent, self._last = event.percent, now
            self._write(event)
