"""Viewers in steps and configurations: what is inherited, what makes no sense, what the plan says."""

import pickle
from enum import Enum

import pytest

from openhcs_core.pipeline import (
    CompileError,
    FijiStreamingConfig,
    FunctionStep,
    GlobalPipelineConfig,
    LazyFijiStreamingConfig,
    LazyNapariStreamingConfig,
    LazyStreamingConfig,
    NapariStreamingConfig,
    PipelineConfig,
    PipelineError,
    PipelineSourceError,
    StreamingConfig,
    pipeline_text,
    read_pipeline,
)
from openhcs_core.pipeline.explain import explain
from openhcs_core.pipeline.viewing import STREAMING_CLASSES, effective_viewer
from openhcs_core.streaming.endpoints import FIJI_PORT, NAPARI_PORT
from tests.pipeline.functions import both, compiled, memory_plate, plus, statistics_of
from tests.pipeline.texts import resolve, smooth


class Mode(str, Enum):
    STACK = "stack"


def test_defaults_are_the_usual_ports_of_this_machine():
    napari, fiji = NapariStreamingConfig(), FijiStreamingConfig()
    assert (napari.viewer, napari.endpoint) == ("napari", f"tcp://localhost:{NAPARI_PORT}")
    assert (fiji.viewer, fiji.endpoint, fiji.lut) == ("fiji", f"tcp://localhost:{FIJI_PORT}", "")
    assert napari.display == fiji.display == {}
    other = StreamingConfig(viewer="vaa3d", port=5575, z_index_mode=Mode.STACK, well_mode="separate")
    assert other.display == {"z_index": "stack", "well": "separate"}
    assert type(other.z_index_mode) is str
    assert other.endpoint == "tcp://localhost:5575"


def test_lazy_ones_are_the_same_and_show_what_they_set():
    for kind, lazy in zip(STREAMING_CLASSES[:3], STREAMING_CLASSES[3:], strict=True):
        assert issubclass(lazy, kind)
        assert issubclass(kind, StreamingConfig)
    lazy = LazyFijiStreamingConfig(fiji_port=5566, lut="Fire")
    assert repr(lazy) == 'LazyFijiStreamingConfig(fiji_port=5566, lut="Fire")'
    assert pickle.loads(pickle.dumps(lazy)) == lazy  # noqa: S301
    assert repr(LazyNapariStreamingConfig()) == "LazyNapariStreamingConfig()"


def test_each_value_comes_from_the_nearest_level_that_has_it():
    levels = [
        ("the run", None),
        ("the pipeline", PipelineConfig(streaming=LazyNapariStreamingConfig(napari_port=5556))),
        ("the site", GlobalPipelineConfig(streaming=[NapariStreamingConfig(napari_host="::1", site_mode="slice")])),
    ]
    effective = effective_viewer(LazyNapariStreamingConfig(well_mode="separate"), levels)
    assert effective.value == NapariStreamingConfig(
        napari_port=5556, napari_host="::1", site_mode="slice", well_mode="separate"
    )
    assert effective.value.endpoint == "tcp://[::1]:5556"
    assert effective.origin("napari_port") == "the pipeline"
    assert effective.origin("site_mode") == "the site"
    assert effective.origin("well_mode") == "the step"
    assert effective_viewer(NapariStreamingConfig(), levels).value == NapariStreamingConfig()
    assert effective_viewer(LazyFijiStreamingConfig(), levels).value == FijiStreamingConfig()
    generic = effective_viewer(LazyStreamingConfig(viewer="napari"), levels).value
    assert (generic.site_mode, generic.endpoint) == ("slice", "tcp://[::1]:5556")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NapariStreamingConfig(napari_port=0), "napari_port must be from 1 to 64535, not 0"),
        (lambda: NapariStreamingConfig(napari_port=64536), "napari_port must be from 1 to 64535"),
        (lambda: LazyFijiStreamingConfig(fiji_port="5565"), "fiji_port must be a whole number, not '5565'"),
        (lambda: FijiStreamingConfig(fiji_host="tcp://here"), "fiji_host: 'tcp://here' is no name or address"),
        (lambda: FijiStreamingConfig(fiji_host="a b"), "is no name or address"),
        (lambda: FijiStreamingConfig(fiji_host="-oProxyCommand=x"), "is no name or address"),
        (lambda: FijiStreamingConfig(fiji_host=""), "is no name or address"),
        (lambda: FijiStreamingConfig(lut="../Fire"), "lut: '../Fire' is no name of a lookup table"),
        (lambda: FijiStreamingConfig(lut="a\nb"), "is no usable name"),
        (lambda: StreamingConfig(), "viewer must name a viewer"),
        (lambda: LazyStreamingConfig(port=5555), "viewer must name a viewer"),
        (lambda: StreamingConfig(viewer="x" * 65), "viewer must name a viewer"),
        (lambda: StreamingConfig(viewer="; rm"), "viewer must name a viewer"),
        (lambda: NapariStreamingConfig(site_mode="side"), "site_mode must be one of 'stack', 'slice', 'separate'"),
        (lambda: NapariStreamingConfig(persistent=1), "persistent must be True or False, not 1"),
        (
            lambda: FunctionStep(plus, stream_to="napari"),
            "step 'plus'|FunctionStep: stream_to must be one of Streaming",
        ),
        (lambda: FunctionStep(plus, stream_to=[plus]), "stream_to must be one of StreamingConfig"),
        (lambda: FunctionStep(plus, stream_to=[NapariStreamingConfig()] * 2), "names napari twice at the same place"),
        (lambda: PipelineConfig(streaming=5), "streaming must be one of StreamingConfig"),
        (
            lambda: PipelineConfig(streaming=[NapariStreamingConfig(), NapariStreamingConfig(napari_port=5556)]),
            "one configuration of each viewer",
        ),
    ],
)
def test_what_makes_no_sense(make, said):
    with pytest.raises(PipelineError, match=said):
        make()


HEAD = "from openhcs_core.pipeline import *\n".replace("*", "FunctionStep, NapariStreamingConfig, PipelineConfig")


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("FunctionStep(smooth, stream_to=NapariStreamingConfig(napari_port=10**9))", "has no place in a pipeline text"),
        ("FunctionStep(smooth, stream_to=NapariStreamingConfig(napari_port=1000000))", "must be from 1 to 64535"),
        (
            "FunctionStep(smooth, stream_to=NapariStreamingConfig(host='10.0.0.1'))",
            "unexpected keyword argument 'host'",
        ),
        ("FunctionStep(smooth, stream_to=NapariStreamingConfig(viewer='sh'))", "unexpected keyword argument 'viewer'"),
        ("FunctionStep(smooth, stream_to=NapariStreamingConfig(5555))", "too many positional arguments"),
        ("FunctionStep(smooth, stream_to=NapariStreamingConfig)", "stream_to must be one of"),
        ("FunctionStep(smooth, stream_to=[[NapariStreamingConfig()]])", "stream_to must be one of"),
        ("FunctionStep((smooth, {'mode': NapariStreamingConfig()}))", "cannot be part of a pipeline"),
        ("FunctionStep(smooth, name=NapariStreamingConfig())", "name must be a text"),
        ("FunctionStep(smooth, stream_to=FijiStreamingConfig())", "import it from openhcs_core.pipeline"),
    ],
)
def test_hostile_texts(step, said):
    text = f"{HEAD}from tests.pipeline.texts import smooth\npipeline_steps = [{step}]\n"
    with pytest.raises(PipelineSourceError, match=said):
        read_pipeline(text, resolve)


def test_text_of_steps_with_viewers():
    steps = [FunctionStep(smooth, stream_to=[LazyNapariStreamingConfig(), FijiStreamingConfig(lut="Fire")])]
    text = pipeline_text(steps, PipelineConfig(streaming=NapariStreamingConfig(napari_port=5557)))
    assert 'stream_to=(LazyNapariStreamingConfig(), FijiStreamingConfig(lut="Fire"))' in text
    assert "config = PipelineConfig(streaming=(NapariStreamingConfig(napari_port=5557),))" in text
    pipeline = read_pipeline(text, resolve)
    assert list(pipeline.steps) == steps
    assert (
        read_pipeline(text.replace("openhcs_core.pipeline", "openhcs.core.config", 1), resolve).steps == pipeline.steps
    )


def test_the_plan_says_what_is_shown_where_and_who_says_so():
    _, layout = memory_plate()
    steps = [FunctionStep(both, stream_to=LazyNapariStreamingConfig(site_mode="separate")), FunctionStep(plus)]
    plan = compiled(layout, steps, streaming=LazyNapariStreamingConfig(napari_port=5558))
    assert plan.steps[0].streamed == ("image", "labels")
    assert plan.steps[1].streamed == plan.steps[1].stream_to == ()
    told = explain(plan)
    assert (
        "shows   image, labels in napari at localhost:5558 (site_mode by the step; napari_port by the pipeline)" in told
    )
    assert "site: separate" in told


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (FunctionStep(statistics_of, stream_to=NapariStreamingConfig()), "gives tables only"),
        (FunctionStep(plus, stream_to=StreamingConfig(viewer="nobody")), "There is no viewer 'nobody'"),
        (
            FunctionStep(plus, stream_to=[LazyNapariStreamingConfig(), NapariStreamingConfig()]),
            "stream_to names napari twice at the same place",
        ),
    ],
)
def test_problems_of_the_compiler(step, said):
    _, layout = memory_plate()
    with pytest.raises(CompileError, match=said):
        compiled(layout, [step])
