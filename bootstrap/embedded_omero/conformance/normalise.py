"""Answers of a server as JSON: ids become names, times and uuids are masked, types and what is loaded remain."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import Ice
import omero
import omero.model

if TYPE_CHECKING:
    from .world import World

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SPACES = ("Annotation", "Shape", "Job", "LightSource")  # classes whose subclasses share ids
# Lists in the model; all other collections have no order.
_LISTS = ("channels", "groupExperimenterMap", "pixels", "shapes", "usedFiles", "waveRendering", "wellSamples")
_RIGHTS = {
    "L": "canLink", "E": "canEdit", "D": "canDelete", "A": "canAnnotate", "G": "canChgrp", "O": "canChown",
}  # fmt: skip
_HASHES = ("hash", "sha1", "path")


@dataclass(frozen=True)
class Id:
    """An id as a case answers it: of what, and which."""

    kind: str
    id: int


class Bag(list):
    """A list whose order does not count."""


def kind_of(obj: omero.model.IObject) -> str:
    """In which space of ids an object is: Annotation for a TagAnnotationI."""
    return next((s for s in _SPACES if isinstance(obj, getattr(omero.model, s))), obj.__class__.__name__[:-1])


class Normaliser:
    """Makes answers comparable; one for every case, since objects it does not know are numbered as they come."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._unknown: dict[str, dict[int, str]] = {}

    def symbol(self, kind: str, id: int) -> str:
        """``<Image:img_u16>`` for an object of the world, ``<Image:#1>`` for any other."""
        name = self.world.symbols.get((kind, int(id)))
        if name is None:
            others = self._unknown.setdefault(kind, {})
            name = others.setdefault(int(id), f"#{len(others) + 1}")
        return f"<{kind}:{name}>"

    def text(self, text: str) -> str:
        return UUID.sub("<uuid>", re.sub(rf"\.{self.world.token}", "", text, flags=re.IGNORECASE))

    def __call__(self, value: Any, above: tuple[int, ...] = ()) -> Any:
        """JSON of an answer; ``above`` are the objects in whose graph it stands."""
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, float):
            return float(f"{value:.9g}") if math.isfinite(value) else str(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"{len(value)} bytes sha1 {hashlib.sha1(value, usedforsecurity=False).hexdigest()[:12]}"
        if isinstance(value, Id):
            return self.symbol(value.kind, value.id) if value.id is not None else None
        if isinstance(value, dict):
            return {self.text(str(k)): self(v, above) for k, v in value.items()}
        if isinstance(value, (set, frozenset)):
            return sorted((self(v, above) for v in value), key=str)
        if isinstance(value, (list, tuple)):
            items = [self(v, above) for v in value]
            return sorted(items, key=lambda x: json.dumps(x, sort_keys=True)) if isinstance(value, Bag) else items
        return self._omero(value, above)

    def _omero(self, value: Any, above: tuple[int, ...]) -> Any:
        if isinstance(value, omero.model.IObject):
            return self._entity(value, above)
        if isinstance(value, omero.RType):
            content = "<time>" if isinstance(value, omero.RTime) else value.getValue()
            return {value.__class__.__name__.removesuffix("I").lower(): self(content, above)}
        if isinstance(value, omero.model.Permissions):
            return f"{value} {''.join(letter for letter, right in _RIGHTS.items() if getattr(value, right)())}"
        if isinstance(value, omero.model.NamedValue):
            return [self(value.name), self(value.value)]
        if hasattr(value, "getUnit"):
            return f"{self(value.getValue())} {value.getUnit()}"
        if isinstance(value, Ice.ObjectPrx):
            return f"<proxy {value.ice_staticId().rpartition('::')[2]}>"
        if hasattr(value, "item"):  # a scalar of NumPy
            return self(value.item())
        if value.__class__.__module__.startswith("omero"):
            return {**self(vars(value), above), "_": value.__class__.__name__}
        return self.text(str(value))

    def _entity(self, obj: omero.model.IObject, above: tuple[int, ...]) -> Any:
        kind, cls = kind_of(obj), obj.__class__.__name__[:-1]
        me = self.symbol(kind, obj.id.val) if obj.id is not None else f"<{kind}:unsaved>"
        if not obj.isLoaded():
            return f"{me} unloaded {cls}"
        if id(obj) in above:
            return f"{me} ^"
        above = (*above, id(obj))
        shown = {"_": cls, "id": me}
        # In the order of names: that is how unknown objects get their numbers.
        for attribute in sorted(vars(obj)):
            name, value = attribute[1:], getattr(obj, attribute)
            if name.endswith("Loaded"):
                collection = name.removesuffix("Loaded")
                shown[collection] = self._collection(obj, cls, collection, above) if value else "unloaded"
            elif name == "details":
                details = self._details(value) if value is not None else None
                if details:
                    shown[name] = details
            elif attribute.startswith("_") and value is not None and not self._is_internal(name):
                shown[name] = self._field(name, value, above)
        return shown

    @staticmethod
    def _is_internal(name: str) -> bool:
        return name in ("id", "loaded", "version") or name.endswith(("Seq", "CountPerOwner"))

    def _collection(self, obj: omero.model.IObject, cls: str, name: str, above: tuple[int, ...]) -> list:
        items = list(getattr(obj, f"_{name}Seq"))
        if name not in _LISTS or cls == "ExperimenterGroup":
            items.sort(key=lambda x: x.id.val if getattr(x, "id", None) else 0)
        return [self(x, above) for x in items]

    def _field(self, name: str, value: Any, above: tuple[int, ...]) -> Any:
        if isinstance(value, omero.RTime):
            return "<time>"
        if isinstance(value, omero.RType):
            value = value.getValue()
        if name in _HASHES and isinstance(value, str) and value:
            return f"<{name}>"
        return self(value, above)

    def _details(self, details: omero.model.Details) -> dict[str, str]:
        shown = {}
        for name in ("owner", "group", "creationEvent", "updateEvent", "externalInfo"):
            obj = getattr(details, "_" + name)
            if obj is not None:
                who = self.symbol(kind_of(obj), obj.id.val) if name in ("owner", "group") else name
                shown[name] = f"{who} {'loaded' if obj.isLoaded() else 'unloaded'}"
        if details._permissions is not None:
            shown["permissions"] = self(details._permissions)
        return shown

    def error(self, exc: Exception) -> dict[str, str]:
        """Class of an exception as clients see it, and the first lines of its message without numbers."""
        ice_name = exc.ice_name() if isinstance(exc, Ice.Exception) else ""
        module = exc.__class__.__module__.replace("_ice", "")
        name = ice_name.replace("::", ".").lstrip(".") or f"{module}.{exc.__class__.__name__}"
        told = (getattr(exc, a, None) for a in ("message", "reason", "unknown"))
        message = next((str(t) for t in told if t), "" if ice_name else str(exc))
        if isinstance(exc, (Ice.UnknownException, Ice.UnknownLocalException, Ice.UnknownUserException)):
            message = " ".join(re.findall(r"Ice::\w+Exception", message)[:1])
        lines = [line.strip() for line in message.split("\n") if line.strip()]
        message = " | ".join(lines[: 1 if "Internal" in name else 4])
        message = re.split(r"; SQL|; nested exception| \[select", message)[0][:300]
        return {"!": name, "message": re.sub(r"-?\d+", "N", self.text(message))}
