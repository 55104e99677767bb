"""An image as that which becomes one file."""

import pytest
from omero.model import ImageI, PixelsI
from omero.rtypes import rstring

from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.metadata import Crop
from openhcs_core.omero.subject import ImageSubject
from openhcs_core.settings import Settings


@pytest.fixture
def subject(conn, make_image, voxels):
    return ImageSubject(conn, make_image(voxels(3, 2, 1, 6, 5), "cells"))


def test_who_it_is(subject):
    number = subject.target.getId()
    assert (subject.name, subject.label, subject.key) == ("cells", f"Image:{number} (cells)", f"image_{number}")
    assert subject.sizes == {"T": 3, "C": 2, "Z": 1, "Y": 6, "X": 5}
    assert len(subject.channel_names) == 2


def test_what_it_holds(subject, voxels, tmp_path):
    pixels = subject.pixels(Settings(scratch=tmp_path))
    try:
        assert (pixels.read(2, 1, 0, 1, 1, 4) == voxels(3, 2, 1, 6, 5)[2, 1, :, 1:4]).all()
    finally:
        pixels.close()
    assert subject.metadata(Crop([0], range(1), range(3))).ims.name == "cells"


def test_identity_tells_of_changes(subject, omero_conn):
    before = subject.identity()
    assert before == subject.identity()
    assert before[0][0] == subject.target.getPixelsId()
    update, query = omero_conn.getUpdateService(), omero_conn.getQueryService()
    pixels = query.get("Pixels", subject.target.getPixelsId())
    assert isinstance(pixels, PixelsI)
    pixels.sha1 = rstring("0" * 40)
    update.saveObject(pixels)
    assert subject.identity() != before


def test_an_image_without_pixels(conn, omero_conn):
    image = ImageI()
    image.name = rstring("empty")
    number = omero_conn.getUpdateService().saveAndReturnObject(image).id.val
    subject = ImageSubject(conn, conn.getObject("Image", number))
    assert subject.label == f"Image:{number} (empty)"
    with pytest.raises(OmeroError, match="the image has no pixels in OMERO"):
        _ = subject.sizes
