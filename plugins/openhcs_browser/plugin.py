"""What the plugin adds: the command ``openhcs browse``."""

from __future__ import annotations

from openhcs_browser.command import add_options
from openhcs_core.hookspecs import CommandSpec, hookimpl


@hookimpl
def openhcs_commands() -> list[CommandSpec]:
    return [CommandSpec("browse", "walk through OMERO with thumbnails and view images in napari or Fiji", add_options)]
