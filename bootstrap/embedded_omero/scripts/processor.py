"""omero-py's own script processor, run in this process as a client of the server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import omero
import omero.clients
import omero.processor
import omero.util.concurrency
from omero_ext.path import path as omero_path

from .. import slices  # noqa: F401, I001  (sets omero-py's temporary folder)

if TYPE_CHECKING:
    from ..server import EmbeddedOmero

log = logging.getLogger(__name__)


class LocalProcessor:
    """The real `omero.processor.ProcessorI`, which takes every official script.

    Parameters
    ----------
    server : EmbeddedOmero
    folder : Path
        For its configuration.
    """

    def __init__(self, server: EmbeddedOmero, folder: Path) -> None:
        home = folder / "processor"
        (home / "lib" / "server").mkdir(parents=True, exist_ok=True)
        (home / "etc").mkdir(exist_ok=True)
        config = home / "etc" / "ice.config"
        config.write_text("")
        host = "127.0.0.1" if server.host == "0.0.0.0" else server.host
        self._client = omero.client(host, server.port)
        self._client.setAgent("OMERO.processor")
        self._client.createSession(server.user, server.password)
        stop = omero.util.concurrency.get_event(name="LocalProcessor")
        self._impl = omero.processor.usermode_processor(
            self._client, serverid="Processor", cfg=str(config), accepts_list=[], stop_event=stop,
            omero_home=omero_path(str(home)),
        )  # fmt: skip

        # As on a server. A user's processor has no session of its own: omero-py then takes every running script for one
        # whose session has ended, and kills it at its check once a minute.
        self._impl.ctx.session = self._client.sf

    def stop(self) -> None:
        """Leave the server; running scripts are killed."""
        for part in (self._impl.cleanup, self._client.closeSession):
            try:
                part()
            except Exception:  # the server may be half gone already: the rest has to be cleaned up all the same
                log.debug("while stopping the processor", exc_info=True)
