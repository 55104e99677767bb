"""Which window, channel, slice and frame an image goes to."""

import pytest

from openhcs_core.plate import PlaneAddress
from openhcs_core.streaming.errors import StreamingError
from openhcs_core.streaming.messages import Begin, Channel
from openhcs_fiji.mapping import Dimensions, Place, Places, number, text_of


def begin(**display):
    return Begin(stream="s", display=display)


def places(values, **display):
    there = Places(Dimensions(begin(**display)), values)
    first = {name: known[0] for name, known in values.items()}
    if values:
        there.add(PlaneAddress(**{"well": "A01", **first}))
    return there


def at(well="A01", site=1, channel=1, z=1, t=1):
    return PlaneAddress(well, site, channel, z, t)


def test_each_well_and_site_has_its_window_unless_told_otherwise():
    dimensions = Dimensions(begin())
    assert dimensions.window(at("B02", 3, 2, 4, 5)) == ("B02", 3)
    assert dimensions.axes == {"C": ("channel",), "Z": ("z_index",), "T": ("timepoint",)}
    assert dimensions.windows({"well": ("A01", "A02"), "site": (1, 2, 3)}) == 6
    assert dimensions.windows({"well": ("A01", "A02")}) is None


def test_channels_run_fastest_then_slices_then_frames():
    there = places({"channel": (1, 2), "z_index": (1, 2, 3), "timepoint": (1, 2)})
    assert there.shape == (2, 3, 2)
    numbers = [
        number(there.place(at(channel=c, z=z, t=t)), there.shape) for t in (1, 2) for z in (1, 2, 3) for c in (1, 2)
    ]
    assert numbers == list(range(1, 13))
    assert [text_of(values, begin()) for values in there.everywhere()][:3] == ["c1 z1 t1", "c2 z1 t1", "c1 z2 t1"]


def test_places_grow_by_what_comes():
    """Three images, 2 x 2 planes: one is missing."""
    there = places({})
    assert there.add(at(z=1))
    assert there.add(at(z=2))
    assert there.add(at(channel=2, z=1))
    assert not there.add(at(channel=2, z=2))
    assert there.shape == (2, 2, 1)


def test_values_that_come_out_of_order_are_sorted_behind_known_ones():
    there = places({"z_index": (7, 8)}, well="stack")
    for well, z in (("A10", 9), ("A02", 3), ("A10", 8)):
        there.add(at(well, z=z))
    assert there.values("z_index") == [7, 8, 3, 9]
    assert there.values("well") == ["A01", "A02", "A10"]
    assert there.place(at("A10", z=7)) == Place(1, 1, 3)


def test_stacked_wells_and_sites_are_frames_after_each_other():
    there = places({"well": ("A01", "A02"), "site": (1, 2), "timepoint": (1, 2, 3)}, well="stack", site="stack")
    assert there.shape == (1, 1, 12)
    assert there.place(at("A01", 2, t=1)) == Place(1, 1, 4)
    assert there.place(at("A02", 1, t=3)) == Place(1, 1, 9)


def test_sliced_values_follow_one_another_along_z():
    there = places({"channel": (1, 2), "z_index": (1, 2, 3)}, channel="slice")
    assert there.shape == (1, 6, 1)
    assert [there.place(at(channel=c, z=z)).z for c in (1, 2) for z in (1, 2, 3)] == [1, 2, 3, 4, 5, 6]


def test_channels_may_have_windows_of_their_own():
    dimensions = Dimensions(begin(channel="separate", well="stack"))
    assert dimensions.window(at("A01", 2, 3)) == (2, 3)
    assert dimensions.axes["C"] == ()


def test_a_place_knows_what_is_there():
    there = places({"well": ("A01", "A02"), "timepoint": (1, 2, 3), "channel": (1, 2)}, well="stack")
    for address in (at("A02", channel=2, t=3), at("A01", t=2)):
        assert there.address(there.place(address)) == address


def test_what_has_no_room_has_no_place():
    assert places({"z_index": (1, 2)}).place(at(z=3)) is None


def test_too_many_places_are_refused():
    with pytest.raises(StreamingError, match="1000000 are the most"):
        places({"z_index": tuple(range(1, 2001)), "timepoint": tuple(range(1, 2001))})
    there = places({"z_index": tuple(range(1, 1001)), "timepoint": tuple(range(1, 1001))})
    with pytest.raises(StreamingError, match="are the most"):
        there.add(at(z=5000))
    assert there.shape == (1, 1000, 1000)


def test_an_unknown_mode_is_refused():
    with pytest.raises(StreamingError, match="z_index cannot be shown as 'heap'"):
        Dimensions(begin(z_index="heap"))


def test_labels_name_channels():
    named = Begin(stream="s", channels=(Channel(name="DAPI"),))
    assert text_of({"channel": 1, "z_index": 2}, named) == "DAPI z2"
    assert text_of({"well": "B03", "site": 2, "channel": 4, "timepoint": 1}, named) == "B03 s2 c4 t1"
