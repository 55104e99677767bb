"""Smoothing, background, flat field, projections, normalisation, arithmetic, mosaics: known answers."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy import ndimage

from openhcs_core.functions import GroupContext
from openhcs_core.plate import PlaneAddress
from openhcs_functions import background, channels, flatfield, intensity, projection, smoothing, stitching
from tests.functions.cases import scene

MICROMETRES = GroupContext(voxel_size_um=(1.0, 0.5, 0.5))


def test_gaussian_equals_scipy_rounded():
    plane = scene(np.uint16)
    expected = np.rint(ndimage.gaussian_filter(plane.astype(np.float64), 2.0))
    np.testing.assert_allclose(smoothing.gaussian(plane, sigma=2.0), expected, atol=1)
    np.testing.assert_array_equal(smoothing.gaussian(plane, sigma=0.0), plane)


def test_gaussian_3d_is_a_ball_in_micrometres():
    stack = np.zeros((21, 31, 31), np.float64)
    stack[10, 15, 15] = 1
    smooth = smoothing.gaussian_3d(stack, sigma=4.0, context=MICROMETRES)
    # Planes are 2 pixels apart: one plane up is as far as two pixels aside.
    assert smooth[11, 15, 15] == pytest.approx(smooth[10, 17, 15], rel=1e-6)
    np.testing.assert_allclose(smooth, smoothing.gaussian_3d(stack, sigma=4.0, z_step=2.0))
    unknown = smoothing.gaussian_3d(stack, sigma=4.0)
    assert unknown[11, 15, 15] == pytest.approx(unknown[10, 16, 15], rel=1e-6)


def test_median_removes_a_hot_pixel():
    plane = np.full((9, 9), 10, np.uint8)
    plane[4, 4] = 255
    assert (smoothing.median(plane) == 10).all()


def test_difference_of_gaussians_is_positive_on_spots_and_flat_on_slopes():
    y, x = np.mgrid[:80, :80]
    slope = (x * 2.0).astype(np.float32)
    assert np.abs(smoothing.difference_of_gaussians(slope)[30:50, 30:50]).max() < 0.01
    spot = slope + 100 * np.exp(-((y - 40) ** 2 + (x - 40) ** 2) / 8)
    assert smoothing.difference_of_gaussians(spot)[40, 40] > 30


def test_subtraction_stops_at_zero():
    plane = np.array([[5, 10, 300]], np.uint16)
    np.testing.assert_array_equal(background.subtract_constant(plane, value=10), [[0, 0, 290]])
    np.testing.assert_array_equal(background.subtract_percentile(plane, percentile=50), [[0, 0, 290]])
    np.testing.assert_array_equal(background.subtract_constant(plane, value=-65530), [[65535, 65535, 65535]])


def test_top_hat_keeps_what_is_narrow_only():
    plane = np.full((60, 60), 20, np.uint8)
    plane[10:14, 10:14] = 90
    plane[30:55, 30:55] = 70
    left = background.white_top_hat(plane, size=15)
    assert (left[10:14, 10:14] == 70).all()
    assert left.sum() == 70 * 16


@pytest.mark.parametrize(("radius", "spot"), [(8, 1.5), (30, 6)])
def test_rolling_ball_takes_out_a_slope_and_leaves_spots(radius, spot):
    y, x = np.mgrid[:120, :120]
    slope = 100 + x
    spots = sum(500 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / spot) for cy, cx in ((30, 30), (60, 90), (90, 40)))
    left = background.rolling_ball((slope + spots).astype(np.uint16), radius=radius)
    assert np.median(left) <= 3
    for cy, cx in ((30, 30), (60, 90), (90, 40)):
        assert left[cy, cx] == pytest.approx(500, rel=0.1)


def test_rolling_ball_takes_all_of_an_even_plane_and_is_never_above_the_image():
    assert not background.rolling_ball(np.full((40, 50), 77, np.uint8), radius=20.0).any()
    plane = scene(np.float32)
    left = background.rolling_ball(plane, radius=12.0)
    assert left.min() >= 0
    assert (left <= plane).all()


def test_flat_field_of_a_stack_makes_shaded_fields_even():
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:96, :96]
    shade = 1 - 0.5 * ((y - 48) ** 2 + (x - 48) ** 2) / 48**2
    fields = 1000 + generator.normal(0, 5, (12, 96, 96))
    for field in fields:  # cells here and there
        for cy, cx in generator.integers(8, 88, (6, 2)):
            field[cy - 4 : cy + 4, cx - 4 : cx + 4] += 3000
    shaded = (fields * shade).clip(0).astype(np.uint16)
    flat = flatfield.flat_field_stack(shaded, sigma=6.0)
    corner, centre = np.s_[:, 20:30, 20:30], np.s_[:, 43:53, 43:53]
    assert np.median(shaded[corner]) / np.median(shaded[centre]) < 0.8
    assert np.median(flat[corner]) / np.median(flat[centre]) == pytest.approx(1, abs=0.05)
    assert flat.mean() == pytest.approx(shaded.mean(), rel=0.1)


def test_flat_field_of_one_plane_and_of_nothing():
    plane = np.tile(np.linspace(100, 300, 200), (200, 1)).astype(np.uint16)
    flat = flatfield.flat_field_smooth(plane, sigma=20.0)
    assert np.ptp(flat[:, 20:-20].astype(int)) < 10
    black = np.zeros((8, 8), np.uint16)
    np.testing.assert_array_equal(flatfield.flat_field_smooth(black), black)


def test_projections_of_known_stacks():
    stack = np.array([[[250, 1]], [[250, 2]], [[251, 4]]], np.uint8)
    np.testing.assert_array_equal(projection.max_projection(stack), [[251, 4]])
    np.testing.assert_array_equal(projection.mean_projection(stack), [[250, 2]])
    total = projection.sum_projection(stack)
    np.testing.assert_array_equal(total, [[751, 7]])
    assert total.dtype == np.uint32
    assert projection.sum_projection(stack.astype(np.int16)).dtype == np.int32
    wide = np.full((3, 1, 1), 2**32 - 1, np.uint32)
    assert projection.sum_projection(wide)[0, 0] == 3 * (2**32 - 1)


def test_best_focus_finds_the_sharp_plane_though_another_is_brighter():
    sharp = scene(np.float64)
    blurred = [ndimage.gaussian_filter(sharp, sigma) * gain for sigma, gain in ((4, 1.5), (2, 1.2), (3, 2.0))]
    stack = np.stack([blurred[0], blurred[1], sharp, blurred[2]]).astype(np.uint16)
    np.testing.assert_array_equal(projection.best_focus(stack), stack[2])


def test_normalisation_puts_percentiles_at_0_and_1():
    plane = np.arange(101, dtype=np.uint16).reshape(1, 101)
    scaled = intensity.normalize_percentile(plane, low=10.0, high=60.0)
    assert scaled[0, [10, 35, 60]].tolist() == pytest.approx([0, 0.5, 1])
    assert (scaled.min(), scaled.max()) == (0, 1)
    assert intensity.normalize_percentile(plane, low=10.0, high=60.0, clip=False)[0, 100] == pytest.approx(1.8)
    stack = np.stack([plane, plane * 3])
    assert intensity.normalize_percentile_3d(stack).max(axis=(1, 2)).tolist() == pytest.approx([0.339, 1], abs=0.01)


def test_arithmetic_of_channels():
    two = np.array([[[200, 10, 7]], [[100, 20, 0]]], np.uint8)
    np.testing.assert_array_equal(channels.add_channels(two), [[255, 30, 7]])
    np.testing.assert_array_equal(channels.subtract_channels(two), [[100, 0, 7]])
    np.testing.assert_array_equal(channels.subtract_channels(two, factor=2.0), [[0, 0, 7]])
    np.testing.assert_array_equal(channels.subtract_channels(two, reverse=True), [[0, 10, 0]])
    np.testing.assert_allclose(channels.divide_channels(two), [[2, 0.5, 0]])
    np.testing.assert_allclose(
        channels.divide_channels(two, background=10, reverse=True), [[90 / 190, 0, 0]], rtol=1e-6
    )


def test_merging_weighs_channels_that_are_scaled_first():
    first, second = np.arange(100.0).reshape(10, 10), np.arange(100.0)[::-1].reshape(10, 10) * 50
    even = channels.merge_channels(np.stack([first, second]), low=0.0, high=100.0)
    np.testing.assert_allclose(even, 0.5, atol=1e-6)
    one = channels.merge_channels(np.stack([first, second]), weights=(1.0, 0.0), low=0.0, high=100.0)
    np.testing.assert_allclose(one, first / 99, rtol=1e-5)


def fields_of(whole: np.ndarray, corners: list[tuple[int, int]], size: int) -> np.ndarray:
    return np.stack([whole[y : y + size, x : x + size] for y, x in corners])


def test_a_well_is_put_together_by_the_positions_of_its_fields():
    generator = np.random.default_rng(5)
    whole = generator.integers(1, 1000, (90, 110), dtype=np.uint16)
    corners = [(0, 0), (0, 60), (40, 0), (40, 60)]  # overlapping by 10 rows
    context = GroupContext(
        plate="P",
        addresses=tuple(PlaneAddress("B02", site, 2) for site in (1, 2, 5, 7)),
        voxel_size_um=(None, 0.5, 0.5),
        positions_um={
            ("B02", site): (1000 + y / 2, x / 2 - 3) for site, (y, x) in zip((1, 2, 5, 7), corners, strict=True)
        },
    )
    mosaic = stitching.stitch_fields(fields_of(whole, corners, 50), context=context)
    assert mosaic.shape == (90, 110)
    np.testing.assert_array_equal(mosaic[:, :50], whole[:90, :50])
    np.testing.assert_array_equal(mosaic[:, 60:], whole[:90, 60:])
    assert (mosaic[:, 50:60] == 0).all()


def test_fields_without_positions_lie_in_a_grid_and_that_is_said(caplog):
    fields = np.stack([np.full((4, 5), number, np.uint8) for number in (1, 2, 3)])
    context = GroupContext(plate="P", addresses=tuple(PlaneAddress("C03", site) for site in (1, 2, 3)))
    with caplog.at_level(logging.WARNING):
        mosaic = stitching.stitch_fields(fields, context=context)
    assert mosaic[::4, ::5].tolist() == [[1, 2], [3, 0]]
    assert "Mosaic of P C03: fields are laid out in a grid" in caplog.text
