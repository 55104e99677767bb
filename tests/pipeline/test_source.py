"""What a text may say, and where a mistake is found."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from openhcs_core.pipeline import (
    PLATE,
    FijiStreamingConfig,
    FunctionStep,
    GlobalPipelineConfig,
    NapariStreamingConfig,
    PipelineConfig,
    PipelineSourceError,
    StepOutput,
    read_config,
    read_pipeline,
)
from openhcs_core.pipeline.inherit import settable
from openhcs_core.pipeline.source import MAX_VALUES
from tests.pipeline.texts import MODULE, project, resolve, segment, smooth

HEAD = f"""from openhcs_core.pipeline import FunctionStep, StepOutput, PLATE, PipelineConfig
from {MODULE} import smooth, project as flatten, segment
"""


def test_everything_a_text_may_say():
    text = f'''"""Cells of the Kc167 fields."""
{HEAD}
# names for what is used twice
sigma = 2.5
wells = ["A01",
\t"B02"]  # two of them
parameters = {{"sigma": sigma, 'mode': 'a "b"\\n\\u00b5', "more": (1,), "none": None, "yes": True, 7: -3,}}
first = FunctionStep((smooth, parameters), "first", select={{"well": wells}})
pipeline_steps = [first, FunctionStep(flatten)]
pipeline_steps.append(
    FunctionStep(func=[(segment, {{"reference": StepOutput("first", channel=1)}})], input_source=PLATE)
)
pipeline_steps += [FunctionStep({{1: smooth, "GFP": [smooth]}}, name="each")]

config = PipelineConfig(num_workers=2)
'''.replace("7: -3,", '"seven": -3,')
    pipeline = read_pipeline(text, resolve)
    parameters = {"sigma": 2.5, "mode": 'a "b"\nµ', "more": (1,), "none": None, "yes": True, "seven": -3}
    assert pipeline.steps == (
        FunctionStep((smooth, parameters), name="first", select={"well": ["A01", "B02"]}),
        FunctionStep(project),
        FunctionStep([(segment, {"reference": StepOutput("first", channel=1)})], input_source=PLATE),
        FunctionStep({1: smooth, "GFP": [smooth]}, name="each"),
    )
    assert pipeline.config == PipelineConfig(num_workers=2)
    assert pipeline.text == text
    assert read_pipeline(text.replace("\n", "\r\n"), resolve).steps == pipeline.steps


def test_texts_of_openhcs():
    text = f"""from openhcs.core.steps.function_step import FunctionStep
from {MODULE} import smooth
pipeline_steps = []
pipeline_steps.append(FunctionStep(func=(smooth, {{'sigma': 2.0}}), name="smooth"))
"""
    assert read_pipeline(text, resolve).steps == (FunctionStep((smooth, {"sigma": 2.0})),)
    text = "from openhcs.core.config import GlobalPipelineConfig\nconfig = GlobalPipelineConfig(num_workers=8)"
    assert read_config(text, GlobalPipelineConfig) == GlobalPipelineConfig(num_workers=8)


def test_functions_are_found_among_the_plugins():
    text = """from openhcs_core.pipeline import FunctionStep
from openhcs_functions.smoothing import gaussian
pipeline_steps = [FunctionStep((gaussian, {"sigma": 1.5}))]
"""
    [step] = read_pipeline(text).steps
    [[(spec, parameters)]] = step.chains.values()
    assert (spec.name, parameters) == ("openhcs_functions.smoothing.gaussian", {"sigma": 1.5})
    with pytest.raises(PipelineSourceError, match="line 2, column 41: .*gausian"):
        read_pipeline(text.replace("import gaussian", "import gausian"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "sets no pipeline_steps"),
        ("# nothing\n", "sets no pipeline_steps"),
        (7, "must be str, not int"),
        (b"pipeline_steps = []", "must be str, not bytes"),
    ],
)
def test_texts_without_a_pipeline(text, said):
    with pytest.raises(PipelineSourceError, match=said) as caught:
        read_pipeline(text, resolve)
    assert (caught.value.line, caught.value.column) == (0, 0)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("pipeline_steps = [1,\n 2", (1, 18), "never closed"),
        ("pipeline_steps = 3", (1, 18), "must be a list of FunctionSteps"),
        ("pipeline_steps = [\n  1]", (2, 3), "holds FunctionSteps; this is none"),
        ("pipeline_steps = []\npipeline_steps.append('ü', 1)", (2, 1), "no place"),
        ("pipeline_steps = []\npipeline_steps += ['µµ', 4]", (2, 20), "this is none"),
        ("pipeline_steps = [\nFunctionStep(smooth, sigma=2)]", (2, 1), "unexpected keyword.*'sigma'"),
        ("pipeline_steps = [FunctionStep(smooth, name='ä', save=1)]", (1, 19), "step 'ä': save must be"),
        ("pipeline_steps = [FunctionStep((smooth, {1: 2}))]", (1, 19), "no name of a parameter"),
        ("pipeline_steps = [FunctionStep(smooth, name='a', name='b')]", (1, 55), "'name' is there twice"),
        ("pipeline_steps = [FunctionStep(missing)]", (1, 32), "'missing' is unknown"),
        ("pipeline_steps = [smooth(1)]", (1, 19), "Only FunctionStep.* can be called"),
        ("pipeline_steps.append(FunctionStep(smooth))", (1, 1), r"Write pipeline_steps = \[\] before"),
        ("pipeline_steps = []\npipeline_steps = []", (2, 1), "has its meaning since line 3"),
        ("smooth = 1", (1, 1), "has its meaning since line"),
        ("x = {'ü': 1, 'ü': 2}", (1, 14), "'ü' is there twice"),
        ("x = {True: 1}", (1, 6), "texts or whole numbers"),
        ("x = {(1, 2): 1}", (1, 6), "texts or whole numbers"),
        ("config = {}", (1, 10), "must be a PipelineConfig"),
        ("config = PipelineConfig(num_workers=0)", (1, 10), "at least 1"),
        ("from openhcs_core.pipeline import Effective", (1, 35), "not 'Effective'"),
        ("x = GlobalPipelineConfig()", (1, 5), "import it from openhcs_core.pipeline"),
        ("x = 5\nx = 6", (2, 1), "take another name"),
        ("x = 1\n'a late docstring'", (2, 1), "no place"),
    ],
)
def test_where_a_mistake_is(text, place, said):
    head = HEAD
    with pytest.raises(PipelineSourceError, match=said) as caught:
        read_pipeline(head + text, resolve)
    assert (caught.value.line - head.count("\n"), caught.value.column) == place
    assert f"line {caught.value.line}, column {caught.value.column}: " in str(caught.value)


def test_the_configuration_must_be_of_the_class_that_is_wanted():
    text = "from openhcs_core.pipeline import PipelineConfig\n\nconfig = PipelineConfig(num_workers=3)\n"
    assert read_config(text, PipelineConfig) == PipelineConfig(num_workers=3)
    with pytest.raises(PipelineSourceError, match="line 3, .*is a PipelineConfig, but a GlobalPipelineConfig"):
        read_config(text, GlobalPipelineConfig)
    with pytest.raises(PipelineSourceError, match=r"Write config = PipelineConfig\(...\)"):
        read_config("x = 1", PipelineConfig)


def test_names_cannot_multiply_values():
    lines = ["a0 = [1, 2, 3, 4]", *(f"a{n} = [a{n - 1}, a{n - 1}]" for n in range(1, 40))]
    with pytest.raises(PipelineSourceError, match=f"more than {MAX_VALUES} values") as caught:
        read_pipeline("\n".join(lines), resolve)
    assert 10 < caught.value.line < 20


def test_an_import_may_be_said_twice():
    text = f"from {MODULE} import smooth\nfrom {MODULE} import smooth\npipeline_steps = []"
    assert read_pipeline(text, resolve).steps == ()


def test_the_examples_of_the_documentation():
    page = Path(__file__).parents[2] / "docs" / "pipelines.md"
    first, forms, live = (
        read_pipeline(text) for text in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    )
    assert [step.name for step in first.steps] == ["projection", "nuclei", "measurements"]
    assert first.config == PipelineConfig(num_workers=2, save_to=("zarr",))
    assert [type(step.func).__name__ for step in forms.steps] == ["function", "tuple", "list", "dict"]
    assert [[item.viewer for item in step.stream_to] for step in live.steps] == [["napari"], ["napari", "fiji"]]
    assert live.config.streaming[0].napari_port == 5556
    settings = [item for kind in (NapariStreamingConfig, FijiStreamingConfig) for item in settable(kind)]
    for setting in (*fields(GlobalPipelineConfig), *fields(FunctionStep), *settings):
        assert f"`{setting.name}`" in page.read_text("utf-8")
