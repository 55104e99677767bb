"""IMS_Export.py in a real processor with images, names, targets and files that nobody would expect."""

import os

import h5py
import numpy as np
import tifffile
from omero.model import LengthI
from omero.model.enums import UnitsLength
from omero.rtypes import rint

from openhcs_core.imaris import check_ims
from openhcs_core.imaris.verify import read_text
from tests.readers import read_with_ims_reader
from tests.scripts.runs import failed


def floats(*shape):
    """Values with holes: not a number, infinite, huge, tiny."""
    voxels = np.random.default_rng(0).normal(0, 100, shape).astype("f4")
    voxels.flat[:6] = np.nan, np.inf, -np.inf, 3e38, 1e-45, -0.0
    return voxels


def noise(*shape):
    return np.random.default_rng(1).integers(1, 60000, shape, "u2")


ODD = {
    "one pixel": noise(1, 1, 1, 1, 1),
    "a column": noise(1, 1, 70, 1, 1),
    "a line": noise(1, 1, 3, 1, 977),
    "prime": noise(1, 2, 5, 31, 37),
    "long": noise(1000, 1, 1, 5, 7),
    "colourful": noise(1, 120, 1, 8, 8),
    "floats": floats(2, 1, 3, 20, 30),
    "nothing but holes": np.full((1, 1, 1, 8, 8), np.nan, "f4"),
}


def test_odd_images(export, omero_server, omero_user, omero_conn, tmp_path):
    numbers = []
    for name, voxels in ODD.items():
        if voxels.shape[-1] == 1:  # tifffile would take a single column for something else
            planes = iter(voxels[0, 0])
            numbers.append(omero_conn.createImageFromNumpySeq(planes, name, sizeZ=voxels.shape[2]).getId())
        else:
            path = tmp_path / f"{name}.ome.tif"
            tifffile.imwrite(path, voxels, metadata={"axes": "TCZYX"})
            (result,) = omero_server.import_files([path], user=omero_user.name)
            numbers += result.image_ids
    run = export(IDs=numbers, Delivery="Server folder")
    assert run.code == 0, run.message
    for number, (name, voxels) in zip(numbers, ODD.items(), strict=True):
        (path,) = (tmp_path / "exports" / f"image_{number}").iterdir()
        assert path.name.startswith(f"{name} ")
        assert np.array_equal(read_with_ims_reader(path), voxels, equal_nan=voxels.dtype.kind == "f")
        assert check_ims(path, full=False) == []


def test_odd_channels_are_chosen(export, omero_server, omero_user, tmp_path):
    """So many that their numbers would make too long a name."""
    tifffile.imwrite(tmp_path / "a.ome.tif", ODD["colourful"], metadata={"axes": "TCZYX"})
    (result,) = omero_server.import_files([tmp_path / "a.ome.tif"], user=omero_user.name)
    wanted = list(range(1, 120, 2))
    run = export(IDs=result.image_ids, Channels=[str(number) for number in wanted], Delivery="Both")
    assert run.code == 0, run.message
    assert run.outputs["Export_Name"].startswith("a C1+3+5+")
    found = read_with_ims_reader(run.outputs["Export_Path"])
    assert np.array_equal(found, ODD["colourful"][:, [number - 1 for number in wanted]])


def test_absurd_calibration(export, omero_conn, tmp_path):
    """Every file has a usable calibration, whatever OMERO says."""
    sizes = [
        (0.0, UnitsLength.MICROMETER),
        (-0.1, UnitsLength.MICROMETER),
        (float("nan"), UnitsLength.MICROMETER),
        (float("inf"), UnitsLength.MICROMETER),
        (1e30, UnitsLength.METER),
        (0.1, UnitsLength.PIXEL),
    ]
    numbers = []
    for value, unit in sizes:
        image = omero_conn.createImageFromNumpySeq(iter(noise(2, 8, 8)), f"{value} {unit}", sizeZ=2)
        pixels = omero_conn.getObject("Image", image.getId()).getPrimaryPixels()._obj
        pixels.physicalSizeX = pixels.physicalSizeY = pixels.physicalSizeZ = LengthI(value, unit)
        omero_conn.getUpdateService().saveObject(pixels)
        numbers.append(image.getId())
    run = export(IDs=numbers, Delivery="Server folder")
    assert run.code == 0, run.message
    for number, statement in zip(numbers, run.message.splitlines(), strict=True):
        (path,) = (tmp_path / "exports" / f"image_{number}").iterdir()
        assert check_ims(path) == []
        assert "pixel width" in statement
        with h5py.File(path) as file:
            extent = [float(read_text(file["DataSetInfo/Image"], f"ExtMax{axis}")) for axis in range(3)]
        assert np.isfinite(extent).all()
        assert min(extent) > 0


def test_odd_names(export, omero_conn, tmp_path, left):
    """Safe in every folder, different from each other; the message keeps to one line per image."""
    names = ["../../a/b\\c:d", "new\nline\ttab", "🔬" * 60, "x" * 255]
    names += ["cells.tif", "CELLS.tif", "cells.ome.tif", "..", " "]
    numbers = [omero_conn.createImageFromNumpySeq(iter(noise(1, 8, 8)), name).getId() for name in names]
    run = export(IDs=numbers, Delivery="Both")
    assert run.code == 0, run.message
    lines = run.message.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [f"Image:{number}" for number in numbers]
    attached = []
    for number in numbers:
        (annotation,) = omero_conn.getObject("Image", number).listAnnotations()
        attached.append(annotation.getFile().getName())
    assert attached == [
        "_.._a_b_c_d.ims", "new_line_tab.ims", "🔬" * 25 + ".ims", "x" * 100 + ".ims",
        "cells.ims", "CELLS (2).ims", "cells (3).ims", "image.ims", "image (2).ims",
    ]  # fmt: skip
    assert all(len(os.fsencode(name)) < 150 for name in attached)
    assert len(list((tmp_path / "exports").glob("image_*/*.ims"))) == len(numbers)
    assert len(left()) == 2 * len(numbers)


def test_an_image_without_planes(export, omero_conn, left):
    image = omero_conn.createImageFromNumpySeq(iter(noise(1, 8, 8)), "empty")
    pixels = omero_conn.getObject("Image", image.getId()).getPrimaryPixels()._obj
    pixels.sizeZ = rint(0)
    omero_conn.getUpdateService().saveObject(pixels)
    failed(export(IDs=[image.getId()]), "it is empty in OMERO (T 1 × C 1 × Z 0 × Y 8 × X 8). Import it again.")
    assert left() == []


def test_a_target_that_is_taken(export, omero_conn, tmp_path, left):
    number = omero_conn.createImageFromNumpySeq(iter(noise(1, 8, 8)), "made").getId()
    first = export(IDs=[number], Delivery="Server folder")
    (path,) = (tmp_path / "exports" / f"image_{number}").iterdir()
    path.write_bytes(b"something else")
    path.chmod(0o444)
    run = export(IDs=[number], Delivery="Server folder")
    failed(run, f"{path} exists and is write-protected. Remove it, or choose another name.")
    assert path.read_bytes() == b"something else"
    path.unlink()
    path.mkdir()
    failed(export(IDs=[number], Delivery="Server folder"), f"{path} is a folder.")
    path.rmdir()
    assert left() == [f"exports/image_{number}"]
    assert first.code == 0


def test_a_target_that_takes_no_files(export, omero_conn, site):
    number = omero_conn.createImageFromNumpySeq(iter(noise(1, 8, 8)), "made").getId()
    site(export_dir="/proc")
    failed(export(IDs=[number], Delivery="Server folder"), f"the folder /proc/image_{number} cannot be made: ")


def test_a_corrupt_tile(export, omero_server, omero_user, omero_conn, tmp_path, left):
    """Of three images the one with the fault fails, and says where."""
    numbers, fault = [], None
    for name in "abc":
        path = tmp_path / f"{name}.ome.tif"
        tifffile.imwrite(path, noise(4, 64, 64), metadata={"axes": "TYX"}, tile=(32, 32), compression="zlib")
        (result,) = omero_server.import_files([path], user=omero_user.name)
        numbers += result.image_ids
        if name == "b":
            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages[2]
                fault = page.dataoffsets[1], page.databytecounts[1]
    (stored,) = omero_server.core.repositories.managed.rglob(f"{omero_user.name}_*/**/b.ome.tif")
    with stored.open("r+b") as file:
        file.seek(fault[0])
        file.write(b"\xff" * fault[1])
    run = export(IDs=numbers)
    assert run.code == 1
    first, *others = run.message.splitlines()
    assert first.startswith(f"Not exported: Image:{numbers[1]} (b.ome.tif): plane T3 C1 Z1 cannot be read")
    assert [line.partition(" ")[0] for line in others] == [f"Image:{numbers[0]}", f"Image:{numbers[2]}"]
    assert [len(list(omero_conn.getObject("Image", number).listAnnotations())) for number in numbers] == [1, 0, 1]
    assert left() == []
