"""Search: objects by the words of their names, descriptions, annotations, files and owners."""

from __future__ import annotations

import fnmatch
import re
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import omero

from .. import errors
from ..metamodel import Entity
from ..store import Record
from .base import StatefulService

if TYPE_CHECKING:
    from ..context import Call

_WORD = re.compile(r"[^\W_]+")
_TERM = re.compile(r'(?:([\w.]+):)?("[^"]*"|[^\s"]+)')
_UNKNOWN = re.compile(r"[][(){}~^+!\\]|(?:^|\s)(?:NOT\s|-)")
_Text = tuple[str, str]  # field and text


class Search(StatefulService):
    """omero.api.Search: choose a type, ask, then fetch batches of results while there are some.

    Unlike a server's index, which lags behind, this sees every change at once.
    """

    def __init__(self) -> None:
        self.resetDefaults(None)
        self._found: list[Record] = []

    # -- what is asked for

    def resetDefaults(self, call: Call | None) -> None:
        self._entity: Entity | None = None
        self._leading_wildcard = False
        self._batch = 1000
        self._conditions: dict[str, Callable[[Record], bool]] = {}

    def setBatchSize(self, call: Call, size: int) -> None:
        self._batch = size

    def getBatchSize(self, call: Call) -> int:
        return self._batch

    def setAllowLeadingWildcard(self, call: Call, allowed: bool) -> None:
        self._leading_wildcard = allowed

    def setCaseSensitive(self, call: Call, sensitive: bool) -> None:
        if sensitive:
            raise errors.internal("not implemented: Search with case")

    def onlyType(self, call: Call, name: str) -> None:
        entity = call.store.model.get(name)
        if entity is None:
            raise errors.api_usage(f"{name} is not a known type.")
        self._entity = entity

    def onlyOwnedBy(self, call: Call, details: omero.model.Details | None) -> None:
        """Restrict to an owner, to a group, or to both."""
        ids = {n: getattr(details, n).id.val for n in ("owner", "group") if getattr(details, n, None) is not None}
        self._only("owner", lambda r: all(getattr(getattr(r, n), "id", None) == id for n, id in ids.items()))

    def onlyIds(self, call: Call, ids: list[int] | None) -> None:
        self._only("ids", (lambda r: r.id in ids) if ids else None)

    def onlyCreatedBetween(self, call: Call, start: omero.RTime | None, stop: omero.RTime | None) -> None:
        """Restrict to what was made after ``start`` and before ``stop``; either may be missing."""
        self._only(
            "created",
            lambda r: (start is None or start.val < _created(r)) and (stop is None or _created(r) < stop.val),
        )

    def _only(self, name: str, condition: Callable[[Record], bool] | None) -> None:
        self._conditions.pop(name, None)
        if condition is not None:
            self._conditions[name] = condition

    # -- asking

    def byFullText(self, call: Call, query: str) -> None:
        self._ask(call, query, ())

    def byLuceneQueryBuilder(self, call: Call, fields: str, start: str, stop: str, date: str, query: str) -> None:
        """Search in some fields, between two days given as ``yyyymmdd``."""
        when = (lambda r: r["acquisitionDate"]) if date == "acquisitionDate" else _created
        days = [day or None for day in (start, stop)]
        self._ask(call, query, [f for f in (fields or "").split(",") if f], lambda r: _between(when(r), *days))

    def _ask(
        self, call: Call, query: str, fields: Iterable[str], also: Callable[[Record], bool] = lambda record: True
    ) -> None:
        if self._entity is None:
            raise errors.api_usage("Must specify at least one type: onlyType(String)")
        matches = _Query(query, self._leading_wildcard, fields)
        conditions = [*self._conditions.values(), call.visible, also]
        self._found = [
            record for record in call.store.all(self._entity)
            if all(condition(record) for condition in conditions) and matches(list(_texts(call, record)))
        ]  # fmt: skip

    # -- results

    def hasNext(self, call: Call) -> bool:
        return bool(self._found)

    def results(self, call: Call) -> list[omero.model.IObject]:
        """The next batch."""
        if not self._found:
            raise errors.api_usage("No more results; use hasNext()")
        batch, self._found = self._found[: self._batch], self._found[self._batch :]
        return [call.wire(record) for record in batch]

    def clearQueries(self, call: Call) -> None:
        self._found = []


class _Query:
    """A condition on texts: terms of which one is enough, unless AND stands between them.

    A term is a word, which may have the wildcards ``*`` and ``?``, or words in quotation marks, which must follow each
    other. It may name its field: ``name:cell``.
    """

    def __init__(self, text: str, leading_wildcard: bool, fields: Iterable[str]) -> None:
        if not (text or "").strip():
            raise errors.api_usage("Query text must not be empty")
        if _UNKNOWN.search(text):
            raise errors.internal(f"not implemented: Search for {text!r}")
        self.fields = set(fields)
        self.groups: list[list[tuple[str | None, list[str]]]] = []
        joined = False
        for field, term in _TERM.findall(text):
            if term in ("AND", "OR") and not field:
                joined = term == "AND"
                continue
            if term[0] in "*?" and not leading_wildcard:
                raise errors.api_usage("'*' or '?' not allowed as first character in WildcardQuery")
            words = re.findall(r"[^\W_]+" if term.startswith('"') else r"(?:[^\W_]|[*?])+", term.lower())
            if joined and self.groups:
                self.groups[-1].append((field or None, words))
            else:
                self.groups.append([(field or None, words)])
            joined = False

    def __call__(self, texts: list[_Text]) -> bool:
        return any(all(self._found(texts, *term) for term in group) for group in self.groups)

    def _found(self, texts: list[_Text], field: str | None, words: list[str]) -> bool:
        fields = {field} if field else self.fields
        for name, text in texts:
            if not fields or name in fields:
                there = _WORD.findall(text.lower())
                for first in range(len(there) - len(words) + 1):
                    if all(map(fnmatch.fnmatchcase, there[first:], words)):
                        return bool(words)
        return False


def _texts(call: Call, record: Record) -> Iterable[_Text]:
    """What is said of a record, field by field."""
    for f in record.entity.fields.values():
        if f.kind == "value" and f.type == "string" and record[f.name]:
            yield f.name, record[f.name]
    if "annotationLinks" in record.entity.fields:
        for link in call.store.collection(record, record.entity.fields["annotationLinks"]):
            note = link["child"]
            yield from (("annotation", note[name]) for name in ("textValue", "ns") if note[name])
            yield from (("annotation", text) for pair in note["mapValue"] or () for text in pair)
            if note["file"] is not None:
                yield "file.name", note["file"]["name"]
    if record.entity.name == "Image" and record["fileset"] is not None:
        for entry in call.store.collection(record["fileset"], record["fileset"].entity.fields["usedFiles"]):
            yield "fileset.entry.name", entry["originalFile"]["name"]
    for name, who in (("details.owner", record.owner), ("details.group", record.group)):
        for part in ("omeName", "firstName", "lastName", "name"):
            if who is not None and who[part]:
                yield f"{name}.{part}", who[part]


def _created(record: Record) -> int:
    return record.created["time"] if record.created is not None else 0


def _between(moment: int | None, start: str | None, stop: str | None) -> bool:
    if start is None and stop is None:
        return True
    if moment is None:
        return False
    day = time.strftime("%Y%m%d", time.localtime(moment / 1000))
    return (start is None or start <= day) and (stop is None or day <= stop)
