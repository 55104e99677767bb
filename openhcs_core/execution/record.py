"""What is known of an execution: kept by the server, told to the client."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

State = Literal["queued", "running", "completed", "failed", "cancelled", "interrupted"]
STATES: tuple[str, ...] = get_args(State)
Output = Literal["images", "masks", "tables"]
OUTPUTS: tuple[str, ...] = get_args(Output)
"""What may be saved in OMERO."""
ENDED = ("completed", "failed", "cancelled", "interrupted")
RESUMABLE = ("failed", "cancelled", "interrupted")

_STATUS = {"queued": "accepted", "running": "running", "completed": "completed"}


@dataclass(frozen=True, kw_only=True)
class Execution:
    """An execution.

    Attributes
    ----------
    execution_id : str
        A UUID.
    state : str
        "queued", "running"; "completed": all wells are done; "failed": some or all are not; "cancelled": by its user;
        "interrupted": by the end of the server.
    plate : str
        What it runs on, such as "Plate:12".
    user_id : int
        Of OMERO.
    user : str
        Name of that user.
    created : float
        Seconds since 1970; so `started` (of the last attempt) and `ended`.
    message : str
        What happens, for people: what it waits for, what came out, what went wrong.
    wells_processed, wells_total : int
        Wells that are done, those of earlier attempts counted; the total is 0 while it is unknown.
    percent : int
    rate : float, optional
        Of late, in `unit` per second.
    unit : str
    seconds_left : float, optional
        As the rate lets expect.
    text_hash : str
        SHA-256 of the text of the pipeline.
    results : tuple of str
        Such as "Plate:15" or "FileAnnotation:3".
    stream : str
        What a viewer needs: the address where results can be had, or the public key of who sends them.
    run : str
        Identity of the run, that of its annotation in OMERO.
    traceback : str
        Of what went wrong.
    attempts : int
        How often it was started.
    ahead : int
        Of a queued one: executions before it.
    """

    execution_id: str
    state: State
    plate: str
    user_id: int
    user: str
    created: float
    started: float | None = None
    ended: float | None = None
    message: str = ""
    wells_processed: int = 0
    wells_total: int = 0
    percent: int = 0
    rate: float | None = None
    unit: str = ""
    seconds_left: float | None = None
    text_hash: str = ""
    results: tuple[str, ...] = ()
    stream: str = ""
    run: str = ""
    traceback: str = ""
    attempts: int = 0
    ahead: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state in ENDED

    @property
    def can_resume(self) -> bool:
        """Whether it can be gone on with; finished wells are skipped then."""
        return self.state in RESUMABLE

    def table(self) -> dict[str, Any]:
        """For JSON, with `status` in the words of the first protocol: accepted, running, completed or error."""
        return {"status": _STATUS.get(self.state, "error")} | asdict(self)

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Execution:
        """What `table` made; fields of newer servers are left out."""
        known = {item.name for item in fields(cls)}
        given = {name: value for name, value in table.items() if name in known}
        return cls(**given | {"results": tuple(given.get("results", ()))})
