"""Whatever goes wrong: a clear error, and nothing half-written under the final name."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from openhcs_core.imaris import ImsCancelled, ImsError, ImsWriteError, ImsWriter, check_ims, write_ims
from openhcs_core.imaris.partfile import PartFile
from tests.imaris.images import camera

IMAGE = camera((1, 4, 24, 300, 300))


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("no plane"), SystemExit(143), KeyboardInterrupt(), Interrupted()])
@pytest.mark.parametrize("when", [0, 1, 3])
def test_an_exception_in_the_source_leaves_nothing(error, when, tmp_path):
    calls = []

    def read(z0, z1, y0, y1):
        calls.append(z0)
        if len(calls) > when:
            raise error
        return IMAGE[0, 0, z0:z1, y0:y1]

    def export():
        with ImsWriter(tmp_path / "a.ims", IMAGE.shape, IMAGE.dtype) as writer:
            for c in range(4):
                writer.write_volume(0, c, read)

    with pytest.raises(type(error)) as caught:
        export()
    assert caught.value is error
    assert len(calls) == when + 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("when", [0, 1, 3])
def test_cancel_leaves_nothing(when, tmp_path):
    answers = iter([False] * when + [True])
    with pytest.raises(ImsCancelled, match="was cancelled; nothing was left"):
        write_ims(IMAGE, tmp_path / "a.ims", cancelled=lambda: next(answers))
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_by_a_complete_one(tmp_path):
    path = tmp_path / "a.ims"
    path.write_bytes(b"older")
    with pytest.raises(ImsCancelled):
        write_ims(IMAGE, path, cancelled=lambda: True)
    assert path.read_bytes() == b"older"
    write_ims(IMAGE, path)
    assert check_ims(path, source=IMAGE) == []
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_writer_of_the_same_file_is_refused_while_the_first_is_at_work(tmp_path):
    path = tmp_path / "a.ims"
    image = IMAGE[:, :1]
    with ImsWriter(path, image.shape, image.dtype) as writer:
        with pytest.raises(ImsWriteError, match="Another export is writing"):
            ImsWriter(path, image.shape, image.dtype)
        writer.write_volume(0, 0, lambda z0, z1, y0, y1: image[0, 0, z0:z1, y0:y1])
    assert check_ims(path, source=image) == []
    write_ims(image, path)


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from openhcs_core.imaris import ImsWriteError, write_ims
folder, preset = Path(sys.argv[1]), sys.argv[2]
image = np.random.default_rng(0).integers(0, 65535, (1, 2, 16, 300, 300), np.uint16)
write_ims(image, folder / "whole.ims", preset=preset)
size = (folder / "whole.ims").stat().st_size
(folder / "whole.ims").unlink()
for limit in (0, 1000, 3000, size // 4, size // 2, size - 200_000, size - 10_000, size - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_ims(image, folder / "a.ims", preset=preset)
    except ImsWriteError as error:
        assert "the file grew too large" in str(error), error
    else:
        raise SystemExit(f"no error with a limit of {limit} of {size}")
    assert list(folder.iterdir()) == [], limit
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
write_ims(image, folder / "a.ims", preset=preset)
"""


def run(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("preset", ["fast", "uncompressed"])
def test_a_full_disk_at_any_stage_is_a_clear_error_and_leaves_nothing(preset, tmp_path):
    done = run(LIMITED, tmp_path, preset)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert check_ims(tmp_path / "a.ims") == []


KILLED = """
import sys
import numpy as np
from openhcs_core.imaris import ImsWriter
stop = int(sys.argv[2])
count = 0
def read(z0, z1, y0, y1):
    global count
    count += 1
    if count > stop:
        print("reading", flush=True)
        sys.stdin.read()
    return np.ones((z1 - z0, y1 - y0, 256), np.uint16)
with ImsWriter(sys.argv[1], (3, 1, 40, 256, 256), np.uint16, slab_bytes=1 << 20) as writer:
    for t in range(3):
        writer.write_volume(t, 0, read)
"""


@pytest.mark.parametrize("stop", [0, 1, 7, 14])
def test_a_killed_writer_leaves_no_file_of_the_final_name(stop, tmp_path):
    path = tmp_path / "a.ims"
    command = [sys.executable, "-c", KILLED, str(path), str(stop)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"reading\n"
        process.send_signal(signal.SIGKILL)
        process.stdin.close()
        assert process.wait(60) == -signal.SIGKILL
    assert [item.name for item in tmp_path.iterdir()] == ["a.ims.part"]
    write_ims(IMAGE, path)
    assert [item.name for item in tmp_path.iterdir()] == ["a.ims"]
    assert check_ims(path, source=IMAGE) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ImsWriteError, match=r"folder .*none does not exist. Make it first"):
        write_ims(IMAGE, tmp_path / "none" / "a.ims")


def test_a_target_that_is_a_folder(tmp_path):
    (tmp_path / "a.ims").mkdir()
    with pytest.raises(ImsWriteError, match="is a folder"):
        write_ims(IMAGE, tmp_path / "a.ims")


def test_a_folder_that_takes_no_files_not_even_from_root():
    with pytest.raises(ImsWriteError, match=r"Could not write /proc/a.ims: .* Choose another folder"):
        write_ims(IMAGE, "/proc/a.ims")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "a.ims: the disk is full. Free some space or choose another folder"),
        (errno.EDQUOT, "a.ims: the quota is used up"),
        (errno.EIO, "a.ims: Input/output error. Choose another folder"),
    ],
)
def test_the_words_of_the_system_become_advice(number, message, tmp_path, monkeypatch):
    def refuse(descriptor, content, offset):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("openhcs_core.imaris.partfile.os.pwrite", refuse)
    with pytest.raises(ImsWriteError, match=message) as caught:
        write_ims(IMAGE, tmp_path / "a.ims")
    assert caught.value.__cause__.errno == number
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_result_is_not_delivered(tmp_path, monkeypatch):
    monkeypatch.setattr("openhcs_core.imaris.writer.check_ims", lambda path, full: ["a chunk is missing"])
    with pytest.raises(ImsWriteError, match="is damaged: a chunk is missing"):
        write_ims(IMAGE, tmp_path / "a.ims")
    assert list(tmp_path.iterdir()) == []


def test_a_part_file_removed_behind_the_writers_back(tmp_path):
    part = PartFile(tmp_path / "a.ims")
    part.path.unlink()
    with pytest.raises(ImsWriteError, match="No such file"):
        part.commit()
    part.discard()


def test_hdf5_reads_back_what_it_wrote(tmp_path):
    part = PartFile(tmp_path / "a.ims")
    with h5py.File(part.path, "w", driver="fileobj", fileobj=part) as file:
        file.create_dataset("image", data=IMAGE, chunks=(1, 1, 24, 100, 100), compression="gzip")
        file.flush()
        np.testing.assert_array_equal(file["image"][()], IMAGE)
    part.commit()
    with h5py.File(tmp_path / "a.ims") as file:
        np.testing.assert_array_equal(file["image"][()], IMAGE)


@pytest.mark.parametrize(("number", "works"), [(errno.ENOLCK, True), (errno.EIO, False)])
def test_a_file_system_without_locks(number, works, tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("openhcs_core.imaris.partfile.fcntl.flock", refuse)
    if works:
        write_ims(IMAGE, tmp_path / "a.ims")
        assert check_ims(tmp_path / "a.ims", source=IMAGE) == []
    else:
        with pytest.raises(ImsWriteError, match="Input/output error"):
            write_ims(IMAGE, tmp_path / "a.ims")


def test_errors_are_errors_of_the_project():
    from openhcs_core.errors import OpenHCSError

    for kind in (ImsError, ImsWriteError, ImsCancelled):
        assert issubclass(kind, OpenHCSError)


def test_no_file_descriptor_is_lost(tmp_path):
    def open_files():
        return len(os.listdir("/proc/self/fd"))

    write_ims(np.ones((2, 2), np.uint8), tmp_path / "a.ims", axes="YX")
    before = open_files()
    write_ims(IMAGE, tmp_path / "a.ims")
    with pytest.raises(ImsCancelled):
        write_ims(IMAGE, tmp_path / "a.ims", cancelled=lambda: True)
    assert open_files() == before
