"""A screen for all tests of this room, and an ImageJ that can be asked what it shows."""

from __future__ import annotations

import pytest

from bootstrap._display import xvfb
from tests.fiji.viewers import Inspected


@pytest.fixture(scope="session")
def display():
    with xvfb() as name:
        yield name


@pytest.fixture(scope="session")
def imagej(display, tmp_path_factory):
    """One ImageJ for many tests; `asked` gives it clean."""
    with Inspected(display, tmp_path_factory.mktemp("imagej")) as viewer:
        yield viewer


@pytest.fixture
def asked(imagej):
    yield imagej
    imagej.ask("clear")
