from datetime import datetime, timedelta, timezone

import h5py
import numpy as np
import pytest

from openhcs_core.imaris import ImsChannel, ImsError, ImsMetadata, check_ims, write_ims
from openhcs_core.imaris.datasetinfo import number_text, safe_sections
from openhcs_core.imaris.metadata import (
    UNKNOWN_START,
    clean_name,
    clean_text,
    resolved_channels,
    resolved_times,
    resolved_voxel_size,
)
from openhcs_core.imaris.verify import read_text

START = datetime(2024, 5, 6, 7, 8, 9, 10_000)


def info(path, section):
    with h5py.File(path) as file:
        group = file["DataSetInfo"][section]
        return {name: read_text(group, name) for name in [*group.attrs, *group]}


def test_everything_known_is_in_the_file(tmp_path):
    metadata = ImsMetadata(
        name="Zellen",
        description="two\nlines",
        voxel_size_um=(0.5, 0.1083, 0.2),
        origin_um=(-10, 1000.5, 20),
        channels=(
            ImsChannel("DAPI", (0, 0.25, 1), (3, 200.5), emission_nm=461, excitation_nm=405.5, description="nuclei"),
            ImsChannel("GFP"),
        ),
        times=(START, START + timedelta(seconds=1.5)),
        acquisition_date=START,
        sections={"OMERO": {"Image id": 12, "Source": "https://omero.example/webclient/?show=image-12"}},
    )
    path = tmp_path / "a.ims"
    image = np.arange(2 * 2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 2, 3, 4, 5)
    assert write_ims(image, path, metadata=metadata) == []
    assert info(path, "Image") == {
        "Name": "Zellen",
        "Description": "two\nlines",
        "Unit": "um",
        "RecordingDate": "2024-05-06 07:08:09.010",
        "X": "5",
        "Y": "4",
        "Z": "3",
        "ExtMin0": "20.0",
        "ExtMin1": "1000.5",
        "ExtMin2": "-10.0",
        "ExtMax0": "21.0",
        "ExtMax1": "1000.9332",
        "ExtMax2": "-8.5",
    } | {f"ResampleDimension{axis}": "true" for axis in "XYZ"}
    assert info(path, "TimeInfo") == {
        "DatasetTimePoints": "2",
        "FileTimePoints": "2",
        "TimePoint1": "2024-05-06 07:08:09.010",
        "TimePoint2": "2024-05-06 07:08:10.510",
    }
    assert info(path, "Channel 0") == {
        "Name": "DAPI",
        "Description": "nuclei",
        "ColorMode": "BaseColor",
        "Color": "0.000 0.250 1.000",
        "ColorRange": "3.0 200.5",
        "ColorOpacity": "1.000",
        "GammaCorrection": "1.000",
        "LSMEmissionWavelength": "461",
        "LSMExcitationWavelength": "405.5",
    }
    assert info(path, "Channel 1")["ColorRange"] == "60.0 239.0"
    assert info(path, "OMERO") == {"Image id": "12", "Source": "https://omero.example/webclient/?show=image-12"}
    with h5py.File(path) as file:
        assert set(file["DataSetInfo"]) == {
            *("Image", "ImarisDataSet", "Log", "TimeInfo", "Channel 0", "Channel 1", "OMERO")
        }


def test_nothing_known_is_stated_and_stored(tmp_path):
    path = tmp_path / "plain.ims"
    said = write_ims(np.zeros((2, 1, 2, 3, 3), np.int16) - 1, path)
    assert said == [
        "int16 stored as float32: negative values, every value kept",
        "no pixel size: 1 µm assumed",
        "no z step: 1 µm assumed",
        "no time increment: 1 s assumed",
        "no acquisition date: the time stamps start at 2000-01-01",
    ]
    assert list(info(path, "OpenHCS").values()) == said
    assert info(path, "Image")["Name"] == "plain"
    assert info(path, "Image")["ExtMax2"] == "2.0"
    assert info(path, "Image")["RecordingDate"] == ""
    assert info(path, "Channel 0")["Name"] == "Channel 1"
    assert info(path, "Channel 0")["Color"] == "1.000 1.000 1.000"


LONG = "L" * 300
NAMES = {
    "DAPI é µm ü 核": "DAPI é µm ü 核",
    "a/b\\c%d": "a/b\\c%d",
    "two\nlines\tand\x00 a zero\x1b": "two lines and a zero",
    "cells 😀": "cells \ufffd",
    LONG: LONG,
    "核" * 700: "核" * 341,
    "  ": "Channel 1",
    "\ud800": "?",
}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_any_kind(name, tmp_path):
    path = tmp_path / "a.ims"
    metadata = ImsMetadata(name=name, description=name, channels=(ImsChannel(name),), sections={name: {name: name}})
    write_ims(np.ones((1, 1, 1, 2, 2), np.uint8), path, metadata=metadata)
    assert check_ims(path) == []
    assert info(path, "Channel 0")["Name"] == NAMES[name]
    assert info(path, "Image")["Description"] == clean_text(name)


def test_replaced_characters_are_stated(tmp_path):
    said = write_ims(np.ones((2, 2), np.uint8), tmp_path / "a.ims", axes="YX", name="😀", voxel_size_um=(None, 1, 1))
    assert said == ["characters that Bio-Formats cannot read were replaced in texts: 1 different"]


def test_a_long_text_becomes_a_dataset(tmp_path):
    path = tmp_path / "a.ims"
    sections = {"Note/1": {"50%/long": "é" * 1000, "short": "s"}}
    write_ims(np.ones((2, 2), np.uint8), path, axes="YX", sections=sections)
    assert info(path, "Note%s1") == {"50%p_long": "é" * 1000, "short": "s"}
    assert check_ims(path) == []


def test_parameters_that_readers_would_misread_are_renamed():
    names = ["X", "z ", "ExtMin0", "NumberOfChannels", "FileTimePoints", "RecordingEntryLineSpacing", "ImageSizeY"]
    names.append("a/X")
    sections, said = safe_sections({"Stage": dict.fromkeys(names, "1"), "Channel info": {}, "Image": {}, ".": {}})
    assert set(sections) == {"Stage", "Source Channel info", "Source Image", "Source ."}
    assert set(sections["Stage"]) == {*(f"Source {name.strip()}" for name in names[:-1]), "a_X"}
    assert len(said) == 7 + 3


@pytest.mark.parametrize(
    ("size", "depth", "expected", "said"),
    [
        ((0.5, 0.2, 0.1), 9, (0.5, 0.2, 0.1), 0),
        ((None, 0.2, 0.1), 1, (1, 0.2, 0.1), 0),
        ((None, 0.2, 0.1), 9, (1, 0.2, 0.1), 1),
        ((0.5, None, 0.1), 9, (0.5, 0.1, 0.1), 1),
        ((0.5, None, None), 9, (0.5, 1, 1), 1),
        ((0, -1, float("nan")), 9, (1, 1, 1), 5),
        ((float("inf"), 1e-300, 1), 9, (1, 1, 1), 4),
    ],
)
def test_voxel_sizes(size, depth, expected, said):
    voxel, statements = resolved_voxel_size(ImsMetadata(voxel_size_um=size), depth)
    assert voxel == expected
    assert len(statements) == said


def test_times_always_increase_by_whole_milliseconds():
    same = ImsMetadata(times=(START, START, START + timedelta(microseconds=1500)))
    times, said = resolved_times(same, 3)
    assert times == [START, START + timedelta(milliseconds=1), START + timedelta(milliseconds=2)]
    assert said == ["time stamps that did not increase were moved to 1 ms after the one before"]


def test_times_from_start_and_increment():
    times, said = resolved_times(ImsMetadata(acquisition_date=START, time_increment_s=0.25), 3)
    assert times[2] - times[0] == timedelta(seconds=0.5)
    assert said == []


@pytest.mark.parametrize("step", [0, -1, float("nan"), float("inf")])
def test_a_senseless_increment_is_ignored_with_a_statement(step):
    times, said = resolved_times(ImsMetadata(acquisition_date=START, time_increment_s=step), 2)
    assert times[1] - times[0] == timedelta(seconds=1)
    assert said == [f"time increment of {step} s makes no sense: 1 s assumed"]


def test_a_single_time_point_needs_no_statement():
    assert resolved_times(ImsMetadata(), 1) == ([UNKNOWN_START], [])


def test_time_zones_become_utc():
    zone = timezone(timedelta(hours=2))
    (time,), _ = resolved_times(ImsMetadata(times=(datetime(2024, 1, 1, 1, tzinfo=zone),)), 1)
    assert time == datetime(2023, 12, 31, 23)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (ImsMetadata(channels=(ImsChannel("a"),)), "has 2 channels, but 1 are described"),
        (ImsMetadata(channels=(ImsChannel(color=(0, 1)), ImsChannel())), r"Colour \(0, 1\) of channel 0"),
        (ImsMetadata(channels=(ImsChannel(), ImsChannel(window=(0, np.nan)))), "Window .* of channel 1"),
    ],
)
def test_senseless_channels_are_refused(metadata, message):
    with pytest.raises(ImsError, match=message):
        resolved_channels(metadata, 2)


def test_senseless_times_are_refused():
    with pytest.raises(ImsError, match="3 time points, but 1 times"):
        resolved_times(ImsMetadata(times=(START,)), 3)
    with pytest.raises(ImsError, match="beyond the year 9999"):
        resolved_times(ImsMetadata(time_increment_s=9e8), 1000)


def test_colours_are_limited_and_empty_windows_dropped():
    (channel,) = resolved_channels(ImsMetadata(channels=(ImsChannel(color=(-1, 0.5, 7), window=(5, 5)),)), 1)
    assert channel.color == (0, 0.5, 1)
    assert channel.window is None


def test_cut_names_are_whole_characters():
    assert clean_name("é" * 600).encode() == "é".encode() * 512


def test_numbers_are_written_without_exponent():
    assert [number_text(value) for value in (0.1083, 1e-7, 1e22, -3)] == [
        "0.1083",
        "0.0000001",
        "10000000000000000000000.0",
        "-3.0",
    ]
