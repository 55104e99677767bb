"""What the compiler refuses, and what it plans."""

import pickle
import re

import numpy as np
import pytest

from openhcs_core.pipeline import (
    PLATE,
    CompileError,
    Effective,
    FunctionStep,
    GlobalPipelineConfig,
    PipelineConfig,
    StepOutput,
)
from openhcs_core.pipeline.compiler import compile_pipeline
from openhcs_core.pipeline.explain import explain
from openhcs_core.pipeline.memory import WORKER_BYTES, available_bytes
from tests.pipeline.functions import (
    above,
    add_stack,
    addresses,
    both,
    compiled,
    highest,
    image_and_table,
    mean_inside,
    memory_plate,
    on_gpu,
    pixels,
    plus,
    side_by_side,
    statistics_of,
    undeclared,
    weighted,
)


@pytest.fixture(scope="module")
def layout():
    return memory_plate()[1]


def problems(layout, steps, **settings):
    with pytest.raises(CompileError) as caught:
        compiled(layout, steps, **settings)
    return caught.value.problems


REFUSED = {
    "no steps": ([], "has no steps"),
    "undeclared function": ([FunctionStep(undeclared)], "undeclared is no processing function"),
    "unknown parameter": ([FunctionStep((plus, {"amont": 2}))], "no parameter 'amont'; did you mean 'amount'"),
    "wrong type": ([FunctionStep((plus, {"amount": "two"}))], "'amount' must be a whole number, not 'two'"),
    "array missing": ([FunctionStep(mean_inside)], "'labels' is missing"),
    "array expected": ([FunctionStep((mean_inside, {"labels": 3}))], "takes the output of an earlier step"),
    "value expected": (
        [FunctionStep(plus), FunctionStep((plus, {"amount": StepOutput("plus")}), name="b")],
        "'amount' must be a whole number, not StepOutput",
    ),
    "unknown step": ([FunctionStep((mean_inside, {"labels": StepOutput("x")}))], "there is no step 'x'"),
    "later step": (
        [FunctionStep((mean_inside, {"labels": StepOutput("above")})), FunctionStep(above, input_source=PLATE)],
        "the step 'above' is not before it",
    ),
    "wrong kind": (
        [FunctionStep(plus), FunctionStep(above, input_source=StepOutput("plus", "labels"))],
        "'plus' gives no labels, only image",
    ),
    "ambiguous kind": (
        [FunctionStep(both), FunctionStep(above, input_source=StepOutput("both"))],
        "gives image and labels; say which",
    ),
    "ambiguous channel": (
        [
            FunctionStep(plus, select={"channel": [1, 2]}),
            FunctionStep((add_stack, {"other": StepOutput("plus")}), input_source=PLATE, select={"channel": [3]}),
        ],
        r"gives the channels 1, 2 and not 3: say which is meant with StepOutput\(..., channel=...\)",
    ),
    "nothing matches": (
        [
            FunctionStep(above, select={"site": [1, 2]}),
            FunctionStep((mean_inside, {"labels": StepOutput("above")}), input_source=PLATE),
        ],
        "gives nothing for site 3 channel 1 z_index 1",
    ),
    "table has no planes": ([FunctionStep(statistics_of), FunctionStep(plus)], "gives only a table"),
    "table in a chain": ([FunctionStep([statistics_of, plus])], "nothing can follow it in a chain"),
    "unknown channel": ([FunctionStep({"GFP": plus}, name="s")], r"no channel 'GFP'; it has 1, 2, 3 \(DNA, Actin, 3\)"),
    "unknown site": ([FunctionStep(plus, select={"site": [1, 9]})], "no site 9; it has 1, 2, 3"),
    "unknown well of a step": ([FunctionStep(plus, select={"well": ["H12"]})], "no well 'H12'; it has A01, A02"),
    "nothing left": (
        [FunctionStep(plus, select={"site": [1]}), FunctionStep(plus, name="b", select={"site": [2]})],
        "b: there are no planes for it",
    ),
    "same name": ([FunctionStep(plus), FunctionStep(plus)], "The steps 1 and 2 would save under the same name"),
    "same file": ([FunctionStep(plus, name="a b"), FunctionStep(plus, name="A_b")], "'a b' and 'A_b'"),
    "axes of two components": ([FunctionStep(weighted)], "give the two components of CZ as variable_components"),
    "nothing to stack": ([FunctionStep(highest, variable_components=[])], "variable_components is empty"),
    "nothing saved": ([FunctionStep(plus, save=False)], "Nothing of this pipeline is saved"),
    "saved nowhere": ([FunctionStep(plus, save_to=[])], "'save_to' is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    _, layout = memory_plate(sites=3, channels=3, names=("DNA", "Actin", "3"))
    steps, said = REFUSED[case]
    found = problems(layout, steps)
    assert len(found) == 1, found
    assert re.search(said, found[0]), found[0]


def test_all_problems_come_at_once(layout):
    steps = [
        FunctionStep((plus, {"amont": 1}), name="first", select={"site": [7]}),
        FunctionStep(undeclared, name="second"),
        FunctionStep(on_gpu, name="third", input_source=PLATE),
        FunctionStep((mean_inside, {"labels": StepOutput("nowhere")}), name="FIRST", input_source=PLATE),
    ]
    found = problems(
        layout,
        steps,
        wells=["A01", "C03"],
        gpus=0,
        available=1,
        backend_problem=lambda name: f"'{name}' refuses",
    )
    wanted = [
        "no well C03",
        "same name",
        "site 7",
        "'amont'",
        "no processing function",
        "no GPU",
        "no step 'nowhere'",
        "Not enough memory: 1 workers",
        "'memory' refuses",
    ]
    for text in wanted:
        assert any(text in problem for problem in found), text
    assert len(found) == len(wanted)


def test_the_message_lists_all_problems(layout):
    with pytest.raises(CompileError, match="2 problems:\n  - .*\n  - "):
        compiled(layout, [FunctionStep((plus, {"a": 1})), FunctionStep((plus, {"b": 1}), name="c")])


def test_what_depends_on_broken_steps_is_not_reported_again(layout):
    steps = [FunctionStep((plus, {"b": 1})), FunctionStep(highest), FunctionStep(both, input_source=StepOutput("plus"))]
    assert len(problems(layout, steps)) == 1


def test_an_incomplete_grid_is_named_with_its_wells():
    planes = [address for address in addresses() if address[1:] != (2, 2, 3, 1) or address.well == "A01"]
    _, layout = memory_plate({address: pixels(address) for address in planes})
    found = problems(layout, [FunctionStep(weighted, variable_components=["channel", "z_index"])])
    assert found == (
        "weighted: the planes site 2 timepoint 1 are no full grid of channel by z_index (5 planes); leave the "
        "incomplete ones out with 'select'. (in A02)",
    )


def test_wells_with_the_same_planes_share_a_plan():
    wells = [f"A{column:02}" for column in range(1, 13)]
    _, layout = memory_plate(wells=wells)
    plan = compiled(layout, [FunctionStep(highest)])
    assert len({id(context.plan) for context in plan.contexts.values()}) == 1
    one = compiled(layout, [FunctionStep(highest)], wells=["A01"])
    assert len(pickle.dumps(dict(plan))) < len(pickle.dumps(dict(one))) + 100 * len(wells)


def test_wells_come_in_their_order_and_only_those_that_are_chosen():
    _, layout = memory_plate(wells=("A01", "A02", "B01"))
    assert list(compiled(layout, [FunctionStep(plus)], wells=["B01", "A01"])) == ["A01", "B01"]
    assert list(compiled(layout, [FunctionStep(plus)], num_workers=8)) == ["A01", "A02", "B01"]
    assert compiled(layout, [FunctionStep(plus)], num_workers=8).workers == 3


def test_steps_may_be_for_some_wells_only(layout):
    plan = compiled(layout, [FunctionStep(plus, select={"well": ["A02"]}), FunctionStep(above)])
    assert plan["A01"].plan.calls == 0
    assert plan["A02"].plan.calls == 24


def test_blocks_are_what_shares_planes(layout):
    by_site = [FunctionStep(plus), FunctionStep(highest)]
    blocks = compiled(layout, by_site)["A01"].plan.blocks
    assert [len(block.calls) for block in blocks] == [4] * 4  # for each site and channel three planes and a projection
    joined = [*by_site, FunctionStep(side_by_side, variable_components=["site"])]
    assert [len(block.calls) for block in compiled(layout, joined)["A01"].plan.blocks] == [9, 9]
    shared = [*by_site, FunctionStep((add_stack, {"other": StepOutput("highest", channel=1)}), name="sum")]
    assert len(compiled(layout, shared)["A01"].plan.blocks) == 2


def test_a_plane_is_made_just_before_it_is_needed_and_freed_after(layout):
    (block, *_) = compiled(layout, [FunctionStep(plus), FunctionStep(highest), FunctionStep(above)])["A01"].plan.blocks
    assert [call.step for call in block.calls] == [0, 0, 0, 1, 2]
    freed = [value for call in block.calls for value in call.free]
    taken = {value for call in block.calls for value in call.taken()}
    assert sorted(freed) == sorted(taken)
    assert len(block.calls[3].free) == 3


def test_memory_counts_what_is_held_at_a_time_not_the_well():
    def peak(steps, **sizes):
        planes = {address: np.zeros((1000, 1000), np.uint16) for address in addresses(["A01"], **sizes)}
        return compiled(memory_plate(planes)[1], steps)["A01"].plan.bytes

    smooth = [FunctionStep(plus), FunctionStep(highest)]
    assert peak(smooth, sites=1) == peak(smooth, sites=20)
    assert peak(smooth, sections=30) > 5 * peak(smooth, sections=3)
    mosaic = [FunctionStep(side_by_side, variable_components=["site"])]
    assert peak(mosaic, sites=8) > 3 * peak(mosaic, sites=2)


def test_memory_is_for_all_workers(layout):
    steps = [FunctionStep(plus)]
    enough = int(2.5 * WORKER_BYTES)
    assert compiled(layout, steps, num_workers=2, available=enough).workers == 2
    _, four = memory_plate(wells=("A01", "A02", "A03", "A04"))
    (problem,) = problems(four, steps, num_workers=4, available=enough)
    assert "at most 2 workers have room" in problem
    (problem,) = problems(four, steps, memory_limit_mb=10)
    assert "select less at a time" in problem


def test_memory_that_is_there():
    assert available_bytes(100) == 100_000_000
    assert available_bytes() > 100_000_000


def test_gpus_are_checked_and_dealt_out(layout):
    steps = [FunctionStep(plus), FunctionStep(on_gpu), FunctionStep(on_gpu, name="again"), FunctionStep(above)]
    assert compiled(layout, steps, gpus=2).gpus == (0, 1)
    (problem,) = problems(layout, steps, gpus=0)
    assert problem.startswith("on_gpu, again: there is no GPU")
    text = explain(compiled(layout, steps, gpus=1, num_workers=2))
    assert "24 planes are copied between host and GPU" in text  # of a well, there and back
    assert "worker 2: GPU 0 first" in text
    assert compiled(layout, [FunctionStep(plus)], gpus=0).gpus == ()


def test_gpus_of_the_configuration(layout):
    def chosen(*gpus):
        config = Effective(GlobalPipelineConfig, [("the pipeline", PipelineConfig(gpus=gpus))])
        return compile_pipeline(layout, [FunctionStep(on_gpu)], config, gpus=2).gpus

    assert chosen(1) == (1,)
    with pytest.raises(CompileError, match="there are 2 GPUs, numbered from 0"):
        chosen(2)


def test_explain_tells_all_that_was_decided(layout):
    steps = [
        FunctionStep([(plus, {"amount": 3}), highest], name="project"),
        FunctionStep({1: (above, {"value": 5})}, name="objects", save_to=["disk", "zarr"]),
        FunctionStep(
            (mean_inside, {"labels": StepOutput("objects")}), input_source=StepOutput("project"), name="cells"
        ),
    ]
    config = Effective(GlobalPipelineConfig, [("the pipeline", PipelineConfig(num_workers=2))])
    plan = compile_pipeline(layout, steps, config, available=10**10)
    lines = [line.strip() for line in explain(plan, config).splitlines()]
    for line in (
        "Plate plate: 2 of 2 wells, 24 planes",
        "8 x 8 pixels, uint16; channels 1 DNA, 2 Actin",
        "1. project",
        "takes   the plate: 12 planes of a well, in 4 calls",
        "calls   tests.pipeline.functions.plus(amount=3) on YX, numpy",
        "then    tests.pipeline.functions.highest() on ZYX, numpy",
        "stacks  z_index (by the default)",
        "takes   image of 'project': 2 planes of a well, in 2 calls",
        "saves   labels as 'objects' to disk, zarr (by the step)",
        "with    labels = labels of 'objects'",
        "saves   table as 'cells' to disk (by the default)",
        "Wells A01, A02: 10 calls in 2 independent blocks, one after the other",
        "Settings: num_workers by the pipeline",
    ):
        assert line in lines, line


def test_a_table_that_is_lost_in_a_chain_is_noted(layout):
    steps = [FunctionStep([image_and_table, above], name="chain")]
    assert compiled(layout, steps).notes == (
        "chain: the table of image_and_table is not kept, since another function follows it.",
    )
