"""What the functions of a pipeline are called with, and what becomes of what they give."""

import numpy as np
import pytest

from openhcs_core.pipeline import PLATE, FunctionStep, StepOutput
from openhcs_core.pipeline.worker import WellError
from openhcs_core.plate import PlaneAddress
from tests.pipeline.functions import (
    above,
    add_stack,
    addresses,
    both,
    broken_at,
    fractions,
    highest,
    mean_inside,
    minus_mean,
    pixels,
    plus,
    result,
    run_here,
    side_by_side,
    statistics_of,
    told,
    weighted,
    wrong_shape,
)

A = PlaneAddress("A02", 2, 1, 3)


def planes_of(backend, name):
    return backend.open_plate(f"out/{name}").layout.planes


def test_a_function_of_planes_is_called_for_each():
    backend = run_here([FunctionStep(plus)])
    assert planes_of(backend, "plus")["A02"] == addresses(["A02"])
    assert np.array_equal(result(backend, "plus", A), pixels(A) + 1)


def test_parameters_reach_the_function():
    backend = run_here([FunctionStep((plus, {"amount": 7}))])
    assert np.array_equal(result(backend, "plus", A), pixels(A) + 7)


def test_a_stack_becomes_one_plane_at_the_address_of_its_first():
    backend = run_here([FunctionStep(highest)])
    assert planes_of(backend, "highest")["A01"] == addresses(["A01"], sections=1)
    assert result(backend, "highest", A._replace(z_index=1))[5, 5] == 13


def test_stacks_are_made_of_the_components_that_are_named():
    backend = run_here([FunctionStep(highest, variable_components=["channel"])])
    assert planes_of(backend, "highest")["A01"] == [a for a in addresses(["A01"]) if a.channel == 1]
    assert result(backend, "highest", A)[5, 5] == 23


def test_a_function_of_stacks_may_keep_its_planes():
    backend = run_here([FunctionStep(minus_mean)])
    assert result(backend, "minus_mean", A)[5, 5] == 1
    assert len(planes_of(backend, "minus_mean")["A01"]) == 12


def test_a_chain_hands_on_planes_and_stacks():
    backend = run_here([FunctionStep([plus, minus_mean, highest, (plus, {"amount": 5}), above], name="chain")])
    expected = (pixels(A)[5, 5] + 1) - 12 - 1 + 5  # 13 + 1 above the mean 13, and what was added
    assert expected < 100
    labels = result(backend, "chain/labels", A._replace(z_index=1))
    assert labels[5, 5] == 0
    assert labels.dtype == np.uint16
    assert "out/chain" not in backend.plates


def test_a_dict_has_functions_for_channels_by_number_and_name():
    step = FunctionStep({1: plus, "Actin": [(plus, {"amount": 2}), (plus, {"amount": 3})]}, name="by channel")
    backend = run_here([step])
    assert np.array_equal(result(backend, "by channel", A), pixels(A) + 1)
    other = A._replace(channel=2)
    assert np.array_equal(result(backend, "by channel", other), pixels(other) + 5)


def test_what_a_dict_does_not_name_is_left_out():
    backend = run_here([FunctionStep({2: plus}, group_by="site", name="second")])
    assert {address.site for address in planes_of(backend, "second")["A01"]} == {2}


def test_two_leading_axes_are_the_two_components_in_their_order():
    step = FunctionStep((weighted, {"weights": (3, 5)}), variable_components=["channel", "z_index"])
    backend = run_here([step])
    for address in (A, A._replace(channel=2)):
        weight = {1: 3, 2: 5}[address.channel]
        assert np.array_equal(result(backend, "weighted", address), pixels(address) * weight + 2)


def test_labels_and_tables_are_results_and_images_that_others_take_are_not():
    steps = [
        FunctionStep(highest),
        FunctionStep((above, {"value": 15})),
        FunctionStep((mean_inside, {"labels": StepOutput("above")}), input_source=PLATE, name="measure"),
    ]
    backend = run_here(steps)
    assert {name for name in backend.plates if name != "plate"} == {"out/above/labels"}
    table = backend.tables["out/measure"]
    assert list(table) == ["Plate", "Well", "Site", "Channel", "Z", "Timepoint", "Mean", "Area"]
    rows = list(zip(*table.values(), strict=True))
    # labels of a projection serve all its sections; in channel 1 only the pixel that names the well is above 15
    assert ("plate", "A02", 2, 1, 3, 1, float(pixels(A)[0, 0]), 1) in rows
    assert len(rows) == 24


def test_saving_can_be_asked_for_and_refused():
    steps = [FunctionStep(plus, save=True), FunctionStep(highest), FunctionStep(above, save=False)]
    backend = run_here(steps)
    assert {name for name in backend.plates if name != "plate"} == {"out/plus"}


def test_the_labels_of_one_channel_serve_the_others():
    steps = [
        FunctionStep([highest, (above, {"value": 12})], name="objects", select={"channel": ["DNA"]}),
        FunctionStep((mean_inside, {"labels": StepOutput("objects")}), input_source=PLATE, name="measure"),
    ]
    table = run_here(steps).tables["out/measure"]
    assert set(table["Channel"]) == {1, 2}
    place = [index for index, channel in enumerate(table["Channel"]) if channel == 2][0]
    assert table["Area"][place] == 64


def test_a_channel_can_be_chosen_for_all():
    step = FunctionStep((add_stack, {"other": StepOutput(PLATE, channel="Actin")}), name="sum")
    backend = run_here([step])
    assert result(backend, "sum", A)[5, 5] == 13 + 23
    assert result(backend, "sum", A._replace(channel=2))[5, 5] == 23 + 23


def test_an_optional_array_may_be_left_out():
    assert result(run_here([FunctionStep(add_stack)]), "add_stack", A)[5, 5] == 13


def test_of_several_outputs_the_image_goes_on_and_each_can_be_named():
    steps = [
        FunctionStep(both),
        FunctionStep(plus),
        FunctionStep(plus, name="from labels", input_source=StepOutput("both", "labels")),
    ]
    backend = run_here(steps)
    assert result(backend, "plus", A)[5, 5] == 27
    assert result(backend, "from labels", A)[5, 5] == 2
    assert "out/both/labels" in backend.plates


def test_tables_of_stacks_have_the_columns_that_the_group_fixes():
    table = run_here([FunctionStep(told, variable_components=["channel"])]).tables["out/told"]
    assert list(table) == ["Plate", "Well", "Site", "Z", "Timepoint", "Names", "Stems", "Pixel"]
    assert set(table["Names"]) == {"DNA+Actin"}
    assert table["Stems"][0] == "A01_s001_w1_z001_t001 A01_s001_w2_z001_t001"
    assert set(table["Pixel"]) == {0.5}


def test_chains_with_other_columns_share_a_table():
    step = FunctionStep({1: statistics_of, 2: [above, statistics_of]}, name="table")
    table = run_here([step]).tables["out/table"]
    assert len(table["Sum"]) == 24


def test_sizes_may_change():
    backend = run_here([FunctionStep(side_by_side, variable_components=["site"]), FunctionStep(plus)])
    assert result(backend, "plus", A._replace(site=1)).shape == (8, 16)


def test_events_tell_well_step_and_amount():
    events = []
    run_here([FunctionStep(highest), FunctionStep(above)], events=events)
    assert {event.well for event in events} == {"A01", "A02"}
    assert {"highest", "above"} >= {event.step for event in events} != set()
    last = [event for event in events if event.well == "A01"][-1]
    assert last.done == last.total == 8


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([FunctionStep((broken_at, {"value": 110}))], r"step 'broken_at': ValueError: a pixel of 110"),
        ([FunctionStep(wrong_shape)], r"step 'wrong_shape': .*is to return an image array \(Y, X\).*\(8,\)"),
        ([FunctionStep(fractions)], r"step 'fractions': .*labels, which are whole numbers, but returned float64"),
    ],
)
def test_errors_name_the_step(steps, said):
    with pytest.raises(WellError, match=said):
        run_here(steps)
