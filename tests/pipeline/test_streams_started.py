"""Viewers of this machine: those that steps ask for, and those of the command line, found or started."""

import socket
import tempfile
from contextlib import suppress

import numpy as np
import pytest

from openhcs_core.cli import main
from openhcs_core.pipeline import (
    FunctionStep,
    LazyStreamingConfig,
    PipelineConfig,
    StreamingConfig,
)
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.endpoints import CONTROL_OFFSET, tcp
from openhcs_core.streaming.manager import manager
from openhcs_core.streaming.messages import Ping, Shutdown
from openhcs_core.streaming.receiver import Receiver
from tests.pipeline.functions import above, addresses, highest, pixels, plus, write_plate
from tests.pipeline.keeper import NAME, Keeper, registered
from tests.pipeline.test_run_command import registered as functions_registered
from tests.streaming.peers import until

ANY = "tcp://127.0.0.1:0"
TEXT = """\
from openhcs_core.pipeline import FunctionStep, PipelineConfig, StreamingConfig
from tests.pipeline.functions import highest, plus

config = PipelineConfig(read_from="disk")
pipeline_steps = [FunctionStep(plus), FunctionStep(highest)]
"""


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Folder where viewers that are started keep what they get."""
    folder = tmp_path / "kept"
    folder.mkdir()
    monkeypatch.setenv("KEEPER", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plugins = [registered(), functions_registered()]
    yield folder
    for plugin, name in zip(plugins, (NAME, "functions of the tests"), strict=True):
        plugin.unregister(name=name)


@pytest.fixture
def port():
    """A free port whose control port is free, too; what is there in the end is ended."""
    while True:
        with socket.socket() as data, socket.socket() as control, suppress(OSError, OverflowError):
            data.bind(("127.0.0.1", 0))
            number = data.getsockname()[1]
            control.bind(("127.0.0.1", number + CONTROL_OFFSET))
            break
    yield number
    endpoint = tcp("127.0.0.1", number)
    if ask(endpoint, Shutdown(reason="the test is over"), timeout_s=0.2) is not None:
        until(lambda: ask(endpoint, Ping(), timeout_s=0.1), lambda answer: answer is None)
    manager().close()


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return write_plate(tmp_path_factory.mktemp("started") / "plate", sites=1, channels=1, sections=2)


def test_each_step_is_shown_where_it_asks_for_and_lazy_ones_inherit_that(plate, tmp_path):
    """Two viewers; one shows one step with another look, so that it gets it by a publisher of its own."""
    first, second = Keeper(), Keeper()
    with Receiver(first, NAME, listen=ANY) as one, Receiver(second, NAME, listen=ANY) as two:
        ports = [int(receiver.endpoint.rpartition(":")[2]) for receiver in (one, two)]
        above_it = StreamingConfig(viewer=NAME, port=ports[0], site_mode="separate", well_mode="slice")
        config = PipelineConfig(output=str(tmp_path / "out"), read_from="disk", streaming=above_it)
        lazy = LazyStreamingConfig(viewer=NAME)
        other = LazyStreamingConfig(viewer=NAME, port=ports[1], well_mode=None)
        steps = [
            FunctionStep(plus, stream_to=lazy),
            FunctionStep(highest, stream_to=[lazy, other]),
            FunctionStep((above, {"value": 12}), stream_to=[other, LazyStreamingConfig(viewer=NAME, well_mode=None)]),
        ]
        orchestrator = PipelineOrchestrator(plate, config)
        result = orchestrator.run_pipeline(steps)
    assert result.complete
    assert {key[:2] for key in first.planes} == {("plus", "image"), ("highest", "image"), ("above", "labels")}
    assert {key[:2] for key in second.planes} == {("highest", "image"), ("above", "labels")}
    assert set(first.times.values()) == set(second.times.values()) == {1}
    assert first.begun("highest").display == {"site": "separate", "well": "slice"}
    assert second.begun("highest").display == {"site": "separate"}
    assert first.begun("above", "labels").display == second.begun("above", "labels").display == {"site": "separate"}
    for place in addresses(sites=1, channels=1, sections=1):
        top = pixels(place._replace(z_index=2)) + 1
        assert np.array_equal(first.planes["highest", "image", place.stem], np.maximum(top, pixels(place) + 1))
        assert np.array_equal(second.planes["above", "labels", place.stem], (top > 12).astype(np.uint16))
    assert sum(text.startswith("Viewers: ") for text in result.statements) == 3


def test_a_viewer_that_does_not_run_is_started_and_stays(plate, tmp_path, port, kept):
    config = PipelineConfig(output=str(tmp_path / "out"), read_from="disk")
    orchestrator = PipelineOrchestrator(plate, config)
    viewer = StreamingConfig(viewer=NAME, port=port)
    result = orchestrator.run_pipeline([FunctionStep(plus, stream_to=viewer)])
    assert any(text == f"keeper at tcp://127.0.0.1:{port} stays open." for text in result.statements)
    places = addresses(sites=1, channels=1, sections=2)
    assert sorted(path.name for path in kept.iterdir()) == sorted(f"plus-image-{item.stem}-1.npy" for item in places)
    for place in places:
        assert np.array_equal(np.load(kept / f"plus-image-{place.stem}-1.npy"), pixels(place) + 1)
    visualizer = orchestrator.get_or_create_visualizer(LazyStreamingConfig(viewer=NAME, port=port))
    assert visualizer.is_running
    assert visualizer is orchestrator.get_or_create_visualizer(viewer)
    visualizer.stop()
    assert not visualizer.is_running


def test_what_cannot_be_started_is_said_and_the_run_goes_on(plate, tmp_path, port, monkeypatch, caplog):
    monkeypatch.setenv("KEEPER_MISSING", "there is no display here")
    orchestrator = PipelineOrchestrator(plate, PipelineConfig(output=str(tmp_path / "out"), read_from="disk"))
    viewer = StreamingConfig(viewer=NAME, port=port)
    assert orchestrator.get_or_create_visualizer(viewer) is None
    assert "there is no display here" in caplog.text
    result = orchestrator.run_pipeline([FunctionStep(plus, stream_to=viewer)])
    assert result.complete
    assert any("keeper shows nothing" in text and "there is no display here" in text for text in result.statements)
    with pytest.raises(ValueError, match="A StreamingConfig is needed, such as NapariStreamingConfig"):
        orchestrator.get_or_create_visualizer("napari")


def test_viewers_of_the_command_line(plate, tmp_path, port, kept, monkeypatch, capsys):
    monkeypatch.setattr("tests.pipeline.keeper.PORT", port)
    (tmp_path / "pipeline.py").write_text(TEXT)
    arguments = ["run", str(plate), str(tmp_path / "pipeline.py"), "-o", str(tmp_path / "out")]
    keeper = Keeper()
    with Receiver(keeper, listen=ANY) as receiver:
        assert main([*arguments, "--view", NAME, "--view", receiver.endpoint]) == 0
    said = capsys.readouterr().out
    assert "keeper: 2 images delivered" in said
    assert "viewer: 2 images delivered" in said
    assert f"keeper at tcp://127.0.0.1:{port} stays open." in said
    assert len(keeper.planes) == len(list(kept.iterdir())) == 2
    assert {begin.step for begin in keeper.begins} == {"highest"}


@pytest.mark.parametrize(
    ("view", "said"), [("napary", "There is no viewer 'napary'"), ("tcp://nowhere", "is no address of a viewer")]
)
def test_a_viewer_that_there_is_not(plate, tmp_path, capsys, view, said):
    (tmp_path / "pipeline.py").write_text(TEXT)
    assert main(["run", str(plate), str(tmp_path / "pipeline.py"), "-o", str(tmp_path / "out"), "--view", view]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_viewers_of_another_machine_need_a_key(plate, tmp_path):
    orchestrator = PipelineOrchestrator(plate, PipelineConfig(output=str(tmp_path / "out"), read_from="disk"))
    steps = [FunctionStep(plus, stream_to=StreamingConfig(viewer=NAME, host="192.0.2.7", port=5555))]
    result = orchestrator.run_pipeline(steps, ["A01"])
    assert result.complete
    assert any("192.0.2.7" in text and "public key" in text for text in result.statements)
