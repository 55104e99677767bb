"""Mosaics of wells and plates: every voxel where its field's position says, and where it came from."""

import h5py
import numpy as np
import pytest

from openhcs_core.imaris import ImsWriter, check_ims
from openhcs_core.imaris.verify import read_text
from openhcs_core.omero import mosaic
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import Crop
from openhcs_core.omero.request import ExportRequest
from openhcs_core.omero.selection import select_subjects
from openhcs_core.plate import well_name
from openhcs_core.settings import Settings
from tests.omero.plates import PlateField, write_plate
from tests.readers import read_with_ims_reader


def voxels(seed, *shape, dtype="u2"):
    """Voxels (T, C, Z, Y, X), none of them 0."""
    return np.random.default_rng(seed).integers(1, 4000 if dtype != "u1" else 255, shape).astype(dtype)


@pytest.fixture
def mosaics(omero_server, omero_user, conn, tmp_path):
    """Function which imports a plate and gives its mosaics, and all ids of images in the order of the fields."""

    def make(wells, layout="Mosaic per plate", name="P"):
        path = write_plate(tmp_path / "plate.ome.tif", wells, name)
        (result,) = omero_server.import_files(path, user=omero_user.name)
        found = select_subjects(conn, ExportRequest("Plate", (result.plate_id,), layout=layout))
        assert found.missing == found.notes == []
        return found.subjects, result.image_ids

    return make


@pytest.fixture
def read(tmp_path):
    """Function which gives all voxels of a subject (T, C, Z, Y, X), read in bands of some rows."""

    def do(subject, rows=7):
        pixels = subject.pixels(Settings(scratch=tmp_path))
        try:
            t, c, z, y, x = pixels.shape
            found = np.full(pixels.shape, 7777, pixels.dtype)
            for at_t, at_c in np.ndindex(t, c):
                for y0 in range(0, y, rows):
                    y1 = min(y, y0 + rows)
                    found[at_t, at_c, :, y0:y1] = pixels.read(at_t, at_c, 0, z, y0, y1)
        finally:
            pixels.close()
        return found

    return do


def whole(subject):
    sizes = subject.sizes
    return Crop(range(sizes["C"]), range(sizes["Z"]), range(sizes["T"]))


def test_a_well_by_position(mosaics, read):
    """Overlapping fields, positions in millimetres: pixels of 0.5 µm."""
    fields = [voxels(n, 2, 2, 3, 12, 16) for n in range(3)]
    places = [(1.0, 2.0), (1.0, 2.007), (1.005, 2.0)]
    wells = {(1, 2): [PlateField(v, at, "mm") for v, at in zip(fields, places, strict=True)]}
    (subject,), ids = mosaics(wells, "Mosaic per well", "Assay")
    well = subject.target.getId()
    assert (subject.name, subject.label, subject.key) == (
        "Assay B03",
        f"Well:{well} (Assay B03)",
        f"well_{well}_mosaic",
    )
    assert subject.sizes == {"T": 2, "C": 2, "Z": 3, "Y": 22, "X": 30}
    expected = np.zeros((2, 2, 3, 22, 30), "u2")
    for v, (y, x) in zip(fields, ((0, 0), (0, 14), (10, 0)), strict=True):
        expected[..., y : y + 12, x : x + 16] = v
    assert np.array_equal(read(subject), expected)
    assert np.array_equal(read(subject, 100), expected)
    found = subject.metadata(whole(subject))
    assert found.statements == []
    assert found.ims.name == "Assay B03"
    assert found.ims.voxel_size_um == (2.0, 0.5, 0.5)
    assert found.ims.origin_um == (0.0, 1000.0, 2000.0)
    assert [channel.name for channel in found.ims.channels] == ["DAPI", "GFP"] == list(subject.channel_names)
    assert found.ims.sections["OMERO"]["Well"] == f"Well:{well}"
    assert found.ims.sections["OMERO"]["Pixel type"] == "uint16"
    assert "Image" not in found.ims.sections["OMERO"]
    assert found.ims.sections["Mosaic"] == {
        "B03 field 1": f"Image:{ids[0]} at column 0, row 0, 16 x 12 pixels",
        "B03 field 2": f"Image:{ids[1]} at column 14, row 0, 16 x 12 pixels",
        "B03 field 3": f"Image:{ids[2]} at column 0, row 10, 16 x 12 pixels",
    }


def test_a_plate_with_a_margin_between_wells(mosaics, read):
    fields = {place: [voxels(7 * n + f, 1, 1, 1, 10, 20) for f in range(2)]
              for n, place in enumerate(((0, 0), (0, 2), (1, 0)))}  # fmt: skip
    wells = {place: [PlateField(v, (0.0, 10.0 * f)) for f, v in enumerate(parts)] for place, parts in fields.items()}
    (subject,), _ = mosaics(wells)
    plate = subject.target.getId()
    assert (subject.label, subject.key) == (f"Plate:{plate} (P)", f"plate_{plate}_mosaic")
    margin = 3  # 5 % of 40, and 1
    expected = np.zeros((1, 1, 1, 20 + margin, 3 * 40 + 2 * margin), "u2")
    for (row, column), parts in fields.items():
        for f, v in enumerate(parts):
            y, x = row * (10 + margin), column * (40 + margin) + 20 * f
            expected[..., y : y + 10, x : x + 20] = v
    assert np.array_equal(read(subject), expected)
    assert subject.metadata(whole(subject)).ims.origin_um == (0.0, 0.0, 0.0)


def test_positions_of_the_stage_count_where_the_well_has_none(mosaics):
    images = [voxels(n, 1, 1, 1, 10, 10) for n in range(2)]
    stage = {"stage": (3.0, 0.0)}, {"stage": (0.0, 0.0)}
    for sample in ({}, {"sample": (0.0, 0.0)}, {"sample": (1.0, 2.0), "sample_unit": "reference frame"}):
        fields = [PlateField(v, **at, **sample) for v, at in zip(images, stage, strict=True)]
        (subject,), _ = mosaics({(0, 0): fields})
        assert [(tile.y, tile.x) for tile in subject.layout.tiles] == [(6, 0), (0, 0)]
        assert subject.layout.statements == ()


def test_a_grid_where_no_position_is_known(mosaics, read):
    fields = [voxels(n, 1, 1, 1, 10, 10) for n in range(3)]
    wells = {(0, n): [PlateField(v) for v in fields] for n in range(3)}
    (subject, *others), _ = mosaics(wells, "Mosaic per well")
    assert len(others) == 2
    statement = "fields are laid out in a grid of 2 x 2 in their order, because positions are unknown for 3 of 3 fields"
    assert subject.layout.statements == (f"A01: {statement}",)
    found = read(subject)[0, 0, 0]
    assert np.array_equal(found[:10, 10:], fields[1][0, 0, 0])
    assert np.array_equal(found[10:, :10], fields[2][0, 0, 0])
    assert not found[10:, 10:].any()
    (plate,), _ = mosaics(wells)
    assert plate.layout.statements == (f"A01 and 2 more wells: {statement}",)


def test_fields_with_less_are_filled_with_0(mosaics, read):
    small, large, wide = voxels(0, 1, 1, 1, 8, 8), voxels(1, 2, 1, 3, 8, 8), voxels(2, 2, 1, 3, 4, 16)
    (subject,), ids = mosaics({(0, 0): [PlateField(v, (4.0 * n, 0.0)) for n, v in enumerate((small, large, wide))]})
    assert subject.sizes == {"T": 2, "C": 1, "Z": 3, "Y": 20, "X": 16}
    expected = np.zeros((2, 1, 3, 20, 16), "u2")
    for n, v in enumerate((small, large, wide)):
        expected[: v.shape[0], :, : v.shape[2], 8 * n : 8 * n + v.shape[3], : v.shape[4]] = v
    assert np.array_equal(read(subject), expected)
    assert subject.layout.statements == (
        "1 of 3 fields have fewer than 2 time points: filled with 0",
        "1 of 3 fields have fewer than 3 sections: filled with 0",
    )
    assert subject.metadata(whole(subject)).ims.sections["Mosaic"]["A01 field 1"].startswith(f"Image:{ids[0]} ")


@pytest.mark.parametrize(
    ("shape", "more", "message"),
    [
        ((1, 2, 1, 8, 8), {}, "its fields differ in number of channels: 1 in most, but 2 in A01 field 2 (Image:"),
        (
            (1, 1, 1, 8, 8),
            {"calibration": 'PhysicalSizeX="500" PhysicalSizeXUnit="nm" PhysicalSizeY="0.25"'},
            "its fields differ in pixel size: 0.5 x 0.5 µm in most, but 0.5 x 0.25 µm in A01 field 2 (Image:",
        ),
        ((1, 1, 1, 8, 8), {"calibration": ""}, "pixel size: 0.5 x 0.5 µm in most, but unknown in A01 field 2 (Image:"),
        (
            (1, 1, 2, 8, 8),
            {"calibration": 'PhysicalSizeX="0.5" PhysicalSizeY="0.50001" PhysicalSizeZ="3"'},
            "its fields differ in z step: 2 µm in most, but 3 µm in A01 field 2 (Image:",
        ),
    ],
)
def test_fields_that_do_not_fit_are_named(mosaics, shape, more, message):
    others = [voxels(n, 1, 1, shape[2], 8, 8) for n in range(2)]
    fields = [PlateField(others[0]), PlateField(voxels(2, *shape), **more), PlateField(others[1])]
    (subject,), _ = mosaics({(0, 0): fields})
    with pytest.raises(OmeroError) as caught:
        _ = subject.sizes
    assert message in str(caught.value)
    assert str(caught.value).endswith("Choose fields that are alike, or the layout 'One file per image'.")


def test_fields_of_another_type_are_named(omero_conn, conn, mosaics):
    (subject,), ids = mosaics({(0, 0): [PlateField(voxels(n, 1, 1, 1, 8, 8)) for n in range(3)]})
    query = omero_conn.getQueryService()
    pixels = query.findByQuery(f"select p from Pixels p where p.image.id = {ids[1]}", None)
    pixels.pixelsType = query.findByQuery("select t from PixelsType t where t.value = 'int16'", None)
    omero_conn.getUpdateService().saveObject(pixels)
    with pytest.raises(OmeroError, match=rf"pixel type: uint16 in most, but int16 in A01 field 2 \(Image:{ids[1]}\)"):
        _ = subject.layout


def test_a_field_that_cannot_be_read_is_named(mosaics, omero_server, omero_conn, read):
    (subject,), _ = mosaics({(0, 0): [PlateField(voxels(n, 1, 1, 1, 8, 8)) for n in range(2)]})
    assert subject.sizes["X"] == 16
    omero_conn.deleteObjects("Plate", [subject.target.getId()], deleteChildren=True, wait=True)
    with pytest.raises(OmeroError, match=r"A01 field 1 \(Image:\d+\) is not to be seen any more"):
        read(subject)


def test_few_fields_are_open_at_a_time(mosaics, read, monkeypatch):
    """Sixteen in a row, and no more than three of them open."""
    monkeypatch.setattr(mosaic, "MAX_OPEN", 3)
    opened = []

    class Counted(mosaic.ImagePixels):
        def __init__(self, *args):
            opened.append(self)
            super().__init__(*args)
            assert len(opened) <= 3

        def close(self):
            opened.remove(self)
            super().close()

    monkeypatch.setattr(mosaic, "ImagePixels", Counted)
    fields = [voxels(n, 1, 1, 1, 6, 6) for n in range(8)]
    (subject,), _ = mosaics({(0, 0): [PlateField(v, (0.0, 3.0 * n)) for n, v in enumerate(fields)]})
    assert np.array_equal(read(subject, 3)[0, 0, 0], np.concatenate([v[0, 0, 0] for v in fields], axis=1))
    assert opened == []


def test_the_source_tells_of_all_fields(mosaics, tmp_path, monkeypatch):
    """Equal words once; of many different ones only some."""
    monkeypatch.setattr(mosaic, "MAX_OPEN", 2)
    fields = [voxels(n, 1, 1, 1, 6, 6) for n in range(5)]
    (subject,), _ = mosaics({(0, 0): [PlateField(v, (3.0 * n, 0.0)) for n, v in enumerate(fields)]})
    pixels = subject.pixels(Settings(scratch=tmp_path))
    assert pixels.source == ""
    pixels.read(0, 0, 0, 1, 0, 30)
    text = "the OMERO API, because downloading its file is restricted"
    assert pixels.source == f"{text} (5 of 5 fields)"
    pixels.close()
    assert pixels.source == f"{text} (5 of 5 fields)"

    class Different(mosaic.ImagePixels):
        def __init__(self, conn, image, settings):
            super().__init__(conn, image, settings)
            self.source = f"image {image.getId()}"

    monkeypatch.setattr(mosaic, "ImagePixels", Different)
    pixels = subject.pixels(Settings(scratch=tmp_path))
    pixels.read(0, 0, 0, 1, 0, 30)
    pixels.close()
    assert pixels.source.count("(1 of 5 fields)") == 3
    assert pixels.source.endswith("; and others (2)")


def test_from_files_where_the_server_allows_it(mosaics, read, omero_server, tmp_path):
    """As installed, files of plates may not be downloaded, and are not read therefore."""
    fields = [voxels(n, 1, 2, 2, 6, 8) for n in range(2)]
    (subject,), _ = mosaics({(0, 0): [PlateField(v, (0.0, 4.0 * n)) for n, v in enumerate(fields)]})
    config = omero_server.core.config
    config["omero.policy.binary_access"] = "+read,+write,+image,+plate"
    try:
        pixels = subject.pixels(Settings(scratch=tmp_path))
        found = pixels.read(0, 1, 0, 2, 1, 5)
        pixels.close()
    finally:
        del config["omero.policy.binary_access"]
    assert pixels.source == "the image's file (2 of 2 fields)"
    assert np.array_equal(found, np.concatenate([v[0, 1, :, 1:5] for v in fields], axis=2))
    assert np.array_equal(found, read(subject)[0, 1, :, 1:5])


def test_identity_tells_of_changes(mosaics, omero_conn, conn):
    fields = [voxels(n, 1, 1, 1, 6, 6) for n in range(2)]
    (subject,), ids = mosaics({(0, 0): [PlateField(v, (3.0 * n, 0.0)) for n, v in enumerate(fields)]})

    def identity():
        request = ExportRequest("Plate", (subject.target.getId(),), layout="Mosaic per plate")
        return select_subjects(conn, request).subjects[0].identity()

    before = identity()
    assert before == subject.identity()
    sample = omero_conn.getQueryService().findByQuery(f"select s from WellSample s where s.image.id = {max(ids)}", None)
    sample.posY.setValue(4.0)
    omero_conn.getUpdateService().saveObject(sample)
    assert identity() != before


def test_value_range_of_all_fields(mosaics):
    fields = [np.full((1, 1, 1, 6, 6), value, "i2") for value in (-5, 300, 20)]
    (subject,), _ = mosaics({(0, 0): [PlateField(v) for v in fields]})
    assert subject.metadata(whole(subject)).value_range == (-5.0, 300.0)
    (positive,), _ = mosaics({(0, 0): [PlateField(v) for v in fields[1:]]})
    assert positive.metadata(whole(positive)).value_range == (0.0, 300.0), "0 is between the fields"


def test_as_an_imaris_file(mosaics, read, tmp_path):
    """A well of four overlapping fields, read back through another reader."""
    fields = [voxels(n, 1, 2, 2, 40, 50) for n in range(4)]
    wells = {(0, 4): [PlateField(v, (15.0 * (n // 2), 20.0 * (n % 2))) for n, v in enumerate(fields)]}
    (subject,), ids = mosaics(wells, "Mosaic per well")
    found = subject.metadata(whole(subject))
    pixels = subject.pixels(Settings(scratch=tmp_path))
    path = tmp_path / "mosaic.ims"
    with ImsWriter(path, pixels.shape, pixels.dtype, found.ims, threads=2) as writer:
        for c in range(2):
            writer.write_volume(0, c, lambda z0, z1, y0, y1, c=c: pixels.read(0, c, z0, z1, y0, y1))
    pixels.close()
    assert check_ims(path) == []
    assert np.array_equal(read_with_ims_reader(path), read(subject))
    with h5py.File(path) as file:
        assert read_text(file["DataSetInfo/Mosaic"], "A05 field 4").startswith(f"Image:{ids[3]} at column 40, row 30")
        assert read_text(file["DataSetInfo/Image"], "Name") == "P A05"


@pytest.mark.parametrize(
    ("place", "name"), [((0, 0), "A01"), ((7, 11), "H12"), ((25, 0), "Z01"), ((26, 47), "AA48"), ((31, 99), "AF100")]
)
def test_names_of_wells(place, name):
    assert well_name(*place) == name
