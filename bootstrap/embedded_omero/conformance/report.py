"""Comparison of answers with recorded ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

TOLERANCE = 1e-6  # relative


def differences(want: Any, got: Any, path: str = "") -> Iterator[str]:
    """One line for everything which differs; it starts with ``~`` where only the words of a refusal do."""
    if isinstance(want, dict) and isinstance(got, dict):
        if want.get("!") and want.get("!") == got.get("!"):
            if want.get("message") != got.get("message"):
                yield f"~{path}: message {want.get('message')!r} != {got.get('message')!r}"
            return
        for key in sorted(want.keys() | got.keys()):
            if key not in got:
                yield f"{path}/{key}: missing, want {_short(want[key])}"
            elif key not in want:
                yield f"{path}/{key}: unexpected {_short(got[key])}"
            else:
                yield from differences(want[key], got[key], f"{path}/{key}")
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for index, pair in enumerate(zip(want, got, strict=True)):
            yield from differences(*pair, f"{path}[{index}]")
    elif not _same(want, got):
        yield f"{path}: want {_short(want)}, got {_short(got)}"


def _same(want: Any, got: Any) -> bool:
    if type(want) is float and type(got) is float:
        return abs(want - got) <= TOLERANCE * max(1, abs(want))
    return type(want) is type(got) and want == got


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else text[:160] + "..."


def compare(golden: dict[str, Any], got: dict[str, Any]) -> dict[str, tuple[str, list[str]]]:
    """State of every case ("pass"; "near", where only the words of refusals differ; "fail") and its differences."""
    states = {}
    for name in sorted(golden.keys() | got.keys()):
        if name in golden and name in got:
            lines = list(differences(golden[name], got[name]))
        else:
            lines = ["not asked" if name in golden else "not recorded"]
        state = "pass" if not lines else "near" if all(x.startswith("~") for x in lines) else "fail"
        states[name] = (state, lines)
    return states


def areas(states: dict[str, tuple[str, list[str]]]) -> dict[str, dict[str, int]]:
    """How many cases of each area passed, nearly passed and failed."""
    counts: dict[str, dict[str, int]] = {}
    for name, (state, _) in states.items():
        counts.setdefault(name.split("/")[0], {"pass": 0, "near": 0, "fail": 0})[state] += 1
    return counts


def table(counts: dict[str, dict[str, int]]) -> str:
    """The counts as text, with a line for all of them."""
    total = {state: sum(c[state] for c in counts.values()) for state in ("pass", "near", "fail")}
    lines = [f"{'area':14} {'pass':>5} {'near':>5} {'fail':>5} {'total':>5}"]
    for area, c in [*sorted(counts.items()), ("all", total)]:
        lines.append(f"{area:14} {c['pass']:5} {c['near']:5} {c['fail']:5} {sum(c.values()):5}")
    return "\n".join(lines)
