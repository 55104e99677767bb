"""ImageJ as a process of its own, for tests: as users start it, and one that tells what it shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin, Channel
from openhcs_core.streaming.publisher import Publisher

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
TWO = (
    Channel(name="DAPI", color=(1.0, 0.0, 0.5), window=(0.0, 1000.0)),
    Channel(name="GFP", color=(0.0, 1.0, 0.0), window=(100.0, 600.0)),
)


class Viewer:
    """``python -m openhcs_fiji``; killed at the end whatever happens."""

    program = ("-m", "openhcs_fiji")

    def __init__(self, display, home, *options, listen="tcp://127.0.0.1:0", **environment):
        given = {"DISPLAY": display, "TMPDIR": str(home), **environment}
        given.setdefault("OPENHCS_FIJI_JAVA_OPTIONS", f"-Xmx512m -XX:TieredStopAtLevel=1 -Duser.home={home}")
        self.errors = Path(home, "errors.txt")
        with self.errors.open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, "--listen", listen, *options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=ROOT,
                env={key: value for key, value in {**os.environ, **given}.items() if value is not None},
            )
        self.phases = []
        self.address = None

    def ready(self):
        """Wait until it is, or has failed."""
        while (said := self.line())["phase"] not in ("ready", "failed"):
            self.phases.append(said["phase"])
        self.phases.append(said["phase"])
        self.address = said.get("address")
        return said

    def line(self):
        patience = threading.Timer(PATIENCE_S, self.process.kill)
        patience.start()
        text = self.process.stdout.readline()
        patience.cancel()
        assert text, f"it ended, or was silent for {PATIENCE_S} s: {self.errors.read_text()}"
        return json.loads(text)

    def ended(self):
        """Its exit status, once it has ended by itself."""
        return self.process.wait(30)

    def __enter__(self):
        assert self.ready()["phase"] == "ready"
        return self

    def __exit__(self, *_):
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()


class Inspected(Viewer):
    """One that answers questions; see ``inside.py``."""

    program = ("-m", "tests.fiji.inside")

    def ask(self, question, **more):
        self.process.stdin.write(json.dumps({"question": question, **more}) + "\n")
        self.process.stdin.flush()
        said = self.line()
        assert "answer" in said, said
        return said["answer"]

    def window(self, title, **wanted):
        """What it says of a window, as soon as it is so."""
        return until(
            lambda: self.ask("windows").get(title, {}), lambda got: got and all(got[k] == v for k, v in wanted.items())
        )

    def pixels(self, title):
        """The stack (T, Z, C, Y, X), read from ImageJ."""
        return np.load(self.ask("pixels", title=title))


def until(get, condition, timeout_s=PATIENCE_S):
    """What `get` gives, as soon as a condition holds for it."""
    deadline = time.monotonic() + timeout_s
    while not condition(got := get()):
        assert time.monotonic() < deadline, f"still {got}"
        time.sleep(0.03)
    return got


def send(viewer, begin, images):
    """Send images by address, and return what the publisher reports."""
    with Publisher([viewer.address]) as publisher:
        assert publisher.wait(20)
        publisher.begin(begin)
        for address, array in images.items():
            publisher.save(begin.stream, array, address)
        publisher.end(begin.stream)
        return publisher.close()


def stack_of(shape, size=(30, 40), dtype="uint16", well="B03", site=1):
    """Images (C, Z, T) by address, each unlike all others."""
    base = np.arange(size[0] * size[1]).reshape(size)
    return {
        PlaneAddress(well, site, c + 1, z + 1, t + 1): (base + 1000 * c + 100 * z + 10 * t).astype(dtype)
        for c, z, t in np.ndindex(*shape)
    }


def known(stream, shape, size=(30, 40), **more):
    """A stream whose sizes are known beforehand."""
    values = {name: tuple(range(1, n + 1)) for name, n in zip(("channel", "z_index", "timepoint"), shape, strict=True)}
    values |= {"well": ("B03",), "site": (1,)}
    given = {"dtype": "uint16", "size_yx": size, "values": values, "channels": TWO, "plate": "P1", "step": stream}
    return Begin(stream=stream, **{**given, **more})
