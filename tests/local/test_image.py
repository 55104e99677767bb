import os

import numpy as np
import pytest

from openhcs_core.local import LocalError, open_image, stacked
from openhcs_core.local.units import micrometres, seconds
from tests.imaris.images import camera
from tests.local.test_tiff import voxels

IMAGE = camera((3, 2, 5, 60, 50))


def saved(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize("axes", [None, "TCZYX", "XYZCT", "CZTYX"])
def test_numpy_files(axes, tmp_path):
    image = IMAGE if axes is None else IMAGE.transpose(["TCZYX".index(axis) for axis in axes])
    opened = open_image(saved(tmp_path / "a.npy", image), axes=axes)
    assert opened.metadata.name == "a"
    np.testing.assert_array_equal(voxels(opened), IMAGE)


def test_numpy_files_of_fewer_axes(tmp_path):
    assert open_image(saved(tmp_path / "a.npy", IMAGE[0, 0])).shape == (1, 1, 5, 60, 50)
    assert open_image(saved(tmp_path / "a.npy", IMAGE[0, 0]), axes="TYX").shape == (5, 1, 1, 60, 50)
    for array in (IMAGE[0, 0, 0, 0], IMAGE[None]):
        with pytest.raises(LocalError, match="Name every axis"):
            open_image(saved(tmp_path / "a.npy", array))
    with pytest.raises(LocalError, match="no image 2"):
        open_image(saved(tmp_path / "a.npy", IMAGE), series=1)


def test_objects_are_never_unpacked(tmp_path):
    with pytest.raises(LocalError, match="cannot be read"):
        open_image(saved(tmp_path / "a.npy", np.array([[{}]])))


def test_a_numpy_file_that_becomes_shorter(tmp_path):
    opened = open_image(saved(tmp_path / "a.npy", IMAGE))
    os.truncate(tmp_path / "a.npy", 5000)
    with pytest.raises(LocalError, match="has become shorter"):
        opened.read(0, 0, 0, 5, 0, 60)


def test_a_missing_file(tmp_path):
    with pytest.raises(LocalError, match=r"a.tif does not exist"):
        open_image(tmp_path / "a.tif")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    (tmp_path / "a.tif").touch()
    with pytest.raises(LocalError, match=r'tifffile.* Install it: pip install "openhcs-omero\[local\]"'):
        open_image(tmp_path / "a.tif")


def test_the_fingerprint_changes_with_files_and_options(tmp_path):
    path = saved(tmp_path / "a.npy", IMAGE)
    opened = open_image(path)
    first = opened.fingerprint()
    assert open_image(path).fingerprint() == first
    assert open_image(path, axes="CTZYX").fingerprint() != first
    os.utime(path, ns=(1, 1))
    assert opened.fingerprint() != first
    path.unlink()
    with pytest.raises(LocalError, match="cannot be found any more"):
        opened.fingerprint()


@pytest.mark.parametrize("axis", ["T", "C", "Z"])
def test_several_files_are_one_image(axis, tmp_path):
    place = "TCZYX".index(axis)
    parts = np.split(IMAGE, [1], axis=place)
    images = [open_image(saved(tmp_path / f"part {n}.npy", part)) for n, part in enumerate(parts)]
    whole = stacked(images, axis)
    assert whole.shape == IMAGE.shape
    assert len(whole.files) == 2
    np.testing.assert_array_equal(voxels(whole), IMAGE)
    if axis == "C":
        assert [channel.name for channel in whole.metadata.channels] == ["part 0", "part 1"]


def test_files_that_do_not_fit_together(tmp_path):
    first = open_image(saved(tmp_path / "a.npy", IMAGE))
    with pytest.raises(LocalError, match="cannot be stacked along T"):
        stacked([first, open_image(saved(tmp_path / "b.npy", IMAGE[:, :, :4]))], "T")
    with pytest.raises(LocalError, match="pixels of type uint8"):
        stacked([first, open_image(saved(tmp_path / "c.npy", IMAGE.astype("u1")))], "T")


def test_units():
    assert [micrometres(2, unit) for unit in ("µm", "μm", "um", "micron", "\\u00B5m", "micrometre")] == [2.0] * 6
    assert [micrometres(2, unit) for unit in ("nm", "Å", "mm", "pixel", "")] == [2e-3, 2e-4, 2e3, None, None]
    assert [seconds(2, unit) for unit in ("ms", "min", "hour", "frame")] == [2e-3, 120, 7200, None]
