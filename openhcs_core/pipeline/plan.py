"""What is going to be done for each well of a plate: what the compiler makes and the workers carry out.

Everything here can be pickled. Wells with the same planes share one `WellPlan`, whose addresses name no well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from openhcs_core.pipeline.viewing import StreamingConfig
from openhcs_core.plate import PlaneAddress, PlateLayout

FROM_PLATE = -1
"""As number of a step: the plate itself."""
BEHIND = 2
"""Batches of planes of a worker that may wait for being saved."""


class Value(NamedTuple):
    """One plane that a call takes or gives.

    Attributes
    ----------
    step : int
        Number of the step that gives it, from 0; `FROM_PLATE` for planes of the plate.
    kind : {"image", "labels"}
    address : PlaneAddress
        Without the well.
    """

    step: int
    kind: str
    address: PlaneAddress


class ArrayInput(NamedTuple):
    """Planes that a parameter of a function of a chain takes, one for each plane of the image.

    Attributes
    ----------
    position : int
        Of the function in its chain, from 0.
    parameter : str
    values : tuple of Value
    """

    position: int
    parameter: str
    values: tuple[Value, ...]


class Call(NamedTuple):
    """A chain of functions over the planes of one group.

    Attributes
    ----------
    step : int
    chain : int
        Number of the chain in its step.
    inputs : tuple of Value
        Planes of the group, in the order of the stack.
    lead : tuple of int
        Sizes of the leading axes: (planes,), or two for functions that take these.
    arrays : tuple of ArrayInput
    outputs : tuple of PlaneAddress
        Of the planes that come out.
    fixed : tuple of str
        Components that are the same for all planes of the group.
    free : tuple of Value
        Planes that are not needed any more after this call.
    """

    step: int
    chain: int
    inputs: tuple[Value, ...]
    lead: tuple[int, ...]
    arrays: tuple[ArrayInput, ...]
    outputs: tuple[PlaneAddress, ...]
    fixed: tuple[str, ...]
    free: tuple[Value, ...] = ()

    def taken(self) -> Iterator[Value]:
        """All planes that the call takes."""
        yield from self.inputs
        for item in self.arrays:
            yield from item.values


@dataclass(frozen=True)
class StepPlan:
    """What holds for a step in all wells.

    Attributes
    ----------
    name : str
    chains : tuple of tuple of (function, parameters)
        Parameters without the arrays of other steps.
    source : str
        For people: where its planes come from.
    variable : tuple of str
        Components that are stacked.
    kinds : tuple of str
        What comes out: "image", "labels", "table".
    saved : tuple of str
        Which of these are results of the run.
    save_to : tuple of str
        Names of the backends for them.
    origins : mapping of str to str
        Where the configuration of the step comes from, by setting.
    stream_to : tuple of StreamingConfig
        Viewers that it asks for, completely configured.
    stream_origins : tuple of mapping of str to str
        Where their configurations come from.
    streamed : tuple of str
        Which of the kinds go to viewers.
    streams : tuple of str
        In a run: names of the backends that hand them to viewers.
    """

    name: str
    chains: tuple[tuple[tuple[Callable[..., Any], Mapping[str, Any]], ...], ...]
    source: str = ""
    variable: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    save_to: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    stream_to: tuple[StreamingConfig, ...] = ()
    stream_origins: tuple[Mapping[str, str], ...] = ()
    streamed: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()

    def keeps(self, kind: str) -> bool:
        """Whether planes of a kind leave the worker."""
        return kind in self.saved or kind in self.streamed

    def takers(self, kind: str) -> tuple[str, ...]:
        """Names of the backends that planes of a kind go to; those that save them first."""
        return (self.save_to if kind in self.saved else ()) + (self.streams if kind in self.streamed else ())


@dataclass(frozen=True)
class Block:
    """Calls of a well which share no plane with those of other blocks, in order.

    Attributes
    ----------
    calls : tuple of Call
    bytes : int
        Memory that they are expected to need at most.
    on_gpu : bool
        Whether one of them runs on a GPU.
    """

    calls: tuple[Call, ...]
    bytes: int = 0
    on_gpu: bool = False


@dataclass(frozen=True)
class WellPlan:
    """All that is done for a well.

    Attributes
    ----------
    blocks : tuple of Block
        Worked on one after the other.
    """

    blocks: tuple[Block, ...]

    @property
    def calls(self) -> int:
        """Number of calls."""
        return sum(len(block.calls) for block in self.blocks)

    @property
    def bytes(self) -> int:
        """Memory that the most demanding block is expected to need."""
        return max((block.bytes for block in self.blocks), default=0)


@dataclass(frozen=True)
class WellContext:
    """The work for one well.

    Attributes
    ----------
    well : str
    plan : WellPlan
    """

    well: str
    plan: WellPlan


@dataclass(frozen=True)
class CompiledPlate(Mapping[str, WellContext]):
    """A pipeline, compiled for a plate: the contexts of its wells, by name of the well.

    Attributes
    ----------
    layout : PlateLayout
    steps : tuple of StepPlan
    contexts : mapping of str to WellContext
    workers : int
        Wells that are worked on at a time.
    gpus : tuple of int
        GPUs that the workers share, in turn; empty if no function needs one.
    bytes : int
        Memory that all workers together are expected to need, programs included.
    available : int
        Memory that there is for them.
    notes : tuple of str
        What people should know about the plan.
    """

    layout: PlateLayout
    steps: tuple[StepPlan, ...]
    contexts: Mapping[str, WellContext]
    workers: int = 1
    gpus: tuple[int, ...] = ()
    bytes: int = 0
    available: int = 0
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, well: str) -> WellContext:
        return self.contexts[well]

    def __iter__(self) -> Iterator[str]:
        return iter(self.contexts)

    def __len__(self) -> int:
        return len(self.contexts)

    @property
    def backends(self) -> list[str]:
        """Names of the backends that results go to."""
        return list(dict.fromkeys(name for step in self.steps if step.saved for name in step.save_to))
