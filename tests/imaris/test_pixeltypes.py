import numpy as np
import pytest

from openhcs_core.imaris import ImsError, pixel_conversion
from tests.imaris.images import noise


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32", ">u2", ">f4"])
def test_what_fits_stays(dtype):
    conversion = pixel_conversion(dtype)
    assert conversion.target == np.dtype(dtype).newbyteorder("<")
    assert conversion.statement is None
    assert conversion.exact
    block = noise((2, 3, 4), np.dtype(dtype).newbyteorder("=").name)
    np.testing.assert_array_equal(conversion(block.astype(dtype)), block)


@pytest.mark.parametrize(
    ("dtype", "value_range", "target", "exact", "statement"),
    [
        ("bool", None, "u1", True, "bit stored as uint8: 0 and 1"),
        ("int8", (0, 9), "u1", True, "int8 stored as uint8: no negative values"),
        ("int8", (-1, 9), "f4", True, "int8 stored as float32: negative values, every value kept"),
        ("int16", (0, 9), "u2", True, "int16 stored as uint16: no negative values"),
        ("int16", None, "f4", True, "int16 stored as float32: negative values are possible, every value kept"),
        ("float16", None, "f4", True, "float16 stored as float32: every value kept"),
        ("int32", (-5, 1 << 24), "f4", True, "int32 stored as float32: every value kept"),
        ("int32", None, "f4", False, "warning: int32 stored as float32: values beyond ±16777216 are rounded"),
        ("uint64", (0, 1 << 40), "f4", False, "warning: uint64 stored as float32: values beyond ±16777216 are rounded"),
        ("float64", None, "f4", False, "warning: float64 stored as float32: values are rounded to 7 digits"),
    ],
)
def test_what_does_not_fit_is_converted_with_a_statement(dtype, value_range, target, exact, statement):
    conversion = pixel_conversion(dtype, value_range)
    assert (conversion.target, conversion.exact, conversion.statement) == (np.dtype(target), exact, statement)
    values = np.array([0, 1], dtype)
    np.testing.assert_array_equal(conversion(values), [0, 1])
    assert conversion(values).dtype == np.dtype(target)


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_all_values_of_a_signed_type_survive(dtype):
    limits = np.iinfo(dtype)
    every = np.arange(limits.min, limits.max + 1).astype(dtype)
    np.testing.assert_array_equal(pixel_conversion(dtype)(every), every)


def test_a_wrong_range_is_noticed():
    with pytest.raises(ImsError, match="holds the value -3"):
        pixel_conversion("int16", (0, 10))(np.array([1, -3], np.int16))


def test_a_double_beyond_single_precision_is_infinite():
    assert np.isinf(pixel_conversion("float64")(np.array([1e300]))).all()


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_is_refused(dtype):
    with pytest.raises(ImsError, match="magnitude and phase"):
        pixel_conversion(dtype)


@pytest.mark.parametrize("dtype", ["U5", "object", "datetime64[s]"])
def test_what_is_no_number_is_refused(dtype):
    with pytest.raises(ImsError, match="not numbers"):
        pixel_conversion(dtype)
