import dask.array
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import openhcs_core.imaris.chunkrows
from openhcs_core.imaris import check_ims, write_ims
from openhcs_core.imaris.chunkrows import ChunkRows, by_whole_chunks
from openhcs_core.imaris.layout import levels, slab_regions
from tests.imaris.images import camera, noise


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 12), st.integers(1, 30), st.integers(1, 5)),
    st.tuples(st.integers(1, 13), st.integers(1, 31)),
    st.tuples(st.integers(1, 12), st.integers(1, 30)),
    st.sampled_from([0, 1000, 1 << 20]),
)
def test_every_voxel_comes_out_where_it_belongs(shape, chunk, step, kept):
    image = noise((2, 1, *shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openhcs_core.imaris.chunkrows, "KEPT_BYTES", kept)
        regions = [
            (z, min(z + step[0], shape[0]), y, min(y + step[1], shape[1]))
            for z in range(0, shape[0], step[0])
            for y in range(0, shape[1], step[1])
        ]
        read = by_whole_chunks(lambda t, c, z0, z1, y0, y1: image[t, c, z0:z1, y0:y1], regions, shape[:2], chunk)
        for t in range(2):
            for z0, z1, y0, y1 in regions:
                np.testing.assert_array_equal(read(t, 0, z0, z1, y0, y1), image[t, 0, z0:z1, y0:y1])
        assert kept < 1 << 20 or not isinstance(read, ChunkRows) or not read._blocks


def test_each_chunk_is_read_once():
    shape, chunk = (64, 600, 500), (16, 300)
    image, calls = camera((1, 1, *shape)), []

    def read(t, c, z0, z1, y0, y1):
        calls.append((z0, z1, y0, y1))
        return image[t, c, z0:z1, y0:y1]

    regions = list(slab_regions(levels(shape, 2), 2, 1 << 20))
    source = by_whole_chunks(read, regions, shape[:2], chunk)
    for region in regions:
        source(0, 0, *region)
    assert len(calls) < len(regions)
    assert sum((z1 - z0) * (y1 - y0) for z0, z1, y0, y1 in calls) == 64 * 600
    assert all(z0 % 16 == 0 and y0 % 300 == 0 for z0, _, y0, _ in calls)


def test_regions_of_whole_chunks_are_read_as_they_are():
    def read(*region):
        return region

    assert by_whole_chunks(read, [(0, 8, 0, 64), (8, 9, 64, 70)], (9, 70), (4, 64)) is read


@pytest.mark.parametrize("chunks", [(1, 1, 1, 100, 90), (2, 1, 5, 7, 90), (1, 2, 9, 30, 13)])
def test_chunked_arrays(chunks, tmp_path):
    image = camera((2, 2, 9, 100, 90))
    write_ims(zarr.array(image, chunks=chunks), tmp_path / "zarr.ims")
    write_ims(dask.array.from_array(image, chunks=chunks), tmp_path / "dask.ims")
    write_ims(dask.array.from_array(image.transpose(4, 3, 2, 1, 0)), tmp_path / "turned.ims", axes="XYZCT")
    for name in ("zarr", "dask", "turned"):
        assert check_ims(tmp_path / f"{name}.ims", source=image) == []
