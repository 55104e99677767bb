"""What a client may ask an execution server: one class for each command, its fields those of the JSON object.

``docs/messaging.md`` documents each with an example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from openhcs_core.execution.record import Output, State
from openhcs_core.streaming.errors import MessageError
from openhcs_core.streaming.wire import Buffer, LongText, read_json, read_object


@dataclass(frozen=True, kw_only=True)
class Request:
    """What all have.

    Attributes
    ----------
    session : str
        Key of a session of OMERO, which the server joins to find out who asks; of a server without OMERO, what
        `openhcs_core.execution.keys.local_session` reads.
    """

    command: ClassVar[str] = ""
    session: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Watched(Request):
    """What those have whose images somebody sees while they are made.

    Attributes
    ----------
    client_address : str
        Viewers that listen, as ``host:port`` or ``tcp://host:port/KEY``, several with spaces between; or "listen": the
        server listens, and says where in the answer to `Status`.
    client_key : str
        Public keys of these viewers, where the address has none.
    """

    client_address: str = ""
    client_key: str = ""


@dataclass(frozen=True, kw_only=True)
class Execute(Watched):
    """Run a pipeline.

    Attributes
    ----------
    pipeline_code : str
        Text of the pipeline; see `openhcs_core.pipeline.source`.
    config_code : str
        Text of a configuration, a ``GlobalPipelineConfig`` or ``PipelineConfig``.
    plate_id : int, optional
        Of a plate of OMERO.
    plate : str
        Instead of it: such as "Plate:12" or "Image:5,6"; of a server without OMERO, a folder.
    request_key : str
        Made up by the client, once for each run it wants: the same key again gets the same execution.
    wells : sequence of str
        All if empty.
    workers : int, optional
        Wells at a time, if fewer than the server gives.
    outputs : sequence of {"images", "masks", "tables"}
        What is saved in OMERO; everything if empty.
    resume : bool
        Whether wells that an earlier run of the same pipeline has finished are left alone.
    """

    command: ClassVar[str] = "execute"
    pipeline_code: LongText
    config_code: LongText = LongText("")
    plate_id: int | None = None
    plate: str = ""
    request_key: str = ""
    wells: tuple[str, ...] = ()
    workers: int | None = None
    outputs: tuple[Output, ...] = ()
    resume: bool = True


@dataclass(frozen=True, kw_only=True)
class Status(Request):
    """How an execution is doing."""

    command: ClassVar[str] = "status"
    execution_id: str


@dataclass(frozen=True, kw_only=True)
class List(Request):
    """Executions of the user, newest first.

    Attributes
    ----------
    state : str, optional
        Only those in it.
    everyone : bool
        Those of all users; for administrators of OMERO.
    limit : int
    """

    command: ClassVar[str] = "list"
    state: State | None = None
    everyone: bool = False
    limit: int = 100


@dataclass(frozen=True, kw_only=True)
class Cancel(Request):
    """End an execution; finished wells stay."""

    command: ClassVar[str] = "cancel"
    execution_id: str


@dataclass(frozen=True, kw_only=True)
class Resume(Watched):
    """Go on with an execution that has ended before its work was done, in this session."""

    command: ClassVar[str] = "resume"
    execution_id: str


@dataclass(frozen=True, kw_only=True)
class Logs(Request):
    """Part of the log of an execution.

    Attributes
    ----------
    execution_id : str
    offset : int, optional
        Byte to begin at; the last part of the log unless given.
    """

    command: ClassVar[str] = "logs"
    execution_id: str
    offset: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ping(Request):
    """Are you there? Needs no session."""

    command: ClassVar[str] = "ping"


COMMANDS: dict[str, type[Request]] = {
    kind.command: kind for kind in (Execute, Status, List, Cancel, Resume, Logs, Ping)
}


def read_request(text: Buffer) -> Request:
    """The request in a message.

    Raises
    ------
    MessageError
        If it is none; with the field that is wrong.
    """
    table = read_json(text)
    table.setdefault("command", table.pop("type", None))  # {"type": "ping"}, as viewers are pinged
    command = table.pop("command")
    if not isinstance(command, str) or command not in COMMANDS:
        raise MessageError(f"There is no such command. Commands: {', '.join(COMMANDS)}.", "command")
    return read_object(COMMANDS[command], table, command)


def request_table(request: Request) -> Mapping[str, Any]:
    """A request as a table for JSON, without what is left at its default."""
    given = {item.name: getattr(request, item.name) for item in fields(request)}
    return {"command": request.command} | {
        item.name: given[item.name] for item in fields(request) if given[item.name] != item.default
    }
