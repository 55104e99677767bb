"""How fast planes reach a viewer, beside what machine and ZeroMQ can do; what a stalled viewer costs a pipeline.

Run it with ``python bench/streaming.py [--quick] [--json FILE]``. Sender and viewer are processes of their own. 1 GB of
distinct uint16 planes goes into a stack that the viewer has ready; time runs from the first plane saved to the last one
that is in the stack, after some planes that warm up. All ways of one size take turns; figures are medians of the ratios
of each round.

The limit is the same planes copied twice in one process, through one warm buffer. "bare" is PUSH and PULL of pyzmq
without copies on the sender's side and one into the stack, no acknowledgements. "segment" is a new segment of shared
memory for each image, named in a JSON message, attached, copied, closed and unlinked by the viewer.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import zmq

from openhcs_core.plate import PlaneAddress, PlateLayout
from openhcs_core.streaming.backend import StreamingBackend
from openhcs_core.streaming.messages import Begin, Image
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.security import CurveKeys, secure_client
from openhcs_core.streaming.sockets import Server

ROOT = Path(__file__).resolve().parents[1]
SIZES = {1: (512, 1024), 8: (2048, 2048), 32: (4096, 4096)}
WARM_UP = 256 << 20
LOOPBACK = "tcp://127.0.0.1"
LIMITS = {
    "shm_vs_two_copies_1mb": (0.6, "at least"),
    "shm_vs_two_copies_8mb": (0.6, "at least"),
    "shm_vs_two_copies_32mb": (0.6, "at least"),
    "inline_vs_bare_zmq_8mb": (0.7, "at least"),
    "shm_vs_tcp_8mb": (2.5, "at least"),
    "shm_vs_segment_per_image_8mb": (6, "at least"),
    "curve_vs_bare_curve_8mb": (0.7, "at least"),
    "save_batch_ms_8mb": (1, "at most"),
    "stalled_viewer_slowdown": (1.05, "at most"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    parser.add_argument("--rounds", type=int, help="how often they take turns (default: 1 with --quick, else 5)")
    parser.add_argument("--work", nargs=2, metavar=("ROLE", "OPTIONS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        role, options = args.work[0], json.loads(args.work[1])
        print(json.dumps(globals()[f"work_{role}"](**options)), flush=True)
        return
    rounds = args.rounds or (1 if args.quick else 5)
    begin, load = time.perf_counter(), os.getloadavg()[0]
    figures: dict[str, float] = {}
    for size, total in ((1, 1 << 30), (8, 1 << 30), (32, 1 << 30)):
        ways = ["copies", "shm"] + (["inline", "bare", "segment", "curve", "bare_curve"] if size == 8 else [])
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for number in range(rounds):
            for way in ways if number % 2 == 0 else reversed(ways):
                speeds[way].append(measure(way, size, total))
        figures |= {f"{way}_mb_s_{size}mb": statistics.median(speeds[way]) / 1e6 for way in ways}
        figures[f"shm_vs_two_copies_{size}mb"] = ratio(speeds["shm"], speeds["copies"])
        if size == 8:
            figures["inline_vs_bare_zmq_8mb"] = ratio(speeds["inline"], speeds["bare"])
            figures["shm_vs_tcp_8mb"] = ratio(speeds["shm"], speeds["inline"])
            figures["shm_vs_segment_per_image_8mb"] = ratio(speeds["shm"], speeds["segment"])
            figures["curve_vs_bare_curve_8mb"] = ratio(speeds["curve"], speeds["bare_curve"])
    figures |= stalled(rounds)
    figures |= {"load_before": load, "cpus": os.cpu_count() or 1, "seconds": time.perf_counter() - begin}
    for name, value in figures.items():
        limit, word = LIMITS.get(name, (None, ""))
        print(f"{name:30} {value:10.3f}" + (f"   {word} {limit}" if limit else ""))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median of the ratios of each round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def start(role: str, **options: object) -> subprocess.Popen[str]:
    """Run a part of this in a process of its own."""
    command = [sys.executable, __file__, "--work", role, json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=environment)


def line(process: subprocess.Popen[str]) -> dict:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def measure(way: str, size: int, total: int) -> float:
    """Bytes per second."""
    if way == "copies":
        with start("copies", size=size, total=total) as process:
            return total / line(process)["seconds"]
    keys = {"viewer": pair(), "sender": pair()} if "curve" in way else {}
    kind = "bare" if way.startswith("bare") else "segment" if way == "segment" else "stream"
    with start(f"{kind}_viewer", size=size, total=total, keys=keys) as viewer:
        endpoint = line(viewer)["endpoint"]
        more = {"shared": way == "shm"} if kind == "stream" else {}
        with start(f"{kind}_sender", size=size, total=total, endpoint=endpoint, keys=keys, **more) as sender:
            begun = line(sender)["begun"]
            return total / (line(viewer)["done"] - begun)


def pair() -> list[str]:
    keys = CurveKeys.new()
    return [keys.public, keys.secret.decode()]


def curve_keys(keys: dict, whose: str) -> CurveKeys | None:
    return CurveKeys(keys[whose][0], keys[whose][1].encode()) if keys else None


def planes(size: int, total: int) -> np.ndarray:
    """Distinct planes, in memory already: (number, y, x) uint16."""
    count = total // (size << 20)
    stack = np.empty((count, *SIZES[size]), np.uint16)
    pattern = np.random.default_rng(0).integers(0, 4000, SIZES[size], np.uint16)
    for number, plane in enumerate(stack):
        np.add(pattern, np.uint16(number), out=plane)
    return stack


def empty_stack(size: int, total: int) -> np.ndarray:
    """What the viewer has ready; its pages exist."""
    return np.ones((total // (size << 20), *SIZES[size]), np.uint16)


def check(stack: np.ndarray) -> None:
    """All planes are there and none is another's."""
    pattern = np.random.default_rng(0).integers(0, 4000, stack.shape[1:], np.uint16)
    for number, plane in enumerate(stack):
        assert plane[0, 0] == pattern[0, 0] + number, number
        assert plane[-1, -1] == pattern[-1, -1] + number, number


def work_copies(size: int, total: int) -> dict:
    source, stack = planes(size, total), empty_stack(size, total)
    buffer = np.ones(SIZES[size], np.uint16)
    for _ in range(4):
        np.copyto(buffer, source[0])
    begin = time.monotonic()
    for number, plane in enumerate(source):
        np.copyto(buffer, plane)
        np.copyto(stack[number], buffer)
    return {"seconds": time.monotonic() - begin}


class Stack:
    """A viewer with a stack for the planes that count; those that warm up go to its first planes."""

    def __init__(self, stack: np.ndarray) -> None:
        self.stack, self.done, self.count = stack, 0.0, 0

    def begin(self, begin: Begin) -> Stack:
        return self

    def target(self, image: Image) -> np.ndarray:
        return self.stack[(image.z_index - 1) % len(self.stack)]

    def received(self, image: Image) -> None:
        if image.stream == "measured":
            self.count += 1
            if self.count == len(self.stack):
                self.done = time.monotonic()

    def progress(self, progress: object) -> None:
        """Nothing."""

    def shutdown(self, reason: str) -> None:
        """Nobody asks."""

    def end(self, end: object) -> None:
        """Nothing."""


def work_stream_viewer(size: int, total: int, keys: dict) -> dict:
    viewer = Stack(empty_stack(size, total))
    mine = curve_keys(keys, "viewer")
    allow = [keys["sender"][0]] if keys else []
    with Receiver(viewer, "bench", listen=f"{LOOPBACK}:0", keys=mine, allow=allow) as receiver:
        print(json.dumps({"endpoint": receiver.endpoint}), flush=True)
        while not viewer.done:
            time.sleep(0.005)
    check(viewer.stack)
    return {"done": viewer.done}


def work_stream_sender(size: int, total: int, endpoint: str, keys: dict, shared: bool) -> dict:
    source = planes(size, total)
    server = Server(endpoint, keys["viewer"][0] if keys else None)
    options = PublisherOptions(memory_bytes=256 << 20, spool_bytes=0, shared_memory=shared, replay=False)
    with Publisher([server], keys=curve_keys(keys, "sender"), options=options) as publisher:
        assert publisher.wait(10)
        publisher.begin(Begin(stream="warm-up", dtype="uint16", size_yx=SIZES[size]))
        for plane in source[: WARM_UP // (size << 20)]:
            publisher.save("warm-up", plane)
        while publisher.undelivered:
            time.sleep(0.01)
        publisher.begin(Begin(stream="measured", dtype="uint16", size_yx=SIZES[size]))
        begun = time.monotonic()
        for number, plane in enumerate(source):
            publisher.save("measured", plane, PlaneAddress("A01", z_index=number + 1))
        report = publisher.close()
    assert not report.undelivered
    return {"begun": begun}


def bare_socket(kind: int, keys: dict, whose: str) -> zmq.Socket:
    bare = zmq.Context.instance().socket(kind)
    bare.hwm = 8
    if keys and whose == "viewer":
        bare.curve_server = True
        bare.curve_publickey, bare.curve_secretkey = (key.encode() for key in keys["viewer"])
    elif keys:
        secure_client(bare, curve_keys(keys, "sender"), keys["viewer"][0])  # type: ignore[arg-type]
    return bare


def work_bare_viewer(size: int, total: int, keys: dict) -> dict:
    stack = empty_stack(size, total)
    bare = bare_socket(zmq.PULL, keys, "viewer")
    port = bare.bind_to_random_port(LOOPBACK)
    print(json.dumps({"endpoint": f"{LOOPBACK}:{port}"}), flush=True)
    for number in range(-(WARM_UP // (size << 20)), len(stack)):
        flat = np.frombuffer(bare.recv_multipart(copy=False)[1].buffer, np.uint16)
        np.copyto(stack[max(number, 0)], flat.reshape(stack.shape[1:]))
    done = time.monotonic()
    check(stack)
    return {"done": done}


def work_bare_sender(size: int, total: int, endpoint: str, keys: dict) -> dict:
    source = planes(size, total)
    bare = bare_socket(zmq.PUSH, keys, "sender")
    bare.connect(endpoint)
    for plane in source[: WARM_UP // (size << 20)]:
        bare.send_multipart([b"{}", plane], copy=False)
    begun = time.monotonic()
    for plane in source:
        bare.send_multipart([b"{}", plane], copy=False)
    bare.close(linger=60_000)
    zmq.Context.instance().term()
    return {"begun": begun}


def work_segment_viewer(size: int, total: int, keys: dict) -> dict:
    stack = empty_stack(size, total)
    subscriber = zmq.Context.instance().socket(zmq.SUB)
    subscriber.hwm = 10_000
    subscriber.subscribe(b"")
    port = subscriber.bind_to_random_port(LOOPBACK)
    print(json.dumps({"endpoint": f"{LOOPBACK}:{port}"}), flush=True)
    for number in range(-(WARM_UP // (size << 20)), len(stack)):
        message = subscriber.recv_json()
        segment = SharedMemory(message["shm_name"])
        np.copyto(stack[max(number, 0)], np.ndarray(message["shape"], message["dtype"], segment.buf))
        segment.close()
        segment.unlink()
    done = time.monotonic()
    check(stack)
    return {"done": done}


def work_segment_sender(size: int, total: int, endpoint: str, keys: dict) -> dict:
    source = planes(size, total)
    publisher = zmq.Context.instance().socket(zmq.PUB)
    publisher.hwm = 10_000
    publisher.connect(endpoint)
    time.sleep(1)  # it loses what it sends before
    begun = 0.0
    for number in range(-(WARM_UP // (size << 20)), len(source)):
        begun = time.monotonic() if number == 0 else begun
        plane = source[max(number, 0)]
        segment = SharedMemory(create=True, size=plane.nbytes)
        np.copyto(np.ndarray(plane.shape, plane.dtype, segment.buf), plane)
        publisher.send_json({"shm_name": segment.name, "shape": plane.shape, "dtype": "uint16"}, zmq.NOBLOCK)
        resource_tracker.unregister(f"/{segment.name}", "shared_memory")  # else it would be taken from the viewer
        segment.close()
    publisher.close(linger=10_000)
    zmq.Context.instance().term()
    return {"begun": begun}


def stalled(rounds: int) -> dict[str, float]:
    """A pipeline beside a viewer that is stopped, and alone: time of all, and of one `save_batch` of an 8 MB plane."""
    slowdowns, saves = [], []
    for number in range(rounds):
        walls = {}
        for viewer in (True, False) if number % 2 == 0 else (False, True):
            with tempfile.TemporaryDirectory() as scratch, start("pipeline", viewer=viewer, scratch=scratch) as process:
                result = line(process)
                walls[viewer] = result["seconds"]
                saves += result["saves"]
        slowdowns.append(walls[True] / walls[False])
    slowdown = statistics.median(slowdowns)
    return {"save_batch_ms_8mb": 1000 * statistics.median(saves), "stalled_viewer_slowdown": slowdown}


def work_pipeline(viewer: bool, scratch: str, images: int = 100) -> dict:
    """Smooth planes of 8 MB, one after the other, and stream each; 100 of them are more than the window holds."""
    source = planes(8, 64 << 20)
    if not viewer:
        begin = time.monotonic()
        for _ in smoothed(source, images):
            pass
        return {"seconds": time.monotonic() - begin, "saves": []}
    with start("stream_viewer", size=8, total=images * 8 << 20, keys={}) as other:
        options = PublisherOptions(memory_bytes=256 << 20, scratch=Path(scratch))
        with Publisher([line(other)["endpoint"]], options=options) as publisher:
            assert publisher.wait(10)
            layout = PlateLayout("bench", {}, SIZES[8], np.dtype("uint16"), ())
            backend = StreamingBackend(publisher, layout, "bench")
            other.send_signal(signal.SIGSTOP)
            saves = []
            begin = time.monotonic()
            for number, plane in enumerate(smoothed(source, images)):
                path = PlaneAddress("A01", z_index=number + 1).path
                before = time.monotonic()
                backend.save_batch([plane], [path], step_name="smooth")
                saves.append(time.monotonic() - before)
            seconds = time.monotonic() - begin
            other.send_signal(signal.SIGCONT)
            report = publisher.close()
        other.kill()
    assert not report.undelivered, report
    assert report.peak_memory <= 256 << 20
    return {"seconds": seconds, "saves": saves}


def smoothed(source: np.ndarray, images: int) -> Iterator[np.ndarray]:
    """What a step of a pipeline does."""
    from scipy.ndimage import gaussian_filter

    smooth: Callable[..., np.ndarray] = gaussian_filter
    for number in range(images):
        yield smooth(source[number % len(source)], 1.0)


if __name__ == "__main__":
    main()
