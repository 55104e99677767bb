import itertools
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import openhcs_core.imaris.layout
from openhcs_core.imaris import ImsError, ImsMetadata, ImsWriter, check_ims, write_ims
from openhcs_core.imaris.hdf5 import channel_path
from openhcs_core.imaris.verify import true_size
from tests.imaris.images import box_mean, camera, noise


@pytest.fixture
def small_blocks(monkeypatch):
    """Chunks of 4 KiB, so that a small image has many of them, and many levels."""
    monkeypatch.setattr(openhcs_core.imaris.layout, "BLOCK_BYTES", 4096)


def stored_levels(path, t=0, c=0):
    """Voxels of all levels of one volume, without padding, read by h5py alone."""
    with h5py.File(path) as file:
        for number in range(len(file["DataSet"])):
            channel = file[channel_path(number, t, c)]
            z, y, x = true_size(channel)
            yield channel["Data"][:z, :y, :x]


TYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float32", "float64", ">u2", ">f4"]


@pytest.mark.parametrize("preset", ["fast", "small", "uncompressed"])
@pytest.mark.parametrize("dtype", TYPES)
def test_every_pixel_type(dtype, preset, tmp_path, small_blocks):
    kind = np.dtype(dtype)
    image = noise((1, 2, 7, 33, 35), kind.newbyteorder("=").name).astype(kind)
    write_ims(image, tmp_path / "a.ims", preset=preset)
    assert check_ims(tmp_path / "a.ims", source=image) == []
    for c in range(2):
        for finer, coarser in itertools.pairwise(stored_levels(tmp_path / "a.ims", 0, c)):
            expected = box_mean(finer, coarser.shape)
            if finer.dtype.kind == "f":
                np.testing.assert_allclose(coarser, expected, rtol=1e-5, atol=1e-5 * np.abs(image).max())
            else:
                np.testing.assert_array_equal(coarser, expected)


SHAPES = [
    (1, 1, 1, 1, 1),
    (1, 1, 1, 1, 7),
    (1, 1, 5, 7, 1),
    (1, 1, 300, 1, 1),
    (3, 2, 1, 1, 1),
    (2, 1, 1, 65, 129),
    (1, 1, 17, 33, 33),
    (1, 12, 2, 9, 8),
    (30, 1, 3, 16, 16),
    (1, 1, 2, 2049, 3),
]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_kind_of_shape(shape, dtype, tmp_path, small_blocks):
    image = noise(shape, dtype)
    write_ims(image, tmp_path / "a.ims")
    assert check_ims(tmp_path / "a.ims", source=image) == []


BLOCKS = [(8, 256, 256), (9, 257, 257), (1, 1024, 512), (1, 1025, 513), (33, 129, 200)]


@pytest.mark.parametrize("shape", BLOCKS, ids=str)
def test_at_and_beyond_a_block_of_the_real_size(shape, tmp_path):
    image = camera((1, 1, *shape))
    write_ims(image, tmp_path / "a.ims")
    assert check_ims(tmp_path / "a.ims", source=image) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(*[st.integers(1, top) for top in (3, 3, 30, 70, 70)]),
    st.sampled_from(["uint8", "uint16", "uint32", "float32"]),
    st.sampled_from([1, 3]),
    st.integers(1, 200_000),
)
def test_random_shapes(tmp_path, small_blocks, shape, dtype, threads, slab_bytes):
    image = noise(shape, dtype)
    path = tmp_path / "a.ims"
    with ImsWriter(path, shape, dtype, threads=threads, slab_bytes=slab_bytes) as writer:
        for t, c in reversed(list(np.ndindex(shape[:2]))):
            writer.write_volume(t, c, lambda z0, z1, y0, y1, v=image[t, c]: v[z0:z1, y0:y1])
    assert check_ims(path, source=image) == []
    assert [part.shape for part in stored_levels(path)] == [level.shape for level in writer.levels]


def test_threads_and_slabs_change_nothing_in_the_data(tmp_path, small_blocks):
    image = noise((1, 1, 20, 90, 80), "float32")
    files = []
    for threads, slab_bytes in ((1, 1), (4, 1 << 30)):
        path = tmp_path / f"{threads}.ims"
        with ImsWriter(path, image.shape, image.dtype, threads=threads, slab_bytes=slab_bytes) as writer:
            writer.write_volume(0, 0, lambda z0, z1, y0, y1: image[0, 0, z0:z1, y0:y1])
        files.append(list(stored_levels(path)))
    for one, other in zip(*files, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_a_constant_image(dtype, tmp_path, small_blocks):
    image = np.full((1, 1, 9, 40, 40), 7, dtype)
    write_ims(image, tmp_path / "a.ims")
    assert check_ims(tmp_path / "a.ims", source=image) == []


def test_floats_with_holes(tmp_path, small_blocks):
    image = noise((1, 2, 9, 40, 40), "float32")
    image[0, 0, :, 5:20, 7:30] = np.nan
    image[0, 0, 1, 1, 1:3] = np.inf, -np.inf
    image[0, 1] = np.nan
    write_ims(image, tmp_path / "a.ims")
    assert check_ims(tmp_path / "a.ims", source=image) == []
    _, *lower = stored_levels(tmp_path / "a.ims")
    assert all(0 < np.isnan(level).mean() < 0.3 for level in lower)


def test_the_source_is_read_once_and_in_the_order_announced(tmp_path, small_blocks):
    image = camera((1, 1, 20, 90, 80))
    calls = []

    def read(*region):
        calls.append(region)
        z0, z1, y0, y1 = region
        return image[0, 0, z0:z1, y0:y1]

    with ImsWriter(tmp_path / "a.ims", image.shape, image.dtype, slab_bytes=20_000) as writer:
        expected = list(writer.regions())
        writer.write_volume(0, 0, read)
    assert calls == expected
    assert len(calls) > 4
    rows = [(z, y) for z0, z1, y0, y1 in calls for z in range(z0, z1) for y in range(y0, y1)]
    assert sorted(rows) == list(np.ndindex(20, 90))


def test_progress_ends_with_everything(tmp_path, small_blocks):
    image = noise((2, 2, 20, 30, 30), "float64")
    seen = []
    write_ims(image, tmp_path / "a.ims", progress=lambda *amounts: seen.append(amounts))
    done = [amount for amount, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (image.nbytes, image.nbytes)
    assert len(seen) >= 4


def test_a_range_given_by_the_caller_keeps_integers(tmp_path):
    image = np.arange(24, dtype=np.int16).reshape(1, 1, 2, 3, 4)
    with ImsWriter(tmp_path / "a.ims", image.shape, image.dtype, value_range=(0, 23)) as writer:
        writer.write_volume(0, 0, lambda z0, z1, y0, y1: image[0, 0, z0:z1, y0:y1])
    assert writer.statements[0] == "int16 stored as uint16: no negative values"
    assert next(stored_levels(tmp_path / "a.ims")).dtype == np.uint16


def test_only_what_every_reader_knows(tmp_path):
    write_ims(camera((1, 1, 4, 8, 8)), tmp_path / "a.ims")
    assert (tmp_path / "a.ims").read_bytes()[8] == 0  # the first version of the superblock


def test_the_thumbnail_is_a_small_picture_of_the_image(tmp_path):
    image = np.zeros((1, 2, 3, 300, 600), np.uint8)
    image[0, 0, 1, :, :300] = 200
    image[0, 1, 2, :150] = 100
    metadata = ImsMetadata()
    write_ims(image, tmp_path / "a.ims", metadata=metadata)
    with h5py.File(tmp_path / "a.ims") as file:
        picture = file["Thumbnail/Data"][()].reshape(128, 256, 4)
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(corners, [[255, 255, 0, 255], [255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 0, 255]])


def test_many_time_points(tmp_path):
    image = noise((400, 1, 1, 4, 4), "uint8")
    write_ims(image, tmp_path / "a.ims")
    assert check_ims(tmp_path / "a.ims", source=image) == []


def peak_memory(path, depth):
    """Highest use of memory for `depth` planes of 512 × 512 uint16 that are made on the way."""
    tile = camera((1, 512, 512))
    shape = (1, 1, depth, 512, 512)

    def read(z0, z1, y0, y1):
        return tile[:, y0:y1] + np.arange(z0, z1, dtype=np.uint16)[:, None, None]

    tracemalloc.start()
    try:
        with ImsWriter(path, shape, np.uint16, slab_bytes=4 << 20, threads=2) as writer:
            writer.write_volume(0, 0, read)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_image(tmp_path):
    depth = 400
    assert peak_memory(tmp_path / "a.ims", depth) < 64 << 20 < depth * 512 * 512 * 2 / 3


@pytest.mark.parametrize(
    ("t", "c", "voxels", "message"),
    [
        (0, 1, np.zeros((2, 3, 4), "u1"), "no time point 0, channel 1"),
        (-1, 0, np.zeros((2, 3, 4), "u1"), "no time point -1"),
        (0, 0, np.zeros((2, 3, 5), "u1"), r"uint8 voxels of size \(2, 3, 5\) for planes 0 to 2, rows 0 to 3"),
        (0, 0, np.zeros((2, 3, 4), "u2"), r"uint16 voxels of size .* uint8 of size \(2, 3, 4\) was expected"),
    ],
)
def test_wrong_volumes_are_refused_and_nothing_is_left(t, c, voxels, message, tmp_path):
    with pytest.raises(ImsError, match=message), ImsWriter(tmp_path / "a.ims", (1, 1, 2, 3, 4), "u1") as writer:
        writer.write_volume(t, c, lambda *_: voxels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("times", "message"), [(1, "3 volumes were not written, first T0 C1"), (2, "written already")])
def test_missing_and_repeated_volumes_are_refused(times, message, tmp_path):
    def write():
        with ImsWriter(tmp_path / "a.ims", (2, 2, 1, 1, 1), "u1") as writer:
            for _ in range(times):
                writer.write_volume(0, 0, lambda *_: np.zeros((1, 1, 1), "u1"))

    with pytest.raises(ImsError, match=message):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("a.tif", (1, 1, 1, 1, 1), "does not end in .ims"),
        ("a.ims", (1, 1, 0, 1, 1), "must be at least 1"),
        ("a.ims", (1, 1, 1), "must be at least 1"),
    ],
)
def test_senseless_images_are_refused(name, shape, message, tmp_path):
    with pytest.raises(ImsError, match=message):
        ImsWriter(tmp_path / name, shape, "u1")
    assert list(tmp_path.iterdir()) == []


def test_several_writers_and_readers_of_hdf5_in_one_process(tmp_path, small_blocks):
    image = noise((2, 2, 20, 60, 60), "uint16")
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file.create_dataset("image", data=image, chunks=(1, 1, 3, 7, 60), compression="gzip")
    with h5py.File(tmp_path / "source.h5") as file, ThreadPoolExecutor(4) as pool:
        paths = [tmp_path / f"{number}.ims" for number in range(8)]
        said = list(pool.map(lambda path: write_ims(file["image"], path), paths))
    assert len({tuple(lines) for lines in said}) == 1
    for path in paths:
        assert check_ims(path, source=image) == []
