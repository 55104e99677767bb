"""An OMERO as it was when the answers were recorded, OMERO.web in front of it, and people who use it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from embedded_omero import EmbeddedOmero, dispatch
from embedded_omero.web import OmeroWeb
from tests.web.browser import Browser
from tests.web.world import PASSWORD, World


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Iterator[World]:
    """A server of its own: ids and lists have to be those of the record."""
    with EmbeddedOmero() as server:
        yield World(server, tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="session")
def web(world) -> Iterator[OmeroWeb]:
    """OMERO.web, configured as it was when the answers were recorded."""
    with OmeroWeb(world.server, settings={"omero.web.check_version": False}) as running:
        yield running


@pytest.fixture
def browse(web) -> Iterator[Callable[..., Browser]]:
    """Function which opens a browser, logged in unless the user is None."""
    opened = []

    def browser(user: str | None = "alice", password: str = PASSWORD) -> Browser:
        made = Browser(web.url)
        opened.append(made)
        if user is not None:
            assert made.login(user, password).status_code == 302
        return made

    yield browser
    for made in opened:
        made.post("/webclient/logout/")
        made.close()


@pytest.fixture
def alice(browse) -> Browser:
    """A logged-in browser of an ordinary user."""
    return browse()


@pytest.fixture(autouse=True)
def nothing_missing(caplog, request) -> Iterator[None]:
    """Whatever OMERO.web asks for has to be there; what is known not to be is named by the test."""
    before = Counter(dispatch.missing)
    yield
    marker = request.node.get_closest_marker("missing")
    expected = set(marker.args) if marker else set()
    assert set(dispatch.missing - before) == expected
    failed = [r.getMessage() for r in caplog.get_records("call") if r.name.startswith("embedded_omero.dispatch")]
    assert [text for text in failed if not text.startswith("not implemented")] == []
