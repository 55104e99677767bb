"""Data_Type and IDs to images: their order, what is missing, what is double."""

import pytest
import tifffile
from omero.model import DatasetI, DatasetImageLinkI, ImageI, PlateI, WellI, WellSampleI
from omero.rtypes import rint, rstring

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.request import ExportRequest
from openhcs_core.omero.selection import select_images, select_subjects
from openhcs_core.omero.session import gateway
from tests.omero.plates import PlateField, write_plate


@pytest.fixture
def images(make_image, voxels):
    """Ids of three images."""
    return [make_image(voxels(1, 1, 1, 8, 8), f"image {n}").getId() for n in range(3)]


@pytest.fixture
def make_dataset(omero_conn):
    """Function which makes a dataset of images."""

    def make(*images):
        update = omero_conn.getUpdateService()
        dataset = DatasetI()
        dataset.name = rstring("a dataset")
        number = update.saveAndReturnObject(dataset).id.val
        for image in images:
            link = DatasetImageLinkI()
            link.parent, link.child = DatasetI(number, False), ImageI(image, False)
            update.saveAndReturnObject(link)
        return number

    return make


def ids(selection):
    return [image.getId() for image in selection.images]


def test_images_come_in_the_order_of_the_ids(conn, images):
    wanted = [images[2], images[0], images[1]]
    selection = select_images(conn, "Image", wanted)
    assert ids(selection) == wanted
    assert selection.missing == selection.notes == []


def test_doubles_are_used_once_and_said(conn, images):
    selection = select_images(conn, "Image", [images[1], images[0], images[1]])
    assert ids(selection) == [images[1], images[0]]
    assert selection.notes == [f"given more than once, used once: Image:{images[1]}"]


def test_a_dataset_gives_its_images_by_id(conn, images, make_dataset):
    dataset = make_dataset(*reversed(images))
    assert ids(select_images(conn, "Dataset", [dataset])) == images


def test_an_image_in_two_datasets_is_used_once_and_said(conn, images, make_dataset):
    selection = select_images(conn, "Dataset", [make_dataset(*images[:2]), make_dataset(*images[1:])])
    assert ids(selection) == images
    assert selection.notes == [f"in more than one selected dataset, used once: Image:{images[1]}"]


def test_an_empty_dataset_is_missing(conn, images, make_dataset):
    empty, full = make_dataset(), make_dataset(images[0])
    selection = select_images(conn, "Dataset", [empty, full])
    assert ids(selection) == [images[0]]
    assert selection.missing == [f"Dataset:{empty} holds no images that you may see"]


def test_ids_that_lead_nowhere_are_named(conn, images):
    selection = select_images(conn, "Image", [-1, images[0], 10**15])
    assert ids(selection) == [images[0]]
    assert selection.missing == [
        "Image:-1 does not exist, or you may not see it",
        "Image:1000000000000000 does not exist, or you may not see it",
    ]


def test_ids_of_another_type_are_named(conn, images, make_dataset):
    dataset = make_dataset(images[0])
    selection = select_images(conn, "Well", [dataset])
    assert selection.images == []
    assert selection.missing == [f"Well:{dataset} does not exist, or you may not see it"]


def test_nobody_sees_the_images_of_others_in_a_private_group(make_user, connect, voxels):
    owner, other = make_user("selection private", "rw----"), make_user("selection private", "rw----")
    made = connect(owner).createImageFromNumpySeq(iter(voxels(1, 8, 8)), "mine").getId()
    selection = select_images(gateway(connect(other).c), "Image", [made])
    assert selection.images == []
    assert selection.missing == [f"Image:{made} does not exist, or you may not see it"]


def test_images_of_several_groups(omero_server, make_user, connect, voxels):
    user, core = make_user("selection first"), omero_server.core
    with core.store.lock:
        second = core.accounts.add_group("selection second", "rw----")
        core.accounts.add_member(core.accounts.user(user.name), second)
    log_in = connect(user)
    made = [log_in.createImageFromNumpySeq(iter(voxels(1, 8, 8)), "in the first").getId()]
    log_in.setGroupForSession(second.id)
    made.append(log_in.createImageFromNumpySeq(iter(voxels(1, 8, 8)), "in the second").getId())
    selection = select_images(gateway(log_in.c), "Image", made)
    assert ids(selection) == made
    assert [image.getDetails().getGroup().getName() for image in selection.images] == [
        "selection first",
        "selection second",
    ]


def test_plates_and_wells_by_row_column_and_field(omero_server, omero_user, conn, tmp_path, voxels):
    def file(name):
        tifffile.imwrite(tmp_path / name, voxels(8, 8))
        return [tmp_path / name]

    wells = {
        "B02": [file("b2f1.tif"), file("b2f2.tif")],
        "A10": [file("a10.tif")],
        "A02": [file("a2f1.tif"), file("a2f2.tif")],
    }
    plate = omero_server.import_plate(wells, name="P", user=omero_user.name).plate_id
    names = [image.getName() for image in select_images(conn, "Plate", [plate]).images]
    places = (("A02", 1), ("A02", 2), ("A10", 1), ("B02", 1), ("B02", 2))
    assert names == [f"P [{well} field {field}]" for well, field in places]
    rows = conn.getQueryService().projection(
        f"select w.id, w.row, w.column from Well w where w.plate.id = {plate}", None, conn.SERVICE_OPTS
    )
    well = next(number.val for number, row, column in rows if (row.val, column.val) == (1, 1))
    assert [image.getName() for image in select_images(conn, "Well", [well]).images] == names[3:]


def test_fields_count_by_their_place_in_the_well(omero_conn, conn, images):
    """Neither their ids nor those of their images tell the order."""
    plate, well = PlateI(), WellI()
    plate.name, well.plate, well.row, well.column = rstring("P"), plate, rint(0), rint(0)
    for image in reversed(images):
        sample = WellSampleI()
        sample.image = ImageI(image, False)
        well.addWellSample(sample)
    well = omero_conn.getUpdateService().saveAndReturnObject(well)
    for data_type, number in (("Well", well.id.val), ("Plate", well.plate.id.val)):
        assert ids(select_images(conn, data_type, [number])) == images[::-1]


@pytest.mark.parametrize(
    ("data_type", "given", "message"),
    [
        ("Project", [1], "Data_Type is 'Project'. Choose one of: Image, Dataset, Well, Plate."),
        ("Image", [], "Nothing is selected: give the ids of one or more objects of type Image as IDs."),
    ],
)
def test_requests_that_make_no_sense(conn, data_type, given, message):
    with pytest.raises(OmeroError) as caught:
        select_images(conn, data_type, given)
    assert str(caught.value) == message


@pytest.fixture
def plate(omero_server, omero_user, conn, tmp_path, voxels):
    """Id of a plate with two fields in A01 and two in B02; its wells; its images."""
    fields = [PlateField(voxels(1, 1, 1, 8, 8), (0.0, 4.0 * n)) for n in range(2)]
    path = write_plate(tmp_path / "plate.ome.tif", {(0, 0): fields, (1, 1): fields})
    (result,) = omero_server.import_files(path, user=omero_user.name)
    rows = conn.getQueryService().projection(
        f"select w.id from Well w where w.plate.id = {result.plate_id} order by w.row", None, conn.SERVICE_OPTS
    )
    return result.plate_id, [row[0].val for row in rows], result.image_ids


def subjects(conn, data_type, numbers, layout):
    return select_subjects(conn, ExportRequest(data_type, tuple(numbers), layout=layout))


def test_subjects_of_single_images(conn, images):
    found = subjects(conn, "Image", [images[1], images[0], images[1], -1], "One file per image")
    assert [subject.key for subject in found.subjects] == [f"image_{images[1]}", f"image_{images[0]}"]
    assert found.missing == ["Image:-1 does not exist, or you may not see it"]
    assert found.notes == [f"given more than once, used once: Image:{images[1]}"]


def test_mosaics_of_a_plate(conn, plate):
    number, wells, _ = plate
    for data_type, numbers in (("Plate", [number]), ("Well", wells)):
        found = subjects(conn, data_type, numbers, "Mosaic per plate")
        assert [subject.key for subject in found.subjects] == [f"plate_{number}_mosaic"]
        assert len(found.subjects[0].layout.tiles) == 4
        found = subjects(conn, data_type, numbers, "Mosaic per well")
        assert [subject.key for subject in found.subjects] == [f"well_{well}_mosaic" for well in wells]
        assert [subject.name for subject in found.subjects] == ["P A01", "P B02"]
        assert found.missing == found.notes == []


def test_a_mosaic_of_some_wells(conn, plate):
    number, wells, images = plate
    found = subjects(conn, "Well", [wells[1], -1], "Mosaic per plate")
    assert [subject.key for subject in found.subjects] == [f"plate_{number}_mosaic"]
    assert [tile.field.image_id for tile in found.subjects[0].layout.tiles] == images[2:]
    assert found.missing == ["Well:-1 does not exist, or you may not see it"]
    assert found.notes == []


def test_a_mosaic_of_some_images(conn, plate, images):
    """OMERO.web may turn a well into its images; one that is no field is named."""
    number, wells, fields = plate
    found = subjects(conn, "Image", [fields[3], images[0], fields[0], fields[1]], "Mosaic per well")
    assert [subject.key for subject in found.subjects] == [f"well_{well}_mosaic" for well in (wells[1], wells[0])]
    assert found.missing == [
        f"Image:{images[0]} belongs to no well, so that no mosaic holds it. Choose the layout 'One file per image'"
    ]
    assert found.notes == [f"1 of 2 fields of Well:{wells[1]} are selected: the mosaic shows these"]


def test_an_image_in_two_wells_is_a_field_of_what_was_selected(omero_conn, conn, plate):
    number, wells, fields = plate
    sample = WellSampleI()
    sample.image, sample.well = ImageI(fields[0], False), WellI(wells[1], False)
    omero_conn.getUpdateService().saveObject(sample)
    (only,) = subjects(conn, "Well", [wells[0]], "Mosaic per well").subjects
    assert [tile.field.name for tile in only.layout.tiles] == ["A01 field 1", "A01 field 2"]
    (whole,) = subjects(conn, "Plate", [number], "Mosaic per plate").subjects
    assert len(whole.layout.tiles) == 5


def test_nothing_to_make_a_mosaic_of(conn, images):
    found = subjects(conn, "Image", [-1], "Mosaic per well")
    assert (found.subjects, len(found.missing)) == ([], 1)
    found = subjects(conn, "Image", images, "Mosaic per plate")
    assert (found.subjects, len(found.missing)) == ([], 3)
