"""Fixtures for the room of OMERO: a gateway as scripts have it, and images in many forms."""

import numpy as np
import pytest
import tifffile

from openhcs_core.omero.session import gateway


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
