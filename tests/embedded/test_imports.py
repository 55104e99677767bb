"""Imported images, compared with what a server made of the same ones."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from tests.embedded import images


def test_five_d(one, tmp_path):
    path, data = images.five_d(tmp_path)
    image = one(path)
    assert image.getName() == "five d.ome.tif"  # one image: the name of the file, whatever the metadata say
    assert image.getDescription() == "a description"
    assert image.series == 0
    assert [getattr(image._obj, n) for n in ("archived", "partial", "acquisitionDate")] == [None] * 3
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
    assert images.rows(omero_conn, query, id=image.id) == [[1, "Monochrome"]] * 2


def test_settings_and_thumbnail_exist_after_an_import(one, omero_conn, tmp_path):
    image = one(images.five_d(tmp_path)[0])
    query = "select r.defaultZ, r.defaultT, r.model.value from RenderingDef r where r.pixels.image.id = :id"
    assert images.rows(omero_conn, query, id=image.id) == [[1, 0, "rgb"]]
    query = "select t.sizeX, t.sizeY, t.mimeType from Thumbnail t where t.pixels.image.id = :id"
    assert images.rows(omero_conn, query, id=image.id) == [[96, 76, "image/jpeg"]]
    query = "select f.value from Image i join i.format f where i.id = :id"
    assert images.rows(omero_conn, query, id=image.id) == [["OMETiff"]]


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
    assert images.rows(omero_conn, query, id=image.id) == [["TiffDelegate"]]


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
        '<Channel ID="Channel:0" SamplesPerPixel="1" Name="c" ExcitationWavelength="488" '
        'AcquisitionMode="TIRF" PinholeSize="50"/>'
        '<TiffData IFD="0" PlaneCount="1"/>'
        '<Plane TheZ="0" TheC="0" TheT="0" DeltaT="0.1" ExposureTime="12" ExposureTimeUnit="ms" PositionX="3"/>'
    )
    path = tmp_path / "said.ome.tif"
    text = images.ome_xml(images.ome_image(0, data, more=more))
    tifffile.imwrite(path, images.slope(6, 8), photometric="minisblack", description=text.encode(), metadata=None)
    image = one(path)
    assert image.getDescription() == "seen"
    assert image.getAcquisitionDate().timestamp() == 1709127930.5
    found = images.fetch(
        omero_conn,
        "select p from Pixels p join fetch p.planeInfo join fetch p.channels c join fetch c.logicalChannel l "
        "left outer join fetch l.mode join fetch p.image i join fetch i.stageLabel "
        "join fetch i.imagingEnvironment where i.id = :id",
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


def test_companion_file(importer, omero_conn, tmp_path):
    """A file which only says where its metadata are."""
    plane = images.slope(6, 8)
    data = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="plane.ome.tif">urn:uuid:1</UUID></TiffData>'
    (tmp_path / "set.companion.ome").write_text(images.ome_xml(images.ome_image(0, data)))
    only = images.ome_xml('<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:2"/>')
    path = tmp_path / "plane.ome.tif"
    tifffile.imwrite(path, plane, photometric="minisblack", description=only.encode(), metadata=None)
    for source in (path, tmp_path / "set.companion.ome"):
        (result,) = importer(source)
        image = omero_conn.getObject("Image", result.image_ids[0])
        assert [f.getName() for f in image.getImportedImageFiles()] == ["set.companion.ome", "plane.ome.tif"]
        np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, 0, 0), plane)


def test_rgb_channel_of_ome_xml(one, tmp_path):
    data = np.arange(6 * 8 * 3, dtype="u1").reshape(6, 8, 3)
    path = tmp_path / "rgb.ome.tif"
    tifffile.imwrite(path, data, photometric="rgb", metadata={"axes": "YXS"})
    image = one(path)
    assert image.getSizeC() == 3
    assert [c.getColor().getHtml() for c in image.getChannels()] == ["FF0000", "00FF00", "0000FF"]
    for c in range(3):
        np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(0, c, 0), data[..., c])


def test_values_without_order(one, omero_conn, tmp_path):
    data = np.array([[np.nan, 1.5, -2.5], [np.inf, 0.0, 7.25]], "f4")
    path = tmp_path / "nan.tif"
    tifffile.imwrite(path, data, photometric="minisblack")
    (channel,) = one(path).getChannels()
    assert (channel.getWindowMin(), channel.getWindowMax()) == (-2.5, 7.25)
    tifffile.imwrite(tmp_path / "complex.tif", data.astype("c8"), photometric="minisblack")
    image = one(tmp_path / "complex.tif")
    assert image.getPixelsType() == "complex"
    query = "select count(c.id) from Channel c where c.pixels.image.id = :id and c.statsInfo is null"
    assert images.rows(omero_conn, query, id=image.id) == [[1]]
