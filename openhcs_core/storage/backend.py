"""What a storage backend is."""

from __future__ import annotations

import os
import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from openhcs_core.errors import OpenHCSError
from openhcs_core.plate import PlaneAddress, PlateLayout

RESULT_KINDS = ("image", "labels")
"""What planes of results can be."""


class StorageError(OpenHCSError):
    """A backend cannot deliver or take something."""


class Plate(AbstractContextManager["Plate"], ABC):
    """An open plate, to read from; from one process, made anew in each. A context manager.

    Attributes
    ----------
    layout : PlateLayout
    source : str
        For people: where the planes come from.
    statements : sequence of str
        For people: what was left out or assumed.
    """

    layout: PlateLayout
    source: str
    statements: Sequence[str] = ()

    @abstractmethod
    def read(self, addresses: Sequence[PlaneAddress]) -> list[np.ndarray]:
        """Planes (Y, X) in the byte order of the machine, each its own array.

        Raises
        ------
        StorageError
            If one is missing, damaged, or unlike the others of the plate.
        """

    def close(self) -> None:
        """Give back what is held open."""

    def __exit__(self, *_: object) -> None:
        self.close()


def this_process() -> str:
    """Name of this process, among all of all machines."""
    return f"{platform.node()}:{os.getpid()}"


@dataclass(frozen=True)
class Results:
    """What a run is going to give: told to a backend before the first result.

    Made once, in the parent process of the run, and handed to its workers as it is.

    Attributes
    ----------
    location : str
        Where they go: a folder, or an object of OMERO such as "Plate:12".
    layout : PlateLayout
        Of the plate that the run reads.
    pipeline : str
        Text of the pipeline; goes with the results, so that they can be made again.
    run : str
        Identity of the run: equal for a run that is gone on with. Results of another run at the same place are
        replaced.
    metadata : mapping of str to str
        Further facts, for people: versions, who, when.
    parent : str
        The process that made this. It alone decides what becomes of an earlier run's results.
    """

    location: str
    layout: PlateLayout
    pipeline: str = ""
    run: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    parent: str = field(default_factory=this_process)

    @property
    def in_parent(self) -> bool:
        """Whether this process is the parent, not one of its workers."""
        return self.parent == this_process()


class ResultWriter(AbstractContextManager["ResultWriter"], ABC):
    """Takes results of one run. Open in the parent first, then in every worker; only the parent's is finished.

    What has been saved for a well counts once `finish_well` has returned; until then nobody sees it. A well is saved
    by one process at a time; saved again, it replaces what there was of it.
    """

    def finished_wells(self) -> set[str]:
        """Wells that are complete already, from this run or from an earlier part of it."""
        return set()

    def begin_well(self, well: str) -> None:
        """Begin a well anew: what was saved for it and not finished is forgotten.

        Needed only where the same process tries a well again; the first thing saved for a well begins it too.
        """

    @abstractmethod
    def save_batch(
        self,
        data_list: Sequence[np.ndarray],
        file_paths: Sequence[str],
        *,
        step_name: str,
        kind: str = "image",
        **kwargs: Any,
    ) -> None:
        """Save planes of one step and well; in as many calls as it takes.

        Parameters
        ----------
        data_list : sequence of ndarray, (Y, X)
        file_paths : sequence of str
            Of each plane, such as ``B03_s001_w1_z001_t001.tif``; see `PlaneAddress.from_path`.
        step_name : str
        kind : {"image", "labels"}
            Labels are integers, 0 is background.
        **kwargs
            Hints for backends that have a use for them; the others pass over them.

        Raises
        ------
        StorageError
            If they make no sense or cannot be saved.
        """

    @abstractmethod
    def save_table(self, table: Mapping[str, Sequence[Any]], well: str, *, step_name: str) -> None:
        """Save rows of a table of one step and well; columns of equal length. Rows of later calls come after.

        Raises
        ------
        StorageError
            If they make no sense or cannot be saved.
        """

    def finish_well(self, well: str) -> None:
        """All results of a well are saved.

        Raises
        ------
        StorageError
            If they cannot be brought to their place; the well is not finished then.
        """

    def finish(self, wells: Sequence[str]) -> list[str]:
        """In the parent, after the last well: complete the whole.

        Parameters
        ----------
        wells : sequence of str
            Those that the run was to work on, finished or not.

        Returns
        -------
        list of str
            Statements about what was made, for people.
        """
        return []

    @abstractmethod
    def close(self) -> None:
        """Give back what is held open. What is not finished stays for the run to go on with, unseen."""

    def __exit__(self, *_: object) -> None:
        self.close()


class StorageBackend(ABC):
    """A place where planes come from or results go to.

    Attributes
    ----------
    name : str
        As in configurations.
    """

    name: str

    def recognises(self, location: str) -> bool:
        """Whether a plate at a location looks like one of this backend; asked without opening it."""
        return False

    def open_plate(self, location: str) -> Plate:
        """Open a plate for reading.

        Raises
        ------
        StorageError
            If there is none that can be read.
        """
        raise StorageError(f"The backend '{self.name}' holds no plates to read.")

    def open_results(self, results: Results) -> ResultWriter:
        """Begin to take results.

        Raises
        ------
        StorageError
            If it cannot take them: no rights, no space, no such place. Asked before anything is computed.
        """
        raise StorageError(f"The backend '{self.name}' takes no results.")
