"""Folders of exports: private, for one process at a time, kept only for what can be gone on with, swept when old."""

import contextlib
import fcntl
import os
import threading
import time

import pytest

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.scratch import KEPT_DAYS, sweep, sweep_parts, workplace

LATER = time.time() + (KEPT_DAYS + 1) * 86400


def never():
    raise AssertionError("there is nobody to wait for")


def base(scratch):
    return scratch / f"openhcs-ims-{os.getuid()}"


def abandon(scratch, name="image_1 abc"):
    """What a killed export leaves; returns its folder."""
    with contextlib.suppress(KeyboardInterrupt), workplace(scratch, 5, name, never) as (folder, _):
        (folder / "a.ims.part").write_bytes(b"half")
        raise KeyboardInterrupt
    return folder


def test_a_folder_of_ones_own(tmp_path):
    with workplace(tmp_path, 5, "image_1 abc", never) as (folder, waited):
        assert folder == base(tmp_path) / "5" / "image_1 abc"
        assert not waited
        assert base(tmp_path).stat().st_mode & 0o777 == folder.stat().st_mode & 0o777 == 0o700
        (folder / "a.ims").write_bytes(b"made")
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_gone_on_with_is_kept(tmp_path):
    folder = abandon(tmp_path)
    with workplace(tmp_path, 5, "image_1 abc", never) as (again, _):
        assert again == folder
        assert (folder / "a.ims.part").read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == []


def test_a_failure_that_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), workplace(tmp_path, 5, "image_1 abc", never):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_one_at_a_time(tmp_path):
    inside, seen = [], []

    def work():
        with workplace(tmp_path, 5, "image_1 abc", lambda: None) as (folder, waited):
            inside.append(1)
            seen.append((len(inside), waited))
            (folder / "a.ims").touch()
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    with workplace(tmp_path, 5, "image_1 abc", never):
        for thread in threads:
            thread.start()
        time.sleep(0.3)
    for thread in threads:
        thread.join(30)
    assert seen == [(1, True)] * 4
    assert list(tmp_path.iterdir()) == []


def test_waiting_can_be_ended(tmp_path):
    def stop():
        raise KeyboardInterrupt

    with (
        workplace(tmp_path, 5, "image_1 abc", never),
        pytest.raises(KeyboardInterrupt),
        workplace(tmp_path, 5, "image_1 abc", stop),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "open to others", "file"])
def test_a_folder_that_somebody_else_has_prepared_is_refused(kind, tmp_path):
    scratch, bait = tmp_path / "scratch", tmp_path / "bait"
    scratch.mkdir()
    bait.mkdir(mode=0o700)
    if kind == "link":
        base(scratch).symlink_to(bait)
    elif kind == "file":
        base(scratch).touch(mode=0o600)
    else:
        base(scratch).mkdir()
        base(scratch).chmod(0o777)
    with (
        pytest.raises(OmeroError, match="belongs to somebody else or is open to others"),
        workplace(scratch, 5, "image_1 abc", never),
    ):
        pass
    sweep(scratch, LATER)
    assert list(bait.iterdir()) == []
    assert os.path.lexists(base(scratch))


def test_a_folder_of_another_user_of_the_machine_is_refused(tmp_path, monkeypatch):
    (tmp_path / "openhcs-ims-12345").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(OmeroError, match="belongs to somebody else"), workplace(tmp_path, 5, "image_1 abc", never):
        pass


def test_no_scratch(tmp_path):
    with (
        pytest.raises(OmeroError, match="none cannot be used: No such file or directory"),
        workplace(tmp_path / "none", 5, "image_1 abc", never),
    ):
        pass


def test_a_file_system_without_locks(tmp_path, monkeypatch, caplog):
    def refuse(descriptor, operation):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with workplace(tmp_path, 5, "image_1 abc", never):
        pass
    assert "are not kept apart: No locks available" in caplog.text
    abandon(tmp_path)
    sweep(tmp_path, LATER)
    assert base(tmp_path).is_dir()


def test_old_leftovers_are_swept(tmp_path):
    folder = abandon(tmp_path)
    sweep(tmp_path, LATER - 2 * 86400)
    assert folder.is_dir()
    sweep(tmp_path, LATER)
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_use_is_not_swept(tmp_path):
    with workplace(tmp_path, 5, "image_1 abc", never) as (folder, _):
        (folder / "a.ims.part").write_bytes(b"half")
        sweep(tmp_path, LATER)
        assert (folder / "a.ims.part").exists()
    assert list(tmp_path.iterdir()) == []


def test_going_on_makes_a_leftover_young(tmp_path):
    folder = abandon(tmp_path)
    old = time.time() - (KEPT_DAYS + 1) * 86400
    for path in folder.iterdir():
        os.utime(path, (old, old))
    with workplace(tmp_path, 5, "image_1 abc", never):
        pass
    folder = abandon(tmp_path)
    sweep(tmp_path)
    assert folder.is_dir()


def test_old_parts_of_the_servers_folder_are_swept(tmp_path):
    for name in ("image_1/a.ims.part", "image_1/a.ims.part.journal", "image_2/b.ims", "image_2/b.ims.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with (tmp_path / "image_2/b.ims.part").open() as living:
        fcntl.flock(living, fcntl.LOCK_EX)
        sweep_parts(tmp_path)
        assert len(list(tmp_path.glob("*/*"))) == 4
        sweep_parts(tmp_path, LATER)
        assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == [
            "image_2", "image_2/b.ims", "image_2/b.ims.part",
        ]  # fmt: skip
    sweep_parts(tmp_path, LATER)
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["b.ims"]
