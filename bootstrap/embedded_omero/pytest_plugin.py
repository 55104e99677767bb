"""Fixtures for tests which need an OMERO.server."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class User:
    """Somebody who can log in."""

    name: str
    password: str
    id: int
    group: str
    group_id: int


@pytest.fixture(scope="session")
def omero_server() -> Iterator:
    """A running `EmbeddedOmero` with a script processor, one for the whole test run."""
    from embedded_omero import EmbeddedOmero

    with EmbeddedOmero() as server:
        yield server


@pytest.fixture(scope="session")
def make_user(omero_server) -> Callable[..., User]:
    """Function which makes a user: ``make_user(group=None, level="rwra--", leader=False)``.

    Without a group the user gets one of its own; several users share a group by its name.
    """
    numbers = itertools.count(1)

    def make(group: str | None = None, level: str = "rwra--", leader: bool = False) -> User:
        number = next(numbers)
        name, password = f"user{number}", secrets.token_hex(8)
        group = group or f"group{number}"
        core = omero_server.core
        with core.store.lock:
            accounts = core.accounts
            found = accounts.group(group) or accounts.add_group(group, level)
            user = accounts.add_user(name, "Ada", f"Number {number}", [found, accounts.group("user")], password)
            if leader:
                accounts.set_leader(user, found, True)
        return User(name, password, user.id, group, found.id)

    return make


@pytest.fixture
def omero_user(make_user) -> User:
    """A fresh user in a read-annotate group of its own."""
    return make_user()


@pytest.fixture
def connect(omero_server) -> Iterator[Callable]:
    """Function which logs a `User` in and answers a BlitzGateway; closed after the test."""
    from omero.gateway import BlitzGateway

    opened = []

    def log_in(user: User | None = None) -> BlitzGateway:
        name, password = (user.name, user.password) if user else (omero_server.user, omero_server.password)
        conn = BlitzGateway(name, password, host=omero_server.host, port=omero_server.port)
        assert conn.connect(), conn.getLastError()
        opened.append(conn)
        return conn

    yield log_in
    for conn in opened:
        conn.close()


@pytest.fixture
def omero_conn(connect, omero_user):
    """A BlitzGateway of a fresh user."""
    return connect(omero_user)
