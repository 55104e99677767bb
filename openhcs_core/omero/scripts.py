"""Registration of the scripts of this distribution on an OMERO.server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import omero
from omero.model import OriginalFileI

from openhcs_core.omero.errors import OmeroError, said_by_server

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


@dataclass(frozen=True)
class Script:
    """A script of this distribution and its state on a server.

    Attributes
    ----------
    path : str
        On the server, such as ``/openhcs/export_scripts/IMS_Export.py``. It is what the menu shows.
    text : str
        Of this distribution.
    id : int or None
        On the server; None if it is not there.
    state : {"current", "outdated", "missing"}
        Of the server.
    """

    path: str
    text: str
    id: int | None
    state: str


@dataclass(frozen=True)
class Outcome:
    """What was done with one script.

    Attributes
    ----------
    path : str
    id : int or None
    action : str
        For people: what was done.
    problem : str
        Why the script cannot be used; empty if it can.
    """

    path: str
    id: int | None
    action: str
    problem: str = ""


def bundled_scripts() -> dict[str, str]:
    """Texts of all scripts of this distribution by their path on a server."""
    return dict(sorted(_scripts_below(files("omero_scripts"), "")))


def script_states(client: omero.client) -> list[Script]:
    """All scripts of this distribution as a server has them, compared by path and SHA-1.

    Parameters
    ----------
    client : omero.client
        With a session of any user.
    """
    service = client.sf.getScriptService()
    states = []
    for path, text in bundled_scripts().items():
        number = service.getScriptID(path)
        if number < 0:
            states.append(Script(path, text, None, "missing"))
        else:
            same = _sha1(service.getScriptText(number)) == _sha1(text)
            states.append(Script(path, text, number, "current" if same else "outdated"))
    return states


def register_scripts(client: omero.client, *, dry_run: bool = False) -> list[Outcome]:
    """Bring all scripts of this distribution onto a server, and ask it for the parameters of each.

    Scripts that are there and equal are left alone; others keep their id and get the new text.

    Parameters
    ----------
    client : omero.client
        With a session of an administrator, or of a user with the privilege WriteScriptRepo.
    dry_run : bool
        Only tell what would be done.

    Raises
    ------
    OmeroError
        If the user may not register scripts.
    """
    planned = {"missing": "upload", "outdated": "update", "current": "leave as it is"}
    done = {"missing": "uploaded", "outdated": "updated", "current": "already current"}
    if dry_run:
        return [Outcome(script.path, script.id, f"would {planned[script.state]}") for script in script_states(client)]
    outcomes = []
    for script in script_states(client):
        number, problem = script.id, ""
        try:
            number = _bring(client.sf.getScriptService(), script)
        except omero.SecurityViolation as error:
            raise OmeroError(
                "You may not register scripts: an administrator of OMERO may, and users with the privilege "
                f"WriteScriptRepo. ({error.message})"
            ) from error
        except omero.ServerError as error:
            problem = f"the server refused it: {said_by_server(error)}"
        outcomes.append(Outcome(script.path, number, done[script.state], problem))
    return [outcome if outcome.problem else _verified(client, outcome) for outcome in outcomes]


def remove_scripts(client: omero.client, *, dry_run: bool = False) -> list[Outcome]:
    """Remove all scripts of this distribution from a server; for the arguments see `register_scripts`."""
    service = client.sf.getScriptService()
    outcomes = []
    for script in script_states(client):
        if script.id is None:
            outcomes.append(Outcome(script.path, None, "not there"))
            continue
        outcome = Outcome(script.path, script.id, "would remove" if dry_run else "removed")
        if not dry_run:
            try:
                service.deleteScript(script.id)
            except omero.SecurityViolation as error:
                raise OmeroError(f"You may not remove scripts: {error.message}.") from error
            except omero.ServerError as error:
                outcome = replace(outcome, action="left", problem=f"the server refused: {said_by_server(error)}")
        outcomes.append(outcome)
    return outcomes


def _scripts_below(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _scripts_below(entry, f"{path}/{entry.name}")
        elif entry.name.endswith(".py"):
            text = entry.read_bytes().decode("utf-8")
            if text:
                yield f"{path}/{entry.name}", text


def _bring(service: Any, script: Script) -> int:
    if script.id is None:
        return int(service.uploadOfficialScript(script.path, script.text))
    if script.state == "outdated":
        service.editScript(OriginalFileI(script.id, False), script.text)
    return script.id


def _verified(client: omero.client, outcome: Outcome) -> Outcome:
    """The same, with what is wrong when the server asks the script for its parameters."""
    try:
        parameters = client.sf.getScriptService().getParams(outcome.id)
    except omero.ServerError as error:
        return replace(outcome, problem=f"its parameters cannot be had: {said_by_server(error)}")
    if parameters is None:
        return replace(outcome, problem="the server cannot tell its parameters; is a script processor running?")
    return outcome


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
