"""Pixel data, statistics, rendering and thumbnails."""

import numpy as np
import omero
from omero.rtypes import rint

from embedded_omero.conformance import Id, case


class Store:
    """RawPixelsStore opened on a seeded image, closed at the end."""

    def __init__(self, w, name, who="alice"):
        self.s = w.sf(who).createRawPixelsStore()
        self.s.setPixelsId(w.id("Pixels", name), True)

    def __enter__(self):
        return self.s

    def __exit__(self, *exc):
        self.s.close()


for image, z, c, t in (("img_u8", 0, 0, 0), ("img_i16", 1, 0, 2), ("img_u16", 2, 1, 1), ("img_f32", 0, 2, 0)):

    def planes(w, a, image=image, z=z, c=c, t=t):
        with Store(w, image) as s:
            a("plane", lambda: s.getPlane(z, c, t))
            a("first bytes", lambda: s.getPlane(z, c, t)[:12].hex())
            a("row", lambda: s.getRow(1, z, c, t))
            a("col", lambda: s.getCol(2, z, c, t))
            a("tile", lambda: s.getTile(z, c, t, 1, 2, 3, 2).hex())
            a("stack", lambda: s.getStack(c, t))
            a("timepoint", lambda: s.getTimepoint(t))
            a("hypercube", lambda: s.getHypercube([0, 0, 0, 0, 0], [4, 3, 1, 1, 1], [2, 1, 1, 1, 1]).hex())
            a(
                "sizes",
                lambda: [
                    s.getPlaneSize(),
                    s.getRowSize(),
                    s.getStackSize(),
                    s.getTimepointSize(),
                    s.getTotalSize(),
                    s.getByteWidth(),
                ],
            )
            a("flags", lambda: [s.isSigned(), s.isFloat(), s.requiresPixelsPyramid()])
            a("tile size", lambda: list(s.getTileSize()))
            a(
                "levels",
                lambda: [
                    s.getResolutionLevels(),
                    s.getResolutionLevel(),
                    [[d.sizeX, d.sizeY] for d in s.getResolutionDescriptions()],
                ],
            )
            a("digest", lambda: s.calculateMessageDigest().hex())
            a(
                "offsets",
                lambda: [
                    s.getPlaneOffset(z, c, t),
                    s.getRowOffset(1, z, c, t),
                    s.getStackOffset(c, t),
                    s.getTimepointOffset(t),
                ],
            )
            a("region", lambda: s.getRegion(10, 3).hex())
            a(
                "histogram",
                lambda: {
                    k: sum(v)
                    for k, v in s.getHistogram([c], 4, False, omero.romio.PlaneDef(0, 0, 0, z, t, None, 0)).items()
                },
            )

    case("pixels", "read_" + image)(planes)


@case("pixels")
def bounds(w, a):
    with Store(w, "img_u16") as s:
        a("z", lambda: s.getPlane(3, 0, 0))
        a("c", lambda: s.getPlane(0, 2, 0))
        a("t", lambda: s.getPlane(0, 0, 2))
        a("negative", lambda: s.getPlane(-1, 0, 0))
        a("row", lambda: s.getRow(24, 0, 0, 0))
        a("column", lambda: s.getCol(32, 0, 0, 0))
        a("tile too wide", lambda: s.getTile(0, 0, 0, 30, 0, 8, 8))
        a("tile outside", lambda: s.getTile(0, 0, 0, 40, 0, 8, 8))
        a("tile empty", lambda: s.getTile(0, 0, 0, 0, 0, 0, 0))
        a("hypercube outside", lambda: s.getHypercube([0, 0, 0, 0, 0], [64, 1, 1, 1, 1], [1, 1, 1, 1, 1]))
        a("resolution level", lambda: s.setResolutionLevel(3))


@case("pixels")
def store_misuse(w, a):
    s = w.sf("alice").createRawPixelsStore()
    a("unset", lambda: s.getPlane(0, 0, 0))
    a("unknown id", lambda: s.setPixelsId(99999999, True))
    a("private of bob", lambda: s.setPixelsId(w.id("Pixels", "I bob private"), True))
    s.close()


def new_pixels(w, x=6, y=4, z=2, c=1, t=1, typ="uint8"):
    s = w.sf("alice")
    ptype = s.getQueryService().findByQuery(f"from PixelsType as p where p.value='{typ}'", None)
    iid = s.getPixelsService().createImage(x, y, z, t, list(range(c)), ptype, "made", "by case").val
    return s.getQueryService().findByQuery(
        "select i from Image i left outer join fetch i.pixels p left outer join fetch p.channels ch "
        f"left outer join fetch ch.logicalChannel left outer join fetch ch.statsInfo where i.id={iid}",
        None,
    )


@case("pixels")
def create_image(w):
    return new_pixels(w, c=2)


@case("pixels")
def create_image_errors(w, a):
    s = w.sf("alice").getPixelsService()
    t = w.sf("alice").getQueryService().findByQuery("from PixelsType as p where p.value='int8'", None)
    a("size 0", lambda: s.createImage(0, 4, 1, 1, [0], t, "x", ""))
    a("no channels", lambda: s.createImage(4, 4, 1, 1, [], t, "x", "") is not None)
    a("null type", lambda: s.createImage(4, 4, 1, 1, [0], None, "x", ""))
    a("null name", lambda: s.createImage(4, 4, 1, 1, [0], t, None, "").val > 0)


@case("pixels")
def write_and_save(w, a):
    img = new_pixels(w, typ="int16")
    pid = img.getPrimaryPixels().id.val
    s = w.sf("alice").createRawPixelsStore()
    s.setPixelsId(pid, False)
    plane = np.arange(24, dtype=">i2")
    a("read before writing", lambda: s.getPlane(0, 0, 0))
    a("setPlane", lambda: s.setPlane(plane.tobytes(), 0, 0, 0))
    a("short plane", lambda: s.setPlane(b"123", 1, 0, 0))
    a("long plane", lambda: s.setPlane(plane.tobytes() * 2, 1, 0, 0))
    a("outside", lambda: s.setPlane(plane.tobytes(), 2, 0, 0))
    a("setTile", lambda: s.setTile(plane[:6].tobytes(), 1, 0, 0, 1, 1, 3, 2))
    a("setRow", lambda: s.setRow(plane[:6].tobytes(), 3, 1, 0, 0))
    a("read plane 1", lambda: s.getPlane(1, 0, 0).hex())
    a("read plane 0", lambda: s.getPlane(0, 0, 0).hex())
    a("save", lambda: s.save().sha1)
    a("digest", lambda: s.calculateMessageDigest().hex())
    s.close()
    a(
        "sha1 in the database",
        lambda: w.sf("alice").getQueryService().projection(f"select p.sha1 from Pixels p where p.id={pid}", None),
    )


@case("pixels")
def never_written(w, a):
    pid = new_pixels(w).getPrimaryPixels().id.val
    s = w.sf("alice").createRawPixelsStore()
    a("set", lambda: s.setPixelsId(pid, True))
    a("plane", lambda: s.getPlane(0, 0, 0))
    a("digest", lambda: s.calculateMessageDigest())
    s.close()


@case("pixels")
def copy_and_resize(w, a):
    s = w.sf("alice").getPixelsService()
    q = w.sf("alice").getQueryService()
    new = s.copyAndResizeImage(w.id("Image", "img_u16"), rint(8), rint(9), rint(1), rint(1), [0], "copy", True).val
    a(
        "image",
        lambda: q.findByQuery(
            "select i from Image i left outer join fetch i.pixels p left outer join fetch p.pixelsType left outer "
            f"join fetch p.channels c left outer join fetch c.logicalChannel where i.id={new}",
            None,
        ),
    )

    def size_z_of_copy():
        same = s.copyAndResizeImage(w.id("Image", "img_u16"), None, None, None, None, [0, 1], None, False).val
        return [q.findByQuery(f"select p from Pixels p where p.image.id={same}", None).getSizeZ().val]

    a("nulls keep sizes", size_z_of_copy)
    a("unknown image", lambda: s.copyAndResizeImage(99999999, rint(1), rint(1), rint(1), rint(1), [0], "x", False))


@case("pixels")
def retrieve(w, a):
    s = w.sf("alice").getPixelsService()
    pid = w.id("Pixels", "img_u16")
    a("retrievePixDescription", lambda: s.retrievePixDescription(pid))
    a("unknown", lambda: s.retrievePixDescription(99999999))
    a("rendering settings", lambda: s.retrieveRndSettings(w.id("Pixels", "img_i16")))
    a("all enumerations", lambda: sorted(e.value.val for e in s.getAllEnumerations("PixelsType")))
    a("one enumeration", lambda: s.getEnumeration("PixelsType", "uint16"))
    a("unknown enumeration", lambda: s.getEnumeration("PixelsType", "nope"))
    a("bit depth", lambda: s.getBitDepth(s.getEnumeration("PixelsType", "float")))


@case("pixels")
def global_min_max(w, a):
    q, s = w.sf("alice").getQueryService(), w.sf("alice").getPixelsService()

    def stats(n):
        hql = "select p from Pixels p join fetch p.channels c left outer join fetch c.statsInfo where p.id="
        channels = q.findByQuery(hql + str(w.id("Pixels", n)), None).copyChannels()
        return [[c.statsInfo.globalMin, c.statsInfo.globalMax] if c.statsInfo else None for c in channels]

    for n in ("img_u8", "img_i16", "img_u16", "img_f32"):
        a(n, lambda: stats(n))
    a("set", lambda: s.setChannelGlobalMinMax(w.id("Pixels", "img_orphan"), 0, 3.0, 77.0))
    a("after set", lambda: stats("img_orphan"))
    a("set of a missing channel", lambda: s.setChannelGlobalMinMax(w.id("Pixels", "img_orphan"), 5, 3.0, 77.0))


@case("pixels")
def rendering_defaults(w, a):
    for n in ("img_u8", "img_u16", "img_f32"):

        def defaults():
            re = w.sf("alice").createRenderingEngine()
            try:
                re.lookupPixels(w.id("Pixels", n))
                first = re.lookupRenderingDef(w.id("Pixels", n))
                if not first:
                    re.resetDefaultSettings(True)
                    re.lookupRenderingDef(w.id("Pixels", n))
                re.load()
                return {
                    "z": re.getDefaultZ(),
                    "t": re.getDefaultT(),
                    "model": re.getModel().value,
                    "family": re.getChannelFamily(0).value,
                    "channels": [
                        [
                            re.isActive(c),
                            re.getChannelWindowStart(c),
                            re.getChannelWindowEnd(c),
                            list(re.getRGBA(c)),
                            re.getChannelCurveCoefficient(c),
                            re.getChannelNoiseReduction(c),
                            re.getChannelLookupTable(c),
                        ]
                        for c in range(re.getPixels().sizeC.val)
                    ],
                    "bits": re.getQuantumDef().bitResolution,
                    "codomain": [re.getQuantumDef().cdStart, re.getQuantumDef().cdEnd],
                }
            finally:
                re.close()

        a(n, defaults)


@case("pixels")
def rendering_before_load(w, a):
    re = w.sf("alice").createRenderingEngine()
    a("getDefaultZ", lambda: re.getDefaultZ())
    a("unknown pixels", lambda: re.lookupPixels(99999999))
    re.lookupPixels(w.id("Pixels", "img_i16"))
    a("no settings yet", lambda: re.lookupRenderingDef(w.id("Pixels", "img_i16")))
    a("load without settings", lambda: re.load())
    re.close()


@case("pixels")
def render_packed(w, a):
    re = w.sf("alice").createRenderingEngine()
    pid = w.id("Pixels", "img_u16")
    re.lookupPixels(pid)
    if not re.lookupRenderingDef(pid):
        re.resetDefaultSettings(True)
        re.lookupRenderingDef(pid)
    re.load()
    plane = omero.romio.PlaneDef(0, 0, 0, 1, 0, None, 0)
    a("packed int", lambda: ["%08x" % (v & 0xFFFFFFFF) for v in re.renderAsPackedInt(plane)[::97]])
    re.setModel(next(m for m in re.getAvailableModels() if m.value.val == "greyscale"))
    a("greyscale", lambda: ["%08x" % (v & 0xFFFFFFFF) for v in re.renderAsPackedInt(plane)[::97]])
    a("models", lambda: sorted(m.value.val for m in re.getAvailableModels()))
    a("families", lambda: sorted(m.value.val for m in re.getAvailableFamilies()))
    a("compression", lambda: float(re.getCompressionLevel()))
    a("jpeg", lambda: bytes(re.renderCompressed(plane)[:3]).hex())
    a("z outside", lambda: re.renderAsPackedInt(omero.romio.PlaneDef(0, 0, 0, 9, 0, None, 0)))
    re.close()


@case("pixels")
def thumbnails(w, a):
    from io import BytesIO

    from PIL import Image

    s = w.sf("alice").createThumbnailStore()
    pid = w.id("Pixels", "B3 f1")
    a("first", lambda: s.setPixelsId(pid))
    a("resetDefaults", lambda: s.resetDefaults())
    a("after resetDefaults", lambda: s.setPixelsId(pid))

    def size(data):
        return [Image.open(BytesIO(data)).size, Image.open(BytesIO(data)).format]

    a("96x96", lambda: size(s.getThumbnail(rint(96), rint(96))))
    a("longest side", lambda: size(s.getThumbnailByLongestSide(rint(32))))
    a(
        "set",
        lambda: (
            {
                Id("Pixels", k): size(v)
                for k, v in s.getThumbnailByLongestSideSet(rint(16), [pid, w.id("Pixels", "img_orphan")]).items()
            }
            and "ok"
        ),
    )
    a("unknown", lambda: s.setPixelsId(99999999))
    a("exists", lambda: s.thumbnailExists(rint(96), rint(96)))
    s.close()
