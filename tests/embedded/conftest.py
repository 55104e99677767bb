"""Fixtures for imports."""

from __future__ import annotations

import pytest


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
