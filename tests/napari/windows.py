"""A real window of napari, in a process of its own; and pictures of what it shows.

Run as a program it is ``python -m openhcs_napari`` with `Hands` at its window, told on the standard input what to do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from bootstrap._display import screenshot
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.messages import State, Status
from openhcs_core.streaming.sockets import Server
from tests.streaming.peers import until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
SIDE = 64


class Window:
    """The viewer, running; killed at the end whatever happens. A context manager."""

    def __init__(self, display: str, *arguments: str, hands: bool = False) -> None:
        program = [__file__] if hands else ["-m", "openhcs_napari"]
        self.display = display
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "DISPLAY": display, "PYTHONPATH": str(ROOT)},
        )
        self.phases = []
        while not self.phases or self.phases[-1]["phase"] not in ("ready", "failed"):
            self.phases.append(self._read())
        self.address = self.phases[-1].get("address")

    def _read(self) -> dict:
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        if not line.startswith("{"):  # a notification of napari
            return self._read()
        return json.loads(line)

    def command(self, **command) -> None:
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def do(self, action: str, *arguments):
        """Have `Hands` do something; what they see after it."""
        self.command(do=[action, *arguments])
        answer = self._read()
        assert "done" in answer, answer
        return answer["done"]

    def state(self) -> State:
        state = ask(Server.from_text(self.address).endpoint, Status(), timeout_s=PATIENCE_S)
        assert state is not None
        return state

    def shown(self, images: int) -> State:
        """Its state as soon as so many images are displayed."""
        return until(self.state, lambda state: state.displayed >= images, PATIENCE_S)

    def picture(self) -> np.ndarray:
        """What the canvas shows, (y, x, 3)."""
        left, top, width, height = self.do("look")["canvas"]
        return np.asarray(screenshot(self.display)).astype(int)[top : top + height, left : left + width]

    def ended(self) -> tuple[int, str]:
        """Exit status and what was written to standard error."""
        self.process.wait(PATIENCE_S)
        return self.process.returncode, self.process.stderr.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()


class Hands:
    """What people do at a window; in its thread."""

    def __init__(self, session, viewer) -> None:
        self.session, self.viewer = session, viewer

    def look(self) -> dict:
        from qtpy.QtCore import QPoint
        from qtpy.QtOpenGLWidgets import QOpenGLWidget

        canvas = self.viewer.window._qt_window.findChild(QOpenGLWidget)
        corner = canvas.mapToGlobal(QPoint(0, 0))
        return {
            "address": self._widget.address.text() if self.session.receiver else "",
            "table": [self._widget.layers.item(row, 1).text() for row in range(self._widget.layers.rowCount())],
            "canvas": [corner.x(), corner.y(), canvas.width(), canvas.height()],
            "place": self.session.live.place(),
            "following": self.session.live.following,
            "layers": {layer.layer.name: [len(layer.held), layer.stack.total] for layer in self.session.live.layers},
            "contrast": [list(layer.contrast_limits) for layer in self.viewer.layers if hasattr(layer, "gamma")],
            "displayed": sum(self.session.live.shown.values()),
            "notes": list(self.session.streams.notes),
        }

    def move(self, axis: int, step: int) -> None:
        self.viewer.dims.set_current_step(axis, step)

    def contrast(self, name: str, low: float, high: float) -> None:
        self.viewer.layers[name].contrast_limits = (low, high)

    def clear(self) -> None:
        self.session.clear()

    def replay(self) -> None:
        self.session.replay()

    def pause(self, paused: bool) -> None:
        self.session.pause(paused)

    def listen(self, address: str) -> None:
        """Fill in where to listen, and press the button."""
        self._widget.address.setText(address)
        self._widget.listening.click()

    def stop(self) -> None:
        self._widget.listening.click()

    def connect(self, address: str) -> None:
        """Fill in where a publisher listens, and press return."""
        self._widget.publisher.setText(address)
        self._widget.publisher.returnPressed.emit()

    @property
    def _widget(self):
        from openhcs_napari.widget import StreamWidget

        return self.viewer.window._qt_window.findChild(StreamWidget)

    def close(self) -> None:
        from qtpy.QtCore import QTimer

        QTimer.singleShot(100, self.viewer.window._qt_window.close)


def with_hands() -> int:
    """The program, with hands at its window."""
    from openhcs_core.streaming import viewer_process
    from openhcs_napari import __main__ as program
    from openhcs_napari import session

    wanted: list[list] = []

    def listen() -> None:
        for line in sys.stdin:
            wanted.append(json.loads(line)["do"])

    def tick(self, tick=session.Session._tick) -> None:
        while wanted:
            hands = Hands(self, self._viewer)
            action, *arguments = wanted.pop(0)
            getattr(hands, action)(*arguments)
            viewer_process.say("done", done=hands.look())
        tick(self)

    session.Session._tick = tick
    threading.Thread(target=listen, daemon=True).start()
    return program.main() if sys.argv[1:] != ["own"] else own_napari()


def own_napari() -> int:
    """napari as a user has it, with a layer of his own and the widget from the menu."""
    import napari

    from openhcs_core.streaming.viewer_process import say

    viewer = napari.Viewer()
    viewer.add_image(np.zeros((SIDE, SIDE)), name="own", contrast_limits=(0, 1))
    viewer.window.add_plugin_dock_widget("openhcs-omero", "Live results")
    say("ready", address=None)
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(with_hands())
