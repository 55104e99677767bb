"""The compiled loops give what NumPy gives."""

import sys

import numpy as np
import pytest

from openhcs_core.imaris import ImsWriter, check_ims, kernels
from openhcs_core.imaris.histogram import CountHistogram, RangeHistogram
from openhcs_core.imaris.pyramid import reduce_box, reduce_into
from tests.imaris.images import noise

INTERPRETED = kernels.Kernels(kernels.count, kernels.count_scaled, kernels.mean_of_integers, kernels.mean_of_floats)


@pytest.fixture(scope="module")
def compiled():
    """The loops as numba compiles them, whatever is in use."""
    return kernels.compiled()


@pytest.fixture(params=["interpreted", "compiled"])
def loops(request, monkeypatch):
    """These loops are in use."""
    chosen = INTERPRETED if request.param == "interpreted" else request.getfixturevalue("compiled")
    monkeypatch.setattr(kernels, "_ready", chosen)
    return chosen


def without_loops(monkeypatch, work):
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "_ready", None)
        return work()


@pytest.mark.parametrize("factors", [(1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2), (2, 2, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_means(loops, factors, dtype, monkeypatch):
    block = noise((5, 7, 9), dtype)
    if dtype != "float32":
        block[:2, :2, :2] = np.iinfo(dtype).max
    result = reduce_box(block, factors)
    expected = without_loops(monkeypatch, lambda: reduce_box(block, factors))
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(reduce_box(np.asfortranarray(block), factors), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_means_as_a_part_of_another_block(loops, dtype, monkeypatch):
    block, target = noise((5, 6, 8), dtype), noise((4, 5, 7), dtype, 1)
    expected = target.copy()
    expected[1:3, 2:4, 3:6] = without_loops(monkeypatch, lambda: reduce_box(block[:4, :4, :6], (2, 2, 2)))
    result = target.copy()
    reduce_into(result, (1, 2, 3), (2, 2, 3), block, (2, 2, 2))
    np.testing.assert_array_equal(result, expected)
    without_loops(monkeypatch, lambda: reduce_into(target, (1, 2, 3), (2, 2, 3), block, (2, 2, 2)))
    np.testing.assert_array_equal(target, expected)


def test_means_with_holes(loops, monkeypatch):
    block = noise((4, 4, 8), "float32")
    block[0, 0, 0], block[1, 2, 3], block[3, 3, 7] = np.nan, np.inf, -np.inf
    result = reduce_box(block, (2, 2, 2))
    np.testing.assert_array_equal(result, without_loops(monkeypatch, lambda: reduce_box(block, (2, 2, 2))))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_counts(loops, dtype, monkeypatch):
    blocks = [noise((3, 5, 7), dtype, seed) for seed in range(3)]

    def count():
        histogram = CountHistogram(np.dtype(dtype))
        for block in blocks:
            block[2, 4] = 0  # the padding
            histogram.add(block, (3, 5, 6))
        histogram.add(blocks[0][:1, :1, :1], (1, 1, 1), 1000)
        return histogram.result()

    result, expected = count(), without_loops(monkeypatch, count)
    np.testing.assert_array_equal(result.bins, expected.bins)
    assert (result.minimum, result.maximum) == (expected.minimum, expected.maximum)


@pytest.mark.parametrize("dtype", ["uint32", "float32"])
def test_counts_over_a_range(loops, dtype, monkeypatch):
    def count():
        histogram = RangeHistogram()
        for seed in range(3):
            block = noise((3, 5, 7), dtype, seed)
            if dtype == "float32":
                block *= 10.0**seed
                block[0, 0, :3] = np.nan, np.inf, -np.inf
            histogram.add(block, (3, 5, 6))
        histogram.add(block[:1, :1, 4:5], (1, 1, 1), 1000)
        return histogram.result()

    result, expected = count(), without_loops(monkeypatch, count)
    np.testing.assert_array_equal(result.fine_bins, expected.fine_bins)
    assert (result.minimum, result.maximum) == (expected.minimum, expected.maximum)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_whole_files(compiled, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "_ready", compiled)
    image = noise((1, 2, 20, 300, 290), dtype)
    with ImsWriter(tmp_path / "a.ims", image.shape, dtype) as writer:
        for c in range(2):
            writer.write_volume(0, c, lambda z0, z1, y0, y1, volume=image[0, c]: volume[z0:z1, y0:y1])
    monkeypatch.setattr(kernels, "_ready", None)
    assert check_ims(tmp_path / "a.ims", source=image) == []


@pytest.fixture
def unprepared(monkeypatch):
    monkeypatch.setattr(kernels, "_ready", None)
    monkeypatch.setattr(kernels, "_begun", False)


def test_a_large_image_has_them_compiled(unprepared, tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "compiled", lambda: INTERPRETED)
    monkeypatch.setattr("openhcs_core.imaris.writer.COMPILED_FROM", 1000)
    for size in (30, 40):
        with ImsWriter(tmp_path / "a.ims", (1, 1, 1, size, size), "u1") as writer:
            writer.write_volume(0, 0, lambda *_, size=size: np.ones((1, size, size), "u1"))
        for thread in kernels.threading.enumerate():
            if thread.name == "ims-kernels":
                thread.join()
        assert (kernels.ready() is INTERPRETED) == (size == 40)


def test_without_numba_there_are_none(unprepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    kernels.prepare()
    assert kernels.ready() is None


def test_a_cache_is_not_needed(monkeypatch):
    import numba

    made = []

    def njit(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda loop: made.append(loop) or loop

    monkeypatch.setattr(numba, "njit", njit)
    assert kernels.compiled().count is kernels.count
    assert len(made) == 4
