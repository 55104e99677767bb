"""Rendering, rendering settings and thumbnails."""

from __future__ import annotations

import io

import numpy as np
import omero
import pytest
from omero.constants.projection import ProjectionType
from omero.rtypes import rint
from PIL import Image

from tests.embedded import images

MAXIMUM, MEAN, SUM = (getattr(ProjectionType, n) for n in ("MAXIMUMINTENSITY", "MEANINTENSITY", "SUMINTENSITY"))
PLANE = omero.romio.PlaneDef(0, 0, 0, 0, 0, None, 0)


@pytest.fixture
def pair(omero_conn):
    """Image of two channels, float values: 0 to 99 and 100 down to 1."""
    planes = [np.arange(100, dtype="f4").reshape(10, 10), 100 - np.arange(100, dtype="f4").reshape(10, 10)]
    image = omero_conn.createImageFromNumpySeq(iter(planes), "pair", sizeC=2)
    return omero_conn.getObject("Image", image.id), planes


def engine(conn, image):
    re = conn.c.sf.createRenderingEngine()
    re.lookupPixels(image.getPixelsId())
    if not re.lookupRenderingDef(image.getPixelsId()):
        re.resetDefaultSettings(True)
        assert re.lookupRenderingDef(image.getPixelsId())
    re.load()
    return re


def colors(re, plane=PLANE):
    """Red, green and blue, shape (Y, X, 3)."""
    buffer = re.render(plane)
    shape = buffer.sizeX2, buffer.sizeX1
    return np.stack([np.frombuffer(b, "u1").reshape(shape) for b in buffer.bands], axis=-1)


def scaled(plane, low, high):
    return np.floor(np.clip((plane - low) / (high - low), 0, 1) * 255 + 0.5).astype("u1")


def test_colours_of_channels(omero_conn, pair):
    image, (first, second) = pair
    re = engine(omero_conn, image)
    expected = np.stack([scaled(first, 0, 99), scaled(second, 1, 100), np.zeros((10, 10), "u1")], axis=-1)
    np.testing.assert_array_equal(colors(re), expected)
    packed = np.array(re.renderAsPackedInt(PLANE), "i4").view("u4").reshape(10, 10)
    np.testing.assert_array_equal(packed >> 24, 255)
    for shift, band in ((16, 0), (8, 1), (0, 2)):
        np.testing.assert_array_equal(packed >> shift & 255, expected[..., band])
    re.close()


def test_settings_change_the_picture(omero_conn, pair):
    image, (first, second) = pair
    re = engine(omero_conn, image)
    re.setActive(1, False)
    re.setChannelWindow(0, 20.0, 60.0)
    re.setRGBA(0, 0, 0, 255, 255)
    np.testing.assert_array_equal(colors(re)[..., 2], scaled(first, 20, 60))
    assert not colors(re)[..., :2].any()
    re.setRGBA(0, 128, 0, 0, 255)
    np.testing.assert_array_equal(colors(re)[..., 0], (scaled(first, 20, 60) * (128 / 255)).astype("u1"))
    context = omero.romio.ReverseIntensityMapContext()
    re.addCodomainMapToChannel(context, 0)
    re.setRGBA(0, 255, 255, 255, 255)
    np.testing.assert_allclose(colors(re)[..., 1], 255.0 - scaled(first, 20, 60), atol=1)
    assert isinstance(re.getCodomainMapContext(0)[0], omero.model.ReverseIntensityContext)
    re.removeCodomainMapFromChannel(context, 0)
    assert re.getCodomainMapContext(0) == []
    grey = next(m for m in re.getAvailableModels() if m.value.val == "greyscale")
    re.setModel(grey)
    re.setActive(1, True)
    for band in range(3):  # grey: only the first active channel
        np.testing.assert_array_equal(colors(re)[..., band], scaled(first, 20, 60))
    re.setActive(0, False)
    np.testing.assert_array_equal(colors(re)[..., 0], scaled(second, 1, 100))
    re.setActive(1, False)
    assert not colors(re).any()
    re.close()


@pytest.mark.parametrize(
    ("family", "coefficient", "function"),
    [
        ("polynomial", 2.0, lambda x: x**2),
        ("exponential", 0.5, lambda x: np.exp(x**0.5)),
        ("logarithmic", 1.0, np.log),
    ],
)
def test_families(omero_conn, pair, family, coefficient, function):
    image, (first, _) = pair
    re = engine(omero_conn, image)
    wanted = next(f for f in re.getAvailableFamilies() if f.value.val == family)
    re.setQuantizationMap(0, wanted, coefficient, False)
    re.setChannelWindow(0, 1.0, 90.0)
    assert (re.getChannelFamily(0).value.val, re.getChannelCurveCoefficient(0)) == (family, coefficient)
    x = np.clip(first.astype("f8"), 1, 90)
    expected = (function(x) - function(1.0)) / (function(90.0) - function(1.0)) * 255
    assert np.abs(colors(re)[..., 0] - expected).max() <= 0.5001
    re.close()


def test_quantum(omero_conn, pair):
    image, (first, _) = pair
    re = engine(omero_conn, image)
    re.setQuantumStrategy(3)
    re.setCodomainInterval(10, 100)
    assert (re.getQuantumDef().bitResolution.val, re.getQuantumDef().cdStart.val) == (3, 10)
    assert set(np.unique(colors(re)[..., 0])) == {10, 40, 70, 100}
    for wrong in (lambda: re.setQuantumStrategy(4), lambda: re.setCodomainInterval(50, 300)):
        with pytest.raises(omero.ValidationException):
            wrong()
    re.close()


def test_regions_resolutions_and_jpeg(omero_server, omero_user, omero_conn, tmp_path):
    path, levels = images.pyramid(tmp_path)
    (result,) = omero_server.import_files(path, user=omero_user.name)
    image = omero_conn.getObject("Image", result.image_ids[0])
    re = engine(omero_conn, image)
    high = float(levels[0].max())
    whole = scaled(levels[0].astype("f8"), 0, high)
    region = omero.romio.RegionDef(450, 250, 64, 64)  # over the edge: cut
    found = colors(re, omero.romio.PlaneDef(0, 0, 0, 0, 0, region, 0))
    np.testing.assert_array_equal(found[..., 0], whole[250:, 450:])
    assert re.getResolutionLevels() == 3
    re.setResolutionLevel(0)
    assert colors(re).shape == (75, 125, 3)
    np.testing.assert_array_equal(colors(re)[..., 0], scaled(levels[2].astype("f8"), 0, high))
    re.setCompressionLevel(0.95)
    jpeg = Image.open(io.BytesIO(re.renderCompressed(PLANE)))
    assert (jpeg.format, jpeg.size) == ("JPEG", (125, 75))
    assert np.abs(np.asarray(jpeg, "i2") - colors(re).astype("i2")).mean() < 3
    with pytest.raises(omero.ValidationException):
        re.setCompressionLevel(1.5)
    with pytest.raises(omero.InternalException, match="RuntimeException"):
        colors(re, omero.romio.PlaneDef(0, 0, 0, 0, 0, omero.romio.RegionDef(500, 0, 5, 5), 0))
    re.close()


def test_projections(omero_conn):
    stack = np.random.default_rng(3).integers(0, 200, (4, 6, 8)).astype("u1")
    image = omero_conn.createImageFromNumpySeq(iter(stack), "stack", sizeZ=4)
    re = engine(omero_conn, omero_conn.getObject("Image", image.id))
    re.setChannelWindow(0, 0.0, 255.0)

    def projected(algorithm, step, start, end):
        packed = np.array(re.renderProjectedAsPackedInt(algorithm, 0, step, start, end), "i4").view("u4")
        return (packed & 255).reshape(6, 8)

    np.testing.assert_array_equal(projected(MAXIMUM, 1, 0, 3), stack.max(axis=0))
    np.testing.assert_array_equal(projected(MAXIMUM, 2, 0, 3), stack[::2].max(axis=0))
    np.testing.assert_array_equal(projected(MEAN, 1, 1, 3), np.floor(stack[1:].mean(axis=0) + 0.5))
    np.testing.assert_array_equal(projected(SUM, 1, 0, 3), np.minimum(stack.astype(int).sum(axis=0), 255))
    assert Image.open(io.BytesIO(re.renderProjectedCompressed(MAXIMUM, 0, 1, 0, 3))).size == (8, 6)
    for step, start, end in ((0, 0, 3), (1, 3, 0)):
        with pytest.raises(omero.ValidationException):
            projected(SUM, step, start, end)
    with pytest.raises(omero.InternalException):
        projected(MAXIMUM, 1, 0, 4)
    re.close()


def test_settings_are_saved_for_the_caller_only(make_user, connect):
    owner = make_user("renderers", "rwra--")
    member = make_user("renderers")
    conn = connect(owner)
    image = conn.createImageFromNumpySeq(iter([np.arange(100, dtype="u1").reshape(10, 10)]), "shared")
    image = conn.getObject("Image", image.id)
    re = engine(conn, image)
    re.setChannelWindow(0, 10.0, 20.0)
    re.setChannelLookupTable(0, "fire.lut")
    re.addCodomainMapToChannel(omero.romio.ReverseIntensityMapContext(), 0)
    re.setDefaultZ(0)
    re.saveCurrentSettings()
    first = re.getRenderingDefId()
    re.close()
    re = engine(conn, image)
    assert re.getRenderingDefId() == first
    assert (re.getChannelWindowStart(0), re.getChannelWindowEnd(0)) == (10.0, 20.0)
    assert re.getChannelLookupTable(0) == "fire.lut"
    assert len(re.getCodomainMapContext(0)) == 1
    re.close()
    other = connect(member)
    theirs = engine(other, other.getObject("Image", image.id))  # gets defaults of their own
    assert theirs.getChannelWindowEnd(0) == 99.0
    theirs.loadRenderingDef(first)
    assert theirs.getChannelWindowEnd(0) == 20.0
    theirs.saveCurrentSettings()
    assert theirs.getRenderingDefId() != first
    theirs.close()
    service = conn.c.sf.getPixelsService()
    found = service.retrieveAllRndSettings(image.getPixelsId(), -1)
    assert sorted(r.details.owner.id.val for r in found) == [owner.id, member.id]
    assert service.retrieveRndSettings(image.getPixelsId()).id.val == first
    assert service.retrieveRndSettingsFor(image.getPixelsId(), member.id).getChannelBinding(0).inputEnd.val == 20.0
    assert service.loadRndSettings(first).model.value.val == "greyscale"
    assert service.loadRndSettings(99999999) is None
    mine = service.loadRndSettings(first)
    mine.getChannelBinding(0).inputEnd = omero.rtypes.rdouble(55.0)
    service.saveRndSettings(mine)
    assert service.loadRndSettings(first).getChannelBinding(0).inputEnd.val == 55.0


def test_read_only_groups_use_the_owners_settings(make_user, connect):
    owner = make_user("read only renderers", "rwr---")
    member = make_user("read only renderers")
    conn, other = connect(owner), connect(member)
    image = conn.createImageFromNumpySeq(iter([np.arange(100, dtype="u1").reshape(10, 10)]), "shared")
    re = engine(conn, conn.getObject("Image", image.id))
    re.setChannelWindow(0, 30.0, 40.0)
    re.saveCurrentSettings()
    re.close()
    seen = other.getObject("Image", image.id)
    re = engine(other, seen)
    assert re.getChannelWindowStart(0) == 30.0
    with pytest.raises(omero.SecurityViolation):
        re.resetDefaultSettings(True)
    re.close()
    assert seen.getThumbnail(size=(64,)) is not None


def test_reset_and_unready(omero_conn, pair):
    image, _ = pair
    re = omero_conn.c.sf.createRenderingEngine()
    with pytest.raises(omero.ApiUsageException, match="Pixels object not set"):
        re.load()
    with pytest.raises(omero.ValidationException, match="not found"):
        re.lookupPixels(99999999)
    re.lookupPixels(image.getPixelsId())
    with pytest.raises(omero.ApiUsageException, match="RenderingDef object not set"):
        re.getDefaultZ()
    re.resetDefaultSettings(True)
    re.lookupRenderingDef(image.getPixelsId())
    with pytest.raises(omero.ApiUsageException, match="not loaded"):
        re.renderAsPackedInt(PLANE)
    re.load()
    re.setChannelWindow(0, 1.0, 2.0)
    re.resetDefaultSettings(False)
    assert re.getChannelWindowEnd(0) == 99.0
    with pytest.raises(omero.InternalException, match="ArrayIndexOutOfBounds"):
        re.isActive(2)
    assert list(re.getChannelStats(1)) == [1.0, 100.0]
    assert re.isPixelsTypeSigned()
    assert re.getPixels().pixelsType.value.val == "float"
    re.close()


def test_first_three_of_many_channels_are_shown(omero_conn):
    image = omero_conn.createImageFromNumpySeq(iter([np.zeros((2, 2), "u1")] * 5), "five", sizeC=5)
    re = engine(omero_conn, omero_conn.getObject("Image", image.id))
    assert [re.isActive(c) for c in range(5)] == [True, True, True, False, False]
    assert re.getModel().value.val == "rgb"
    assert (re.getChannelWindowStart(0), re.getChannelWindowEnd(0)) == (0.0, 255.0)  # a flat channel
    re.close()


# -- settings of many images


def test_settings_of_a_dataset(omero_conn, pair):
    image, planes = pair
    second = omero_conn.createImageFromNumpySeq(iter(planes), "second", sizeC=2)
    other = omero_conn.createImageFromNumpySeq(iter(planes[:1]), "other", sizeC=1)
    dataset = omero.model.DatasetI()
    dataset.name = omero.rtypes.rstring("d")
    for one in (image, second, other):
        dataset.linkImage(omero.model.ImageI(one.id, False))
    dataset = omero_conn.getUpdateService().saveAndReturnObject(dataset)
    service = omero_conn.c.sf.getRenderingSettingsService()
    assert sorted(service.resetDefaultsInSet("Dataset", [dataset.id.val])) == sorted([image.id, second.id, other.id])
    re = engine(omero_conn, image)
    re.setChannelWindow(0, 3.0, 4.0)
    re.saveCurrentSettings()
    re.close()
    answer = service.applySettingsToSet(image.getPixelsId(), "Dataset", [dataset.id.val])
    assert sorted(answer[True]) == sorted([image.id, second.id])
    assert answer[False] == [other.id]
    pixels_id = omero_conn.getObject("Image", second.id).getPixelsId()
    assert service.getRenderingSettings(pixels_id).getChannelBinding(0).inputEnd.val == 4.0
    assert service.setOriginalSettingsInSet("Image", [second.id]) == [second.id]
    assert service.getRenderingSettings(pixels_id).getChannelBinding(0).inputEnd.val == 99.0
    with pytest.raises(omero.ApiUsageException):
        service.resetDefaultsInSet("Tag", [1])
    with pytest.raises(omero.ValidationException):
        service.resetDefaultsInSet("Image", [99999999])


def test_settings_of_a_plate_and_by_owner(omero_server, make_user, connect, tmp_path):
    owner, member = make_user("plate renderers"), make_user("plate renderers")
    (result,) = omero_server.import_files(images.ome_plate_file(tmp_path)[0], user=owner.name)
    service = connect(member).c.sf.getRenderingSettingsService()
    assert sorted(service.resetDefaultsByOwnerInSet("Plate", [result.plate_id])) == result.image_ids
    pixels_id = connect(member).getObject("Image", result.image_ids[0]).getPixelsId()
    assert service.getRenderingSettings(pixels_id).details.owner.id.val == member.id


# -- thumbnails


def _size(data):
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "JPEG"
    return picture.size


@pytest.fixture
def wide(omero_conn):
    return omero_conn.getObject(
        "Image",
        omero_conn.createImageFromNumpySeq(iter([images.slope(20, 40), images.slope(20, 40)]), "wide", sizeZ=2).id,
    )


def test_thumbnails(omero_conn, wide):
    store = omero_conn.c.sf.createThumbnailStore()
    pixels_id = wide.getPixelsId()
    assert store.setPixelsId(pixels_id) is False
    with pytest.raises(omero.ApiUsageException, match="Rendering settings not set"):
        store.getThumbnail(rint(96), rint(96))
    store.resetDefaults()
    assert store.setPixelsId(pixels_id) is True
    assert not store.thumbnailExists(rint(50), rint(30))
    assert _size(store.getThumbnail(rint(50), rint(30))) == (50, 30)
    assert store.thumbnailExists(rint(50), rint(30))
    assert _size(store.getThumbnailByLongestSideDirect(rint(32))) == (32, 16)
    assert _size(store.getThumbnailByLongestSideDirect(None)) == (96, 48)
    assert _size(store.getThumbnailDirect(rint(10), rint(12))) == (10, 12)
    assert _size(store.getThumbnailForSectionDirect(1, 0, rint(10), rint(12))) == (10, 12)
    assert _size(store.getThumbnailForSectionByLongestSideDirect(0, 0, rint(20))) == (20, 10)
    # Recorded: what is kept is given out, whatever size is asked for.
    assert _size(store.getThumbnailByLongestSide(rint(32))) == (50, 30)
    found = store.getThumbnailByLongestSideSet(rint(16), [pixels_id, 99999999])
    assert {k: _size(v) for k, v in found.items()} == {pixels_id: (16, 8)}
    assert {k: _size(v) for k, v in store.getThumbnailSet(rint(9), rint(8), [pixels_id]).items()} == {pixels_id: (9, 8)}
    assert store.isInProgress() is False
    for wrong in (
        lambda: store.getThumbnail(rint(0), rint(9)),
        lambda: store.getThumbnailForSectionDirect(2, 0, None, None),
    ):
        with pytest.raises(omero.ApiUsageException):
            wrong()
    with pytest.raises(omero.ResourceError, match="insufficient permissions"):
        store.setPixelsId(99999999)
    with pytest.raises(omero.ApiUsageException, match="Pixels not set"):
        store.thumbnailExists(rint(96), rint(96))
    store.close()


def test_thumbnail_looks_like_the_image(omero_conn, wide):
    picture = np.asarray(Image.open(io.BytesIO(wide.getThumbnail(size=(40,)))), "i2")
    assert picture.shape == (20, 40, 3)
    expected = scaled(images.slope(20, 40).astype("f8"), 0, 58).astype("i2")
    assert np.abs(picture[..., 0] - expected).mean() < 6  # a red picture: one channel, made through the API
    assert picture[..., 1:].mean() < picture[..., 0].mean() + 1


def test_thumbnails_of_a_plate(omero_server, omero_user, omero_conn, tmp_path):
    (result,) = omero_server.import_files(images.ome_plate_file(tmp_path)[0], user=omero_user.name)
    found = omero_conn.getThumbnailSet(result.image_ids, max_size=24)
    assert {k: _size(v) for k, v in found.items()} == dict.fromkeys(result.image_ids, (24, 18))
