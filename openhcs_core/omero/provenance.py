"""Runs of pipelines in OMERO: a map annotation tells how a result was made, so that it can be made again."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import omero
from omero.constants.namespaces import NSCREATED
from omero.gateway import BlitzGateway, BlitzObjectWrapper
from omero.model import MapAnnotationI, NamedValue
from omero.rtypes import rstring
from omero.sys import ParametersI

from openhcs_core import __version__
from openhcs_core.omero.errors import OmeroError

NAMESPACE = f"{NSCREATED}/openhcs/pipeline_scripts/Run_Pipeline"
"""Of everything that runs of pipelines attach."""

_PACKAGES = ("numpy", "scipy", "scikit-image", "omero-py")


@dataclass(frozen=True)
class PipelineRun:
    """What an annotation tells of a run.

    Attributes
    ----------
    run : str
        Identity: equal for a run that is gone on with.
    pipeline : str
        Text of the pipeline.
    source : str
        What it ran on, such as "Plate:12".
    wells : tuple of str
        Those that are finished.
    started, finished : str
        Times as ISO 8601; `finished` is empty while the run is not complete.
    results : mapping of str to str
        Objects of OMERO such as "Plate:15", by what they are.
    facts : mapping of str to str
        Versions and whatever else there is to know.
    annotation_id : int or None
        Where it was read from.
    """

    run: str
    pipeline: str
    source: str
    wells: tuple[str, ...] = ()
    started: str = ""
    finished: str = ""
    results: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    annotation_id: int | None = None

    @property
    def maker(self) -> str:
        """How descriptions of everything begin that the run has made."""
        return f"Made by OpenHCS, map annotation {self.annotation_id}"

    def pairs(self) -> list[tuple[str, str]]:
        """Keys and values of the annotation."""
        fixed = [
            ("Pipeline", self.pipeline),
            ("Source", self.source),
            ("Wells", " ".join(self.wells)),
            ("Started", self.started),
            ("Finished", self.finished),
            ("Run", self.run),
        ]
        results = [(f"{_RESULT}{name}", value) for name, value in self.results.items()]
        return [(name, value) for name, value in [*fixed, *results, *self.facts.items()] if value]

    @classmethod
    def from_pairs(cls, pairs: Sequence[tuple[str, str]], annotation_id: int | None = None) -> PipelineRun:
        """The run behind keys and values.

        Raises
        ------
        OmeroError
            If pipeline, source or identity are missing.
        """
        values = dict(pairs)
        missing = [name for name in ("Pipeline", "Source", "Run") if not values.get(name)]
        if missing:
            raise OmeroError(f"the annotation tells no {', '.join(missing)}: it is not one of a run of OpenHCS.")
        own = ("Pipeline", "Source", "Wells", "Started", "Finished", "Run")
        return cls(
            run=values["Run"],
            pipeline=values["Pipeline"],
            source=values["Source"],
            wells=tuple(values.get("Wells", "").split()),
            started=values.get("Started", ""),
            finished=values.get("Finished", ""),
            results={name[len(_RESULT) :]: value for name, value in pairs if name.startswith(_RESULT)},
            facts={name: value for name, value in pairs if name not in own and not name.startswith(_RESULT)},
            annotation_id=annotation_id,
        )


_RESULT = "Result: "
_WRAPPED = {"FileAnnotation": "Annotation"}


def now() -> str:
    """The time, as ISO 8601 in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """What the results depend on beside pipeline and input."""
    found = {"OpenHCS version": __version__, "Python version": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[f"{package} version"] = version(package)
        except PackageNotFoundError:
            continue
    return found


def find_run(conn: BlitzGateway, run: str) -> PipelineRun | None:
    """The latest run of this user with an identity."""
    parameters = ParametersI().addString("ns", NAMESPACE).addString("run", run).addLong("user", conn.getUserId())
    found = conn.getQueryService().findAllByQuery(
        "select a from MapAnnotation a where a.ns = :ns and a.description = :run and a.details.owner.id = :user "
        "order by a.id desc",
        parameters,
        conn.SERVICE_OPTS,
    )
    return _read(found[0]) if found else None


def read_run(conn: BlitzGateway, annotation_id: int) -> PipelineRun:
    """The run behind an annotation.

    Raises
    ------
    OmeroError
        If there is no such annotation, or it is none of a run.
    """
    found = conn.getQueryService().findByQuery(
        "select a from MapAnnotation a where a.id = :id", ParametersI().addId(annotation_id), conn.SERVICE_OPTS
    )
    if found is None:
        raise OmeroError(
            f"there is no map annotation {annotation_id} that you may see. OMERO.web shows the id of the one "
            "that a result has, among its key-value pairs."
        )
    return _read(found)


def begin_run(
    conn: BlitzGateway, run: PipelineRun, targets: Sequence[BlitzObjectWrapper], context: Mapping[str, str]
) -> PipelineRun:
    """Make the annotation of a run, linked to what it runs on; return the run with its id."""
    annotation = MapAnnotationI()
    annotation.ns, annotation.description = rstring(NAMESPACE), rstring(run.run)
    annotation.mapValue = [NamedValue(*pair) for pair in run.pairs()]
    (number,) = conn.getUpdateService().saveAndReturnIds([annotation], context)
    link(conn, targets, [MapAnnotationI(number, False)], context)
    return PipelineRun.from_pairs(run.pairs(), number)


def update_run(conn: BlitzGateway, run: PipelineRun, context: Mapping[str, str]) -> None:
    """Write what has changed of a run into its annotation."""
    annotation = conn.getQueryService().get("MapAnnotation", run.annotation_id, context)
    annotation.mapValue = [NamedValue(*pair) for pair in run.pairs()]
    conn.getUpdateService().saveObject(annotation, context)


def results_exist(conn: BlitzGateway, run: PipelineRun) -> bool:
    """Whether all results of a finished run are still there."""
    for result in run.results.values():
        kind, _, number = result.partition(":")
        if number.isdecimal() and conn.getObject(_WRAPPED.get(kind, kind), int(number)) is None:
            return False
    return True


def link(
    conn: BlitzGateway, targets: Sequence[BlitzObjectWrapper], annotations: Sequence[Any], context: Mapping[str, str]
) -> None:
    """Link annotations to objects, all in one call."""
    links = []
    for target in targets:
        for annotation in annotations:
            made = getattr(omero.model, f"{target.OMERO_CLASS}AnnotationLinkI")()
            made.parent = getattr(omero.model, f"{target.OMERO_CLASS}I")(target.getId(), False)
            made.child = annotation
            links.append(made)
    conn.getUpdateService().saveAndReturnIds(links, context)


def _read(annotation: Any) -> PipelineRun:
    return PipelineRun.from_pairs([(pair.name, pair.value) for pair in annotation.mapValue], annotation.id.val)
