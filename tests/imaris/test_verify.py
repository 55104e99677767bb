"""The checks find faults: each test breaks a sound file in one way."""

import h5py
import numpy as np
import pytest

import openhcs_core.imaris.layout
from openhcs_core.imaris import check_ims, write_ims
from openhcs_core.imaris.hdf5 import channel_path
from tests.imaris.images import noise

IMAGE = noise((2, 2, 9, 60, 60), "uint16")


@pytest.fixture
def sound(tmp_path, monkeypatch):
    monkeypatch.setattr(openhcs_core.imaris.layout, "BLOCK_BYTES", 4096)
    path = tmp_path / "a.ims"
    write_ims(IMAGE, path, axes="TCZYX")
    assert check_ims(path, source=IMAGE) == []
    with h5py.File(path) as file:
        assert len(file["DataSet"]) > 2
    return path


def text(value):
    return np.frombuffer(value.encode(), "S1")


def swap_channels(file):
    group = file["DataSet/ResolutionLevel 0/TimePoint 0"]
    group.move("Channel 0", "other")
    group.move("Channel 1", "Channel 0")
    group.move("other", "Channel 1")


def swap_channels_everywhere(file):
    for level in file["DataSet"].values():
        for group in level.values():
            group.move("Channel 0", "other")
            group.move("Channel 1", "Channel 0")
            group.move("other", "Channel 1")


def zero_level(file):
    file[channel_path(1, 1, 0)]["Data"][...] = 0


def change_voxel(file):
    file[channel_path(0, 1, 1)]["Data"][8, 59, 59] ^= 4096


def change_voxel_of_the_last_level(file):
    last = len(file["DataSet"]) - 1
    file[channel_path(last, 0, 0)]["Data"][0, 0, 0] += 1


def change_padding(file):
    file[channel_path(0, 0, 0)]["Data"][-1, -1, -1] = 1


def change_histogram(file):
    bins = file[channel_path(1, 0, 0)]["Histogram"]
    fullest = int(np.argmax(bins[()]))
    bins[fullest] -= 1
    bins[fullest - 1] += 1


def lose_counts(file):
    for name in ("Histogram", "Histogram1024"):
        file[channel_path(0, 0, 0)][name][...] = 0


def drop_chunk(file):
    group = file[channel_path(0, 0, 0)]
    old = group["Data"]
    data = old[: old.chunks[0]]
    shape, chunks = old.shape, old.chunks
    del group["Data"]
    new = group.create_dataset("Data", shape, "<u2", chunks=chunks, compression="gzip", shuffle=True)
    new[: chunks[0]] = data


def other_filter(file):
    group = file[channel_path(0, 0, 0)]
    data, chunks = group["Data"][()], group["Data"].chunks
    del group["Data"]
    group.create_dataset("Data", data=data, chunks=chunks, compression="lzf")


def big_endian(file):
    for path in (channel_path(r, t, c) for r in range(len(file["DataSet"])) for t in (0, 1) for c in (0, 1)):
        data, chunks = file[path]["Data"][()], file[path]["Data"].chunks
        del file[path]["Data"]
        file[path].create_dataset("Data", data=data.astype(">u2"), chunks=chunks)


def stray_size(file):
    file["DataSetInfo"].create_group("Stage").attrs["X"] = text("5")


def stray_channel(file):
    file["DataSetInfo"].create_group("Channel 7")


def variable_text(file):
    file["DataSetInfo/Image"].attrs["Name"] = "a name"


def fixed_text(file):
    file["DataSetInfo/Image"].attrs["Name"] = np.bytes_(b"a name")


def numeric_attribute(file):
    file[channel_path(0, 0, 0)].attrs["ImageSizeX"] = 60


def wrong_size(file):
    file[channel_path(1, 0, 0)].attrs["ImageSizeX"] = text("29")


def wrong_image_size(file):
    file["DataSetInfo/Image"].attrs["X"] = text("61")


def missing_size(file):
    del file[channel_path(1, 1, 1)].attrs["ImageSizeX"]


def empty_extent(file):
    file["DataSetInfo/Image"].attrs["ExtMax2"] = text("0")


def same_times(file):
    section = file["DataSetInfo/TimeInfo"]
    section.attrs["TimePoint2"] = section.attrs["TimePoint1"]


def wrong_times(file):
    file["DataSetInfo/TimeInfo"].attrs["FileTimePoints"] = text("3")


def empty_range(file):
    file["DataSetInfo/Channel 0"].attrs["ColorRange"] = text("5 5")


def missing_channel(file):
    del file[channel_path(1, 1, 1)]


def missing_level(file):
    del file[f"DataSet/ResolutionLevel {len(file['DataSet']) - 1}"]


def missing_info(file):
    del file["DataSetInfo/TimeInfo"]


def missing_root_text(file):
    del file.attrs["ImarisVersion"]


def gap(file):
    file.move("DataSet/ResolutionLevel 0/TimePoint 1", "DataSet/ResolutionLevel 0/TimePoint 2")


def extra_group(file):
    file["DataSet"].create_group("More")


def extra_dataset(file):
    file[channel_path(0, 0, 0)]["More"] = 1


def soft_link(file):
    group = file[channel_path(0, 0, 0)]
    group.move("Data", "/hidden")
    group["Data"] = h5py.SoftLink("/hidden")


def no_thumbnail(file):
    del file["Thumbnail"]


ONLY_WITH_SOURCE = [swap_channels_everywhere]
ONLY_IN_VOXELS = [
    swap_channels, zero_level, change_voxel, change_voxel_of_the_last_level, change_padding, change_histogram,
]  # fmt: skip
STRUCTURE = [
    lose_counts, drop_chunk, other_filter, big_endian, stray_size, stray_channel, variable_text, fixed_text,
    numeric_attribute, wrong_size, wrong_image_size, missing_size, empty_extent, same_times, wrong_times, empty_range,
    missing_channel, missing_level, missing_info, missing_root_text, gap, extra_group, extra_dataset, soft_link,
    no_thumbnail,
]  # fmt: skip


def broken(path, fault):
    with h5py.File(path, "r+") as file:
        fault(file)
    return path


@pytest.mark.parametrize("fault", ONLY_WITH_SOURCE)
def test_only_the_source_tells(sound, fault):
    broken(sound, fault)
    assert check_ims(sound) == []
    assert check_ims(sound, source=IMAGE)


@pytest.mark.parametrize("fault", ONLY_IN_VOXELS)
def test_faults_in_voxels_are_found_without_the_source(sound, fault):
    broken(sound, fault)
    assert check_ims(sound)


@pytest.mark.parametrize("fault", STRUCTURE)
def test_faults_in_the_structure_are_found_by_the_quick_check(sound, fault):
    broken(sound, fault)
    assert check_ims(sound, full=False)


def test_the_source_alone_is_compared_where_that_is_wanted(sound):
    broken(sound, change_voxel)
    assert check_ims(sound, full=False, source=IMAGE)
    assert check_ims(sound, full=False, source=IMAGE[:, :1]) == ["the source has size (2, 1, 9, 60, 60)"]


@pytest.mark.parametrize("content", [b"", b"not a file", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_what_is_no_hdf5_file_is_reported(tmp_path, content):
    path = tmp_path / "a.ims"
    path.write_bytes(content)
    (problem,) = check_ims(path)
    assert problem.startswith("cannot be read")


def test_a_truncated_file_is_reported(sound):
    content = sound.read_bytes()
    sound.write_bytes(content[: len(content) // 2])
    assert check_ims(sound)
    assert check_ims(sound.with_name("none.ims"))
