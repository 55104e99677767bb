"""Fixtures for the room of execution: servers as processes of their own."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.execution.serving import Serving


@pytest.fixture
def serve(request, tmp_path):
    """Function which starts a server: ``serve(local=False, environment={}, **settings)``, a `Serving`.

    It is beside the embedded OMERO, whose users it serves, or local; ended after the test, with what it has started.
    """
    with ExitStack() as stack:
        numbers = iter(range(100))

        def start(local=False, environment=None, **settings):
            if not local and "server_omero" not in settings:
                omero = request.getfixturevalue("omero_server")
                settings["server_omero"] = f"{omero.host}:{omero.port}"
            serving = Serving(tmp_path / f"server{next(numbers)}", local, environment, **settings)
            stack.callback(serving.close)
            return serving

        yield start


@pytest.fixture(scope="module")
def local_server(tmp_path_factory):
    """A local server that the tests of a file share."""
    serving = Serving(tmp_path_factory.mktemp("local"), local=True)
    yield serving
    serving.close()


@pytest.fixture(scope="module")
def server(omero_server, tmp_path_factory):
    """A server beside the embedded OMERO that the tests of a file share."""
    serving = Serving(tmp_path_factory.mktemp("omero"), server_omero=f"{omero_server.host}:{omero_server.port}")
    yield serving
    serving.close()
