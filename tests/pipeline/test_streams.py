"""Steps stream as they save: real workers, real sockets, viewers without windows."""

import os
import tempfile
import threading
from multiprocessing import resource_tracker
from pathlib import Path

import numpy as np
import psutil
import pytest

from openhcs_core.pipeline import (
    FunctionStep,
    NapariStreamingConfig,
    PipelineConfig,
    StepOutput,
    stream_storage,
)
from openhcs_core.pipeline.orchestrator import PipelineOrchestrator
from openhcs_core.pipeline.stream_storage import StreamStorage
from openhcs_core.pipeline.streams import Viewers
from openhcs_core.storage.backend import Results
from openhcs_core.streaming.identity import process_start
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.relay import Relay
from openhcs_core.streaming.security import CurveKeys
from openhcs_core.streaming.sockets import Server
from tests.pipeline.functions import (
    above,
    addresses,
    both,
    broken_at,
    deadly,
    enlarged,
    highest,
    memory_plate,
    pixels,
    plus,
    slow,
    statistics_of,
    write_plate,
)
from tests.pipeline.keeper import Keeper
from tests.streaming.peers import Peer, segments, until

ANY = "tcp://127.0.0.1:0"
WELLS = ("A01", "A02", "A03")
HERE = NapariStreamingConfig()


def options(**given):
    return PublisherOptions(
        **{"drain_s": 10.0, "absent_s": 0.3, "overflow": "drop", "scratch": Path(tempfile.gettempdir()), **given}
    )


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    return write_plate(tmp_path_factory.mktemp("streams") / "plate", wells=WELLS, sites=2, channels=2, sections=2)


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch):
    """No segment of this process or of one that has ended, no file, no child."""
    resource_tracker.ensure_running()
    with tempfile.TemporaryDirectory(prefix="s-") as folder:  # a short name, for there are sockets in it
        monkeypatch.setattr(tempfile, "tempdir", folder)
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        yield
        assert set(os.listdir(folder)) <= {"dask-scratch-space"}
    owners = {name: tuple(map(int, name.split("-")[2:4])) for name in segments()}
    assert [name for name, (pid, start) in owners.items() if pid == os.getpid() or process_start(pid) != start] == []
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before


def run(plate, output, steps, viewers=None, progress=None, cancelled=None, wells=None, **settings):
    config = PipelineConfig(output=str(output), read_from="disk", **settings)
    orchestrator = PipelineOrchestrator(plate, config, viewers=viewers)
    return orchestrator.run_pipeline(steps, wells, progress=progress, cancelled=cancelled)


def places(*wells):
    return addresses(wells or WELLS, sites=2, channels=2, sections=2)


def test_every_image_that_a_step_makes_arrives_once_and_equal(plate, tmp_path):
    keeper = Keeper()
    steps = [
        FunctionStep(enlarged, stream_to=HERE),
        FunctionStep(highest),
        FunctionStep((above, {"value": 15}), stream_to=[NapariStreamingConfig(site_mode="separate")]),
        FunctionStep(statistics_of, name="sums", input_source=StepOutput("highest")),
    ]
    with Receiver(keeper, listen=ANY) as receiver:
        viewers = Viewers(connect=[Server(receiver.endpoint)], options=options())
        result = run(plate, tmp_path / "out", steps, viewers, num_workers=2)
    assert result.complete
    one = np.ones((32, 32), np.uint16)
    images = {("enlarged", "image", place.stem): np.kron(pixels(place), one) for place in places()}
    top = [place for place in places() if place.z_index == 1]
    labels = {("above", "labels", place.stem): np.kron(pixels(place._replace(z_index=2)) > 15, one) for place in top}
    assert keeper.planes.keys() == images.keys() | labels.keys()
    assert all(np.array_equal(keeper.planes[key], plane) for key, plane in (images | labels).items())
    assert set(keeper.times.values()) == {1}
    begin = keeper.begun("enlarged")
    assert begin.values == {"well": WELLS, "site": (1, 2), "channel": (1, 2), "z_index": (1, 2), "timepoint": (1,)}
    assert (begin.images, begin.plate, begin.display) == (24, "plate", {})
    labelled = keeper.begun("above", "labels")
    assert (labelled.images, labelled.values["z_index"], labelled.display) == (12, (1,), {"site": "separate"})
    assert {end.delivered for end in keeper.ends} == {24, 12}
    assert not any(end.aborted for end in keeper.ends)
    assert keeper.progresses[-1].done == keeper.progresses[-1].total > 0
    assert "Viewers: 36 images streamed; viewer: 36 images delivered." in result.statements


def test_both_kinds_of_a_step_are_streams_of_their_own(plate, tmp_path):
    keeper = Keeper()
    with Receiver(keeper, listen=ANY) as receiver:
        viewers = Viewers(connect=[Server(receiver.endpoint)], options=options())
        run(plate, tmp_path / "out", [FunctionStep(both, stream_to=HERE)], viewers, wells=["A01"])
    for place in places("A01"):
        assert np.array_equal(keeper.planes["both", "image", place.stem], pixels(place) * 2)
        assert np.array_equal(keeper.planes["both", "labels", place.stem], np.ones((8, 8), np.uint8))
    assert len(keeper.planes) == 16


def test_everything_that_is_saved_streams_if_no_step_says_what(plate, tmp_path):
    keeper = Keeper()
    steps = [FunctionStep(plus), FunctionStep(highest), FunctionStep(statistics_of, name="sums"), FunctionStep(above)]
    with Receiver(keeper, listen=ANY) as receiver:
        viewers = Viewers(connect=[Server(receiver.endpoint)], options=options(), everything=True)
        run(plate, tmp_path / "all", [*steps[:2], FunctionStep(above, save=True)], viewers, wells=["A01"])
        assert {key[:2] for key in keeper.planes} == {("above", "labels")}
        other = [FunctionStep(plus, save=True), FunctionStep(highest, stream_to=HERE)]
        run(plate, tmp_path / "some", other, viewers, wells=["A01"])
    assert {key[:2] for key in keeper.planes} == {("above", "labels"), ("highest", "image")}


def test_a_run_without_steps_that_stream_says_nothing_about_viewers(plate, tmp_path):
    assert not any("iewer" in text for text in run(plate, tmp_path / "out", [FunctionStep(plus)]).statements)
    result = run(plate, tmp_path / "other", [FunctionStep(plus, stream_to=HERE)], Viewers())
    assert result.complete
    assert any("no viewer was given for this run" in text for text in result.statements)


def test_a_viewer_comes_to_a_run_that_listens_and_only_with_its_key(plate, tmp_path):
    keys, theirs = CurveKeys.new(), CurveKeys.new()
    keeper, stranger, told, receivers = Keeper(), Keeper(), [], []

    def ready(server):
        told.append(server)
        receivers.append(Receiver(keeper, "invited", connect=[server], keys=theirs).start())
        receivers.append(Receiver(stranger, "stranger", connect=[server], keys=CurveKeys.new()).start())

    with Receiver(Keeper(), listen=ANY) as taken:
        viewers = Viewers(
            listen=[taken.endpoint, ANY],
            keys=keys,
            allow=[theirs.public],
            options=options(absent_s=5.0),
            everything=True,
            ready=ready,
        )
        result = run(plate, tmp_path / "out", [FunctionStep(enlarged)], viewers, wells=["A01"])
        for receiver in receivers:
            receiver.close()
    assert result.complete
    (server,) = told
    assert server.public_key == keys.public
    assert server.endpoint not in (taken.endpoint, ANY)
    assert len(keeper.planes) == 8
    assert not stranger.planes


def test_a_run_goes_on_without_its_viewer_and_says_how_to_see_it(plate, tmp_path):
    with Receiver(Keeper(), listen=ANY) as receiver:
        nobody = receiver.endpoint
    viewers = Viewers(connect=[Server(nobody)], options=options(memory_bytes=1 << 20, spool_bytes=1 << 20))
    result = run(plate, tmp_path / "out", [FunctionStep(enlarged, stream_to=HERE)], viewers)
    assert result.complete
    text = "\n".join(result.statements)
    assert "24 reached no viewer" in text
    assert "(viewer waiting)" in text
    assert "openhcs view" in text


def test_viewers_that_cannot_be_reached_at_all(plate, tmp_path):
    steps = [FunctionStep(plus, stream_to=HERE)]
    for number, viewers in enumerate(
        [Viewers(connect=[Server("tcp://192.0.2.1:5555")]), Viewers(listen=["tcp://192.0.2.1:5555"])]
    ):
        result = run(plate, tmp_path / str(number), steps, viewers, wells=["A01"])
        assert result.complete
        assert any("Nothing is shown of plus" in text and "keys are needed" in text for text in result.statements)


def test_a_viewer_that_is_killed_and_one_that_stalls_cost_the_run_nothing(plate, tmp_path):
    keeper = Keeper()
    events = []
    with (
        Peer("viewer", listen=ANY) as doomed,
        Peer("viewer", listen=ANY) as stalled,
        Receiver(keeper, listen=ANY) as receiver,
    ):
        stalled.ask("pause")
        servers = [Server(endpoint) for endpoint in (doomed.hello["endpoint"], stalled.hello["endpoint"])]
        viewers = Viewers(connect=[*servers, Server(receiver.endpoint)], options=options(drain_s=0.3))

        def progress(event):
            if not events:
                doomed.kill()
            events.append(event)

        result = run(plate, tmp_path / "out", [FunctionStep(enlarged, stream_to=HERE)], viewers, progress)
    assert result.complete
    assert len(keeper.planes) == 24
    assert set(keeper.times.values()) == {1}
    (report,) = [text for text in result.statements if text.startswith("Viewers: 24 images streamed")]
    assert "viewer: 24 images delivered" in report
    assert "24 NOT delivered" in report


def test_a_cancelled_run_ends_at_once_and_leaves_nothing(plate, tmp_path):
    keeper, cancelled = Keeper(), threading.Event()
    steps = [FunctionStep(enlarged, stream_to=HERE), FunctionStep((slow, {"seconds": 5.0}))]
    with Receiver(keeper, listen=ANY) as receiver:
        viewers = Viewers(connect=[Server(receiver.endpoint)], options=options())
        threading.Thread(target=lambda: until(lambda: keeper.times, bool) and cancelled.set()).start()
        result = run(plate, tmp_path / "out", steps, viewers, cancelled=cancelled, num_workers=2)
        until(lambda: keeper.ends, bool)
    assert result.cancelled
    assert keeper.ends[0].aborted


def test_images_of_a_worker_that_is_killed_come_with_the_next_try(plate, tmp_path):
    keeper = Keeper()
    killed = (deadly, {"value": 210, "mark": str(tmp_path / "mark"), "times": 1})
    steps = [FunctionStep(enlarged, stream_to=HERE), FunctionStep(killed)]
    with Receiver(keeper, listen=ANY) as receiver:
        viewers = Viewers(connect=[Server(receiver.endpoint)], options=options())
        result = run(plate, tmp_path / "out", steps, viewers, num_workers=2)
    assert result.complete
    assert len(keeper.planes) == 24
    assert not any("did not get" in text for text in result.statements)


def test_a_well_that_fails_is_no_matter_of_viewers(plate, tmp_path):
    keeper = Keeper()
    steps = [FunctionStep(plus, stream_to=HERE), FunctionStep((broken_at, {"value": 211}))]
    with Receiver(keeper, listen=ANY) as receiver:
        viewers = Viewers(connect=[Server(receiver.endpoint)], options=options())
        result = run(plate, tmp_path / "out", steps, viewers)
        assert (result.in_state("failed"), len(result.in_state("finished"))) == (["A02"], 2)
        assert {stem[:3] for _, _, stem in keeper.planes} >= {"A01", "A03"}
        assert keeper.begun("plus").values["well"] == WELLS
        again = run(plate, tmp_path / "out", steps, viewers)
    assert again.in_state("skipped") == ["A01", "A03"]
    assert any(text.startswith("Viewers got nothing of 2 wells") for text in again.statements)


def test_viewers_do_not_make_another_run_of_it(plate, tmp_path):
    first = run(plate, tmp_path / "out", [FunctionStep(plus)], wells=["A01"])
    viewers = Viewers(connect=[Server("tcp://127.0.0.1:9")])
    second = run(plate, tmp_path / "out", [FunctionStep(plus, stream_to=HERE)], viewers, wells=["A01"])
    assert second.run == first.run
    assert second.in_state("skipped") == ["A01"]
    assert any(text.startswith("Viewers got nothing of 1 wells") for text in second.statements)


def test_images_reach_viewers_from_workers_of_this_machine_only(plate, tmp_path):
    config = PipelineConfig(output=str(tmp_path), read_from="disk", executor="dask", executor_address="tcp://far:8786")
    compiled = PipelineOrchestrator(plate, config).initialize().compile_pipelines([FunctionStep(plus, stream_to=HERE)])
    assert any("workers of this executor are elsewhere" in note for note in compiled.notes)


def test_a_local_cluster_of_dask_streams_too(plate, tmp_path):
    keeper = Keeper()
    with Receiver(keeper, listen=ANY) as receiver:
        viewers = Viewers(connect=[Server(receiver.endpoint)], options=options())
        steps = [FunctionStep(enlarged, stream_to=HERE)]
        result = run(plate, tmp_path / "out", steps, viewers, wells=["A01"], executor="dask")
    assert result.complete
    assert len(keeper.planes) == 8


def test_a_worker_elsewhere_or_without_its_parent_works_on(monkeypatch, caplog):
    """What is not where the run was started, or is left alone by it, saves its results all the same."""
    _, layout = memory_plate()
    monkeypatch.setattr(stream_storage, "STUCK_S", 0.1)
    planes, paths = [np.zeros((8, 8), np.uint16)], [places()[0].path]
    with Publisher(options=options(absent_s=0.0)) as publisher:
        relay = Relay(publisher)
        storage = StreamStorage("viewers", relay.endpoint, options(absent_s=0.0), {})
        with storage.open_results(Results("out", layout, parent="elsewhere:1")) as writer:
            writer.save_batch(planes, paths, step_name="plus")
            writer.finish_well("A01")
        assert "is not where its run was started" in caplog.text
        with storage.open_results(Results("out", layout)) as writer:
            writer.save_batch(planes, paths, step_name="plus")
            writer.finish_well("A01")
            relay.close()
            writer.save_batch(planes, paths, step_name="plus")
            writer.finish_well("A01")
            assert "the run does not take them" in caplog.text
            writer.save_batch(planes, paths, step_name="plus")
            writer.finish_well("A01")
        assert publisher.close().images == 1
