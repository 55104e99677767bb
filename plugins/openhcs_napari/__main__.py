"""The program ``python -m openhcs_napari``: a window of napari that shows results while they are made."""

from __future__ import annotations

import gc
import logging
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from openhcs_core.errors import OpenHCSError
from openhcs_core.screen import QT, require_screen
from openhcs_core.streaming.endpoints import NAPARI_PORT
from openhcs_core.streaming.viewer_process import ViewerOptions, make_receiver, say, serve
from openhcs_napari.plugin import missing

if TYPE_CHECKING:
    from napari.viewer import Viewer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; its exit status."""
    options = ViewerOptions.parse("napari", NAPARI_PORT, arguments)
    logging.basicConfig(format="%(levelname)s %(message)s")
    say("started")
    try:
        lacking = missing()
        if lacking:
            raise OpenHCSError(lacking)
        require_screen("napari", QT)
        _run(options)
    except Exception as error:
        if not isinstance(error, OpenHCSError):
            logging.getLogger(__name__).exception("The viewer fails.")
        say("failed", error=str(error) or type(error).__name__)
        return 1
    return 0


def _run(options: ViewerOptions) -> None:
    from openhcs_napari.streams import Streams

    streams = Streams()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: streams.shutdown("a signal"))
    sys.setswitchinterval(0.0005)  # neither the receiver nor the window is to wait long for the other's Python
    # First, since images wait in memory for the window.
    receiver, keys = make_receiver(streams, "napari", options, displays=True)
    with receiver:
        import napari
        from napari.settings import get_settings
        from napari.viewer import Viewer

        from openhcs_napari.session import Session
        from openhcs_napari.widget import StreamWidget

        say("imported")
        viewer = Viewer(title=options.title or "OpenHCS live results", show=True)
        if get_settings().application.window_size is None:  # else as the user left it
            viewer.window.resize(1400, 900)
        _warm_up(viewer)

        def end(_reason: str) -> None:
            session.close()  # no timer may find the window gone
            viewer.close()

        session = Session(viewer, streams, end)
        session.adopt(receiver, keys)
        viewer.window.add_dock_widget(StreamWidget(viewer), name="Live results", area="right")
        gc.collect()
        gc.freeze()  # to look through all of napari's objects again would stop the window for some 70 ms
        say("window")
        serve(streams, options, receiver, keys)
        napari.run()
        session.close()


def _warm_up(viewer: Viewer) -> None:
    """Have everything compiled that drawing needs, while nobody waits for it."""
    import numpy as np
    from qtpy.QtWidgets import QApplication

    planes = np.zeros((2, 2, 16, 16), np.uint16)
    viewer.add_image(planes, contrast_limits=(0, 1), blending="additive", visible=False)
    viewer.add_labels(planes, visible=False)
    viewer.add_points(np.zeros((1, 4)), visible=False)
    viewer.text_overlay.text = "z"
    for overlay in (viewer.text_overlay, viewer.scale_bar):
        overlay.visible = True
    QApplication.processEvents()
    viewer.layers.clear()
    viewer.text_overlay.text = ""
    for overlay in (viewer.text_overlay, viewer.scale_bar):
        overlay.visible = False
    QApplication.processEvents()


if __name__ == "__main__":
    sys.exit(main())
