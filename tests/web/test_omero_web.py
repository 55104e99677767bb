"""Starting and stopping OMERO.web."""

import socket
from types import SimpleNamespace

import pytest

from embedded_omero.web import OmeroWeb
from tests.web.browser import Browser
from tests.web.world import PASSWORD


def test_life(world):
    """With its own defaults, which ask the server for its version; nothing is left of it."""
    with OmeroWeb(world.server, settings={"omero.web.ui.top_links": [["Ours", "webindex", {}]]}) as web:
        home = web.log.parents[2]
        browser = Browser(web.url)
        assert browser.login("alice", PASSWORD).status_code == 302
        assert "Ours" in browser.get("/webclient/").text
        browser.close()
        assert web.log.exists()
        assert home.stat().st_mode & 0o077 == 0
    assert not home.exists()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", web.port), timeout=5):
        pass


def test_taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        web = OmeroWeb(SimpleNamespace(host="localhost", port=4064), port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            web.start()


def test_wrong_settings():
    """What OMERO.web says of them is told."""
    web = OmeroWeb(SimpleNamespace(host="localhost", port=4064), settings={"omero.web.session_engine": "nothing"})
    with pytest.raises(RuntimeError, match="Unknown session engine: nothing"):
        web.start()


def test_before_the_start():
    web = OmeroWeb(SimpleNamespace(host="localhost", port=4064))
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = web.log
    web.stop()


def test_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install"):
        OmeroWeb(SimpleNamespace(host="localhost", port=4064)).start()
