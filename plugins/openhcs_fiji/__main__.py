"""``python -m openhcs_fiji``: ImageJ that shows results while they are made."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from openhcs_core.errors import OpenHCSError
from openhcs_core.screen import X, require_screen
from openhcs_core.streaming.endpoints import FIJI_PORT
from openhcs_core.streaming.viewer_process import ViewerOptions, say, start_receiver
from openhcs_fiji.errors import FijiError
from openhcs_fiji.java import start_java
from openhcs_fiji.server import FijiViewerServer

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Show images until ImageJ is quit, or somebody asks for the end.

    Parameters
    ----------
    arguments : sequence of str, optional
        As `ViewerOptions` takes them.

    Returns
    -------
    int
        Status of the process: 0 after a clean end, 1 if it cannot start.
    """
    options = ViewerOptions.parse("ImageJ", FIJI_PORT, arguments)
    say("started")
    try:
        require_screen("ImageJ", X)
        jpype = start_java()
        say("imported")
        server = FijiViewerServer(jpype, options.title)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stopping.set())
        try:
            server.open()
        except jpype.JException as error:
            raise FijiError(
                f"ImageJ opens no window: {error}. Check DISPLAY ({os.environ.get('DISPLAY', 'not set')}); Java also "
                "needs the packages libxi6 libxtst6 libxrender1 libxext6."
            ) from error
        say("window")
        receiver = start_receiver(server, "fiji", options, displays=True)
    except OpenHCSError as error:
        say("failed", error=str(error))
        return 1
    try:
        server.run(receiver)
    finally:
        receiver.close()
    return 0


def run() -> NoReturn:
    """Do it, and end the process: threads of Java would keep it alive, whatever happens here.

    Its windows go with it. Closing them one by one could wait for ever: AWT loses events while ImageJ is being quit.
    """
    status: object = 1
    try:
        status = main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        logger.exception("The viewer fails.")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    run()
