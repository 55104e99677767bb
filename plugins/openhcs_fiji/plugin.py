"""What this plugin offers."""

from __future__ import annotations

from openhcs_core.hookspecs import ViewerSpec, hookimpl
from openhcs_core.streaming.endpoints import FIJI_PORT


@hookimpl
def openhcs_viewers() -> list[ViewerSpec]:
    """ImageJ; Java is looked for when it is first asked for."""

    def missing() -> str:
        from openhcs_fiji.java import missing

        return missing()

    return [ViewerSpec("fiji", "ImageJ or Fiji: hyperstacks that grow", FIJI_PORT, "openhcs_fiji", missing)]
