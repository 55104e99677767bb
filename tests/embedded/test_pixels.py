"""Pixels of images made through the API: RawPixelsStore and IPixels."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import omero
import pytest
from omero.rtypes import rint
from omero.sys import ParametersI

DTYPES = {"int8": ">i1", "uint8": ">u1", "int16": ">i2", "uint16": ">u2", "int32": ">i4", "uint32": ">u4",
          "float": ">f4", "double": ">f8"}  # fmt: skip


def new_image(conn, x=7, y=5, z=3, c=2, t=2, kind="uint16", name="made"):
    """An image without planes; answers ids of image and pixels."""
    sf = conn.c.sf
    pixels_type = sf.getQueryService().findByString("PixelsType", "value", kind)
    image = sf.getPixelsService().createImage(x, y, z, t, list(range(c)), pixels_type, name, "about").val
    return image, conn.getObject("Image", image).getPixelsId()


def opened(conn, pixels_id):
    store = conn.c.sf.createRawPixelsStore()
    store.setPixelsId(pixels_id, True)
    return store


@pytest.fixture
def filled(omero_conn):
    """Store of an image of random values, and these values as an array of axes TCZYX."""
    data = np.random.default_rng(5).integers(0, 60000, (2, 2, 3, 5, 7)).astype(">u2")
    _, pixels_id = new_image(omero_conn)
    store = opened(omero_conn, pixels_id)
    for t, c, z in np.ndindex(data.shape[:3]):
        store.setPlane(data[t, c, z].tobytes(), z, c, t)
    yield store, data
    store.close()


def test_what_is_written_is_read(filled):
    store, data = filled
    assert store.getPlane(2, 1, 0) == data[0, 1, 2].tobytes()
    assert store.getRow(3, 1, 0, 1) == data[1, 0, 1, 3].tobytes()
    assert store.getCol(4, 1, 0, 1) == data[1, 0, 1, :, 4].tobytes()
    assert store.getTile(1, 0, 1, 2, 1, 4, 3) == data[1, 0, 1, 1:4, 2:6].tobytes()
    assert store.getStack(1, 0) == data[0, 1].tobytes()
    assert store.getTimepoint(1) == data[1].tobytes()
    assert store.getRegion(11, 5) == data.tobytes()[5:16]
    assert store.getPlaneRegion(2, 0, 1, 6, 4) == data[1, 0, 2].tobytes()[8:20]
    assert store.calculateMessageDigest() == hashlib.sha1(data.tobytes()).digest()


@pytest.mark.parametrize(
    ("offset", "size", "step"),
    [
        ([0, 0, 0, 0, 0], [7, 5, 3, 2, 2], [1, 1, 1, 1, 1]),
        ([1, 0, 1, 0, 1], [5, 4, 2, 2, 1], [2, 3, 1, 1, 1]),
        ([6, 4, 2, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]),
        ([0, 0, 0, 0, 0], [7, 5, 3, 2, 2], [9, 9, 2, 2, 2]),
    ],
)
def test_hypercube(filled, offset, size, step):
    store, data = filled
    (x, y, z, c, t), (w, h, d, n, m) = offset, size
    expected = data[
        t : t + m : step[4], c : c + n : step[3], z : z + d : step[2], y : y + h : step[1], x : x + w : step[0]
    ]
    assert store.getHypercube(offset, size, step) == expected.tobytes()


def test_sizes_and_offsets(filled):
    store, data = filled
    sizes = (
        store.getRowSize(),
        store.getPlaneSize(),
        store.getStackSize(),
        store.getTimepointSize(),
        store.getTotalSize(),
    )
    assert sizes == (14, 70, 210, 420, 840)
    assert store.getByteWidth() == 2
    assert store.getPlaneOffset(2, 1, 1) == 70 * (2 + 3 * (1 + 2))
    assert store.getRowOffset(4, 2, 1, 1) == store.getPlaneOffset(2, 1, 1) + 4 * 14
    assert store.getStackOffset(1, 1) == store.getPlaneOffset(0, 1, 1)
    assert store.getTimepointOffset(1) == 420
    assert list(store.getTileSize()) == [7, 5]
    assert (store.getResolutionLevels(), store.getResolutionLevel(), store.requiresPixelsPyramid()) == (1, 0, False)


@pytest.mark.parametrize("kind", DTYPES)
def test_pixel_types(omero_conn, kind):
    dtype = np.dtype(DTYPES[kind])
    low, high = (-1e30, 1e30) if dtype.kind == "f" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    plane = np.array([[low, high, 0], [1, 2, 3]]).astype(dtype)
    _, pixels_id = new_image(omero_conn, 3, 2, 1, 1, 1, kind)
    store = opened(omero_conn, pixels_id)
    store.setPlane(plane.tobytes(), 0, 0, 0)
    assert store.getPlane(0, 0, 0) == plane.tobytes()
    assert (store.getByteWidth(), store.isFloat()) == (dtype.itemsize, dtype.kind == "f")
    assert store.isSigned() == (dtype.kind != "u")
    assert store.findMinMax([0]) == {0: [float(plane.min()), float(plane.max())]}
    store.close()


def test_rows_stacks_timepoints_and_regions_are_written(omero_conn):
    data = np.arange(2 * 2 * 3 * 5 * 7, dtype=">u2").reshape(2, 2, 3, 5, 7)
    _, pixels_id = new_image(omero_conn)
    store = opened(omero_conn, pixels_id)
    assert not any(store.getTimepoint(1))  # what was never written is zero
    store.setTimepoint(data[0].tobytes(), 0)
    store.setStack(data[1, 0].tobytes(), 0, 0, 1)
    store.setPlane(data[1, 1, 0].tobytes(), 0, 1, 1)
    for y in range(5):
        store.setRow(data[1, 1, 1, y].tobytes(), y, 1, 1, 1)
    store.setRegion(70, store.getPlaneOffset(2, 1, 1), data[1, 1, 2].tobytes())
    assert store.getTimepoint(0) + store.getTimepoint(1) == data.tobytes()
    store.close()


def test_digest_is_saved_by_close(omero_conn):
    image, pixels_id = new_image(omero_conn, 4, 3, 1, 1, 1, "uint8")
    sha1 = "select p.sha1 from Pixels p where p.id = :id"

    def stored():
        return omero_conn.getQueryService().projection(sha1, ParametersI().addId(pixels_id))[0][0].val

    store = opened(omero_conn, pixels_id)
    assert store.save() is None  # nothing was written
    store.setPlane(b"abcdefghijkl", 0, 0, 0)
    assert store.save().sha1.val == hashlib.sha1(b"abcdefghijkl").hexdigest()
    store.close()
    assert stored() == "Pending..."  # as recorded: save() alone does not reach the database
    store = opened(omero_conn, pixels_id)
    store.setPlane(b"ABCDEFGHIJKL", 0, 0, 0)
    store.close()
    assert stored() == hashlib.sha1(b"ABCDEFGHIJKL").hexdigest()


@pytest.mark.parametrize(
    ("call", "exception", "words"),
    [
        (lambda s: s.getPlane(3, 0, 0), omero.ApiUsageException, "Z '3' greater than sizeZ '3'."),
        (lambda s: s.getPlane(0, -1, 0), omero.ApiUsageException, "C '-1' greater than sizeC '2'."),
        (lambda s: s.getRow(5, 0, 0, 0), omero.ApiUsageException, "Y '5' greater than sizeY '5'."),
        (lambda s: s.getCol(7, 0, 0, 0), omero.InternalException, "IndexOutOfBounds"),
        (lambda s: s.getTile(0, 0, 0, 5, 0, 4, 2), omero.ApiUsageException, "X '8' greater than sizeX '7'."),
        (lambda s: s.getTile(0, 0, 0, 0, 4, 2, 2), omero.ApiUsageException, "Y '5' greater than sizeY '5'."),
        (lambda s: s.getTile(0, 0, 0, 0, 0, 0, 0), omero.ApiUsageException, "sizeX"),
        (lambda s: s.getHypercube([0] * 5, [8, 1, 1, 1, 1], [1] * 5), omero.InternalException, "DimensionsOutOfBounds"),
        (lambda s: s.getHypercube([0] * 5, [1] * 5, [0] * 5), omero.InternalException, "DimensionsOutOfBounds"),
        (lambda s: s.getHypercube([0], [1], [1]), omero.ApiUsageException, "five"),
        (lambda s: s.getRegion(100, 800), omero.InternalException, "IndexOutOfBounds"),
        (lambda s: s.getPlaneRegion(0, 0, 0, 3, 33), omero.InternalException, "IndexOutOfBounds"),
        (lambda s: s.setRegion(4, 839, b"1234"), omero.InternalException, "IndexOutOfBounds"),
        (lambda s: s.setPlane(b"12", 0, 0, 0), omero.ResourceError, "BufferUnderflow"),
        (lambda s: s.setPlane(bytes(71), 0, 0, 0), omero.ResourceError, "BufferOverflow"),
        (lambda s: s.setPlane(bytes(70), 0, 0, 2), omero.ApiUsageException, "T '2' greater than sizeT '2'."),
        (lambda s: s.setTile(bytes(8), 0, 0, 0, 0, 0, 2, 2), omero.InternalException, "UnsupportedOperation"),
        (lambda s: s.setResolutionLevel(0), omero.InternalException, "UnsupportedOperation"),
    ],
)
def test_wrong_calls(filled, call, exception, words):
    store, data = filled
    with pytest.raises(exception) as caught:
        call(store)
    assert words in caught.value.message
    assert store.getPlane(0, 0, 0) == data[0, 0, 0].tobytes()


def test_store_without_an_image(omero_conn):
    store = omero_conn.c.sf.createRawPixelsStore()
    with pytest.raises(omero.ApiUsageException, match="not been properly initialized"):
        store.getPlane(0, 0, 0)
    with pytest.raises(omero.ValidationException, match="Cannot read pixels id=99999999"):
        store.setPixelsId(99999999, True)
    store.close()


def test_rights(make_user, connect):
    owner = make_user("pixel readers", "rwr---")
    member = make_user("pixel readers")
    stranger = make_user()
    _, pixels_id = new_image(connect(owner), 4, 3, 1, 1, 1, "uint8")
    store = opened(connect(member), pixels_id)
    assert store.getPlane(0, 0, 0) == bytes(12)
    with pytest.raises(omero.SecurityViolation, match="Updating ome.model.core.Pixels"):
        store.setPlane(b"123456789012", 0, 0, 0)
    with pytest.raises(omero.SecurityViolation):
        connect(member).c.sf.getPixelsService().setChannelGlobalMinMax(pixels_id, 0, 1.0, 2.0)
    with pytest.raises(omero.ValidationException, match="Cannot read pixels"):
        opened(connect(stranger), pixels_id)
    store.close()


def test_lost_planes(omero_server, omero_conn):
    _, pixels_id = new_image(omero_conn, 4, 3, 1, 1, 1, "uint8")
    path = omero_server.core.data_dir / "Pixels" / str(pixels_id)
    store = opened(omero_conn, pixels_id)
    store.setPlane(b"abcdefghijkl", 0, 0, 0)
    store.close()
    path.write_bytes(b"abcdef")
    with pytest.raises(omero.ResourceError, match="Error instantiating pixel buffer"):
        opened(omero_conn, pixels_id)
    path.unlink()
    with pytest.raises(omero.ResourceError, match="Error instantiating pixel buffer"):
        opened(omero_conn, pixels_id)
    assert not path.exists()  # what was lost does not come back as zeros


def test_planes_lost_while_they_are_read(omero_server, filled):
    store, _ = filled
    path = omero_server.core.data_dir / "Pixels" / str(store.getPixelsId())
    path.write_bytes(b"")
    with pytest.raises(omero.ResourceError, match="ends early"):
        store.getPlane(1, 1, 1)
    path.write_bytes(bytes(840))


def test_new_images_take_no_room(omero_server, omero_conn):
    _, pixels_id = new_image(omero_conn, 3000, 3000, 50, 4, 1)
    store = opened(omero_conn, pixels_id)
    assert store.getTotalSize() == 3_600_000_000
    assert store.getRow(2999, 49, 3, 0) == bytes(6000)
    path = omero_server.core.data_dir / "Pixels" / str(pixels_id)
    assert path.stat().st_size == 3_600_000_000
    assert path.stat().st_blocks * 512 < 1 << 20
    with pytest.raises(omero.clients.Ice.UnknownLocalException):  # more than a message may hold
        store.getStack(0, 0)
    store.close()


def test_large_images_are_written_in_tiles(omero_conn):
    _, pixels_id = new_image(omero_conn, 4000, 3000, 1, 1, 1, "uint8")
    store = opened(omero_conn, pixels_id)
    assert store.requiresPixelsPyramid()
    assert list(store.getTileSize()) == [256, 256]
    with pytest.raises(omero.InternalException, match="UnsupportedOperation"):
        store.setPlane(bytes(12_000_000), 0, 0, 0)
    tile = np.arange(256 * 100, dtype="u1").reshape(100, 256)
    store.setTile(tile.tobytes(), 0, 0, 0, 3744, 2900, 256, 100)
    assert store.getTile(0, 0, 0, 3744, 2900, 256, 100) == tile.tobytes()
    assert not any(store.getTile(0, 0, 0, 0, 2900, 256, 100))
    with pytest.raises(omero.ResourceError, match="BufferUnderflow"):
        store.setTile(b"1", 0, 0, 0, 0, 0, 2, 2)
    store.setResolutionLevel(4)
    assert store.getTile(0, 0, 0, 1872, 1450, 128, 50) == tile[::2, ::2].tobytes()
    store.close()


def test_histogram(filled):
    store, data = filled
    counts = store.getHistogram([0, 1], 8, False, omero.romio.PlaneDef(0, 0, 0, 2, 1, None, 0))
    for c in (0, 1):
        expected, _ = np.histogram(data[1, c, 2], 8)
        assert list(counts[c]) == expected.tolist()
    region = omero.romio.RegionDef(1, 2, 3, 2)
    counts = store.getHistogram([1], 4, False, omero.romio.PlaneDef(0, 0, 0, 0, 0, region, 0))
    assert list(counts[1]) == np.histogram(data[0, 1, 0, 2:4, 1:4], 4)[0].tolist()


def test_histogram_between_the_limits_of_the_channel(omero_conn):
    _, pixels_id = new_image(omero_conn, 4, 1, 1, 1, 1, "uint8")
    omero_conn.c.sf.getPixelsService().setChannelGlobalMinMax(pixels_id, 0, 0.0, 100.0)
    store = opened(omero_conn, pixels_id)
    store.setPlane(bytes([0, 10, 60, 100]), 0, 0, 0)
    plane = omero.romio.PlaneDef(0, 0, 0, 0, 0, None, 0)
    assert list(store.getHistogram([0], 10, True, plane)[0]) == [1, 1, 0, 0, 0, 0, 1, 0, 0, 1]
    store.close()


def test_many_readers_and_a_writer(omero_server, omero_user, connect, filled):
    store, data = filled
    pixels_id = store.getPixelsId()
    problems = []

    def read(number):
        try:
            mine = opened(connect(omero_user), pixels_id)
            for n in range(40):
                t, c, z = np.unravel_index((n + number) % 12, (2, 2, 3))
                if mine.getPlane(int(z), int(c), int(t)) != data[t, c, z].tobytes():
                    problems.append((number, n))
            mine.close()
        except Exception as exc:
            problems.append(exc)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for n in range(40):
        store.setPlane(data[0, 0, n % 3].tobytes(), n % 3, 0, 0)
    for thread in threads:
        thread.join()
    assert problems == []


# -- IPixels


def test_copy_and_resize(omero_conn):
    service = omero_conn.c.sf.getPixelsService()
    source, pixels_id = new_image(omero_conn, name="source")
    service.setChannelGlobalMinMax(pixels_id, 1, 5.0, 6.0)
    image = omero_conn.getObject("Image", source)
    pixels = image.getPrimaryPixels()._obj
    pixels.physicalSizeX = omero.model.LengthI(0.5, omero.model.enums.UnitsLength.NANOMETER)
    omero_conn.getUpdateService().saveObject(pixels)
    copied = service.copyAndResizeImage(source, rint(9), None, rint(1), None, [1], "", True).val
    copy = omero_conn.getObject("Image", copied)
    assert copy.getName() == "sourcecopy"
    sizes = copy.getSizeX(), copy.getSizeY(), copy.getSizeZ(), copy.getSizeC(), copy.getSizeT()
    assert sizes == (9, 5, 1, 1, 2)
    assert copy.getPixelSizeX(units=True).getUnit() == omero.model.enums.UnitsLength.NANOMETER
    assert (copy.getChannels()[0].getWindowMin(), copy.getChannels()[0].getWindowMax()) == (5.0, 6.0)
    more = service.copyAndResizePixels(pixels_id, None, None, None, None, [0, 1], "maximum", False).val
    query = "select p.image.id, p.relatedTo.id, p.methodology from Pixels p where p.id = :id"
    (row,) = omero_conn.getQueryService().projection(query, ParametersI().addId(more))
    assert [v.val for v in row] == [source, pixels_id, "maximum"]
    for channels, sizes, words in (
        ([], None, "must be filled"),
        ([7], None, "out of bounds"),
        ([0], rint(0), "positive"),
    ):
        with pytest.raises((omero.ValidationException, omero.ApiUsageException), match=words):
            service.copyAndResizeImage(source, sizes, None, None, None, channels, "x", False)


def test_enumerations(omero_conn):
    service = omero_conn.c.sf.getPixelsService()
    assert service.getBitDepth(service.getEnumeration("PixelsType", "double")) == 64
    assert service.getEnumeration("ome.model.enums.Family", "linear").value.val == "linear"
    assert service.getEnumeration("PixelsType", "nope") is None
    assert len(service.getAllEnumerations("Family")) == 4
    for wrong in ("Image", "Nope", ""):
        with pytest.raises(omero.ApiUsageException):
            service.getAllEnumerations(wrong)


def test_gateway_makes_images(omero_conn):
    planes = [np.full((4, 6), n, "i2") for n in range(-3, 3)]
    image = omero_conn.createImageFromNumpySeq(iter(planes), "from numpy", sizeZ=3, sizeC=2, description="d")
    image = omero_conn.getObject("Image", image.id)
    assert (image.getSizeZ(), image.getSizeC(), image.getSizeT(), image.getPixelsType()) == (3, 2, 1, "int16")
    for z in range(3):
        for c in range(2):
            np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(z, c, 0), planes[2 * z + c])
    # Planes come outside in: Z, then C.
    assert [(c.getWindowMin(), c.getWindowMax()) for c in image.getChannels()] == [(-3.0, 1.0), (-2.0, 2.0)]
    assert (
        image.getPrimaryPixels().sha1
        == hashlib.sha1(
            b"".join(planes[2 * z + c].astype(">i2").tobytes() for c in range(2) for z in range(3))
        ).hexdigest()
    )
