"""Types and sizes that ImageJ does not have; colours. No Java."""

import numpy as np
import pytest

from openhcs_fiji.luts import color_table, label_table
from openhcs_fiji.pixels import BYTE, FLOAT, SHORT, fitted, is_exact, limits, native, wider


@pytest.mark.parametrize(
    ("dtype", "kind", "exact"),
    [
        ("bool", BYTE, True), ("uint8", BYTE, True), ("uint16", SHORT, True), ("float32", FLOAT, True),
        ("int8", FLOAT, True), ("int16", FLOAT, True), ("int32", FLOAT, False), ("uint32", FLOAT, False),
        ("int64", FLOAT, False), ("uint64", FLOAT, False), ("float64", FLOAT, False),
    ],
)  # fmt: skip
def test_types_of_imagej(dtype, kind, exact):
    assert native(np.dtype(dtype), labels=False) == kind
    assert is_exact(np.zeros(1, dtype), kind) == exact


def test_labels_are_numbers_whatever_their_type():
    assert native(np.dtype("int32"), True, 65535) == SHORT
    assert native(np.dtype("int32"), True, 65536) == FLOAT
    assert native(np.dtype("bool"), True, 1) == SHORT
    assert fitted(np.array([[True]]), SHORT, (1, 1), labels=True)[0, 0] == 1


def test_true_is_255():
    assert fitted(np.array([[True, False]]), BYTE, (1, 2), labels=False).tolist() == [[255, 0]]


def test_smaller_images_are_padded_with_blank():
    array = np.full((2, 3), 7, np.uint8)
    full = fitted(array, SHORT, (3, 4), labels=False)
    assert full.dtype == SHORT
    assert full.tolist() == [[7, 7, 7, 0], [7, 7, 7, 0], [0, 0, 0, 0]]
    assert fitted(array, BYTE, (2, 3), labels=False) is array


def test_doubles_beyond_floats_are_infinite_without_a_warning():
    assert fitted(np.array([[1e300]]), FLOAT, (1, 1), labels=False)[0, 0] == np.inf


def test_the_wider_type_holds_both():
    assert wider(BYTE, SHORT) == SHORT
    assert wider(FLOAT, SHORT) == FLOAT


def test_contrast_comes_from_the_image():
    low, high = limits(np.random.default_rng(0).normal(1000, 10, (500, 500)).astype(np.float32))
    assert 960 < low < 990
    assert 1020 < high < 1045
    spot = np.zeros((500, 500), np.uint16)
    spot[250, 251] = 9
    assert limits(spot) == (0, 9)
    assert limits(np.full((3, 3), np.nan, np.float32)) == (0, 1)


def test_labels_that_follow_one_another_are_unlike():
    table = label_table().astype(int)
    assert table[0].tolist() == [0, 0, 0]
    assert np.abs(np.diff(table[1:], axis=0)).sum(axis=1).min() > 60
    assert table[1:].max(axis=1).min() > 100
    assert color_table((1, 0, 0.5))[255].tolist() == [255, 0, 128]
