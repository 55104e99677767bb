from itertools import pairwise
from math import prod

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from openhcs_core.imaris.layout import BLOCK_BYTES, Level, chunk_shape, level_shapes, levels, slab_regions

LARGE = (128, 2048, 2048)


def test_level_shapes_of_a_stack():
    assert level_shapes(LARGE, 2) == [LARGE, (128, 1024, 1024), (64, 512, 512), (32, 256, 256), (16, 128, 128)]


def test_odd_sizes_are_rounded_down():
    assert level_shapes((33, 513, 1025), 2) == [
        (33, 513, 1025),
        (33, 256, 512),
        (33, 128, 256),
        (16, 64, 128),
    ]


@pytest.mark.parametrize(
    ("shape", "itemsize", "timepoints", "expected"),
    [
        (LARGE, 2, 1, [(8, 256, 256), (32, 128, 128), (32, 128, 128), (32, 128, 128), (16, 128, 128)]),
        (LARGE, 1, 1, [(16, 256, 256)] * 4 + [(16, 128, 128)]),
        (LARGE, 4, 1, [(16, 128, 128)] * 5),
        ((1, 2048, 2048), 2, 1, [(1, 1024, 512), (1, 1024, 512), (1, 512, 512)]),
        ((20, 512, 512), 2, 50, [(8, 256, 256), (8, 256, 256), (32, 128, 128)]),
        ((1, 1, 1), 2, 1, [(1, 1, 1)]),
    ],
)
def test_chunks_are_those_of_the_vendor(shape, itemsize, timepoints, expected):
    assert [level.chunks for level in levels(shape, itemsize, timepoints)] == expected


def test_a_box_too_large_for_any_rule_is_split_evenly():
    assert chunk_shape((1, 600, 600), 2, smallest=(4, 64, 64)) == (64, 64, 128)


sizes = st.integers(1, 5000)
shapes = st.tuples(st.integers(1, 300), sizes, sizes) | st.tuples(st.integers(1, 100_000), st.integers(1, 8), sizes)


@settings(max_examples=150, deadline=None)
@given(shapes, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 50, 1000]))
@example((44657, 1, 395), 2, 50)  # a line scan: chunks one voxel high
@example((3815, 4016, 1), 4, 50)
def test_every_layout_can_be_streamed(shape, itemsize, timepoints):
    result = levels(shape, itemsize, timepoints)
    assert [level.shape for level in result] == level_shapes(shape, itemsize)
    last = result[-1]
    assert prod(last.shape) * itemsize <= BLOCK_BYTES or max(last.shape) == prod(last.shape)
    for level in result:
        assert prod(level.chunks) * itemsize <= BLOCK_BYTES
        assert all(side & (side - 1) == 0 for side in level.chunks)
        assert all(p >= s for p, s in zip(level.padded, level.shape, strict=True))
    for finer, coarser in pairwise(result):
        for axis in range(3):
            assert coarser.shape[axis] == finer.shape[axis] // coarser.factors[axis]
            # No box of voxels that becomes one is torn apart, no chunk is spread over several.
            assert finer.chunks[axis] % coarser.factors[axis] == 0
            assert finer.chunks[axis] // coarser.factors[axis] <= coarser.chunks[axis]


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 70), st.integers(1, 900), st.integers(1, 900)), st.integers(1, 4_000_000))
def test_slabs_cover_every_row_of_every_plane_once(shape, budget):
    pyramid = levels(shape, 2)
    level = pyramid[0]
    seen = set()
    for z0, z1, y0, y1 in slab_regions(pyramid, 2, budget):
        assert z0 % level.chunks[0] == 0
        assert y0 % level.chunks[1] == 0
        rows = {(z, y) for z in range(z0, z1) for y in range(y0, y1)}
        assert not rows & seen
        seen |= rows
        least = min(level.chunks[0], shape[0]) * min(level.chunks[1], shape[1])
        assert len(rows) <= least or len(rows) * shape[2] * 2 <= budget
    assert len(seen) == shape[0] * shape[1]


def test_whole_planes_where_they_fit():
    level = Level((16, 512, 512), (8, 256, 256), (1, 1, 1))
    assert list(slab_regions([level], 2, 8 * 512 * 512 * 2)) == [(0, 8, 0, 512), (8, 16, 0, 512)]
