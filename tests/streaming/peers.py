"""Viewers and senders as real processes of their own, and planes that can be checked.

Run as a program: ``python peers.py viewer|sender '{"option": ...}'``. A program writes one line of JSON when it is
ready; a viewer answers each line on its standard input with another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np

from openhcs_core.plate import PlaneAddress
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
        self.wrong = 0
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
        self.wrong += not np.array_equal(self.planes[key], plane(number_of(image.address), image.shape[0]))

    def end(self, end):
        self.ends.append(end)

    def summary(self) -> dict:
        """For JSON."""
        return {
            "begins": len(self.begins),
            "images": len(self.times),
            "twice": sum(count > 1 for count in self.times.values()),
            "wrong": self.wrong,
            "wells": dict(Counter(place.well for _, place in self.times)),
            "ends": [vars(end) for end in self.ends],
        }


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
            env={**os.environ, "PYTHONPATH": str(ROOT)},
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
    """What there is of ours in shared memory."""
    return sorted(path.name for path in SHM.glob("openhcs-*"))


def options(**given) -> PublisherOptions:
    if "scratch" in given:
        given["scratch"] = Path(given["scratch"])
    return PublisherOptions(**given)


def run_viewer(listen=None, connect=(), delay_s=0.0, **receiver_options) -> None:
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
    **rest,
) -> None:
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
