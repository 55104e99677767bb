"""IConfig: settings of the server, its version and its clock."""

from __future__ import annotations

import re
import uuid

from omero.rtypes import RTimeI, rtime

from .. import errors
from ..context import Call
from ..store import now_ms

VERSION = "5.6.12"  # the release whose answers this server gives
_DEFAULTS = {
    "omero.client.browser.thumb_default_size": "96",
    "omero.client.download_as.max_size": "144000000",
    "omero.client.icetransports": "ssl,tcp",
    "omero.client.scripts_to_ignore": (  # web clients have dialogs of their own for these
        "/omero/figure_scripts/Movie_Figure.py,/omero/figure_scripts/Split_View_Figure.py,"
        "/omero/figure_scripts/Thumbnail_Figure.py,/omero/figure_scripts/ROI_Split_Figure.py,"
        "/omero/export_scripts/Make_Movie.py,/omero/import_scripts/Populate_ROI.py"
    ),
    "omero.client.ui.menu.dropdown.colleagues.enabled": "true",
    "omero.client.ui.menu.dropdown.colleagues.label": "Members",
    "omero.client.ui.menu.dropdown.everyone.enabled": "true",
    "omero.client.ui.menu.dropdown.everyone.label": "All Members",
    "omero.client.ui.menu.dropdown.leaders.enabled": "true",
    "omero.client.ui.menu.dropdown.leaders.label": "Owners",
    "omero.client.ui.tree.orphans.description": "Images which are in no dataset.",
    "omero.client.ui.tree.orphans.enabled": "true",
    "omero.client.ui.tree.orphans.name": "Orphaned Images",
    "omero.client.ui.tree.type_order": "tagset,tag,project,dataset,screen,plate,acquisition,image",
    "omero.client.viewer.initial_zoom_level": "0",
    "omero.client.viewer.interpolate_pixels": "true",
    "omero.client.viewer.roi_limit": "2000",
    "omero.client.web.host": "",
    "omero.cluster.read_only.runtime.db": "false",
    "omero.cluster.read_only.runtime.repo": "false",
    "omero.mail.config": "false",
    "omero.pixeldata.max_plane_height": "3192",
    "omero.pixeldata.max_plane_width": "3192",
    "omero.policy.binary_access": "+read,+write,+image",
    "omero.scripts.timeout": "3600000",
    "omero.security.password_required": "true",
    "omero.sessions.max_user_time_to_idle": "6000000",
    "omero.sessions.max_user_time_to_live": "0",
    "omero.sessions.timeout": "600000",
    "omero.upgrades.url": "http://upgrade.openmicroscopy.org.uk/",
    "omero.version": VERSION,
}
# What ordinary users may read; everything else is for administrators.
_PUBLIC = re.compile(
    r"omero\.(client\.|cluster\.read_only\.runtime\.|mail\.config$|pixeldata\.max_plane_|router\.insecure$"
    r"|security\.password_required$|upgrades\.url$|version$)"
)


class Config:
    """omero.api.IConfig."""

    def getVersion(self, call: Call) -> str:
        return VERSION

    def getConfigValue(self, call: Call, key: str) -> str:
        if not self._may_read(call, key):
            raise errors.security(f"Cannot read configuration: {key}")
        return self._values(call).get(key, "")

    def getConfigValues(self, call: Call, keyRegex: str) -> dict[str, str]:
        try:
            wanted = re.compile(keyRegex)
        except re.error as exc:
            raise errors.api_usage(f"Not a regular expression: {keyRegex}: {exc}") from None
        return {k: v for k, v in self._values(call).items() if wanted.search(k) and self._may_read(call, k)}

    def getConfigDefaults(self, call: Call) -> dict[str, str]:
        self._only_for_system(call)
        return dict(_DEFAULTS)

    def getClientConfigValues(self, call: Call) -> dict[str, str]:
        return {k: v for k, v in self._values(call).items() if k.startswith("omero.client.")}

    def getClientConfigDefaults(self, call: Call) -> dict[str, str]:
        return {k: v for k, v in _DEFAULTS.items() if k.startswith("omero.client.")}

    def setConfigValue(self, call: Call, key: str, value: str) -> None:
        self._only_for_system(call)
        if value:
            call.core.config[key] = value
        else:
            call.core.config.pop(key, None)

    def setConfigValueIfEquals(self, call: Call, key: str, value: str, test: str) -> bool:
        self._only_for_system(call)
        equal = self._values(call).get(key, "") == test
        if equal:
            self.setConfigValue(call, key, value)
        return equal

    def getDatabaseUuid(self, call: Call) -> str:
        return call.core.config.setdefault("omero.db.uuid", str(uuid.uuid4()))

    def getDatabaseTime(self, call: Call) -> RTimeI:
        return rtime(now_ms())

    getServerTime = getDatabaseTime

    @staticmethod
    def _values(call: Call) -> dict[str, str]:
        return {**_DEFAULTS, "omero.data.dir": str(call.core.data_dir), **call.core.config}

    @staticmethod
    def _may_read(call: Call, key: str) -> bool:
        return call.is_admin or _PUBLIC.match(key) is not None

    @staticmethod
    def _only_for_system(call: Call) -> None:
        if not call.is_admin:
            names = ", ".join(g["name"] for g in call.core.accounts.groups_of(call.user))
            raise errors.security(
                f"No matching roles found in [{names}] for session {call.session.uuid} (allowed: [system])"
            )
