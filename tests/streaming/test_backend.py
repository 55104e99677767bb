"""Results streamed as they are saved, from one process or many, and messages of the first publishers."""

from __future__ import annotations

import inspect
import time
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory

import numpy as np
import pytest
import zmq

from openhcs_core.plate import PlaneAddress, PlateChannel, PlateLayout
from openhcs_core.storage import ResultWriter
from openhcs_core.streaming.backend import StreamingBackend, channels_of
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Channel
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.relay import Relay
from tests.streaming.peers import SHM, Peer, Recorder, address, plane, until

ANY = "tcp://127.0.0.1:0"
LAYOUT = PlateLayout(
    name="HeLa",
    planes={"A01": [PlaneAddress("A01")]},
    size_yx=(64, 64),
    dtype=np.dtype(np.uint16),
    channels=[PlateChannel("DAPI", (0.0, 0.0, 1.0), (100.0, 900.0))],
    voxel_size_um=(None, 0.65, 0.65),
    source_ids={("A01", 1): 101},
)


def test_it_has_the_methods_of_a_result_writer():
    for name, method in inspect.getmembers(ResultWriter, inspect.isfunction):
        if not name.startswith("_"):
            ours = inspect.signature(getattr(StreamingBackend, name)).parameters
            assert inspect.signature(method).parameters.keys() <= ours.keys(), name


def test_a_step_streams_as_it_saves():
    recorder = Recorder()
    got = []
    check = recorder.received
    recorder.received = lambda image: (got.append(image), check(image))
    with Receiver(recorder, listen=ANY) as receiver:
        publisher = Publisher([receiver.endpoint])
        known = {"values": {"z_index": range(1, 6)}, "images": 5, "dtype": "uint16", "size_yx": (64, 64)}
        other = {"display": {}, "channels": channels_of(LAYOUT, "Fire"), "source": {"Plate": 12}, "title": "cells"}
        facts = {("blur", "image"): known, ("find", "labels"): other}
        with StreamingBackend(publisher, LAYOUT, "run-7", {"site": "separate"}, facts) as backend:
            assert publisher.wait(20)
            paths = [address(number).path for number in range(5)]
            backend.save_batch([plane(number) for number in range(5)], paths, step_name="blur", chunk=3)
            backend.save_batch([plane(9)], [address(9).path], step_name="find", kind="labels")
            backend.save_batch([np.zeros((3, 2))], [address(0).path], step_name="spots", kind="points")
            backend.save_table({"area": [1]}, "A01", step_name="find")
            backend.finish_well("A01")
            (statement,) = backend.finish(["A01"])
    assert statement.startswith("7 images streamed; viewer: 7 images delivered")
    begins = {begin.stream: begin for begin in recorder.begins}
    assert list(begins) == ["run-7/blur/image", "run-7/find/labels", "run-7/spots/points"]
    blur = begins["run-7/blur/image"]
    assert (blur.plate, blur.step, blur.kind, blur.display) == ("HeLa", "blur", "image", {"site": "separate"})
    assert blur.channels == (Channel(name="DAPI", color=(0.0, 0.0, 1.0), window=(100.0, 900.0)),)
    assert blur.voxel_size_um == (None, 0.65, 0.65)
    assert (blur.values, blur.images) == ({"z_index": (1, 2, 3, 4, 5)}, 5)
    assert (blur.dtype, blur.size_yx, blur.title, blur.source) == ("uint16", (64, 64), "HeLa blur", {})
    find = begins["run-7/find/labels"]
    assert (find.display, find.title, find.source, find.dtype) == ({}, "cells", {"Plate": 12}, None)
    assert find.channels[0].lut == "Fire"
    assert find.channels[0].color == (0.0, 0.0, 1.0)
    assert {image.source_id for image in got} == {101}
    assert recorder.progresses[0].subject == "A01"
    assert {end.stream for end in recorder.ends} == set(begins)


def test_what_cannot_be_shown_does_not_end_the_run(caplog):
    with Publisher(listen=ANY, options=PublisherOptions(absent_s=0)) as publisher:
        backend = StreamingBackend(publisher, LAYOUT, "run")
        for _ in range(3):
            backend.save_batch([np.zeros((2, 2, 2))], [address(0).path], step_name="stack")
        with pytest.raises(StreamingError, match="2 planes with 1 paths"):
            backend.save_batch([plane(0), plane(1)], [address(0).path])
    assert backend.failed == 3
    assert sum("cannot be shown" in record.message for record in caplog.records) == 1


def test_workers_hand_their_images_to_the_publisher_of_their_parent():
    with Publisher(listen=ANY) as publisher:
        with (
            Relay(publisher) as relay,
            Peer("sender", connect=[relay.endpoint], well="A01", size=256) as one,
            Peer("sender", connect=[relay.endpoint], well="B02", size=256) as two,
        ):
            reports = [one.result(), two.result()]
        with Peer("viewer", connect=[publisher.endpoint]) as viewer:
            publisher.end("s")
            got = viewer.until(lambda got: got["ends"])
            publisher.close()
    assert [report["viewers"][0]["delivered"] for report in reports] == [100, 100]
    assert (got["wells"], got["wrong"], got["twice"]) == ({"A01": 100, "B02": 100}, 0, 0)
    assert got["ends"][0]["delivered"] == 200


def test_images_of_the_first_publishers_are_taken_and_their_segments_removed():
    recorder = Recorder()
    with zmq.Context() as context, Receiver(recorder) as receiver:
        old = context.socket(zmq.PUB)
        port = old.bind_to_random_port("tcp://127.0.0.1")
        receiver.subscribe(f"tcp://127.0.0.1:{port}")
        until(lambda: _greeted(old, recorder), bool)
        names = []
        for number in range(3):
            segment = SharedMemory(create=True, size=64 * 64 * 2)
            np.ndarray((64, 64), np.uint16, segment.buf)[:] = plane(number)
            resource_tracker.unregister(f"/{segment.name}", "shared_memory")
            names.append(segment.name)
            segment.close()
            facts = {"well": "A01", "z_index": number + 1}
            item = {"shm_name": names[-1], "shape": [64, 64], "dtype": "uint16", "component_metadata": facts}
            old.send_json({"images": [item], "display_config": {}})
        old.send(b"\x80\x04K\x01.")
        until(lambda: len(recorder.times), (3).__eq__)
        until(lambda: receiver.state().refused >= 2, bool)
        old.close(linger=0)
    assert recorder.wrong == 0
    assert not any((SHM / name).exists() for name in names)


def _greeted(old: zmq.Socket, recorder: Recorder) -> bool:
    """A publisher does not know when somebody listens: send until it shows."""
    old.send_json({"images": [{"shm_name": "absent", "shape": [1, 1], "dtype": "uint8"}]})
    time.sleep(0.02)
    return bool(recorder.begins)
