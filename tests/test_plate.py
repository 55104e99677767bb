"""Addresses of planes, names of wells, and what a plate looks like."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhcs_core.plate import (
    PlaneAddress,
    PlateChannel,
    PlateError,
    PlateLayout,
    component_values,
    sorted_wells,
    well_name,
)


@given(
    st.builds(
        PlaneAddress,
        st.builds(well_name, st.integers(0, 700), st.integers(0, 120)),
        *[st.integers(1, 5000) for _ in range(4)],
    )
)
def test_an_address_is_found_again_in_its_name(address):
    assert PlaneAddress.from_path(address.path) == address
    assert PlaneAddress.from_path(f"/some/where/{address.stem}.ome.tif"[: -len(".ome.tif")]) == address


def test_names_of_planes():
    assert PlaneAddress("B03").path == "B03_s001_w1_z001_t001.tif"
    assert PlaneAddress.from_path("plate/A01_s2_w3_z4.tif") == PlaneAddress("A01", 2, 3, 4, 1)


@pytest.mark.parametrize("path", ["", "A01.tif", "A01_s1_w1_z1_t1_x.tif", "1_s1_w1_z1.tif", "A01_s1_w-1_z1.tif"])
def test_other_names_are_refused(path):
    with pytest.raises(PlateError, match="no name of a plane"):
        PlaneAddress.from_path(path)


def test_names_of_wells():
    assert [well_name(0, 0), well_name(7, 11), well_name(25, 0), well_name(26, 23), well_name(701, 0)] == [
        "A01",
        "H12",
        "Z01",
        "AA24",
        "ZZ01",
    ]


@given(st.permutations([(row, column) for row in (0, 1, 25, 26, 30) for column in (0, 1, 9, 99)]))
def test_wells_are_sorted_by_row_and_column(places):
    assert sorted_wells(well_name(*place) for place in places) == [well_name(*place) for place in sorted(places)]


def test_wells_of_other_names_are_sorted_too():
    assert sorted_wells(["B2", "B10", "b1", "A3"]) == ["A3", "b1", "B2", "B10"]
    assert set(sorted_wells(["mixed name", "A01", ""])) == {"mixed name", "A01", ""}


def test_layout():
    planes = [PlaneAddress("A01", site, channel) for site in (2, 1) for channel in (1, 3)]
    layout = PlateLayout("P", {"A01": planes, "A02": planes[:1]}, (4, 5), np.dtype("u2"), [PlateChannel("DAPI")])
    assert layout.wells == ["A01", "A02"]
    assert layout.values("channel", "A01") == [1, 3]
    assert layout.values("site", "A02") == [2]
    assert layout.values("well", "A01") == ["A01"]


def test_values_of_components_are_in_order():
    planes = [PlaneAddress("B10", 2, 3, 1, 1), PlaneAddress("B2", 1, 3, 12, 1), PlaneAddress("B2", 1, 3, 2, 1)]
    assert component_values(planes) == {
        "well": ["B2", "B10"], "site": [1, 2], "channel": [3], "z_index": [1, 2, 12], "timepoint": [1],
    }  # fmt: skip
    assert component_values([])["z_index"] == []
