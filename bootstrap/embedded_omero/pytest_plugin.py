"""Fixtures for tests which need an OMERO.server. Nothing of OMERO is imported before the first of them is used."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from omero.gateway import BlitzGateway

    from . import EmbeddedOmero
    from .script_runner import Script

# What the libraries below warn of is no error of the tests.
_WARNINGS = (
    r"ignore::DeprecationWarning:(omero|Ice|IceImport|Glacier2)\b",
    "ignore:the imp module is deprecated:DeprecationWarning",  # Ice.py of wheels made elsewhere
    "ignore:object name is not a valid Python identifier",  # PyTables, of columns with blanks in their names
    "ignore:Setting the shape on a NumPy array has been deprecated:DeprecationWarning",  # PyTables with NumPy 2.5
)


def pytest_configure(config: pytest.Config) -> None:
    for line in _WARNINGS:
        config.addinivalue_line("filterwarnings", line)


@dataclass(frozen=True)
class User:
    """Somebody who can log in."""

    name: str
    password: str
    id: int
    group: str
    group_id: int


@pytest.fixture(scope="session")
def omero_server() -> Iterator[EmbeddedOmero]:
    """A running `EmbeddedOmero` with a script processor, one for the whole test run."""
    from embedded_omero import EmbeddedOmero

    with EmbeddedOmero() as server:
        yield server


@pytest.fixture(scope="session")
def make_user(omero_server: EmbeddedOmero) -> Callable[..., User]:
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
def omero_user(make_user: Callable[..., User]) -> User:
    """A fresh user in a read-annotate group of its own."""
    return make_user()


@pytest.fixture
def connect(omero_server: EmbeddedOmero) -> Iterator[Callable[..., BlitzGateway]]:
    """Function which logs a `User` in, or root, and answers a BlitzGateway; closed after the test."""
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
def omero_conn(connect: Callable[..., BlitzGateway], omero_user: User) -> BlitzGateway:
    """A BlitzGateway of a fresh user."""
    return connect(omero_user)


@pytest.fixture
def omero_script(connect: Callable[..., BlitzGateway], omero_conn: BlitzGateway) -> Iterator[Callable[..., Script]]:
    """Function which puts a script on the server: ``omero_script(source, conn=omero_conn, timeout=60)``.

    ``source`` is a path, the text of a script, or the id of one that is there. Call what it answers, a
    `script_runner.Script`, to run the script as the user of ``conn``:
    ``omero_script("My_Script.py")(IDs=[1]).outputs["Message"]``. Removed after the test.
    """
    service = connect().getScriptService()
    made: list[int] = []

    def upload(source: str | os.PathLike | int, conn: BlitzGateway = omero_conn, timeout: float = 60) -> Script:
        from .script_runner import Script

        if isinstance(source, int):
            return Script(conn, source, timeout)
        if isinstance(source, str) and "\n" in source:
            name, text = "script.py", source
        else:
            name, text = Path(source).name, Path(source).read_text(encoding="utf-8")
        made.append(service.uploadOfficialScript(f"/tests/{len(made)}/{name}", text))
        return Script(conn, made[-1], timeout)

    yield upload
    for id in made:
        service.deleteScript(id)
