import contextlib
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import tifffile

import openhcs_core.local
from openhcs_core.imaris import ImsChannel
from openhcs_core.local import LocalError
from tests.imaris.images import camera, noise

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def open_image():
    """Opens images, and closes them in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda *given, **named: stack.enter_context(openhcs_core.local.open_image(*given, **named))


def voxels(image):
    """All of an image (T, C, Z, Y, X), read in pieces that fit no strip and no tile."""
    t, c, z, y, _ = image.shape
    whole = np.empty(image.shape, image.dtype.newbyteorder("="))
    for index in np.ndindex(t, c):
        for z0 in range(0, z, 3):
            for y0 in range(0, y, 50):
                part = image.read(*index, z0, min(z0 + 3, z), y0, min(y0 + 50, y))
                whole[index][z0 : z0 + 3, y0 : y0 + 50] = part
    image.close()
    return whole


STORED = {
    "contiguous": {},
    "big-endian": {"byteorder": ">"},
    "tiles": {"tile": (32, 48)},
    "strips": {"rowsperstrip": 7, "compression": "zlib"},
    "one strip": {"compression": "zlib", "predictor": True},
    "compressed tiles": {"tile": (64, 64), "compression": "zlib"},
    "BigTIFF": {"bigtiff": True, "compression": "zlib"},
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_way_to_store_pixels(stored, dtype, tmp_path, open_image):
    image = noise((2, 2, 5, 101, 90), dtype)
    if "predictor" in STORED[stored] and dtype == "float32":
        image = image.astype("int32")
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", metadata={"axes": "TCZYX"}, **STORED[stored])
    opened = open_image(tmp_path / "a.tif")
    assert (opened.shape, opened.dtype.newbyteorder("=")) == (image.shape, image.dtype)
    np.testing.assert_array_equal(voxels(opened), image)


@pytest.mark.parametrize("order", ["TCZYX", "TZCYX", "CTZYX", "CZTYX", "ZTCYX", "ZCTYX"])
def test_every_order_of_ome_tiff(order, tmp_path, open_image):
    image = camera((2, 3, 4, 20, 30))
    turned = image.transpose(["TCZYX".index(axis) for axis in order])
    tifffile.imwrite(tmp_path / "a.ome.tif", turned, photometric="minisblack", metadata={"axes": order})
    np.testing.assert_array_equal(voxels(open_image(tmp_path / "a.ome.tif")), image)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("stored", ["contiguous", "strips", "compressed tiles"])
def test_colour_pictures_become_channels(planar, stored, tmp_path, open_image):
    image = noise((3, 80, 70, 3), "uint8")
    given = image if planar == "contig" else image.transpose(0, 3, 1, 2)
    tifffile.imwrite(tmp_path / "a.tif", given, photometric="rgb", planarconfig=planar, **STORED[stored])
    opened = open_image(tmp_path / "a.tif")
    assert opened.shape == (1, 3, 3, 80, 70)
    assert [channel.name for channel in opened.metadata.channels] == ["Red", "Green", "Blue"]
    np.testing.assert_array_equal(voxels(opened)[0], image.transpose(3, 0, 1, 2))


def test_sparse_files(tmp_path, open_image):
    tifffile.imwrite(tmp_path / "a.tif", shape=(4, 96, 64), dtype="u2", tile=(32, 32), photometric="minisblack")
    assert not voxels(open_image(tmp_path / "a.tif")).any()


def test_an_ome_tiff_of_several_files_and_images(tmp_path, open_image):
    one, other = camera((1, 1, 3, 20, 30)), camera((1, 2, 1, 40, 10), 1)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for image, name in ((one, "first"), (other, "second")):
            file.write(image, photometric="minisblack", metadata={"axes": "TCZYX", "Name": name})
    np.testing.assert_array_equal(voxels(open_image(tmp_path / "a.ome.tif")), one)
    opened = open_image(tmp_path / "a.ome.tif", series=1)
    assert opened.metadata.name == "second"
    np.testing.assert_array_equal(voxels(opened), other)
    with pytest.raises(LocalError, match="has no image 3; it has 2"):
        open_image(tmp_path / "a.ome.tif", series=2)


def test_a_real_time_lapse(open_image):
    path = DATA / "ecoli" / "coli_nucl_ori_crop.ome.tif"
    opened = open_image(path)
    assert opened.shape == (4, 2, 5, 96, 96)
    np.testing.assert_array_equal(voxels(opened), tifffile.imread(path).transpose(1, 0, 2, 3, 4))


def test_stacks_without_names(tmp_path, open_image):
    image = camera((6, 20, 30))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for plane in image:
            file.write(plane, metadata=None)
    assert open_image(tmp_path / "a.tif").shape == (1, 1, 6, 20, 30)
    assert open_image(tmp_path / "a.tif", axes="tyx").shape == (6, 1, 1, 20, 30)
    np.testing.assert_array_equal(voxels(open_image(tmp_path / "a.tif", axes="CYX"))[0, :, 0], image)
    with pytest.raises(LocalError, match="'TZYX' names 4. Name every axis"):
        open_image(tmp_path / "a.tif", axes="TZYX")
    with pytest.raises(LocalError, match="must hold Y and X"):
        open_image(tmp_path / "a.tif", axes="QYX")
    with pytest.raises(LocalError, match="Y and X must be those of its pages"):
        open_image(tmp_path / "a.tif", axes="XYZ")


def test_axes_that_cannot_be_exported(tmp_path, open_image):
    tifffile.imwrite(tmp_path / "a.tif", camera((2, 3, 20, 30)), photometric="minisblack", metadata={"axes": "AZYX"})
    with pytest.raises(LocalError, match="only T, C, Z, Y and X can be exported"):
        open_image(tmp_path / "a.tif")
    assert open_image(tmp_path / "a.tif", axes="TZYX").shape == (2, 1, 3, 20, 30)


OME = {
    "axes": "TCZYX",
    "Name": "cells µ",
    "Description": "two lines\nof text",
    "PhysicalSizeX": 108.3,
    "PhysicalSizeXUnit": "nm",
    "PhysicalSizeY": 0.1083,
    "PhysicalSizeZ": 5e-4,
    "PhysicalSizeZUnit": "mm",
    "TimeIncrement": 2,
    "TimeIncrementUnit": "min",
    "AcquisitionDate": "2024-01-02T03:04:05Z",
    "Channel": {
        "Name": ["DAPI", "é"],
        "Color": [0x0000FFFF, -16776961],
        "EmissionWavelength": [461.0, 0.6],
        "EmissionWavelengthUnit": ["nm", "µm"],
    },
}


def test_metadata_of_ome_tiff(tmp_path, open_image):
    tifffile.imwrite(tmp_path / "a.ome.tif", camera((2, 2, 3, 20, 30)), photometric="minisblack", metadata=OME)
    opened = open_image(tmp_path / "a.ome.tif")
    known = opened.metadata
    assert (known.name, known.description) == ("cells µ", "two lines\nof text")
    np.testing.assert_allclose(known.voxel_size_um, (0.5, 0.1083, 0.1083))
    assert known.time_increment_s == 120
    assert known.acquisition_date == datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    dapi, other = known.channels
    assert dapi == ImsChannel("DAPI", (0, 0, 1), None, 461)
    assert (other.name, other.color) == ("é", (1, 0, 0))
    np.testing.assert_allclose(other.emission_nm, 600)
    assert opened.statements == []


def test_times_and_position_of_ome_tiff(tmp_path, open_image):
    planes = {
        "DeltaT": [1.5, 1.5, 4.0, 4.0],
        "PositionX": [7.0] * 4,
        "PositionY": [-3.0] * 4,
        "PositionYUnit": ["mm"] * 4,
    }
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        camera((2, 1, 2, 8, 8)),
        photometric="minisblack",
        metadata={"axes": "TCZYX", "Plane": planes},
    )
    known = open_image(tmp_path / "a.ome.tif").metadata
    assert known.origin_um == (0, -3000, 7)
    assert [time.second + time.microsecond / 1e6 for time in known.times] == [1.5, 4.0]


def test_a_length_that_is_no_measure(tmp_path, open_image):
    given = {"axes": "ZYX", "PhysicalSizeX": 2.0, "PhysicalSizeXUnit": "pixel"}
    tifffile.imwrite(tmp_path / "a.ome.tif", camera((3, 8, 8)), photometric="minisblack", metadata=given)
    opened = open_image(tmp_path / "a.ome.tif")
    assert opened.statements == ["PhysicalSizeX of 2 pixel is no measure: ignored"]
    assert opened.metadata.voxel_size_um == (None, None, None)


def test_metadata_of_imagej(tmp_path, open_image):
    tables = [np.zeros((3, 256), "u1") for _ in range(2)]
    tables[0][1] = tables[1][0] = tables[1][2] = np.arange(256)
    tifffile.imwrite(
        tmp_path / "a.tif", camera((3, 4, 2, 20, 30)), imagej=True, resolution=(10, 5),
        metadata={"axes": "TZCYX", "unit": "\\u00B5m", "spacing": 0.5, "finterval": 3.0, "mode": "composite",
                  "Ranges": (1.0, 200.0, 2.0, 300.0), "LUTs": tables},
    )  # fmt: skip
    opened = open_image(tmp_path / "a.tif")
    assert opened.shape == (3, 2, 4, 20, 30)
    assert opened.metadata.voxel_size_um == (0.5, 0.2, 0.1)
    assert opened.metadata.time_increment_s == 3
    assert opened.metadata.channels == (ImsChannel("", (0, 1, 0), (1, 200)), ImsChannel("", (1, 0, 1), (2, 300)))


def test_the_resolution_of_a_plain_file(tmp_path, open_image):
    for unit, size in (("CENTIMETER", (None, 2.0, 1.0)), ("INCH", (None, None, None))):
        tifffile.imwrite(tmp_path / "a.tif", camera((8, 8)), resolution=(10000, 5000), resolutionunit=unit)
        assert open_image(tmp_path / "a.tif").metadata.voxel_size_um == size
    assert open_image(tmp_path / "a.tif").metadata.name == "a"


@pytest.mark.parametrize("content", [b"", b"II*\0", b"no picture", b"II*\0" + bytes(100)])
def test_what_is_no_tiff(content, tmp_path, open_image):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(LocalError, match=r"a.tif (cannot be read|holds no image)"):
        open_image(tmp_path / "a.tif")


def test_damaged_pixels_are_named(tmp_path, open_image):
    tifffile.imwrite(
        tmp_path / "a.tif", camera((4, 64, 64)), photometric="minisblack", compression="zlib", metadata={"axes": "ZYX"}
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages[2].dataoffsets[0]
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[offset : offset + 50] = bytes(50)
    (tmp_path / "a.tif").write_bytes(content)
    opened = open_image(tmp_path / "a.tif")
    assert opened.read(0, 0, 0, 2, 0, 64).shape == (2, 64, 64)
    with pytest.raises(LocalError, match="damaged at T1 C1 Z3"):
        opened.read(0, 0, 2, 3, 0, 64)
    opened.close()


def test_a_file_that_ends_too_early(tmp_path, open_image):
    tifffile.imwrite(tmp_path / "a.tif", camera((4, 64, 64)), photometric="minisblack", metadata={"axes": "ZYX"})
    opened = open_image(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(LocalError, match=r"T1 C1 Z\d, rows 0 to 64: the file ends too early"):
        opened.read(0, 0, 0, 4, 0, 64)
    opened.close()
