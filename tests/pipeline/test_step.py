"""Steps: the forms of their functions, their names, and what is said when something is wrong."""

import functools
import pickle

import numpy as np
import pytest

from openhcs_core.functions import FunctionError, spec_of
from openhcs_core.pipeline import INHERIT, PLATE, FunctionStep, PipelineError, StepOutput
from openhcs_core.pipeline.config import LazyStepConfig
from tests.pipeline.texts import project, segment, smooth, smooth_elsewhere

SMOOTH, PROJECT, SEGMENT = spec_of(smooth), spec_of(project), spec_of(segment)


@pytest.mark.parametrize(
    ("func", "chains", "name"),
    [
        (smooth, {None: [(SMOOTH, {})]}, "smooth"),
        ((smooth, {"sigma": 2}), {None: [(SMOOTH, {"sigma": 2})]}, "smooth"),
        ([project, (smooth, {"sigma": 2})], {None: [(PROJECT, {}), (SMOOTH, {"sigma": 2})]}, "smooth"),
        (
            {1: project, "GFP": [project, (segment, {})]},
            {1: [(PROJECT, {})], "GFP": [(PROJECT, {}), (SEGMENT, {})]},
            "project_segment",
        ),
        ({1: smooth, 2: (smooth, {"sigma": 3})}, {1: [(SMOOTH, {})], 2: [(SMOOTH, {"sigma": 3})]}, "smooth"),
    ],
)
def test_the_forms_of_func(func, chains, name):
    step = FunctionStep(func)
    assert step.chains == chains
    assert step.name == step.default_name == name
    assert FunctionStep(func, name="other").name == "other"


def test_values_are_brought_into_their_form():
    step = FunctionStep(
        (smooth, {"sigma": np.float32(0.5), "mode": np.str_("wrap")}),
        variable_components=["site", "z_index"],
        select={"channel": np.int64(2), "well": ["A01"], "site": range(1, 3)},
        save_to="zarr",
    )
    assert step.func == (smooth, {"sigma": 0.5, "mode": "wrap"})
    assert [type(value) for value in step.func[1].values()] == [float, str]
    assert step.variable_components == ("site", "z_index")
    assert step.select == {"channel": (2,), "well": ("A01",), "site": (1, 2)}
    assert step.config == LazyStepConfig(variable_components=("site", "z_index"), save_to=("zarr",))
    assert FunctionStep(smooth).config == LazyStepConfig()


def test_a_step_keeps_nothing_of_what_the_caller_changes_later():
    parameters, channels = {"options": [1]}, {"channel": [1]}
    step = FunctionStep((segment, parameters), select=channels)
    parameters["options"].append(2)
    channels["channel"].append(2)
    assert step == FunctionStep((segment, {"options": [1]}), select={"channel": (1,)})


def test_steps_are_compared_pickled_and_shown():
    step = FunctionStep(
        {"GFP": [(segment, {"reference": StepOutput("a", channel=2)}), smooth]}, input_source=PLATE, save=False
    )
    assert repr(step) == (
        'FunctionStep(func={"GFP": [(segment, {"reference": StepOutput(step="a", channel=2)}), smooth]}, '
        'input_source="plate", save=False)'
    )
    copy = pickle.loads(pickle.dumps(step))  # noqa: S301
    assert copy == step
    assert copy.save_to is INHERIT
    assert step != FunctionStep(step.func, input_source=PLATE)
    assert FunctionStep(smooth) != FunctionStep(smooth_elsewhere)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"func": None}, "func must be a function"),
        ({"func": "smooth"}, "func must be a function"),
        ({"func": int}, "func must be a function"),
        ({"func": (smooth,)}, "func must be a function"),
        ({"func": (smooth, project)}, "func must be a function"),
        ({"func": (smooth, {}, {})}, "func must be a function"),
        ({"func": [[smooth]]}, "func must be a function"),
        ({"func": [smooth, {1: smooth}]}, "func must be a function"),
        ({"func": []}, "list of functions is empty"),
        ({"func": {}}, "dict of functions is empty"),
        ({"func": {1: []}}, "channel 1: the list of functions is empty"),
        ({"func": {0: smooth}}, "key of func: 0 is no channel"),
        ({"func": {True: smooth}}, "True is no channel"),
        ({"func": {1.5: smooth}}, "1.5 is no channel"),
        ({"func": {None: smooth}}, "None is no channel"),
        ({"func": {"": smooth}}, "'' is no channel"),
        ({"func": {1: smooth}, "group_by": "well"}, "1 is no well; it is a name such as 'B03'"),
        ({"func": {"A": smooth}, "group_by": "site"}, "'A' is no site; it is a number from 1"),
        ({"func": {1: smooth}, "group_by": "plate"}, "group_by: 'plate' is no component"),
        ({"func": smooth, "group_by": "channel"}, "func is no dict"),
        ({"func": (smooth, {"sigma": object()})}, "parameters of smooth.'sigma'.: a value of type object"),
        ({"func": (smooth, {"sigma": np.zeros(3)})}, "ndarray cannot be part"),
        ({"func": (smooth, {"sigma": float("nan")})}, "no finite number"),
        ({"func": (smooth, {"sigma": [float("inf")]})}, "no finite number"),
        ({"func": (smooth, {"sigma": 2**63})}, "at most 64 bits"),
        ({"func": (smooth, {"sigma": b"1"})}, "type bytes"),
        ({"func": (smooth, {"sigma": {1, 2}})}, "type set"),
        ({"func": (smooth, {"sigma": {1.5: 2}})}, "keys must be str or int, not float"),
        ({"func": (smooth, {"sigma": "x" * 10_001})}, "at most 10000 characters"),
        ({"func": (smooth, {"sigma": "\ud800"})}, "lone surrogate"),
        ({"func": (smooth, {"a b": 1})}, "'a b' is no name of a parameter of smooth"),
        ({"func": (smooth, {1: 1})}, "1 is no name of a parameter"),
        ({"func": functools.partial(smooth, sigma=2)}, "cannot be the name of a step"),
        ({"func": lambda image: image}, "'<lambda>' cannot be the name of a step"),
        ({"func": smooth, "name": 3}, "name must be a text"),
        ({"func": smooth, "name": "../a"}, "cannot be the name of a step"),
        ({"func": smooth, "name": "a\n"}, "cannot be the name of a step"),
        ({"func": smooth, "name": "x" * 101}, "at most 100 characters"),
        ({"func": smooth, "name": "."}, "cannot be the name of a step"),
        ({"func": smooth, "name": "s", "variable_components": ["depth"]}, "^step 's': variable_components: 'depth'"),
        ({"func": smooth, "variable_components": None}, "variable_components must be"),
        ({"func": smooth, "save_to": [1]}, "save_to must be"),
        ({"func": smooth, "save_to": [""]}, "no usable name"),
        ({"func": smooth, "save": 1}, "save must be True or False"),
        ({"func": smooth, "input_source": "smooth"}, "a StepOutput such as"),
        ({"func": smooth, "select": ["A01"]}, "select must be a dict"),
        ({"func": smooth, "select": {"row": ["A"]}}, "'row' is no component"),
        ({"func": smooth, "select": {"site": []}}, "leaves no site"),
        ({"func": smooth, "select": {"site": ["1"]}}, "'1' is no site"),
    ],
)
def test_steps_that_make_no_sense(values, said):
    with pytest.raises(PipelineError, match=said):
        FunctionStep(**values)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"step": ""}, "name of an earlier step"),
        ({"step": smooth}, "name of an earlier step"),
        ({"step": "a", "kind": "table"}, "'image' or 'labels', not 'table'"),
        ({"step": "a", "channel": 0}, "0 is no channel"),
        ({"step": "a", "channel": True}, "True is no channel"),
    ],
)
def test_outputs_that_make_no_sense(values, said):
    with pytest.raises(PipelineError, match=said):
        StepOutput(**values)


def test_values_nested_too_deep():
    value = []
    for _ in range(20):
        value = [value]
    with pytest.raises(PipelineError, match="nested deeper than 16"):
        FunctionStep((smooth, {"sigma": value}))


def test_functions_that_were_not_declared_are_for_the_compiler_to_report():
    step = FunctionStep(sorted)
    assert step.name == "sorted"
    with pytest.raises(FunctionError, match="no processing function"):
        step.chains  # noqa: B018
