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
    "OME, sparse": ((2, 64, 64), "ZYX", {"metadata": {"axes": "ZYX"}, "ome": True, "tile": (32, 32), "sparse": True}),
    "OME, big-endian": ((2, 50, 40), "TYX", {"metadata": {"axes": "TYX"}, "ome": True, "byteorder": ">"}),
    "ImageJ": ((2, 3, 2, 50, 40), "TZCYX", {"imagej": True}),
    "plain pages": ((5, 50, 40), "TYX", {"metadata": None, "photometric": "minisblack"}),
    "plain, one page": ((50, 40), "YX", {"metadata": None}),
}


@pytest.mark.parametrize(("shape", "axes", "options"), FORMS.values(), ids=FORMS)
def test_files_are_read_directly(conn, import_tiff, voxels, shape, axes, options):
    array = voxels(*shape)
    options = dict(options)
    name = "image.ome.tif" if options.pop("ome", False) else "image.tif"
    source = array
    if options.pop("sparse", False):
        array[:, 32:] = 0
        tiles = [array[z, y : y + 32, x : x + 32] for z in (0, 1) for y in (0, 32) for x in (0, 32)]
        source = iter([tile if tile.any() else None for tile in tiles])
        options |= {"shape": shape, "dtype": array.dtype, "compression": "zlib"}
    pixels = open_pixels(conn, import_tiff(source, name, **options))
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
def test_all_pixel_types_through_the_api(make_image, conn, voxels, kind, dtype):
    array = voxels(2, 2, 3, 20, 30).astype(dtype) - np.dtype(dtype).type(100 if dtype[0] in "if" else 0)
    image = make_image(array)
    assert image.getPixelsType() == kind
    pixels = open_pixels(conn, image)
    assert pixels.source == "the OMERO API, because the image was not imported from a file"
    assert pixels.dtype.newbyteorder("=") == array.dtype
    assert np.array_equal(read_all(pixels), array)
    pixels.close()


def test_bits(omero_conn, conn):
    kind = conn.getQueryService().findByQuery("from PixelsType p where p.value = 'bit'", None)
    number = omero_conn.getPixelsService().createImage(20, 10, 1, 1, [0], kind, "bits", "").val
    image = conn.getObject("Image", number)
    mask = (np.arange(200) % 3 == 0).reshape(10, 20)
    store = omero_conn.c.sf.createRawPixelsStore()
    store.setPixelsId(image.getPixelsId(), False)
    size = store.getPlaneSize()
    store.setPlane((np.packbits(mask) if size == 25 else mask.astype("u1")).tobytes(), 0, 0, 0)
    store.close()
    pixels = open_pixels(conn, image)
    assert np.array_equal(read_all(pixels)[0, 0, 0], mask)
    pixels.close()


def test_large_planes_are_read_in_tiles(make_image, conn, voxels, monkeypatch):
    monkeypatch.setattr(raw_pixels, "PIECE_BYTES", 1000)
    array = voxels(1, 1, 2, 50, 45)
    pixels = open_pixels(conn, make_image(array))
    assert np.array_equal(read_all(pixels), array)
    pixels.close()


def through_api(conn, image, settings=None):
    """The reason why an image is read through the API, and its voxels."""
    pixels = open_pixels(conn, image, settings)
    try:
        assert pixels.source.startswith("the OMERO API, because ")
        return pixels.source.removeprefix("the OMERO API, because "), read_all(pixels)
    finally:
        pixels.close()


@pytest.fixture
def ome(import_tiff, voxels):
    """An imported OME-TIFF of 3 time points and 4 sections, and its voxels."""
    array = voxels(3, 4, 50, 40)
    return import_tiff(array, "image.ome.tif", metadata={"axes": "TZYX"}), in_order(array, "TZYX")


@pytest.fixture
def elsewhere(omero_server, tmp_path):
    """Settings by which this machine sees the repository in another folder, and that folder."""
    folder = tmp_path / "mounted"
    return Settings(path_map={str(omero_server.core.repositories.managed): folder}), folder


def mounted(folder, stored, omero_server):
    """Where the file of an image is expected below another folder."""
    path = folder / stored.relative_to(omero_server.core.repositories.managed)
    path.parent.mkdir(parents=True)
    return path


def test_a_file_seen_elsewhere(conn, ome, elsewhere, stored_file, omero_server):
    image, array = ome
    settings, folder = elsewhere
    shutil.copy(stored_file(image), mounted(folder, stored_file(image), omero_server))
    pixels = open_pixels(conn, image, settings)
    assert pixels.source == FROM_FILE
    assert np.array_equal(read_all(pixels), array)
    pixels.close()


def test_planes_larger_than_a_message(conn, import_tiff, elsewhere):
    """64 MB is what the server's templates allow for a message."""
    array = np.zeros((8200, 8200), "u1")
    array[::1000, ::900] = 7
    image = import_tiff(array, metadata=None, tile=(512, 512), compression="zlib")
    pixels = open_pixels(conn, image, elsewhere[0])
    assert pixels.source.startswith("the OMERO API")
    assert np.array_equal(pixels.read(0, 0, 0, 1, 1, 8200)[0], array[1:])
    pixels.close()


def spoil_nothing(path, stored):
    """The file is not there."""


def spoil_end(path, stored):
    path.write_bytes(stored.read_bytes()[:-3000])


def spoil_header(path, stored):
    path.write_bytes(b"not a TIFF" + stored.read_bytes())


def spoil_voxels(path, stored):
    array = tifffile.imread(stored)
    array[-1, -1, array.shape[2] // 2] += 1
    tifffile.imwrite(path, array, metadata={"axes": "TZYX"})


def spoil_order(path, stored):
    tifffile.imwrite(path, tifffile.imread(stored).swapaxes(0, 1), metadata={"axes": "ZTYX"})
    path.write_bytes(path.read_bytes().replace(b"XYCTZ", b"XYCZT"))


def spoil_size(path, stored):
    tifffile.imwrite(path, tifffile.imread(stored)[:, :, :-1], metadata={"axes": "TZYX"})


def spoil_type(path, stored):
    tifffile.imwrite(path, tifffile.imread(stored).astype("f4"), metadata={"axes": "TZYX"})


def spoil_axes(path, stored):
    tifffile.imwrite(path, tifffile.imread(stored), metadata={"axes": "CZYX"})


def spoil_planes(path, stored):
    """The description tells of more planes than there are."""
    tifffile.imwrite(path, tifffile.imread(stored)[:2], metadata={"axes": "TZYX"})
    path.write_bytes(
        path.read_bytes().replace(b'SizeT="2"', b'SizeT="3"').replace(b'PlaneCount="8"', b'PlaneCount="9"')
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (spoil_nothing, "the file image.ome.tif is not to be found on this machine"),
        (spoil_end, "the file holds 1 × 1 × 1 × 50 × 40 voxels (T × C × Z × Y × X), the image 3 × 1 × 4 × 50 × 40"),
        (spoil_header, "not a TIFF file"),
        (spoil_voxels, "the file holds other voxels than OMERO shows at T3 C1 Z4"),
        (spoil_order, "the file holds other voxels than OMERO shows at T1 C1 Z2"),
        (spoil_size, "the file holds 3 × 1 × 4 × 49 × 40 voxels"),
        (spoil_type, "the file holds float32, the image uint16"),
        (spoil_axes, "the file holds 1 × 3 × 4 × 50 × 40 voxels"),
        (spoil_planes, "the file image.ome.tif cannot be exported: 4 of 12 planes are missing"),
    ],
)
def test_a_file_that_is_not_right(conn, ome, elsewhere, stored_file, omero_server, spoil, reason):
    image, array = ome
    settings, folder = elsewhere
    spoil(mounted(folder, stored_file(image), omero_server), stored_file(image))
    said, found = through_api(conn, image, settings)
    assert said.startswith(reason)
    assert np.array_equal(found, array)


def test_a_file_that_may_not_be_read(conn, ome, monkeypatch):
    image, array = ome
    monkeypatch.setattr("os.access", lambda path, mode: False)  # to root every file is readable
    said, found = through_api(conn, image)
    assert said == "the file image.ome.tif may not be read on this machine"
    assert np.array_equal(found, array)


def test_a_file_that_breaks_later(conn, ome, elsewhere, stored_file, omero_server):
    image, array = ome
    settings, folder = elsewhere
    path = mounted(folder, stored_file(image), omero_server)
    shutil.copy(stored_file(image), path)
    pixels = open_pixels(conn, image, settings)
    assert np.array_equal(pixels.read(0, 0, 0, 4, 0, 50), array[0, 0])
    with path.open("r+b") as file:
        file.truncate(5000)
    assert np.array_equal(pixels.read(2, 0, 0, 4, 0, 50), array[2, 0])
    assert pixels.source.startswith("the OMERO API, because the file cannot be read at T3 C1 Z1 to Z4 (")
    pixels.close()


def test_files_named_in_the_metadata_must_belong_to_the_image(
    conn, ome, elsewhere, stored_file, omero_server, tmp_path
):
    """Else one could have the server read the files of other people."""
    image, array = ome
    settings, folder = elsewhere
    path = mounted(folder, stored_file(image), omero_server)
    shutil.copy(stored_file(image), path)
    foreign = tmp_path / "foreign.ome.tif"
    shutil.copy(path, foreign)
    xml = tifffile.tiffcomment(path)
    uuid = "urn:uuid:11111111-2222-3333-4444-555555555555"
    there = f'<TiffData IFD="0" PlaneCount="12"><UUID FileName="{foreign}">{uuid}</UUID></TiffData>'
    begin, end = xml.index("<TiffData"), xml.index("</Pixels>")
    description = (xml[:begin] + there + xml[end:]).encode()
    tifffile.imwrite(path, array[0, 0], metadata=None, description=description, photometric="minisblack")
    said, found = through_api(conn, image, settings)
    assert said == "the file refers to files that do not belong to the image"
    assert np.array_equal(found, array)


def test_files_that_may_not_be_downloaded(omero_server, omero_user, conn, tmp_path, voxels):
    """Those of plates, as servers are set up."""
    tifffile.imwrite(tmp_path / "a.tif", voxels(50, 40))
    plate = omero_server.import_plate({"A01": [[tmp_path / "a.tif"]]}, user=omero_user.name)
    said, found = through_api(conn, conn.getObject("Image", plate.image_ids[0]))
    assert said == "downloading its file is restricted"
    assert np.array_equal(found[0, 0, 0], voxels(50, 40))


def test_channels_interleaved_in_the_file(conn, import_tiff, voxels):
    array = voxels(50, 40, 3, dtype="u1")
    pixels = open_pixels(conn, import_tiff(array, photometric="rgb"))
    assert pixels.source == FROM_FILE
    assert np.array_equal(read_all(pixels)[0, :, 0], array.transpose(2, 0, 1))
    pixels.close()


def test_an_image_without_planes(conn, omero_server, make_image, voxels):
    """Made through the API; its file has gone."""
    image = make_image(voxels(1, 1, 1, 20, 30))
    record = omero_server.core.store.get("Pixels", image.getPixelsId())
    Path(omero_server.core.repositories.pixels_path(record)).unlink()
    with pytest.raises(OmeroError, match="the server has no pixels for it"):
        open_pixels(conn, image)
