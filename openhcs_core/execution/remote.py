"""Run pipelines on an execution server, as if it were here."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from openhcs_core.execution.client import PORT, RETRIES, TIMEOUT_S, RemoteTraceback, ServerClient, server_at
from openhcs_core.execution.errors import ExecutionError
from openhcs_core.execution.receiving import CallbackSink, DirectorySink
from openhcs_core.execution.record import Execution
from openhcs_core.execution.requests import Cancel, Execute, List, Logs, Ping, Resume, Status
from openhcs_core.execution.sinks import Sink, ViewerSink, get_local_ip, opened
from openhcs_core.execution.waiting import wait_for_end
from openhcs_core.progress import Listener
from openhcs_core.settings import Settings, load_settings
from openhcs_core.streaming.endpoints import NAPARI_PORT, parse, tcp
from openhcs_core.streaming.sockets import Server
from openhcs_core.streaming.wire import LongText

if TYPE_CHECKING:
    from openhcs_core.pipeline.config import GlobalPipelineConfig
    from openhcs_core.pipeline.source import Pipeline
    from openhcs_core.pipeline.step import FunctionStep

__all__ = ["CallbackSink", "DirectorySink", "RemoteOrchestrator", "ViewerSink", "get_local_ip"]

HEALTH_PORT = Settings.server_health_port
LOG_POLL_S = 0.5


class RemoteOrchestrator:
    """Runs pipelines on an execution server. For any thread.

    Parameters
    ----------
    server_host : str
        Name or address of the server; or all that is needed of it, as it prints when it starts:
        ``tcp://HOST:PORT/KEY``.
    server_port : int
    omero_conn : BlitzGateway or omero.client, optional
        The session that everything is done in. Without it the server must be one without OMERO, of this user on this
        machine.
    server_key : str, optional
        Public key of the server; that of ``known_servers`` in openhcs.toml unless given. No other server is talked to.
    timeout_s : float
        How long the server may take to answer.
    retries : int
        How often a question is put again that got no answer.

    Raises
    ------
    OpenHCSError
        If the address makes no sense, or there is no key.

    Attributes
    ----------
    server : Server
    server_host : str

    Examples
    --------
    >>> remote = RemoteOrchestrator("gpu.example.org", omero_conn=conn)
    >>> execution = remote.run_remote_pipeline(12, [FunctionStep(max_projection)])
    >>> execution.results
    ('Plate:15',)
    """

    def __init__(
        self,
        server_host: str,
        server_port: int = PORT,
        omero_conn: Any = None,
        *,
        server_key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
    ) -> None:
        self.server = server_at(server_host, server_port, server_key)
        self.server_host = parse(self.server.endpoint).host
        self._client = ServerClient(self.server, timeout_s, retries)
        self._omero = omero_conn

    def run_remote_pipeline(
        self,
        plate_id: int | str,
        pipeline: str | Pipeline | Sequence[FunctionStep],
        config: str | GlobalPipelineConfig | None = None,
        viewer_port: int = NAPARI_PORT,
        *,
        viewer: str = "napari",
        sink: Sink | Sequence[Sink] | None = None,
        progress: Listener | None = None,
        **more: Any,
    ) -> Execution:
        """Run a pipeline to its end, and show what it makes meanwhile.

        Parameters
        ----------
        plate_id, pipeline, config
            See `execute_remote`.
        viewer_port : int
            Of the viewer.
        viewer : str
            That is opened, unless `sink` is given.
        sink : Sink or sequence of Sink, optional
            Where images go instead: `ViewerSink`, `DirectorySink`, `CallbackSink`; an empty sequence for nowhere.
        progress : callable, optional
            See `wait`.
        more
            See `execute_remote`.

        Returns
        -------
        Execution
            Completed or cancelled.

        Raises
        ------
        ExecutionError
            If the server refuses it, or it fails: with the message and the traceback of the server. What is finished is
            kept; `resume` goes on.
        OpenHCSError
            If a sink cannot be opened.
        """
        sinks = [ViewerSink(viewer, viewer_port)] if sink is None else [sink] if isinstance(sink, Sink) else list(sink)
        with opened(sinks, self.server_host) as told:
            execution_id = self.execute_remote(plate_id, pipeline, config, **told, **more)
            execution = self.wait(execution_id, progress, sinks=sinks)
        if execution.state in ("completed", "cancelled"):
            return execution
        became = "has failed" if execution.state == "failed" else f"was {execution.state}"
        raise ExecutionError(
            f"Execution {execution_id} {became}; it can be resumed. {execution.message}",
            "failed",
            traceback=execution.traceback,
        ) from (RemoteTraceback(execution.traceback) if execution.traceback else None)

    def execute_remote(
        self,
        plate_id: int | str,
        pipeline: str | Pipeline | Sequence[FunctionStep],
        config: str | GlobalPipelineConfig | None = None,
        *,
        wells: Sequence[str] = (),
        workers: int | None = None,
        outputs: Sequence[str] = (),
        resume: bool = True,
        client_address: str = "",
        client_key: str = "",
        request_key: str = "",
    ) -> str:
        """Hand a pipeline over to the server, which runs it whatever becomes of this program.

        Parameters
        ----------
        plate_id : int or str
            Id of a plate, or any place such as "Image:5,6"; of a server without OMERO, a folder.
        pipeline : str, Pipeline or sequence of FunctionStep
            It travels as text. It is checked on the server alone, which knows its functions and GPUs.
        config : str, PipelineConfig or GlobalPipelineConfig, optional
            For a pipeline whose text sets none itself.
        wells : sequence of str
            All if empty.
        workers : int, optional
            Wells at a time, if fewer than the server gives.
        outputs : sequence of {"images", "masks", "tables"}
            What is saved in OMERO; everything if empty.
        resume : bool
            Whether wells that an earlier run of the same pipeline has finished are left alone.
        client_address, client_key : str
            Who sees results meanwhile; see `openhcs_core.execution.sinks.opened`.
        request_key : str
            The same key gets the same execution; a new one unless given.

        Returns
        -------
        str
            Id of the execution.

        Raises
        ------
        ExecutionError
            If the server refuses it or does not answer.
        PipelineError
            If the pipeline has no form as text.
        """
        place: dict[str, Any] = {"plate_id": plate_id} if isinstance(plate_id, int) else {"plate": plate_id}
        request = Execute(
            session=self._session(),
            pipeline_code=LongText(_pipeline_code(pipeline)),
            config_code=LongText(_config_code(config)),
            wells=tuple(wells),
            workers=workers,
            outputs=tuple(outputs),  # type: ignore[arg-type]
            resume=resume,
            client_address=client_address,
            client_key=client_key,
            request_key=request_key or uuid.uuid4().hex,
            **place,
        )
        return _execution(self._client.ask(request)).execution_id

    def wait(
        self,
        execution_id: str,
        progress: Listener | None = None,
        timeout_s: float | None = None,
        *,
        sinks: Sequence[Sink] = (),
    ) -> Execution:
        """Wait for the end of an execution, whatever happens to server, network or this machine meanwhile.

        Parameters
        ----------
        execution_id : str
        progress : callable, optional
            Given a `Progress`: percent, rate and time left of the whole, wells done as `item` of `items`; with a total
            of 0, what is waited for, and that the server does not answer.
        timeout_s : float, optional
            For so long; without end unless given.
        sinks : sequence of Sink
            Are told who sends.

        Returns
        -------
        Execution
            As it has ended, however that was.

        Raises
        ------
        TimeoutError
            If it goes on when the time is up.
        ExecutionError
            If there is no such execution, the session is over, or, only at first, the server does not answer.
        """
        return self._wait(execution_id, progress, timeout_s, sinks)

    def status(self, execution_id: str) -> Execution:
        """How an execution is doing.

        Raises
        ------
        ExecutionError
            If there is no such execution of this user, or the server does not answer; also all methods below.
        """
        return self._status(execution_id)

    def list(self, state: str | None = None, *, everyone: bool = False, limit: int = 100) -> list[Execution]:
        """Executions of the user, newest first.

        Parameters
        ----------
        state : str, optional
            Only those in it; see `Execution`.
        everyone : bool
            Those of all users; for administrators of OMERO.
        limit : int
        """
        request = List(session=self._session(), state=state, everyone=everyone, limit=limit)  # type: ignore[arg-type]
        return [_execution(table) for table in self._client.ask(request)["executions"]]

    def cancel(self, execution_id: str) -> Execution:
        """End an execution; finished wells stay. It may take a moment: `wait` tells."""
        return _execution(self._client.ask(Cancel(session=self._session(), execution_id=execution_id)))

    def resume(self, execution_id: str, *, client_address: str = "", client_key: str = "") -> Execution:
        """Go on with an execution that has ended before its work was done, in this session.

        Parameters
        ----------
        execution_id : str
        client_address, client_key : str
            Who sees results meanwhile; see `openhcs_core.execution.sinks.opened`.
        """
        request = Resume(
            session=self._session(), execution_id=execution_id, client_address=client_address, client_key=client_key
        )
        return _execution(self._client.ask(request))

    def logs(self, execution_id: str) -> str:
        """The log of an execution, from its beginning."""
        return "".join(self.log_parts(execution_id))

    def log_parts(self, execution_id: str, offset: int | None = 0, *, follow: bool = False) -> Iterator[str]:
        """Yield the log of an execution part by part.

        Parameters
        ----------
        execution_id : str
        offset : int, optional
            Byte to begin at; the last part of the log unless given.
        follow : bool
            Wait for what is still written, to the end of the execution.
        """
        last = not follow
        while True:
            answer = self._client.ask(Logs(session=self._session(), execution_id=execution_id, offset=offset))
            offset = answer["next"]
            if answer["text"]:
                yield answer["text"]
            elif last:
                return
            else:
                time.sleep(LOG_POLL_S)
                last = self.status(execution_id).has_ended

    def ping(self) -> dict[str, Any]:
        """The server's answer to a ping: whether it is ready, its version. Needs no session."""
        return self._client.ask(Ping())

    def health(self, port: int = HEALTH_PORT) -> dict[str, Any]:
        """How the server is doing: executions, OMERO, GPUs, disks, problems. Needs no session."""
        endpoint = tcp(self.server_host, port)
        return ServerClient(Server(endpoint, self.server.public_key), timeout_s=5.0, retries=1).ask(Ping())

    async def execute_async(self, *arguments: Any, **named: Any) -> str:
        """`execute_remote`, without blocking the loop."""
        return await asyncio.to_thread(self.execute_remote, *arguments, **named)

    async def wait_async(
        self,
        execution_id: str,
        progress: Listener | None = None,
        timeout_s: float | None = None,
        *,
        sinks: Sequence[Sink] = (),
    ) -> Execution:
        """`wait`, without blocking the loop; `progress` is called in another thread. Ends when it is cancelled."""
        stopped = threading.Event()
        try:
            return await asyncio.to_thread(self._wait, execution_id, progress, timeout_s, sinks, stopped)
        finally:
            stopped.set()

    def _wait(
        self,
        execution_id: str,
        progress: Listener | None,
        timeout_s: float | None,
        sinks: Sequence[Sink],
        stopped: threading.Event | None = None,
    ) -> Execution:
        def ask() -> Execution:
            return self._status(execution_id, retries=0)

        return wait_for_end(self._status(execution_id), ask, progress, timeout_s, sinks, stopped)

    def _status(self, execution_id: str, retries: int | None = None) -> Execution:
        return _execution(self._client.ask(Status(session=self._session(), execution_id=execution_id), retries))

    def _session(self) -> str:
        if self._omero is not None:
            try:
                return str(getattr(self._omero, "c", self._omero).getSessionId())
            except Exception as error:  # whatever a client without a session has to say
                raise ExecutionError(
                    f"There is no session of OMERO: connect to it first, or again ({type(error).__name__}: {error}).",
                    "no_session",
                ) from error
        from openhcs_core.execution.keys import local_session
        from openhcs_core.execution.places import folders

        return local_session(folders(load_settings()).state)


def _execution(answer: Any) -> Execution:
    try:
        return Execution.from_table(answer)
    except (TypeError, AttributeError) as error:
        raise ExecutionError("The server's answer is not understood. Is it another version?") from error


def _pipeline_code(pipeline: str | Pipeline | Sequence[FunctionStep]) -> str:
    from openhcs_core.pipeline import Pipeline, generate_complete_pipeline_steps_code

    if isinstance(pipeline, str):
        return pipeline
    return pipeline.text if isinstance(pipeline, Pipeline) else generate_complete_pipeline_steps_code(pipeline)


def _config_code(config: str | GlobalPipelineConfig | None) -> str:
    from openhcs_core.pipeline import generate_config_code

    return config or "" if config is None or isinstance(config, str) else generate_config_code(config, type(config))
