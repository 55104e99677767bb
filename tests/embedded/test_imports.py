"""Imports: what they leave in the database and on disk, compared with what a server left."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from omero.rtypes import unwrap
from omero.sys import ParametersI

from embedded_omero.imports import ImportFailed

from . import images

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def importer(omero_server, omero_user):
    """Function which imports as the test's user."""

    def run(paths, **options):
        return omero_server.import_files(paths, user=omero_user.name, **options)

    return run


@pytest.fixture
def one(importer, omero_conn):
    """Function which imports one image and answers its wrapper."""

    def run(path, **options):
        (result,) = importer(path, **options)
        return omero_conn.getObject("Image", result.image_ids[0])

    return run


def rows(conn, query, **values):
    params = ParametersI()
    for name, value in values.items():
        params.addLong(name, value) if isinstance(value, int) else params.addString(name, value)
    return unwrap(conn.getQueryService().projection(query, params, {"omero.group": "-1", **_context(conn)}))


def _context(conn):
    return dict(conn.c.getImplicitContext().getContext())


def fetch(conn, query, id):
    return conn.getQueryService().findByQuery(query, ParametersI().addId(id))


# -- one image


def test_five_d(one, tmp_path):
    path, data = images.five_d(tmp_path)
    image = one(path)
    assert image.getName() == "five d.ome.tif"  # one image: the name of the file, whatever the metadata say
    assert image.getDescription() == "a description"
    assert image.series == 0
    assert image._obj.archived is None and image._obj.partial is None and image._obj.acquisitionDate is None
    pixels = image.getPrimaryPixels()
    assert [f() for f in (pixels.getSizeX, pixels.getSizeY, pixels.getSizeZ, pixels.getSizeC, pixels.getSizeT)] == [
        50, 40, 3, 2, 2]  # fmt: skip
    sizes = [getattr(pixels._obj, "physicalSize" + axis) for axis in "XYZ"]
    assert [(s.getValue(), str(s.getUnit())) for s in sizes] == [
        (0.25, "MICROMETER"), (0.5, "MICROMETER"), (1500.0, "NANOMETER")]  # fmt: skip
    assert (pixels._obj.timeIncrement.getValue(), str(pixels._obj.timeIncrement.getUnit())) == (2.0, "SECOND")
    assert pixels.significantBits == 16
    assert pixels._obj.methodology is None
    # The recorded digest of this very image: values in the byte order of the file.
    assert pixels.sha1 == "8a1ccd26cee81d442d2e4bad6005569246cdadf3" == images.sha1(data)
    for z, c, t in ((0, 0, 0), (2, 1, 0), (1, 0, 1)):
        np.testing.assert_array_equal(pixels.getPlane(z, c, t), data[t, c, z])


def test_channels_of_five_d(one, omero_conn, tmp_path):
    image = one(images.five_d(tmp_path)[0])
    channels = image.getChannels()
    assert [c.getLabel() for c in channels] == ["DAPI", "GFP"]
    assert [c.getEmissionWave() for c in channels] == [461.5, 509.0]
    assert [c.getColor().getHtml() for c in channels] == ["0000FF", "00FF00"]
    assert [c.getColor().getAlpha() for c in channels] == [255, 255]
    assert [(c.getWindowMin(), c.getWindowMax(), c.getWindowStart(), c.getWindowEnd()) for c in channels] == [
        (0.0, 17999.0, 0.0, 17999.0), (6000.0, 23999.0, 6000.0, 23999.0)]  # fmt: skip
    query = (
        "select l.samplesPerPixel, p.value from Channel c join c.logicalChannel l join l.photometricInterpretation p "
        "where c.pixels.image.id = :id"
    )
    assert rows(omero_conn, query, id=image.id) == [[1, "Monochrome"]] * 2


def test_settings_and_thumbnail_exist_after_an_import(one, omero_conn, tmp_path):
    image = one(images.five_d(tmp_path)[0])
    query = "select r.defaultZ, r.defaultT, r.model.value from RenderingDef r where r.pixels.image.id = :id"
    assert rows(omero_conn, query, id=image.id) == [[1, 0, "rgb"]]
    query = "select t.sizeX, t.sizeY, t.mimeType from Thumbnail t where t.pixels.image.id = :id"
    assert rows(omero_conn, query, id=image.id) == [[96, 76, "image/jpeg"]]
    query = "select f.value from Image i join i.format f where i.id = :id"
    assert rows(omero_conn, query, id=image.id) == [["OMETiff"]]


def test_time_points_of_a_plain_tiff(one, tmp_path):
    data = (np.arange(2400) % 256).astype("u1").reshape(4, 30, 20)
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, data, photometric="minisblack", resolution=(10000, 10000), resolutionunit="CENTIMETER")
    image = one(path)
    assert (image.getSizeZ(), image.getSizeC(), image.getSizeT()) == (1, 1, 4)
    assert image.getDescription() == '{"shape": [4, 30, 20]}'
    assert image.getPixelSizeX(units=True).getValue() == 1.0
    assert image.getPixelSizeZ() is None
    assert image.getPrimaryPixels().sha1 == "ea73b46777b7d9ab0064e63b9b2428e55bcdbfc7"
    (channel,) = image.getChannels()
    assert (channel.getName(), channel.getLabel(), channel.getColor().getHtml()) == (None, "0", "808080")
    assert image.isGreyscaleRenderingModel()
    np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, 0, 3), data[3])


def test_rgb_becomes_three_channels(one, omero_conn, tmp_path):
    data = (np.arange(1800) % 256).astype("u1").reshape(20, 30, 3)
    path = tmp_path / "rgb.tif"
    tifffile.imwrite(path, data, photometric="rgb")
    image = one(path)
    assert (image.getSizeX(), image.getSizeY(), image.getSizeC()) == (30, 20, 3)
    assert [c.getColor().getHtml() for c in image.getChannels()] == ["FF0000", "00FF00", "0000FF"]
    pixels = image.getPrimaryPixels()
    assert pixels.sha1 == "33760319926fbf37cff915fc365e5a457017ba1a"
    np.testing.assert_array_equal(pixels.getPlane(0, 2, 0), data[..., 2])
    query = "select f.value from Image i join i.format f where i.id = :id"
    assert rows(omero_conn, query, id=image.id) == [["TiffDelegate"]]


def test_imagej_hyperstack(one, tmp_path):
    stack = (np.arange(2400) % 256).astype("<u2").reshape(4, 30, 20)
    path = tmp_path / "ij.tif"
    tifffile.imwrite(path, stack, imagej=True, byteorder="<", resolution=(4, 4),
                     metadata={"axes": "ZYX", "spacing": 2.5, "unit": "um"})  # fmt: skip
    image = one(path)
    assert (image.getSizeZ(), image.getSizeC(), image.getSizeT()) == (4, 1, 1)
    assert [image.getPixelSizeX(), image.getPixelSizeY(), image.getPixelSizeZ()] == [0.25, 0.25, 2.5]
    assert image.getDescription() == ""
    assert image.getPrimaryPixels().sha1 == "d835ee1fff42c5381da8d30453fba07fb3d146b9"
    data = np.arange(2 * 3 * 4 * 5 * 6, dtype="u2").reshape(2, 3, 4, 5, 6)
    tifffile.imwrite(path.with_name("tzc.tif"), data, imagej=True, metadata={"axes": "TZCYX", "finterval": 30.0})
    image = one(path.with_name("tzc.tif"))
    assert (image.getSizeT(), image.getSizeZ(), image.getSizeC()) == (2, 3, 4)
    assert image.getPrimaryPixels().getTimeIncrement().getValue() == 30.0
    np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(2, 1, 1), data[1, 2, 1])


def test_large_imagej_file_with_one_page(one, tmp_path):
    """ImageJ describes only the first plane of files beyond 4 GB; the others follow it."""
    data = np.arange(3 * 20 * 30, dtype=">u2").reshape(3, 20, 30)
    path = tmp_path / "long.tif"
    says = "ImageJ=1.53t\nimages=3\nslices=3\nunit=micron\nspacing=2.0\n"
    tifffile.imwrite(path, data[0], byteorder=">", photometric="minisblack", description=says, metadata=None)
    with path.open("r+b") as file, tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert page.dataoffsets[0] + page.nbytes == path.stat().st_size  # the pixels are the last thing in the file
        file.seek(0, 2)
        file.write(data[1:].tobytes())
    pixels = one(path).getPrimaryPixels()
    assert pixels.getSizeZ() == 3
    for z in range(3):
        np.testing.assert_array_equal(pixels.getPlane(z, 0, 0), data[z])


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "rowsperstrip": 7},
        {"tile": (16, 32), "byteorder": ">"},
        {"byteorder": ">", "rowsperstrip": 5},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_ways_to_store_a_page(one, tmp_path, options):
    data = np.arange(2 * 50 * 70, dtype="u2").reshape(2, 50, 70) * 7
    path = tmp_path / "stored.tif"
    tifffile.imwrite(path, data, photometric="minisblack", **options)
    pixels = one(path).getPrimaryPixels()
    for t in range(2):
        np.testing.assert_array_equal(pixels.getPlane(0, 0, t), data[t])
        np.testing.assert_array_equal(pixels.getTile(0, 0, t, (13, 9, 40, 33)), data[t, 9:42, 13:53])
    assert pixels.sha1 == images.sha1(data.astype(options.get("byteorder", "<") + "u2"))


@pytest.mark.parametrize(
    ("dtype", "omero_type"),
    [("i1", "int8"), ("i2", "int16"), ("u4", "uint32"), ("i4", "int32"), ("f4", "float"), ("f8", "double")],
)
def test_pixel_types(one, tmp_path, dtype, omero_type):
    data = (np.arange(600).reshape(20, 30) - 300).astype(dtype)
    path = tmp_path / "typed.tif"
    tifffile.imwrite(path, data, photometric="minisblack")
    image = one(path)
    assert image.getPixelsType() == omero_type
    plane = image.getPrimaryPixels().getPlane(0, 0, 0)
    np.testing.assert_array_equal(plane, data)
    assert (image.getChannels()[0].getWindowMin(), image.getChannels()[0].getWindowMax()) == (data.min(), data.max())


def test_separate_samples(one, tmp_path):
    data = np.arange(3 * 20 * 30, dtype="u2").reshape(3, 20, 30)
    for options in ({}, {"compression": "zlib"}):
        path = tmp_path / f"planar{len(options)}.tif"
        tifffile.imwrite(path, data, photometric="rgb", planarconfig="separate", **options)
        pixels = one(path).getPrimaryPixels()
        for c in range(3):
            np.testing.assert_array_equal(pixels.getPlane(0, c, 0), data[c])


def test_one_bit_pixels_become_bytes(one, tmp_path):
    data = np.zeros((8, 16), bool)
    data[2:5, 3:9] = True
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, data, photometric="minisblack")
    image = one(path)
    assert image.getPixelsType() == "uint8"
    np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, 0, 0), data)


def test_metadata_of_planes_and_stage(one, omero_conn, tmp_path):
    more = (
        "<AcquisitionDate>2024-02-28T13:45:30.5</AcquisitionDate><Description>seen</Description>"
        '<ImagingEnvironment Temperature="37.5" Humidity="0.4" CO2Percent="0.05"/>'
        '<StageLabel Name="here" X="1.5" XUnit="mm" Y="2.5" YUnit="mm"/>'
    )
    data = (
        '<Channel ID="Channel:0" SamplesPerPixel="1" Name="c" ExcitationWavelength="488" AcquisitionMode="TIRF" PinholeSize="50"/>'
        '<TiffData IFD="0" PlaneCount="1"/>'
        '<Plane TheZ="0" TheC="0" TheT="0" DeltaT="0.1" ExposureTime="12" ExposureTimeUnit="ms" PositionX="3"/>'
    )
    path = tmp_path / "said.ome.tif"
    text = images.ome_xml(images.ome_image(0, data, more=more))
    tifffile.imwrite(path, images.slope(6, 8), photometric="minisblack", description=text.encode(), metadata=None)
    image = one(path)
    assert image.getDescription() == "seen"
    assert image.getAcquisitionDate().timestamp() == 1709127930.5
    found = fetch(
        omero_conn,
        "select p from Pixels p join fetch p.planeInfo join fetch p.channels c join fetch c.logicalChannel l left outer "
        "join fetch l.mode join fetch p.image i join fetch i.stageLabel join fetch i.imagingEnvironment where i.id = :id",
        image.id,
    )
    (plane,) = found.copyPlaneInfo()
    assert (plane.deltaT.getValue(), str(plane.deltaT.getUnit())) == (0.1, "SECOND")
    assert (plane.exposureTime.getValue(), str(plane.exposureTime.getUnit())) == (12.0, "MILLISECOND")
    assert str(plane.positionX.getUnit()) == "REFERENCEFRAME"
    logical = found.getChannel(0).logicalChannel
    assert (logical.excitationWave.getValue(), logical.mode.value.val) == (488.0, "TIRF")
    assert str(logical.pinHoleSize.getUnit()) == "MICROMETER"
    stage, environment = found.image.stageLabel, found.image.imagingEnvironment
    assert (stage.name.val, stage.positionX.getValue(), str(stage.positionX.getUnit())) == ("here", 1.5, "MILLIMETER")
    assert (environment.temperature.getValue(), environment.co2percent.val) == (37.5, 0.05)


def test_colours_from_emission_and_what_the_file_lacks(one, tmp_path):
    channels = (
        '<Channel ID="Channel:0" SamplesPerPixel="1" EmissionWavelength="650"/>'
        '<Channel ID="Channel:1" SamplesPerPixel="1"/>'
        '<TiffData FirstC="0" IFD="0"/>'
    )
    path = tmp_path / "missing.ome.tif"
    text = images.ome_xml(images.ome_image(0, channels, sizes="8 6 1 2 1"))
    tifffile.imwrite(path, images.slope(6, 8) + 1, photometric="minisblack", description=text.encode(), metadata=None)
    image = one(path)
    assert [c.getColor().getHtml() for c in image.getChannels()] == ["FF0000", "FFFFFF"]
    # The file has no plane of the second channel: it is black.
    assert not image.getPrimaryPixels().getPlane(0, 1, 0).any()
    assert image.getPrimaryPixels().getPlane(0, 0, 0).all()


# -- several images in one file


def test_names_and_series_of_several_images(importer, omero_conn, tmp_path):
    path, arrays = images.three(tmp_path)
    (result,) = importer(path)
    assert result.image_ids == sorted(result.image_ids)
    found = [omero_conn.getObject("Image", i) for i in result.image_ids]
    assert [i.getName() for i in found] == [f"three.ome.tiff [{n}]" for n in ("zeta", "alpha", "Image2")]
    assert [i.series for i in found] == [0, 1, 2]
    assert [i.getPrimaryPixels().sha1 for i in found] == [
        "650c31fb21415cf33eb0ca1159d086e90e17f92f",
        "d74111b851850014f464ff3523ceec8d325936a1",
        "0ac28084ff74933d05123496dafd3791684d9b53",
    ]
    for image, array in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(1, 0, 0), array[1])
    assert len({i.getFileset().id for i in found}) == 1


def test_given_name_and_description(importer, omero_conn, tmp_path):
    (result,) = importer(images.three(tmp_path)[0], name="My Name", description="My Desc")
    found = [omero_conn.getObject("Image", i) for i in result.image_ids]
    assert [i.getName() for i in found] == ["My Name [zeta]", "My Name [alpha]", "My Name [Image2]"]
    assert {i.getDescription() for i in found} == {"My Desc"}


def test_pages_of_different_size_are_different_images(importer, omero_conn, tmp_path):
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        for shape in ((10, 12), (10, 12), (6, 8)):
            writer.write(images.slope(*shape), photometric="minisblack", metadata=None)
    (result,) = importer(path)
    found = [omero_conn.getObject("Image", i) for i in result.image_ids]
    assert [(i.getName(), i.getSizeX(), i.getSizeT()) for i in found] == [
        ("mixed.tif [0]", 12, 2),
        ("mixed.tif [1]", 8, 1),
    ]


def test_image_in_several_files(importer, omero_conn, tmp_path):
    planes = [images.slope(6, 8) + n for n in range(2)]
    data = "".join(
        f'<TiffData IFD="0" FirstC="{n}" PlaneCount="1"><UUID FileName="c{n}.ome.tif">urn:uuid:{n}</UUID></TiffData>'
        for n in range(2)
    )
    text = images.ome_xml(images.ome_image(0, data, sizes="8 6 1 2 1"))
    paths = [tmp_path / f"c{n}.ome.tif" for n in range(2)]
    for path, plane in zip(paths, planes, strict=True):
        tifffile.imwrite(path, plane, photometric="minisblack", description=text.encode(), metadata=None)
    (result,) = importer(paths)  # both belong to one image, which is imported once
    image = omero_conn.getObject("Image", result.image_ids[0])
    assert [p.rpartition("/")[2] for p in image.getImportedImageFilePaths()["server_paths"]] == [
        "c0.ome.tif",
        "c1.ome.tif",
    ]
    assert image.countFilesetFiles() == 2
    for c in range(2):
        np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, c, 0), planes[c])


# -- tiles and resolutions


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
    import omero

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


# -- fileset and files


def test_fileset(one, omero_conn, omero_server, omero_user, tmp_path):
    path, _ = images.five_d(tmp_path)
    image = one(path)
    paths = image.getImportedImageFilePaths()
    prefix = rf"{omero_user.name}_{omero_user.id}/\d{{4}}-\d\d/\d\d/\d\d-\d\d-\d\d\.\d{{3}}/"
    assert re.fullmatch(prefix + re.escape(path.name), paths["server_paths"][0])
    assert paths["client_paths"] == [str(path).lstrip("/")]
    _, root = omero_conn.c.getManagedRepository(description=True)
    stored = Path(root.path.val, root.name.val, paths["server_paths"][0])
    assert stored.read_bytes() == path.read_bytes()
    fileset = fetch(
        omero_conn,
        "select f from Fileset f join fetch f.usedFiles e join fetch e.originalFile o join fetch o.hasher where f.id = :id",
        image.getFileset().id,
    )
    assert re.fullmatch(prefix, fileset.templatePrefix.val)
    file = fileset.getFilesetEntry(0).originalFile
    assert (file.name.val, file.path.val, file.size.val) == (path.name, fileset.templatePrefix.val, path.stat().st_size)
    assert file.hash.val == images.sha1(np.frombuffer(path.read_bytes(), "u1"))
    assert file.hasher.value.val == "SHA1-160"
    assert file.mimetype is None and file.atime is None
    assert file.ctime is not None and file.mtime is not None
    assert file.repo.val == root.hash.val == omero_server.core.repositories.managed_uuid
    info = {"fileset": True, "count": 1, "size": path.stat().st_size, "annotations": []}
    assert omero_conn.getFilesetFilesInfo([image.id]) == info
    assert image.getInplaceImport() is None
    assert [f.getName() for f in image.getImportedImageFiles()] == [path.name]


def test_jobs_and_log(one, omero_conn, tmp_path):
    image = one(images.five_d(tmp_path)[0])
    fileset = fetch(
        omero_conn,
        "select f from Fileset f join fetch f.jobLinks l join fetch l.child j join fetch j.status where f.id = :id",
        image.getFileset().id,
    )
    jobs = [link.child for link in fileset.copyJobLinks()]
    assert [(type(j).__name__, j.status.value.val, j.message.val, j.finished is not None) for j in jobs] == [
        ("UploadJobI", "Finished", "Finished", True),
        ("MetadataImportJobI", "Submitted", "", False),
        ("PixelDataJobI", "Submitted", "", False),
        ("ThumbnailGenerationJobI", "Submitted", "", False),
        ("IndexingJobI", "Submitted", "", False),
    ]
    assert "bioformats.reader" in [v.name for v in jobs[0].getVersionInfo()]
    query = "select o.name, o.path, o.mimetype, o.size, o.hash from JobOriginalFileLink l join l.child o where l.parent.id = :id"
    ((name, path, mimetype, size, hash),) = rows(omero_conn, query, id=jobs[0].id.val)
    assert re.fullmatch(r"\d\d-\d\d-\d\d\.\d{3}\.log", name)
    assert fileset.templatePrefix.val.startswith(path)
    assert (mimetype, size, hash) == ("application/omero-log-file", 0, None)


def test_folders_have_rows(one, omero_conn, omero_user, tmp_path):
    one(images.five_d(tmp_path)[0])
    top = f"{omero_user.name}_{omero_user.id}"
    query = (
        "select o.path, o.name, u.id, g.name from OriginalFile o join o.details.owner u join o.details.group g "
        "where o.mimetype = 'Directory' and (o.name = :top or o.path like :below) order by o.id"
    )
    found = rows(omero_conn, query, top=top, below=f"{top}/%")
    assert found[0] == ["/", top, 0, "user"]
    assert [r[2:] for r in found[1:]] == [[omero_user.id, "user"]] * 3
    assert [r[0].count("/") for r in found] == [1, 1, 2, 3]


def test_linked_files(one, omero_conn, omero_server, tmp_path):
    path, arrays = images.three(tmp_path)
    image = one(path, transfer="ln_s")
    stored = omero_server.core.repositories.managed / image.getImportedImageFilePaths()["server_paths"][0]
    assert stored.is_symlink() and stored.resolve() == path.resolve()
    assert image.getInplaceImport() == "ome.formats.importer.transfers.SymlinkFileTransfer"
    (note,) = omero_conn.getFilesetFilesInfo([image.id])["annotations"]
    assert note["ns"] == "openmicroscopy.org/omero/import/fileTransfer"
    np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, 0, 0), arrays[0][0])


def test_lost_file_is_a_resource_error(one, omero_server, omero_conn, tmp_path):
    import omero

    image = one(images.five_d(tmp_path)[0])
    stored = omero_server.core.repositories.managed / image.getImportedImageFilePaths()["server_paths"][0]
    stored.unlink()
    with pytest.raises(omero.ResourceError, match="Error instantiating pixel buffer"):
        image.getPrimaryPixels().getPlane(0, 0, 0)
    stored.write_bytes(b"II*\0 and then nothing")
    with pytest.raises(omero.ResourceError, match="Error instantiating pixel buffer"):
        image.getPrimaryPixels().getPlane(0, 0, 0)


# -- targets


def test_dataset_and_project_are_made_or_found(importer, omero_conn, tmp_path):
    path, _ = images.three(tmp_path)
    first = importer(path, dataset="new ds", project="new project")[0]
    again = importer(path, dataset="new ds", project="new project")[0]
    (dataset,) = omero_conn.getObjects("Dataset", attributes={"name": "new ds"})
    assert {i.id for i in dataset.listChildren()} == set(first.image_ids + again.image_ids)
    (project,) = dataset.listParents()
    assert project.getName() == "new project"
    third = importer(path, dataset=dataset.id)[0]
    assert set(third.image_ids) <= {i.id for i in dataset.listChildren()}


def test_import_into_another_group(omero_server, make_user, connect, tmp_path):
    user = make_user()
    other = make_user()
    with omero_server.core.store.lock:
        accounts = omero_server.core.accounts
        accounts.add_member(accounts.user(user.name), accounts.group(other.group))
    path, _ = images.five_d(tmp_path)
    (result,) = omero_server.import_files(path, user=user.name, group=other.group)
    conn = connect(user)
    conn.SERVICE_OPTS.setOmeroGroup("-1")
    image = conn.getObject("Image", result.image_ids[0])
    assert image.getDetails().getGroup().name == other.group
    assert connect(other).getObject("Image", result.image_ids[0]).getOwner().omeName == user.name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"user": "nobody here"}, "no user"),
        ({"group": "no such group"}, "no group"),
        ({"group": "system"}, "cannot import into system"),
        ({"dataset": 99999999}, "Cannot use Dataset:99999999"),
        ({"project": "p"}, "needs a dataset"),
        ({"screen": "s"}, "is no plate"),
        ({"transfer": "mv"}, "Unknown transfer"),
    ],
)
def test_wrong_targets(omero_server, omero_user, tmp_path, options, words):
    path, _ = images.three(tmp_path)
    before = _everything(omero_server)
    with pytest.raises(ImportFailed, match=words):
        omero_server.import_files(path, **{"user": omero_user.name, **options})
    assert _everything(omero_server) == before


# -- plates


def _check_plate(conn, plate_id, labels):
    plate = conn.getObject("Plate", plate_id)
    assert plate.getGridSize() == {"rows": 2, "columns": 3}
    assert sorted(w.getWellPos() for w in plate.listChildren()) == labels
    return plate


def test_plate_of_one_file(omero_server, omero_user, omero_conn, tmp_path):
    path, data = images.ome_plate_file(tmp_path)
    (result,) = omero_server.import_files(path, user=omero_user.name, screen="Screen One")
    assert len(result.image_ids) == 12
    plate = _check_plate(omero_conn, result.plate_id, ["A1", "A2", "A3", "B1", "B2", "B3"])
    assert (plate.getName(), plate.getDescription(), plate.status) == ("Plate Zero", "of the plate", "fine")
    assert plate.externalIdentifier == "EXT"
    assert (plate._obj.wellOriginX.getValue(), str(plate._obj.wellOriginX.getUnit())) == (0.5, "MICROMETER")
    assert (plate.getRowLabels(), plate.getColumnLabels()) == (["A", "B"], [1, 2, 3])
    assert plate.getNumberOfFields() == (0, 1)
    assert [a.getName() for a in plate.listPlateAcquisitions()] == ["Run 1"]
    assert plate.getParent().getName() == "Screen One"
    well = next(w for w in plate.listChildren() if w.getWellPos() == "B2")
    assert (well.type, well.externalIdentifier) == ("Control", "X11")
    fields = list(well.listChildren())
    assert [f.getImage().getName() for f in fields] == ["plate.ome.tif [image 8]", "plate.ome.tif [image 9]"]
    assert [f._obj.posX.getValue() for f in fields] == [0.0, 10.5]
    assert str(fields[0]._obj.posX.getUnit()) == "REFERENCEFRAME"
    assert fields[0]._obj.timepoint is not None
    assert fields[1].getImage().series == 9
    np.testing.assert_array_equal(fields[1].getImage().getPrimaryPixels().getPlane(0, 0, 0), data[9])
    acquisitions = rows(
        omero_conn,
        "select ws.plateAcquisition.name from WellSample ws where ws.well.plate.id = :id",
        id=result.plate_id,
    )
    assert acquisitions == [["Run 1"]] * 12


def test_plate_of_single_files(omero_server, omero_user, omero_conn):
    pattern = r"01_(?P<well>POS\d+)_(?P<channel>[DFR])\.TIF"
    result = omero_server.import_plate(DATA / "fly", pattern=pattern, name="Fly", user=omero_user.name)
    plate = omero_conn.getObject("Plate", result.plate_id)
    assert plate.getName() == "Fly"
    assert [w.getWellPos() for w in plate.listChildren()] == ["A1", "A2"]
    found = [omero_conn.getObject("Image", i) for i in result.image_ids]
    assert [i.getName() for i in found] == ["Fly [A1 field 1]", "Fly [A2 field 1]"]
    assert [i.getSizeC() for i in found] == [3, 3]
    assert found[0].getChannelLabels() == ["D", "F", "R"]
    for image, position in zip(found, ("002", "076"), strict=True):
        for c, letter in enumerate("DFR"):
            array = tifffile.imread(DATA / "fly" / f"01_POS{position}_{letter}.TIF")
            np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, c, 0), array)
    # What lies in the repository are the files themselves, and a companion that says what they mean.
    paths = found[1].getImportedImageFilePaths()["server_paths"]
    assert [p.rpartition("/")[2] for p in paths][:2] == ["Fly.companion.ome", "01_POS002_D.TIF"]
    assert len(paths) == 7
    for path in paths[1:]:
        stored = omero_server.core.repositories.managed / path
        assert stored.read_bytes() == (DATA / "fly" / stored.name).read_bytes()


def test_plate_from_a_mapping_with_folders_and_stacks(omero_server, omero_user, omero_conn, tmp_path):
    wells, arrays = {}, {}
    for well in ("B03", "A1"):
        (tmp_path / well).mkdir()
        for field in range(2):
            stack = np.random.default_rng(field).integers(0, 999, (3, 6, 8)).astype("u2")
            path = tmp_path / well / f"f{field}.tif"
            tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZYX"})
            wells.setdefault(well, []).append([path])
            arrays[well, field] = stack
    result = omero_server.import_plate(wells, name="Stacks", channels=["GFP"], user=omero_user.name, screen="S")
    plate = _check_plate(omero_conn, result.plate_id, ["A1", "B3"])
    for well in plate.listChildren():
        for field, sample in enumerate(well.listChildren()):
            expected = arrays["A1" if well.getWellPos() == "A1" else "B03", field]
            image = sample.getImage()
            assert image.getSizeZ() == 3
            for z in range(3):
                np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(z, 0, 0), expected[z])


def test_plate_with_many_images(omero_server, omero_user, omero_conn, tmp_path):
    """1536 images: the work must not grow with the square of their number."""
    path, data = images.ome_plate_file(tmp_path, 16, 24, 4)
    (result,) = omero_server.import_files(path, user=omero_user.name)
    assert len(result.image_ids) == 1536
    last = omero_conn.getObject("Image", result.image_ids[-1])
    np.testing.assert_array_equal(last.getPrimaryPixels().getPlane(0, 0, 0), data[-1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pattern": r"(?P<well>.*)\.tif"}, "lacks the group"),
        ({"pattern": "(?P<channel>"}, "no regular expression"),
        ({"pattern": r"nothing(?P<channel>.)"}, "No file in"),
        ({"pattern": r"A1_(?P<channel>\d)\.tif", "channels": ["one"]}, "channels are named"),
        ({"pattern": r"(?P<well>\w\d)_(?P<channel>\d)\.tif"}, "no file for channel 1"),
        ({"pattern": None}, "needs a pattern"),
    ],
)
def test_wrong_plates(omero_server, omero_user, tmp_path, change, words):
    for name in ("A1_0.tif", "A1_1.tif", "A2_0.tif"):
        tifffile.imwrite(tmp_path / name, images.slope(6, 8), photometric="minisblack")
    before = _everything(omero_server)
    with pytest.raises(ImportFailed, match=words):
        omero_server.import_plate(tmp_path, user=omero_user.name, **change)
    assert _everything(omero_server) == before


def test_files_of_a_field_must_fit(omero_server, omero_user, tmp_path):
    small, large = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(small, images.slope(6, 8), photometric="minisblack")
    tifffile.imwrite(large, images.slope(7, 8), photometric="minisblack")
    for wells, words in (
        ({"A1": [[small, large]]}, "does not fit"),
        ({"nonsense": [[small]]}, "is no well"),
        ({"A1": [[small]], "a01": [[small]]}, "the same place"),
        ({"A1": [[tmp_path / "gone.tif"]]}, "does not exist"),
        ({}, "no field"),
    ):
        with pytest.raises(ImportFailed, match=words):
            omero_server.import_plate(wells, user=omero_user.name)


# -- failures


def _everything(server):
    """Number of records of every kind but sessions and events, and all files of the repository."""
    core = server.core
    with core.store.lock:
        counts = {n: core.store.count(n) for n in core.store.model.entities if n not in ("Session", "Event")}
    return counts, sorted(core.repositories.managed.rglob("*"))


def _with_xml(folder, text, shape=(6, 8), dtype="u1"):
    path = folder / "bad.ome.tif"
    tifffile.imwrite(path, np.zeros(shape, dtype), photometric="minisblack", description=text.encode(), metadata=None)
    return path


def _bad_file(folder, kind):
    image = images.ome_image
    good = '<TiffData IFD="0" PlaneCount="1"/>'
    if kind == "text":
        (folder / "a.tif").write_text("this is no image")
        return folder / "a.tif"
    if kind == "empty":
        (folder / "a.tif").touch()
        return folder / "a.tif"
    if kind == "cut":
        path, _ = images.five_d(folder)
        path.write_bytes(path.read_bytes()[:20000])
        return path
    if kind == "complex numbers of 24 bits":
        tifffile.imwrite(folder / "a.tif", np.zeros((6, 8), "u8"), photometric="minisblack")
        return folder / "a.tif"
    xml = {
        "not closed": images.ome_xml("<Image>"),
        "no pixels": images.ome_xml('<Image ID="Image:0"/>'),
        "no image": images.ome_xml(""),
        "document type": images.ome_xml(image(0, good)).replace("<OME", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><OME', 1),
        "other size": images.ome_xml(image(0, good, sizes="9 6 1 1 1")),
        "other type": images.ome_xml(image(0, good, kind="uint16")),
        "unknown type": images.ome_xml(image(0, good, kind="uint12")),
        "too many planes": images.ome_xml(image(0, '<TiffData IFD="0" PlaneCount="5"/>')),
        "no such page": images.ome_xml(image(0, '<TiffData IFD="7" PlaneCount="1"/>')),
        "size zero": images.ome_xml(image(0, good, sizes="8 6 0 1 1")),
        "no number": images.ome_xml(image(0, good, sizes="8 6 many 1 1")),
        "bad unit": images.ome_xml(image(0, good, attributes='PhysicalSizeX="1" PhysicalSizeXUnit="parrot"')),
        "bad date": images.ome_xml(image(0, good, more="<AcquisitionDate>yesterday</AcquisitionDate>")),
        "outside": images.ome_xml(image(0, '<TiffData IFD="0"><UUID FileName="../../etc/passwd"/></TiffData>')),
        "lost part": images.ome_xml(image(0, '<TiffData IFD="0"><UUID FileName="gone.ome.tif"/></TiffData>')),
    }[kind]  # fmt: skip
    return _with_xml(folder, xml)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "not a TIFF"),
        ("empty", "not a TIFF"),
        ("cut", "five d.ome.tif"),
        ("complex numbers of 24 bits", "64 bits"),
        ("not closed", "OME-XML is damaged"),
        ("no pixels", "has no Pixels"),
        ("no image", "describes no image"),
        ("document type", "document type declaration"),
        ("other size", "the metadata say 9 x 6"),
        ("other type", "the metadata say uint16"),
        ("unknown type", "'uint12' is unknown"),
        ("too many planes", "names 5 planes"),
        ("no such page", "no page 7"),
        ("size zero", "size below 1"),
        ("no number", "not a number"),
        ("bad unit", "parrot"),
        ("bad date", "not a time"),
        ("outside", "same folder"),
        ("lost part", "gone.ome.tif does not exist"),
    ],
)
def test_failed_imports_leave_nothing(omero_server, omero_user, tmp_path, kind, words):
    path = _bad_file(tmp_path, kind)
    before = _everything(omero_server)
    with pytest.raises(ImportFailed, match=re.escape(words)) as caught:
        omero_server.import_files(path, user=omero_user.name, dataset="never made")
    assert str(omero_server.core.repositories.managed) not in str(caught.value)
    assert _everything(omero_server) == before


def test_missing_file(omero_server, tmp_path):
    with pytest.raises(ImportFailed, match="nothing.tif does not exist"):
        omero_server.import_files(tmp_path / "nothing.tif")
    with pytest.raises(ImportFailed, match="No file"):
        omero_server.import_files([])


def test_full_repository(omero_server, omero_user, tmp_path, monkeypatch):
    """A disk that fills up while files are copied."""
    import shutil

    path, _ = images.five_d(tmp_path)
    before = _everything(omero_server)

    def full(source, target):
        target.write_bytes(b"half a f")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ImportFailed, match="No space left"):
        omero_server.import_files(path, user=omero_user.name)
    assert _everything(omero_server) == before
