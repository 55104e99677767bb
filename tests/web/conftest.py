"""An OMERO as it was when the answers were recorded, OMERO.web in front of it, and people who use it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from logging import ERROR

import numpy as np
import pytest

from embedded_omero import EmbeddedOmero, dispatch
from embedded_omero.web import OmeroWeb
from tests.web.browser import Browser
from tests.web.world import PASSWORD, RW, World, tiff


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
def scrap(world) -> Iterator[Callable[..., int]]:
    """Function which makes an image to change or delete: of bob, in a group of which nothing is recorded."""
    numbers = itertools.count()

    def make(**where) -> int:
        path = tiff(world.folder / f"scrap {next(numbers)}.tif", np.arange(600, dtype="u1").reshape(20, 30))
        return world.import_file(path, user="bob", group="rw", **where).image_ids[0]

    return make


@pytest.fixture
def bob(browse) -> Browser:
    """A logged-in browser of another user, in the group of `scrap`."""
    browser = browse("bob")
    browser.get(f"/webclient/active_group/?active_group={RW}")
    return browser


@pytest.fixture
def alice(browse) -> Browser:
    """A logged-in browser of an ordinary user."""
    return browse()


@pytest.fixture(autouse=True)
def missing(caplog) -> Iterator[set[str]]:
    """Whatever OMERO.web asks for has to be there: a test puts in here what it knows not to be."""
    before, known = Counter(dispatch.missing), set()
    yield known
    assert set(dispatch.missing - before) == known
    errors = [r for r in caplog.get_records("call") if r.name.startswith("embedded_omero") and r.levelno >= ERROR]
    assert [record.getMessage() for record in errors] == []
