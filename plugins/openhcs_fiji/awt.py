"""The thread of Java's windows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0


def on_screen(jpype: Any, work: Callable[[], object], patience_s: float = 0.0) -> None:
    """Have something done in the thread of Java's windows.

    Windows are closed there: ``Window.dispose`` of another thread waits for that thread without end, and if a window is
    closed twice at a time, by its user or because ImageJ is being quit, Java drops what the second one waits for.

    Parameters
    ----------
    jpype : module
    work : callable
    patience_s : float
        So long it is waited for.
    """
    done = threading.Event()

    def run() -> None:
        try:
            work()
        except Exception:
            logger.exception("A window fails.")
        finally:
            done.set()

    jpype.JClass("java.awt.EventQueue").invokeLater(jpype.JProxy("java.lang.Runnable", dict={"run": run}))
    if patience_s:
        done.wait(patience_s)
