"""Exports that are ended by force go on where they were; two of one file do not clash."""

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from openhcs_core.imaris import ImsCancelled, ImsError, ImsWriteError, ImsWriter, check_ims, write_ims
from tests.imaris.images import camera, noise

ROOT = Path(__file__).parents[2]
IMAGE = camera((3, 2, 12, 150, 140))


def export(path, image=IMAGE, *, until=None, error=KeyboardInterrupt, resume="image 1", **options):
    """Write an image; raise an error before volume number `until` is read. Returns writer and volumes read."""
    seen = []

    def read(t, c, z0, z1, y0, y1):
        if until is not None and t * image.shape[1] + c >= until:
            raise error
        if (t, c) not in seen:
            seen.append((t, c))
        return image[t, c, z0:z1, y0:y1]

    with ImsWriter(path, image.shape, image.dtype, resume=resume, **options) as writer:
        writer._next_save = -1e9  # every volume is saved, however quick it was
        for t, c in np.ndindex(image.shape[:2]):
            writer._next_save = -1e9
            writer.write_volume(t, c, lambda *region, t=t, c=c: read(t, c, *region))
    return writer, seen


def interrupt(path, until, **options):
    error = options.setdefault("error", KeyboardInterrupt)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        export(path, until=until, **options)


def names(folder):
    return sorted(item.name for item in folder.iterdir())


def everything(path):
    """All that a file holds: attributes and arrays of every group."""
    found = {}
    with h5py.File(path) as file:

        def add(name, item):
            found.update({(name, key): value.tobytes() for key, value in item.attrs.items()})
            if isinstance(item, h5py.Dataset):
                found[name] = item.dtype, item.shape, item.chunks, item.compression, item.shuffle, item[()].tobytes()

        add("/", file)
        file.visititems(add)
    return found


@pytest.mark.parametrize("until", range(1, 6))
def test_an_interrupted_export_goes_on_after_its_last_complete_volume(until, tmp_path):
    path = tmp_path / "a.ims"
    interrupt(path, until)
    assert names(tmp_path) == ["a.ims.part", "a.ims.part.journal"]
    writer, seen = export(path)
    assert writer.resumed == until
    assert seen == list(np.ndindex(3, 2))[until:]
    assert names(tmp_path) == ["a.ims"]
    assert check_ims(path, source=IMAGE) == []
    export(tmp_path / "b.ims")
    expected = everything(tmp_path / "b.ims")
    assert {key for key, value in everything(path).items() if value != expected[key]} <= {("DataSetInfo/Image", "Name")}


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16"])
def test_every_pixel_type_goes_on(dtype, tmp_path):
    image = noise((2, 2, 5, 70, 60), dtype)
    for until in (1, 2, 3):
        interrupt(tmp_path / "a.ims", until, image=image)
    writer, seen = export(tmp_path / "a.ims", image)
    assert (writer.resumed, seen) == (3, [(1, 1)])
    assert check_ims(tmp_path / "a.ims", source=image) == []
    with h5py.File(tmp_path / "a.ims") as file:
        text = file["DataSetInfo/Channel 1"].attrs["ColorRange"].tobytes().decode()
    window = np.array(text.split(), float)
    np.testing.assert_allclose(window, (image[:, 1].min(), image[:, 1].max()), rtol=1e-6)


def test_progress_counts_what_was_there(tmp_path):
    interrupt(tmp_path / "a.ims", 4)
    seen = []
    export(tmp_path / "a.ims", progress=lambda *amounts: seen.append(amounts))
    assert seen[3] == (IMAGE.nbytes * 4 // 6, IMAGE.nbytes)
    assert seen[-1] == (IMAGE.nbytes, IMAGE.nbytes)


@pytest.mark.parametrize("error", [OSError("the network is gone"), SystemExit(143), ConnectionError()])
def test_what_ends_an_export_from_outside_keeps_what_is_complete(error, tmp_path):
    interrupt(tmp_path / "a.ims", 3, error=error)
    assert export(tmp_path / "a.ims")[0].resumed == 3


def test_a_cancelled_export_says_that_it_can_go_on(tmp_path):
    answers = iter([False] * 8)
    message = "what is complete is kept in a.ims.part, and the same export goes on there"
    with pytest.raises(ImsCancelled, match=message):
        export(tmp_path / "a.ims", cancelled=lambda: next(answers, True))
    assert export(tmp_path / "a.ims")[0].resumed > 0


def test_an_image_that_cannot_be_written_leaves_nothing(tmp_path):
    interrupt(tmp_path / "a.ims", 3, error=ImsError("the source makes no sense"))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "other",
    [
        {"resume": "image 2"},
        {"preset": "small"},
        {"image": IMAGE[:, :, :11]},
        {"image": IMAGE.astype("u4")},
        {"resume": None},
    ],
    ids=str,
)
def test_anything_else_begins_anew(other, tmp_path):
    interrupt(tmp_path / "a.ims", 3)
    writer, seen = export(tmp_path / "a.ims", **other)
    assert (writer.resumed, len(seen)) == (0, 6)
    assert names(tmp_path) == ["a.ims"]
    assert check_ims(tmp_path / "a.ims", source=other.get("image", IMAGE)) == []


def test_a_part_that_is_no_hdf5_file_any_more(tmp_path, caplog):
    interrupt(tmp_path / "a.ims", 3)
    part = tmp_path / "a.ims.part"
    part.write_bytes(bytes(part.stat().st_size))
    writer, seen = export(tmp_path / "a.ims")
    assert (writer.resumed, len(seen)) == (0, 6)
    assert "cannot be gone on with" in caplog.text
    assert check_ims(tmp_path / "a.ims", source=IMAGE) == []


@pytest.mark.parametrize("share", [0.02, 0.4, 0.7, 0.95, 0.999])
def test_a_full_disk_keeps_what_is_complete(share, tmp_path):
    export(tmp_path / "whole.ims")
    limit = int((tmp_path / "whole.ims").stat().st_size * share)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
        with pytest.raises(ImsWriteError, match="file grew too large") as caught:
            export(tmp_path / "a.ims")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
        signal.signal(signal.SIGXFSZ, before)
    kept = "a.ims.part" in names(tmp_path)
    assert ("the same export goes on there" if kept else "nothing was left") in str(caught.value)
    assert kept == (share > 0.3)
    writer, _ = export(tmp_path / "a.ims")
    assert (writer.resumed > 0) == kept
    assert check_ims(tmp_path / "a.ims", source=IMAGE) == []
    assert names(tmp_path) == ["a.ims", "whole.ims"]


def test_an_export_ended_at_its_very_end(tmp_path, monkeypatch):
    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("openhcs_core.imaris.writer.check_ims", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export(tmp_path / "a.ims")
    assert names(tmp_path) == ["a.ims.part", "a.ims.part.journal"]
    writer, seen = export(tmp_path / "a.ims")
    assert (writer.resumed, seen) == (6, [])
    assert check_ims(tmp_path / "a.ims", source=IMAGE) == []


EXPORT = """
import os, sys
import numpy as np
import tests.imaris.test_resume as test
image = test.camera((6, 2, 12, 150, 140))
def export(path, **options):
    def read(t, c, z0, z1, y0, y1):
        print("read", flush=True)
        return image[t, c, z0:z1, y0:y1]
    with test.ImsWriter(path, image.shape, image.dtype, resume="image 1", **options) as writer:
        print("resumed", writer.resumed, flush=True)
        for t, c in np.ndindex(6, 2):
            writer.write_volume(t, c, lambda *region, t=t, c=c: read(t, c, *region))
"""
FORKED = (
    EXPORT
    + """
for line in sys.stdin:  # a path: a process of its own exports to it
    process = os.fork()
    if not process:
        export(line.strip(), slab_bytes=1)
        os._exit(0)
    print("process", process, flush=True)
    print("ended", os.waitpid(process, 0)[1], flush=True)
"""
)


def test_killed_twenty_times(tmp_path):
    """At random moments, most of them while it writes; a file of the final name is always complete."""
    image = camera((6, 2, 12, 150, 140))
    path = tmp_path / "a.ims"
    moments = random.Random(0)
    killed, resumed = 0, []
    command = [sys.executable, "-c", FORKED]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:

        def said(word):
            return int(next(line for line in server.stdout if line.startswith(word)).split()[1])

        while killed < 20:
            path.unlink(missing_ok=True)
            print(path, file=server.stdin, flush=True)
            process = said("process")
            resumed.append(said("resumed"))
            for _ in range(moments.randint(0, 2 * (12 - resumed[-1]))):
                server.stdout.readline()
            time.sleep(moments.random() * 0.01)
            os.kill(process, signal.SIGKILL)
            status = said("ended")
            killed += status == signal.SIGKILL
            assert path.exists() or status == signal.SIGKILL
            if path.exists():
                assert check_ims(path, source=image) == []
        server.stdin.close()
    assert max(resumed) > 0
    if not path.exists():
        export(path, image)
    assert names(tmp_path) in (["a.ims"], ["a.ims", "a.ims.part.journal"])
    export(tmp_path / "b.ims", image)
    expected = everything(tmp_path / "b.ims")
    assert {key for key, value in everything(path).items() if value != expected[key]} <= {("DataSetInfo/Image", "Name")}


def at_once(path, other, **options):
    """Begin an export, begin `other` beside it, end the first; returns what both writers wrote."""
    begun, results = threading.Event(), []

    def cancelled():
        begun.set()
        return False

    def second():
        results.append(export(path, other, wait=True, cancelled=cancelled, **options))

    thread = threading.Thread(target=second)
    with ImsWriter(path, IMAGE.shape, IMAGE.dtype, resume="image 1") as writer:
        thread.start()
        assert begun.wait(30)
        for t, c in np.ndindex(3, 2):
            writer.write_volume(t, c, lambda z0, z1, y0, y1, t=t, c=c: IMAGE[t, c, z0:z1, y0:y1])
    thread.join(60)
    return results[0]


def test_two_exports_of_the_same_share_the_file(tmp_path):
    writer, seen = at_once(tmp_path / "a.ims", IMAGE)
    assert writer.shared
    assert seen == []
    assert check_ims(tmp_path / "a.ims", source=IMAGE) == []
    assert names(tmp_path) == ["a.ims"]


@pytest.mark.parametrize("resume", ["image 2", None])
def test_an_export_of_something_else_waits_and_replaces(resume, tmp_path):
    other = IMAGE + 1
    writer, seen = at_once(tmp_path / "a.ims", other, resume=resume)
    assert not writer.shared
    assert len(seen) == 6
    assert check_ims(tmp_path / "a.ims", source=other) == []
    assert names(tmp_path) == ["a.ims"]


def test_waiting_can_be_cancelled(tmp_path):
    with ImsWriter(tmp_path / "a.ims", (1, 1, 1, 2, 2), "u1") as writer:
        with pytest.raises(ImsCancelled, match="while it waited for another"):
            export(tmp_path / "a.ims", wait=True, cancelled=lambda: True)
        writer.write_volume(0, 0, lambda *_: np.ones((1, 2, 2), "u1"))
    assert names(tmp_path) == ["a.ims"]


def test_many_processes_at_once(tmp_path):
    """All of them succeed, one makes the file."""
    command = [sys.executable, "-c", EXPORT + "export(sys.argv[1], wait=True)", str(tmp_path / "a.ims")]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert check_ims(tmp_path / "a.ims", source=camera((6, 2, 12, 150, 140))) == []
    assert names(tmp_path) == ["a.ims"]
    assert any("read" in text for text in said)


def test_saving_is_cheap(tmp_path, monkeypatch):
    """However small the volumes: saving takes a small part of the time."""
    saved = []
    original = ImsWriter._state
    monkeypatch.setattr(ImsWriter, "_state", lambda self: saved.append(1) or original(self))
    image = noise((300, 1, 1, 8, 8), "uint8")
    write_ims(image, tmp_path / "a.ims", resume="image 1")
    assert 1 < len(saved) < 150
