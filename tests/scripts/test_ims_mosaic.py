"""Mosaics of wells and plates by the script, in a real processor."""

import h5py
import numpy as np
import pytest

from openhcs_core.imaris.verify import read_text
from openhcs_core.omero.results import NAMESPACE
from tests.omero.plates import PlateField, write_plate
from tests.readers import read_with_ims_reader

SHAPE = (1, 2, 3, 20, 30)


@pytest.fixture
def plate(omero_server, omero_user, omero_conn, tmp_path):
    """A plate of two wells with two fields each, which overlap by two columns; ids of its wells, their voxels."""
    wells, expected = {}, []
    for number, place in enumerate(((0, 0), (1, 2))):
        fields = [np.random.default_rng(10 * number + n).integers(1, 4000, SHAPE).astype("u2") for n in range(2)]
        wells[place] = [PlateField(voxels, (0.0, 14.0 * n)) for n, voxels in enumerate(fields)]
        mosaic = np.zeros((*SHAPE[:4], 58), "u2")
        mosaic[..., :30], mosaic[..., 28:] = fields
        expected.append(mosaic)
    (result,) = omero_server.import_files(write_plate(tmp_path / "plate.ome.tif", wells, "Assay"), user=omero_user.name)
    rows = omero_conn.getQueryService().projection(
        f"select w.id from Well w where w.plate.id = {result.plate_id} order by w.row", None
    )
    return result.plate_id, [row[0].val for row in rows], expected


def attached(conn, kind, number, folder):
    """Paths of the files attached to an object, downloaded."""
    paths = []
    for annotation in conn.getObject(kind, number).listAnnotations(NAMESPACE):
        paths.append(folder / f"{annotation.getId()}.ims")
        paths[-1].write_bytes(b"".join(annotation.getFileInChunks()))
    return paths


def test_a_file_per_well(export, plate, omero_conn, tmp_path, left):
    number, wells, expected = plate
    run = export(Data_Type="Plate", IDs=[number], Layout="Mosaic per well", Delivery="Both")
    assert run.code == 0, run.message
    assert run.outputs["Export_Name"] == "Assay A01.ims"
    for well, name, voxels in zip(wells, ("A01", "B03"), expected, strict=True):
        (path,) = attached(omero_conn, "Well", well, tmp_path)
        assert np.array_equal(read_with_ims_reader(path), voxels)
        (published,) = (tmp_path / "exports" / f"well_{well}_mosaic").iterdir()
        assert published.read_bytes() == path.read_bytes()
        with h5py.File(path) as file:
            info = file["DataSetInfo"]
            assert read_text(info["Image"], "Name") == f"Assay {name}"
            assert read_text(info["OMERO"], "Well") == f"Well:{well}"
            assert read_text(info["Mosaic"], f"{name} field 2").endswith(" at column 28, row 0, 30 x 20 pixels")
        assert f"Well:{well} (Assay {name}) exported to Assay {name}.ims" in run.message
    again = export(Data_Type="Well", IDs=wells, Layout="Mosaic per well")
    assert again.code == 0, again.message
    assert again.message.count("still valid and was not made again") == 2


def test_a_file_per_plate(export, plate, omero_conn, tmp_path):
    number, _, expected = plate
    run = export(Data_Type="Plate", IDs=[number], Layout="Mosaic per plate", Channels=["GFP"], First_Z=2)
    assert run.code == 0, run.message
    (path,) = attached(omero_conn, "Plate", number, tmp_path)
    margin = 4  # 5 % of 58, and 1
    voxels = np.zeros((*SHAPE[:3], 40 + margin, 3 * 58 + 2 * margin), "u2")
    voxels[..., :20, :58], voxels[..., -20:, -58:] = expected
    assert np.array_equal(read_with_ims_reader(path), voxels[:, 1:, 1:])


def test_a_well_that_makes_no_mosaic_does_not_stop_the_others(export, plate, omero_conn, tmp_path):
    number, wells, expected = plate
    query = omero_conn.getQueryService()
    pixels = query.findAllByQuery(
        "select p from Pixels p where p.image.id in "
        f"(select s.image.id from WellSample s where s.well.id = {wells[0]}) order by p.id",
        None,
    )[1]
    pixels.pixelsType = query.findByQuery("select t from PixelsType t where t.value = 'int16'", None)
    omero_conn.getUpdateService().saveObject(pixels)
    run = export(Data_Type="Plate", IDs=[number], Layout="Mosaic per well")
    assert run.code == 1
    assert run.message.startswith(
        f"Not exported: Well:{wells[0]} (Assay A01): its fields differ in pixel type: uint16 in most, but int16 in "
        "A01 field 2 (Image:"
    )
    assert attached(omero_conn, "Well", wells[0], tmp_path) == []
    (path,) = attached(omero_conn, "Well", wells[1], tmp_path)
    assert np.array_equal(read_with_ims_reader(path), expected[1])


def test_a_dataset_makes_no_mosaic(export):
    run = export(Data_Type="Dataset", IDs=[1], Layout="Mosaic per plate")
    assert run.code == 1
    assert run.message.startswith("Nothing was exported: 'Mosaic per plate' is made of the fields of wells, but")
