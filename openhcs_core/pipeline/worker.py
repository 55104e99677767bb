"""What a worker does: wells, one after the other, block by block."""

from __future__ import annotations

import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.functions import GroupContext
from openhcs_core.pipeline.chain import converted, run_chain
from openhcs_core.pipeline.gpu import cupy, gpu_lock
from openhcs_core.pipeline.plan import BEHIND, FROM_PLATE, Block, Call, StepPlan, Value, WellContext
from openhcs_core.plate import PlaneAddress
from openhcs_core.storage.backend import Plate, Results, StorageBackend
from openhcs_core.storage.filemanager import FileManager

TELL_S = 0.1
"""Least time between two events of a well, unless another step begins."""


@dataclass(frozen=True)
class Work:
    """What a worker has to know besides the wells: the same for all of them.

    Attributes
    ----------
    backends : mapping of str to StorageBackend
        Those that are read from and saved to.
    read_from : str
        Name of the backend of the plate.
    plate : str
        Its location.
    results : mapping of str to Results
        What goes to each backend.
    steps : tuple of StepPlan
    facts : GroupContext
        Of the plate, without addresses.
    gpus : tuple of int
    """

    backends: Mapping[str, StorageBackend]
    read_from: str
    plate: str
    results: Mapping[str, Results]
    steps: tuple[StepPlan, ...]
    facts: GroupContext
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class WellEvent:
    """How far a well is.

    Attributes
    ----------
    well : str
    step : str
        Name of the step at hand.
    done, total : int
        Calls of the well.
    """

    well: str
    step: str
    done: int
    total: int


class WellError(OpenHCSError):
    """A well could not be worked on; its cause is the error itself, the message says in which step."""


class Worker(contextlib.AbstractContextManager["Worker"]):
    """Works on wells; keeps the plate and the results open. A context manager.

    Parameters
    ----------
    work : Work
    number : int
        Of this worker, from 0: the GPU to try first.
    """

    def __init__(self, work: Work, number: int = 0) -> None:
        self._work, self._number = work, number
        self._files = FileManager(work.backends)
        self._reader = ThreadPoolExecutor(1, "openhcs-reader")
        self._saver = _Behind()

    def run(self, context: WellContext, tell: Callable[[WellEvent], object]) -> None:
        """Work on a well, and save what comes out.

        Raises
        ------
        WellError
            If anything fails; nothing of the well counts then.
        """
        progress = _Progress(context, tell)
        try:
            plate = self._opened()
            self._saver.forget()
            self._files.begin_well(context.well)
            facts = _facts_of(self._work.facts, context.well)
            arrivals = self._read_ahead(plate, context)
            tables: dict[str, dict[str, list[Any]]] = {}
            for block in context.plan.blocks:
                with self._gpu(block, progress):
                    self._block(block, facts, arrivals, tables, progress)
            progress.where = "saving"
            self._saver.wait()
            for step in self._work.steps:
                for backend in step.save_to if step.name in tables else ():
                    self._files.save_table(tables[step.name], context.well, backend, step_name=step.name)
            self._files.finish_well(context.well)
            progress.end()
        except Exception as error:
            raise WellError(f"{progress.where}: {said(error)}") from error

    def close(self) -> None:
        """Close the plate and the results."""
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._saver.close()
        self._files.close()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> Plate:
        plate = self._files.open_plate(self._work.plate, self._work.read_from)
        for name, results in self._work.results.items():
            self._files.open_results(results, name)
        return plate

    def _read_ahead(self, plate: Plate, context: WellContext) -> Iterator[list[np.ndarray]]:
        """The planes of the plate that each call of a well is the first of its block to take; one call ahead."""

        def wanted() -> Iterator[list[PlaneAddress]]:
            for block in context.plan.blocks:
                seen: set[Value] = set()
                for call in block.calls:
                    values = _from_plate(call, seen)
                    seen.update(values)
                    yield [value.address._replace(well=context.well) for value in values]

        coming: Future[list[np.ndarray]] | None = None
        for addresses in wanted():
            following = self._reader.submit(plate.read, addresses)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()

    def _block(
        self,
        block: Block,
        facts: GroupContext,
        arrivals: Iterator[list[np.ndarray]],
        tables: dict[str, dict[str, list[Any]]],
        progress: _Progress,
    ) -> None:
        held = _Held()
        wanted = {value for call in block.calls for value in call.taken()}
        for call in block.calls:
            step = self._work.steps[call.step]
            progress.begin("reading", step)
            for value, plane in zip(_from_plate(call, held), next(arrivals), strict=True):
                held.put(value, plane)
            progress.begin(f"step '{step.name}'", step)
            result = run_chain(step, call, facts, held.get)
            for kind, planes in result.planes.items():
                values = [Value(call.step, kind, address) for address in call.outputs]
                for value, plane in zip(values, planes, strict=True):
                    if value in wanted or step.keeps(kind):
                        held.put(value, plane)
                if step.keeps(kind):
                    progress.where = f"saving of step '{step.name}'"
                    self._save(step, values, kind, facts.addresses[0].well, held)
                    held.free(value for value in values if value not in wanted)
            if "table" in step.saved:
                for columns, table in result.tables:
                    append_rows(tables.setdefault(step.name, {}), self._work.facts.plate, columns, table)
            held.free(call.free)
            progress.done += 1

    def _save(self, step: StepPlan, values: Sequence[Value], kind: str, well: str, held: _Held) -> None:
        planes = [held.get(value, "numpy") for value in values]
        paths = [value.address._replace(well=well).path for value in values]
        self._saver.do(self._give, step, planes, paths, kind)

    def _give(self, step: StepPlan, planes: Sequence[np.ndarray], paths: Sequence[str], kind: str) -> None:
        for backend in step.takers(kind):
            self._files.save_batch(planes, paths, backend, step_name=step.name, kind=kind)

    @contextlib.contextmanager
    def _gpu(self, block: Block, progress: _Progress) -> Iterator[None]:
        """Context manager: a GPU for the block, if it needs one, and its memory given back in the end."""
        if not block.on_gpu:
            yield
            return
        progress.where = "waiting for a GPU"
        busy = functools.partial(progress.tell, "waiting for a GPU")
        with gpu_lock(self._work.gpus, self._number, busy) as gpu, cupy().cuda.Device(gpu):
            try:
                yield
            finally:
                cupy().get_default_memory_pool().free_all_blocks()


class _Behind:
    """Does things in a thread of its own, in their order, while others go on; what fails is raised by a later call."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "openhcs-saver")
        self._pending: deque[Future[None]] = deque()

    def do(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Have something done; wait if too much is waiting already."""
        while len(self._pending) >= BEHIND:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(function, *args, **kwargs))

    def wait(self) -> None:
        """Until all is done."""
        while self._pending:
            self._pending.popleft().result()

    def forget(self) -> None:
        """What is not done yet will not be."""
        for future in self._pending:
            future.cancel()
        wait(self._pending)
        self._pending.clear()

    def close(self) -> None:
        self.forget()
        self._thread.shutdown()


class _Progress:
    """Tells how far a well is, not too often, and knows what is being done for the message of an error."""

    def __init__(self, context: WellContext, tell: Callable[[WellEvent], object]) -> None:
        self._well, self._total, self._tell = context.well, context.plan.calls, tell
        self._step, self._told = "", 0.0
        self.where, self.done = "opening", 0

    def begin(self, where: str, step: StepPlan) -> None:
        self.where = where
        now = time.monotonic()
        if now - self._told >= (TELL_S if step.name == self._step else TELL_S / 10):
            self._step, self._told = step.name, now
            self.tell(step.name)

    def tell(self, what: str) -> None:
        self._tell(WellEvent(self._well, what, self.done, self._total))

    def end(self) -> None:
        self.tell(self._step)


class _Held:
    """Planes of a block that are still needed, in the memories where they have been needed so far."""

    def __init__(self) -> None:
        self._planes: dict[Value, dict[str, Any]] = {}

    def __contains__(self, value: object) -> bool:
        return value in self._planes

    def put(self, value: Value, plane: Any) -> None:
        self._planes[value] = {"numpy" if isinstance(plane, np.ndarray) else "cupy": plane}

    def get(self, value: Value, memory: str) -> Any:
        places = self._planes[value]
        if memory not in places:
            places[memory] = converted(next(iter(places.values())), memory)
        return places[memory]

    def free(self, values: Iterable[Value]) -> None:
        for value in values:
            self._planes.pop(value, None)


def append_rows(
    table: dict[str, list[Any]], plate: str, columns: Mapping[str, Any], rows: Mapping[str, Sequence[Any]]
) -> None:
    """Append rows to the table of a step, with columns that say what they belong to.

    A column that only some of the parts have is None in the others.
    """
    count = max((len(values) for values in rows.values()), default=0)
    full = {"Plate": [plate] * count} | {name: [value] * count for name, value in columns.items()} | dict(rows)
    before = len(next(iter(table.values()), ()))
    for name in [*table, *(name for name in full if name not in table)]:
        table.setdefault(name, [None] * before).extend(full.get(name, [None] * count))


def said(error: BaseException) -> str:
    """What an error says; with its type unless it is meant for people."""
    return str(error) if isinstance(error, OpenHCSError) else f"{type(error).__name__}: {error}"


def _from_plate(call: Call, known: Container[Value]) -> list[Value]:
    """Planes of the plate that a call takes, without those that are known."""
    return [value for value in dict.fromkeys(call.taken()) if value.step == FROM_PLATE and value not in known]


def _facts_of(facts: GroupContext, well: str) -> GroupContext:
    positions = {key: place for key, place in facts.positions_um.items() if key[0] == well}
    return replace(facts, addresses=(PlaneAddress(well),), positions_um=positions)
