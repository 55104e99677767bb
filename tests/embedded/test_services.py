"""The services which read: containers, annotations, ROIs, enumerations, settings."""

import omero
import omero.gateway
import pytest
from omero.rtypes import rdouble, rint, rlong, rstring

from embedded_omero import dispatch


class Data:
    """Saves objects of one user through the update service."""

    def __init__(self, conn):
        self.conn = conn
        self.update = conn.getUpdateService()

    def save(self, cls, **values):
        obj = getattr(omero.model, cls + "I")()
        for name, value in values.items():
            setattr(obj, name, value)
        return self.update.saveAndReturnObject(obj, self.conn.SERVICE_OPTS)

    def named(self, cls, name, **values):
        return self.save(cls, name=rstring(name), **values)

    def link(self, cls, parent, child):
        """Objects come back from a save as graphs: links refer to what is saved by id."""
        ends = [obj.__class__(obj.id.val, False) for obj in (parent, child)]
        return self.save(cls, parent=ends[0], child=ends[1])


@pytest.fixture
def data(omero_conn):
    return Data(omero_conn)


def ids(objects):
    return sorted(o.id.val for o in objects)


def of(conn):
    """Parameters for what a user owns."""
    return omero.sys.ParametersI().exp(rlong(conn.getUserId()))


# -- IContainer


@pytest.fixture
def tree(data):
    """Two projects, a dataset in both, two images in it, and one image on its own."""
    made = {n: data.named("Project", n) for n in ("P", "Q")} | {"D": data.named("Dataset", "D")}
    made |= {n: data.named("Image", n) for n in ("i", "j", "alone")}
    for project in "PQ":
        data.link("ProjectDatasetLink", made[project], made["D"])
    for image in "ij":
        data.link("DatasetImageLink", made["D"], made[image])
    return made


def test_hierarchy_is_loaded_as_deep_as_asked(omero_conn, tree):
    service = omero_conn.getContainerService()
    [project] = service.loadContainerHierarchy("Project", [tree["P"].id.val], None)
    [dataset] = project.linkedDatasetList()
    assert dataset.name.val == "D"
    assert dataset.sizeOfImageLinks() == -1
    [project] = service.loadContainerHierarchy("Project", [tree["P"].id.val], omero.sys.ParametersI().leaves())
    assert sorted(i.name.val for i in project.linkedDatasetList()[0].linkedImageList()) == ["i", "j"]


def test_hierarchy_of_a_user_with_and_without_orphans(omero_conn, data, tree):
    orphan = data.named("Dataset", "orphan")
    service = omero_conn.getContainerService()
    assert ids(service.loadContainerHierarchy("Project", None, of(omero_conn))) == ids([tree["P"], tree["Q"]])
    with_orphans = service.loadContainerHierarchy("Project", None, of(omero_conn).orphan())
    assert [x.name.val for x in with_orphans if isinstance(x, omero.model.Dataset)] == [orphan.name.val]
    with pytest.raises(omero.ApiUsageException):
        service.loadContainerHierarchy("Project", None, None)


def test_images_of_containers(omero_conn, data, tree):
    service = omero_conn.getContainerService()
    expected = ids([tree["i"], tree["j"]])
    for name, cls in (("D", "Dataset"), ("P", "Project")):
        assert ids(service.getImages(cls, [tree[name].id.val], None)) == expected
    assert ids(service.getUserImages(of(omero_conn))) == ids([tree[n] for n in ("i", "j", "alone")])
    assert len(service.getImages("Dataset", [tree["D"].id.val], omero.sys.ParametersI().page(1, 5))) == 1
    for bad in (("Tag", [1]), ("Image", [])):
        with pytest.raises(omero.ApiUsageException):
            service.getImages(*bad, None)


def test_images_of_a_plate(omero_conn, data, tree):
    plate = data.named("Plate", "plate")
    well = omero.model.WellI()
    well.plate, well.row, well.column = omero.model.PlateI(plate.id.val, False), rint(0), rint(0)
    sample = omero.model.WellSampleI()
    sample.image = omero.model.ImageI(tree["alone"].id.val, False)
    well.addWellSample(sample)
    well = data.update.saveAndReturnObject(well)
    service = omero_conn.getContainerService()
    for cls, id in (("Plate", plate.id.val), ("Well", well.id.val)):
        assert ids(service.getImages(cls, [id], None)) == ids([tree["alone"]])


def test_counts_of_collections(omero_conn, tree):
    service = omero_conn.getContainerService()
    dataset, image = tree["D"].id.val, tree["alone"].id.val
    assert service.getCollectionCount("Dataset", "imageLinks", [dataset], None) == {dataset: 2}
    assert service.getCollectionCount("ome.model.core.Image", "datasetLinks", [image, 99999999], None) == {image: 0}
    with pytest.raises(omero.ApiUsageException, match="invalid property"):
        service.getCollectionCount("Dataset", "name", [dataset], None)


def test_filesets_which_a_selection_would_split(omero_conn, data, tree):
    fileset = data.save("Fileset", templatePrefix=rstring("x/"))
    for name in ("i", "j", "alone"):
        image = omero_conn.getQueryService().get("Image", tree[name].id.val)
        image.fileset = omero.model.FilesetI(fileset.id.val, False)
        data.update.saveObject(image)
    service = omero_conn.getContainerService()
    split = service.getImagesBySplitFilesets({"Dataset": [tree["D"].id.val]}, None)
    assert split == {fileset.id.val: {True: ids([tree["i"], tree["j"]]), False: [tree["alone"].id.val]}}
    assert service.getImagesBySplitFilesets({"Fileset": [fileset.id.val]}, None) == {}


def test_what_others_may_not_see_is_not_there(connect, make_user):
    owner, other = make_user("closed", "rw----"), make_user("closed")
    mine, theirs = Data(connect(owner)), connect(other)
    dataset, image = mine.named("Dataset", "D"), mine.named("Image", "I")
    mine.link("DatasetImageLink", dataset, image)
    container = theirs.getContainerService()
    assert container.getImages("Image", [image.id.val], None) == []
    assert container.loadContainerHierarchy("Dataset", [dataset.id.val], None) == []
    assert theirs.getMetadataService().loadAnnotations("Image", [image.id.val], [], [], None) == {}
    assert container.getCollectionCount("Dataset", "imageLinks", [dataset.id.val], None) == {}


# -- IMetadata


@pytest.fixture
def annotated(data):
    """An image with a tag, a file and a comment."""
    image = data.named("Image", "annotated")
    file = data.save("OriginalFile", name=rstring("f.txt"), path=rstring("/"))
    made = {
        "tag": data.save("TagAnnotation", textValue=rstring("t"), ns=rstring("lab.tag")),
        "file": data.save("FileAnnotation", file=omero.model.OriginalFileI(file.id.val, False), ns=rstring("lab.file")),
        "comment": data.save("CommentAnnotation", textValue=rstring("c")),
    }
    for annotation in made.values():
        data.link("ImageAnnotationLink", image, annotation)
    return made | {"image": image}


@pytest.mark.parametrize(
    ("types", "annotators", "expected"),
    [
        ([], "nobody", {"tag", "file", "comment"}),
        (["ome.model.annotations.FileAnnotation"], "nobody", {"file"}),
        (["TextAnnotation"], "nobody", {"tag", "comment"}),
        ([], "me", {"tag", "file", "comment"}),
        ([], "others", set()),
    ],
)
def test_annotations_of_images(omero_conn, annotated, types, annotators, expected):
    users = {"nobody": [], "me": [omero_conn.getUserId()], "others": [0]}[annotators]
    image = annotated["image"].id.val
    found = omero_conn.getMetadataService().loadAnnotations("Image", [image], types, users, None)
    assert list(found) == [image]
    assert ids(found[image]) == ids([annotated[n] for n in expected])


def test_files_come_with_their_annotations(omero_conn, annotated):
    [annotation] = omero_conn.getMetadataService().loadAnnotation([annotated["file"].id.val])
    assert annotation.file.name.val == "f.txt"
    assert annotation.details.owner.omeName.val == omero_conn.getUser().getName()
    [listed] = omero_conn.listFileAnnotations(eid=omero_conn.getUserId())
    assert listed.getFileName() == "f.txt"


@pytest.mark.parametrize(
    ("include", "exclude", "count"), [([], [], 1), (["lab.tag"], [], 1), (["other"], [], 0), ([], ["lab.tag"], 0)]
)
def test_annotations_by_namespace(omero_conn, annotated, include, exclude, count):
    service, mine = omero_conn.getMetadataService(), of(omero_conn)
    assert len(service.loadSpecifiedAnnotations("TagAnnotation", include, exclude, mine)) == count
    assert service.countSpecifiedAnnotations("TagAnnotation", include, exclude, mine).val == count
    image = annotated["image"].id.val
    linked = service.loadSpecifiedAnnotationsLinkedTo("TagAnnotation", include, exclude, "Image", [image], None)
    assert [len(v) for v in linked.values()] == [count] * count


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.loadAnnotations("Nope", [1], [], [], None), "valid class"),
        (lambda s: s.loadAnnotations("Image", [1], ["Image"], [], None), "not a class of annotations"),
        (lambda s: s.loadSpecifiedAnnotations("Image", [], [], None), "not a class of annotations"),
    ],
)
def test_bad_classes(omero_conn, call, message):
    with pytest.raises(omero.ApiUsageException, match=message):
        call(omero_conn.getMetadataService())


def test_annotations_of_what_has_none(omero_conn, data):
    pixels_type = omero_conn.getTypesService().allEnumerations("PixelsType")[0]
    with pytest.raises(omero.ApiUsageException, match="cannot be annotated"):
        omero_conn.getMetadataService().loadAnnotations("PixelsType", [pixels_type.id.val], [], [], None)


def test_acquisition_data_are_loaded_all_the_way(omero_conn, data):
    instrument = omero.model.InstrumentI()
    detector = omero.model.DetectorI()
    detector.type = omero_conn.getTypesService().getEnumeration("DetectorType", "CCD")
    instrument.addDetector(detector)
    instrument = data.update.saveAndReturnObject(instrument)
    settings = data.save("DetectorSettings", gain=rdouble(2.0),
                         detector=omero.model.DetectorI(instrument.copyDetector()[0].id.val, False))  # fmt: skip
    channel = data.save("LogicalChannel", detectorSettings=omero.model.DetectorSettingsI(settings.id.val, False))
    service = omero_conn.getMetadataService()
    [loaded] = service.loadChannelAcquisitionData([channel.id.val])
    assert loaded.detectorSettings.gain.val == 2.0
    assert loaded.detectorSettings.detector.type.value.val == "CCD"
    found = service.loadInstrument(instrument.id.val)
    assert [d.type.value.val for d in found.copyDetector()] == ["CCD"]
    assert found.copyObjective() == []
    assert service.loadInstrument(99999999) is None


# -- IRoi


@pytest.fixture
def rois(data):
    """An image with two ROIs: a rectangle on plane (1, 0) and a point on all of them."""
    image = data.named("Image", "with rois")
    made = []
    planes = {"Rectangle": {"theZ": rint(1), "theT": rint(0)}, "Point": {"x": rdouble(1), "y": rdouble(2)}}
    for cls, values in planes.items():
        roi = omero.model.RoiI()
        roi.image = omero.model.ImageI(image.id.val, False)
        shape = getattr(omero.model, cls + "I")()
        for name, value in values.items():
            setattr(shape, name, value)
        roi.addShape(shape)
        made.append(data.update.saveAndReturnObject(roi))
    return image.id.val, made


def shapes(result):
    return [[type(s).__name__ for s in r.copyShapes()] for r in result.rois]


def test_rois_of_an_image_and_of_a_plane(omero_conn, rois):
    image, made = rois
    service = omero_conn.getRoiService()
    assert shapes(service.findByImage(image, None)) == [["RectangleI"], ["PointI"]]
    assert shapes(service.findByPlane(image, 1, 0, None)) == [["RectangleI"], ["PointI"]]
    assert shapes(service.findByPlane(image, 0, 0, None)) == [["PointI"]]
    assert shapes(service.findByRoi(made[1].id.val, None)) == [["PointI"]]
    assert service.findByRoi(99999999, None).rois == []


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 2), ({"userId": 0}, 0), ({"groupId": 0}, 0), ({"limit": 1}, 1), ({"limit": 5, "offset": 1}, 1)],
)
def test_roi_options(omero_conn, rois, options, count):
    wrap = {"userId": rlong, "groupId": rlong, "limit": rint, "offset": rint}
    given = omero.api.RoiOptions()
    for name, value in options.items():
        setattr(given, name, wrap[name](value))
    assert len(omero_conn.getRoiService().findByImage(rois[0], given).rois) == count


# -- ITypes


def test_enumerations(omero_conn):
    assert "PixelsType" in omero_conn.getEnumerations()
    entries = omero_conn.getEnumerationsWithEntries()
    assert {e.getValue() for e in entries["PixelsTypeI"]} >= {"uint8", "float"}
    assert omero_conn.getEnumeration("PixelsType", "uint16").bitSize == 16
    assert "TagAnnotation" in omero_conn.getTypesService().getAnnotationTypes()
    with pytest.raises(omero.ApiUsageException, match="not an enumeration"):
        omero_conn.getTypesService().allEnumerations("Image")


def test_only_administrators_add_enumerations(omero_conn, connect):
    new = omero.model.FormatI()
    new.value = rstring("a format of our own")
    with pytest.raises(omero.SecurityViolation):
        omero_conn.getTypesService().createEnumeration(new)
    made = connect().getTypesService().createEnumeration(new)
    assert omero_conn.getEnumeration("Format", "a format of our own").getId() == made.id.val


# -- IConfig


def test_users_read_only_what_is_public(omero_conn, connect, omero_server):
    config, admins = omero_conn.getConfigService(), connect().getConfigService()
    assert config.getConfigValue("omero.security.password_required") == "true"
    for key in ("omero.data.dir", "omero.db.pass", "omero.client_secret"):
        with pytest.raises(omero.SecurityViolation, match="Cannot read configuration"):
            config.getConfigValue(key)
    assert admins.getConfigValue("omero.data.dir") == str(omero_server.data_dir)
    assert admins.getConfigValue("no.such.key") == ""
    assert set(config.getConfigValues("omero")) < set(admins.getConfigValues("omero"))
    assert omero_conn.canCreate() is True
    with pytest.raises(omero.ApiUsageException, match="regular expression"):
        config.getConfigValues("(")


def test_only_administrators_change_settings(omero_conn, connect):
    config, admins = omero_conn.getConfigService(), connect().getConfigService()
    key = "omero.client.viewer.roi_limit"
    for change in (lambda: config.setConfigValue(key, "5"), lambda: config.setConfigValueIfEquals(key, "5", "2000"),
                   lambda: config.getConfigDefaults()):  # fmt: skip
        with pytest.raises(omero.SecurityViolation, match="No matching roles"):
            change()
    assert admins.setConfigValueIfEquals(key, "5", "wrong") is False
    assert admins.setConfigValueIfEquals(key, "5", "2000") is True
    assert config.getClientConfigValues()[key] == "5"
    assert config.getClientConfigDefaults()[key] == "2000"
    admins.setConfigValue(key, "")
    assert config.getConfigValue(key) == "2000"


def test_identity_and_clock(omero_conn, connect):
    config = omero_conn.getConfigService()
    assert config.getVersion() == "5.6.12"
    assert config.getDatabaseUuid() == connect().getConfigService().getDatabaseUuid()
    assert config.getDatabaseTime().val <= config.getServerTime().val


def test_what_is_not_there_fails_by_name(omero_conn):
    before = dispatch.missing["IMetadata.loadTagSets"]
    with pytest.raises(omero.InternalException, match="not implemented: IMetadata.loadTagSets"):
        omero_conn.getMetadataService().loadTagSets(None)
    assert dispatch.missing["IMetadata.loadTagSets"] == before + 1
