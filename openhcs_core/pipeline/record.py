"""What a run is, so that it can be gone on with, and what became of it."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

import numpy as np

from openhcs_core import __version__
from openhcs_core.pipeline.executors import WellResult
from openhcs_core.pipeline.plan import CompiledPlate, StepPlan
from openhcs_core.plate import PlateLayout
from openhcs_core.progress import duration_text


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    Attributes
    ----------
    wells : mapping of str to WellResult
        All wells of the run, in order.
    statements : tuple of str
        What the backends made, and what is to be known about the run; for people.
    locations : mapping of str to str
        Where the results are, by name of the backend.
    seconds : float
    run : str
        Identity of the run.
    """

    wells: Mapping[str, WellResult]
    statements: tuple[str, ...] = ()
    locations: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    run: str = ""

    def in_state(self, state: str) -> list[str]:
        """Names of the wells that are "finished", "skipped", "failed" or "cancelled"."""
        return [well for well, result in self.wells.items() if result.state == state]

    @property
    def complete(self) -> bool:
        """Whether all wells are done, now or before."""
        return len(self.in_state("finished")) + len(self.in_state("skipped")) == len(self.wells)

    @property
    def cancelled(self) -> bool:
        """Whether the run was stopped before its end."""
        return bool(self.in_state("cancelled"))

    def failures(self, most: int = 10) -> list[str]:
        """A line for each well that has failed; for so many at most, and then how many more there are."""
        failed = [self.wells[well] for well in self.in_state("failed")]
        more = [f"{len(failed) - most} more wells failed; the log lists them."] if len(failed) > most else []
        return [f"{well.well} failed: {well.error}" for well in failed[:most]] + more

    @property
    def summary(self) -> str:
        """What came out, in sentences: wells, time, and all statements."""
        statements = [f"{text.rstrip('.')}." for text in self.statements]
        return " ".join([f"{self} in {duration_text(self.seconds)}.", *statements])

    def __str__(self) -> str:
        """One line, such as ``95 wells finished, 1 failed in 12 min``."""
        counts = [(state, len(self.in_state(state))) for state in ("finished", "skipped", "failed", "cancelled")]
        words = {"skipped": "were finished before"}
        told = [f"{count} {words.get(state, state)}" for state, count in counts if count]
        return f"{len(self.wells)} wells: {', '.join(told)}"


def versions(steps: Sequence[StepPlan]) -> dict[str, str]:
    """Versions of the program and of the packages that the functions come from."""
    found = {"openhcs_core": __version__, "numpy": np.__version__}
    for step in steps:
        for chain in step.chains:
            for function, _ in chain:
                package = function.__module__.partition(".")[0]
                found[package] = str(getattr(sys.modules.get(package), "__version__", __version__))
    return found


def run_facts(steps: Sequence[StepPlan], plate: str) -> dict[str, str]:
    """What is kept with the results of a run, for people: versions, where, when, who."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without users
        user = ""
    return {f"version of {name}": version for name, version in versions(steps).items()} | {
        "plate": plate,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "user": user,
        "host": platform.node(),
        "python": platform.python_version(),
    }


def run_identity(compiled: CompiledPlate, steps_text: str, plate: str) -> str:
    """A name for everything that decides what comes out for a well.

    Parameters
    ----------
    compiled : CompiledPlate
    steps_text : str
        Text of the steps.
    plate : str
        Location of the plate.
    """
    facts = {
        "steps": steps_text,
        "config": [[step.variable, step.saved, step.save_to] for step in compiled.steps],
        "plate": [plate, *_identity(compiled.layout)],
        "versions": versions(compiled.steps),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _identity(layout: PlateLayout) -> list[object]:
    planes = hashlib.sha256(repr([list(addresses) for addresses in layout.planes.values()]).encode()).hexdigest()
    sources = sorted(layout.source_ids.values())
    return [layout.name, list(layout.size_yx), layout.dtype.str, planes, sources]
