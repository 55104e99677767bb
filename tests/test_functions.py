"""The contract of processing functions: declarations, and parameters checked before anything runs."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Literal, Optional

import numpy as np
import pytest

from openhcs_core.functions import FunctionError, GroupContext, check_parameters, processing_function, spec_of
from openhcs_core.plate import PlaneAddress


@processing_function(axes="ZYX", outputs=("image", "table"), planes="one", inputs=("seeds",), context=True)
def everything(
    image: np.ndarray,
    count: int,
    seeds: np.ndarray,
    sigma: float = 1.0,
    mode: Literal["fast", "good", 3] = "fast",
    clip: bool = True,
    name: str | None = None,
    window: tuple[float, float] = (0.0, 1.0),
    weights: tuple[int, ...] | None = None,
    level: Optional[float] = None,  # noqa: UP045  (plugins may write it so)
    anything: object = None,
    plain: tuple = (),
    context: GroupContext | None = None,
) -> None:
    """Take all kinds.

    And more.
    """


SPEC = spec_of(everything)
SEEDS = object()


def test_a_declaration_is_kept_and_the_function_stays_what_it_was():
    assert SPEC.function is everything
    assert (SPEC.axes, SPEC.planes, SPEC.memory_type) == ("ZYX", "one", "numpy")
    assert SPEC.outputs == ("image", "table")
    assert SPEC.name.endswith("test_functions.everything")
    assert SPEC.summary == "Take all kinds."
    assert list(SPEC.parameters)[:3] == ["count", "seeds", "sigma"]
    assert "context" not in SPEC.parameters
    assert "image" not in SPEC.parameters


@pytest.mark.parametrize(
    ("declaration", "reason"),
    [
        ({"axes": "XY"}, "must end in YX"),
        ({"axes": "TCZYX"}, "at most two letters"),
        ({"axes": "YYX"}, "must end in YX"),
        ({"outputs": ()}, "must be some of"),
        ({"outputs": ("mask",)}, "must be some of"),
        ({"planes": "some"}, "'each' or 'one'"),
        ({"memory_type": "torch"}, "memory_type one of"),
        ({"inputs": ("labels",)}, "there is no parameter labels"),
        ({"context": True}, "there is no parameter context"),
    ],
)
def test_wrong_declarations_are_refused(declaration, reason):
    with pytest.raises(FunctionError, match=reason):
        processing_function(**declaration)(lambda image: image)


def test_a_function_without_parameters_takes_no_image():
    with pytest.raises(FunctionError, match="takes no image"):
        processing_function()(lambda: None)


def test_what_is_not_declared_says_what_to_do():
    with pytest.raises(FunctionError, match="Declare it with @processing_function"):
        spec_of(np.sum)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"sigma": 2, "mode": "good"},
        {"sigma": 2.5, "mode": 3},
        {"clip": False, "name": "x"},
        {"name": None, "weights": None, "level": None},
        {"window": (1, 2.5), "weights": (1, 2, 3)},
        {"window": [0.5, 1], "weights": ()},
        {"level": 3, "anything": object(), "plain": (1, "a")},
    ],
)
def test_right_parameters_are_accepted(parameters):
    assert check_parameters(SPEC, {"count": 1, "seeds": SEEDS, **parameters}) == []


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"count": 1.5}, "'count' must be a whole number, not 1.5."),
        ({"count": True}, "'count' must be a whole number, not True."),
        ({"sigma": "2"}, "'sigma' must be a number, not '2'."),
        ({"sigma": False}, "'sigma' must be a number, not False."),
        ({"sigma": None}, "'sigma' must be a number, not None."),
        ({"mode": "best"}, "'mode' must be one of 'fast', 'good', 3, not 'best'."),
        ({"mode": 3.0}, "'mode' must be one of 'fast', 'good', 3, not 3.0."),
        ({"clip": 1}, "'clip' must be True or False, not 1."),
        ({"name": 4}, "'name' must be a text or None, not 4."),
        ({"window": (1,)}, "'window' must be a tuple (a number, a number), not (1,)."),
        ({"window": (1, "2")}, "'window' must be a tuple (a number, a number), not (1, '2')."),
        ({"weights": (1, 2.5)}, "'weights' must be a tuple, each of it a whole number or None, not (1, 2.5)."),
        ({"plain": 3}, "'plain' must be a tuple, not 3."),
        ({"level": "x"}, "'level' must be a number or None, not 'x'."),
        ({"sigm": 2.0}, "has no parameter 'sigm'; did you mean 'sigma'?"),
        ({"zzz": 2.0}, "has no parameter 'zzz'; its parameters: count, seeds, sigma,"),
        ({"image": 1}, "has no parameter 'image'"),
        ({"context": None}, "has no parameter 'context'"),
    ],
)
def test_wrong_parameters_are_named_with_what_is_wanted(parameters, problem):
    (found,) = check_parameters(SPEC, {"count": 1, "seeds": SEEDS, **parameters})
    assert problem in found
    assert "everything" in found


def test_all_problems_come_at_once():
    found = check_parameters(SPEC, {"sigma": "x", "colour": 1})
    assert len(found) == 4
    assert any("'count' is missing; give it a value" in problem for problem in found)
    assert any("'seeds' is missing; give it the output of another step" in problem for problem in found)


def test_a_context_is_frozen_and_crosses_processes():
    context = GroupContext("P", (PlaneAddress("A01"),), (None, 0.5, 0.5), {("A01", 1): (0.0, 1.0)}, ("DNA",))
    assert pickle.loads(pickle.dumps(context)) == context  # noqa: S301  (our own, of a moment ago)
    with pytest.raises(dataclasses.FrozenInstanceError):
        context.plate = "Q"
