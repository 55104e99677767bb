"""Files of plates may not be downloaded under the policy which servers start with; their pixels may be read."""

from pathlib import Path

import omero
import pytest

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def images(omero_server, omero_conn, omero_user):
    """A plain image and one of a plate."""
    plain = omero_server.import_files([DATA / "kc167" / "dna.tif"], user=omero_user.name)[0].image_ids[0]
    wells = {"A1": [[DATA / "fly" / "01_POS002_D.TIF"]]}
    field = omero_server.import_plate(wells, user=omero_user.name).image_ids[0]
    return [omero_conn.getObject("Image", id) for id in (plain, field)]


def read_files(image):
    store = image._conn.createRawFileStore()
    try:
        for file in image.getImportedImageFiles():
            store.setFileId(file.getId())
            assert store.read(0, 4)
    finally:
        store.close()


def test_files_of_plates_are_restricted(images):
    plain, field = images
    assert plain.canDownload()
    read_files(plain)
    assert not field.canDownload()
    with pytest.raises(omero.SecurityViolation, match="Download is restricted for ome.model.core.OriginalFile:Id_"):
        read_files(field)
    assert field.getPrimaryPixels().getPlane(0, 0, 0).shape == (256, 256)


def test_policy_may_allow_it(omero_server, images):
    config = omero_server.core.config
    config["omero.policy.binary_access"] = "+read,+write,+image,+plate"
    try:
        read_files(images[1])
    finally:
        del config["omero.policy.binary_access"]
