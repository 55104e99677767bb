"""Exporter: images as OME-TIFF and OME-XML."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import omero
import pytest
import tifffile

from tests.embedded import images


@pytest.fixture
def exporter(omero_conn):
    made = omero_conn.c.sf.createExporter()
    yield made
    made.close()


def read(exporter, size):
    return b"".join(exporter.read(p, min(50_000, size - p)) for p in range(0, size, 50_000))


def test_tiff_holds_pixels_and_what_is_known_of_them(one, exporter, tmp_path):
    path, data = images.five_d(tmp_path)
    exporter.addImage(one(path).getId())
    content = read(exporter, exporter.generateTiff())
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        (series,) = file.series
        assert series.axes == "TCZYX"
        np.testing.assert_array_equal(series.asarray(), data)
        text = file.ome_metadata
    for part in (
        'Name="five d.ome.tif"', "a description", 'PhysicalSizeX="0.25"', 'PhysicalSizeZ="1500.0"',
        'PhysicalSizeZUnit="nm"', 'TimeIncrement="2.0"', 'TimeIncrementUnit="s"', 'Name="DAPI"', 'Name="GFP"',
    ):  # fmt: skip
        assert part in text


def test_exported_file_can_be_imported(one, importer, omero_conn, exporter, tmp_path):
    path, data = images.five_d(tmp_path)
    exporter.addImage(one(path).getId())
    copy = tmp_path / "copy.ome.tiff"
    copy.write_bytes(read(exporter, exporter.generateTiff()))
    image = omero_conn.getObject("Image", importer(copy)[0].image_ids[0])
    assert image.getPixelSizeZ(units=True).getValue() == 1500
    assert [c.getName() for c in image.getChannels()] == ["DAPI", "GFP"]
    np.testing.assert_array_equal(image.getPrimaryPixels().getPlane(1, 1, 1), data[1, 1, 1])


def test_xml_of_several_images(one, omero_conn, exporter, tmp_path):
    exporter.addImage(one(images.five_d(tmp_path)[0]).getId())
    plain = omero_conn.createImageFromNumpySeq(iter([np.zeros((3, 5), "u1")]), "plain")
    exporter.addImage(plain.getId())
    root = ElementTree.fromstring(read(exporter, exporter.generateXml()))
    pixels = [e for e in root.iter() if e.tag.endswith("}Pixels")]
    assert [(p.get("SizeX"), p.get("SizeY"), p.get("SizeC"), p.get("Type")) for p in pixels] == [
        ("50", "40", "2", "uint16"),
        ("5", "3", "1", "uint8"),
    ]


def test_order_of_calls(omero_conn, exporter):
    image = omero_conn.createImageFromNumpySeq(iter([np.zeros((3, 5), "u1")]), "plain").getId()
    with pytest.raises(omero.ApiUsageException, match="Add data first"):
        exporter.read(0, 10)
    with pytest.raises(omero.ApiUsageException, match="Only one image supported for TIFF, not 0"):
        exporter.generateTiff()
    exporter.addImage(image)
    with pytest.raises(omero.ApiUsageException, match="Call a generate method first"):
        exporter.read(0, 10)
    exporter.addImage(image)
    with pytest.raises(omero.ApiUsageException, match="not 2"):
        exporter.generateTiff()
    size = exporter.generateXml()
    with pytest.raises(omero.ApiUsageException, match="Cannot configure during output"):
        exporter.addImage(image)
    with pytest.raises(omero.ApiUsageException, match="Max read size is: 1048576"):
        exporter.read(0, 1 << 20 | 1)
    assert len(exporter.read(size - 5, 100)) == 5


def test_only_what_the_caller_may_read(omero_conn, connect, make_user):
    image = omero_conn.createImageFromNumpySeq(iter([np.zeros((3, 5), "u1")]), "plain").getId()
    other = connect(make_user()).c.sf.createExporter()
    with pytest.raises(omero.SecurityViolation, match="Cannot read ome.model.core.Image"):
        other.addImage(image)
    other.close()


def test_gateway_exports(omero_conn):
    plane = np.arange(15, dtype="f4").reshape(3, 5)
    image = omero_conn.createImageFromNumpySeq(iter([plane]), "plain")
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(image.exportOmeTiff())), plane)
