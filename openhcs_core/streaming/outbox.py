"""What a publisher holds: every image of the run, in memory, on disk, or given up, with nothing forgotten."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import DTYPES, Image, Slot
from openhcs_core.streaming.slots import PooledSlot, SlotPool
from openhcs_core.streaming.spool import PAGE, Place, Spool

logger = logging.getLogger(__name__)

_AHEAD = 2
"""Free slots that are kept ready."""
_FLOWING_S = 0.05
"""Where a slot was given back so lately, another one will be."""
_WARM_BYTES, _WARM_SLOTS = 12 << 20, 4
"""So much fits into the cache of a processor, and so many slots keep both sides busy: while slots come back, these are
used again and no others."""
_MAKING_BYTES_S = 1e9
"""How fast new slots can be made, roughly; so long it is worth to wait for an old one."""


@dataclass(eq=False)
class Entry:
    """One image and where its bytes are: in a slot, on disk, or (both None) nowhere.

    Attributes
    ----------
    image : Image
        With the slot that it had at first, if viewers can see that.
    holds : int
        How many transmissions need the slot.
    """

    image: Image
    slot: PooledSlot | None = None
    place: Place | None = None
    holds: int = 0

    @property
    def exists(self) -> bool:
        return self.slot is not None or self.place is not None


class Outbox:
    """Takes images within a window of memory; moves them to disk as it fills.

    Parameters
    ----------
    pool : SlotPool
    spool : Spool
    overflow : {"wait", "drop"}
        Where neither memory nor disk has room: wait for the viewers, or drop the image. Both are counted.
    wait_s : float
        How long to wait at most; the image is dropped then, and others are at once until a viewer takes something.
    replay : bool
        Whether what all viewers have is kept for those that come later, as long as there is room.
    added : callable
        Called after every image taken, with its bytes.
    """

    def __init__(
        self,
        pool: SlotPool,
        spool: Spool,
        overflow: Literal["wait", "drop"],
        wait_s: float,
        replay: bool,
        added: Callable[[int], None],
    ) -> None:
        self._pool, self._spool = pool, spool
        self._overflow, self._wait_s, self._replay, self._added = overflow, wait_s, replay, added
        self.entries: list[Entry] = []
        self._in_memory: dict[int, Entry] = {}
        self._changed = threading.Condition()
        self._waiting = self._awaiting = 0
        self._closed = False
        self._stuck = ""
        self._hopeless = self._told = False
        self._oldest_on_disk = 0
        self._given_back = 0.0
        self._size = 0
        self.delivered_below = 0
        self.dropped: list[Image] = []
        self.waited_s = 0.0
        self._thread = threading.Thread(target=self._move, name="openhcs-spool", daemon=True)
        self._thread.start()

    @property
    def window(self) -> int:
        """Bytes of memory."""
        return self._pool.limit

    def put(self, array: np.ndarray, dtype: str, image: Callable[[int, Slot | None], Image]) -> Entry:
        """Take an image; `image` makes it, given number and slot. It does not exist where there was no room for it."""
        nbytes = array.nbytes
        self._await(nbytes)
        slot = self._pool.take(nbytes) or self._make_room(nbytes)
        if slot is not None and nbytes:
            target = np.frombuffer(slot.data, DTYPES[dtype]).reshape(array.shape)
            np.copyto(target, array, casting="equiv")
        place = slot.place if slot else None
        with self._changed:
            seq = len(self.entries) + 1
            entry = Entry(image(seq, place), slot)
            self.entries.append(entry)
            if slot is None:
                self.dropped.append(entry.image)
            else:
                self._in_memory[seq] = entry
                self._stuck = ""
            self._size = nbytes
            if self._something_to_do():
                self._changed.notify_all()
        self._added(nbytes)
        return entry

    def hold(self, entry: Entry) -> PooledSlot | memoryview | None:
        """The bytes of an image, to be sent: its slot, held until `release`, or a copy from disk; None if gone."""
        with self._changed:
            if entry.slot is not None:
                entry.holds += 1
                return entry.slot
            place = entry.place
        if place is None:
            return None
        try:
            return self._spool.read(place)
        except StreamingError as error:
            logger.error("%s An image is lost to viewers that do not have it yet.", error)
            self._forget(entry)
            return None

    def release(self, entries: Sequence[Entry]) -> None:
        """Transmissions do not need these slots any more."""
        with self._changed:
            self._stuck, self._hopeless = "", False
            for entry in entries:
                entry.holds -= 1
                self._let_go(entry)
            if self._waiting or self._awaiting or self._pool_is_full():
                self._changed.notify_all()

    def delivered(self, below: int) -> None:
        """All viewers have every image before this index."""
        if below != self.delivered_below:
            with self._changed:
                before, self.delivered_below = self.delivered_below, below
                self._stuck, self._hopeless = "", False
                for entry in self.entries[before:below]:
                    self._let_go(entry)
                self._oldest_on_disk = min(self._oldest_on_disk, below)
                if self._waiting or self._awaiting:
                    self._changed.notify_all()

    def give_up(self) -> None:
        """Nobody takes anything any more: what finds no room is dropped at once."""
        self._overflow = "drop"

    def abort(self) -> None:
        """Nobody waits for room any more: what has none is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Stop moving; the slots and the spool are for their owner to close."""
        self.abort()
        self._thread.join()

    def _pool_is_full(self) -> bool:
        return self._pool.used > 0.75 * self._pool.limit or bool(self._waiting)

    def _something_to_do(self) -> bool:
        return self._pool_is_full() or self._is_short()

    def _is_short(self) -> bool:
        """Whether slots should be made: few are free, and no viewer is giving any back."""
        return bool(self._size) and not self._is_flowing() and self._pool.free(self._size) < _AHEAD

    def _let_go(self, entry: Entry) -> None:
        """What is kept for nobody makes room at once."""
        if not self._replay and entry.slot and not entry.holds and entry.image.seq <= self.delivered_below:
            slot, entry.slot = entry.slot, None
            self._in_memory.pop(entry.image.seq, None)
            self._pool.give(slot)
            self._given_back = time.monotonic()

    def _await(self, nbytes: int) -> None:
        """Wait while a warm slot is likely to come back in less time than it takes to make one."""
        if not self._is_cold(nbytes):
            return
        deadline = time.monotonic() + nbytes / _MAKING_BYTES_S
        with self._changed:
            self._awaiting += 1
            try:
                while self._is_cold(nbytes) and time.monotonic() < deadline:
                    self._changed.wait(0.001)
            finally:
                self._awaiting -= 1

    def _is_cold(self, nbytes: int) -> bool:
        """Whether all warm slots are in use, and some are coming back."""
        used = self._pool.used
        return used > 0 and used + nbytes > max(_WARM_BYTES, _WARM_SLOTS * (nbytes + PAGE)) and self._is_flowing()

    def _is_flowing(self) -> bool:
        return time.monotonic() - self._given_back < _FLOWING_S

    def _make_room(self, nbytes: int) -> PooledSlot | None:
        begin = time.monotonic()
        with self._changed:
            self._waiting += 1
            try:
                while not self._closed:
                    self._changed.notify_all()
                    slot = self._pool.take(nbytes)
                    waited = time.monotonic() - begin
                    if slot is not None:
                        return slot
                    if self._stuck and (self._overflow == "drop" or self._hopeless or waited > self._wait_s):
                        self._hopeless = True
                        return None
                    self._changed.wait(0.05)
                return None
            finally:
                self._waiting -= 1
                self.waited_s += time.monotonic() - begin

    def _move(self) -> None:
        """Thread: images go from memory to disk while memory is short."""
        while (entry := self._next_to_move()) is not None:
            assert entry.slot is not None
            unneeded = not self._replay and entry.image.seq <= self.delivered_below
            place, problem = (None, "") if unneeded else self._store(entry.slot)
            with self._changed:
                entry.holds -= 1
                if entry.holds:  # it went on its way meanwhile: it stays
                    if place:
                        self._spool.drop(place)
                elif place is None and entry.image.seq > self.delivered_below:
                    self._stuck = problem
                    self._changed.notify_all()
                    self._changed.wait(0.05)
                else:
                    slot, entry.slot, entry.place = entry.slot, None, place
                    del self._in_memory[entry.image.seq]
                    self._oldest_on_disk = min(self._oldest_on_disk, entry.image.seq - 1)
                    self._pool.give(slot)
                    self._stuck = ""
                    self._changed.notify_all()

    def _next_to_move(self) -> Entry | None:
        """Wait until something has to go; None at the end. It is held."""
        with self._changed:
            while not self._closed:
                waited_for = bool(self._waiting)  # before the lock is let go of, in `_stock`
                entry = self._candidate() if self._pool_is_full() else None
                if entry is not None:
                    entry.holds += 1
                    return entry
                if self._stock():
                    continue
                if waited_for:
                    self._stuck = "all that is in memory is on its way to a viewer"
                    self._changed.notify_all()
                self._changed.wait(0.1 if self._waiting else None)
            return None

    def _stock(self) -> bool:
        """Make slots before they are needed; whether some were made."""
        if not self._is_short():
            return False
        self._changed.release()
        try:
            return self._pool.stock(self._size, _AHEAD)
        finally:
            self._changed.acquire()

    def _store(self, slot: PooledSlot) -> tuple[Place | None, str]:
        """Write to disk; what every viewer has goes from there first if there is no room."""
        while True:
            try:
                place = self._spool.write(slot.pages, slot.nbytes)
            except StreamingError as error:
                logger.log(logging.DEBUG if self._told else logging.WARNING, "%s", error)
                self._told = True
                return None, str(error)
            if place is not None:
                return place, ""
            with self._changed:
                while self._oldest_on_disk < self.delivered_below:
                    entry = self.entries[self._oldest_on_disk]
                    self._oldest_on_disk += 1
                    if entry.place is not None:
                        break
                else:
                    return None, "scratch has no room"
            self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        with self._changed:
            place, entry.place = entry.place, None
        if place is not None:
            self._spool.drop(place)

    def _candidate(self) -> Entry | None:
        """What to move next: what all viewers have; else what they need last."""
        for entry in self._in_memory.values():
            if entry.image.seq > self.delivered_below:
                break
            if not entry.holds:
                return entry
        if not self._spool.limit:
            return None
        return next((entry for entry in reversed(self._in_memory.values()) if not entry.holds), None)
