"""The array that napari draws from."""

from __future__ import annotations

import numpy as np
import pytest

from openhcs_napari.planes import PlaneStore

WELLS, DEPTHS = [("A01",), ("B03",)], [(1,), (2,), (3,)]


def pixels(number: int, shape=(4, 5), dtype=np.uint16) -> np.ndarray:
    return np.full(shape, number, dtype) + np.arange(shape[1], dtype=dtype)


@pytest.fixture
def store() -> PlaneStore:
    """Two wells of three planes, of which two are absent and one is smaller."""
    planes = {
        (("A01",), (1,)): pixels(10),
        (("A01",), (2,)): pixels(20, (2, 3)),
        (("B03",), (1,)): pixels(30),
        (("B03",), (3,)): pixels(40),
    }
    store = PlaneStore(planes)
    store.arrange((), [WELLS, DEPTHS], (4, 5), np.dtype(np.uint16))
    return store


@pytest.fixture
def whole() -> np.ndarray:
    """The same as an array."""
    array = np.zeros((2, 3, 4, 5), np.uint16)
    array[0, 0], array[1, 0], array[1, 2] = pixels(10), pixels(30), pixels(40)
    array[0, 1, :2, :3] = pixels(20, (2, 3))
    return array


@pytest.mark.parametrize(
    "key",
    [
        np.s_[0, 0],
        np.s_[0, 1],
        np.s_[0, 2],
        np.s_[1, -1, 1:3, ::2],
        np.s_[1],
        np.s_[...],
        np.s_[:, 0],
        np.s_[..., 2],
        np.s_[0, ..., 1:],
        np.s_[0:1, 1:3, :, :],
        np.s_[np.int64(1), 0],
    ],
    ids=str,
)
def test_it_is_indexed_like_an_array(store, whole, key):
    assert np.array_equal(store[key], whole[key])


def test_it_has_the_attributes_of_an_array(store, whole):
    assert (store.shape, store.ndim, store.size, store.dtype) == (whole.shape, 4, whole.size, whole.dtype)
    assert len(store) == 2
    assert np.array_equal(np.asarray(store), whole)


def test_an_index_beyond_the_end_is_an_error(store):
    for key in ((2, 0), (0, 3), (0, 0, 0, 0, 0)):
        with pytest.raises(IndexError):
            store[key]


def test_an_absent_plane_takes_no_memory(store):
    assert store[0, 2].strides == (0, 0)


def test_it_grows_and_changes_its_type(store):
    store.arrange((), [WELLS, [*DEPTHS, (4,)]], (6, 6), np.dtype(np.float32))
    assert store.shape == (2, 4, 6, 6)
    plane = store[1, 2]
    assert plane.dtype == np.float32
    assert np.array_equal(plane[:4, :5], pixels(40))
    assert not plane[4:].any()
    assert not plane[:, 5:].any()


def test_the_first_sliders_may_be_no_axes(store):
    store.arrange((("B03",),), [DEPTHS], (4, 5), np.dtype(np.uint16))
    assert store.shape == (3, 4, 5)
    assert np.array_equal(store[2], pixels(40))
