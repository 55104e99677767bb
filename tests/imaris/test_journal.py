"""Part and journal together: whatever is lost of the one or the other, what is read back is a whole step."""

import os
import random

import pytest

from openhcs_core.imaris import ImsWriteError
from openhcs_core.imaris.journal import Step, read_journal, remove_journal, write_journal
from openhcs_core.imaris.partfile import PartFile

STEP = Step("me", 100, [(3, b"abc"), (90, bytes(range(10)))], {"volumes": [[0, 1, [0.1, 7.0]], [0, 2, None]]})


def test_a_step_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "journal"
    write_journal(path, STEP)
    assert read_journal(path) == STEP
    assert list(tmp_path.iterdir()) == [path]
    remove_journal(path)
    assert read_journal(path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_journal_is_none(tmp_path):
    path = tmp_path / "journal"
    write_journal(path, STEP)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :])
        assert read_journal(path) is None, position
        path.write_bytes(content[:position])
        assert read_journal(path) is None, position


@pytest.mark.parametrize("content", [b"", b"00000000\n", b"x\n{}", b"99f8b879\n[]\n", b"not a journal"])
def test_what_is_no_journal_is_none(content, tmp_path):
    (tmp_path / "journal").write_bytes(content)
    assert read_journal(tmp_path / "journal") is None


def content_of(part):
    buffer = bytearray(os.fstat(part._descriptor).st_size)
    part.seek(0)
    assert part.readinto(buffer) == len(buffer)
    return bytes(buffer)


def write_at(part, offset, content):
    part.seek(offset)
    part.write(content)


def test_changes_to_what_is_kept_wait_for_the_next_step(tmp_path):
    part = PartFile(tmp_path / "a.ims", "me")
    write_at(part, 0, b"0123456789")
    assert not part.saved
    part.save({"step": 1})
    assert part.saved
    write_at(part, 8, b"XYZ")  # the first two bytes change what is kept, the last one is new
    write_at(part, 1, b"ab")
    write_at(part, 2, b"c")
    assert content_of(part) == b"0ac34567XYZ"
    assert part.path.read_bytes() == b"0123456789Z"
    part.save({"step": 2})
    assert part.path.read_bytes() == b"0ac34567XYZ"
    write_at(part, 0, b"?")
    part.truncate(5)  # as HDF5 does when the end of a file becomes free
    assert part.path.read_bytes() == b"0ac34567XYZ"
    part.suspend()
    again = PartFile(tmp_path / "a.ims", "me")
    assert again.state == {"step": 2}
    assert content_of(again) == b"0ac34567XYZ"
    again.commit()
    assert (tmp_path / "a.ims").read_bytes() == b"0ac34567XYZ"
    assert [item.name for item in tmp_path.iterdir()] == ["a.ims"]


def test_what_is_placed_is_written_later(tmp_path):
    part = PartFile(tmp_path / "a.ims", "me")
    content = b"0123456789"
    write_at(part, 0, b"head")
    place = part.place(content, lambda: part.write(content))
    write_at(part, 14, b"tail")
    assert part.path.read_bytes() == b"head" + bytes(10) + b"tail"
    part.fill(place)
    assert part.path.read_bytes() == b"head0123456789tail"
    part.save({})
    part.seek(4)  # what changes what is kept waits; what HDF5 writes from elsewhere is written at once
    part.fill(part.place(b"ABC", lambda: part.write(b"AB") and part.write(b"C")))
    copied = bytearray(b"more")
    part.seek(18)
    assert part.place(b"more", lambda: part.write(copied)).offset is None
    assert part.path.read_bytes() == b"head0123456789tailmore"
    assert content_of(part) == b"headABC3456789tailmore"
    part.save({})
    assert part.path.read_bytes() == b"headABC3456789tailmore"


def test_a_file_that_ends_earlier_than_before(tmp_path):
    part = PartFile(tmp_path / "a.ims", "me")
    write_at(part, 0, b"0123456789")
    part.save({})
    part.truncate(4)
    part.save({})
    assert part.path.read_bytes() == b"0123"
    part.suspend()
    assert content_of(PartFile(tmp_path / "a.ims", "me")) == b"0123"


@pytest.mark.parametrize("identity", ["other", None])
def test_what_another_export_left_is_discarded(identity, tmp_path):
    part = PartFile(tmp_path / "a.ims", "me")
    write_at(part, 0, b"0123456789")
    part.save({})
    part.suspend()
    other = PartFile(tmp_path / "a.ims", identity)
    assert other.state is None
    assert content_of(other) == b""
    assert [item.name for item in tmp_path.iterdir()] == ["a.ims.part"]
    other.close()


def test_a_journal_without_its_part_is_discarded(tmp_path):
    part = PartFile(tmp_path / "a.ims", "me")
    write_at(part, 0, b"0123456789")
    part.save({})
    part.suspend()
    part.path.write_bytes(b"0123")
    assert PartFile(tmp_path / "a.ims", "me").state is None


def test_nothing_saved_is_nothing_left(tmp_path):
    part = PartFile(tmp_path / "a.ims", "me")
    write_at(part, 0, b"0123456789")
    part.suspend()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fails_while_progress_is_saved(tmp_path, monkeypatch):
    part = PartFile(tmp_path / "a.ims", "me")
    write_at(part, 0, b"0123456789")
    part.save({"step": 1})
    write_at(part, 0, b"???")

    def refuse(descriptor):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("openhcs_core.imaris.partfile.os.fsync", refuse)
        with pytest.raises(ImsWriteError, match=r"disk is full.* is kept in a.ims.part, and the same export goes on"):
            part.save({"step": 2})
    part.suspend()
    again = PartFile(tmp_path / "a.ims", "me")
    assert (again.state, content_of(again)) == ({"step": 1}, b"0123456789")


class PowerCut(BaseException):
    pass


class Disk:
    """What is safe of the part: all up to the last fsync; of later changes any may be lost."""

    def __init__(self, part, monkeypatch, cut, seed):
        self.safe = b""
        self.pending = []
        self._left = cut
        self._random = random.Random(seed)
        for name in ("pwrite", "ftruncate", "fsync", "replace"):
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name), part))

    def _watched(self, name, real, part):
        def call(first, *rest, **named):
            if self._left == 0:
                raise PowerCut
            self._left -= 1
            result = None if name == "fsync" else real(first, *rest, **named)
            if first == part._descriptor:
                if name == "fsync":
                    self.safe, self.pending = self.after(self.pending), []
                else:
                    self.pending.append((name, *((bytes(rest[0]), rest[1]) if name == "pwrite" else rest)))
            return result

        return call

    def after(self, changes):
        content = bytearray(self.safe)
        for name, *arguments in changes:
            if name == "ftruncate":
                content = content[: arguments[0]].ljust(arguments[0], b"\0")
            else:
                data, offset = arguments
                content = content.ljust(offset + len(data), b"\0")
                content[offset : offset + len(data)] = data
        return bytes(content)

    def left_by_a_power_cut(self):
        return self.after([change for change in self.pending if self._random.random() < 0.5])


@pytest.mark.parametrize("cut", range(36))
def test_a_power_cut_at_any_moment_leaves_a_whole_step(cut, tmp_path):
    for seed in range(10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        wanted = random.Random(seed)
        part = PartFile(folder / "a.ims", "me")
        model, steps = bytearray(), {None: b""}
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(part, patch, cut, seed)
            try:
                for step in range(4):
                    for _ in range(5):
                        data = wanted.randbytes(wanted.randint(1, 20))
                        offset = wanted.randint(0, len(model))
                        write_at(part, offset, data)
                        model[offset : offset + len(data)] = data
                    steps[step] = bytes(model)
                    part.save({"step": step})
            except PowerCut:
                pass
        part.close()
        part.path.write_bytes(disk.left_by_a_power_cut())
        found = PartFile(folder / "a.ims", "me")
        step = found.state["step"] if found.state else None
        assert content_of(found) == steps[step], (seed, step)
        found.close()
