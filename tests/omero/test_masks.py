"""Label images as masks of OMERO, and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from omero.rtypes import unwrap

from openhcs_core.omero import masks
from openhcs_core.omero.errors import OmeroError
from openhcs_core.omero.masks import label_image, mask_pixels, mask_rois, object_masks, roi_ids_of, save_rois

labels_of_any_kind = arrays.arrays(
    st.sampled_from(["u1", "i4", "u2", "i8"]),
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=17),
    elements=st.integers(0, 5),
)


@given(labels_of_any_kind)
def test_the_masks_are_the_labels(labels):
    found = np.zeros(labels.shape, int)
    for mask in object_masks(labels):
        bits = np.unpackbits(np.frombuffer(mask.bits, "u1"))
        assert len(mask.bits) == -(-mask.height * mask.width // 8)
        assert not bits[mask.height * mask.width :].any()
        box = bits[: mask.height * mask.width].reshape(mask.height, mask.width).astype(bool)
        assert box.any(axis=0)[[0, -1]].all()
        assert box.any(axis=1)[[0, -1]].all()
        found[mask.y : mask.y + mask.height, mask.x : mask.x + mask.width][box] = mask.label
    assert np.array_equal(found, labels)
    assert [mask.label for mask in object_masks(labels)] == sorted(set(labels.ravel()) - {0})


@pytest.mark.parametrize("labels", [np.array([[0, -1]]), np.array([[0.0, 1.0]])])
def test_what_are_no_labels(labels):
    with pytest.raises(OmeroError, match="labels have to be"):
        list(object_masks(labels))


def test_a_mask_is_packed_as_omero_packs():
    """Known bits: two rows of three pixels are six bits in a row, the first highest."""
    (mask,) = object_masks(np.array([[0, 0, 0, 0], [0, 7, 0, 7], [0, 7, 7, 0]]))
    assert mask == (7, 1, 1, 2, 3, bytes([0b10111000]))


def test_regions_in_omero(make_image, conn, omero_conn):
    volume = np.zeros((2, 3, 64, 80), int)  # T, Z, Y, X
    volume[0, 0, 5:20, 7:30] = 300
    volume[0, 1, 6:20, 7:29] = 300
    volume[0, 1, 40:64, 60:80] = 2
    volume[1, 2, 0:3, 0:3] = 2
    image = make_image(np.zeros((2, 1, 3, 64, 80), "u1"))
    planes = {(z, t): volume[t, z] for t in range(2) for z in range(3)}
    context = {"omero.group": str(image.getDetails().getGroup().getId())}
    rois = mask_rois(planes, image.getId(), "nuclei", "of a test")
    assert save_rois(conn, rois, context) == 3
    found = omero_conn.getRoiService().findByImage(image.getId(), None).rois
    assert sorted((roi.name.val, roi.sizeOfShapes()) for roi in found) == [
        ("nuclei 2", 1), ("nuclei 2", 1), ("nuclei 300", 2),
    ]  # fmt: skip
    for t in range(2):
        for z in range(3):
            here = [mask for roi in found for mask in roi.copyShapes() if (mask.theZ.val, mask.theT.val) == (z, t)]
            assert np.array_equal(label_image(here, (64, 80)), volume[t, z])
            assert {mask.textValue.val for mask in here} == {str(label) for label in set(volume[t, z].ravel()) - {0}}
    assert sorted(roi_ids_of(conn, [image.getId()], "of a test", context)) == sorted(roi.id.val for roi in found)
    assert roi_ids_of(conn, [image.getId()], "of another", context) == []
    assert roi_ids_of(conn, [], "of a test", context) == []


def test_the_server_counts_the_pixels_of_the_box(make_image, conn, omero_conn):
    image = make_image(np.full((1, 1, 1, 20, 20), 3, "u1"))
    labels = np.zeros((20, 20), int)
    labels[4:9, 3:6] = 1
    save_rois(conn, mask_rois({(0, 0): labels}, image.getId(), "cells", ""), {})
    (roi,) = omero_conn.getRoiService().findByImage(image.getId(), None).rois
    (mask,) = roi.copyShapes()
    stats = omero_conn.getRoiService().getShapeStats(mask.id.val)
    assert (stats.pointsCount, stats.sum) == ([15], [45.0])
    assert mask_pixels(mask).all()


def test_many_regions_go_in_few_calls(make_image, conn, monkeypatch):
    image = make_image(np.zeros((1, 1, 1, 64, 64), "u1"))
    labels = np.arange(64 * 64).reshape(64, 64)[:4]
    monkeypatch.setattr(masks, "BATCH_ROIS", 100)
    service = conn.getUpdateService()
    calls = []

    class Counted:
        def saveAndReturnIds(self, batch, context):
            calls.append(len(batch))
            return service.saveAndReturnIds(batch, context)

    monkeypatch.setattr(conn, "getUpdateService", Counted)
    context = {"omero.group": str(image.getDetails().getGroup().getId())}
    assert save_rois(conn, mask_rois({(0, 0): labels}, image.getId(), "x", "y"), context) == 4 * 64 - 1
    assert calls == [100, 100, 55]
    rows = conn.getQueryService().projection(
        f"select count(r.id) from Roi r where r.image.id = {image.getId()}", None, conn.SERVICE_OPTS
    )
    assert unwrap(rows) == [[4 * 64 - 1]]
