"""Events of long work: rate, time left, and how often a line is due."""

import pytest

from openhcs_core.progress import Lines, Progress, ProgressMeter, RateEstimator, duration_text


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_events(clock):
    events = []
    meter = ProgressMeter([events.append], "Image:1", 2, 3, clock=clock)
    meter.begin("export")
    meter.report(0, 200_000_000)
    clock.now += 2
    meter.report(50_000_000, 200_000_000)
    meter.begin("upload")
    clock.now += 1
    meter.report(100, 100)
    first, second, third = events
    assert (first.rate, first.seconds_left, str(first)) == (None, None, "export 0 %")
    assert second.rate == pytest.approx(25e6)
    assert second.seconds_left == pytest.approx(6)
    assert (second.subject, second.item, second.items, second.observed_s) == ("Image:1", 2, 3, 2.0)
    assert str(second) == "export 25 %, 25 MB/s, about 6 s left"
    assert (third.rate, third.percent, third.observed_s) == (100.0, 100, 1.0)


def test_what_was_there_before_is_no_speed(clock):
    events = []
    meter = ProgressMeter([events.append], clock=clock)
    meter.begin("export", found=900)
    for done in (300, 600, 900):
        clock.now += 0.001
        meter.report(done, 1000)
    clock.now = 110.0
    meter.report(910, 1000)
    assert [event.rate for event in events] == [None, None, None, 1.0]
    assert events[-1].seconds_left == pytest.approx(90)


def test_the_rate_is_that_of_late():
    rate = RateEstimator(0, 0.0)
    for second in range(1, 101):
        found = rate.update(second * 100, float(second))
    assert found == pytest.approx(100)
    for second in range(101, 141):
        found = rate.update(10_000 + (second - 100) * 10, float(second))
    assert 10 < found < 12


def test_pieces_in_bursts_give_a_steady_rate():
    rate, done = RateEstimator(0, 0.0), 0
    for burst in range(1, 60):
        for step in range(4):
            done += 250
            found = rate.update(done, burst + step * 1e-6)
        assert found == pytest.approx(1000, rel=1e-3)


def test_nothing_to_count():
    assert str(Progress("waiting for another export", 0, 0)) == "waiting for another export"


def test_other_units():
    assert str(Progress("export", 1, 4, unit="images", rate=0.5)) == "export 25 %, 0.5 images/s"


def test_a_listener_ends_the_work():
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ProgressMeter([stop]).report(1, 2)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (9, []),
        (30, [11, 21]),
        (200, [21, 41, 61, 81, 101, 121, 141, 161, 181]),
        (1200, [61, 121, 181]),
    ],
)
def test_lines_are_few(seconds, expected, clock):
    """At a steady speed: ten seconds apart, a tenth or a minute."""
    seen = []
    lines = Lines(lambda event: seen.append(round(clock.now - 100)), clock=clock)
    for second in range(1, seconds + 1):
        clock.now = 100.0 + second + 0.001
        lines(Progress("export", second - 1, seconds))
    assert seen[: len(expected)] == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (12.4, "12 s"), (90, "2 min"), (3600, "60 min"), (5400, "1.5 h")]
)
def test_times_for_people(seconds, text):
    assert duration_text(seconds) == text
