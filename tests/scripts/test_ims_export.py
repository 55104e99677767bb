"""IMS_Export.py in a real processor: what comes out is what is in OMERO."""

import h5py
import numpy as np
import pytest
import tifffile
from omero.rtypes import rlong

from openhcs_core.imaris.verify import read_text
from tests.readers import read_with_ims_reader

RESULT_NAMESPACE = "openmicroscopy.org/omero/scripts/results/created/openhcs/export_scripts/IMS_Export"


@pytest.fixture
def image(omero_server, omero_user, tmp_path):
    """Id of an imported OME-TIFF, and its voxels (T, C, Z, Y, X)."""
    voxels = np.random.default_rng(0).integers(0, 4000, (3, 2, 4, 40, 30), "u2")
    path = tmp_path / "cells 1 [a].ome.tif"
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 250,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.25,
        "PhysicalSizeZ": 1.5,
        "TimeIncrement": 2.0,
        "TimeIncrementUnit": "s",
        "Channel": {"Name": ["DAPI", "GFP"]},
    }
    tifffile.imwrite(path, voxels, metadata=metadata)
    (result,) = omero_server.import_files([path], user=omero_user.name, dataset="D")
    return result.image_ids[0], voxels


def attached(conn, image, folder):
    """Paths of the files attached to an image, downloaded."""
    paths = []
    for annotation in conn.getObject("Image", image).listAnnotations(RESULT_NAMESPACE):
        paths.append(folder / f"{annotation.getId()}.ims")
        paths[-1].write_bytes(b"".join(annotation.getFileInChunks()))
    return paths


def test_a_whole_image(export, image, omero_conn, tmp_path, left):
    number, voxels = image
    run = export(Data_Type="Image", IDs=[number])
    assert run.code == 0
    assert run.message == (
        f"Image:{number} (cells 1 [a].ome.tif) exported to cells 1 [a].ims, attached to the image "
        f"({run.outputs['File_Annotation'].file.size.val / 1000:.3g} kB). Pixels from the image's file. "
        "Please note: no acquisition date: the time stamps start at 2000-01-01."
    )
    assert run.stdout.splitlines() == [f"Image 1 of 1, Image:{number} (cells 1 [a].ome.tif)", run.message]
    assert run.stderr == ""
    assert run.outputs["Export_Name"] == run.outputs["File_Annotation"].file.name.val == "cells 1 [a].ims"
    assert "Export_Path" not in run.outputs
    (path,) = attached(omero_conn, number, tmp_path)
    assert np.array_equal(read_with_ims_reader(path), voxels)
    with h5py.File(path) as file:
        info = file["DataSetInfo"]
        extent = [float(read_text(info["Image"], f"ExtMax{axis}")) for axis in range(3)]
        assert extent == pytest.approx([30 * 0.25, 40 * 0.25, 4 * 1.5])
        assert [read_text(info[f"Channel {c}"], "Name") for c in range(2)] == ["DAPI", "GFP"]
        assert read_text(info["TimeInfo"], "TimePoint3") == "2000-01-01 00:00:04.000"
        assert read_text(info["OMERO"], "Image") == f"Image:{number}"
    assert left() == []


def test_a_part_of_an_image(export, image, omero_conn, tmp_path):
    number, voxels = image
    run = export(
        Image_ID=rlong(number),
        Channels=["gfp"],
        First_Z=2,
        Last_Z=3,
        First_T=3,
        Compression="small",
        Reuse_Export=False,
    )
    assert run.code == 0, run.message
    assert run.outputs["Export_Name"] == "cells 1 [a] C2 Z2-3 T3.ims"
    (path,) = attached(omero_conn, number, tmp_path)
    assert np.array_equal(read_with_ims_reader(path), voxels[2:, 1:, 1:3])
    with h5py.File(path) as file:
        assert float(read_text(file["DataSetInfo/Image"], "ExtMin2")) == 1.5


def test_the_image_of_a_file_with_several(export, omero_server, omero_user, omero_conn, tmp_path):
    arrays = [np.full((20, 30), n, "u1") for n in range(3)]
    path = tmp_path / "three.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for array in arrays:
            tiff.write(array)
    (result,) = omero_server.import_files([path], user=omero_user.name)
    run = export(IDs=[result.image_ids[2]])
    assert run.code == 0, run.message
    (path,) = attached(omero_conn, result.image_ids[2], tmp_path)
    assert np.array_equal(read_with_ims_reader(path)[0, 0, 0], arrays[2])


def test_folder_of_the_server_and_reuse(export, image, omero_conn, tmp_path, left):
    number, voxels = image
    first = export(IDs=[number], Delivery="Server folder")
    assert first.code == 0, first.message
    path = tmp_path / "exports" / f"image_{number}"
    (file,) = path.iterdir()
    assert first.outputs["Export_Path"] == str(file)
    assert first.outputs["Export_Name"] == "cells 1 [a].ims"
    assert "File_Annotation" not in first.outputs
    assert np.array_equal(read_with_ims_reader(file), voxels)
    made = file.stat().st_mtime_ns

    again = export(IDs=[number], Delivery="Both")
    assert again.code == 0, again.message
    assert file.stat().st_mtime_ns == made
    assert "the file on the server is still valid and was not made again" in again.message
    assert "Pixels from" not in again.message
    (copy,) = attached(omero_conn, number, tmp_path)
    assert copy.read_bytes() == file.read_bytes()

    third = export(IDs=[number], Delivery="Both")
    assert third.outputs["File_Annotation"].id.val == again.outputs["File_Annotation"].id.val
    assert third.message.count("still valid and was not made again") == 2

    file.write_bytes(file.read_bytes()[:-100])
    export(IDs=[number], Delivery="Server folder")
    assert np.array_equal(read_with_ims_reader(file), voxels)

    fourth = export(IDs=[number], Delivery="Both", Reuse_Export=False)
    assert fourth.outputs["File_Annotation"].id.val != again.outputs["File_Annotation"].id.val
    assert len(attached(omero_conn, number, tmp_path)) == 1
    assert left() == [f"exports/image_{number}", f"exports/image_{number}/{file.name}"]


def test_a_changed_image_is_exported_anew(export, image, omero_conn, tmp_path):
    number, _ = image
    first = export(IDs=[number])
    channel = omero_conn.getObject("Image", number).getChannels(noRE=True)[0].getLogicalChannel()
    channel.setName("Hoechst")
    channel.save()
    second = export(IDs=[number])
    assert second.outputs["File_Annotation"].id.val != first.outputs["File_Annotation"].id.val
    (path,) = attached(omero_conn, number, tmp_path)
    with h5py.File(path) as file:
        assert read_text(file["DataSetInfo/Channel 0"], "Name") == "Hoechst"


def test_other_options_make_another_file(export, image, omero_conn, tmp_path):
    number, _ = image
    first = export(IDs=[number])
    second = export(IDs=[number], Compression="uncompressed")
    assert second.outputs["File_Annotation"].id.val != first.outputs["File_Annotation"].id.val
    assert len(attached(omero_conn, number, tmp_path)) == 2


def test_a_plate(export, omero_server, omero_user, omero_conn, tmp_path):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((20, 30), ord(name), "u1"))
    wells = {"A01": [[tmp_path / "a.tif"]], "A02": [[tmp_path / "b.tif"]]}
    plate = omero_server.import_plate(wells, name="P", user=omero_user.name)
    run = export(Data_Type="Plate", IDs=[plate.plate_id], Delivery="Server folder")
    assert run.code == 0, run.message
    lines = run.message.splitlines()
    assert [line.partition(" exported to ")[0] for line in lines] == [
        f"Image:{number} (P [{well} field 1])" for number, well in zip(plate.image_ids, wells, strict=True)
    ]
    assert run.outputs["Export_Path"].startswith(str(tmp_path / "exports" / f"image_{plate.image_ids[0]}"))
    for number, name in zip(plate.image_ids, "ab", strict=True):
        (file,) = (tmp_path / "exports" / f"image_{number}").iterdir()
        assert (read_with_ims_reader(file) == ord(name)).all()


@pytest.mark.parametrize(
    ("dtype", "low", "stored", "statement"),
    [
        ("i2", -5, "f4", "int16 stored as float32: negative values, every value kept"),
        ("i2", 0, "u2", "int16 stored as uint16: no negative values"),
        ("f8", 0, "f4", "warning: float64 stored as float32: values are rounded to 7 digits"),
    ],
)
def test_types_that_imaris_does_not_have(export, omero_conn, tmp_path, dtype, low, stored, statement):
    plane = (np.arange(600).reshape(20, 30) + low).astype(dtype)
    number = omero_conn.createImageFromNumpySeq(iter([plane]), "made").getId()
    run = export(IDs=[number])
    assert run.code == 0, run.message
    assert f"Please note: {statement}; " in run.message
    (path,) = attached(omero_conn, number, tmp_path)
    found = read_with_ims_reader(path)
    assert found.dtype == stored
    assert np.array_equal(found[0, 0, 0], plane)


def test_a_range_in_omero_that_is_wrong(export, omero_conn, tmp_path):
    plane = np.arange(-300, 300, dtype="i2").reshape(20, 30)
    image = omero_conn.createImageFromNumpySeq(iter([plane]), "made")
    omero_conn.getPixelsService().setChannelGlobalMinMax(image.getPixelsId(), 0, 0.0, 300.0)
    run = export(IDs=[image.getId()])
    assert run.code == 0, run.message
    (path,) = attached(omero_conn, image.getId(), tmp_path)
    assert np.array_equal(read_with_ims_reader(path)[0, 0, 0], plane)


def test_progress_is_the_message_of_the_job(start, finish, image, omero_conn):
    process = start(omero_conn, IDs=[image[0]])
    job = process.getJob().id.val
    finish(omero_conn, process)
    query = f"select j.message from ScriptJob j where j.id = {job}"
    ((message,),) = omero_conn.getQueryService().projection(query, None, {"omero.group": "-1"})
    assert message.val.startswith(f"Image 1 of 1, Image:{image[0]}")
