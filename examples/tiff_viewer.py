"""A viewer of your own: here one without a window, which keeps what it is sent as TIFF files in a folder.

pip install openhcs-omero tifffile
python tiff_viewer.py images --listen tcp://127.0.0.1:5575

It takes the options of every viewer; as a plugin (hook ``openhcs_viewers``) ``openhcs view`` would start it.
"""

import signal
import sys
import threading
from pathlib import Path

import numpy as np
import tifffile

from openhcs_core.streaming.viewer_process import ViewerOptions, start_receiver


class Folder:
    """The viewer; called in the thread of the receiver."""

    def __init__(self, path):
        self.path, self.ended = path, threading.Event()

    def begin(self, begin):
        folder = self.path / begin.title
        folder.mkdir(parents=True, exist_ok=True)
        return Files(folder)

    def progress(self, progress):
        print(progress.what, progress.subject, flush=True)

    def shutdown(self, reason):
        self.ended.set()


class Files:
    """Where the images of one stream go."""

    def __init__(self, folder):
        self.folder = folder

    def target(self, image):
        """An array for the pixels of the next image."""
        self.array = np.empty(image.shape, image.dtype)
        return self.array

    def received(self, image):
        """It holds them."""
        tifffile.imwrite(self.folder / f"c{image.channel}_z{image.z_index:03}_t{image.timepoint:03}.tif", self.array)

    def end(self, end):
        print(f"{end.delivered} of {end.images} images are in {self.folder}.", flush=True)


def main():
    viewer = Folder(Path(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: viewer.ended.set())
    with start_receiver(viewer, "tiff", ViewerOptions.parse("tiff", 5575, sys.argv[2:])):
        viewer.ended.wait()


if __name__ == "__main__":
    main()
