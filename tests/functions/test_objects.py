"""Thresholds, labels, watersheds and tables: known answers, and scikit-image as a second opinion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage import draw, filters, measure

from openhcs_core.functions import GroupContext
from openhcs_functions import _histogram, labelling, measurement, segmentation, thresholds, watershed
from openhcs_functions._flood import flood, parallel_flood
from tests.functions.cases import labelled, scene

MICROMETRES = GroupContext(voxel_size_um=(2.0, 0.5, 0.25))
TWO_PEAKS = np.repeat(np.array([10, 12, 200, 210], np.uint8), [500, 300, 40, 60]).reshape(30, 30)


def discs(*circles: tuple[int, int, int], shape: tuple[int, int] = (80, 80)) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    for y, x, radius in circles:
        mask[draw.disk((y, x), radius, shape=shape)] = 1
    return mask


@pytest.mark.parametrize("method", ["otsu", "li", "triangle"])
def test_thresholds_agree_with_scikit_image(method):
    theirs = getattr(filters, f"threshold_{method}")
    for plane in (scene(np.uint16), scene(np.uint8), np.rint(filters.gaussian(scene(np.float64), 1)).astype(np.int32)):
        ours = _histogram.threshold_of(plane, method)
        # Theirs takes 256 bins for wide integers; triangle smooths nothing either.
        mask, other = thresholds.threshold(plane, method=method), plane > theirs(plane)
        assert ours == pytest.approx(theirs(plane), abs=2 if method != "triangle" else 4)
        assert (mask != other).mean() < 0.02


def test_a_threshold_parts_two_peaks_and_can_be_made_stricter():
    np.testing.assert_array_equal(thresholds.threshold(TWO_PEAKS), TWO_PEAKS > 100)
    assert not thresholds.threshold(TWO_PEAKS, factor=100.0).any()
    np.testing.assert_array_equal(thresholds.threshold_fixed(TWO_PEAKS, value=205), TWO_PEAKS > 205)
    assert thresholds.threshold(TWO_PEAKS.astype(np.float32)).sum() == 100


def test_the_threshold_of_a_stack_is_one_for_all_planes():
    stack = np.stack([TWO_PEAKS, np.full_like(TWO_PEAKS, 12)])
    assert not thresholds.threshold_3d(stack)[1].any()
    np.testing.assert_array_equal(thresholds.threshold_3d(stack)[0], TWO_PEAKS > 100)


@pytest.mark.parametrize("method", ["mean", "gaussian", "sauvola"])
def test_local_thresholds_see_dim_spots_beside_bright_ground(method):
    y, x = np.mgrid[:100, :100]
    spots = [(20, 20), (20, 80), (80, 20), (80, 80)]
    plane = 50 + 4 * x + sum(60 * (np.hypot(y - cy, x - cx) < 4) for cy, cx in spots)
    offset = 25
    mask = thresholds.threshold_local(plane.astype(np.uint16), method=method, size=31, offset=offset, k=0.01)
    labels, count = ndimage.label(mask[8:-8, 8:-8])
    assert count == 4
    assert not thresholds.threshold_fixed(plane, value=300)[20, 20]


def test_sauvola_agrees_with_scikit_image():
    plane = scene(np.uint16)
    reach = (int(plane.max()) - int(plane.min())) / 2
    theirs = plane > filters.threshold_sauvola(plane, window_size=15, k=0.2, r=reach)
    ours = thresholds.threshold_local(plane, method="sauvola", size=15)
    assert (ours != theirs).mean() < 0.02  # the borders are continued in other ways


def test_components_by_sides_or_corners():
    mask = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [5, 5, 0]])
    np.testing.assert_array_equal(labelling.connected_components(mask), [[1, 0, 0], [0, 2, 0], [0, 0, 0], [3, 3, 0]])
    assert labelling.connected_components(mask, connectivity=2).max() == 2
    stack = np.zeros((3, 4, 4), np.uint8)
    stack[0, 1, 1] = stack[1, 1, 1] = stack[2, 3, 3] = 1
    assert labelling.connected_components_3d(stack).max() == 2
    assert labelling.connected_components_3d(stack)[1, 1, 1] == 1


def test_more_labels_than_16_bits_hold():
    mask = np.zeros((600, 600), np.uint8)
    mask[::2, ::2] = 1
    labels = labelling.connected_components(mask)
    assert (labels.dtype, int(labels.max())) == (np.uint32, 90000)
    assert labelling.keep_by_area(labels, min_area=2).max() == 0


def test_size_and_border_filters():
    labels = np.zeros((20, 20), np.int32)
    labels[0:3, 0:3], labels[5:7, 5:7], labels[10:15, 10:15], labels[17:19, 3:5] = 4, 7, 9, 11
    inner = labelling.remove_border_objects(labels)
    assert np.unique(inner).tolist() == [0, 1, 2, 3]
    assert labelling.remove_border_objects(labels, margin=1).max() == 2
    np.testing.assert_array_equal(labelling.keep_by_area(labels, min_area=5, max_area=10), (labels == 4).astype(int))
    np.testing.assert_array_equal(
        labelling.keep_by_volume(labels[None], max_volume=4)[0], (labels == 7) + 2 * (labels == 11)
    )


def test_holes_are_filled_and_labels_grow_without_meeting():
    ring = discs((20, 20, 8)) - discs((20, 20, 4))
    np.testing.assert_array_equal(labelling.fill_holes(ring), discs((20, 20, 8)))
    labels = np.zeros((11, 21), np.uint16)
    labels[5, 5], labels[5, 11] = 3, 8
    grown = labelling.expand_labels(labels, distance=3.0)
    assert np.unique(grown).tolist() == [0, 3, 8]
    assert (grown[5, 2], grown[5, 1], grown[2, 5]) == (3, 0, 3)
    assert set(grown[:, 9]) <= {0, 8}


def test_touching_discs_are_parted_where_they_are_narrow():
    labels = watershed.split_touching(discs((30, 24, 12), (30, 44, 12)), min_distance=6)
    assert labels.max() == 2
    left, right = (measure.regionprops((labels == number).astype(int))[0] for number in (1, 2))
    assert abs(left.area - right.area) < 0.1 * left.area
    assert sorted(one.centroid[1] for one in (left, right)) == pytest.approx([24, 44], abs=1.5)


def test_a_small_object_near_a_large_one_is_not_lost():
    mask = discs((30, 30, 15), (30, 50, 3))
    labels = watershed.split_touching(mask, min_distance=30)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, mask > 0)
    assert watershed.split_touching(np.ones((5, 5), np.uint8)).tolist() == np.ones((5, 5)).tolist()


def test_touching_balls_in_space_with_planes_far_apart():
    z, y, x = np.mgrid[:20, :40, :40]
    balls = [((z - cz) * 2) ** 2 + (y - 20) ** 2 + (x - 20) ** 2 <= 81 for cz in (5, 13)]
    mask = (balls[0] | balls[1]).astype(np.uint8)
    assert watershed.split_touching_3d(mask, min_distance=6, z_step=2.0).max() == 2
    context = GroupContext(voxel_size_um=(0.6, 0.3, 0.3))
    assert watershed.split_touching_3d(mask, min_distance=6, context=context).max() == 2


@pytest.mark.parametrize("landscape", ["distance", "gradient", "intensity"])
def test_cells_have_the_numbers_of_their_nuclei_and_hold_them(landscape):
    cells = ndimage.gaussian_filter((discs((40, 25, 14), (40, 55, 14)) * 200).astype(np.float32), 1)
    nuclei = np.zeros((80, 80), np.uint16)
    nuclei[draw.disk((40, 25), 5)], nuclei[draw.disk((40, 55), 5)] = 7, 2
    found = watershed.seeded_watershed(cells, nuclei, landscape=landscape, method="otsu")
    assert np.unique(found).tolist() == [0, 2, 7]
    assert (found[nuclei > 0] == nuclei[nuclei > 0]).all()
    assert np.count_nonzero(found == 7) == pytest.approx(math.pi * 14**2, rel=0.1)


def test_the_parallel_flood_draws_nearly_the_same_borders():
    """It is what runs on a GPU; here on the host, against scikit-image."""
    mask = discs((20, 20, 12), (20, 41, 12), (42, 44, 12), (62, 66, 9)).astype(bool)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1)
    markers = np.zeros(mask.shape, np.uint16)
    for number, (y, x) in enumerate([(20, 20), (20, 41), (42, 44), (62, 66)], 1):
        markers[y, x] = number
    ours, theirs = parallel_flood(-distance, markers, mask), flood(-distance, markers, mask)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours > 0, theirs > 0)
    for number in range(1, 5):
        both = np.count_nonzero((ours == number) & (theirs == number))
        assert both / np.count_nonzero((ours == number) | (theirs == number)) > 0.97


def test_blobs_of_any_brightness_touching_or_not():
    y, x = np.mgrid[:120, :120]
    centres = [(30, 30, 150), (30, 53, 500), (80, 40, 200), (85, 90, 50)]
    plane = 100 + sum(gain * (np.hypot(y - cy, x - cx) < 10) for cy, cx, gain in centres)
    plane = ndimage.gaussian_filter(plane, 1.5) + np.random.default_rng(1).normal(0, 1, plane.shape)
    labels = segmentation.blobs(plane, diameter=20.0, min_contrast=5.0)
    assert labels.max() == 4
    for cy, cx, _ in centres:
        area = np.count_nonzero(labels == labels[cy, cx])
        assert area == pytest.approx(math.pi * 100, rel=0.15)
    noise = np.random.default_rng(2).normal(100, 3, (120, 120))
    assert not segmentation.blobs(noise, diameter=20.0, min_contrast=5.0).any()


def test_objects_measure_what_scikit_image_measures():
    image, labels = scene(np.uint16), labelled()
    table = measurement.measure_objects(image, labels, context=MICROMETRES)
    wanted = ("label", "area", "centroid", "intensity_mean", "intensity_max", "intensity_min", "intensity_std")
    shapes = ("axis_major_length", "axis_minor_length", "eccentricity", "orientation")
    other = measure.regionprops_table(labels, image, properties=(*wanted, *shapes))
    pairs = {
        "Label": "label",
        "AreaPx": "area",
        "CentroidY": "centroid-0",
        "CentroidX": "centroid-1",
        "MeanIntensity": "intensity_mean",
        "StdIntensity": "intensity_std",
        "MinIntensity": "intensity_min",
        "MaxIntensity": "intensity_max",
        "MajorAxis": "axis_major_length",
        "MinorAxis": "axis_minor_length",
        "Eccentricity": "eccentricity",
        "Orientation": "orientation",
    }
    assert len(table["Label"]) > 3
    for ours, theirs in pairs.items():
        np.testing.assert_allclose(table[ours], other[theirs], rtol=1e-6, atol=1e-9, err_msg=ours)
    np.testing.assert_allclose(table["AreaUm2"], table["AreaPx"] * 0.125)
    np.testing.assert_allclose(table["SumIntensity"], ndimage.sum_labels(image.astype(float), labels, table["Label"]))
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    np.testing.assert_array_equal(table["TouchesBorder"], np.isin(table["Label"], border))


def test_objects_in_space():
    stack, labels = scene(np.float32, 9), labelled(9)
    table = measurement.measure_objects_3d(stack, labels, context=MICROMETRES)
    other = measure.regionprops_table(labels, stack, properties=("label", "area", "centroid", "intensity_mean"))
    for ours, theirs in (("VolumePx", "area"), ("CentroidZ", "centroid-0"), ("MeanIntensity", "intensity_mean")):
        np.testing.assert_allclose(table[ours], other[theirs], rtol=1e-5)
    np.testing.assert_allclose(table["VolumeUm3"], table["VolumePx"] * 0.25)
    assert "VolumeUm3" not in measurement.measure_objects_3d(stack, labels)


def test_no_objects_are_no_rows():
    table = measurement.measure_objects(scene(np.uint8), np.zeros((60, 56), np.uint16))
    assert {len(column) for column in table.values()} == {0}


def test_sums_of_bright_objects_do_not_wrap():
    image, labels = np.full((300, 300), 65535, np.uint16), np.ones((300, 300), np.uint16)
    table = measurement.measure_objects(image, labels)
    assert table["SumIntensity"].tolist() == [65535.0 * 90000]
    assert table["StdIntensity"].tolist() == [0]


def test_fields_and_counts():
    plane = np.array([[0, 10], [20, 30]], np.uint8)
    table = measurement.measure_field(plane)
    assert table["MeanIntensity"] == [15]
    assert table["MedianIntensity"] == [15]
    assert table["SumIntensity"] == [60]
    labels = np.array([[0, 2, 2, 9], [0, 0, 0, 9]])
    counts = measurement.count_objects(labels, context=MICROMETRES)
    assert (counts["ObjectCount"], counts["Coverage"], counts["MeanAreaPx"]) == ([2], [0.5], [2.0])
    assert counts["MeanAreaUm2"] == [0.25]
    empty = measurement.count_objects(np.zeros((4, 4), np.uint16))
    assert empty["ObjectCount"] == [0]
    assert math.isnan(empty["MeanAreaPx"][0])
