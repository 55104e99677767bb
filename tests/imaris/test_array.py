import doctest
import itertools

import h5py
import numpy as np
import pytest
import zarr

import openhcs_core.imaris.array
import openhcs_core.imaris.writer
from openhcs_core.imaris import ImsError, check_ims, write_ims
from tests.imaris.images import camera

IMAGE = camera((2, 3, 4, 5, 6))


@pytest.mark.parametrize("axes", ["TCZYX", "XYZCT", "TZCYX", "CYXZT"])
def test_any_order_of_axes(axes, tmp_path):
    path = tmp_path / "a.ims"
    write_ims(IMAGE.transpose(["TCZYX".index(axis) for axis in axes]), path, axes=axes)
    assert check_ims(path, source=IMAGE) == []


@pytest.mark.parametrize("kept", [*("".join(kept) for n in range(3) for kept in itertools.combinations("TCZ", n))])
def test_any_subset_of_axes(kept, tmp_path):
    path = tmp_path / "a.ims"
    axes = kept + "YX"
    part = IMAGE[tuple(slice(None) if axis in axes else 0 for axis in "TCZYX")]
    write_ims(part, path, axes=axes.lower())
    expected = part[tuple(slice(None) if axis in axes else np.newaxis for axis in "TCZYX")]
    assert check_ims(path, source=expected) == []


def test_arrays_that_are_not_in_memory(tmp_path):
    write_ims(zarr.array(IMAGE, chunks=(1, 1, 2, 3, 6)), tmp_path / "zarr.ims")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_ims(file.create_dataset("image", data=IMAGE), tmp_path / "h5py.ims")
    np.save(tmp_path / "a.npy", IMAGE)
    write_ims(np.load(tmp_path / "a.npy", mmap_mode="r"), tmp_path / "mapped.ims")
    write_ims(IMAGE.tolist(), tmp_path / "list.ims")
    for name in ("zarr", "h5py", "mapped", "list"):
        assert check_ims(tmp_path / f"{name}.ims", source=IMAGE) == []


@pytest.mark.parametrize(
    ("array", "arguments", "message"),
    [
        (IMAGE[0], {}, r'has 4 axes, but axes=.TCZYX. names 5. Name every axis, for example axes="ZYX"'),
        (IMAGE[0, 0], {"axes": "ZYY"}, "must hold Y and X"),
        (IMAGE[0, 0], {"axes": "TCZ"}, "must hold Y and X"),
        (IMAGE[0, 0], {"axes": "SYX"}, "must hold Y and X"),
        (IMAGE, {"voxel_size_um": (1, 1)}, r"must be \(z, y, x\)"),
        (IMAGE, {"preset": "tiny"}, "Unknown preset 'tiny'"),
        (IMAGE[:0], {}, r"size \(0, 3, 4, 5, 6\) cannot be written"),
        (IMAGE.astype(complex), {}, "complex128 cannot be stored"),
    ],
)
def test_what_makes_no_sense_is_refused(array, arguments, message, tmp_path):
    with pytest.raises(ImsError, match=message):
        write_ims(array, tmp_path / "a.ims", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_the_examples_in_the_docstrings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in (openhcs_core.imaris.array, openhcs_core.imaris.writer):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed
