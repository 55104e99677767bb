"""How long a hyperstack of 2 channels, 16 slices and 4 frames of 1024 x 1024 uint16 takes to be complete in ImageJ.

Run it with ``python bench/fiji_viewer.py [--quick] [--json FILE]``. ImageJ is a process of its own, with a window in an
Xvfb; its planes, all distinct, come from this process through a publisher, in no order. Time runs from the first plane
saved until the viewer says that all 128 are in the stack and what is shown of it is drawn. "first" is the first stack
after the start; the one that counts comes after it; "grown" is one whose sizes nobody knows beforehand. Each round has
an ImageJ of its own. For comparison: the same planes copied into arrays of Java; no window, no sender and no stack.

The heap of both is touched beforehand: what the machine takes to come up with fresh memory, which in a virtual one may
be seconds, is no matter of viewers.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.messages import Begin, Channel, Shutdown, State, Status
from openhcs_core.streaming.publisher import Publisher, PublisherOptions

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from bootstrap._display import xvfb  # noqa: E402

SIZE = (1024, 1024)
VALUES = {"channel": (1, 2), "z_index": tuple(range(1, 17)), "timepoint": (1, 2, 3, 4)}
KNOWN = Begin(
    stream="first",
    title="bench",
    dtype="uint16",
    size_yx=SIZE,
    values={"well": ("A01",), "site": (1,), **VALUES},
    images=128,
    channels=(
        Channel(name="DAPI", color=(0.0, 0.0, 1.0), window=(0.0, 4200.0)),
        Channel(name="GFP", color=(0.0, 1.0, 0.0), window=(0.0, 4200.0)),
    ),
)
LIMITS = {"fiji_hyperstack_s": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under half a minute")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    parser.add_argument("--rounds", type=int, help="how often (default: 3 with --quick, else 7)")
    parser.add_argument("--copy", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.copy:
        print(json.dumps(copy_times(args.copy)))
        return
    rounds = args.rounds or (3 if args.quick else 7)
    begin, load = time.perf_counter(), os.getloadavg()[0]
    command = [sys.executable, __file__, "--copy", str(rounds)]
    copied = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    shown = window_times(rounds)
    figures = {
        "fiji_hyperstack_s": statistics.median(shown["known"]),
        "fiji_hyperstack_first_s": statistics.median(shown["first"]),
        "fiji_hyperstack_grown_s": statistics.median(shown["grown"]),
        "java_copy_s": statistics.median(copied),
        "fiji_vs_java_copy": statistics.median(shown["known"]) / statistics.median(copied),
        "load_before": load,
        "cpus": os.cpu_count() or 1,
        "seconds": time.perf_counter() - begin,
    }
    for name, value in figures.items():
        print(f"{name:26} {value:8.3f}" + (f"   at most {LIMITS[name]}" if name in LIMITS else ""))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def planes() -> np.ndarray:
    """Distinct planes, in memory already: (128, y, x)."""
    pattern = np.random.default_rng(0).integers(0, 4000, SIZE, np.uint16)
    return np.stack([pattern + np.uint16(number) for number in range(128)])


def java_options(stacks: int, home: str) -> str:
    """A heap for so many stacks, all of it touched."""
    given = os.environ.get("OPENHCS_FIJI_JAVA_OPTIONS", "")
    return f"-Xmx{300 + 300 * stacks}m -XX:+AlwaysPreTouch -Duser.home={home} {given}"


def copy_times(rounds: int) -> list[float]:
    """Seconds to copy all planes into arrays of Java; the first round warms up."""
    from openhcs_fiji.java import start_java
    from openhcs_fiji.pixels import SHORT, Copier, Heap

    os.environ["OPENHCS_FIJI_JAVA_OPTIONS"] = java_options(rounds + 1, tempfile.gettempdir())
    jpype = start_java(headless=True)
    copier, heap = Copier(jpype), Heap(jpype)
    source, times, kept = planes(), [], []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        for plane in source:
            kept.append(heap.new(SHORT, SIZE))
            copier.put(plane, kept[-1])
        times.append(time.perf_counter() - begun)
    return times[1:]


def window_times(rounds: int) -> dict[str, list[float]]:
    """Seconds until all planes are in the stack and drawn."""
    times: dict[str, list[float]] = {"first": [], "known": [], "grown": []}
    source = planes()
    grown = replace(KNOWN, stream="grown", values={}, images=None, dtype=None, size_yx=None)
    streams = (KNOWN, replace(KNOWN, stream="known"), grown)
    with tempfile.TemporaryDirectory() as home, xvfb() as display:
        environment = {**os.environ, "DISPLAY": display, "OPENHCS_FIJI_JAVA_OPTIONS": java_options(3, home)}
        command = [sys.executable, "-m", "openhcs_fiji", "--listen", "tcp://127.0.0.1:0"]
        for _ in range(rounds):
            viewer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            try:
                address = ready(viewer)
                options = PublisherOptions(memory_bytes=512 << 20, spool_bytes=0, replay=False)
                with Publisher([address], options=options) as publisher:
                    assert publisher.wait(10)
                    for begin in streams:
                        times[begin.stream].append(one_stack(publisher, address, begin, source))
                ask(address, Shutdown())
                assert viewer.wait(10) == 0
            finally:
                viewer.kill()
                viewer.wait()
    return times


def ready(viewer: subprocess.Popen[str]) -> str:
    """The address of a viewer, once it has one."""
    assert viewer.stdout is not None
    said: dict[str, str] = {}
    while said.get("phase") != "ready":
        said = json.loads(viewer.stdout.readline())
        assert said["phase"] != "failed", said["error"]
    return said["address"]


def one_stack(publisher: Publisher, endpoint: str, begin: Begin, source: np.ndarray) -> float:
    addresses = [PlaneAddress("A01", 1, c, z, t) for c, z, t in product(*VALUES.values())]
    random.Random(0).shuffle(addresses)
    publisher.begin(begin)
    begun = time.perf_counter()
    for plane, address in zip(source, addresses, strict=True):
        publisher.save(begin.stream, plane, address)
    while displayed(endpoint, begin.stream) < len(source):
        assert time.perf_counter() < begun + 60, "the viewer does not show all of it"
        time.sleep(0.005)
    taken = time.perf_counter() - begun
    publisher.end(begin.stream)
    time.sleep(0.3)  # what was set aside for one stack is not in the way of the next
    return taken


def displayed(endpoint: str, stream: str) -> int:
    state = ask(endpoint, Status(), timeout_s=5)
    assert isinstance(state, State), "the viewer is gone"
    return next((one.displayed for one in state.streams if one.stream == stream), 0)


if __name__ == "__main__":
    main()
