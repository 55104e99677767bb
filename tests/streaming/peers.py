"""Viewers and senders as real processes of their own, and planes that can be checked.

Run as a program: ``python peers.py viewer|sender '{"option": ...}'``. A program writes one line of JSON when it is
ready; a viewer answers each line on its standard input with another.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming import slots
from openhcs_core.streaming.messages import Begin
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import Server

ROOT = Path(__file__).parents[2]
SHM = Path("/dev/shm")


def plane(number: int, size: int = 64) -> np.ndarray:
    """The plane with a number, unlike all others, (size, size) uint16."""
    return np.arange(number, number + size * size, dtype=np.uint32).astype(np.uint16).reshape(size, size)


def address(number: int, well: str = "A01") -> PlaneAddress:
    """Where the plane with a number belongs; z counts to 100."""
    return PlaneAddress(well, z_index=number % 100 + 1, timepoint=number // 100 + 1)


def number_of(place: PlaneAddress) -> int:
    return place.z_index - 1 + 100 * (place.timepoint - 1)


class Recorder:
    """A viewer that keeps its planes and checks each."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.begins, self.ends, self.progresses, self.shutdowns = [], [], [], []
        self.planes: dict[tuple[str, PlaneAddress], np.ndarray] = {}
        self.times = Counter()
        self.wrong = self.slots = 0
        self.delay_s = delay_s

    def begin(self, begin):
        self.begins.append(begin)
        return self

    def progress(self, progress):
        self.progresses.append(progress)

    def shutdown(self, reason):
        self.shutdowns.append(reason)

    def target(self, image):
        time.sleep(self.delay_s)
        return self.planes.setdefault((image.stream, image.address), np.zeros(image.shape, image.dtype))

    def received(self, image):
        key = image.stream, image.address
        self.times[key] += 1
        self.slots += image.slot is not None
        self.wrong += not np.array_equal(self.planes[key], plane(number_of(image.address), image.shape[0]))

    def end(self, end):
        self.ends.append(end)

    def summary(self) -> dict:
        """For JSON."""
        return {
            "begins": len(self.begins),
            "images": len(self.times),
            "twice": sum(count > 1 for count in list(self.times.values())),
            "wrong": self.wrong,
            "slots": self.slots,
            "wells": dict(Counter(place.well for _, place in list(self.times))),
            "ends": [vars(end) for end in self.ends],
        }


_MARK = uuid.uuid4().hex


def orphans() -> list[str]:
    """Command lines of what is still there of the programs that were started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"STREAMING_PEER={_MARK}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


class Peer:
    """A program of this file, running; killed at the end whatever happens. A context manager."""

    def __init__(self, kind: str, wrapper: tuple[str, ...] = (), **options) -> None:
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, __file__, kind, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if kind == "sender" else None,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "STREAMING_PEER": _MARK},
        )
        self.hello = self._read()
        self.pid = self.hello["pid"]

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        assert line, f"the {self.process.args} ended"
        return json.loads(line)

    def ask(self, question: str) -> dict:
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self._read()

    def until(self, condition, timeout_s: float = 20.0) -> dict:
        """Its summary as soon as a condition holds."""
        return until(lambda: self.ask("summary"), condition, timeout_s)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
        self.process.wait()

    def result(self) -> dict:
        """The last line of a sender."""
        line = self._read()
        self.process.wait()
        return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()


def until(get, condition, timeout_s: float = 20.0):
    """What `get` gives, as soon as a condition holds for it."""
    deadline = time.monotonic() + timeout_s
    while not condition(got := get()):
        assert time.monotonic() < deadline, f"still {got}"
        time.sleep(0.02)
    return got


def segments() -> list[str]:
    """What there is of ours in shared memory; what other programs use meanwhile is theirs."""
    return sorted(path.name for path in SHM.glob("openhcs-*") if not _is_anothers(path.name))


def _is_anothers(name: str) -> bool:
    """Whether the owner lives, and is neither this process nor one that it started."""
    if name.count("-") != 4:
        return False
    pid = int(name.split("-")[2])
    while pid not in (0, 1, os.getpid()):
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return pid != os.getpid()


def options(**given) -> PublisherOptions:
    if "scratch" in given:
        given["scratch"] = Path(given["scratch"])
    return PublisherOptions(**given)


def _limit_shared_memory(nbytes: int) -> None:
    """Like a file system of this size, where there is no right to make one."""
    allocate, left = os.posix_fallocate, [nbytes]

    def limited(file, offset, size):
        if os.readlink(f"/proc/self/fd/{file}").startswith(str(SHM)):
            if size > left[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left[0] -= size
        allocate(file, offset, size)

    os.posix_fallocate = limited


def run_viewer(listen=None, connect=(), delay_s=0.0, shm_folder=None, **receiver_options) -> None:
    if shm_folder is not None:
        slots._FOLDER = Path(shm_folder)  # another one's shared memory is not there
    recorder = Recorder(delay_s)
    receiver = Receiver(recorder, "recorder", listen=listen, connect=connect, **receiver_options)
    with receiver:
        print(json.dumps({"endpoint": receiver.endpoint, "pid": os.getpid()}), flush=True)
        for line in sys.stdin:
            if line.strip() == "replay":
                recorder.times.clear()
                receiver.replay()
            elif line.strip() == "pause":
                receiver.pause()
            elif line.strip() == "go on":
                receiver.pause(False)
            elif line.strip() == "displayed":
                for begin in recorder.begins:
                    receiver.displayed(begin.stream, sum(name == begin.stream for name, _ in recorder.times))
            elif line.strip() == "stop":
                break
            print(json.dumps({**recorder.summary(), "refused": receiver.state().refused}), flush=True)


def run_sender(
    connect=(),
    listen=None,
    images=100,
    size=64,
    well="A01",
    pause_s=0.0,
    stream="s",
    keys=None,
    server_key=None,
    shm_bytes=None,
    **rest,
) -> None:
    if shm_bytes is not None:
        _limit_shared_memory(shm_bytes)
    pair = CurveKeys(keys[0], keys[1].encode()) if keys else None
    servers = [Server(entry, server_key) for entry in connect]
    with Publisher(servers, listen, pair, options=options(**rest)) as publisher:
        print(json.dumps({"endpoint": publisher.endpoint, "pid": os.getpid()}), flush=True)
        publisher.begin(Begin(stream=stream, dtype="uint16", size_yx=(size, size), images=images))
        for number in range(images):
            publisher.save(stream, plane(number, size), address(number, well))
            time.sleep(pause_s)
        report = publisher.close()
    viewers = [
        {
            "state": viewer.state,
            "delivered": viewer.delivered,
            "displayed": viewer.displayed,
            "undelivered": [number_of(image.address) for image in viewer.undelivered],
        }
        for viewer in report.viewers
    ]
    facts = {"images": report.images, "undelivered": len(report.undelivered), "dropped": report.dropped}
    print(json.dumps({**facts, "viewers": viewers, "text": str(report)}), flush=True)


if __name__ == "__main__":
    {"viewer": run_viewer, "sender": run_sender}[sys.argv[1]](**json.loads(sys.argv[2]))
