"""BlitzGateway helpers as scripts and OMERO.web use them."""

import omero

from embedded_omero.conformance import Bag, Id, case


def ids(typ, wrappers, ordered=True):
    return (list if ordered else Bag)(Id(typ, x.getId()) for x in wrappers)


@case("gateway")
def get_objects_options(w, a):
    conn = w.gw("alice")
    owner = w.id("Experimenter", "alice")

    def get(typ, **opts):
        return ids(typ, conn.getObjects(typ, opts=dict(opts, owner=opts.get("owner", owner))), "order_by" in opts)

    a("projects", lambda: get("Project"))
    a("ordered", lambda: get("Dataset", order_by="obj.name"))
    a("limit", lambda: get("Dataset", order_by="obj.name", limit=2))
    a("offset", lambda: get("Dataset", order_by="obj.name", limit=2, offset=1))
    a("orphaned datasets", lambda: get("Dataset", orphaned=True))
    a("orphaned images", lambda: get("Image", orphaned=True))
    a("datasets of project", lambda: get("Dataset", project=w.id("Project", "P one")))
    a("images of dataset", lambda: get("Image", dataset=w.id("Dataset", "D one")))
    a("projects of dataset", lambda: get("Project", dataset=w.id("Dataset", "D one")))
    a("datasets of image", lambda: get("Dataset", image=w.id("Image", "img_u16")))
    a("plates of screen", lambda: get("Plate", screen=w.id("Screen", "S one")))
    a("wells of plate", lambda: get("Well", plate=w.id("Plate", "PL one"), order_by="obj.row"))
    a("images of well", lambda: get("Image", well=w.id("Well", "A1")))
    a("images of bob", lambda: get("Image", owner=w.id("Experimenter", "bob"), dataset=w.id("Dataset", "D bob ra")))
    a("rois of image", lambda: get("Roi", image=w.id("Image", "img_u16")))


@case("gateway")
def get_objects_attributes(w, a):
    conn = w.gw("alice")
    a("name", lambda: ids("Image", conn.getObjects("Image", attributes={"name": "img_u16"})))
    a(
        "two attributes",
        lambda: ids(
            "Well",
            conn.getObjects(
                "Well",
                attributes={
                    "row": omero.rtypes.rint(1),
                    "column": omero.rtypes.rint(2),
                    "plate": w.id("Plate", "PL one"),
                },
            ),
            False,
        ),
    )
    a(
        "ids",
        lambda: ids("Dataset", conn.getObjects("Dataset", [w.id("Dataset", "d two"), w.id("Dataset", "D one")]), False),
    )
    a("one missing", lambda: ids("Dataset", conn.getObjects("Dataset", [w.id("Dataset", "d two"), 99999999])))
    a("empty", lambda: ids("Dataset", conn.getObjects("Dataset", [])))
    a("getObject not unique", lambda: conn.getObject("Image", attributes={"description": "nope"}))
    a("unknown type", lambda: conn.getObject("Nope", 1))
    a(
        "respect_order",
        lambda: ids(
            "Dataset",
            conn.getObjects("Dataset", [w.id("Dataset", "d two"), w.id("Dataset", "D one")], respect_order=True),
        ),
    )


@case("gateway")
def list_children(w, a):
    conn = w.gw("alice")
    p, d = conn.getObject("Project", w.id("Project", "P one")), conn.getObject("Dataset", w.id("Dataset", "D one"))
    a("project", lambda: ids("Dataset", p.listChildren()))
    a("dataset", lambda: ids("Image", d.listChildren()))
    a("page", lambda: ids("Image", d.listChildren(params=omero.sys.ParametersI().page(1, 1))))
    a("counts", lambda: [p.countChildren(), d.countChildren(), p.countChildren_cached()])
    a("screen", lambda: ids("Plate", conn.getObject("Screen", w.id("Screen", "S one")).listChildren()))
    a("plate", lambda: ids("Well", conn.getObject("Plate", w.id("Plate", "PL one")).listChildren(), False))
    a(
        "well",
        lambda: [
            [Id("WellSample", s.getId()), Id("Image", s.getImage().getId())]
            for s in conn.getObject("Well", w.id("Well", "A2")).listChildren()
        ],
    )
    a("childCount", lambda: conn.getObject("Plate", w.id("Plate", "PL one")).countPlateAcquisitions())
    a(
        "project details",
        lambda: [
            p.getOwnerOmeName(),
            p.getOwnerFullName(),
            p.isOwned(),
            p.canEdit(),
            p.canLink(),
            p.canDelete(),
            p.canAnnotate(),
            p.isLeaded(),
        ],
    )


@case("gateway")
def parents(w, a):
    conn = w.gw("alice")
    img = conn.getObject("Image", w.id("Image", "img_u16"))
    a("listParents of image", lambda: ids("Dataset", img.listParents(), False))
    a(
        "getParent of single",
        lambda: Id("Dataset", conn.getObject("Image", w.id("Image", "img_u8")).getParent().getId()),
    )
    a("orphan", lambda: conn.getObject("Image", w.id("Image", "img_orphan")).getParent())
    a("project", lambda: Id("Project", img.getProject().getId()))
    a("ancestry", lambda: [x.OMERO_CLASS for x in conn.getObject("Image", w.id("Image", "img_u8")).getAncestry()])
    a("well image", lambda: [x.OMERO_CLASS for x in conn.getObject("Image", w.id("Image", "A1 f0")).getAncestry()])
    a("well", lambda: [conn.getObject("Image", w.id("Image", "A2 f1")).getParent().OMERO_CLASS])
    a("plate", lambda: Id("Screen", conn.getObject("Plate", w.id("Plate", "PL one")).getParent().getId()))
    a("dataset", lambda: ids("Project", conn.getObject("Dataset", w.id("Dataset", "D one")).listParents(), False))


@case("gateway")
def plate_grid(w, a):
    conn = w.gw("alice")
    plate = conn.getObject("Plate", w.id("Plate", "PL one"))
    a("size", lambda: plate.getGridSize())
    a("fields", lambda: plate.getNumberOfFields())
    a("labels", lambda: [plate.getRowLabels(), plate.getColumnLabels()])
    a("grid", lambda: [[Id("Well", wl.getId()) if wl else None for wl in row] for row in plate.getWellGrid(0)])
    well = conn.getObject("Well", w.id("Well", "B2"))
    a(
        "well",
        lambda: [
            well.getWellPos(),
            well.row,
            well.column,
            Id("Image", well.getImage(1).getId()),
            well.countWellSample(),
        ],
    )
    a("acquisitions", lambda: [[Id("PlateAcquisition", x.getId()), x.getName()] for x in plate.listPlateAcquisitions()])
    a(
        "orphan plate",
        lambda: [
            conn.getObject("Plate", w.id("Plate", "pl orphan")).getGridSize(),
            conn.getObject("Plate", w.id("Plate", "pl orphan")).getNumberOfFields(),
        ],
    )


@case("gateway")
def image_properties(w, a):
    conn = w.gw("alice")
    for n in ("img_u8", "img_u16", "img_f32"):
        img = conn.getObject("Image", w.id("Image", n))
        a(
            n,
            lambda: {
                "size": [img.getSizeX(), img.getSizeY(), img.getSizeZ(), img.getSizeC(), img.getSizeT()],
                "type": img.getPixelsType(),
                "range": img.getPixelRange(),
                "pixel size": [img.getPixelSizeX(), img.getPixelSizeY(), img.getPixelSizeZ()],
                "units": str(img.getPixelSizeY(units=True)),
                "labels": img.getChannelLabels(),
                "rois": img.getROICount(),
                "fileset": img.getFileset(),
                "files": list(img.getImportedImageFiles()),
                "author": img.getAuthor(),
                "acquired": img.getAcquisitionDate(),
                "rgb": [c.getColor().getHtml() for c in img.getChannels()],
                "window": [
                    [c.getWindowMin(), c.getWindowMax(), c.getWindowStart(), c.getWindowEnd(), c.isActive()]
                    for c in img.getChannels()
                ],
                "wave": [c.getEmissionWave() for c in img.getChannels()],
                "pyramid": img.requiresPixelsPyramid(),
                "lut": [c.getLut() for c in img.getChannels()],
            },
        )


@case("gateway")
def get_planes(w, a):
    pix = w.gw("alice").getObject("Image", w.id("Image", "img_i16")).getPrimaryPixels()
    a("plane", lambda: pix.getPlane(1, 0, 2)[:2].tolist())
    a("tile", lambda: pix.getTile(0, 0, 1, (2, 3, 4, 2)).tolist())
    a("planes", lambda: [int(p.sum()) for p in pix.getPlanes([(0, 0, 0), (1, 0, 1)])])
    a("dtype", lambda: pix.getPlane().dtype.str)
    a("outside", lambda: pix.getPlane(9, 0, 0))


@case("gateway")
def group_switch(w, a):
    conn = w.gw("bob")
    a("current", lambda: conn.getGroupFromContext().getName())
    a("setGroupForSession", lambda: conn.setGroupForSession(w.group("rw")))
    a(
        "after",
        lambda: [
            conn.getGroupFromContext().getName(),
            sorted(x.getName() for x in conn.getObjects("Dataset") if x.getName().startswith("D ")),
        ],
    )
    a("revert", lambda: conn.revertGroupForSession())
    a("foreign group", lambda: conn.setGroupForSession(w.group("solo")))
    a("groups", lambda: Bag(Id("ExperimenterGroup", g.getId()) for g in conn.getGroupsMemberOf()))
    a("leader of", lambda: Bag(Id("ExperimenterGroup", g.getId()) for g in conn.getGroupsLeaderOf()))
    a("user", lambda: [conn.getUser().getName(), conn.getUser().getFullName(), conn.isAdmin()])
    a("members", lambda: conn.groupSummary(w.group("ra"))[1].__len__())


@case("gateway")
def set_and_save(w, a):
    conn = w.gw("alice")
    d = omero.gateway.DatasetWrapper(conn, omero.model.DatasetI())
    d.setName("from the wrapper")
    d.save()
    a("id", lambda: d.getId() > 0)
    a("description", lambda: d.getDescription())
    d.setDescription("new")
    a("save", lambda: (d.save(), conn.getObject("Dataset", d.getId()).getDescription())[1])
    a("date", lambda: d.getDate() is not None)
    a("simpleMarshal", lambda: sorted(d.simpleMarshal()))


@case("gateway")
def annotation_objects(w, a):
    conn = w.gw("alice")
    for n in ("map", "Tag A", "comment", "rating", "double", "bool", "term", "xml", "file"):
        a(
            n,
            lambda: [
                (x.__class__.__name__, x.getNs(), x.getValue() if n != "file" else x.getFileName())
                for x in conn.getObjects("Annotation", [w.id("Annotation", n)])
            ],
        )
    a("by ns", lambda: ids("Annotation", conn.getObjects("MapAnnotation", attributes={"ns": "conf.map"})))
    a(
        "links",
        lambda: [
            [Id("Image", x.parent.id.val), Id("Annotation", x.child.id.val)]
            for x in conn.getAnnotationLinks("Image", ann_ids=[w.id("Annotation", "map")])
        ],
    )
    a(
        "with annotations",
        lambda: [ids("Image", conn.getObjectsByAnnotations("Image", [w.id("Annotation", "Tag A")]), False)],
    )
    a("map annotations", lambda: ids("Image", conn.getObjectsByMapAnnotations("Image", key="a", value="3"), False))
    a("map wildcard", lambda: ids("Image", conn.getObjectsByMapAnnotations("Image", value="3*"), False))


@case("gateway")
def roi_service(w, a):
    s = w.sf("alice").getRoiService()
    r = s.findByImage(w.id("Image", "img_u16"), None)
    a("findByImage", lambda: r.rois)
    a("options", lambda: s.findByImage(w.id("Image", "img_u16"), omero.api.RoiOptions()).rois.__len__())
    a("none", lambda: s.findByImage(w.id("Image", "img_u8"), None).rois)
    a("unknown image", lambda: s.findByImage(99999999, None).rois)
    a("findByRoi", lambda: [len(x.copyShapes()) for x in s.findByRoi(w.id("Roi", "roi 1"), None).rois])
    a("count", lambda: w.gw("alice").getObject("Image", w.id("Image", "img_u16")).getROICount("Rectangle"))


@case("gateway")
def container_service(w, a):
    s = w.sf("alice").getContainerService()
    a("getImages", lambda: [x.name for x in s.getImages("Image", [w.id("Image", "img_u8")], None)])
    a("one image", lambda: s.getImages("Image", [w.id("Image", "img_u8")], None))
    a(
        "images of dataset",
        lambda: Bag(Id("Image", x.id.val) for x in s.getImages("Dataset", [w.id("Dataset", "D one")], None)),
    )
    a("count", lambda: list(s.getCollectionCount("Dataset", "imageLinks", [w.id("Dataset", "D one")], None).values()))
    a(
        "hierarchy",
        lambda: s.loadContainerHierarchy("Project", [w.id("Project", "P one")], omero.sys.ParametersI().noLeaves()),
    )
    a(
        "with leaves",
        lambda: len(
            s.loadContainerHierarchy("Dataset", [w.id("Dataset", "D one")], omero.sys.ParametersI().leaves())[
                0
            ].linkedImageList()
        ),
    )
    a("unknown class", lambda: s.loadContainerHierarchy("Nope", [1], None))
    a(
        "null ids",
        lambda: len(
            s.loadContainerHierarchy(
                "Screen", None, omero.sys.ParametersI().exp(omero.rtypes.rlong(w.id("Experimenter", "alice")))
            )
        ),
    )


@case("gateway")
def metadata_service(w, a):
    s = w.sf("alice").getMetadataService()
    i = w.id("Image", "img_u16")
    a(
        "loadAnnotations",
        lambda: {
            Id("Image", k).id == i: Bag(x.__class__.__name__ for x in v)
            for k, v in s.loadAnnotations("Image", [i], [], [], None).items()
        },
    )
    a(
        "loadSpecifiedAnnotations",
        lambda: Bag(
            Id("Annotation", x.id.val) for x in s.loadSpecifiedAnnotations("MapAnnotation", ["conf.map"], [], None)
        ),
    )
    a("countSpecified", lambda: s.countSpecifiedAnnotations("MapAnnotation", ["conf.map"], [], None))
    a("loadChannelAcquisitionData", lambda: len(s.loadChannelAcquisitionData([w.id("LogicalChannel", "img_u16 c0")])))


@case("gateway")
def config_and_types(w, a):
    c = w.sf("alice").getConfigService()
    a("version", lambda: c.getVersion())
    a("uuid", lambda: len(c.getDatabaseUuid()))
    a("client value", lambda: c.getConfigValue("omero.client.ui.tree.orphans.name"))
    a("upgrades url is visible", lambda: bool(c.getConfigValue("omero.upgrades.url")))
    a("unknown", lambda: c.getConfigValue("no.such.key"))
    a("private", lambda: c.getConfigValue("omero.db.pass"))
    a("setting", lambda: c.setConfigValue("x.y", "z"))
    a("max plane", lambda: w.gw("alice").getMaxPlaneSize())
    t = w.sf("alice").getTypesService()
    a("enumeration", lambda: t.getEnumeration("PixelsType", "float").bitSize)
    a("all", lambda: sorted(x.value.val for x in t.allEnumerations("AcquisitionMode"))[:5])
    a("unknown type", lambda: t.allEnumerations("Nope"))
    a("unknown value", lambda: t.getEnumeration("PixelsType", "nope"))
