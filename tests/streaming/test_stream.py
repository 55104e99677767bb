"""A publisher and its viewers, in processes of their own."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
import zmq

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import (
    Ack,
    Begin,
    Bye,
    Hello,
    Image,
    Images,
    Ping,
    Progress,
    Shutdown,
    Status,
    Welcome,
)
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from openhcs_core.streaming.wire import decode, encode
from tests.streaming.peers import Peer, Recorder, address, plane, until

ANY = "tcp://127.0.0.1:0"
SIZES = (64, 512)  # the first goes inside messages in any case, the other through shared memory


def send(publisher: Publisher, numbers, size: int = 64, stream: str = "s") -> None:
    publisher.begin(Begin(stream=stream, dtype="uint16", size_yx=(size, size)))
    for number in numbers:
        publisher.save(stream, plane(number, size), address(number))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("viewer_listens", [True, False])
def test_every_image_arrives_whole_and_once(size, shared, viewer_listens):
    options = PublisherOptions(shared_memory=shared)
    with Publisher(listen=None if viewer_listens else ANY, options=options) as bound:
        given = {"listen": ANY} if viewer_listens else {"connect": [bound.endpoint]}
        with Peer("viewer", **given) as viewer:
            endpoint = viewer.hello["endpoint"]
            with Publisher([endpoint], options=options) if viewer_listens else bound as publisher:
                send(publisher, range(150), size)
                report = publisher.close()
            got = viewer.until(lambda got: got["ends"])
    assert (got["images"], got["twice"], got["wrong"], got["begins"]) == (150, 0, 0, 1)
    assert got["ends"] == [{"stream": "s", "images": 150, "delivered": 150, "undelivered": 0, "aborted": False}]
    assert report.images == report.viewers[0].delivered == 150
    assert not report.undelivered


def test_shared_memory_is_used_where_it_is_seen():
    recorder, slots = Recorder(), []
    recorder.received = lambda image: slots.append(image.slot)
    with Receiver(recorder, listen=ANY) as receiver, Publisher([receiver.endpoint]) as publisher:
        send(publisher, range(3), 512)
        publisher.close()
    assert all(slots)
    assert len(slots) == 3


def test_the_array_stays_the_callers():
    recorder = Recorder()
    array = plane(0)
    with Publisher(listen=ANY) as publisher:
        publisher.begin(Begin(stream="s"))
        publisher.save("s", array, address(0))
        array[:] = 7
        with Receiver(recorder, connect=[publisher.endpoint]):
            until(lambda: len(recorder.times), (1).__eq__)
    assert recorder.wrong == 0


def test_arrays_of_other_layouts_and_byte_orders():
    recorder = Recorder()
    with Receiver(recorder, listen=ANY) as receiver, Publisher([receiver.endpoint]) as publisher:
        publisher.begin(Begin(stream="s"))
        publisher.save("s", np.asfortranarray(plane(0)), address(0))
        publisher.save("s", plane(1).astype(">u2"), address(1))
        publisher.save("s", np.repeat(plane(2), 2, axis=0)[::2], address(2))
        publisher.close()
    assert (len(recorder.times), recorder.wrong) == (3, 0)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "int64", "float32", "float64"])
def test_all_types_of_pixels(dtype):
    recorder = Recorder()
    array = plane(0, 16).astype(dtype)
    with Receiver(recorder, listen=ANY) as receiver, Publisher([receiver.endpoint]) as publisher:
        publisher.begin(Begin(stream="s", dtype=dtype))
        publisher.save("s", array, address(0))
        publisher.close()
    assert np.array_equal(recorder.planes["s", address(0)], array)


def test_a_late_viewer_gets_everything_and_one_that_asks_gets_it_again():
    with Publisher(listen=ANY) as publisher:
        send(publisher, range(40))
        with Peer("viewer", connect=[publisher.endpoint]) as viewer:
            assert viewer.until(lambda got: got["images"] == 40)["wrong"] == 0
            viewer.ask("replay")
            assert viewer.until(lambda got: got["images"] == 40)["twice"] == 0
            report = publisher.close()
    assert report.viewers[0].delivered == 40


def test_two_viewers_each_at_its_own_pace():
    with (
        Peer("viewer", listen=ANY, delay_s=0.02, credits=2) as slow,
        Peer("viewer", listen=ANY) as fast,
        Publisher([slow.hello["endpoint"], fast.hello["endpoint"]]) as publisher,
    ):
        send(publisher, range(100))
        fast.until(lambda got: got["images"] == 100)
        assert slow.ask("summary")["images"] < 100
        report = publisher.close()
        assert slow.until(lambda got: got["ends"])["images"] == 100
    assert [viewer.delivered for viewer in report.viewers] == [100, 100]


def test_workers_of_one_run_share_a_stream():
    with Peer("viewer", listen=ANY) as viewer:
        to = [viewer.hello["endpoint"]]
        with Peer("sender", connect=to, well="A01") as one, Peer("sender", connect=to, well="B02") as two:
            one.result()
            two.result()
        got = viewer.until(lambda got: sum(end["images"] for end in got["ends"][-1:]) == 200)
    assert (got["wells"], got["wrong"], got["twice"]) == ({"A01": 100, "B02": 100}, 0, 0)


def test_new_pixels_of_the_same_coordinates_take_the_place_of_the_old():
    recorder = Recorder()
    with Receiver(recorder, listen=ANY) as receiver, Publisher([receiver.endpoint]) as publisher:
        publisher.begin(Begin(stream="s"))
        publisher.save("s", plane(5), address(0))
        publisher.save("s", plane(0), address(0))
        publisher.close()
    assert recorder.times["s", address(0)] == 2
    assert np.array_equal(recorder.planes["s", address(0)], plane(0))


def test_what_a_viewer_refuses_is_reported_with_its_reason_and_the_rest_goes_on():
    recorder = Recorder()
    target = recorder.target

    def picky(image):
        if image.z_index == 2:
            raise ValueError("no such section")
        return target(image)

    recorder.target = picky
    receiver = Receiver(recorder, listen=ANY, max_plane_bytes=10_000)
    with receiver, Publisher([receiver.endpoint]) as publisher:
        send(publisher, range(4))
        publisher.save("s", plane(9), address(9))
        publisher.begin(Begin(stream="large"))
        publisher.save("large", plane(0, 128), address(0))
        publisher.begin(Begin(stream="other", dtype="uint8"))
        publisher.save("other", plane(0), address(0))
        report = publisher.close()
        state = receiver.state()
    assert len(recorder.times) == 4
    failed = [(image.stream, image.z_index) for image in report.viewers[0].failed]
    assert failed == [("s", 2), ("large", 1), ("other", 1)]
    assert {end.stream: end.undelivered for end in recorder.ends} == {"s": 1, "large": 1, "other": 1}
    assert (state.received, state.failed) == (4, 2)


def test_pause_progress_and_displayed_counts():
    with Peer("viewer", listen=ANY) as viewer, Publisher([viewer.hello["endpoint"]]) as publisher:
        assert publisher.wait(20)
        viewer.ask("pause")
        time.sleep(0.3)
        publisher.progress(Progress(what="wells", done=1, total=2))
        send(publisher, range(30))
        time.sleep(0.3)
        assert viewer.ask("summary")["images"] == 0
        viewer.ask("go on")
        viewer.until(lambda got: got["images"] == 30)
        viewer.ask("displayed")
        time.sleep(0.5)
        report = publisher.close()
    assert report.viewers[0].displayed == 30


def test_control_answers_also_when_no_publisher_is_there():
    recorder = Recorder()
    with Receiver(recorder, "recorder", listen=ANY) as receiver:
        pong = ask(receiver.endpoint, Ping(), 20)
        assert (pong.ready, pong.name) == (True, "recorder")
        assert f"tcp://127.0.0.1:{pong.port}" == receiver.endpoint
        assert ask(receiver.endpoint, Status(), 20).publishers == 0
        assert ask(receiver.endpoint, Shutdown(reason="enough")).pid == pong.pid
        with pytest.raises(StreamingError, match="refuses"):
            ask(receiver.endpoint, Begin(stream="s"))
        with pytest.raises(StreamingError, match="in use"):
            Receiver(Recorder(), listen=receiver.endpoint)
        endpoint = receiver.endpoint
    assert recorder.shutdowns == ["enough"]
    assert ask(endpoint, Ping(), timeout_s=0.2) is None


def test_a_sender_that_is_killed_leaves_its_planes_and_an_aborted_end():
    with Peer("viewer", listen=ANY) as viewer:
        with Peer("sender", connect=[viewer.hello["endpoint"]], size=512, pause_s=0.01, images=10_000) as sender:
            viewer.until(lambda got: got["images"] > 20)
            sender.kill()
        got = viewer.until(lambda got: got["ends"])
    assert got["ends"][0]["aborted"]
    assert got["wrong"] == 0


def test_a_run_that_breaks_off_says_so():
    recorder = Recorder()

    def run(endpoint):
        with Publisher([endpoint]) as publisher:
            publisher.begin(Begin(stream="s"))
            publisher.wait(20)
            raise ZeroDivisionError

    with Receiver(recorder, listen=ANY) as receiver:
        with pytest.raises(ZeroDivisionError):
            run(receiver.endpoint)
        assert until(lambda: list(recorder.ends), bool)[0].aborted


def test_misuse_is_an_error():
    with pytest.raises(StreamingError, match="address"):
        Publisher(["desk:5555"])
    with Publisher(listen=ANY, options=PublisherOptions(absent_s=0)) as publisher:
        with pytest.raises(StreamingError, match="has not begun"):
            publisher.save("s", plane(0))
        publisher.begin(Begin(stream="s"))
        with pytest.raises(StreamingError, match="two dimensions"):
            publisher.save("s", np.zeros((2, 2, 2)))
        with pytest.raises(StreamingError, match="two dimensions"):
            publisher.save("s", np.zeros((2, 2), complex))
        publisher.save("s", plane(0))
        report = publisher.close()
        with pytest.raises(StreamingError, match="closed"):
            publisher.save("s", plane(0))
    assert len(report.undelivered) == 1
    assert "no viewer came" in str(report)


def test_a_stopped_viewer_is_noticed_and_gets_the_rest_when_it_wakes():
    with Peer("viewer", listen=ANY) as viewer, Publisher([viewer.hello["endpoint"]]) as publisher:
        send(publisher, range(50), 512)
        viewer.until(lambda got: got["images"] == 50)
        viewer.send_signal(signal.SIGSTOP)
        for number in range(50, 200):
            publisher.save("s", plane(number, 512), address(number))
        until(lambda: publisher._postman.links[0].state, "lost".__eq__, 6)
        viewer.send_signal(signal.SIGCONT)
        got = viewer.until(lambda got: got["images"] == 200)
        report = publisher.close()
    assert (got["twice"], got["wrong"]) == (0, 0)
    assert report.viewers[0].delivered == 200


def test_what_waits_goes_together_and_alone_once_the_viewer_cannot_read_it():
    with zmq.Context() as context, Publisher(listen=ANY) as publisher:
        send(publisher, range(20), 512)
        viewer = context.socket(zmq.DEALER)
        viewer.connect(publisher.endpoint)
        sizes = []

        def say(message):
            viewer.send_multipart(encode(message))

        def hear(kind):
            while True:
                assert viewer.poll(5000)
                message, _ = decode(viewer.recv_multipart())
                if type(message) in (Images, Image):
                    sizes.append(len(message.images) if type(message) is Images else 1)
                if type(message) is kind:
                    return message

        me = {"id": "by hand", "incarnation": "1"}
        say(Hello(role="viewer", **me))
        hear(Hello)
        say(Welcome(**me, shared_memory=True, credits=64, window_bytes=64 << 20, max_plane_bytes=1 << 30))
        while sum(sizes) < 20:
            together = hear(Images)
        assert sizes == [8, 8, 4]
        say(Ack(state="again", incarnation="1", seqs=(20,)))
        assert (hear(Image).seq, together.images[-1].seq) == (20, 20)
        say(Ack(state="received", incarnation="1", seqs=tuple(range(1, 21))))
        until(lambda: publisher.undelivered, (0).__eq__)
        say(Bye())
        viewer.close(linger=1000)


def test_what_viewers_would_refuse_is_refused_at_once():
    with Publisher(listen=ANY, options=PublisherOptions(absent_s=0)) as publisher:
        with pytest.raises(StreamingError, match="not of its type"):
            publisher.begin(Begin(stream="s", title="t" * 5000))
        publisher.begin(Begin(stream="s", values={"site": tuple(np.arange(1, 3))}))
        with pytest.raises(StreamingError, match="at most 64 characters"):
            publisher.save("s", plane(0), PlaneAddress("A" * 65))


def test_coordinates_may_be_numbers_of_numpy():
    recorder = Recorder()
    with Receiver(recorder, listen=ANY) as receiver, Publisher([receiver.endpoint]) as publisher:
        publisher.begin(Begin(stream="s", values={"site": tuple(np.arange(1, 3))}))
        publisher.save("s", plane(0), PlaneAddress("A01", *np.ones(4, int)), np.int64(7))
        publisher.close()
    assert list(recorder.times) == [("s", address(0))]
