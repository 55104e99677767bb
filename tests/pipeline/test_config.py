"""Configurations: what is inherited, where it comes from, and which values make no sense."""

import copy
import pickle
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from openhcs_core.pipeline import INHERIT, Effective, GlobalPipelineConfig, PipelineConfig, PipelineError, StepConfig
from openhcs_core.pipeline.config import LazyStepConfig


def test_the_lazy_form_has_the_same_fields_and_inherits_all():
    assert [item.name for item in fields(PipelineConfig)] == [item.name for item in fields(GlobalPipelineConfig)]
    assert all(getattr(PipelineConfig(), item.name) is INHERIT for item in fields(PipelineConfig))
    assert [item.name for item in fields(LazyStepConfig)] == [item.name for item in fields(StepConfig)]


def test_a_value_comes_from_the_most_particular_level_that_gives_it():
    effective = Effective(
        GlobalPipelineConfig,
        [
            ("the step", LazyStepConfig(save_to="zarr")),
            ("the pipeline", PipelineConfig(save_to="disk", num_workers=4, wells=None)),
            ("nobody", None),
            ("the site", PipelineConfig(num_workers=2, retries=0, wells=["A01"])),
        ],
    )
    assert effective.value == GlobalPipelineConfig(save_to=("zarr",), num_workers=4, retries=0)
    assert {name: origin for name, origin in effective.origins.items() if origin != "the default"} == {
        "save_to": "the step",
        "num_workers": "the pipeline",
        "wells": "the pipeline",  # given, although it is None
        "retries": "the site",
    }
    assert effective.origin("retries") == "the site"
    assert effective.origin("resume") == "the default"


def test_a_complete_configuration_ends_the_inheritance():
    levels = [("the file", GlobalPipelineConfig()), ("the site", PipelineConfig(retries=3))]
    effective = Effective(GlobalPipelineConfig, levels)
    assert effective.value.retries == 1
    assert set(effective.origins.values()) == {"the file"}


def test_the_origin_of_something_else():
    with pytest.raises(PipelineError, match="no setting 'worker'.*num_workers"):
        Effective(GlobalPipelineConfig, []).origin("worker")


def test_configurations_are_frozen_compared_copied_and_shown():
    config = PipelineConfig(num_workers=2, wells=["A01"])
    assert config == PipelineConfig(wells=("A01",), num_workers=2)
    assert config != PipelineConfig(num_workers=2)
    assert hash(config) == hash(PipelineConfig(wells=("A01",), num_workers=2))
    assert repr(config) == 'PipelineConfig(wells=("A01",), num_workers=2)'
    for made in (pickle.loads(pickle.dumps(config)), copy.deepcopy(config)):  # noqa: S301
        assert made == config
        assert made.retries is INHERIT
    with pytest.raises(FrozenInstanceError):
        config.num_workers = 3


@pytest.mark.parametrize("config_class", [GlobalPipelineConfig, PipelineConfig])
def test_values_are_brought_into_their_form(config_class):
    config = config_class(wells=["A01", "B02"], save_to="zarr", num_workers=np.int64(3), gpus=[np.uint8(1)])
    assert (config.wells, config.save_to, config.num_workers, config.gpus) == (("A01", "B02"), ("zarr",), 3, (1,))
    assert type(config.num_workers) is int
    assert type(config.gpus[0]) is int


@pytest.mark.parametrize("config_class", [GlobalPipelineConfig, PipelineConfig])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_workers": 0}, "num_workers must be at least 1, not 0"),
        ({"num_workers": "4"}, "num_workers must be a whole number, not '4'"),
        ({"num_workers": True}, "num_workers must be a whole number"),
        ({"num_workers": None}, "num_workers must be a whole number"),
        ({"memory_limit_mb": 0}, "at least 1"),
        ({"memory_limit_mb": 1.5}, r"memory_limit_mb must be a whole number or None, not 1.5"),
        ({"retries": -1}, "at least 0"),
        ({"resume": 1}, "resume must be True or False"),
        ({"variable_components": ["z"]}, "'z' is no component. Components: well, site"),
        ({"variable_components": ["well"]}, "one by one"),
        ({"variable_components": ["site", "site"]}, "twice"),
        ({"variable_components": 3}, "must be a tuple, each of it a text, not 3"),
        ({"wells": []}, "no well in it"),
        ({"wells": [1]}, "wells must be"),
        ({"wells": ["A01", ""]}, "no usable name"),
        ({"gpus": [-1]}, "numbered from 0"),
        ({"output": object()}, "type object cannot be part of a pipeline"),
        ({"executor": " "}, "no usable name"),
        ({"output": "a\nb"}, "no usable name"),
    ],
)
def test_values_that_make_no_sense(config_class, values, said):
    with pytest.raises(PipelineError, match=f"^{config_class.__name__}: .*{said}"):
        config_class(**values)
