"""Fields on a canvas: by position where that can be, else in a grid; wells as on their plate."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhcs_core.placement import MAX_EMPTINESS, MAX_SIDE, place_fields, place_grid, place_wells

HALF = (0.5, 0.5)


def squares(number, side=10):
    return [(side, side)] * number


def test_y_goes_down_and_x_to_the_right():
    placed = place_fields([(100.0, -20.0), (105.0, -20.0), (100.0, -15.0)], squares(3), HALF)
    assert placed.offsets == ((0, 0), (10, 0), (0, 10))
    assert placed.shape == (20, 20)
    assert placed.origin_um == (100.0, -20.0)
    assert placed.statements == ()


def test_pixels_need_not_be_square():
    placed = place_fields([(0.0, 0.0), (6.0, 6.0)], squares(2), (2.0, 0.5))
    assert placed.offsets == ((0, 0), (3, 12))
    assert placed.shape == (13, 22)


def test_overlaps_and_gaps_stay():
    placed = place_fields([(0.0, 0.0), (0.0, 4.0), (0.0, 20.0)], squares(3), (1.0, 1.0))
    assert placed.offsets == ((0, 0), (0, 4), (0, 20))
    assert placed.shape == (10, 30)


def test_rounding_does_not_add_up():
    """Steps of 10.4 pixels."""
    placed = place_fields([(0.0, 10.4 * n) for n in range(6)], squares(6), (1.0, 1.0))
    assert [x for _, x in placed.offsets] == [0, 10, 21, 31, 42, 52]
    assert place_fields([(0.0, 0.0), (0.5, 2.5)], squares(2), (1.0, 1.0)).offsets[1] == (1, 3)


def test_fields_of_different_size():
    placed = place_fields([(0.0, 0.0), (5.0, 8.0)], [(10, 4), (2, 30)], (1.0, 1.0))
    assert placed.offsets == ((0, 0), (5, 8))
    assert placed.shape == (10, 38)


def test_one_field_needs_no_position():
    placed = place_fields([(None, None)], [(7, 5)], (None, None))
    assert (placed.offsets, placed.shape, placed.origin_um, placed.statements) == (((0, 0),), (7, 5), None, ())
    assert place_fields([(3.0, 4.0)], [(7, 5)], HALF).origin_um == (3.0, 4.0)
    assert place_fields([(math.nan, 4.0)], [(7, 5)], HALF).origin_um is None


@pytest.mark.parametrize(
    ("positions", "pixel", "reason"),
    [
        ([(0, 0), (None, 5), (0, 9)], HALF, "positions are unknown for 1 of 3 fields"),
        ([(0, 0), (5, math.nan), (math.inf, 9)], HALF, "positions are unknown for 2 of 3 fields"),
        ([(0, 0), (0, 5), (0, 9)], (None, 1.0), "the pixel size is unknown"),
        ([(0, 0), (0, 5), (0, 9)], (1.0, -0.5), "the pixel size is unknown"),
        ([(0, 0), (0, 5), (0, 9)], (1.0, math.nan), "the pixel size is unknown"),
        ([(0, 0), (0, 0), (0, 0)], HALF, "3 of 3 fields are at the place of another one"),
        ([(0, 0), (0, 5), (0, 5.1)], HALF, "2 of 3 fields are at the place of another one"),
        ([(0, 0), (0, 5), (0, 1e6)], HALF, f"their positions are more than {MAX_SIDE} pixels apart"),
        ([(0, 0), (0, 5), (0, 1e308)], (1e-300, 1e-300), f"their positions are more than {MAX_SIDE} pixels apart"),
        (
            [(0, 0), (0, 5), (500, 500)],
            HALF,
            "their positions would need 1010 x 1010 pixels, which are nearly all empty",
        ),
    ],
)
def test_what_cannot_be_placed_is_a_grid(positions, pixel, reason):
    placed = place_fields(positions, squares(3), pixel)
    assert placed.offsets == ((0, 0), (0, 10), (10, 0))
    assert placed.shape == (20, 20)
    assert placed.origin_um is None
    assert placed.statements == (f"fields are laid out in a grid of 2 x 2 in their order, because {reason}",)


def test_cells_of_a_grid_are_as_large_as_the_largest_field():
    placed = place_grid([(5, 9), (8, 2), (1, 1)])
    assert placed.offsets == ((0, 0), (0, 9), (8, 0))
    assert placed.shape == (9, 11) == (8 + 1, 9 + 2)


def test_a_plate_begins_with_its_first_well():
    placed = place_wells([(1, 2), (1, 4), (3, 2)], [(10, 20), (8, 5), (10, 20)], 3)
    assert placed.offsets == ((0, 0), (0, 46), (26, 0))
    assert placed.shape == (36, 51)
    assert placed.statements == ()


def test_a_plate_that_is_nearly_empty_is_squeezed():
    placed = place_wells([(0, 0), (15, 23)], squares(2), 1)
    assert placed.offsets == ((0, 0), (11, 11))
    assert placed.shape == (21, 21)
    assert placed.statements == ("rows and columns of the plate without wells are left out",)
    large = [(10, MAX_SIDE // 2)] * 2
    assert place_wells([(0, 0), (0, 5)], large, 0).shape == (10, MAX_SIDE)


def test_what_makes_no_sense():
    for call in (
        lambda: place_fields([], [], HALF),
        lambda: place_fields([(0, 0)], squares(2), HALF),
        lambda: place_fields([(0, 0)], [(0, 5)], HALF),
        lambda: place_wells([], [], 0),
        lambda: place_wells([(0, 0)] * 2, squares(2), 0),
        lambda: place_grid([(5, -1)]),
    ):
        with pytest.raises(ValueError, match="shape|wells"):
            call()


NUMBERS = st.one_of(st.none(), st.floats(), st.floats(-1e4, 1e4), st.integers(-50, 50).map(float))
SHAPES = st.tuples(st.integers(1, 300), st.integers(1, 300))
FIELDS = st.lists(st.tuples(st.tuples(NUMBERS, NUMBERS), SHAPES), min_size=1, max_size=12)


def tight(placed, shapes):
    """Every rectangle is on the canvas, and the canvas no larger than it must be."""
    for axis in (0, 1):
        ends = [offset[axis] + shape[axis] for offset, shape in zip(placed.offsets, shapes, strict=True)]
        assert min(offset[axis] for offset in placed.offsets) == 0
        assert max(ends) == placed.shape[axis]


@given(FIELDS, st.tuples(NUMBERS, NUMBERS))
def test_any_fields_get_a_place(fields, pixel):
    positions, shapes = [field[0] for field in fields], [field[1] for field in fields]
    placed = place_fields(positions, shapes, pixel)
    tight(placed, shapes)
    assert len(set(placed.offsets)) == len(fields), "none hides another one"
    area = sum(math.prod(shape) for shape in shapes)
    if placed.statements:
        assert placed.origin_um is None
    elif len(fields) > 1:
        assert max(placed.shape) <= MAX_SIDE
        assert math.prod(placed.shape) <= MAX_EMPTINESS * area
        for index, axis in enumerate((0, 1)):
            first = min(position[axis] for position in positions)
            for position, offset in zip(positions, placed.offsets, strict=True):
                assert abs((position[axis] - first) / pixel[index] - offset[axis]) <= 0.501


@given(st.lists(st.tuples(st.tuples(st.integers(0, 40), st.integers(0, 60)), SHAPES), min_size=1, max_size=12,
                unique_by=lambda well: well[0]), st.integers(0, 9))  # fmt: skip
def test_wells_never_touch(wells, margin):
    places, shapes = [well[0] for well in wells], [well[1] for well in wells]
    placed = place_wells(places, shapes, margin)
    tight(placed, shapes)
    boxes = [(*offset, *shape) for offset, shape in zip(placed.offsets, shapes, strict=True)]
    for number, (y, x, height, width) in enumerate(boxes):
        for other_y, other_x, other_height, other_width in boxes[:number]:
            down = y >= other_y + other_height + margin or other_y >= y + height + margin
            right = x >= other_x + other_width + margin or other_x >= x + width + margin
            assert down or right
    for axis in (0, 1):
        order = sorted(range(len(wells)), key=lambda number: places[number][axis])
        offsets = [placed.offsets[number][axis] for number in order]
        assert offsets == sorted(offsets), "as on the plate"
