"""Slots of memory, shared or not, and what is on disk."""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from openhcs_core.streaming import slots, spool
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Slot
from openhcs_core.streaming.slots import SlotPool, SlotReader, remove_foreign, sweep
from openhcs_core.streaming.spool import PAGE, Spool
from tests.streaming.peers import SHM, segments


@pytest.fixture
def pool():
    pool = SlotPool(32 << 20)
    yield pool
    pool.close()


def fill(slot, value: int) -> None:
    np.frombuffer(slot.data, np.uint8)[:] = value


def test_slots_are_used_again_and_stay_within_the_limit(pool):
    taken = []
    while (slot := pool.take(1 << 20)) is not None:
        taken.append(slot)
    assert 24 <= len(taken) <= 32
    assert pool.allocated <= 32 << 20
    names = segments()
    for slot in taken:
        pool.give(slot)
    assert pool.take(1 << 20) is not None
    assert segments() == names
    assert pool.peak == pool.allocated


def test_room_goes_to_the_size_that_is_needed(pool):
    for slot in [pool.take(1 << 20) for _ in range(20)]:
        pool.give(slot)
    held = pool.take(3 << 20)
    assert held is not None
    assert sum(pool.take(3 << 20) is not None for _ in range(20)) >= 8
    assert pool.allocated <= 32 << 20


def test_something_larger_than_the_limit_finds_room_alone():
    pool = SlotPool(1 << 20)
    slot = pool.take(5 << 20)
    assert len(slot.data) == 5 << 20
    assert pool.take(1) is None
    pool.close()


def test_a_reader_sees_what_the_owner_wrote_until_the_slot_is_something_else(pool):
    reader, target = SlotReader(), np.zeros(100_000, np.uint8)
    slot = pool.take(100_000)
    fill(slot, 5)
    place = slot.place
    reader.copy(place, target)
    assert (target == 5).all()
    pool.give(slot)
    with pytest.raises(StreamingError, match="something else"):
        reader.copy(place, target)
    reader.close()


def test_a_torn_copy_is_noticed(pool, monkeypatch):
    slot = pool.take(1000)
    place = slot.place
    copy = np.copyto

    def interrupted(target, source):
        copy(target, source)
        slot.stamp()

    monkeypatch.setattr(slots.np, "copyto", interrupted)
    with pytest.raises(StreamingError, match="something else"):
        SlotReader().copy(place, np.zeros(1000, np.uint8))


@pytest.mark.parametrize("segment", ["absent", "..", "openhcs-link", "openhcs-folder", "openhcs-empty"])
def test_what_is_no_segment_cannot_be_read(segment, tmp_path):
    made = SHM / "openhcs-link", SHM / "openhcs-folder", SHM / "openhcs-empty"
    made[0].symlink_to("/etc/passwd")
    made[1].mkdir()
    made[2].touch()
    try:
        with pytest.raises(StreamingError):
            SlotReader().copy(Slot(segment=segment, offset=0, ticket=0), np.zeros(8, np.uint8))
    finally:
        made[0].unlink()
        made[1].rmdir()
        made[2].unlink()


@pytest.mark.parametrize("offset", [2**20, 2**40, 2**62])
def test_what_lies_outside_is_not_read(pool, offset):
    segment = pool.take(10).place.segment
    with pytest.raises(StreamingError, match="outside"):
        SlotReader().copy(Slot(segment=segment, offset=2**30 + offset, ticket=0), np.zeros(8, np.uint8))


def test_readers_keep_few_segments(pool):
    reader = SlotReader(keep=2)
    for _ in range(5):
        slot = pool.take(4 << 20)
        reader.copy(slot.place, np.zeros(8, np.uint8))
    assert len(reader._maps) == 2
    reader.close()


def test_a_reader_in_another_process_leaves_the_segment_alone(pool):
    slot = pool.take(1000)
    fill(slot, 9)
    place = slot.place
    code = (
        "import numpy as np; from openhcs_core.streaming.slots import SlotReader, Slot\n"
        f"target = np.zeros(1000, np.uint8); SlotReader().copy({place!r}, target); print(target.sum())"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert (done.stdout.strip(), done.stderr) == ("9000", "")
    assert place.segment in segments()


def test_without_room_for_sharing_memory_is_private(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    pool = SlotPool(8 << 20)
    slot = pool.take(1 << 20)
    fill(slot, 1)
    assert slot.place is None
    assert not pool.shared
    assert segments() == []
    pool.close()


def test_sweep_removes_only_what_an_owner_left_who_is_gone(pool):
    pool.take(10)
    mine = segments()
    namespace = os.stat("/proc/self/ns/pid").st_ino
    left = [f"openhcs-{namespace}-{os.getpid()}-1-0", f"openhcs-{namespace}-99999999-5-0"]
    others = [f"openhcs-1-{os.getpid()}-1-0", "openhcs-notes"]
    for name in left + others:
        (SHM / name).touch()
    try:
        assert sorted(sweep()) == sorted(left)
        assert segments() == sorted(mine + others)
    finally:
        for name in others:
            (SHM / name).unlink()


def test_segments_of_others_are_removed_only_by_plain_names(tmp_path):
    (SHM / "psm_test0815").touch()
    for name in ("openhcs-1-2-3-4", "../shm/psm_test0815", "psm_absent"):
        remove_foreign(name)
    assert (SHM / "psm_test0815").exists()
    remove_foreign("psm_test0815")
    assert not (SHM / "psm_test0815").exists()


def test_threads_never_share_a_slot(pool):
    problems = []

    def work(value):
        chance = random.Random(value)
        for _ in range(300):
            slot = pool.take(chance.choice([10_000, 100_000]))
            if slot is None:
                continue
            fill(slot, value)
            if (np.frombuffer(slot.data, np.uint8) != value).any():
                problems.append(value)
            pool.give(slot)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert pool.used == 0


def pages(data: bytes) -> memoryview:
    """Bytes in memory as slots are: whole pages that begin on one."""
    memory = mmap.mmap(-1, -(-len(data) // PAGE) * PAGE)
    memory[: len(data)] = data
    return memoryview(memory)


def test_a_disk_that_is_written_through_the_cache_only(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_DIRECT", 0)
    disk = Spool(tmp_path, 10_000)
    assert disk.read(disk.write(pages(b"abc"), 3)) == b"abc"
    disk.close()


def test_spool_gives_back_what_it_was_given_and_forgets_it(tmp_path):
    disk = Spool(tmp_path, 200 << 20)
    data = [pages(bytes([value]) * (9 << 20)) for value in range(20)]
    places = [disk.write(each, len(each) - value) for value, each in enumerate(data)]
    for value, (place, each) in enumerate(zip(places, data, strict=True)):
        assert disk.read(place) == each[: len(each) - value]
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    files = len(list(folder.iterdir()))
    assert files == 3
    for place in places:
        disk.drop(place)
    assert len(list(folder.iterdir())) == 1
    assert disk.used < 64 << 20
    disk.close()
    assert list(tmp_path.iterdir()) == []


def test_spool_keeps_to_its_limit(tmp_path):
    disk = Spool(tmp_path, 10_000)
    assert disk.write(pages(b"x"), 1) is not None
    assert disk.write(pages(bytes(5000)), 5000) is None
    disk.close()


def test_spool_that_cannot_be_written_or_was_tampered_with(tmp_path):
    with pytest.raises(StreamingError, match="cannot be written"):
        Spool(tmp_path / "absent", 10_000).write(pages(b"x"), 1)
    disk = Spool(tmp_path, 10_000)
    place = disk.write(pages(b"abc"), 3)
    next(next(tmp_path.iterdir()).iterdir()).write_bytes(b"")
    with pytest.raises(StreamingError, match="tampered"):
        disk.read(place)
    disk.close()
