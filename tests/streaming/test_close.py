"""How a publisher ends: patient with viewers that draw, at once when work was stopped, and never long for nobody."""

from __future__ import annotations

import threading
import time

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.messages import Begin
from openhcs_core.streaming.publisher import Publisher, PublisherOptions
from openhcs_core.streaming.receiver import Receiver
from tests.streaming.peers import Recorder, address, plane


class Drawer(Recorder):
    """Says that it has drawn an image some time after that has come."""

    receiver: Receiver

    def __init__(self):
        super().__init__()
        self._drawing, self._drawn = threading.Lock(), 0

    def received(self, image):
        super().received(image)
        threading.Timer(0.3, self._draw, [image.stream]).start()

    def _draw(self, stream):
        with self._drawing:  # timers that are due at once come in any order
            self._drawn += 1
            self.receiver.displayed(stream, self._drawn)


def test_the_report_waits_for_what_is_being_drawn():
    viewer = Drawer()
    with Receiver(viewer, "drawer", listen="tcp://127.0.0.1:0", displays=True) as viewer.receiver:
        with Publisher(connect=[viewer.receiver.endpoint]) as publisher:
            publisher.begin(Begin(stream="a"))
            for number in range(5):
                publisher.save("a", plane(number), address(number))
            assert publisher.wait(10)
            report = publisher.close()
        assert "5 images delivered, 5 displayed" in str(report)
        with Publisher(connect=[viewer.receiver.endpoint]) as publisher:  # another one's images are none of its own
            publisher.begin(Begin(stream="b"))
            assert publisher.wait(10)
            assert publisher.close().viewers[0].displayed == 0


def test_stopped_work_waits_for_no_viewer():
    viewer = Recorder(delay_s=0.5)
    with Receiver(viewer, "slow", listen="tcp://127.0.0.1:0", credits=1) as receiver:
        options = PublisherOptions(drain_s=60, absent_s=60)
        publisher = Publisher(connect=[receiver.endpoint, "tcp://127.0.0.1:9"], options=options)
        publisher.begin(Begin(stream="a"))
        for number in range(200):
            publisher.save("a", plane(number), address(number))
        assert publisher.wait(10)
        patient = threading.Thread(target=publisher.close)
        patient.start()
        time.sleep(0.2)
        assert patient.is_alive()
        report = publisher.close(aborted=True)
        patient.join(20)
        assert not patient.is_alive()
        assert report.images == 200
        assert len(report.viewers[0].undelivered) > 100


def test_a_save_that_waits_for_room_ends_with_the_work(tmp_path):
    options = PublisherOptions(memory_bytes=1 << 20, scratch=tmp_path, spool_bytes=0, wait_s=60)
    publisher = Publisher(connect=["tcp://127.0.0.1:9"], options=options)
    publisher.begin(Begin(stream="a"))
    kept: list[bool] = []

    def fill() -> None:
        while all(kept):
            kept.append(publisher.save("a", plane(0, 512), PlaneAddress("", z_index=len(kept) + 1)))

    filling = threading.Thread(target=fill)
    filling.start()
    time.sleep(0.5)
    assert filling.is_alive()
    publisher.close(aborted=True)
    filling.join(20)
    assert not filling.is_alive()
    assert kept[-1] is False


def test_images_wait_but_once_for_nobody(tmp_path):
    options = PublisherOptions(memory_bytes=1 << 20, scratch=tmp_path, spool_bytes=0, wait_s=0.5, absent_s=0)
    with Publisher(connect=["tcp://127.0.0.1:9"], options=options) as publisher:
        publisher.begin(Begin(stream="a"))
        for number in range(40):
            publisher.save("a", plane(number, 512), address(number))
        report = publisher.close()
    assert report.dropped > 30
    assert report.waited_s < 30 * 0.5 / 2
