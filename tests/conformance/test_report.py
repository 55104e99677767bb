"""The comparison sees what differs."""

from pathlib import Path

import pytest

from embedded_omero.conformance.__main__ import main
from embedded_omero.conformance.report import areas, compare, differences, table

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("want", "got", "lines"),
    [
        ({"a": [1, "x", None]}, {"a": [1, "x", None]}, []),
        ({"a": 1.0}, {"a": 1.0000001}, []),
        ({"a": 1.0}, {"a": 1.001}, ["/a: want 1.0, got 1.001"]),
        ({"a": 1}, {"a": 1.0}, ["/a: want 1, got 1.0"]),
        ({"a": 1}, {"a": True}, ["/a: want 1, got true"]),
        ([1, 2], [1], [": want [1, 2], got [1]"]),
        ([1, 2], [2, 1], ["[0]: want 1, got 2", "[1]: want 2, got 1"]),
        ({"a": 1}, {"b": 1}, ["/a: missing, want 1", "/b: unexpected 1"]),
        ({"!": "X", "message": "one"}, {"!": "X", "message": "two"}, ["~: message 'one' != 'two'"]),
        ({"!": "X", "message": "one"}, {"!": "Y", "message": "one"}, ['/!: want "X", got "Y"']),
    ],
)
def test_differences(want, got, lines):
    assert list(differences(want, got)) == lines


def test_states_and_counts():
    golden = {"a/same": 1, "a/words": {"!": "X", "message": "one"}, "b/other": 1, "b/missing": 1}
    got = {"a/same": 1, "a/words": {"!": "X", "message": "two"}, "b/other": 2, "b/new": 1}
    states = compare(golden, got)
    assert {name: state for name, (state, _) in states.items()} == {
        "a/same": "pass", "a/words": "near", "b/other": "fail", "b/missing": "fail", "b/new": "fail",
    }  # fmt: skip
    assert areas(states) == {"a": {"pass": 1, "near": 1, "fail": 0}, "b": {"pass": 0, "near": 0, "fail": 3}}
    assert table(areas(states)).splitlines()[-1].split() == ["all", "1", "1", "3", "5"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "/nowhere"], "name their folder with --cases"),
        (["--cases", str(HERE), "--password-env", "NO_SUCH"], "NO_SUCH is empty"),
    ],
)
def test_wrong_usage(arguments, message, capsys, monkeypatch):
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
