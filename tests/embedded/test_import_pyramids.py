"""Tiles and resolutions of imported images."""

from __future__ import annotations

import numpy as np
import omero
import pytest
import tifffile

from tests.embedded import images


def test_tiles_of_the_file(one, omero_conn, tmp_path):
    path = tmp_path / "tiled.ome.tif"
    tifffile.imwrite(path, images.slope(600, 700), tile=(256, 256), photometric="minisblack")
    image = one(path)
    store = omero_conn.c.sf.createRawPixelsStore()
    store.setPixelsId(image.getPixelsId(), True)
    assert list(store.getTileSize()) == [256, 256]
    assert (store.getResolutionLevels(), store.requiresPixelsPyramid()) == (1, False)
    assert store.calculateMessageDigest().hex() == "265a637223e2889a72a939b01bd3db43d5fdd65a"
    assert store.getTile(0, 0, 0, 1, 2, 5, 3).hex() == "030405060704050607080506070809"
    store.close()


def test_resolutions_of_the_file(one, omero_conn, tmp_path):
    path, levels = images.pyramid(tmp_path)
    image = one(path)
    assert (image.getSizeX(), image.getSizeY(), image.getSizeT()) == (500, 300, 1)
    store = omero_conn.c.sf.createRawPixelsStore()
    store.setPixelsId(image.getPixelsId(), True)
    assert [(d.sizeX, d.sizeY) for d in store.getResolutionDescriptions()] == [(500, 300), (250, 150), (125, 75)]
    assert store.getResolutionLevel() == 2  # a new store stands on the largest
    for level, array in zip((2, 1, 0), levels, strict=True):
        store.setResolutionLevel(level)
        assert store.getResolutionLevel() == level
        assert list(store.getTileSize()) == [128, 64]
        assert store.getPlaneSize() == array.nbytes
        np.testing.assert_array_equal(np.frombuffer(store.getPlane(0, 0, 0), ">u2").reshape(array.shape), array)
        tile = store.getTile(0, 0, 0, 30, 20, 90, 50)
        np.testing.assert_array_equal(np.frombuffer(tile, ">u2").reshape(50, 90), array[20:70, 30:120])
    store.setResolutionLevel(3)  # one too many: accepted, nothing changes
    assert store.getResolutionLevel() == 0
    with pytest.raises(Exception, match="Invalid resolution: 3"):
        store.setResolutionLevel(-1)
    store.close()


def test_reduced_pages_beside_the_full_ones(one, omero_conn, tmp_path):
    full = images.slope(64, 96)
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(full, photometric="minisblack", metadata=None)
        writer.write(full[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
    image = one(path)
    assert image.getSizeT() == 1
    store = omero_conn.c.sf.createRawPixelsStore()
    store.setPixelsId(image.getPixelsId(), True)
    assert store.getResolutionLevels() == 2
    store.setResolutionLevel(0)
    assert store.getPlane(0, 0, 0) == full[::2, ::2].tobytes()
    store.close()


def test_large_untiled_image_is_served_in_tiles(one, omero_conn, tmp_path):
    array = images.slope(3500, 4000)
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    image = one(path)
    assert image.requiresPixelsPyramid()
    assert image.getPrimaryPixels().sha1 == "Pending..."
    assert image.getChannels()[0].getWindowMax() == 250.0
    store = omero_conn.c.sf.createRawPixelsStore()
    store.setPixelsId(image.getPixelsId(), True)
    assert [(d.sizeX, d.sizeY) for d in store.getResolutionDescriptions()] == [
        (4000, 3500), (2000, 1750), (1000, 875), (500, 438), (250, 219), (125, 109)]  # fmt: skip
    assert list(store.getTileSize()) == [256, 256]
    assert store.getTile(0, 0, 0, 1, 2, 5, 3).hex() == "030405060704050607080506070809"
    assert store.calculateMessageDigest().hex() == "fbd563633c65af6a5c1d16f9a12b85a60b33eaed"
    with pytest.raises(omero.InternalException, match="UnsupportedOperationException"):
        store.getStack(0, 0)
    for level in range(5):
        store.setResolutionLevel(level)
        width, height = store.getRowSize(), store.getPlaneSize() // store.getRowSize()
        step = 2 ** (5 - level)
        expected = array[::step, ::step][:height, :width]
        np.testing.assert_array_equal(np.frombuffer(store.getPlane(0, 0, 0), "u1").reshape(height, width), expected)
    store.close()


def test_large_image_with_resolutions_is_not_read_by_the_import(one, omero_conn, tmp_path):
    array = images.slope(3000, 4096)
    path = tmp_path / "slide.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        options = {"tile": (256, 256), "photometric": "minisblack"}
        writer.write(array, subifds=1, metadata={"axes": "YX"}, **options)
        writer.write(array[::4, ::4], subfiletype=1, **options)
    image = one(path)
    assert image.getPrimaryPixels().sha1 == "Pending..."
    (channel,) = image.getChannels()
    assert (channel.getWindowStart(), channel.getWindowEnd()) == (0.0, 255.0)
    query = "select count(c.id) from Channel c where c.pixels.image.id = :id and c.statsInfo is null"
    assert images.rows(omero_conn, query, id=image.id) == [[1]]
    assert image.requiresPixelsPyramid()
    np.testing.assert_array_equal(
        image.getPrimaryPixels().getTile(0, 0, 0, (4000, 2900, 96, 100)), array[2900:3000, 4000:4096]
    )
