"""Imports which fail: the message says why, and nothing is left."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import tifffile

from embedded_omero.imports import ImportFailed
from tests.embedded import images


def _with_xml(folder, text, shape=(6, 8), dtype="u1"):
    path = folder / "bad.ome.tif"
    tifffile.imwrite(path, np.zeros(shape, dtype), photometric="minisblack", description=text.encode(), metadata=None)
    return path


def _bad_file(folder, kind):
    image = images.ome_image
    good = '<TiffData IFD="0" PlaneCount="1"/>'
    if kind == "text":
        (folder / "a.tif").write_text("this is no image")
        return folder / "a.tif"
    if kind == "empty":
        (folder / "a.tif").touch()
        return folder / "a.tif"
    if kind == "cut":
        path, _ = images.five_d(folder)
        path.write_bytes(path.read_bytes()[:20000])
        return path
    if kind == "complex numbers of 24 bits":
        tifffile.imwrite(folder / "a.tif", np.zeros((6, 8), "u8"), photometric="minisblack")
        return folder / "a.tif"
    entity = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><OME'
    xml = {
        "not closed": images.ome_xml("<Image>"),
        "no pixels": images.ome_xml('<Image ID="Image:0"/>'),
        "no image": images.ome_xml(""),
        "document type": images.ome_xml(image(0, good)).replace("<OME", entity, 1),
        "other size": images.ome_xml(image(0, good, sizes="9 6 1 1 1")),
        "other type": images.ome_xml(image(0, good, kind="uint16")),
        "unknown type": images.ome_xml(image(0, good, kind="uint12")),
        "too many planes": images.ome_xml(image(0, '<TiffData IFD="0" PlaneCount="5"/>')),
        "no such page": images.ome_xml(image(0, '<TiffData IFD="7" PlaneCount="1"/>')),
        "size zero": images.ome_xml(image(0, good, sizes="8 6 0 1 1")),
        "no number": images.ome_xml(image(0, good, sizes="8 6 many 1 1")),
        "bad unit": images.ome_xml(image(0, good, attributes='PhysicalSizeX="1" PhysicalSizeXUnit="parrot"')),
        "bad date": images.ome_xml(image(0, good, more="<AcquisitionDate>yesterday</AcquisitionDate>")),
        "outside": images.ome_xml(image(0, '<TiffData IFD="0"><UUID FileName="../../etc/passwd"/></TiffData>')),
        "lost part": images.ome_xml(image(0, '<TiffData IFD="0"><UUID FileName="gone.ome.tif"/></TiffData>')),
    }[kind]  # fmt: skip
    return _with_xml(folder, xml)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("text", "not a TIFF"),
        ("empty", "not a TIFF"),
        ("cut", "five d.ome.tif"),
        ("complex numbers of 24 bits", "64 bits"),
        ("not closed", "OME-XML is damaged"),
        ("no pixels", "has no Pixels"),
        ("no image", "describes no image"),
        ("document type", "document type declaration"),
        ("other size", "the metadata say 9 x 6"),
        ("other type", "the metadata say uint16"),
        ("unknown type", "'uint12' is unknown"),
        ("too many planes", "names 5 planes"),
        ("no such page", "no page 7"),
        ("size zero", "size below 1"),
        ("no number", "not a number"),
        ("bad unit", "parrot"),
        ("bad date", "not a time"),
        ("outside", "same folder"),
        ("lost part", "gone.ome.tif does not exist"),
    ],
)
def test_failed_imports_leave_nothing(omero_server, omero_user, tmp_path, kind, words):
    path = _bad_file(tmp_path, kind)
    before = images.everything(omero_server)
    with pytest.raises(ImportFailed, match=re.escape(words)) as caught:
        omero_server.import_files(path, user=omero_user.name, dataset="never made")
    assert str(omero_server.core.repositories.managed) not in str(caught.value)
    assert images.everything(omero_server) == before


def test_missing_file(omero_server, tmp_path):
    with pytest.raises(ImportFailed, match="nothing.tif does not exist"):
        omero_server.import_files(tmp_path / "nothing.tif")
    with pytest.raises(ImportFailed, match="No file"):
        omero_server.import_files([])


def test_full_repository(omero_server, omero_user, tmp_path, monkeypatch):
    """A disk that fills up while files are copied."""
    path, _ = images.five_d(tmp_path)
    before = images.everything(omero_server)

    def full(source, target):
        target.write_bytes(b"half a f")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ImportFailed, match="No space left"):
        omero_server.import_files(path, user=omero_user.name)
    assert images.everything(omero_server) == before
