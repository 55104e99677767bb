"""Memory for planes on their way: slots of warm segments, shared with viewers of this machine where that is possible.

A new segment costs as much as copying the plane twenty times (page faults), so slots are used again and again. Their
owner is the publisher: it alone makes and removes segments. Readers only map them, read-only. In the 64 bytes before
each slot stands a ticket that changes whenever the slot is given to something else, so that whoever reads too late
notices.
"""

from __future__ import annotations

import itertools
import logging
import mmap
import os
import re
import stat
import struct
import threading
from contextlib import suppress
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.identity import process_start
from openhcs_core.streaming.messages import Slot

logger = logging.getLogger(__name__)

MARGIN = 64
"""Bytes before each slot; the first eight are its ticket."""

_FOLDER = Path("/dev/shm")
_PREFIX = "openhcs"
_NAME = re.compile(rf"{_PREFIX}-(\d+)-(\d+)-(\d+)-\d+")
_GRAIN = 4096
_SEGMENT_BYTES = 4 << 20
_TICKET = struct.Struct("<Q")
_numbers = itertools.count()


class PooledSlot:
    """A slot of a `SlotPool`, held by one owner at a time.

    Attributes
    ----------
    nbytes : int
        Of what is in it.
    """

    def __init__(self, segment: _Segment, offset: int) -> None:
        self._segment, self._offset = segment, offset
        self.nbytes = 0
        self.ticket = 0

    @property
    def capacity(self) -> int:
        return self._segment.slot_bytes

    @property
    def data(self) -> memoryview:
        """What is in it, writable."""
        return self._segment.view[self._offset : self._offset + self.nbytes]

    @property
    def pages(self) -> memoryview:
        """The same, and what follows to the end of the page."""
        return self._segment.view[self._offset : self._offset + _rounded(self.nbytes)]

    @property
    def place(self) -> Slot | None:
        """How a reader finds it; None where nobody else can."""
        if self._segment.shared is None:
            return None
        return Slot(segment=self._segment.shared.name.lstrip("/"), offset=self._offset, ticket=self.ticket)

    def stamp(self) -> None:
        """Make what earlier readers know of it invalid."""
        self.ticket = next(_numbers) + 1
        _TICKET.pack_into(self._segment.view, self._offset - MARGIN, self.ticket)


class _Segment:
    """One piece of memory, cut into slots of one size."""

    def __init__(self, slot_bytes: int, slots: int, shared: bool) -> None:
        self.slot_bytes = slot_bytes
        stride = slot_bytes + _GRAIN  # whole pages, so that slots begin on one
        self.nbytes = slots * stride
        self.shared = _new_shared(self.nbytes) if shared else None
        self._private = None if self.shared else mmap.mmap(-1, self.nbytes)
        self.view = memoryview(self.shared.buf if self.shared else self._private)  # type: ignore[arg-type]
        np.frombuffer(self.view, np.uint8)[::_GRAIN] = 0  # so that its pages are there, which is slow, at once
        self.slots = [PooledSlot(self, number * stride + _GRAIN) for number in range(slots)]
        self.used = 0

    def close(self) -> None:
        """Give the memory back; what somebody still reads from stays until they are done, under no name."""
        with suppress(BufferError):
            self.view.release()
        if self.shared:
            with suppress(FileNotFoundError):  # somebody cleaned up
                self.shared.unlink()
            with suppress(BufferError):
                self.shared.close()
        elif self._private:
            with suppress(BufferError):
                self._private.close()


class SlotPool:
    """Slots within a limit of bytes. Safe for threads.

    Parameters
    ----------
    limit : int
        Bytes.
    shared : bool
        Whether viewers of this machine may read from them. Where shared memory is not to be had, or not enough of it,
        they are private, and this becomes false.
    """

    def __init__(self, limit: int, shared: bool = True) -> None:
        self._limit = limit
        self._segments: list[_Segment] = []
        self._free: dict[int, list[PooledSlot]] = {}
        self._lock = threading.Lock()
        self.allocated = 0
        self.peak = 0
        self.used = 0
        self.shared = shared and _FOLDER.is_dir() and hasattr(os, "posix_fallocate")
        if self.shared:
            sweep()

    @property
    def limit(self) -> int:
        return self._limit

    def take(self, nbytes: int, grow: bool = True, alone: bool = False) -> PooledSlot | None:
        """A slot for so many bytes; None if there is no room. Give it back with `give`.

        Parameters
        ----------
        nbytes : int
        grow : bool
            Whether a segment may be made for it, which takes its time.
        alone : bool
            Whether no others of its size are to be made with it.
        """
        size = _rounded(nbytes)
        with self._lock:
            free = self._free.get(size)
            if not free and not (grow and self._grow(size, alone)):
                return None
            slot = self._free[size].pop()
            slot._segment.used += 1
            self.used += size + _GRAIN
        slot.nbytes = nbytes
        slot.stamp()
        return slot

    def free(self, nbytes: int) -> int:
        """How many free slots there are for so many bytes each."""
        return len(self._free.get(_rounded(nbytes), ()))

    def stock(self, nbytes: int, slots: int) -> bool:
        """Have so many free slots ready for so many bytes each; false if there is no room for all."""
        size = _rounded(nbytes)
        count = self._slots(size, False)
        with self._lock:
            if len(self._free.get(size, [])) >= slots or not self._reserve(count * (size + _GRAIN)):
                return False
        segment = self._segment(size, count)  # not under the lock: it takes its time
        with self._lock:
            self._adopt(segment)
        return True

    def give(self, slot: PooledSlot) -> None:
        """Give a slot back."""
        slot.stamp()
        with self._lock:
            self._free[slot.capacity].append(slot)
            slot._segment.used -= 1
            self.used -= slot.capacity + _GRAIN

    def close(self) -> None:
        """Give everything back; slots that are still held are void."""
        with self._lock:
            for segment in self._segments:
                segment.close()
            self._segments.clear()
            self._free.clear()

    def _grow(self, size: int, alone: bool) -> bool:
        """Make slots of a size, if need be in place of free ones of other sizes. A single slot always finds room."""
        slots = self._slots(size, alone)
        need = slots * (size + _GRAIN)
        for segment in [segment for segment in self._segments if not segment.used]:
            if self.allocated + need <= self._limit:
                break
            self._drop(segment)
        if not self._reserve(need, always=not self._segments):
            return False
        self._adopt(self._segment(size, slots))
        return True

    def _reserve(self, nbytes: int, always: bool = False) -> bool:
        if not always and self.allocated + nbytes > self._limit:
            return False
        self.allocated += nbytes
        self.peak = max(self.peak, self.allocated)
        return True

    def _slots(self, size: int, alone: bool) -> int:
        return 1 if alone else max(min(_SEGMENT_BYTES // size, self._limit // (4 * size)), 1)

    def _segment(self, size: int, slots: int) -> _Segment:
        try:
            return _Segment(size, slots, self.shared)
        except OSError as error:
            logger.warning("Shared memory cannot be had (%s): images go inside the messages.", error.strerror)
            self.shared = False
        try:
            return _Segment(size, slots, False)
        except OSError:
            self.allocated -= slots * (size + _GRAIN)
            raise

    def _adopt(self, segment: _Segment) -> None:
        self._segments.append(segment)
        self._free.setdefault(segment.slot_bytes, []).extend(segment.slots)

    def _drop(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        self.allocated -= segment.nbytes
        gone = set(map(id, segment.slots))
        self._free[segment.slot_bytes] = [slot for slot in self._free[segment.slot_bytes] if id(slot) not in gone]
        segment.close()


class SlotReader:
    """Reads slots of other processes; what has been mapped once stays so. For one thread."""

    def __init__(self, keep: int = 1024) -> None:
        self._keep = keep
        self._maps: dict[str, tuple[mmap.mmap, np.ndarray]] = {}

    def copy(self, slot: Slot, target: np.ndarray) -> None:
        """Copy a slot into an array of as many bytes.

        Parameters
        ----------
        slot : Slot
        target : ndarray
            One-dimensional, uint8.

        Raises
        ------
        StreamingError
            If it cannot be read, or holds something else by now; what is in `target` is void then.
        """
        memory = self._map(slot.segment)
        if slot.offset + target.nbytes > memory.nbytes:
            raise StreamingError("The slot lies outside its segment.")
        self._check(memory, slot)
        np.copyto(target, memory[slot.offset : slot.offset + target.nbytes])
        self._check(memory, slot)

    def forget(self, segment: str) -> None:
        """Unmap a segment."""
        kept = self._maps.pop(segment, None)
        if kept:
            mapped = kept[0]
            del kept
            with suppress(BufferError):
                mapped.close()

    def close(self) -> None:
        """Unmap everything."""
        for segment in list(self._maps):
            self.forget(segment)

    def _check(self, memory: np.ndarray, slot: Slot) -> None:
        if slot.ticket and _TICKET.unpack_from(memory.data, slot.offset - MARGIN)[0] != slot.ticket:
            raise StreamingError("The slot holds something else by now.")

    def _map(self, segment: str) -> np.ndarray:
        if segment not in self._maps:
            while len(self._maps) >= self._keep:
                self.forget(next(iter(self._maps)))
            try:
                file = os.open(_FOLDER / segment, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError as error:
                raise StreamingError("The segment of shared memory cannot be opened here.") from error
            try:
                facts = os.fstat(file)
                if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.getuid() or not facts.st_size:
                    raise StreamingError("The segment of shared memory belongs to somebody else.")
                mapped = mmap.mmap(file, facts.st_size, prot=mmap.PROT_READ)
            finally:
                os.close(file)
            self._maps[segment] = mapped, np.frombuffer(mapped, np.uint8)
        return self._maps[segment][1]


def _rounded(nbytes: int) -> int:
    return max(-(-nbytes // _GRAIN), 1) * _GRAIN


def sweep() -> list[str]:
    """Remove segments whose owner is gone; return their names. Only those that a `SlotPool` made."""
    removed = []
    for path in _FOLDER.glob(f"{_PREFIX}-*"):
        found = _NAME.fullmatch(path.name)
        if found and int(found[1]) == _namespace() and process_start(int(found[2])) != int(found[3]):
            with suppress(OSError):  # another one's, or gone meanwhile
                path.unlink()
                removed.append(path.name)
    return removed


def remove_foreign(segment: str) -> None:
    """Remove a segment that its publisher leaves to the viewer, as the first ones did; never one of a `SlotPool`."""
    if not segment.startswith(_PREFIX) and re.fullmatch(r"psm_[A-Za-z0-9_]+|[A-Za-z0-9_]{1,60}", segment):
        with suppress(OSError):
            (_FOLDER / segment).unlink()


def _namespace() -> int:
    """Within which a pid means this process: containers may share memory, but not pids."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _new_shared(nbytes: int) -> SharedMemory:
    """A segment all of whose bytes exist; else writing would end the process (SIGBUS)."""
    name = f"{_PREFIX}-{_namespace()}-{os.getpid()}-{process_start(os.getpid())}-{next(_numbers)}"
    shared = SharedMemory(name, create=True, size=nbytes)
    try:
        file = os.open(_FOLDER / name, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.posix_fallocate(file, 0, nbytes)
        finally:
            os.close(file)
    except OSError:
        shared.close()
        shared.unlink()
        raise
    return shared
