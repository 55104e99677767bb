"""Plates, wells, datasets and images of OMERO as plates of a pipeline."""

import numpy as np
import omero
import pytest
import tifffile
from omero.rtypes import rstring

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.plates import load_layout, load_targets, locations, parse_location
from openhcs_core.omero.session import gateway, in_group
from openhcs_core.plate import PlaneAddress
from tests.omero.plates import PlateField, write_plate


@pytest.fixture
def plate(omero_server, omero_user, tmp_path, voxels):
    """An imported plate: A01 with two fields, B12 with one of fewer sections; its result and the fields."""

    def make(wells=None):
        first = voxels(1, 2, 3, 40, 50)
        wells = wells or {
            (1, 11): [PlateField(first[:, :, :2] + 7)],
            (0, 0): [PlateField(first, (0, 0)), PlateField(first + 1, (0, 20))],
        }
        path = write_plate(tmp_path / "plate.ome.tif", wells)
        (result,) = omero_server.import_files([path], user=omero_user.name)
        return result, wells

    return make


def test_a_plate(plate, conn):
    result, _ = plate()
    layout = load_layout(conn, f"Plate:{result.plate_id}")
    assert layout.name == "P"
    assert layout.wells == ["A01", "B12"]
    assert list(layout.planes["B12"]) == [PlaneAddress("B12", 1, c, z, 1) for c in (1, 2) for z in (1, 2)]
    assert len(layout.planes["A01"]) == 2 * 2 * 3
    assert list(layout.planes["A01"]) == sorted(layout.planes["A01"])
    assert (layout.size_yx, layout.dtype) == ((40, 50), np.dtype("u2"))
    assert [channel.name for channel in layout.channels] == ["DAPI", "GFP"]
    assert [channel.color for channel in layout.channels] == [(1, 0, 0), (0, 1, 0)]
    assert layout.voxel_size_um == (2.0, 0.5, 0.5)
    assert layout.positions_um == {("A01", 1): (0, 0), ("A01", 2): (0, 20)}
    assert set(layout.source_ids) == {("A01", 1), ("A01", 2), ("B12", 1)}
    places = {}
    for well in conn.getObject("Plate", result.plate_id).listChildren():
        for site, sample in enumerate(well.listChildren(), start=1):
            places[f"{well.getWellPos()[0]}{int(well.getWellPos()[1:]):02}", site] = sample.getImage().getId()
    assert layout.source_ids == places


def test_a_plate_without_wells(conn, omero_user):
    plate = omero.model.PlateI()
    plate.name = rstring("nothing yet")
    plate = conn.getUpdateService().saveAndReturnObject(plate, in_group(conn, omero_user.group_id))
    with pytest.raises(OmeroError, match=f"Plate:{plate.id.val} holds no images that you may see"):
        load_layout(conn, f"Plate:{plate.id.val}")


def test_wells_of_a_plate(plate, conn):
    result, _ = plate()
    wells = {well.getWellPos(): well.getId() for well in conn.getObject("Plate", result.plate_id).listChildren()}
    low, high = sorted(wells.values())
    assert locations(conn, "Well", [high, low, high]) == [f"Well:{low},{high}"]
    layout = load_layout(conn, f"Well:{wells['B12']}")
    assert layout.wells == ["B12"]
    (target,) = load_targets(conn, f"Well:{wells['B12']}")
    assert (target.OMERO_CLASS, target.getId()) == ("Plate", result.plate_id)


def test_wells_of_two_plates_are_two_runs(plate, conn):
    first, second = plate()[0], plate()[0]
    wells = [next(iter(conn.getObject("Plate", result.plate_id).listChildren())).getId() for result in (second, first)]
    assert sorted(locations(conn, "Well", wells)) == sorted(f"Well:{number}" for number in wells)
    with pytest.raises(OmeroError, match="is of 2 plates"):
        load_layout(conn, f"Well:{wells[0]},{wells[1]}")


def test_images_of_a_dataset_are_wells_in_the_order_of_their_names(omero_server, omero_user, conn, tmp_path, voxels):
    paths = []
    for number in range(14):
        paths.append(tmp_path / f"image {13 - number:02}.tif")
        tifffile.imwrite(paths[-1], voxels(20, 30) + number)
    results = omero_server.import_files(paths, user=omero_user.name, dataset="Growth")
    (dataset,) = (found for found in conn.getObjects("Dataset") if found.getName() == "Growth")
    layout = load_layout(conn, f"Dataset:{dataset.getId()}")
    assert layout.name == "Growth"
    assert layout.wells == [*(f"A{number:02}" for number in range(1, 13)), "B01", "B02"]
    assert layout.source_ids["A01", 1] == results[-1].image_ids[0]
    assert layout.source_ids["B02", 1] == results[0].image_ids[0]
    assert [channel.name for channel in layout.channels] == ["1"]
    few = [results[3].image_ids[0], results[1].image_ids[0]]
    assert load_layout(conn, f"Image:{few[0]},{few[1]}").source_ids == {("A01", 1): few[0], ("A02", 1): few[1]}
    assert [target.getId() for target in load_targets(conn, f"Image:{few[0]},{few[1]}")] == few
    assert locations(conn, "Image", [*few, few[0]]) == [f"Image:{few[0]},{few[1]}"]
    assert locations(conn, "Dataset", [4, 3, 4]) == ["Dataset:4", "Dataset:3"]


def test_images_that_differ_are_named(plate, conn, voxels):
    same = PlateField(voxels(1, 1, 1, 40, 50))
    result, _ = plate({(0, 0): [same, same], (0, 1): [PlateField(voxels(1, 1, 1, 30, 50))]})
    with pytest.raises(OmeroError) as caught:
        load_layout(conn, f"Plate:{result.plate_id}")
    assert str(caught.value) == (
        "its images differ: 50 x 40 pixels of type uint16 in most, but 50 x 30 pixels of type uint16 in A02 field 1 "
        f"(Image:{result.image_ids[2]}). Choose images that are alike."
    )


def test_an_image_without_pixels_is_named(conn, omero_conn):
    image = omero.model.ImageI()
    image.name = rstring("empty")
    number = omero_conn.getUpdateService().saveAndReturnObject(image).id.val
    with pytest.raises(OmeroError, match=rf"A01 field 1 \(Image:{number}\) has no pixels in OMERO"):
        load_layout(conn, f"Image:{number}")


@pytest.mark.parametrize("location", ["Plate", "Plate:", "Screen:3", "plate:3", "Image:1;2", "Plate:-1", "/Plate:3"])
def test_what_is_no_place(location):
    with pytest.raises(OmeroError, match="is no place in OMERO"):
        parse_location(location)


@pytest.mark.parametrize("kind", ["Plate", "Well", "Dataset", "Image"])
def test_what_does_not_exist(kind, conn):
    with pytest.raises(OmeroError, match=rf"{kind}:999999 .*does not exist, or you may not see it"):
        load_layout(conn, f"{kind}:999999")


def test_what_others_may_not_see(plate, connect, make_user):
    result, _ = plate()
    stranger = gateway(connect(make_user()).c)
    with pytest.raises(OmeroError, match=f"Plate:{result.plate_id} does not exist, or you may not see it"):
        load_layout(stranger, f"Plate:{result.plate_id}")
