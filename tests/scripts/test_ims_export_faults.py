"""IMS_Export.py in a real processor when something is wrong: a clear message, a failure that is seen, nothing left."""

import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import tifffile
from omero.model import DatasetI
from omero.rtypes import rlong, rstring

from tests.readers import read_with_ims_reader
from tests.scripts.runs import failed


@pytest.fixture
def made(omero_conn):
    """Function which makes an image with noise through the API; answers its id."""

    def make(*shape_zyx, name="made"):
        planes = np.random.default_rng(1).integers(0, 60000, shape_zyx, "u2")
        return omero_conn.createImageFromNumpySeq(iter(planes), name, sizeZ=shape_zyx[0]).getId()

    return make


@pytest.fixture
def huge(omero_conn):
    """Function which makes an image of empty planes, so large that its export takes many seconds; answers its id."""

    def make(size_z):
        kind = omero_conn.getQueryService().findByQuery("from PixelsType p where p.value = 'uint16'", None)
        return omero_conn.getPixelsService().createImage(2048, 2048, size_z, 1, [0], kind, "huge", "").val

    return make


@pytest.fixture
def imported(omero_server, omero_user, tmp_path):
    """An imported OME-TIFF with three time points: id, voxels, path in the repository."""
    voxels = np.random.default_rng(2).integers(0, 4000, (3, 40, 30), "u2")
    tifffile.imwrite(tmp_path / "cells.ome.tif", voxels, metadata={"axes": "TYX"})
    (result,) = omero_server.import_files([tmp_path / "cells.ome.tif"], user=omero_user.name)
    (stored,) = omero_server.core.repositories.managed.rglob(f"{omero_user.name}_*/**/cells.ome.tif")
    return result.image_ids[0], voxels, stored


def attached(conn, image):
    return len(list(conn.getObject("Image", image).listAnnotations()))


def test_nothing_selected(export):
    run = export(Data_Type="Image")
    failed(run, "Nothing was exported: Nothing is selected. Select images, datasets, wells or plates")


def test_image_that_does_not_exist(export):
    failed(export(IDs=[99999]), "Not exported: Image:99999 does not exist, or you may not see it")


def test_image_that_the_user_may_not_see(export, connect, make_user, left):
    owner, other = make_user("scripts private", "rw----"), make_user("scripts private", "rw----")
    number = connect(owner).createImageFromNumpySeq(iter(np.zeros((1, 8, 8), "u1")), "mine").getId()
    run = export(connect(other), Image_ID=rlong(number), Delivery="Both")
    failed(run, f"Not exported: Image:{number} does not exist, or you may not see it")
    assert left() == []


def test_empty_dataset(export, omero_conn):
    dataset = DatasetI()
    dataset.name = rstring("empty")
    number = omero_conn.getUpdateService().saveAndReturnObject(dataset).id.val
    failed(export(Data_Type="Dataset", IDs=[number]), f"Dataset:{number} holds no images that you may see")


def test_mixed_selection(export, made):
    number = made(1, 8, 8)
    failed(
        export(Data_Type="Plate", IDs=[number], Image_ID=rlong(number)), "Give either Image_ID, or Data_Type and IDs"
    )
    failed(
        export(Data_Type="Plate", IDs=[number + 1000]), f"Plate:{number + 1000} does not exist, or you may not see it"
    )


def test_some_of_the_selection(export, made, omero_conn):
    """What can be exported is; the rest makes the run a failure."""
    first, second = made(1, 8, 8, name="a"), made(1, 8, 8, name="b")
    run = export(IDs=[first, 99999, second], Channels=["1"])
    assert run.code == 1
    lines = run.message.splitlines()
    assert lines[0] == "Not exported: Image:99999 does not exist, or you may not see it"
    assert [line.partition(" exported")[0] for line in lines[1:]] == [f"Image:{first} (a)", f"Image:{second} (b)"]
    assert run.outputs["Export_Name"] == "a.ims"
    assert attached(omero_conn, first) == attached(omero_conn, second) == 1


def test_duplicates(export, made, omero_conn):
    number = made(1, 8, 8)
    run = export(IDs=[number, number])
    assert run.code == 0
    assert run.message.endswith(f"Note: given more than once, used once: Image:{number}.")
    assert attached(omero_conn, number) == 1


def test_a_part_that_the_image_does_not_have(export, made, left):
    number = made(2, 8, 8)
    run = export(IDs=[number], First_Z=2, Last_Z=3)
    failed(run, f"Image:{number} (made): the image has Z 1 to 2, but 2 to 3 is wanted.")
    failed(export(IDs=[number], Channels=["GFP"]), "the image has no channel 'GFP'. Its channels: 1")
    assert left() == []


def test_file_that_cannot_be_read_here(export, imported, omero_server, site, tmp_path):
    number, voxels, _ = imported
    site(f'[path_map]\n"{omero_server.core.repositories.managed}" = "/nowhere"')
    run = export(IDs=[number], Delivery="Server folder")
    assert run.code == 0, run.message
    assert (
        "Pixels from the OMERO API, because the file cells.ome.tif is not to be found on this machine." in run.message
    )
    assert np.array_equal(read_with_ims_reader(run.outputs["Export_Path"])[:, 0, 0], voxels)


def test_planes_missing_on_disk(export, imported, left, omero_conn):
    number, _, stored = imported
    stored.write_bytes(stored.read_bytes()[:5000])
    run = export(IDs=[number], Delivery="Both")
    failed(run, f"Not exported: Image:{number} (cells.ome.tif): ")
    assert left() == []
    assert attached(omero_conn, number) == 0


def test_planes_that_were_never_written(export, omero_server, omero_user, tmp_path):
    """The description of a file tells of more planes than it holds."""
    voxels = np.random.default_rng(3).integers(1, 4000, (3, 40, 30), "u2")
    path = tmp_path / "gaps.ome.tif"
    tifffile.imwrite(path, voxels[:2], metadata={"axes": "TYX"})
    path.write_bytes(path.read_bytes().replace(b'SizeT="2"', b'SizeT="3"'))
    (result,) = omero_server.import_files([path], user=omero_user.name)
    run = export(IDs=[result.image_ids[0]], Delivery="Server folder")
    assert run.code == 0, run.message
    assert "Pixels from the OMERO API, because the file gaps.ome.tif" in run.message
    assert "1 of 3 planes are missing" in run.message
    assert run.stderr == ""
    found = read_with_ims_reader(run.outputs["Export_Path"])[:, 0, 0]
    assert np.array_equal(found[:2], voxels[:2])
    assert not found[2].any()


def test_scratch_that_is_not_writable(export, made, site):
    number = made(1, 8, 8)
    site(scratch="/dev/null/scratch")
    run = export(IDs=[number])
    failed(run, "the scratch folder /dev/null/scratch cannot be used: Not a directory. Ask the administrator to set")


def test_folder_of_the_server_that_is_not_there(export, made, site, left, tmp_path):
    number = made(1, 8, 8)
    site(export_dir=tmp_path / "exports" / "not mounted")
    failed(export(IDs=[number], Delivery="Server folder"), "the folder for exports, ", "does not exist.")
    assert left() == []


def test_no_folder_of_the_server(export, made, tmp_path):
    (tmp_path / "server/etc/openhcs.toml").write_text("")
    run = export(IDs=[made(1, 8, 8)], Delivery="Server folder")
    failed(run, "this OMERO.server has no folder for exports. Choose the delivery 'Attach to image'")


def test_settings_that_are_wrong(export, made, site, tmp_path):
    site("scrach = 1")
    failed(export(IDs=[made(1, 8, 8)]), f"{tmp_path}/server/etc/openhcs.toml: there is no setting 'scrach'")


def test_too_little_space(export, huge, left, tmp_path):
    number = huge(2 * shutil.disk_usage(tmp_path).free // (2048 * 2048 * 2))
    run = export(IDs=[number], Compression="uncompressed")
    failed(run, f"there is too little space in {tmp_path}/scratch/", "are free, at least", "needed. Free some")
    assert left() == []


def test_disk_full(export, made, python, left, omero_conn):
    """A limit for the size of files: to the program it is the same, and it needs no disk of its own."""
    number = made(8, 300, 300)
    python('ulimit -f 800\nexec "$@"')
    run = export(IDs=[number])
    failed(run, "the file grew too large", "nothing was left")
    assert left() == []
    assert attached(omero_conn, number) == 0


def test_attachments_that_are_not_allowed(export, connect, make_user, tmp_path, left):
    owner, other = make_user("scripts read-only", "rwr---"), make_user("scripts read-only", "rwr---")
    number = connect(owner).createImageFromNumpySeq(iter(np.zeros((1, 8, 8), "u1")), "mine").getId()
    conn = connect(other)
    failed(export(conn, IDs=[number]), "you may not attach files to it. Choose the delivery 'Server folder'")
    run = export(conn, IDs=[number], Delivery="Both")
    assert run.code == 1
    assert f"Not attached: Image:{number} (mine): you may not attach files to it." in run.message
    assert Path(run.outputs["Export_Path"]).is_file()


def test_python_without_openhcs(export, made, python, tmp_path):
    packages = tmp_path / "site-packages"
    packages.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("openhcs", "__editable__")) and entry.suffix != ".pth":
            (packages / entry.name).symlink_to(entry)
    python(f'export PYTHONPATH="{packages}"\npython=$1\nshift\nexec "$python" -S "$@"')
    run = export(IDs=[made(1, 8, 8)])
    failed(
        run,
        "openhcs-omero is not installed in the Python of this OMERO processor (",
        '-m pip install "openhcs-omero[omero]"',
    )


def test_python_without_something_that_openhcs_needs(export, made, python, tmp_path):
    (tmp_path / "h5py.py").write_text("raise ModuleNotFoundError(\"No module named 'h5py'\", name='h5py')")
    python(f'export PYTHONPATH="{tmp_path}"\nexec "$@"')
    failed(
        export(IDs=[made(1, 8, 8)]), "openhcs-omero is not completely installed (No module named 'h5py') in the Python"
    )
