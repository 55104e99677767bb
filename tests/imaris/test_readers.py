"""Files as independent readers see them."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import openhcs_core.imaris.layout
from openhcs_core.imaris import ImsChannel, ImsMetadata, ImsWriter, write_ims
from tests.imaris.images import box_mean, camera, noise
from tests.readers import read_with_bioformats, read_with_ims_reader

METADATA = ImsMetadata(
    name="Zellen µ/é\n😀",
    description="long " * 400,
    voxel_size_um=(0.5, 0.1083, 0.2),
    origin_um=(5, -20, 1e4),
    acquisition_date=datetime(2024, 1, 2, 3, 4, 5),
    time_increment_s=0.5,
    sections={
        "Stage": {"X": "77", "a/Y": "78", "NumberOfChannels": "9"},
        "Channel settings": {"Z": "3"},
        "核": {"é": "ü"},
    },
)
COLORS = [(0.0, 1.0, 0.0), (1.0, 0.25, 0.0), (0.0, 0.0, 1.0)]
CHANNELS = [ImsChannel(f"Kanal {n} é", color, (n, 200)) for n, color in enumerate(COLORS)]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(openhcs_core.imaris.layout, "BLOCK_BYTES", 16384)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (2, 3, 9, 41, 67), (3, 1, 1, 130, 95), (1, 2, 30, 1, 200)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_ims_reader_sees_every_voxel_of_every_level(shape, dtype, tmp_path, small_blocks):
    path = tmp_path / "a.ims"
    image = noise(shape, dtype)
    write_ims(image, path, channels=CHANNELS[: shape[1]], metadata=METADATA)
    level = read_with_ims_reader(path)
    assert level.dtype == image.dtype
    np.testing.assert_array_equal(level, image)
    number = 0
    while min(level.shape[2:]) > 1 and level[0, 0].nbytes > 16384:
        number += 1
        coarser = read_with_ims_reader(path, number)
        for t, c in np.ndindex(shape[:2]):
            expected = box_mean(level[t, c], coarser.shape[2:])
            np.testing.assert_allclose(coarser[t, c], expected, rtol=1e-5, atol=1e-4 if dtype == "float32" else 0)
        level = coarser


TYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64", ">u2", ">f4"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(*[st.integers(1, top) for top in (3, 3, 24, 60, 60)]),
    st.sampled_from(TYPES),
    st.sampled_from(["fast", "small", "uncompressed"]),
    st.sampled_from([1, 5000, 1 << 20]),
)
def test_random_images_as_ims_reader_sees_them(tmp_path, small_blocks, shape, dtype, preset, slab_bytes):
    """Every pixel type: the full resolution is the source, every other level the mean of the one before."""
    kind = np.dtype(dtype)
    image = noise(shape, kind.newbyteorder("=").name).astype(kind)
    path = tmp_path / "a.ims"
    with ImsWriter(path, shape, kind, preset=preset, slab_bytes=slab_bytes, durable=False) as writer:
        for t, c in np.ndindex(shape[:2]):
            writer.write_volume(t, c, lambda z0, z1, y0, y1, volume=image[t, c]: volume[z0:z1, y0:y1])
    level = read_with_ims_reader(path)
    assert level.dtype in ("u1", "u2", "u4", "f4")
    np.testing.assert_array_equal(level, image.astype(level.dtype))
    for number in range(1, len(writer.levels)):
        coarser = read_with_ims_reader(path, number)
        assert coarser.shape[2:] == writer.levels[number].shape
        for t, c in np.ndindex(shape[:2]):
            expected = box_mean(level[t, c], coarser.shape[2:])
            tolerance = 1e-5 * float(np.abs(image.astype(np.float64)).max()) if level.dtype.kind == "f" else 0
            np.testing.assert_allclose(coarser[t, c].astype(np.float64), expected, rtol=0, atol=tolerance)
        level = coarser


@pytest.mark.parametrize(
    ("shape", "dtype", "preset"),
    [
        ((2, 3, 9, 41, 67), "uint16", "fast"),
        ((1, 120, 2, 9, 8), "uint8", "small"),
        ((1, 1, 7, 130, 95), "float32", "fast"),
        ((1, 2, 1, 33, 35), "uint32", "uncompressed"),
    ],
    ids=str,
)
def test_bioformats_sees_every_voxel_and_the_metadata(shape, dtype, preset, tmp_path, small_blocks):
    path = tmp_path / "Bild é.ims"
    image = noise(shape, dtype)
    channels = [CHANNELS[n % 3] for n in range(shape[1])]
    write_ims(image, path, channels=channels, metadata=METADATA, preset=preset)
    voxels, metadata = read_with_bioformats(path)
    assert voxels.dtype == image.dtype
    np.testing.assert_array_equal(voxels, image)
    np.testing.assert_allclose(metadata["voxel_size_um"], METADATA.voxel_size_um, rtol=1e-9)
    assert metadata["names"] == [channel.name for channel in channels]
    assert metadata["colors"] == [tuple(int(part * 255) for part in channel.color) for channel in channels]


def test_bioformats_sees_the_lower_levels(tmp_path):
    image = camera((1, 1, 9, 300, 310))
    write_ims(image, tmp_path / "a.ims")
    voxels, _ = read_with_bioformats(tmp_path / "a.ims", level=1)
    np.testing.assert_array_equal(voxels[0, 0], box_mean(image[0, 0], (9, 150, 155)))
