import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import zarr

from openhcs_core.imaris import ImsChannel
from openhcs_core.local import LocalError, open_image
from tests.imaris.images import camera
from tests.local.test_tiff import voxels

IMAGE = camera((2, 2, 5, 60, 50))


def write(path, image=IMAGE, axes="TCZYX", version="0.5", **more):
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("0", data=image, chunks=(1,) * (image.ndim - 3) + (2, 32, 32))
    kinds = dict.fromkeys("ZYX", "space") | {"T": "time", "C": "channel"}
    units = dict.fromkeys("YX", "micrometer") | {"Z": "nanometer", "T": "minute"}
    described = [{"name": a.lower(), "type": kinds[a]} | ({"unit": units[a]} if a in units else {}) for a in axes]
    scale = {"T": 0.5, "C": 1, "Z": 400.0, "Y": 0.2, "X": 0.1}
    change = [
        {"type": "scale", "scale": [scale[a] for a in axes]},
        {"type": "translation", "translation": [{"Z": 1000.0, "X": 7.0}.get(a, 0) for a in axes]},
    ]
    scales = {
        "axes": described,
        "datasets": [{"path": "0", "coordinateTransformations": change}],
        "name": "cells",
    } | more
    omero = {
        "channels": [
            {"label": "DAPI", "color": "0000FF", "window": {"start": 5, "end": 900, "min": 0, "max": 65535}},
            {"label": "GFP", "color": "#00ff00"},
        ]
    }
    known = {"multiscales": [scales | ({} if version == "0.5" else {"version": "0.4"})], "omero": omero}
    group.attrs.update({"ome": known | {"version": "0.5"}} if version == "0.5" else known)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_voxels_and_metadata(version, tmp_path):
    opened = open_image(write(tmp_path / "a.ome.zarr", version=version))
    assert (opened.shape, opened.dtype, opened.chunk) == (IMAGE.shape, IMAGE.dtype, (2, 32))
    np.testing.assert_array_equal(voxels(opened), IMAGE)
    known = opened.metadata
    assert known.name == "cells"
    np.testing.assert_allclose(known.voxel_size_um, (0.4, 0.2, 0.1))
    np.testing.assert_allclose(known.origin_um, (1, 0, 7))
    assert known.time_increment_s == 30
    assert known.channels == (ImsChannel("DAPI", (0, 0, 1), (5, 900)), ImsChannel("GFP", (0, 1, 0)))


def test_fewer_axes(tmp_path):
    opened = open_image(write(tmp_path / "a.zarr", IMAGE[0, 0], "ZYX"))
    assert opened.shape == (1, 1, 5, 60, 50)
    assert opened.metadata.channels == ()
    assert opened.statements == ["2 channels are described, 1 are there: not used"]
    np.testing.assert_array_equal(voxels(opened)[0, 0], IMAGE[0, 0])


def test_a_scale_of_all_levels(tmp_path):
    more = {"coordinateTransformations": [{"type": "scale", "scale": [1, 1, 2, 2, 2]}]}
    known = open_image(write(tmp_path / "a.zarr", **more)).metadata
    np.testing.assert_allclose(known.voxel_size_um, (0.8, 0.4, 0.2))
    np.testing.assert_allclose(known.origin_um, (2, 0, 14))


def test_a_folder_of_several_images(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w").attrs["bioformats2raw.layout"] = 3
    write(tmp_path / "a.zarr" / "0")
    write(tmp_path / "a.zarr" / "1", IMAGE + 1)
    np.testing.assert_array_equal(voxels(open_image(tmp_path / "a.zarr", series=1)), IMAGE + 1)
    with pytest.raises(LocalError, match="no image 3"):
        open_image(tmp_path / "a.zarr", series=2)


def test_an_array_alone(tmp_path):
    zarr.save_array(tmp_path / "a.zarr", IMAGE[0, 0])
    np.testing.assert_array_equal(voxels(open_image(tmp_path / "a.zarr"))[0, 0], IMAGE[0, 0])
    assert open_image(tmp_path / "a.zarr", axes="TYX").shape == (5, 1, 1, 60, 50)


def test_what_is_no_image(tmp_path):
    with pytest.raises(LocalError, match="is a folder, but no OME-Zarr image"):
        open_image(tmp_path)
    zarr.open_group(tmp_path / "a.zarr", mode="w").attrs["ome"] = {"plate": {}}
    with pytest.raises(LocalError, match="is a plate or well. Give the path of one of its images"):
        open_image(tmp_path / "a.zarr")


class Evil:
    """What unpickles to a call."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("coding", [{"compressor": {"id": "pickle"}}, {"filters": [{"id": "pickle"}]}, {"dtype": "|O"}])
def test_nothing_is_unpickled(coding, tmp_path):
    """To unpickle is to run what the file says."""
    path = tmp_path / "a.zarr"
    path.mkdir()
    described = {"zarr_format": 2, "shape": [2, 2], "chunks": [2, 2], "dtype": "<u2", "compressor": None, "order": "C",
                 "fill_value": None, "filters": None}  # fmt: skip
    (path / ".zarray").write_text(json.dumps(described | coding))
    (path / "0.0").write_bytes(pickle.dumps(Evil(tmp_path / "evil")))
    with pytest.raises(LocalError):
        voxels(open_image(path))
    assert not (tmp_path / "evil").exists()


def test_arrays_outside_the_folder_are_not_read(tmp_path):
    zarr.save_array(tmp_path / "secret.zarr", IMAGE[0, 0])
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.attrs["multiscales"] = [{"axes": list("zyx"), "datasets": [{"path": "../secret.zarr"}]}]
    with pytest.raises(LocalError, match="cannot be read"):
        open_image(tmp_path / "a.zarr")
