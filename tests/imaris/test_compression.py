import sys
import zlib

import numpy as np
import pytest

from openhcs_core.imaris import ImsError
from openhcs_core.imaris.compression import codec_for, shuffled
from tests.imaris.images import camera, noise

LIBRARIES = {"isal": ("isal", "zlib_ng"), "zlib-ng": ("zlib_ng",), "zlib": ()}


@pytest.fixture(params=LIBRARIES)
def library(request, monkeypatch):
    """Only this library, and what comes after it, can be imported."""
    for name in {"isal", "zlib_ng"} - set(LIBRARIES[request.param]):
        monkeypatch.setitem(sys.modules, name, None)
    return request.param


@pytest.mark.parametrize("preset", ["fast", "small"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_every_stream_unpacks_to_the_shuffled_bytes(library, preset, dtype):
    chunk = noise((2, 8, 16), dtype)
    codec = codec_for(preset, chunk.dtype, [chunk])
    size = chunk.itemsize
    expected = np.frombuffer(chunk.tobytes(), np.uint8).reshape(-1, size)
    expected = expected.T if codec.shuffle else expected
    assert zlib.decompress(codec.encode(chunk)) == expected.tobytes()


def test_the_fastest_library_installed_is_taken(library):
    names = {"isal": "ISA-L, level 1", "zlib-ng": "zlib-ng, run lengths", "zlib": "zlib, run lengths"}
    assert codec_for("fast", np.dtype("uint16")).name == names[library]


def test_integers_of_several_bytes_are_shuffled():
    assert [codec_for("fast", np.dtype(name)).shuffle for name in ("u1", "u2", "u4")] == [False, True, True]


def test_floats_are_shuffled_where_it_helps():
    generator = np.random.default_rng(0)
    noisy = [generator.normal(100, 1, (1, 64, 64)).astype(np.float32)]
    integers = [generator.integers(0, 3, (1, 64, 64)).astype(np.float32) * 1.2345e-3]
    assert codec_for("fast", np.dtype("f4"), noisy).shuffle
    assert not codec_for("fast", np.dtype("f4"), integers).shuffle


def test_small_is_not_larger_than_fast():
    z, y, x = np.mgrid[:8, :64, :64]
    smooth = (1000 + 500 * np.sin(x / 9) * np.cos(y / 7 + z)).astype(np.uint16)
    for chunk in (camera((8, 64, 64)), smooth):
        fast, small = (codec_for(preset, chunk.dtype).encode(chunk) for preset in ("fast", "small"))
        assert len(small) <= len(fast)


def test_uncompressed_is_as_it_was():
    chunk = camera((2, 8, 8))
    codec = codec_for("uncompressed", chunk.dtype)
    assert (codec.level, codec.shuffle) == (0, False)
    assert codec.encode(chunk) is chunk


def test_an_unknown_preset_is_refused():
    with pytest.raises(ImsError, match="Choose one of: fast, small, uncompressed"):
        codec_for("best", np.dtype("u2"))


def test_shuffle_sorts_bytes_by_significance():
    np.testing.assert_array_equal(shuffled(np.array([0x0102, 0x0304], "<u2")), [[2, 4], [1, 3]])
