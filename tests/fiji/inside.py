"""The viewer, as ``python -m openhcs_fiji`` runs it, in a process that answers questions about its windows.

A question is a line of JSON on the standard input, answered in the main thread between two ticks.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import tempfile
import threading
import traceback

import numpy as np

from openhcs_fiji import __main__ as program
from openhcs_fiji.server import FijiViewerServer

TYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}


class Inside(FijiViewerServer):
    def __init__(self, jpype, title=""):
        super().__init__(jpype, title)
        self.questions = queue.SimpleQueue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in sys.stdin:
            self.questions.put(json.loads(line))

    def tick(self, receiver):
        super().tick(receiver)
        while not self.questions.empty():
            question = self.questions.get()
            try:
                said = {"answer": getattr(self, "answer_" + question.pop("question"))(**question)}
            except Exception:
                said = {"failed": traceback.format_exc()}
            print(json.dumps(said), flush=True)

    def named(self, title):
        return next(window for window in self.hyperstacks.values() if window.title == title)

    def answer_windows(self):
        return {window.title: self.describe(window) for window in self.hyperstacks.values()}

    def describe(self, window):
        said = {
            "state": window.state,
            "planes": window.hyperstack.count,
            "total": window.hyperstack.total,
            "displayed": window.displayed,
            "follow": window.follow,
        }
        if window.imp is None or window.hyperstack.stack is None:
            return said
        imp, overlay = window.imp, window.imp.getOverlay()
        channels, processor = int(imp.getNChannels()), imp.getProcessor()
        if processor is None or imp.getWindow() is None:  # the user closes it just now
            return said
        luts = [imp.getLuts()[c] for c in range(channels)] if channels > 1 else [processor.getLut()]
        ranges = (
            [[lut.min, lut.max] for lut in luts]
            if channels > 1
            else [[imp.getDisplayRangeMin(), imp.getDisplayRangeMax()]]
        )
        calibration, bounds = imp.getCalibration(), imp.getWindow().getBounds()
        return {
            **said,
            "dimensions": [int(n) for n in imp.getDimensions()],
            "bits": int(imp.getBitDepth()),
            "position": [int(imp.getC()), int(imp.getZ()), int(imp.getT())],
            "labels": [str(imp.getStack().getSliceLabel(i + 1)) for i in range(imp.getStackSize())],
            "colors": [[lut.getRGB(self._jpype.JInt(255)) >> shift & 255 for shift in (16, 8, 0)] for lut in luts],
            "ranges": ranges,
            "composite": bool(imp.isComposite()),
            "hyperstack": bool(imp.isDisplayedHyperStack()),
            "unit": str(calibration.getUnit()),
            "voxel": [calibration.pixelDepth, calibration.pixelHeight, calibration.pixelWidth],
            "info": str(imp.getProperty("Info")),
            "rois": [self.roi(overlay.get(i)) for i in range(overlay.size())] if overlay is not None else [],
            "bounds": [bounds.x, bounds.y, bounds.width, bounds.height],
        }

    def roi(self, roi):
        polygon = roi.getFloatPolygon()
        points = [[float(polygon.ypoints[i]), float(polygon.xpoints[i])] for i in range(polygon.npoints)]
        place = [int(roi.getPosition()), int(roi.getCPosition()), int(roi.getZPosition()), int(roi.getTPosition())]
        return {"kind": str(roi.getTypeAsString()), "points": points, "place": place}

    def answer_pixels(self, title):
        imp = self.named(title).imp
        width, height, channels, slices, frames = imp.getDimensions()
        stack = imp.getStack()
        planes = [
            np.frombuffer(memoryview(stack.getPixels(i + 1)), TYPES[imp.getBitDepth()]) for i in range(stack.size())
        ]
        path = tempfile.mktemp(suffix=".npy", dir=os.environ["TMPDIR"])
        np.save(path, np.stack(planes).reshape(frames, slices, channels, height, width))
        return path

    def answer_titles(self):
        return [str(window.imp.getTitle()) for window in self.hyperstacks.values()]

    def answer_log(self):
        return str(self._ij.getLog() or "")

    def answer_wish(self, wish, what=None):
        self._wishes.put((wish, what))

    def answer_clear(self):
        self._clear()
        self._paused = False

    def answer_move(self, title, place):
        self.named(title).imp.setPosition(*place)

    def answer_range(self, title, low, high):
        imp = self.named(title).imp
        imp.setDisplayRange(low, high)
        imp.updateAndDraw()

    def answer_close_window(self, title):
        self.named(title).imp.close()

    def answer_crop(self, title):
        imp = self.named(title).imp
        imp.setRoi(2, 2, 10, 10)
        self._ij.run(imp, "Crop", "")

    def answer_quit(self):
        """As the menu does."""
        self._ij.getInstance().quit()


if __name__ == "__main__":
    program.FijiViewerServer = Inside
    program.run()
