import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from openhcs_core.imaris.histogram import display_range, histogram_for
from tests.imaris.images import camera, noise


def collected(*blocks):
    histogram = histogram_for(blocks[0].dtype)
    for block in blocks:
        histogram.add(block, block.shape)
    return histogram


def test_uint8_has_256_bins_and_no_others():
    block = noise((3, 20, 30), "uint8")
    result = collected(block).result()
    assert (result.minimum, result.maximum, result.fine_bins) == (0, 255, None)
    np.testing.assert_array_equal(result.bins, np.bincount(block.ravel(), minlength=256))


@pytest.mark.parametrize(("top", "bins"), [(5, 257), (256, 257), (700, 701), (1023, 1024), (1024, 1024), (65535, 1024)])
def test_uint16_bins_are_grey_values_joined_to_at_most_1024(top, bins):
    values = [*(camera((2, 8, 8)).ravel().astype(int) % (top + 1)), top]
    block = np.array(values, np.uint16).reshape(1, 1, -1)
    result = collected(block).result()
    number = max(256, top) + 1
    counts = np.bincount(block.ravel(), minlength=number)
    expected = np.zeros(bins, int)
    np.add.at(expected, np.arange(number) * bins // number if bins == 1024 else np.arange(number), counts)
    np.testing.assert_array_equal(result.fine_bins, expected)
    assert (result.minimum, result.maximum) == (0, max(256, top))
    assert result.bins.shape == (256,)
    assert result.bins.sum() == block.size


def test_padding_is_not_counted():
    for dtype in ("uint8", "uint16", "uint32", "float32"):
        block = np.zeros((4, 8, 8), dtype)
        block[:2, :3, :5] = 7
        histogram = histogram_for(block.dtype)
        histogram.add(block, (2, 3, 5))
        assert histogram.result().bins.sum() == 30
        assert histogram.value_range() == (7, 7)


floats = st.floats(width=32, allow_nan=True, allow_infinity=True)


@settings(max_examples=150, deadline=None)
@given(st.lists(arrays(np.float32, (1, 2, 5), elements=floats), min_size=1, max_size=4))
def test_floats_of_any_size_are_all_counted_between_exact_extremes(blocks):
    histogram = collected(*blocks)
    values = np.concatenate([block.ravel() for block in blocks])
    values = values[np.isfinite(values)]
    result = histogram.result()
    assert result.fine_bins.shape == (1024,)
    assert result.bins.sum() == result.fine_bins.sum() == values.size
    assert result.minimum < result.maximum
    if values.size:
        assert histogram.value_range() == (values.min(), values.max())
        assert result.minimum == values.min()
    else:
        assert histogram.value_range() is None


def test_float_bins_are_where_the_values_are():
    values = noise((8, 64, 64), "float32")
    result = collected(*np.array_split(values, 8)).result()
    low, high = float(values.min()), float(values.max())
    expected = np.histogram(values, 256, (low, high))[0]
    # Values within one fine bin of an edge may fall to the other side.
    assert np.abs(np.cumsum(expected) - np.cumsum(result.bins.astype(int))).max() <= values.size // 256


def test_the_order_of_blocks_does_not_matter():
    blocks = [(noise((1, 4, 4), "float32", seed) * 10.0 ** (seed - 3)).astype(np.float32) for seed in range(9)]
    forth, back = collected(*blocks).result(), collected(*blocks[::-1]).result()
    np.testing.assert_array_equal(forth.fine_bins, back.fine_bins)


def test_large_integers_keep_their_extremes():
    block = np.array([[[3, 2**32 - 1, 2**24 + 1]]], np.uint32)
    assert collected(block).value_range() == (3, 2**32 - 1)


@pytest.mark.parametrize("ranges", [[], [None, None], [(4.0, 4.0)], [(1e30, 1e30)], [(-5.0, 2.0), None]])
def test_a_display_range_is_never_empty(ranges):
    low, high = display_range(ranges)
    assert np.float32(low) < np.float32(high)
