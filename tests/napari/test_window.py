"""The viewer as people have it: a window on a screen, with publishers that send to it."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from bootstrap._display import xvfb
from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.messages import Begin, Channel, Ping, Shutdown
from openhcs_core.streaming.publisher import Publisher
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import Server
from tests.napari.windows import PATIENCE_S, Window
from tests.streaming.peers import segments, until

ANY = ("--listen", "tcp://127.0.0.1:0")
SIZE = 128
BOX = SIZE // 4


@pytest.fixture(scope="module")
def display():
    with xvfb("1600x1000x24") as name:
        yield name


@pytest.fixture(autouse=True)
def _nothing_left_in_shared_memory():
    before = segments()
    yield
    assert segments() == before


def box(corner: tuple[int, int], value: int = 1000, dtype=np.uint16) -> np.ndarray:
    """A plane that is bright in one quarter of a side squared, black elsewhere."""
    plane = np.zeros((SIZE, SIZE), dtype)
    y, x = corner
    plane[y : y + BOX, x : x + BOX] = value
    return plane


def begin(stream: str = "run/raw", **changes) -> Begin:
    values = {"well": ("A01", "B03"), "site": (1,), "channel": (1, 2), "z_index": (1, 2), "timepoint": (1,)}
    channels = (
        Channel(name="red", color=(1.0, 0.0, 0.0), window=(0.0, 1000.0)),
        Channel(name="blue", color=(0.0, 0.0, 1.0), window=(0.0, 1000.0)),
    )
    facts = {"dtype": "uint16", "size_yx": (SIZE, SIZE), "values": values, "channels": channels, "images": 8}
    return Begin(stream=stream, **{"title": "raw", **facts, **changes})


class Picture:
    """The canvas, looked at in pixels of the planes: a red box is known to be at (48, 8), a blue one at (48, 88)."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        red, blue = (self._corner(pixels[..., channel] - pixels[..., 1:].min(2)) for channel in (0, 2))
        self.scale = (blue[1] - red[1]) / 80
        self.origin = red[0] - 48 * self.scale, red[1] - 8 * self.scale
        assert abs(blue[0] - red[0]) <= 1, "the boxes are not side by side"

    @staticmethod
    def _corner(brightness: np.ndarray) -> tuple[float, float]:
        rows, columns = np.nonzero(brightness > 180)
        return float(rows.min()), float(columns.min())

    def at(self, y: float, x: float) -> list[int]:
        """The colour of the plane at a point."""
        row, column = (round(start + self.scale * value) for start, value in zip(self.origin, (y, x), strict=True))
        return self.pixels[row, column].tolist()


def is_ready(pixels: np.ndarray) -> bool:
    """Whether something red and something blue is there."""
    return all(((pixels[..., channel] > 200) & (pixels[..., 1] < 60)).sum() > 100 for channel in (0, 2))


def send_images(publisher: Publisher) -> None:
    """In the last place a red box on the left and a blue one on the right, elsewhere a dim one of both colours."""
    for well in ("A01", "B03"):
        for z in (1, 2):
            for channel, corner in ((1, (48, 8)), (2, (48, 88))):
                plane = box(corner) if (well, z) == ("B03", 2) else box((8, 8), 300)
                publisher.save("run/raw", plane, PlaneAddress(well, 1, channel, z))


def test_what_was_sent_is_on_the_screen(display):
    """Right plane, right colours, right place; labels, points and outlines over it; the user's settings are kept."""
    here = PlaneAddress("B03", 1, 1, 2)
    outline = [[1, 96.0, 88.0], [1, 96, 120], [1, 120, 120], [1, 120, 88]]
    with Window(display, *ANY, hands=True) as window, Publisher(connect=[window.address]) as publisher:
        assert [each["phase"] for each in window.phases] == ["started", "imported", "window", "ready"]
        publisher.begin(begin())
        for stream, kind in (("cells", "labels"), ("spots", "points"), ("outlines", "shapes")):
            publisher.begin(Begin(stream=stream, title=stream, kind=kind))
        send_images(publisher)
        publisher.save("cells", box((96, 8), 3), here)
        publisher.save("spots", np.array([[104.0, 64.0]]), here)
        publisher.save("outlines", np.array(outline), here)
        window.shown(11)

        seen = window.do("look")
        assert seen["place"] == "well B03, site 1, t 1, z 2"
        overlays = {"cells": [1, None], "spots": [1, None], "outlines": [1, None]}
        assert seen["layers"] == {"raw: red": [4, 4], "raw: blue": [4, 4], **overlays}
        picture = Picture(until(window.picture, is_ready, PATIENCE_S))
        assert picture.at(64, 24) == [255, 0, 0]
        assert picture.at(64, 104) == [0, 0, 255]
        assert picture.at(64, 64) == [0, 0, 0]
        assert picture.at(16, 16) == [0, 0, 0]  # nothing of the other planes
        assert max(picture.at(112, 24)) > 60  # a label
        assert picture.at(104, 64) == [0, 0, 0]  # a point is a ring
        assert max(picture.at(104, 64 + offset)[1] for offset in np.arange(4, 7, 0.1)) > 150
        assert picture.at(96, 104)[:2] == picture.at(120, 104)[:2] == picture.at(108, 88)[:2]
        assert min(picture.at(96, 104)[:2]) > 150
        assert picture.at(108, 104) == [0, 0, 0]

        window.do("move", 0, 0)
        assert window.do("move", 3, 0)["following"] is False
        window.do("contrast", "raw: red", 0, 300)
        dim = until(lambda: moved(picture, window).at(16, 16), lambda colour: colour[0] == 255, PATIENCE_S)
        assert dim[1] == 0
        assert 74 <= dim[2] <= 79  # 300 of 1000
        send_images(publisher)
        window.shown(19)
        seen = window.do("look")
        assert seen["place"] == "well A01, site 1, t 1, z 1"
        assert seen["contrast"] == [[0, 300], [0, 1000]]
        assert moved(picture, window).at(16, 16) == dim

        assert window.do("clear")["layers"] == {}
        window.do("replay")
        until(lambda: window.do("look")["layers"], lambda layers: layers == seen["layers"], PATIENCE_S)
        shown = window.do("pause", True)["displayed"]
        publisher.save("run/raw", box((8, 8)), here)
        assert window.do("pause", False)["notes"] == []
        window.shown(shown + 1)
        report = publisher.close()
        assert report.undelivered == []
        assert ask(window.address, Shutdown(reason="enough")) is not None
        status, errors = window.ended()
        assert status == 0
        assert "Traceback" not in errors


def moved(picture: Picture, window: Window) -> Picture:
    """What is there now where another picture was."""
    other = object.__new__(Picture)
    other.pixels, other.scale, other.origin = window.picture(), picture.scale, picture.origin
    return other


def test_a_viewer_that_was_killed_gets_everything_again(display):
    with Window(display, *ANY, hands=True) as first, Publisher(connect=[first.address]) as publisher:
        publisher.begin(begin())
        send_images(publisher)
        first.shown(8)
        first.process.kill()
        first.process.wait()
        with Window(display, "--listen", first.address, hands=True) as second:
            assert second.shown(8).failed == 0
            picture = Picture(until(second.picture, is_ready, PATIENCE_S))
            assert picture.at(64, 24) == [255, 0, 0]
            with Window(display, "--listen", first.address) as third:
                assert third.phases[-1]["phase"] == "failed"
                assert "it is in use" in third.phases[-1]["error"]
                assert third.ended()[0] == 1
            second.do("close")
            status, errors = second.ended()
            assert status == 0
            assert "Traceback" not in errors
            assert publisher.close().undelivered == []


def test_it_lets_in_whom_it_is_told_to_and_outlives_who_started_it(display):
    """An encrypted connection; then the end of its standard input, and a signal."""
    keys = CurveKeys.new()
    with Window(display, *ANY, "--curve", "--commands", "--persistent") as window:
        server = Server.from_text(window.address)
        window.command(allow=keys.public)
        with Publisher([server], keys=keys) as publisher:
            publisher.begin(begin())
            send_images(publisher)
            publisher.end("run/raw")
            report = publisher.close()
        assert [viewer.delivered for viewer in report.viewers] == [8]
        window.process.stdin.close()
        assert ask(server.endpoint, Ping(), timeout_s=PATIENCE_S, keys=keys, server_key=server.public_key) is not None
        window.process.send_signal(signal.SIGTERM)
        status, errors = window.ended()
        assert status == 0
        assert "Traceback" not in errors


def test_a_napari_that_is_open_already_takes_results_in_a_dock_widget(display):
    """It listens, connects to a publisher that listens, says what is wrong; asked to end, it only stops to listen."""
    with Window(display, "own", hands=True) as window:
        assert window.do("listen", "tcp://nowhere")["notes"] == [
            "'tcp://nowhere' is no address of a viewer; write it like tcp://192.168.1.20:5555."
        ]
        window.address = window.do("listen", "tcp://127.0.0.1:0")["address"]
        with Publisher(connect=[window.address]) as near, Publisher(listen="tcp://127.0.0.1:0") as far:
            assert "is no address" in window.do("connect", "nonsense")["notes"][-1]
            window.do("connect", far.endpoint)
            for publisher, stream in ((near, "near"), (far, "far")):
                publisher.begin(begin(stream, title=stream))
                publisher.save(stream, box((8, 8)), PlaneAddress("A01"))
            window.shown(2)
            seen = until(lambda: window.do("look"), lambda seen: seen["table"].count("1/4") == 2, PATIENCE_S)
            assert seen["table"].count("0/4") == 2
            assert seen["contrast"][0] == [0, 1]  # the user's own layer
            assert ask(window.address, Shutdown(reason="enough")) is not None
            seen = until(lambda: window.do("look"), lambda seen: not seen["address"], PATIENCE_S)
            assert seen["notes"][-1] == "Stopped: enough."
            assert len(seen["layers"]) == 4
        window.do("close")
        status, errors = window.ended()
        assert status == 0
        assert "Traceback" not in errors
