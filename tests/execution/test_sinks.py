"""Where images go on the client's side: real senders, real viewers, real files."""

from __future__ import annotations

import socket
from contextlib import contextmanager

import numpy as np
import pytest
import tifffile

from openhcs_core import plugins
from openhcs_core.errors import OpenHCSError
from openhcs_core.execution import receiving, sinks
from openhcs_core.execution.receiving import PORTS, CallbackSink, DirectorySink
from openhcs_core.execution.sinks import ViewerSink, get_local_ip, opened
from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Begin
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.security import CurveKeys, key_from_text, key_text
from openhcs_core.streaming.sockets import Server
from tests.scripts.viewer import own_address
from tests.streaming.tiny import ROOT, TinyPlugin, free_port, wait_for

HERE = "127.0.0.1"
PLANE = np.arange(48, dtype="u2").reshape(6, 8)
PLACE = PlaneAddress("B03", site=2, channel=3, z_index=4, timepoint=5)


@contextmanager
def received(sink, server_host=HERE):
    """Context manager: a sender whose images go to a sink as a server's do; what the sink says is added to the list."""
    said = []
    keys = CurveKeys.new()
    with opened([sink], server_host, said.append) as told:
        options = PublisherOptions(drain_s=10)
        if told["client_address"] == "listen":
            allowed = [key_from_text(told["client_key"])]
            publisher = Publisher((), f"tcp://{HERE}:0", keys, allowed, options)
            sink.let_in(str(Server(publisher.endpoint, keys.public)))
        else:
            server = Server.from_text(told["client_address"])
            publisher = Publisher([server], None, keys if server.public_key else None, (), options)
            if server.public_key:
                sink.let_in(key_text(keys.public))
        with publisher:
            yield publisher, said


def send(publisher, stream="one", array=PLANE, address=PLACE, **begin):
    begin = {"dtype": str(array.dtype), "size_yx": array.shape, **begin}
    publisher.begin(Begin(stream=stream, **begin))
    publisher.save(stream, array, address)
    publisher.drain(lambda: 10.0)


@pytest.fixture
def got():
    """What a function is called with."""
    return []


@pytest.fixture
def callback(got):
    """Function which makes a sink that keeps what it is called with."""
    return lambda **options: CallbackSink(lambda *arguments: got.append(arguments), **options)


@pytest.fixture
def from_far(monkeypatch):
    """Sinks listen where other machines reach them, which makes connections encrypted."""
    for module in sinks, receiving:
        monkeypatch.setattr(module, "get_local_ip", lambda host: own_address())


def test_a_function_is_called_with_each_image(callback, got):
    sink = callback()
    with received(sink) as (publisher, _):
        assert sink.address in {f"tcp://{HERE}:{port}" for port in PORTS}
        send(publisher, title="P smooth", step="smooth")
    ((begin, array, address),) = got
    assert (begin.title, begin.step, address) == ("P smooth", "smooth", PLACE)
    np.testing.assert_array_equal(array, PLANE)


def test_only_the_sender_gets_in_from_another_machine(callback, got, from_far):
    sink = callback(port=0)
    with received(sink) as (publisher, _):
        stranger = Publisher(
            [Server.from_text(sink.address)], None, CurveKeys.new(), (), PublisherOptions(absent_s=0.5)
        )
        stranger.begin(Begin(stream="strange"))
        stranger.save("strange", PLANE, PLACE)
        send(publisher)
        assert stranger.close().undelivered
    assert [begin.stream for begin, _, _ in got] == ["one"]


def test_it_connects_to_the_server(callback, got):
    with received(callback(from_server=True)) as (publisher, _):
        send(publisher)
    assert len(got) == 1


def test_a_function_that_fails_is_told_of():
    def fail(begin, array, address):
        raise ValueError("no place left")

    with received(CallbackSink(fail)) as (publisher, said):
        send(publisher)
        assert publisher.close().undelivered
    assert said == ["1 of 1 images did not come from the server.", "1 images were not taken: no place left."]


def test_a_folder_gets_files(tmp_path):
    """Images as TIFF, one each; streams of the same title apart; outlines and points as tables."""
    points = np.array([[1.5, 2.0], [3.0, 1e-9]])
    with received(DirectorySink(tmp_path / "new" / "images")) as (publisher, said):
        send(publisher, title="P smooth")
        send(publisher, "two", (PLANE > 5).astype("u1"), title="P smooth", kind="labels")
        send(publisher, "three", points, PlaneAddress("A01"), title="Spots", kind="points", size_yx=None)
    home = tmp_path / "new" / "images"
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*.*")) == [
        "P_smooth/B03_s002_c3_z004_t005.tif",
        "P_smooth_2/B03_s002_c3_z004_t005.tif",
        "Spots/A01_s001_c1_z001_t001.csv",
    ]
    np.testing.assert_array_equal(tifffile.imread(home / "P_smooth" / "B03_s002_c3_z004_t005.tif"), PLANE)
    table = home / "Spots" / "A01_s001_c1_z001_t001.csv"
    assert table.read_text().splitlines()[0] == "y,x"
    np.testing.assert_array_equal(np.loadtxt(table, delimiter=",", skiprows=1), points)
    assert said == [f"3 images are in {home}."]


@pytest.mark.parametrize("title", ["../../outside", "/etc/outside", "..", "", "a\0b\n", "x" * 300])
def test_no_name_leads_out_of_the_folder(tmp_path, title):
    home = tmp_path / "deep" / "images"
    with received(DirectorySink(home)) as (publisher, _):
        send(publisher, title=title, address=PlaneAddress("../../A01"))
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert file.parent.parent == home


def test_what_cannot_be_written_is_told_of(tmp_path):
    """Nothing half written stays."""
    with received(DirectorySink(tmp_path)) as (publisher, said):
        (tmp_path / "P" / "B03_s002_c3_z004_t005.tif" / "in the way").mkdir(parents=True)
        send(publisher, title="P")
    assert "1 images were not taken: " in said[-2]
    assert said[-1] == f"0 images are in {tmp_path}."
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OpenHCSError, match="file/images cannot be made: Not a directory"):
        DirectorySink(tmp_path / "file" / "images").open(HERE)


def test_ports(callback):
    """The next one where one is taken, but not in place of one that was asked for."""
    with opened([callback(), callback()], HERE) as told:
        first, second = (Server.from_text(text) for text in told["client_address"].split())
        assert first != second
        with pytest.raises(StreamingError, match="it is in use"):
            callback(port=int(first.endpoint.rpartition(":")[2])).open(HERE)


def test_one_that_cannot_be_opened_closes_the_others(callback):
    port = free_port()
    with pytest.raises(OpenHCSError), opened([callback(port=port), callback(port=port)], HERE):
        pass
    with socket.create_server((HERE, port)):
        pass


@pytest.fixture
def tiny(monkeypatch):
    """Function which makes a sink with the tiny viewer; it ends with the test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plugin = TinyPlugin()
    plugins.get_plugin_manager().register(plugin, "tiny")
    made = []

    def make(**options):
        made.append(ViewerSink("tiny", **options))
        return made[-1]

    yield make
    for sink in made:
        sink.visualizer.stop()
    plugins.get_plugin_manager().unregister(plugin)


def test_a_viewer_shows_them(tiny):
    """It is found again for the next run."""
    port = free_port()
    runs = [tiny(port=port), tiny(port=port)]
    for number, sink in enumerate(runs, 1):
        with received(sink) as (publisher, said):
            send(publisher, f"stream {number}")
        assert sink.visualizer.state().received == number
        assert said == []
    assert runs[0].visualizer.pid == runs[1].visualizer.pid


def test_a_viewer_lets_the_sender_in(tiny, from_far):
    sink = tiny(port=free_port())
    with received(sink) as (publisher, _):
        assert Server.from_text(sink.address).public_key
        send(publisher)
    assert sink.visualizer.state().received == 1


def test_a_viewer_connects_to_the_server(tiny):
    sink = tiny(from_server=True)
    with received(sink) as (publisher, _):
        send(publisher)
    assert sink.visualizer.state().received == 1


def test_a_sender_that_cannot_be_let_in(tiny):
    """The run goes on without; the person is told."""
    sink, said = tiny(from_server=True), []
    with opened([sink], HERE, said.append):
        sink.let_in("no key at all")
        sink.let_in("no key at all")
        sink.visualizer.stop()
        wait_for(lambda: not sink.visualizer.is_running)
        sink.let_in(f"tcp://{HERE}:5700/{key_text(CurveKeys.new().public)}")
    assert said[0].startswith("The images cannot come: The key is not a public key")
    assert said[1:] == ["The images cannot come: tiny has ended."]


def test_the_address_of_this_machine():
    assert get_local_ip("localhost") == get_local_ip(own_address()) == HERE
    assert get_local_ip("203.0.113.1") == own_address()
    with pytest.raises(StreamingError, match="nowhere.invalid is not known"):
        get_local_ip("nowhere.invalid")
