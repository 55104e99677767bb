"""Voxels of an image: from its file where that is right, through the API where it is not, and always the same."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from openhcs_core.omero import raw_pixels
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.pixels import ImagePixels
from openhcs_core.settings import Settings

FROM_FILE = "the image's file"


def read_all(pixels):
    """All voxels (T, C, Z, Y, X), read in pieces that begin and end anywhere."""
    t, c, z, y, x = pixels.shape
    out = np.empty(pixels.shape, pixels.dtype)
    for at_t, at_c in np.ndindex(t, c):
        for z0 in range(0, z, 2):
            for y0 in range(0, y, 37):
                z1, y1 = min(z, z0 + 2), min(y, y0 + 37)
                out[at_t, at_c, z0:z1, y0:y1] = pixels.read(at_t, at_c, z0, z1, y0, y1)
    return out


def open_pixels(conn, image, settings=None):
    return ImagePixels(conn, image, settings or Settings())


def in_order(voxels, axes):
    """Voxels of any axes as (T, C, Z, Y, X)."""
    missing = [axis for axis in "TCZYX" if axis not in axes]
    voxels = voxels.reshape((1,) * len(missing) + voxels.shape)
    axes = "".join(missing) + axes
    return voxels.transpose([axes.index(axis) for axis in "TCZYX"])


FORMS = {
    "OME, in another order": ((2, 4, 3, 50, 40), "CTZYX", {"metadata": {"axes": "CTZYX"}, "ome": True}),
    "OME, compressed": ((2, 3, 50, 40), "TZYX", {"metadata": {"axes": "TZYX"}, "ome": True, "compression": "zlib"}),
    "OME, strips": ((3, 50, 40), "CYX", {"metadata": {"axes": "CYX"}, "ome": True, "rowsperstrip": 7}),
    "OME, tiled": ((3, 90, 70), "ZYX", {"metadata": {"axes": "ZYX"}, "ome": True, "tile": (32, 16)}),
    "OME, tiled, compressed": (
        (3, 90, 70),
        "ZYX",
        {"metadata": {"axes": "ZYX"}, "ome": True, "tile": (32, 16), "compression": "zlib", "predictor": True},
    ),
    "OME, big-endian": ((2, 50, 40), "TYX", {"metadata": {"axes": "TYX"}, "ome": True, "byteorder": ">"}),
    "ImageJ": ((2, 3, 2, 50, 40), "TZCYX", {"imagej": True}),
    "plain pages": ((5, 50, 40), "TYX", {"metadata": None, "photometric": "minisblack"}),
    "plain, one page": ((50, 40), "YX", {"metadata": None}),
}


@pytest.mark.parametrize(("shape", "axes", "options"), FORMS.values(), ids=FORMS)
def test_files_are_read_directly(conn, import_tiff, voxels, shape, axes, options):
    array = voxels(*shape)
    name = "image.ome.tif" if options.pop("ome", False) else "image.tif"
    pixels = open_pixels(conn, import_tiff(array, name, **options))
    assert pixels.source == FROM_FILE
    assert np.array_equal(read_all(pixels), in_order(array, axes))
    pixels.close()


def test_each_image_of_a_file_is_its_own_series(omero_server, omero_user, conn, tmp_path, voxels):
    path = tmp_path / "three.ome.tif"
    arrays = [voxels(2, 30, 20 + n) + n for n in range(3)]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for array in arrays:
            tiff.write(array, metadata={"axes": "ZYX"})
    (result,) = omero_server.import_files([path], user=omero_user.name)
    for number, array in zip(result.image_ids, arrays, strict=True):
        pixels = open_pixels(conn, conn.getObject("Image", number))
        assert pixels.source == FROM_FILE
        assert np.array_equal(read_all(pixels)[0, 0], array)
        pixels.close()


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("int8", "i1"), ("uint8", "u1"), ("int16", "i2"), ("uint16", "u2"), ("int32", "i4"), ("uint32", "u4"),
     ("float", "f4"), ("double", "f8")],
)  # fmt: skip
def test_all_pixel_types_through_the_api(conn, voxels, kind, dtype):
    planes = list(voxels(4, 20, 30).astype(dtype) - (100 if dtype[0] in "if" else 0))
    image = conn.createImageFromNumpySeq(iter(planes), "made", sizeZ=2, sizeC=2, sizeT=1)
    image = conn.getObject("Image", image.getId())
    assert image.getPixelsType() == kind
    pixels = open_pixels(conn, image)
    assert pixels.source == "the OMERO API, for the image was not imported from a file"
    assert np.array_equal(read_all(pixels)[0], np.reshape(planes, (2, 2, 20, 30)).transpose(1, 0, 2, 3)) or np.array_equal(
        read_all(pixels)[0], np.reshape(planes, (2, 2, 20, 30))
    )
    pixels.close()


def test_large_planes_are_read_in_tiles(conn, voxels, monkeypatch):
    monkeypatch.setattr(raw_pixels, "PLANE_BYTES", 1000)
    monkeypatch.setattr(raw_pixels, "TILE", 16)
    array = voxels(2, 50, 45)
    image = conn.createImageFromNumpySeq(iter(array), "made", sizeZ=2)
    pixels = open_pixels(conn, conn.getObject("Image", image.getId()))
    assert np.array_equal(read_all(pixels)[0, 0], array)
    pixels.close()
