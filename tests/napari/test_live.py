"""Layers that grow with what comes, in a viewer without a window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Begin, Channel, End, Image, Progress
from openhcs_napari.live import LiveView
from openhcs_napari.streams import Streams

CHANNELS = (
    Channel(name="DAPI", color=(0.0, 0.0, 1.0), window=(10.0, 900.0)),
    Channel(name="GFP", color=(0.0, 1.0, 0.0)),
)
KNOWN = {"well": ("A01", "B03"), "site": (1,), "channel": (1, 2), "z_index": (1, 2, 3), "timepoint": (1,)}
IMAGES = Begin(
    stream="run/raw",
    title="raw",
    dtype="uint16",
    size_yx=(8, 6),
    values=KNOWN,
    channels=CHANNELS,
    voxel_size_um=(2.0, 0.5, 0.25),
    source={"Plate": 12},
)


class Bench:
    """A viewer and the sender's side of it, with a clock that is moved by hand."""

    def __init__(self) -> None:
        self.viewer, self.streams = ViewerModel(), Streams()
        self.live = LiveView(self.viewer, self.streams)
        self.sinks, self.seq, self.now = {}, 0, 0.0

    def begin(self, begin: Begin) -> None:
        self.sinks[begin.stream] = self.streams.begin(begin)

    def send(self, stream: str, array: np.ndarray, address: PlaneAddress, source_id: int | None = None) -> None:
        self.seq += 1
        places = address._asdict()
        facts = {"shape": array.shape, "dtype": array.dtype.name, "nbytes": array.nbytes, "source_id": source_id}
        image = Image(stream=stream, seq=self.seq, **places, **facts)
        sink = self.sinks[stream]
        sink.target(image)[...] = array
        sink.received(image)

    def settle(self, ticks: int = 30) -> None:
        """Let the window have time."""
        for _ in range(ticks):
            self.now += 0.1
            self.live.tick(self.now)

    def layer(self, name: str):
        return self.viewer.layers[name]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def plane(number: int, shape=(8, 6), dtype=np.uint16) -> np.ndarray:
    return (number * 100 + np.arange(shape[0] * shape[1]).reshape(shape)).astype(dtype)


def test_layers_are_there_before_their_planes(bench):
    bench.begin(IMAGES)
    bench.settle()
    dapi, gfp = bench.viewer.layers
    assert (dapi.name, gfp.name) == ("raw: DAPI", "raw: GFP")
    for layer in (dapi, gfp):
        assert layer.data.shape == (2, 1, 1, 3, 8, 6)
        assert layer.blending == "additive"
        assert tuple(layer.scale) == (1, 1, 1, 2.0, 0.5, 0.25)
        assert layer.axis_labels == ("well", "site", "t", "z", "y", "x")
        assert [str(unit) for unit in layer.units[-3:]] == ["micrometer"] * 3
        assert layer.metadata["omero"]["Plate"] == 12
    assert tuple(dapi.contrast_limits) == (10.0, 900.0)
    assert np.allclose(dapi.colormap.map([1.0])[0], (0, 0, 1, 1))
    assert np.allclose(gfp.colormap.map([1.0])[0], (0, 1, 0, 1))
    assert bench.viewer.dims.axis_labels == ("well", "site", "t", "z", "y", "x")
    assert [layer.stack.total for layer in bench.live.layers] == [6, 6]


def test_planes_come_to_their_places(bench):
    bench.begin(IMAGES)
    addresses = [PlaneAddress(well, 1, channel, z) for well in KNOWN["well"] for channel in (1, 2) for z in (1, 2, 3)]
    for number, address in enumerate(addresses[:-1]):
        bench.send("run/raw", plane(number), address, source_id=100 + (address.well == "B03"))
    bench.settle()
    for number, address in enumerate(addresses):
        data = bench.layer(f"raw: {CHANNELS[address.channel - 1].name}").data
        there = data[KNOWN["well"].index(address.well), 0, 0, address.z_index - 1]
        assert np.array_equal(there, plane(number) if number < 11 else np.zeros((8, 6)))
    assert [len(layer.held) for layer in bench.live.layers] == [6, 5]
    assert bench.live.shown == {"run/raw": 11}
    assert bench.layer("raw: DAPI").metadata["omero"]["images"] == {("A01", 1): 100, ("B03", 1): 101}


def test_the_sliders_follow_the_newest_until_the_user_moves_one(bench):
    bench.begin(IMAGES)
    bench.send("run/raw", plane(1), PlaneAddress("B03", 1, 1, 2))
    bench.settle()
    layer = bench.live.layers[0]
    assert layer.shown_place() == (("B03",), (1,), (1,), (2,))
    assert bench.live.place() == "well B03, site 1, t 1, z 2"
    assert np.array_equal(bench.layer("raw: DAPI")._slice.image.raw, plane(1))
    bench.viewer.dims.set_current_step(3, 0)
    assert not bench.live.following
    bench.send("run/raw", plane(2), PlaneAddress("A01", 1, 1, 3))
    bench.settle()
    assert layer.shown_place() == (("B03",), (1,), (1,), (1,))
    assert bench.live.place().endswith("(not there yet)")


def test_a_picture_is_drawn_again_only_where_it_is_seen(bench):
    bench.begin(IMAGES)
    bench.settle()
    bench.viewer.dims.set_current_step([0, 3], [0, 0])
    bench.settle()
    redrawn = []
    bench.layer("raw: DAPI").events.set_data.connect(lambda event: redrawn.append(event))
    bench.send("run/raw", plane(1), PlaneAddress("B03", 1, 1, 2))
    bench.now += 0.01
    assert not bench.live.tick(bench.now)
    assert redrawn == []
    bench.send("run/raw", plane(2), PlaneAddress("A01", 1, 1, 1))
    bench.now += 0.01
    assert bench.live.tick(bench.now)
    assert len(redrawn) == 1
    assert np.array_equal(bench.layer("raw: DAPI")._slice.image.raw, plane(2))


def test_the_same_place_again_is_overwritten(bench):
    bench.begin(IMAGES)
    for number in (1, 2):
        bench.send("run/raw", plane(number), PlaneAddress("A01"))
        bench.settle()
    assert np.array_equal(bench.layer("raw: DAPI").data[0, 0, 0, 0], plane(2))
    assert len(bench.live.layers[0].held) == 1
    assert bench.live.shown == {"run/raw": 2}


def test_what_is_not_known_grows_in_the_order_of_a_plate(bench):
    """And the place that the user looks at stays in the picture."""
    bench.begin(Begin(stream="s", channels=CHANNELS))
    bench.send("s", plane(1), PlaneAddress("B10"))
    bench.settle()
    layer = bench.layer("s: DAPI")
    assert layer.data.shape == (8, 6)
    bench.live.following = False
    bench.send("s", plane(2), PlaneAddress("B02"))
    bench.settle()
    assert layer.data.shape == (2, 1, 1, 1, 8, 6)
    assert np.array_equal(layer.data[0, 0, 0, 0], plane(2))
    assert bench.live.layers[0].shown_place()[0] == ("B10",)
    bench.send("s", plane(3), PlaneAddress("A01", z_index=2))
    bench.send("s", plane(4), PlaneAddress("B10", channel=2))
    bench.settle()
    assert layer.data.shape == (3, 1, 1, 2, 8, 6)
    assert np.array_equal(layer.data[2, 0, 0, 0], plane(1))
    assert np.array_equal(layer.data[0, 0, 0, 1], plane(3))
    assert np.array_equal(bench.layer("s: GFP").data[2, 0, 0, 0], plane(4))
    assert bench.live.layers[0].shown_place()[0] == ("B10",)


def test_growing_waits_for_others(bench):
    bench.begin(Begin(stream="s"))
    bench.send("s", plane(0), PlaneAddress("A01"))
    bench.settle()
    grown = []
    bench.layer("s").events.data.connect(lambda event: grown.append(event))
    for number in range(20):
        bench.send("s", plane(number), PlaneAddress("A01", timepoint=number + 2))
        bench.now += 0.05
        bench.live.tick(bench.now)
    assert 4 <= len(grown) <= 6
    bench.settle()
    assert bench.layer("s").data.shape[0] == 21
    assert bench.live.shown == {"s": 21}


def test_planes_may_differ_in_size_and_type(bench):
    bench.begin(Begin(stream="s"))
    bench.send("s", plane(1, (8, 6), np.uint8), PlaneAddress("A01"))
    bench.settle()
    bench.send("s", plane(2, (5, 9), np.float32), PlaneAddress("A02"))
    bench.settle()
    data = bench.layer("s").data
    assert data.shape[-2:] == (8, 9)
    assert data.dtype == np.float32
    assert np.array_equal(data[0, 0, 0, 0][:8, :6], plane(1, (8, 6), np.uint8))
    assert np.array_equal(data[1, 0, 0, 0][:5, :9], plane(2, (5, 9)))
    assert not data[1, 0, 0, 0][5:].any()


def test_components_may_have_layers_of_their_own_or_be_slices(bench):
    values = {"well": ("A01", "B03"), "site": (1, 2), "channel": (1, 2), "z_index": (1,), "timepoint": (1,)}
    display = {"well": "separate", "site": "slice", "channel": "slice"}
    bench.begin(replace(IMAGES, values=values, display=display))
    bench.send("run/raw", plane(7), PlaneAddress("B03", 2, 1))
    bench.settle()
    assert [layer.name for layer in bench.viewer.layers] == ["raw: well A01", "raw: well B03"]
    data = bench.layer("raw: well B03").data
    assert data.shape == (4, 8, 6)  # sites in turn, channels within
    assert np.array_equal(data[2], plane(7))
    assert bench.live.place() == "site 2, channel 1, t 1, z 1 (not there yet)"  # of the first layer


def test_two_streams_share_sliders_but_no_layer(bench):
    bench.begin(IMAGES)
    bench.begin(replace(IMAGES, stream="run/late", title="late", values={"well": ("B03",), "z_index": (2,)}))
    bench.send("run/raw", plane(1), PlaneAddress("B03", 1, 1, 2))
    bench.send("run/late", plane(2), PlaneAddress("B03", 1, 1, 2))
    bench.settle()
    assert [layer.name for layer in bench.viewer.layers] == ["raw: DAPI", "raw: GFP", "late: DAPI"]
    for name, number in (("raw: DAPI", 1), ("late: DAPI", 2)):
        assert np.array_equal(bench.layer(name).data[1, 0, 0, 1], plane(number))


def test_the_users_contrast_is_kept(bench):
    bench.begin(IMAGES)
    bench.settle()
    bench.layer("raw: DAPI").contrast_limits = (50, 60)
    bench.layer("raw: GFP").contrast_limits = (70, 80)
    bench.layer("raw: GFP").visible = False
    for channel in (1, 2):
        bench.send("run/raw", plane(channel), PlaneAddress("A01", 1, channel))
    bench.send("run/raw", plane(3), PlaneAddress("C01", 1, 2))  # grows
    bench.settle()
    assert tuple(bench.layer("raw: DAPI").contrast_limits) == (50, 60)
    assert tuple(bench.layer("raw: GFP").contrast_limits) == (70, 80)
    assert not bench.layer("raw: GFP").visible


def test_without_a_window_contrast_comes_from_the_first_plane_that_has_any(bench):
    bench.begin(IMAGES)
    bench.send("run/raw", np.zeros((8, 6), np.uint16), PlaneAddress("A01", 1, 2, 1))
    bench.settle()
    assert tuple(bench.layer("raw: GFP").contrast_limits) == (0, 65535)
    bench.send("run/raw", plane(5), PlaneAddress("A01", 1, 2, 2))
    bench.settle()
    low, high = bench.layer("raw: GFP").contrast_limits
    assert 500 <= low < 502
    assert 545 < high <= 547
    bench.send("run/raw", plane(50), PlaneAddress("A01", 1, 2, 3))
    bench.settle()
    assert tuple(bench.layer("raw: GFP").contrast_limits) == (low, high)


def test_lookup_tables_have_priority_over_colours(bench):
    bench.begin(Begin(stream="s", dtype="uint8", size_yx=(4, 4), channels=(Channel(name="heat", lut="fire.lut"),)))
    bench.send("s", plane(0, (4, 4), np.uint8), PlaneAddress("A01"))
    bench.settle()
    assert bench.viewer.layers[0].colormap.name == "fire"


def test_labels_points_and_outlines_lie_over_the_images(bench):
    """Whatever comes first; those without pixel size take that of their plate."""
    bench.begin(Begin(stream="p", title="spots", kind="points"))
    bench.begin(Begin(stream="o", title="outlines", kind="shapes"))
    bench.begin(Begin(stream="l", title="cells", kind="labels"))
    bench.begin(IMAGES)
    labels = np.zeros((8, 6), bool)
    labels[2:4] = True
    for z in (1, 2):
        bench.send("run/raw", plane(z), PlaneAddress("B03", z_index=z))
    bench.send("l", labels, PlaneAddress("B03", z_index=2))
    bench.send("p", np.array([[1.0, 2.0], [3.0, 4.0]]), PlaneAddress("B03", z_index=2))
    square = [[5, 1.0, 1.0], [5, 1, 4], [5, 4, 4], [7, 0, 0], [7, 0, 2], [7, 2, 2], [7, 2, 0], [8, 1, 1]]
    bench.send("o", np.array(square), PlaneAddress("B03", z_index=2))
    bench.settle()
    layers = bench.viewer.layers
    assert [type(layer).__name__ for layer in layers] == ["Image", "Image", "Labels", "Points", "Shapes"]
    image, _, cells, spots, outlines = layers
    assert np.array_equal(cells.data[1, 0, 0, 1], labels.astype(np.uint8))
    assert spots.data.tolist() == [[1, 0, 0, 1, 1, 2], [1, 0, 0, 1, 3, 4]]
    assert [len(polygon) for polygon in outlines.data] == [3, 4]  # a single point is no outline
    assert outlines.data[0].tolist() == [[1, 0, 0, 1, 1, 1], [1, 0, 0, 1, 1, 4], [1, 0, 0, 1, 4, 4]]
    for layer in (cells, spots, outlines):
        assert tuple(layer.scale[-3:]) == tuple(image.scale[-3:])
    assert bench.live.shown == {"run/raw": 2, "l": 1, "p": 1, "o": 1}


def test_points_and_outlines_move_with_their_wells_and_are_replaced(bench):
    bench.begin(Begin(stream="p", title="spots", kind="points"))
    bench.begin(Begin(stream="o", title="outlines", kind="shapes"))
    triangle = np.array([[1, 1.0, 1.0], [1, 1, 4], [1, 4, 4]])
    for well in ("B02", "A01"):
        bench.send("p", np.array([[1.0, 2.0]]), PlaneAddress(well))
        bench.send("o", triangle, PlaneAddress(well))
        bench.settle()
    assert sorted(row[0] for row in bench.layer("spots").data) == [0, 1]
    assert sorted(polygon[0, 0] for polygon in bench.layer("outlines").data) == [0, 1]
    bench.send("p", np.empty((0, 2)), PlaneAddress("B02"))
    bench.send("o", triangle + 1, PlaneAddress("B02"))
    bench.settle()
    assert bench.layer("spots").data.tolist() == [[0, 0, 0, 0, 1, 2]]
    assert sorted(polygon[0].tolist() for polygon in bench.layer("outlines").data) == [
        [0, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 2, 2],
    ]


def test_labels_have_to_be_whole_numbers(bench):
    bench.begin(Begin(stream="l", kind="labels"))
    with pytest.raises(StreamingError, match="whole numbers"):
        bench.send("l", plane(1, dtype=np.float32), PlaneAddress("A01"))


def test_a_plane_that_would_make_its_layer_huge_is_refused(bench):
    bench.begin(Begin(stream="s"))
    bench.send("s", np.zeros((1, 100_000), np.uint8), PlaneAddress("A01"))
    with pytest.raises(StreamingError, match="differs too much"):
        bench.send("s", np.zeros((100_000, 1), np.uint8), PlaneAddress("A02"))


def test_clearing_makes_room_and_what_comes_again_is_shown(bench):
    bench.begin(IMAGES)
    bench.send("run/raw", plane(1), PlaneAddress("A01"))
    bench.settle()
    stack = bench.live.layers[0].stack
    bench.live.clear()
    assert len(bench.viewer.layers) == 0
    assert stack.planes == {}
    bench.send("run/raw", plane(2), PlaneAddress("A01"))
    bench.settle()
    assert np.array_equal(bench.layer("raw: DAPI").data[0, 0, 0, 0], plane(2))


def test_a_layer_that_the_user_removes_stays_away(bench):
    bench.begin(IMAGES)
    bench.send("run/raw", plane(1), PlaneAddress("A01"))
    bench.settle()
    stack = bench.live.layers[0].stack
    bench.viewer.layers.remove(bench.layer("raw: DAPI"))
    bench.send("run/raw", plane(2), PlaneAddress("A01"))
    bench.send("run/raw", plane(3), PlaneAddress("A01", channel=2))
    bench.settle()
    assert stack.planes == {}
    assert [layer.name for layer in bench.viewer.layers] == ["raw: GFP"]
    assert np.array_equal(bench.layer("raw: GFP").data[0, 0, 0, 0], plane(3))


def test_the_users_own_layers_and_selection_are_left_alone(bench):
    own = bench.viewer.add_image(np.zeros((3, 4, 4)), name="own", contrast_limits=(0, 1))
    bench.begin(IMAGES)
    bench.send("run/raw", plane(1), PlaneAddress("A01"))
    bench.settle()
    assert bench.viewer.layers.selection == {own}
    bench.live.clear()
    assert list(bench.viewer.layers) == [own]


def test_a_layer_that_fails_is_named_and_the_others_go_on(bench, monkeypatch, caplog):
    bench.begin(IMAGES)
    bench.settle()
    broken = bench.live.layers[0]
    monkeypatch.setattr(broken, "update", lambda fresh: 1 / 0)
    for channel in (1, 2):
        bench.send("run/raw", plane(channel), PlaneAddress("A01", channel=channel))
    bench.settle()
    assert "raw: division by zero" in list(bench.streams.notes)
    assert np.array_equal(bench.layer("raw: GFP").data[0, 0, 0, 0], plane(2))
    assert "A layer fails." in caplog.text


def test_what_did_not_arrive_is_noted(bench):
    bench.begin(IMAGES)
    sink = bench.sinks["run/raw"]
    sink.end(End(stream="run/raw", images=5, delivered=5, undelivered=0))
    assert list(bench.streams.notes) == []
    sink.end(End(stream="run/raw", images=5, delivered=3, undelivered=2))
    sink.end(End(stream="run/raw", images=5, delivered=3, undelivered=0, aborted=True))
    assert [*bench.streams.notes] == [
        "raw: 2 of 5 images did not arrive.",
        "raw did not come to its end: 3 of 5 images are here.",
    ]
    bench.streams.progress(Progress(what="wells", done=1, total=2))
    assert bench.streams.progresses["wells"].done == 1
