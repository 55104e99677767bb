"""Statistics of the pixels under shapes, and which pixels these are."""

import numpy as np
import omero
import omero.model as model
import pytest
from omero.rtypes import rdouble, rint

from tests.embedded.script_world import ellipse, line, points, rectangle

HEIGHT, WIDTH = 20, 30
STACK = np.arange(2 * 2 * 3 * HEIGHT * WIDTH, dtype="i2").reshape(2, 2, 3, HEIGHT, WIDTH) - 1000  # TCZYX
Y, X = np.mgrid[:HEIGHT, :WIDTH]


@pytest.fixture
def image(omero_conn):
    order = (STACK[t, c, z] for z in range(3) for c in range(2) for t in range(2))
    return omero_conn.createImageFromNumpySeq(order, "numbers", sizeZ=3, sizeC=2, sizeT=2).getId()


@pytest.fixture
def save(omero_conn, image):
    """Function which saves a shape on the image and answers its id."""

    def run(shape):
        roi = model.RoiI()
        roi.setImage(model.ImageI(image, False))
        roi.addShape(shape)
        return omero_conn.getUpdateService().saveAndReturnObject(roi).getShape(0).id.val

    return run


def turned(shape, matrix=((0, -1, 20), (1, 0, 0))):
    """With a transform: by default a quarter turn about the origin, then 20 to the right."""
    transform = model.AffineTransformI()
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            setattr(transform, f"a{i}{j}", rdouble(value))
    shape.setTransform(transform)
    return shape


def mask(x, y, width, height):
    shape = model.MaskI()
    for name, value in {"x": x, "y": y, "width": width, "height": height}.items():
        setattr(shape, name, rdouble(value))
    shape.setBytes(b"\1")
    return shape


def point(x, y):
    shape = model.PointI()
    shape.x, shape.y = rdouble(x), rdouble(y)
    return shape


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda: rectangle(3, 4, 5, 2), (X >= 3) & (X < 8) & (Y >= 4) & (Y < 6)),
        (lambda: rectangle(3.5, 4.5, 2, 1), (X >= 3) & (X < 5) & (Y == 4)),
        (lambda: rectangle(27, 18, 10, 10), (X >= 27) & (Y >= 18)),  # what lies outside the image does not count
        (lambda: mask(3, 4, 5, 2), (X >= 3) & (X < 8) & (Y >= 4) & (Y < 6)),
        (lambda: ellipse(12, 9, 6, 4), ((X + 0.0005 - 12) / 6) ** 2 + ((Y + 0.0005 - 9) / 4) ** 2 < 1),
        (lambda: point(7.9, 3.2), (X == 7) & (Y == 3)),
        (lambda: line(2, 5, 9, 5), (Y == 5) & (X >= 2) & (X <= 9)),
        (lambda: line(4, 4, 4, 4), (X == 4) & (Y == 4)),
        (
            lambda: points(model.PolylineI, [(2, 2), (2, 6), (5, 6)]),
            ((X == 2) & (Y >= 2) & (Y <= 6)) | ((Y == 6) & (X >= 2) & (X <= 5)),
        ),
        (lambda: points(model.PolygonI, [(2, 2), (12, 2), (2, 12)]), (X >= 2) & (Y >= 2) & (X + Y < 14)),
        # x' = 20 - y, y' = x
        (lambda: turned(rectangle(3, 4, 5, 2)), (X >= 14) & (X < 16) & (Y >= 3) & (Y < 8)),
        (lambda: turned(ellipse(9, 8, 6, 4)), ((X + 0.0005 - 12) / 4) ** 2 + ((Y + 0.0005 - 9) / 6) ** 2 < 1),
        (lambda: turned(line(2, 5, 9, 5)), (X == 15) & (Y >= 2) & (Y <= 9)),
    ],
    ids=["rectangle", "fractions", "outside", "mask", "ellipse", "point", "line", "dot", "polyline", "polygon",
         "turned rectangle", "turned ellipse", "turned line"],
)  # fmt: skip
def test_pixels_of_shapes(omero_conn, save, shape, expected):
    id = save(shape())
    service = omero_conn.getRoiService()
    found = service.getPoints(id)
    pixels = {(x, y) for x, y in zip(found.x, found.y, strict=True) if x < WIDTH and y < HEIGHT}
    assert pixels == set(zip(X[expected].tolist(), Y[expected].tolist(), strict=True))
    (stats,) = service.getShapeStatsRestricted([id], 2, 1, [1])
    values = STACK[1, 1, 2][expected].astype(float)
    deviation = values.std(ddof=1) if len(values) > 1 else 0
    assert (stats.shapeId, stats.pointsCount) == (id, [len(values)])
    assert (stats.min, stats.max, stats.sum) == ([values.min()], [values.max()], [values.sum()])
    np.testing.assert_allclose([stats.mean[0], stats.stdDev[0]], [values.mean(), deviation])


def test_points_as_older_clients_write_them(omero_conn, save):
    shape = points(model.PolygonI, [])
    shape.points = omero.rtypes.rstring("points[2,2, 12,2, 2,12] points1[2,2, 12,2, 2,12] points2[] mask[0,0,0]")
    expected = (X >= 2) & (Y >= 2) & (X + Y < 14)
    assert len(omero_conn.getRoiService().getPoints(save(shape)).x) == expected.sum()


def test_planes_of_a_shape(omero_conn, image, save):
    """Its own plane goes before the one which is asked for; without either all planes count."""
    own, free = save(rectangle(0, 0, 2, 2, z=0, t=1)), save(rectangle(0, 0, 2, 2))
    service = omero_conn.getRoiService()
    one, two = service.getShapeStatsRestricted([own, free], 2, 0, [0, 1])
    assert one.sum == [float(STACK[1, c, 0, :2, :2].sum()) for c in range(2)]
    assert two.sum == [float(STACK[0, c, 2, :2, :2].sum()) for c in range(2)]
    channels = omero_conn.getObject("Image", image).getChannels()
    assert one.channelIds == [c.getLogicalChannel().getId() for c in channels]
    assert service.getShapeStats(free).sum == [float(STACK[:, c, :, :2, :2].sum()) for c in range(2)]
    assert service.getShapeStats(own).pointsCount == [4, 4]
    channel = rectangle(0, 0, 2, 2)
    channel.theC = rint(1)
    (only,) = service.getShapeStatsList([save(channel)])
    assert only.sum == [float(STACK[:, 1, :, :2, :2].sum())]


def test_what_cannot_be_measured(omero_conn, connect, make_user, save):
    service = omero_conn.getRoiService()
    label = model.LabelI()
    label.x, label.y = rdouble(1), rdouble(1)
    nowhere = rectangle(1, 1, 1, 1)
    nowhere.width = None
    for shape in (label, points(model.PolygonI, [(1, 1)]), nowhere):
        with pytest.raises(omero.ApiUsageException):
            service.getShapeStats(save(shape))
    id = save(rectangle(1, 1, 1, 1))
    for z, t, c in ((3, 0, 0), (0, 2, 0), (0, 0, 2), (-1, 0, 0)):
        with pytest.raises(omero.ApiUsageException, match="is outside the image"):
            service.getShapeStatsRestricted([id], z, t, [c])
    with pytest.raises(omero.SecurityViolation):
        connect(make_user()).getRoiService().getShapeStats(id)
    outside = service.getShapeStats(save(rectangle(100, 100, 5, 5)))
    assert (outside.pointsCount, outside.mean) == ([0, 0], [0.0, 0.0])
