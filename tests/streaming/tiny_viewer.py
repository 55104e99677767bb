"""A viewer without a window, as a program; words in ``TINY`` of the environment say how it misbehaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np

from openhcs_core.streaming import viewer_process
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.viewer_process import ViewerOptions, say, start_receiver

HOW = os.environ.get("TINY", "").split()


class Tiny:
    """Takes everything, keeps nothing."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def begin(self, begin):
        return self

    def target(self, image):
        return np.empty(image.shape, image.dtype)

    def received(self, image):
        pass

    def progress(self, progress):
        pass

    def end(self, end):
        pass

    def shutdown(self, reason):
        print(reason)
        if "stubborn" not in HOW:
            self.ended.set()


def main() -> int:
    options = ViewerOptions.parse("tiny", 5955)
    viewer = Tiny()
    say("started")
    print("something else is printed", flush=True)
    if "crash" in HOW:
        sys.exit("No window could be made.")
    if "mute" in HOW:
        threading.Event().wait()
    if "helper" in HOW:
        subprocess.Popen(["sleep", "60"])
    if "talkative" in HOW:
        print("Something is strange.", file=sys.stderr, flush=True)
    if "impatient" in HOW:
        viewer_process.END_S = 0.1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN if "stubborn" in HOW else lambda *_: viewer.ended.set())
    try:
        receiver = start_receiver(viewer, "other" if "other" in HOW else "tiny", options)
    except StreamingError as error:
        say("failed", error=str(error))
        return 1
    with receiver:
        while not viewer.ended.wait(0.1):  # a signal may come to another thread; its handler runs in this one, awake
            pass
        print(f"The end of {options.title}.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
