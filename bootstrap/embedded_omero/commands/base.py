"""What the commands have in common: how they refuse, and how they report objects."""

from __future__ import annotations

from collections.abc import Iterable

import omero
import omero.cmd

from ..store import Record


class Refused(Exception):
    """A command which cannot be done.

    Parameters
    ----------
    response : omero.cmd.ERR
        What the client gets.
    step : int
        The step which failed, as the status of the handle tells it.
    """

    def __init__(self, response: omero.cmd.ERR, step: int = 0) -> None:
        super().__init__(getattr(response, "message", "") or response.parameters.get("message", ""))
        self.response = response
        self.step = step


def refused(name: str, message: str, step: int = 0) -> Refused:
    """A refusal as a plain ERR, such as ``bad-target``."""
    return Refused(omero.cmd.ERR(name=name, parameters={"message": message, "stacktrace": message}), step)


def graph_refused(message: str, step: int = 1) -> Refused:
    """A refusal because of how objects hang together, or of the rights on one of them."""
    parameters = {"message": "", "stacktrace": message}
    return Refused(omero.cmd.GraphException(name="graph-fail", parameters=parameters, message=message), step)


def label(record: Record, java: bool = False) -> str:
    """``Image[3]``, or with its package ``ome.model.core.Image[3]``."""
    return f"{record.entity.java if java else record.entity.name}[{record.id}]"


def by_class(records: Iterable[Record]) -> dict[str, list[int]]:
    """Sorted ids by Java class name, as responses list them."""
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(record.entity.java, []).append(record.id)
    return {name: sorted(ids) for name, ids in found.items()}
