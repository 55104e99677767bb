"""Plain values, and how errors show them."""

import enum

import numpy as np
import pytest

from openhcs_core.pipeline import PipelineError
from openhcs_core.pipeline.values import MAX_INT, plain, shown


class Method(str, enum.Enum):
    OTSU = "otsu"


class Size(enum.IntEnum):
    SMALL = 3


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (np.float32(0.5), 0.5),
        (np.uint8(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Method.OTSU, "otsu"),
        (Size.SMALL, 3),
        ((1, [np.int64(2)], {"a": np.float64(3), np.int8(4): None}), (1, [2], {"a": 3.0, 4: None})),
        (MAX_INT, MAX_INT),
        (-MAX_INT, -MAX_INT),
    ],
)
def test_values_become_plain(value, made):
    result = plain(value, "it")
    assert result == made
    assert repr(result) == repr(made)


@pytest.mark.parametrize("value", [1j, b"", {1}, range(3), object(), np.zeros(2), np.datetime64("2020"), MAX_INT + 1])
def test_other_values_are_refused(value):
    with pytest.raises(PipelineError, match="^it"):
        plain(value, "it")


def test_an_error_shows_little_of_a_large_value():
    assert shown([1, "a"]) == "[1, 'a']"
    assert shown(plain) == "plain"
    assert all(len(shown(value)) < 200 for value in ("a" * 10**5, list(range(10**5)), {"a" * 10**5: "b" * 10**5}))
