"""Images, plates and datasets that are made in OMERO."""

import numpy as np
import omero
import pytest
from omero.rtypes import rstring, unwrap

from openhcs_core.omero import derived
from openhcs_core.omero.containers import (
    NewField,
    add_to_dataset,
    add_wells,
    containers_of,
    save_dataset,
    save_plate,
)
from openhcs_core.omero.deletion import delete
from openhcs_core.omero.derived import NewImage, image_ids_of, save_images, source_facts, storable
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.raw_pixels import RawPixels
from openhcs_core.omero.session import gateway, in_group
from openhcs_core.plate import PlateChannel


@pytest.fixture
def context(conn, omero_user):
    return in_group(conn, omero_user.group_id)


@pytest.fixture
def annotation(omero_conn):
    """Id of a map annotation."""
    return omero_conn.getUpdateService().saveAndReturnObject(omero.model.MapAnnotationI()).id.val


def new_image(voxels, name="made", description="of a test", missing=()):
    t, c, z = voxels.shape[:3]
    return NewImage(
        name=name,
        description=description,
        shape=voxels.shape,
        dtype=voxels.dtype,
        channels=[PlateChannel(f"channel {number}", (1.0, number / 2, 0.0)) for number in range(c)],
        ranges=[(float(number), 10.0 + number) for number in range(c)],
        voxel_size_um=(2.5, 0.5, 0.25),
        read=lambda t, c, z: None if (t, c, z) in missing else voxels[t, c, z],
        acquired=1_600_000_000_000,
    )


def read_back(conn, number):
    pixels = RawPixels(conn, conn.getObject("Image", number))
    t, c, z, y, _ = pixels.shape
    found = np.stack([np.stack([pixels.read(i, j, 0, z, 0, y) for j in range(c)]) for i in range(t)])
    pixels.close()
    return found


@pytest.mark.parametrize("dtype", ["u1", "i2", "<u2", ">u2", "i4", "f4", "f8"])
def test_an_image_comes_back(dtype, conn, context, annotation, voxels):
    array = voxels(2, 3, 2, 20, 31, dtype=dtype)
    missing = (1, 2, 0)
    (number,) = save_images(conn, [new_image(array, missing=[missing])], annotation, context)
    array[missing] = 0
    found = read_back(conn, number)
    assert np.array_equal(found, array)
    assert found.dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    image = conn.getObject("Image", number)
    assert (image.getName(), image.getDescription()) == ("made", "of a test")
    assert image.getChannelLabels() == ["channel 0", "channel 1", "channel 2"]
    assert [channel.getColor().getRGB() for channel in image.getChannels()] == [
        (255, 0, 0), (255, 128, 0), (255, 255, 0),
    ]  # fmt: skip
    limits = conn.getQueryService().projection(
        "select s.globalMin, s.globalMax from Channel c join c.statsInfo s "
        f"where c.pixels.image.id = {number} order by c.id",
        None,
        context,
    )
    assert unwrap(limits) == [[0, 10], [1, 11], [2, 12]]
    sizes = [image.getPixelSizeZ(), image.getPixelSizeY(), image.getPixelSizeX()]
    assert sizes == [2.5, 0.5, 0.25]
    assert [found.getId() for found in image.listAnnotations()] == [annotation]
    assert image.getPrimaryPixels().getSha1() != "Pending..."
    assert source_facts(conn, [number], context) == {number: ("made", 1_600_000_000_000)}
    assert conn.getObject("Image", number).getThumbnail() is not None


def test_planes_that_the_server_wants_in_tiles(conn, context, annotation):
    array = np.arange(3300 * 3300, dtype="u4").astype("u1").reshape(1, 1, 1, 3300, 3300)
    (number,) = save_images(conn, [new_image(array)], annotation, context)
    assert np.array_equal(read_back(conn, number), array)


def test_planes_larger_than_a_message(conn, context, annotation, voxels, monkeypatch):
    monkeypatch.setattr(derived, "SENT_BYTES", 1000)
    array = voxels(1, 2, 2, 30, 40)
    (number,) = save_images(conn, [new_image(array)], annotation, context)
    assert np.array_equal(read_back(conn, number), array)


def test_nothing_to_save(conn, context, annotation):
    assert save_images(conn, [], annotation, context) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["u1"], "u1"), (["?"], "u1"), (["u1", "u2"], "u2"), (["i2", "u2"], "i4"), (["i8"], "f8"), (["f2"], "f4"),
        (["f4", "f8"], "f8"),
    ],
)  # fmt: skip
def test_types_that_omero_has(given, kept):
    assert storable([np.dtype(kind) for kind in given]) == np.dtype(kept)


def test_a_type_that_omero_does_not_have():
    with pytest.raises(OmeroError, match="OMERO has no images of type"):
        storable([np.dtype("U3")])


def shape_of(plate):
    """Wells with the ids of their images."""
    return {
        well.getWellPos(): [sample.getImage().getId() for sample in well.listChildren()]
        for well in plate.listChildren()
    }


def test_a_derived_plate(conn, omero_conn, context, annotation, voxels):
    like = omero.model.PlateI()
    like.name, like.rows, like.columns = rstring("source"), omero.rtypes.rint(8), omero.rtypes.rint(12)
    screen = omero.model.ScreenI()
    screen.name = rstring("assays")
    screen.linkPlate(like)
    screen = omero_conn.getUpdateService().saveAndReturnObject(screen)
    (like,) = screen.linkedPlateList()
    array = voxels(1, 1, 1, 4, 5)
    ids = save_images(conn, [new_image(array, name=f"{n}") for n in range(4)], annotation, context)
    fields = [NewField(0, 0, ids[0], (1.5, 0.0)), NewField(0, 0, ids[1], None), NewField(2, 11, ids[2], None)]
    number = save_plate(conn, "made", "why", like.id.val, fields, annotation, context)
    plate = conn.getObject("Plate", number)
    assert (plate.getName(), plate.getDescription()) == ("made", "why")
    assert (plate._obj.rows.val, plate._obj.columns.val) == (8, 12)
    assert shape_of(plate) == {"A1": ids[:2], "C12": [ids[2]]}
    assert [found.getName() for found in plate.listParents()] == ["assays"]
    first = next(sample for well in plate.listChildren() for sample in well.listChildren())
    assert (first.getPosY().getValue(), first.getPosX().getValue()) == (1.5, 0.0)
    assert containers_of(conn, "Plate", annotation, context) == {"made": number}

    (new,) = save_images(conn, [new_image(array, name="again")], annotation, context)
    add_wells(conn, number, [NewField(2, 11, ids[2], None), NewField(3, 0, ids[3], None)], context)
    assert shape_of(conn.getObject("Plate", number)) == {"A1": ids[:2], "C12": [ids[2]], "D1": [ids[3]]}
    add_wells(conn, number, [NewField(2, 11, new, None)], context)
    assert shape_of(conn.getObject("Plate", number)) == {"A1": ids[:2], "C12": [new], "D1": [ids[3]]}
    assert conn.getObject("Image", ids[2]) is None


def test_a_derived_dataset(conn, omero_conn, context, annotation, voxels):
    project = omero.model.ProjectI()
    project.name = rstring("cells")
    like = omero.model.DatasetI()
    like.name = rstring("source")
    project.linkDataset(like)
    (like,) = omero_conn.getUpdateService().saveAndReturnObject(project).linkedDatasetList()
    ids = save_images(conn, [new_image(voxels(1, 1, 1, 4, 5))] * 2, annotation, context)
    number = save_dataset(conn, "made", "why", like.id.val, ids[:1], annotation, context)
    add_to_dataset(conn, number, ids, context)
    dataset = conn.getObject("Dataset", number)
    assert sorted(image.getId() for image in dataset.listChildren()) == ids
    assert [found.getName() for found in dataset.listParents()] == ["cells"]
    assert containers_of(conn, "Dataset", annotation, context) == {"made": number}


def test_images_are_found_by_what_their_description_begins_with(conn, context, annotation, voxels):
    images = [
        new_image(voxels(1, 1, 1, 4, 5), description=text)
        for text in ("Of A01 and so on", "Of A011", "of A01 x", "Of A01")
    ]
    ids = save_images(conn, images, annotation, context)
    assert image_ids_of(conn, annotation, "Of A01 ", context) == ids[:1]
    assert image_ids_of(conn, annotation + 1, "Of A01 ", context) == []
    delete(conn, {"Image": ids[:1], "Roi": []}, context)
    assert image_ids_of(conn, annotation, "Of A01 ", context) == []


def test_what_cannot_be_deleted(conn, connect, make_user, annotation, omero_user):
    colleague = make_user(omero_user.group)
    other = gateway(connect(colleague).c)
    with pytest.raises(OmeroError, match="OMERO could not delete"):
        delete(other, {"MapAnnotation": [annotation]}, in_group(other, omero_user.group_id))
