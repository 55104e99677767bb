"""A viewer without a window that keeps what it gets; as a program it keeps it in the folder ``KEEPER``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np

from openhcs_core import plugins
from openhcs_core.hookspecs import ViewerSpec, hookimpl
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.viewer_process import ViewerOptions, say, start_receiver

NAME = "keeper"
PORT = 6055


class Keeper:
    """Keeps planes by step, kind and address; without the first part of a stream's name, the run."""

    def __init__(self, folder: Path | None = None) -> None:
        self.begins, self.ends, self.progresses = [], [], []
        self.planes: dict[tuple[str, str, str], np.ndarray] = {}
        self.images = {}
        self.times = Counter()
        self.ended = threading.Event()
        self._folder = folder

    def begin(self, begin):
        self.begins.append(begin)
        return self

    def begun(self, step, kind="image"):
        return next(begin for begin in self.begins if (begin.step, begin.kind) == (step, kind))

    def progress(self, progress):
        self.progresses.append(progress)

    def shutdown(self, reason):
        self.ended.set()

    def target(self, image):
        return self.planes.setdefault(_key(image), np.zeros(image.shape, image.dtype))

    def received(self, image):
        key = _key(image)
        self.times[key] += 1
        self.images[key] = image
        if self._folder:
            np.save(self._folder / ("-".join(key) + f"-{self.times[key]}.npy"), self.planes[key])

    def end(self, end):
        self.ends.append(end)


def _key(image):
    _, step, kind = image.stream.split("/")
    return step, kind, image.address.stem


class KeeperPlugin:
    """Offers this program as a viewer."""

    @hookimpl
    def openhcs_viewers(self):
        return [ViewerSpec(NAME, "Keeps what it gets", PORT, __name__, lambda: os.environ.get("KEEPER_MISSING", ""))]


def registered():
    manager = plugins.get_plugin_manager()
    manager.register(KeeperPlugin(), NAME)
    return manager


def main() -> int:
    options = ViewerOptions.parse(NAME, PORT)
    viewer = Keeper(Path(os.environ["KEEPER"]))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: viewer.ended.set())
    try:
        receiver = start_receiver(viewer, NAME, options)
    except StreamingError as error:
        say("failed", error=str(error))
        return 1
    with receiver:
        viewer.ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
