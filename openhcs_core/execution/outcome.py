"""What becomes of the record of an execution when its process tells something, or ends."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from openhcs_core.execution.child import LOST, STOPPED
from openhcs_core.execution.record import Execution, State

Ending = Literal["cancelled", "interrupted"]
"""Why the server has ended a process."""

GOES_ON = "Resume it: finished wells are skipped."
SAID: dict[Ending, str] = {
    "cancelled": "Cancelled. Finished wells stay; it can be resumed.",
    "interrupted": f"The execution server ended while it ran. {GOES_ON}",
}
_TOLD = {
    "message": str,
    "traceback": str,
    "run": str,
    "wells_processed": int,
    "wells_total": int,
}


def progressed(execution: Execution, event: Mapping[str, Any]) -> Execution:
    """The execution after an event "progress" of its process.

    Notes
    -----
    The process counts the wells that it works on; those before that earlier attempts have finished are the rest.
    """
    told = replace(execution, message=str(event.get("message", "")))
    items, total = event.get("items") or 0, event.get("total") or 0
    if not items:
        return told
    wells = max(execution.wells_total, items)
    before = wells - items
    return replace(
        told,
        wells_total=wells,
        wells_processed=before + int(event.get("wells") or 0),
        percent=int(100 * (before + items * (event.get("done") or 0) / (total or 1)) / wells),
        rate=event.get("rate"),
        unit=str(event.get("unit") or ""),
        seconds_left=event.get("seconds_left"),
    )


def ended(
    execution: Execution, event: Mapping[str, Any] | None, code: int, ending: Ending | None, now: float
) -> tuple[Execution, bool]:
    """The execution after the end of its process.

    Parameters
    ----------
    execution : Execution
    event : mapping or None
        The last that it told, "ended"; None if it could not.
    code : int
        Exit status, negative for signals.
    ending : {"cancelled", "interrupted"} or None
        Why the server has ended it, if it did.
    now : float
        Seconds since 1970.

    Returns
    -------
    execution : Execution
    lost : bool
        Whether that was for want of OMERO.server, so that it may be tried again.
    """
    event = event or {}
    told: dict[str, Any] = {"message": ""}
    told |= {name: event[name] for name, kind in _TOLD.items() if isinstance(event.get(name), kind)}
    results = event.get("results")
    if isinstance(results, list):
        told["results"] = tuple(str(result) for result in results)
    execution = replace(execution, rate=None, seconds_left=None, ended=now, **told)
    state: State = "failed"
    if event.get("state") == "completed":
        return replace(execution, state="completed", percent=100), False
    if ending is None and event.get("state") == STOPPED:  # by somebody else's SIGTERM
        ending = "interrupted"
    if ending is not None:
        return replace(execution, state=ending, message=SAID[ending], traceback=""), False
    if not event:
        execution = replace(execution, message=f"{_crash(code)} {GOES_ON}", traceback="")
    return replace(execution, state=state), event.get("state") == LOST


def _crash(code: int) -> str:
    if code >= 0:
        return f"Its process ended with exit status {code}; its log may tell why."
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    why = ", perhaps for want of memory" if name == "SIGKILL" else ""
    return f"Its process was ended by {name}{why}."
