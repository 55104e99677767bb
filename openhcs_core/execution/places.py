"""Folders of an execution server: its state and its logs."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from openhcs_core.execution.errors import ExecutionError
from openhcs_core.settings import Settings

SYSTEM_STATE, SYSTEM_LOGS = Path("/var/lib/openhcs"), Path("/var/log/openhcs")
"""Used where they exist and can be written to, unless the settings name others."""


@dataclass(frozen=True)
class Folders:
    """Where a server keeps what it has to.

    Attributes
    ----------
    state : Path
        Its keys, and the records of executions.
    logs : Path
    """

    state: Path
    logs: Path

    def execution_log(self, execution_id: str) -> Path:
        """The log of an execution.

        Raises
        ------
        ExecutionError
            If that is no id of an execution.
        """
        return self.logs / "executions" / f"{checked_id(execution_id)}.log"


def folders(settings: Settings) -> Folders:
    """The folders of the settings, else those of the system, else those of this user; made if they are not there.

    Raises
    ------
    ExecutionError
        If one cannot be made or written to.
    """
    home = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()) / "openhcs"
    found = Folders(
        _made(settings.server_state, "server_state", SYSTEM_STATE, home),
        _made(settings.server_logs, "server_logs", SYSTEM_LOGS, home / "logs"),
    )
    _make(found.logs / "executions", "server_logs")
    return found


def checked_id(text: str) -> str:
    """The id of an execution in its usual form.

    Raises
    ------
    ExecutionError
        If that is none: nothing else becomes part of a path.
    """
    try:
        found = str(uuid.UUID(text))
    except (ValueError, AttributeError, TypeError):
        found = ""
    if not found or found != text:
        raise ExecutionError("There is no such execution: ids are UUIDs.", "unknown", "execution_id")
    return found


def _made(wanted: Path | None, setting: str, system: Path, home: Path) -> Path:
    if wanted is None:
        wanted = system if os.access(system, os.W_OK | os.X_OK) else home
    _make(wanted, setting)
    return wanted


def _make(folder: Path, setting: str) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        problem = "" if os.access(folder, os.R_OK | os.W_OK | os.X_OK) else "it may not be written to"
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        raise ExecutionError(
            f"The folder {folder} cannot be used: {problem}. Set another as {setting} in openhcs.toml."
        )
