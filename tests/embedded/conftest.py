"""Fixtures for imports, and a server without sockets."""

from __future__ import annotations

import pytest

from embedded_omero.core import Core
from tests.embedded.lab import Lab


@pytest.fixture
def importer(omero_server, omero_user):
    """Function which imports as the test's user."""

    def run(paths, **options):
        return omero_server.import_files(paths, user=omero_user.name, **options)

    return run


@pytest.fixture
def one(importer, omero_conn):
    """Function which imports one image and answers its wrapper."""

    def run(path, **options):
        (result,) = importer(path, **options)
        return omero_conn.getObject("Image", result.image_ids[0])

    return run


@pytest.fixture
def lab(tmp_path):
    """A `Lab` of its own for every test."""
    return Lab(Core(tmp_path, "secret"))
