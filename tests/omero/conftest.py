"""Fixtures for the room of OMERO: a gateway as scripts have it, and images in many forms."""

import numpy as np
import pytest
import tifffile

from openhcs_backends.omero_local import OMEROLocalBackend
from openhcs_core.omero.login import Login
from openhcs_core.omero.session import gateway
from openhcs_core.storage.backend import Results
from tests.omero.plates import PlateField, write_plate


@pytest.fixture
def conn(omero_conn):
    """A gateway of a fresh user, reading in all groups."""
    return gateway(omero_conn.c)


@pytest.fixture
def import_tiff(omero_server, omero_user, conn, tmp_path):
    """Function which writes a TIFF with ``tifffile.imwrite``, imports it and gives its image."""

    def make(voxels, name="image.tif", **options):
        path = tmp_path / name
        tifffile.imwrite(path, voxels, **options)
        (result,) = omero_server.import_files([path], user=omero_user.name)
        return conn.getObject("Image", result.image_ids[0])

    return make


@pytest.fixture
def voxels():
    """Function which gives voxels of any shape and type, none of them equal to a neighbour."""

    def make(*shape, dtype="u2"):
        return (np.arange(np.prod(shape), dtype="u4").reshape(shape) % 251 * 257 % 65521).astype(dtype)

    return make


@pytest.fixture
def stored_file(omero_server):
    """Function which gives the path of an image's file in the repository."""

    def find(image):
        (path,) = image.getImportedImageFilePaths()["server_paths"]
        return omero_server.core.repositories.managed / path

    return find


@pytest.fixture
def make_image(omero_conn, conn):
    """Function which makes an image of (T, C, Z, Y, X) through the API."""

    def make(array, name="made"):
        t, c, z = array.shape[:3]
        planes = (array[at_t, at_c, at_z] for at_z in range(z) for at_c in range(c) for at_t in range(t))
        return conn.getObject("Image", omero_conn.createImageFromNumpySeq(planes, name, z, c, t).getId())

    return make


@pytest.fixture
def plate(omero_server, omero_user, tmp_path, voxels):
    """Id of a plate: A01 with two fields, B03 with one; two channels, three sections."""
    first = voxels(1, 2, 3, 40, 50)
    wells = {(0, 0): [PlateField(first, (0, 0)), PlateField(first + 1, (0, 20))], (1, 2): [PlateField(first + 2)]}
    (result,) = omero_server.import_files([write_plate(tmp_path / "p.ome.tif", wells)], user=omero_user.name)
    return result.plate_id


@pytest.fixture
def home(omero_conn):
    return OMEROLocalBackend(Login.of(omero_conn.c))


@pytest.fixture
def begin(home, plate):
    """Function which gives the results of a run on the plate."""

    def make(location=f"Plate:{plate}", run="run", backend=home, **facts):
        with backend.open_plate(location) as opened:
            return Results(location, opened.layout, "pipeline_steps = []", run, facts)

    return make
