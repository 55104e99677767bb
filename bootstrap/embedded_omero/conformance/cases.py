"""What cases are written with: their registry, references to the data they ask for, short ways to ask."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import omero
import omero.cmd
from omero.rtypes import rbool, rdouble, rlist, rlong, rstring
from omero_sys_ParametersI import ParametersI

from .normalise import Bag, Id, Normaliser

if TYPE_CHECKING:
    from .world import World

CASES: dict[str, Callable] = {}
"""All cases by ``area/name``."""


def case(area: str, name: str | None = None) -> Callable:
    """Register a function as a case.

    ``def count(w): return ...`` has one answer; ``def visits(w, a): a("label", lambda: ...)`` has several, each of
    which may be an exception.
    """

    def register(fn: Callable) -> Callable:
        key = f"{area}/{name or fn.__name__}"
        if key in CASES:
            raise KeyError(f"there are two cases {key}")
        CASES[key] = fn
        return fn

    return register


def answer(world: World, fn: Callable) -> Any:
    """What a server answers to a case, ready for JSON."""
    normal = Normaliser(world)
    labelled: dict[str, Any] = {}

    def note(label: str, ask: Callable) -> None:
        try:
            labelled[label] = normal(ask())
        except Exception as exc:  # a refusal is an answer like any other
            labelled[label] = normal.error(exc)

    try:
        if "a" in fn.__code__.co_varnames[: fn.__code__.co_argcount]:
            fn(world, note)
            return labelled
        return normal(fn(world))
    except Exception as exc:
        return normal.error(exc)


# -- queries


@dataclass(frozen=True)
class R:
    """The id of an object of the world as a parameter of a query: ``R("Image", "img_u16")``."""

    kind: str
    name: str


def _plain(world: World, value: Any) -> Any:
    if isinstance(value, R):
        return world.id(value.kind, value.name)
    if isinstance(value, str):
        return value.replace("@TOKEN", "." + world.token)
    return [_plain(world, v) for v in value] if isinstance(value, (list, tuple)) else value


def _wrap(value: Any) -> Any:
    for cls, wrap in ((bool, rbool), (int, rlong), (float, rdouble), (str, rstring)):
        if isinstance(value, cls):
            return wrap(value)
    return rlist([_wrap(v) for v in value]) if isinstance(value, list) else value


def query(world: World, who: str, method: str, hql: str, /, page: tuple[int, int] | None = None, **values: Any) -> Any:
    """Call a method of IQuery; without ORDER BY the order of what it answers does not count."""
    parameters = ParametersI()
    for name, value in values.items():
        parameters.add(name, _wrap(_plain(world, value)))
    if page:
        parameters.page(*page)
    found = getattr(world.sf(who).getQueryService(), method)(hql, parameters, world.ctx(who))
    return found if "order by" in hql.lower() or not isinstance(found, list) else Bag(found)


def objs(world: World, who: str, hql: str, /, **values: Any) -> Any:
    """Objects which a query finds."""
    return query(world, who, "findAllByQuery", hql, **values)


def rows(world: World, who: str, hql: str, columns: str | dict[str, str] = "", /, **values: Any) -> Any:
    """Rows of a projection.

    ``columns`` says which columns are ids of what: ``"Image - Dataset"``, or ``{"id": "Image"}`` for the keys of a
    ``new map(...)``.
    """
    found = query(world, who, "projection", hql, **values)
    if isinstance(columns, dict):
        for row in found:
            for entry in row:
                for key in columns.keys() & entry.val.keys():
                    entry.val[key] = entry.val[key] and Id(columns[key], entry.val[key].val)
        return found
    kinds = columns.split()
    return type(found)(
        [
            Id(kind, cell.val) if kind != "-" and isinstance(cell, omero.RLong) else cell
            for kind, cell in zip(kinds + ["-"] * len(row), row, strict=False)
        ]
        for row in found
    )


def hql_objects(name: str, hql: str, /, who: str = "alice", area: str = "hql", **values: Any) -> None:
    """A case which is one query for objects."""
    case(area, name)(lambda w: objs(w, who, hql, **values))


def hql_rows(
    name: str, hql: str, columns: str | dict[str, str] = "", /, who: str = "alice", area: str = "hql", **values: Any
) -> None:
    """A case which is one query for rows."""
    case(area, name)(lambda w: rows(w, who, hql, columns, **values))


# -- commands


def finish(world: World, who: str, request: omero.cmd.Request) -> dict[str, Any]:
    """Outcome of a command: what it did to how many objects of each class, or why it did not."""
    response = world.submit(who, request)
    if isinstance(response, omero.cmd.ERR):
        message = Normaliser(world).text(getattr(response, "message", None) or response.parameters.get("message", ""))
        return {
            "!": f"{response.__class__.__name__} {response.category} {response.name}",
            "message": re.sub(r"\d+", "N", message.split("\n")[0])[:240],
            "parameters": sorted(response.parameters),
        }
    counts = {
        field: {name.rpartition(".")[2]: len(ids) for name, ids in getattr(response, field).items()}
        for field in ("deletedObjects", "includedObjects", "duplicates")
        if hasattr(response, field)
    }
    return {"response": response.__class__.__name__, **counts}
