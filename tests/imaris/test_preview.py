import io

import numpy as np
import pytest
from PIL import Image

from openhcs_core.imaris import ImsChannel, ImsError, preview_png, write_ims
from openhcs_core.imaris.preview import png
from openhcs_core.imaris.thumbnail import composite, shrunk, thumbnail
from tests.imaris.images import noise


def pixels(png_file):
    with Image.open(png_file) as picture:
        return np.asarray(picture)


def stack():
    image = np.full((2, 2, 3, 40, 60), 100, np.uint16)
    image[0, 0, 1, :20] = 1000
    image[0, 1, 2, :, :30] = 500
    image[1, 0] = 1000 * (np.arange(60) > 30)
    return image


def test_a_png_that_others_can_read():
    picture = noise((7, 5, 3), "uint8")
    np.testing.assert_array_equal(pixels(io.BytesIO(png(picture))), picture)


@pytest.mark.parametrize("from_file", [True, False])
def test_the_projection_in_the_colours_of_the_channels(from_file, tmp_path):
    channels = (ImsChannel("a", (1, 0, 0)), ImsChannel("b", (0, 0.5, 1)))
    source = stack()
    if from_file:
        write_ims(source, tmp_path / "a.ims", channels=channels)
        out = preview_png(tmp_path / "a.ims", tmp_path / "a.png")
    else:
        out = preview_png(source, tmp_path / "a.png", channels=channels)
    picture = pixels(out)
    assert picture.shape == (40, 60, 3)
    corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(corners, [[255, 128, 255], [255, 0, 0], [0, 128, 255], [0, 0, 0]])
    later = pixels(preview_png(source, tmp_path / "b.png", t=1, channels=channels))
    np.testing.assert_array_equal(later[0, [0, -1]], [[0, 0, 0], [255, 0, 0]])


def test_a_large_image_is_made_smaller(tmp_path):
    write_ims(noise((1, 1, 2, 900, 1500), "uint8"), tmp_path / "a.ims")
    assert pixels(preview_png(tmp_path / "a.ims", tmp_path / "a.png", size=300)).shape == (180, 300, 3)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan, np.inf])
def test_images_without_contrast(value, tmp_path):
    image = np.full((1, 1, 2, 4, 4), value, np.float32)
    preview_png(image, tmp_path / "a.png")
    write_ims(image, tmp_path / "a.ims")
    preview_png(tmp_path / "a.ims", tmp_path / "b.png")
    assert pixels(tmp_path / "b.png").shape == (4, 4, 3)


def test_what_cannot_be_shown_is_refused(tmp_path):
    write_ims(stack(), tmp_path / "a.ims")
    (tmp_path / "b.ims").write_bytes(b"nothing")
    for source, t, message in (
        (tmp_path / "a.ims", 2, "has no time point 2"),
        (tmp_path / "b.ims", 0, "cannot be read as an Imaris file"),
        (stack()[0], 0, r"not \(T, C, Z, Y, X\)"),
    ):
        with pytest.raises(ImsError, match=message):
            preview_png(source, tmp_path / "x.png", t=t)
    assert not (tmp_path / "x.png").exists()


def test_missing_values_are_dark():
    plane = np.array([[np.nan, 1.0, np.inf, -np.inf]], np.float32)
    picture = composite([plane], [ImsChannel(color=(1, 1, 1), window=(0, 1))])
    np.testing.assert_array_equal(picture[0, :, 0], [0, 255, 255, 0])


@pytest.mark.parametrize(
    ("shape", "expected"), [((10, 20), (10, 20)), ((1000, 500), (256, 128)), ((1, 9999), (1, 256))]
)
def test_thumbnails_keep_their_aspect(shape, expected):
    plane = np.ones(shape, np.uint8)
    picture = thumbnail([plane], [ImsChannel(color=(1, 0, 0), window=(0, 1))])
    assert picture.shape == (*expected, 4)
    assert (picture == [255, 0, 0, 255]).all()


def test_shrinking_averages():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[0, 0] = 200
    assert shrunk(picture, 2)[0, 0, 0] == 50


def test_a_small_image_grows_if_asked(tmp_path):
    image = np.arange(12, dtype=np.uint8).reshape(1, 1, 1, 3, 4)
    small = pixels(preview_png(image, tmp_path / "small.png", size=10))
    large = pixels(preview_png(image, tmp_path / "large.png", size=10, enlarge=True))
    assert large.shape == (6, 8, 3)
    np.testing.assert_array_equal(large[::2, ::2], small)
