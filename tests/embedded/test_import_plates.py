"""Plates, from one file and from many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from omero.sys import ParametersI

from embedded_omero.imports import ImportFailed
from tests.embedded import images

DATA = Path(__file__).parent.parent / "data"


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
    acquisitions = images.rows(
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


def test_images_of_a_plate_share_what_is_said_of_their_channels(omero_server, omero_user, omero_conn, tmp_path):
    """As on a server; other images of one file each have their own."""

    def numbers(result):
        query = (
            "select count(c.id), count(distinct c.logicalChannel.id) from Channel c where c.pixels.image.id in (:ids)"
        )
        found = omero_conn.getQueryService().projection(query, ParametersI().addIds(result.image_ids))
        return [value.val for value in found[0]]

    pattern = r"01_(?P<well>POS\d+)_(?P<channel>[DFR])\.TIF"
    plate = omero_server.import_plate(DATA / "fly", pattern=pattern, user=omero_user.name)
    assert numbers(plate) == [6, 3]
    (three,) = omero_server.import_files(images.three(tmp_path)[0], user=omero_user.name)
    assert numbers(three) == [3, 3]


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
    before = images.everything(omero_server)
    with pytest.raises(ImportFailed, match=words):
        omero_server.import_plate(tmp_path, user=omero_user.name, **change)
    assert images.everything(omero_server) == before


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


def test_files_of_a_plate_hold_one_image_of_one_channel(omero_server, omero_user, tmp_path):
    rgb = tmp_path / "rgb.tif"
    tifffile.imwrite(rgb, np.zeros((6, 8, 3), "u1"), photometric="rgb")
    for path, words in ((images.three(tmp_path)[0], "holds 3 images"), (rgb, "has 3 channels")):
        with pytest.raises(ImportFailed, match=words):
            omero_server.import_plate({"A1": [[path]]}, user=omero_user.name)
    with pytest.raises(ImportFailed, match="A1 field 2 has no file"):
        omero_server.import_plate({"A1": [[DATA / "fly" / "01_POS002_D.TIF"], []]}, user=omero_user.name)


def test_a_plate_does_not_go_into_a_dataset(omero_server, omero_user, tmp_path):
    path, _ = images.ome_plate_file(tmp_path)
    before = images.everything(omero_server)
    with pytest.raises(ImportFailed, match="goes into a screen"):
        omero_server.import_files(path, user=omero_user.name, dataset="d")
    assert images.everything(omero_server) == before


def test_field_without_an_image_is_left_out(omero_server, omero_user, omero_conn, tmp_path):
    well = '<Well ID="W" Row="0" Column="0">{}</Well>'
    samples = '<WellSample ID="S:0" Index="1"><ImageRef ID="Image:0"/></WellSample><WellSample ID="S:1" Index="0"/>'
    plate = f'<Plate ID="Plate:0">{well.format(samples)}</Plate>'
    text = images.ome_xml(images.ome_image(0, '<TiffData IFD="0"/>'), plate)
    path = tmp_path / "sparse.ome.tif"
    tifffile.imwrite(path, images.slope(6, 8), photometric="minisblack", description=text.encode(), metadata=None)
    (result,) = omero_server.import_files(path, user=omero_user.name, name="Sparse")
    found = omero_conn.getObject("Plate", result.plate_id)
    assert found.getName() == "Sparse"
    (well,) = found.listChildren()
    assert [s.getImage().id for s in well.listChildren()] == result.image_ids
