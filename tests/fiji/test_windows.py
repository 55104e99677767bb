"""What ImageJ shows, read back from its windows."""

import numpy as np
import pytest

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.control import ask
from openhcs_core.streaming.messages import Begin, Channel, Status
from openhcs_core.streaming.publisher import Publisher
from tests.fiji.viewers import TWO, known, send, stack_of, until


def test_a_hyperstack_with_everything_that_is_known(asked):
    images = stack_of((2, 3, 2))
    begin = known("Smooth", (2, 3, 2), voxel_size_um=(2.0, 0.25, 0.5), source={"Plate": 12})
    assert not send(asked, begin, images).undelivered
    got = asked.window("P1 B03 s1 - Smooth", displayed=12)
    assert got["dimensions"] == [40, 30, 2, 3, 2]
    assert (got["composite"], got["hyperstack"], got["bits"]) == (True, True, 16)
    assert got["labels"][:4] == ["DAPI z1 t1", "GFP z1 t1", "DAPI z2 t1", "GFP z2 t1"]
    assert got["colors"] == [[255, 0, 128], [0, 255, 0]]
    assert got["ranges"] == [[0, 1000], [100, 600]]
    assert (got["unit"], got["voxel"]) == ("micron", [2.0, 0.25, 0.5])
    assert "OMERO Plate: 12\n" in got["info"]
    assert "Step: Smooth\n" in got["info"]
    pixels = asked.pixels("P1 B03 s1 - Smooth")
    for address, array in images.items():
        np.testing.assert_array_equal(pixels[address.timepoint - 1, address.z_index - 1, address.channel - 1], array)


def test_gaps_are_blank_and_say_so(asked):
    images = stack_of((2, 2, 1))
    missing = PlaneAddress("B03", 1, 2, 1, 1)
    del images[missing]
    send(asked, known("Gap", (2, 2, 1)), images)
    got = asked.window("P1 B03 s1 - Gap", displayed=3)
    assert (got["planes"], got["total"]) == (3, 4)
    assert got["labels"] == ["DAPI z1 t1", "GFP z1 t1 (missing)", "DAPI z2 t1", "GFP z2 t1"]
    pixels = asked.pixels("P1 B03 s1 - Gap")
    assert not pixels[0, 0, 1].any()
    np.testing.assert_array_equal(pixels[0, 1, 1], images[PlaneAddress("B03", 1, 2, 2, 1)])


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_not_known_grows(asked, channels):
    """One plane, then slices, channels and frames, in no order; the window that is open takes them."""
    images = stack_of((channels, 3, 2))
    stream, title = f"Grow {channels}", f"B03 s1 - Grow {channels}"
    order = list(images)
    np.random.default_rng(1).shuffle(order)
    with Publisher([asked.address]) as publisher:
        publisher.begin(Begin(stream=stream, step=stream, channels=TWO))
        publisher.save(stream, images[order[0]], order[0])
        asked.window(title, dimensions=[40, 30, 1, 1, 1], displayed=1)
        for address in order[1:]:
            publisher.save(stream, images[address], address)
        got = asked.window(title, dimensions=[40, 30, channels, 3, 2], displayed=6 * channels)
    assert (got["composite"], got["hyperstack"]) == (channels > 1, True)
    assert got["colors"] == [[255, 0, 128], [0, 255, 0]][:channels]
    assert not any("missing" in label for label in got["labels"])
    pixels = asked.pixels(title)
    for address, array in images.items():
        np.testing.assert_array_equal(pixels[address.timepoint - 1, address.z_index - 1, address.channel - 1], array)


def test_what_comes_again_takes_its_place(asked):
    first, second = stack_of((1, 2, 1)), stack_of((1, 2, 1), site=1)
    with Publisher([asked.address]) as publisher:
        publisher.begin(known("Again", (1, 2, 1)))
        for address, array in first.items():
            publisher.save("Again", array, address)
        asked.window("P1 B03 s1 - Again", displayed=2)
        for address, array in second.items():
            publisher.save("Again", array + np.uint16(5), address)
        asked.window("P1 B03 s1 - Again", displayed=4, planes=2)
    pixels = asked.pixels("P1 B03 s1 - Again")
    np.testing.assert_array_equal(pixels[0, 1, 0], first[PlaneAddress("B03", 1, 1, 2, 1)] + 5)


def test_other_types_are_converted_and_said_so(asked):
    array = np.array([[-3, 70000], [0, 1]], np.int32).repeat(20, 0).repeat(20, 1)
    send(asked, Begin(stream="Types", step="Types"), {PlaneAddress("B03"): array})
    got = asked.window("B03 s1 - Types", displayed=1, bits=32)
    np.testing.assert_array_equal(asked.pixels("B03 s1 - Types")[0, 0, 0], array)
    assert got["ranges"] == [[-3, 70000]]
    assert "int32 is shown as float32; large values are rounded." in got["info"]
    assert "Types: int32 is shown as float32" in until(lambda: asked.ask("log"), bool)


def test_wider_and_larger_images_widen_the_window(asked):
    small, large = np.full((20, 30), 200, np.uint8), np.full((25, 28), 40000, np.uint16)
    images = {PlaneAddress("B03", z_index=1): small, PlaneAddress("B03", z_index=2): large}
    send(asked, Begin(stream="Sizes", step="Sizes"), images)
    asked.window("B03 s1 - Sizes", dimensions=[30, 25, 1, 2, 1], bits=16, displayed=2)
    pixels = asked.pixels("B03 s1 - Sizes")[0, :, 0]
    np.testing.assert_array_equal(pixels[0, :20], small)
    np.testing.assert_array_equal(pixels[1, :, :28], large)
    assert not pixels[0, 20:].any()
    assert not pixels[1, :, 28:].any()


def test_labels_have_colours_of_their_own(asked):
    labels = np.arange(30 * 40, dtype=np.int32).reshape(30, 40)
    send(asked, Begin(stream="Cells", step="Cells", kind="labels"), {PlaneAddress("B03"): labels})
    got = asked.window("B03 s1 - Cells", displayed=1)
    assert (got["bits"], got["ranges"]) == (16, [[0, 1199]])
    assert got["colors"][0] not in ([255, 255, 255], [0, 0, 0])
    np.testing.assert_array_equal(asked.pixels("B03 s1 - Cells")[0, 0, 0], labels)


def test_tables_of_imagej_by_name(asked):
    channels = (Channel(name="a", lut="fire"), Channel(name="b", color=(0.0, 1.0, 0.0), lut="no such table"))
    send(asked, known("Lut", (2, 1, 1), channels=channels), stack_of((2, 1, 1)))
    got = asked.window("P1 B03 s1 - Lut", displayed=2)
    assert got["colors"] == [[255, 255, 255], [0, 255, 0]]
    assert got["ranges"][0][1] > 1000
    assert "no lookup table 'no such table'" in until(lambda: asked.ask("log"), lambda log: "no such table" in log)


@pytest.mark.parametrize("kind", ["points", "shapes"])
@pytest.mark.parametrize(("frames", "where"), [(1, [2, 0, 2, 0]), (2, [0, 0, 2, 1])])
def test_points_and_outlines_lie_over_their_image(asked, kind, frames, where):
    points = np.array([[1, 2, 3], [1, 10, 3], [1, 10, 20], [2, 20, 30], [2, 22, 30], [2, 22, 35]], np.float64)
    image, over, title = f"Image {kind} {frames}", f"Over {kind} {frames}", f"P1 B03 s1 - Image {kind} {frames}"
    with Publisher([asked.address]) as publisher:
        publisher.begin(known(image, (1, 2, frames)))
        for address, array in stack_of((1, 2, frames)).items():
            publisher.save(image, array, address)
        asked.window(title, displayed=2 * frames)
        publisher.begin(Begin(stream=over, plate="P1", step="Spots", kind=kind))
        place = PlaneAddress("B03", z_index=2)
        for _ in range(2):  # the second takes the place of the first
            publisher.save(over, points if kind == "shapes" else points[:, 1:], place)
        until(lambda: ask(asked.address, Status(), 20).streams[-1].displayed, lambda displayed: displayed == 2)
    got = asked.window(title)["rois"]
    assert len(got) == (1 if kind == "points" else 2)
    assert got[0]["place"] == where
    assert got[0]["points"][:3] == [[2.5, 3.5], [10.5, 3.5], [10.5, 20.5]]
    assert got[0]["kind"] == ("Point" if kind == "points" else "Polygon")
    assert list(asked.ask("windows")) == [title]


def test_points_without_an_image_have_a_window(asked):
    points = np.array([[10.0, 90.0], [79.0, 5.0]])
    send(asked, Begin(stream="Alone", plate="P9", step="Spots", kind="points"), {PlaneAddress("C04"): points})
    got = asked.window("P9 C04 s1 - Spots", state="open")
    assert got["dimensions"] == [91, 80, 1, 1, 1]
    assert got["rois"][0]["points"] == [[10.5, 90.5], [79.5, 5.5]]


def test_what_the_user_chose_stays(asked):
    """Contrast, and the plane that is looked at, while the window grows and others come."""
    images = stack_of((1, 4, 1))
    title = "B03 s1 - User"
    with Publisher([asked.address]) as publisher:
        publisher.begin(Begin(stream="User", step="User"))
        places = list(images)
        for place in places[1:3]:
            publisher.save("User", images[place], place)
        got = asked.window(title, displayed=2, follow=True)
        assert got["position"] == [1, 2, 1]  # the newest
        asked.ask("move", title=title, place=[1, 1, 1])
        asked.window(title, follow=False)
        asked.ask("range", title=title, low=10, high=77)
        for place in (places[3], places[0]):  # behind, and before it
            publisher.save("User", images[place] * 20, place)
        got = asked.window(title, displayed=4, total=4)
    assert got["ranges"] == [[10, 77]]
    assert got["labels"][got["position"][1] - 1] == "c1 z2 t1"
    asked.ask("wish", wish="follow", what=True)
    asked.window(title, follow=True)


def test_contrast_follows_the_images_unless_it_was_chosen(asked):
    with Publisher([asked.address]) as publisher:
        publisher.begin(known("Auto", (1, 2, 1), channels=()))
        publisher.save("Auto", np.arange(1200, dtype=np.uint16).reshape(30, 40), PlaneAddress("B03", z_index=1))
        low, high = asked.window("P1 B03 s1 - Auto", displayed=1)["ranges"][0]
        assert 0 <= low < 30
        assert 1150 < high < 1200
        publisher.save("Auto", np.full((30, 40), 9000, np.uint16), PlaneAddress("B03", z_index=2))
        assert asked.window("P1 B03 s1 - Auto", displayed=2)["ranges"] == [[low, 9000]]


def test_a_window_that_is_closed_goes_on_in_memory(asked):
    images = stack_of((1, 3, 1))
    title = "P1 B03 s1 - Close"
    places = list(images)
    with Publisher([asked.address]) as publisher:
        publisher.begin(known("Close", (1, 3, 1)))
        publisher.save("Close", images[places[0]], places[0])
        asked.window(title, displayed=1)
        asked.ask("close_window", title=title)
        asked.window(title, state="closed")
        publisher.save("Close", images[places[1]], places[1])
        assert asked.window(title, planes=2)["displayed"] == 1
        asked.ask("wish", wish="open", what=[0])
        asked.window(title, state="open", displayed=2)
        publisher.save("Close", images[places[2]], places[2])
        asked.window(title, displayed=3)
    np.testing.assert_array_equal(asked.pixels(title)[0, :, 0], np.stack(list(images.values())))


def test_an_image_that_the_user_changed_is_the_users(asked):
    images = stack_of((1, 2, 1))
    title = "P1 B03 s1 - Crop"
    send(asked, known("Crop", (1, 2, 1)), images)
    asked.window(title, displayed=2)
    asked.ask("crop", title=title)
    asked.window(title, state="closed")
    assert "Crop: It was changed by hand" in until(lambda: asked.ask("log"), lambda log: "by hand" in log)
    asked.ask("wish", wish="open", what=[0])
    assert asked.window(title, state="open")["dimensions"] == [40, 30, 1, 2, 1]


def test_a_plate_does_not_flood_the_desk(asked):
    wells = [f"{row}{column:02}" for row in "ABCD" for column in range(1, 5)]
    images = {PlaneAddress(well): np.full((50, 50), 100 + n, np.uint8) for n, well in enumerate(wells)}
    values = {"well": tuple(wells), "site": (1,), "channel": (1,), "z_index": (1,), "timepoint": (1,)}
    report = send(asked, Begin(stream="Plate", plate="P2", step="Plate", values=values), images)
    assert not report.undelivered
    got = until(lambda: asked.ask("windows"), lambda got: sum("bounds" in one for one in got.values()) == 12)
    assert [one["state"] for one in got.values()] == ["open"] * 12 + ["in memory"] * 4
    bounds = [one["bounds"] for one in got.values() if "bounds" in one]
    assert len({tuple(place[:2]) for place in bounds}) == 12
    assert all(x >= 0 and y >= 0 and x + w <= 1600 and y + h <= 1000 for x, y, w, h in bounds)
    assert "12 windows are open" in until(lambda: asked.ask("log"), lambda log: "12 windows" in log)
    asked.ask("wish", wish="open", what=[15])
    assert asked.window("P2 D04 s1 - Plate", state="open", displayed=1)["dimensions"] == [50, 50, 1, 1, 1]


def test_pause_clear_and_replay(asked):
    images = stack_of((1, 2, 1))
    with Publisher([asked.address]) as publisher:
        asked.ask("wish", wish="pause", what=True)
        publisher.begin(known("Pause", (1, 2, 1)))
        for address, array in images.items():
            publisher.save("Pause", array, address)
        assert asked.window("P1 B03 s1 - Pause", planes=2)["state"] == "in memory"
        asked.ask("wish", wish="pause", what=False)
        asked.window("P1 B03 s1 - Pause", state="open", displayed=2)
        asked.ask("wish", wish="clear")
        until(lambda: asked.ask("windows"), lambda got: got == {})
        asked.ask("wish", wish="replay")
        asked.window("P1 B03 s1 - Pause", state="open", displayed=2, planes=2)
        assert ask(asked.address, Status(), 20).streams[-1].displayed == 2


def test_an_image_without_pixels_is_refused(asked):
    report = send(asked, Begin(stream="Empty"), {PlaneAddress("B03"): np.zeros((0, 5), np.uint8)})
    assert len(report.undelivered) == 1
    assert asked.ask("windows") == {}


def test_two_streams_never_share_a_window(asked):
    for stream in ("one", "two"):
        send(asked, known(stream, (1, 1, 1), step="Same"), stack_of((1, 1, 1)))
    got = until(lambda: asked.ask("windows"), lambda got: "P1 B03 s1 - Same" in got)
    assert len(asked.ask("titles")) == 2, got


def test_what_makes_no_sense_is_refused(asked):
    report = send(asked, known("Bad", (1, 1, 1), display={"well": "heap"}), stack_of((1, 1, 1)))
    assert len(report.undelivered) == 1
    assert "well cannot be shown as 'heap'" in str(report) or report.viewers[0].failed
