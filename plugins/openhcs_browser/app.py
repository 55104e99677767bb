"""The image browser as a program of its own."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys

from openhcs_core.errors import OpenHCSError
from openhcs_core.screen import QT, require_screen

logger = logging.getLogger(__name__)

INSTALL = 'pip install "openhcs-omero[browser]" PyQt6'


def run(server: str = "", port: int = 0, user: str = "") -> int:
    """Show the browser until its window is closed; return the exit status.

    Raises
    ------
    OpenHCSError
        If there is no Qt, no omero-py or no screen.
    """
    try:
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication

        from openhcs_browser.widget import ImageBrowser
    except ImportError as error:  # also of qtpy where there is no Qt
        raise OpenHCSError(f"The image browser needs more packages ({error}). Install them with: {INSTALL}") from error
    _check_screen()
    # With the usual one, PyQt ends the process after any exception.
    sys.excepthook = lambda *error: logger.critical("This is a fault of the image browser", exc_info=error)
    application = QApplication(sys.argv[:1])
    application.setApplicationName("OpenHCS image browser")
    browser = ImageBrowser(server=server, port=port, user=user)
    browser.resize(1180, 820)
    browser.show()
    signal.signal(signal.SIGINT, lambda *_: application.quit())
    awake = QTimer()  # Python hears of signals only between its own instructions
    awake.timeout.connect(lambda: None)
    awake.start(200)
    return int(application.exec())


def _check_screen() -> None:
    """Find out in another process whether Qt can open windows: where it cannot, it ends the process."""
    require_screen("The image browser", QT)
    probe = [sys.executable, "-c", "from qtpy.QtWidgets import QApplication; QApplication([])"]
    result = subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace")
    if result.returncode:
        reasons = [line for line in result.stderr.splitlines() if line.strip()]
        raise OpenHCSError(
            "Qt cannot open a window here: " + (reasons[0] if reasons else f"it ended with {result.returncode}")
        )
