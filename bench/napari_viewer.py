"""How well napari keeps up: 200 planes of 8 MB from a sender process into a real window, on a screen of Xvfb.

Run it with ``python bench/napari_viewer.py [--quick] [--json FILE]``. Beside it, the same planes go to a receiver
without a window, which copies them into an array. Time runs from the first plane saved to the last one displayed, or
received; the memory that they need has just been used by somebody else. Figures are medians of the ratios of each
round; of the gaps between turns of the event loop the longest of all rounds counts, from the first picture to the last,
and the most CPU time that the event loop used in one: on a busy machine gaps are longer than what the program needs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin, Channel, End, Image, Progress
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.receiver import Receiver

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from bootstrap._display import xvfb  # noqa: E402

SIZE = (2048, 2048)
LIMITS = {"napari_longest_gap_ms": 100, "napari_vs_no_display": 2.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--json", type=Path, help="write the figures here, for machines")
    parser.add_argument("--work", nargs=2, metavar=("ROLE", "OPTIONS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        globals()[f"work_{args.work[0]}"](**json.loads(args.work[1]))
        return
    load = os.getloadavg()[0]
    ratios, gaps, own, seconds = [], [], [], {"napari": [], "no_display": []}
    with xvfb() as display, tempfile.TemporaryDirectory() as folder:
        environment = {"DISPLAY": display, "NAPARI_CONFIG": str(Path(folder, "settings.yaml"))}
        for _ in range(1 if args.quick else 3):
            bare = measure("bare", {})
            shown = measure("napari", environment)
            ratios.append(shown["seconds"] / bare["seconds"])
            gaps.append(shown["gap_ms"])
            own.append(shown["own_ms"])
            seconds["napari"].append(shown["seconds"])
            seconds["no_display"].append(bare["seconds"])
    figures = {
        "napari_longest_gap_ms": max(gaps),
        "napari_longest_gap_cpu_ms": max(own),
        "napari_vs_no_display": statistics.median(ratios),
        **{f"{name}_seconds": statistics.median(values) for name, values in seconds.items()},
        "load_before": load,
        "cpus": os.cpu_count() or 1,
    }
    for name, value in figures.items():
        print(f"{name:25} {value:9.3f}" + (f"   at most {LIMITS[name]}" if name in LIMITS else ""))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1))


def measure(viewer: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds from the first plane saved to the last displayed (received); the longest gap in between."""
    count = 200
    with start(viewer, environment, count=count) as receiving:
        endpoint = line(receiving)["endpoint"]
        with start("sender", {}, count=count, endpoint=endpoint) as sending:
            begun = line(sending)["begun"]
            result = line(receiving)
            sending.wait()
        receiving.wait()
    return {"seconds": result.pop("done") - begun, **result}


def start(role: str, environment: dict[str, str], **options: object) -> subprocess.Popen[str]:
    """Run a part of this in a process of its own."""
    command = [sys.executable, __file__, "--work", role, json.dumps(options)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)


def line(process: subprocess.Popen[str]) -> dict:
    """The next of its answers; the phases of a viewer are none."""
    assert process.stdout is not None
    while "phase" in (answer := json.loads(process.stdout.readline())):
        pass
    return answer


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def work_sender(count: int, endpoint: str) -> None:
    pattern = np.random.default_rng(0).integers(0, 4000, SIZE, np.uint16)
    planes = [pattern + np.uint16(number) for number in range(count)]
    with Publisher(connect=[endpoint]) as publisher:
        publisher.begin(
            Begin(
                stream="bench",
                dtype="uint16",
                size_yx=SIZE,
                images=count,
                values={
                    "well": ("A01",),
                    "site": (1,),
                    "channel": (1,),
                    "z_index": (1,),
                    "timepoint": tuple(range(1, count + 1)),
                },
                channels=(Channel(name="DAPI", color=(0.0, 0.4, 1.0), window=(0.0, 4200.0)),),
            )
        )
        publisher.wait(30)
        time.sleep(1.0)  # the window has its layer, and the picture of a blank plane
        # A virtual machine is slow to give memory that nobody has used lately; that is not what is measured here.
        np.ones((count, *SIZE), np.uint16)
        tell(begun=time.monotonic())
        for number, plane in enumerate(planes):
            publisher.save("bench", plane, PlaneAddress("A01", timepoint=number + 1))
        publisher.end("bench")


class Copies:
    """A viewer without a window: one array, its memory as fresh as that of the other."""

    def __init__(self, count: int) -> None:
        self.stack = np.empty((count, *SIZE), np.uint16)
        self.left, self.done = count, threading.Event()

    def begin(self, begin: Begin) -> Copies:
        return self

    def progress(self, progress: Progress) -> None: ...

    def shutdown(self, reason: str) -> None: ...

    def target(self, image: Image) -> np.ndarray:
        return self.stack[image.timepoint - 1]

    def received(self, image: Image) -> None:
        self.left -= 1
        if not self.left:
            self.time = time.monotonic()
            self.done.set()

    def end(self, end: End) -> None: ...


def work_bare(count: int) -> None:
    viewer = Copies(count)
    with Receiver(viewer, listen="tcp://127.0.0.1:0") as receiver:
        tell(endpoint=receiver.endpoint)
        viewer.done.wait(120)
        tell(done=viewer.time)
        time.sleep(0.5)  # for the sender's last messages


def work_napari(count: int) -> None:
    """The program as it is, with a watch on its event loop."""
    from napari.qt import get_qapp
    from qtpy.QtCore import QTimer

    import openhcs_napari.__main__ as program
    from openhcs_core.streaming import viewer_process

    application = get_qapp()
    turns: list[tuple[float, float]] = []
    watch = QTimer()
    watch.timeout.connect(lambda: turns.append((time.monotonic(), time.thread_time())))
    watch.start(1)
    shown: list[float] = []
    told = Receiver.displayed

    def displayed(receiver: Receiver, stream: str, number: int) -> None:
        told(receiver, stream, number)
        if number and not shown:
            shown.append(time.monotonic())
        if number == count and len(shown) == 1:
            shown.append(time.monotonic())
            gaps, own = 1000 * np.diff([turn for turn in turns if shown[0] <= turn[0] <= shown[1]], axis=0).T.max(1)
            tell(done=shown[1], gap_ms=float(gaps), own_ms=float(own))
            QTimer.singleShot(500, application.closeAllWindows)

    Receiver.displayed = displayed
    say = viewer_process.say
    viewer_process.say = lambda phase, **facts: (
        tell(endpoint=facts["address"]) if phase == "ready" else say(phase, **facts)
    )
    program.main(["--listen", "tcp://127.0.0.1:0"])


if __name__ == "__main__":
    main()
