"""What all functions promise: axes, pixel types, labels, tables; and that they leave their input alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from openhcs_core import plugins
from openhcs_core.functions import FunctionError
from openhcs_functions import _arrays
from tests.functions.cases import CALLS, CONTEXT, arguments, labelled

SPECS = {name.partition(".")[2]: spec for name, spec in plugins.functions().items() if "openhcs_functions." in name}
HOST = {name: spec for name, spec in SPECS.items() if not name.startswith("gpu.")}
FLOATS = {
    *("normalize_percentile", "normalize_percentile_3d"),
    *("difference_of_gaussians", "divide_channels", "merge_channels"),
}
OTHER_SIZE = {"stitch_fields"}


def test_every_function_has_a_case():
    assert HOST.keys() == CALLS.keys()


def test_the_same_names_are_there_for_the_gpu():
    device = {name.removeprefix("gpu."): spec for name, spec in SPECS.items() if name.startswith("gpu.")}
    assert device.keys() == HOST.keys()
    for name, spec in device.items():
        assert (spec.memory_type, HOST[name].memory_type) == ("cupy", "numpy")
        assert (spec.axes, spec.outputs, spec.planes, spec.inputs) == (
            *(HOST[name].axes, HOST[name].outputs, HOST[name].planes, HOST[name].inputs),
        )
        assert list(spec.parameters) == list(HOST[name].parameters)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("name", CALLS)
def test_results_are_as_declared(name, dtype):
    spec = HOST[name]
    for parameters in CALLS[name]:
        image, extra = arguments(spec, name, dtype)
        before = image.copy()
        result = spec.function(image, **extra, **parameters)
        np.testing.assert_array_equal(image, before, err_msg="the input was changed")
        if spec.outputs == ("table",):
            lengths = {len(column) for column in result.values()}
            assert len(lengths) == 1
            assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", column) for column in result)
            continue
        wanted = image.shape if spec.planes == "each" else image.shape[1:]
        assert result.shape == wanted or spec.function.__name__ in OTHER_SIZE
        assert result.dtype.byteorder in "=|"
        if spec.outputs == ("labels",):
            assert result.dtype in (np.uint8, np.uint16, np.uint32)
            assert result.any(), "the case gives the function nothing to do"
        elif spec.function.__name__ in FLOATS:
            assert result.dtype == np.float32
        elif spec.function.__name__ != "sum_projection":
            assert result.dtype == image.dtype
        assert np.isfinite(result).all()


@pytest.mark.parametrize("name", [name for name, spec in HOST.items() if "YX" in spec.axes])
def test_empty_and_even_planes_are_no_accident(name):
    spec = HOST[name]
    for value in (0, 7):
        for parameters in CALLS[name]:
            image, extra = arguments(spec, name, np.uint16)
            image[:] = value
            extra.update({parameter: np.zeros_like(extra[parameter]) for parameter in spec.inputs})
            result = spec.function(image, **extra, **parameters)
            for array in result.values() if isinstance(result, dict) else [result]:
                assert not np.isinf(array).any()


@pytest.mark.parametrize("name", [name for name, spec in HOST.items() if spec.outputs == ("labels",)])
def test_labels_are_numbered_without_gaps(name):
    if name.endswith("expand_labels"):  # it keeps the numbers, so that they match those of the nuclei
        return
    for parameters in CALLS[name]:
        image, extra = arguments(HOST[name], name, np.uint16)
        found = np.unique(HOST[name].function(image, **extra, **parameters))
        if "seeds" in extra:
            assert set(found) == set(np.unique(extra["seeds"]))
        else:
            np.testing.assert_array_equal(found, np.arange(len(found)))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("smoothing.gaussian", {"sigma": -1.0}),
        ("smoothing.median", {"size": 4}),
        ("smoothing.difference_of_gaussians", {"small": 4.0, "large": 2.0}),
        ("smoothing.gaussian_3d", {"z_step": 0.0}),
        ("background.subtract_percentile", {"percentile": 101.0}),
        ("background.white_top_hat", {"size": 1}),
        ("background.rolling_ball", {"radius": 0.5}),
        ("flatfield.flat_field_smooth", {"sigma": 0.0}),
        ("intensity.normalize_percentile", {"low": 50.0, "high": 50.0}),
        ("intensity.normalize_percentile_3d", {"low": 5.0, "high": 1.0}),
        ("channels.merge_channels", {"weights": (1.0,)}),
        ("channels.merge_channels", {"weights": (1.0, -1.0)}),
        ("channels.merge_channels", {"low": 90.0, "high": 10.0}),
        ("labelling.connected_components", {"connectivity": 3}),
        ("labelling.connected_components_3d", {"connectivity": 0}),
        ("labelling.keep_by_area", {"min_area": 10, "max_area": 5}),
        ("labelling.remove_border_objects", {"margin": -1}),
        ("labelling.expand_labels", {"distance": -1.0}),
        ("thresholds.threshold_local", {"size": 10}),
        ("watershed.split_touching", {"min_distance": 0}),
        ("watershed.split_touching", {"sigma": -1.0}),
        ("watershed.seeded_watershed", {"sigma": -1.0}),
        ("segmentation.blobs", {"diameter": 1.0}),
    ],
)
def test_wrong_parameters_are_refused_by_name(name, parameters):
    image, extra = arguments(HOST[name], name, np.uint16)
    last = list(parameters)[-1]
    with pytest.raises(FunctionError, match=rf"{last}|weights|largest size"):
        HOST[name].function(image, **extra, **parameters)


def test_labels_that_are_no_integers_or_of_another_place_are_refused():
    image, _ = arguments(HOST["measurement.measure_objects"], "measurement.measure_objects", np.uint16)
    measure = HOST["measurement.measure_objects"].function
    with pytest.raises(FunctionError, match="must be integers, not float64"):
        measure(image, labelled().astype(np.float64))
    with pytest.raises(FunctionError, match="labels are"):
        measure(image, labelled()[:10])
    with pytest.raises(FunctionError, match="seeds are"):
        HOST["watershed.seeded_watershed"].function(image, labelled()[:10])


def test_fields_that_are_too_few_or_too_many_are_refused():
    image, extra = arguments(HOST["flatfield.flat_field_stack"], "flatfield.flat_field_stack", np.uint16)
    with pytest.raises(FunctionError, match="one field is not enough"):
        HOST["flatfield.flat_field_stack"].function(image[:1])
    with pytest.raises(FunctionError, match="takes two channels, not 3"):
        HOST["channels.subtract_channels"].function(image)
    with pytest.raises(FunctionError, match="3 addresses are given for 2 fields"):
        HOST["stitching.stitch_fields"].function(image[:2], context=CONTEXT)


INTEGERS = st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64])


@settings(max_examples=60, deadline=None)
@given(dtype=INTEGERS, values=arrays.arrays(np.float64, 5, elements=st.floats(-1e30, 1e30)))
def test_values_are_rounded_and_clipped_never_wrapped(dtype, values):
    limits = np.iinfo(dtype)
    exact = [min(max(round(value), limits.min), limits.max) for value in values.tolist()]
    result = _arrays.restore(values, dtype)
    assert result.dtype == dtype
    # The type with 64 bits has no float at its upper limit: the one below stands for it.
    slack = 2**11 if np.dtype(dtype).itemsize == 8 else 0
    assert all(abs(int(found) - wanted) <= slack for found, wanted in zip(result, exact, strict=True))


@settings(max_examples=30, deadline=None)
@given(plane=arrays.arrays(st.sampled_from([np.uint8, np.uint16]), (9, 11)), sigma=st.floats(0, 3))
def test_smoothing_stays_within_the_range_of_the_plane(plane, sigma):
    smooth = HOST["smoothing.gaussian"].function(plane, sigma=sigma)
    assert plane.min() <= smooth.min()
    assert smooth.max() <= plane.max()


@settings(max_examples=30, deadline=None)
@given(labels=arrays.arrays(np.uint16, (7, 8), elements=st.integers(0, 9)), smallest=st.integers(0, 10))
def test_size_filters_keep_exactly_what_is_large_enough(labels, smallest):
    kept = HOST["labelling.keep_by_area"].function(labels, min_area=smallest)
    wanted = [number for number in range(1, 10) if np.count_nonzero(labels == number) >= max(smallest, 1)]
    assert int(kept.max()) == len(wanted)
    for new, number in enumerate(wanted, 1):
        np.testing.assert_array_equal(kept == new, labels == number)
