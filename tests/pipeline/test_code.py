"""Objects to text and back: the identity, and how the text looks."""

import json
import math
import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhcs_core.functions import processing_function
from openhcs_core.pipeline import (
    INHERIT,
    PLATE,
    FijiStreamingConfig,
    FunctionStep,
    GlobalPipelineConfig,
    LazyFijiStreamingConfig,
    LazyNapariStreamingConfig,
    LazyStreamingConfig,
    NapariStreamingConfig,
    PipelineConfig,
    PipelineError,
    StepOutput,
    StreamingConfig,
    generate_complete_pipeline_steps_code,
    generate_config_code,
    pipeline_text,
    read_config,
    read_pipeline,
)
from openhcs_core.plate import COMPONENTS, well_name
from tests.pipeline.texts import MODULE, project, resolve, segment, smooth, smooth_elsewhere

numbers = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=30)
channels = st.integers(1, 99) | st.text(min_size=1, max_size=8)
outputs = st.builds(StepOutput, st.text(min_size=1, max_size=8), st.sampled_from([None, "image", "labels"]), channels)
values = st.recursive(
    scalars | outputs,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers(-5, 5), inner, max_size=4)
    ),
    max_leaves=8,
)
functions = st.sampled_from([smooth, project, segment, smooth_elsewhere])
calls = functions | st.tuples(functions, st.dictionaries(st.sampled_from(["sigma", "mode", "ü"]), values, max_size=3))
chains = calls | st.lists(calls, min_size=1, max_size=3)
wells = st.builds(well_name, st.integers(0, 31), st.integers(0, 47))
components = st.lists(st.sampled_from(["site", "channel", "z_index", "timepoint"]), unique=True).map(tuple)
names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters='/\\:*?"<>|.'), max_size=20
)
modes = st.sampled_from([None, "stack", "slice", "separate"])
displays = {f"{component}_mode": modes for component in COMPONENTS} | {"persistent": st.booleans()}
hosts = st.sampled_from(["localhost", "192.168.1.20", "desk-12.example.org", "::1"])
ports = st.integers(1, 64535)
napari = {"napari_port": ports, "napari_host": hosts, **displays}
fiji = {"fiji_port": ports, "fiji_host": hosts, "lut": st.sampled_from(["", "Fire", "16 colors"]), **displays}
others = {"host": hosts, "port": st.none() | ports, **displays}


def viewers_of(kind, always, given):
    return st.fixed_dictionaries(always, optional=given).map(lambda values: kind(**values))


viewers = st.one_of(
    viewers_of(kind, always, given)
    for kinds, always, given in [
        ((NapariStreamingConfig, LazyNapariStreamingConfig), {}, napari),
        ((FijiStreamingConfig, LazyFijiStreamingConfig), {}, fiji),
        ((StreamingConfig, LazyStreamingConfig), {"viewer": st.sampled_from(["vaa3d", "my viewer"])}, others),
    ]
    for kind in kinds
)


def several(*unlike):
    """Some viewers, no two of them alike in these attributes."""
    return st.lists(viewers, max_size=3, unique_by=lambda item: repr([getattr(item, name) for name in unlike])).map(
        tuple
    )


backends = st.lists(st.sampled_from(["disk", "zarr", "omero_local"]), unique=True).map(tuple)
common = {
    "name": names,
    "variable_components": st.just(INHERIT) | components,
    "input_source": st.sampled_from([None, PLATE]) | outputs,
    "select": st.fixed_dictionaries(
        {},
        optional={
            "channel": st.lists(channels, min_size=1, max_size=3),
            "well": st.lists(wells, min_size=1, max_size=3),
            "site": st.integers(1, 9),
        },
    ),
    "save": st.sampled_from([None, True, False]),
    "save_to": st.just(INHERIT) | backends,
    "stream_to": several("viewer", "host", "port"),
}
steps = st.builds(FunctionStep, chains, **common) | st.one_of(
    st.builds(
        FunctionStep,
        st.dictionaries(keys, chains, min_size=1, max_size=3),
        group_by=st.sampled_from(group_by),
        **common,
    )
    for keys, group_by in [(channels, [None, "channel"]), (wells, ["well"]), (st.integers(1, 99), ["site", "z_index"])]
)
settings_of_all = {
    "variable_components": components,
    "save_to": backends,
    "read_from": st.none() | st.sampled_from(["disk", "zarr"]),
    "output": st.none() | st.sampled_from(["/data/out put", "C:\\data", "ü/'\""]),
    "wells": st.none() | st.lists(wells, min_size=1, max_size=5, unique=True).map(tuple),
    "num_workers": st.integers(1, 64),
    "executor": st.sampled_from(["processes", "dask"]),
    "executor_address": st.none() | st.just("tcp://scheduler:8786"),
    "memory_limit_mb": st.none() | st.integers(1, 10**6),
    "gpus": st.none() | st.lists(st.integers(0, 7), unique=True).map(tuple),
    "retries": st.integers(0, 5),
    "resume": st.booleans(),
    "streaming": several("viewer"),
}
configs = st.sampled_from([PipelineConfig, GlobalPipelineConfig]).flatmap(
    lambda config_class: st.fixed_dictionaries({}, optional=settings_of_all).map(lambda given: config_class(**given))
)


def test_the_strategies_know_every_setting():
    assert list(settings_of_all) == [item.name for item in fields(GlobalPipelineConfig)]
    assert {"func", "group_by", *common} == {item.name for item in fields(FunctionStep)}


@settings(deadline=None, max_examples=150)
@given(st.lists(steps, max_size=3), st.none() | configs, st.booleans())
def test_what_is_read_is_what_was_written(steps, config, clean_mode):
    text = pipeline_text(steps, config, clean_mode=clean_mode)
    pipeline = read_pipeline(text, resolve)
    assert (list(pipeline.steps), pipeline.config, pipeline.text) == (steps, config, text)
    assert [same_types(*pair) for pair in zip(pipeline.steps, steps, strict=True)] == [True] * len(steps)
    assert pipeline_text(pipeline.steps, pipeline.config, clean_mode=clean_mode) == text


def same_types(left, right):
    """Whether equal values are of equal types too, so that 1 has not become 1.0 or True."""
    return repr(left) == repr(right)


@settings(deadline=None)
@given(configs, st.booleans())
def test_a_configuration_alone(config, clean_mode):
    text = generate_config_code(config, type(config), clean_mode=clean_mode)
    assert read_config(text, type(config)) == config


def test_clean_mode_keeps_what_differs():
    step = FunctionStep((smooth, {"sigma": 2.0}), save=True)
    assert generate_complete_pipeline_steps_code([step]) == (
        "from openhcs_core.pipeline import FunctionStep\n"
        f"from {MODULE} import smooth\n"
        "\n"
        "pipeline_steps = []\n"
        "\n"
        'pipeline_steps.append(FunctionStep(func=(smooth, {"sigma": 2.0}), save=True))\n'
    )
    assert generate_complete_pipeline_steps_code([step], clean_mode=False).endswith(
        "pipeline_steps.append(FunctionStep(\n"
        '    func=(smooth, {"sigma": 2.0}),\n'
        '    name="smooth",\n'
        "    group_by=None,\n"
        "    input_source=None,\n"
        "    select={},\n"
        "    save=True,\n"
        "    stream_to=(),\n"
        "))\n"
    )
    assert generate_complete_pipeline_steps_code([]) == "pipeline_steps = []\n"


def test_a_lazy_configuration_is_resolved_by_the_class_that_is_asked_for():
    config = PipelineConfig(num_workers=8, retries=1)
    assert generate_config_code(config, GlobalPipelineConfig) == (
        "from openhcs_core.pipeline import GlobalPipelineConfig\n\nconfig = GlobalPipelineConfig(num_workers=8)\n"
    )
    assert generate_config_code(config, PipelineConfig).endswith("config = PipelineConfig(num_workers=8, retries=1)\n")
    complete = generate_config_code(config, GlobalPipelineConfig, clean_mode=False)
    assert complete.count("=") == 1 + len(fields(GlobalPipelineConfig))


def test_functions_of_one_name_are_told_apart():
    text = pipeline_text([FunctionStep([smooth_elsewhere, smooth, project])])
    assert "from elsewhere.filters import smooth\n" in text
    assert f"from {MODULE} import project, smooth as smooth_2\n" in text
    assert "[smooth, smooth_2, project]" in text


def test_functions_named_as_something_else_in_the_text():
    made = {}
    for name in ("config", "FunctionStep", "pipeline_steps"):

        @processing_function()
        def function(image):
            return image

        function.__module__, function.__qualname__, function.__name__ = "odd", name, name
        made[f"odd.{name}"] = function
    steps = [FunctionStep(function) for function in made.values()]
    text = pipeline_text(steps, PipelineConfig())
    assert list(read_pipeline(text, lambda name: made[name].__openhcs__).steps) == steps


def test_long_values_are_broken_into_lines():
    step = FunctionStep((smooth, {"sigma": list(range(60)), "mode": "x" * 200}), name="long")
    text = pipeline_text([step])
    assert max(len(line) for line in text.splitlines() if "xxx" not in line) <= 100
    assert read_pipeline(text, resolve).steps == (step,)


def test_what_cannot_be_written():
    @processing_function()
    def inner(image):
        return image

    with pytest.raises(PipelineError, match="is no processing function"):
        pipeline_text([FunctionStep(resolve)])
    with pytest.raises(PipelineError, match="cannot be imported by name"):
        pipeline_text([FunctionStep(inner)])
    with pytest.raises(PipelineError, match="a str is none"):
        pipeline_text(["smooth"])
    with pytest.raises(PipelineError, match="must be a list of FunctionSteps, not FunctionStep"):
        pipeline_text(FunctionStep(smooth))
    with pytest.raises(PipelineError, match="config must be a PipelineConfig"):
        pipeline_text([], {"num_workers": 2})
    with pytest.raises(PipelineError, match="config must be a PipelineConfig"):
        generate_config_code(FunctionStep(smooth), PipelineConfig)
    with pytest.raises(PipelineError, match="config_class must be"):
        generate_config_code(PipelineConfig(), dict)


def test_importing_the_model_loads_no_plugin():
    code = "import sys, json, openhcs_core.pipeline; print(json.dumps(list(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert "openhcs_core.pipeline.source" in modules
    assert not [name for name in modules if name.split(".")[0] in ("openhcs_functions", "openhcs_backends", "scipy")]
    assert "openhcs_core.plugins" not in modules


def test_zero_keeps_its_sign():
    step = read_pipeline(pipeline_text([FunctionStep((smooth, {"sigma": -0.0}))]), resolve).steps[0]
    assert math.copysign(1, step.func[1]["sigma"]) == -1
