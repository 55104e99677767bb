"""What a real OMERO.web answered, and whether another answer is the same."""

from __future__ import annotations

import copy
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from tests.web.browser import fields

CASES: dict[str, Any] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))["cases"]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ENDPOINTS = re.compile(r"-t -e 1\.1:.*")
_MASK = re.compile(r"<[\w\- :./]+>")
# Values which are ids. Those of one kind have to correspond: the same here wherever it is the same there.
_ID = re.compile(r"@?id$|.*(Id|_id)$|did$|stdout$|stderr$|omero:LogicalChannelId$")


def case(name: str) -> Any:
    """A copy of what was recorded, to be changed where the data are different."""
    return copy.deepcopy(CASES[name])


def check(response: requests.Response, recorded: dict[str, Any]) -> None:
    """Fail unless everything which was recorded of an answer is the same."""
    assert response.status_code == recorded["status"], response.text[:2000]
    assert response.headers["Content-Type"] == recorded["content_type"]
    if "json" in recorded:
        same(response.json(), recorded["json"])
    if "location" in recorded:
        assert response.headers["Location"] == recorded["location"]
    for message in recorded.get("errors", ()):
        assert message in html.unescape(response.text)
    if "text" in recorded:
        shown = re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", response.text, flags=re.DOTALL)
        assert recorded["text"].split() == html.unescape(shown).split()
    if "form_fields" in recorded:  # there the order is that of a hash
        assert sorted(fields(response.text)) == sorted(recorded["form_fields"])
        same(re.findall(r"<form[^>]* action=[\"']([^\"']*)", response.text), recorded["form_action"])


def same(got: Any, wanted: Any) -> None:
    """Fail unless two answers are the same but for ids, which only have to correspond, and what is masked."""
    ids: dict[tuple[str, int], int] = {}
    _same(got, wanted, "answer", "", ids)
    seen = {(kind, here) for (kind, _), here in ids.items()}
    assert len(seen) == len(ids), f"different ids there are one id here: {ids}"


def masked(text: str) -> str:
    """The text with uuids and addresses of servers as in the record."""
    return _UUID.sub("<uuid>", _ENDPOINTS.sub("-t -e 1.1:tcp -h <host> -p <port> -t 60000", text))


def _same(got: Any, wanted: Any, path: str, kind: str, ids: dict[tuple[str, int], int]) -> None:
    if isinstance(wanted, dict):
        assert isinstance(got, dict), f"{path}: {got!r}, recorded {wanted!r}"
        there = {masked(key): value for key, value in got.items()}
        assert there.keys() == wanted.keys(), f"{path}: keys {sorted(there)}, recorded {sorted(wanted)}"
        for key, value in wanted.items():
            own = str(wanted.get("@type") or wanted.get("type") or kind) if key in ("id", "@id") else ""
            _same(there[key], value, f"{path}.{key}", f"{own} {key}", ids)
    elif isinstance(wanted, list):
        assert isinstance(got, list), f"{path}: {got!r}, recorded {wanted!r}"
        assert len(got) == len(wanted), f"{path}: {got!r}, recorded {wanted!r}"
        for number, (here, value) in enumerate(zip(got, wanted, strict=True)):
            _same(here, value, f"{path}[{number}]", kind, ids)
    elif _is_id(wanted, kind):
        assert _is_id(got, kind), f"{path}: {got!r} is no id"
        assert ids.setdefault((kind, int(wanted)), int(got)) == int(got), f"{path}: not the id it was before"
    elif isinstance(wanted, str) and (_MASK.search(wanted) or "/" in wanted):
        _same_text(got, wanted, path)
    else:
        assert (type(got), got) == (type(wanted), wanted), f"{path}: {got!r}, recorded {wanted!r}"


def _is_id(value: Any, kind: str) -> bool:
    number = isinstance(value, int) and not isinstance(value, bool)
    return bool(_ID.match(kind.split()[-1] if kind.split() else "")) and (
        (number and value >= 0) or (isinstance(value, str) and value.isdigit())
    )


def _same_text(got: Any, wanted: str, path: str) -> None:
    """Masks stand for anything, and so do numbers between slashes, which are ids; dots at the end for the rest."""
    if wanted.endswith("..."):
        wanted, got = wanted[:-3], str(got)[: len(wanted) - 3]
    parts = re.split(r"(<[\w\- :./]+>|(?<=/)\d+(?=/))", wanted)
    pattern = "".join(".+" if n % 2 else re.escape(part) for n, part in enumerate(parts))
    assert re.fullmatch(pattern, masked(str(got)), re.DOTALL), f"{path}: {got!r}, recorded {wanted!r}"


def changed(recorded: dict[str, Any], change: Callable[[Any], None]) -> dict[str, Any]:
    """What was recorded, with its JSON changed."""
    change(recorded["json"])
    return recorded
