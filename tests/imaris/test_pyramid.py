import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openhcs_core.imaris.pyramid import reduce_box
from tests.imaris.images import box_mean, noise

factors = st.tuples(*[st.sampled_from([1, 2])] * 3)


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)),
    factors,
    st.sampled_from(["uint8", "uint16", "uint32", "float32"]),
    st.integers(0, 99),
)
def test_the_mean_of_every_box(shape, by, dtype, seed):
    by = tuple(1 if size == 1 else factor for size, factor in zip(shape, by, strict=True))
    block = noise(shape, dtype, seed)
    expected = box_mean(block, tuple(size // factor for size, factor in zip(shape, by, strict=True)))
    result = reduce_box(block, by)
    assert result.dtype == block.dtype
    if dtype == "float32":
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-4)
    else:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_the_largest_values_do_not_overflow(dtype):
    top = np.iinfo(dtype).max
    block = np.full((2, 2, 2), top, dtype)
    assert reduce_box(block, (2, 2, 2)).item() == top


def test_a_fortran_ordered_block():
    block = np.asfortranarray(noise((4, 6, 8), "uint16"))
    np.testing.assert_array_equal(reduce_box(block, (2, 2, 2)), box_mean(block, (2, 3, 4)))


def test_missing_and_infinite_floats():
    block = np.ones((2, 2, 8), np.float32)
    block[0, 0, 0] = np.nan
    block[:, :, 2:4] = np.nan
    block[1, 1, 4] = np.inf
    block[0, 0, 6], block[1, 1, 7] = np.inf, -np.inf
    np.testing.assert_array_equal(reduce_box(block, (2, 2, 2)), [[[1, np.nan, np.inf, np.nan]]])


def test_floats_whose_sum_overflows():
    block = np.full((1, 2, 2), 3e38, np.float32)
    assert reduce_box(block, (1, 2, 2)).item() == np.float32(3e38)
