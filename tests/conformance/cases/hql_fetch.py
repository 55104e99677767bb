"""HQL returning entities: which relations are loaded, duplicates, polymorphism, ordering, paging."""

from embedded_omero.conformance import R, case, objs, query
from embedded_omero.conformance import hql_objects as q

IMG = R("Image", "img_u16")
OWNER = "join fetch obj.details.owner as owner left outer join fetch obj.details.externalInfo join fetch obj.details.creationEvent "

# what BlitzGateway.getObjects sends
for cls, names in (
    ("Project", ("P one", "p two")),
    ("Dataset", ("D one",)),
    ("Image", ("img_u16", "img_u8")),
    ("Screen", ("S one",)),
    ("PlateAcquisition", ("PA one",)),
    ("Well", ("A1", "B3")),
):
    q(
        "getObjects_" + cls,
        f"select obj from {cls} obj " + OWNER + "where obj.id in (:ids)",
        ids=[R(cls, n) for n in names],
    )
q("getObjects_ordered", "select obj from Project obj " + OWNER + "order by lower(obj.name), obj.id")
q("getObjects_by_name", "select obj from Image obj " + OWNER + "where obj.name=:name", name="img_u16")
q("getObjects_missing", "select obj from Image obj " + OWNER + "where obj.id in (:ids)", ids=[99999999])
q("getObjects_empty_ids", "select obj from Image obj " + OWNER + "where obj.id in (:ids)", ids=[])
q(
    "group_members",
    "select obj from ExperimenterGroup as obj left outer join fetch obj.groupExperimenterMap as map "
    "left outer join fetch map.child e where obj.id in (:ids)",
    ids=[R("ExperimenterGroup", "ra"), R("ExperimenterGroup", "solo")],
)
q(
    "experimenter_groups",
    "select obj from Experimenter as obj left outer join fetch obj.groupExperimenterMap as groupExperimenterMap "
    "left outer join fetch groupExperimenterMap.parent g where obj.id in (:ids)",
    ids=[R("Experimenter", "bob")],
)
q(
    "plate_with_screens",
    "select obj from Plate as obj join fetch obj.details.owner as owner join fetch obj.details.creationEvent "
    "left outer join fetch obj.screenLinks spl left outer join fetch spl.parent sc where obj.id in (:ids)",
    ids=[R("Plate", "PL one"), R("Plate", "pl orphan")],
)
q(
    "annotation_links",
    "select l from ImageAnnotationLink as l join fetch l.details.owner join fetch l.details.creationEvent "
    "join fetch l.child as a join fetch a.details.owner left outer join fetch a.file join fetch a.details.creationEvent "
    "where l.parent.id=:id",
    id=IMG,
)
q(
    "link_annotations_ordered",
    "select oal from ImageAnnotationLink as oal join fetch oal.details.creationEvent "
    "join fetch oal.details.owner left outer join fetch oal.child as ch left outer join fetch oal.parent as pa "
    "join fetch ch.details.creationEvent join fetch ch.details.owner left outer join fetch ch.file as file "
    "where pa.id in (:ids) order by ch.ns, ch.id",
    ids=[IMG],
)
q("bare_from", "from DatasetImageLink as c where c.child.id=:id", id=R("Image", "img_f32"))
q("enumeration", "from PixelsType as p where p.value='uint8'")
q("image_bare", "select i from Image i where i.id=:id", id=IMG)
q("image_pixels", "select i from Image i left outer join fetch i.pixels where i.id=:id", id=IMG)
q(
    "image_channels",
    "select obj from Image obj left outer join fetch obj.pixels as pixels left outer join fetch pixels.pixelsType "
    "join fetch pixels.channels as channels join fetch channels.logicalChannel as logicalChannel "
    "left outer join fetch logicalChannel.photometricInterpretation left outer join fetch logicalChannel.illumination "
    "left outer join fetch logicalChannel.mode left outer join fetch logicalChannel.contrastMethod where obj.id in (:ids)",
    ids=[IMG],
)
q(
    "pixels_channels",
    "select p from Pixels p join fetch p.channels as c join fetch c.logicalChannel as lc where p.id=:pid",
    pid=R("Pixels", "img_u16"),
)
q(
    "wells_of_plate",
    "select well from Well as well join fetch well.details.creationEvent join fetch well.details.owner "
    "join fetch well.details.group left outer join fetch well.plate as pt left outer join fetch well.wellSamples as ws "
    "left outer join fetch ws.image as img where well.plate.id = :oid",
    oid=R("Plate", "PL one"),
)
q(
    "wells_ordered",
    "select obj from Well obj left outer join fetch obj.wellSamples as wellSamples "
    "left outer join fetch wellSamples.image as image left outer join fetch wellSamples.plateAcquisition as plateAcquisition "
    "where obj.plate.id = :pid order by obj.column, obj.row, obj.id",
    pid=R("Plate", "PL one"),
)
q(
    "children_of_dataset",
    "select c from DatasetImageLink as c join fetch c.child as ch left outer join fetch ch.annotationLinks as ial "
    "left outer join fetch ial.child as a where c.parent.id=:dsid order by c.child.name",
    dsid=R("Dataset", "D one"),
)
q(
    "root_duplicates",
    "select d from Dataset d join fetch d.imageLinks l join fetch l.child where d.id=:id",
    id=R("Dataset", "D one"),
)
q(
    "root_duplicates_distinct",
    "select distinct d from Dataset d join fetch d.imageLinks l join fetch l.child where d.id=:id",
    id=R("Dataset", "D one"),
)
q(
    "join_without_fetch_duplicates",
    "select d from Dataset d join d.imageLinks l where d.id=:id",
    id=R("Dataset", "D one"),
)
q(
    "join_without_fetch_distinct",
    "select distinct d from Dataset d join d.imageLinks l where d.id=:id",
    id=R("Dataset", "D one"),
)
q(
    "nested_fetch",
    "select p from Project p left outer join fetch p.datasetLinks pdl left outer join fetch pdl.child d "
    "left outer join fetch d.imageLinks dil left outer join fetch dil.child i where p.id=:id",
    id=R("Project", "P one"),
)
q(
    "project_of_image",
    "select p from Image i join i.datasetLinks dl join dl.parent ds join ds.projectLinks pl join pl.parent p "
    "where i.id = :id order by p.id",
    id=IMG,
)
q("roi_shapes", "select r from Roi r left outer join fetch r.shapes where r.image.id = :id", id=IMG)
q(
    "polymorphic_annotation",
    "select a from Annotation a where a.ns like 'conf.%' and a.details.owner.id=:o",
    o=R("Experimenter", "alice"),
)
q(
    "polymorphic_class_filter",
    "select a from Annotation a where a.class = TagAnnotation and a.details.owner.id=:o order by a.id",
    o=R("Experimenter", "alice"),
)
q("polymorphic_shape", "select s from Shape s where s.roi.image.id=:id", id=IMG)
q("map_annotation_values", "select a from MapAnnotation a join fetch a.mapValue where a.ns='conf.map'")
q("map_annotation_bare", "select a from MapAnnotation a where a.ns='conf.map'")
q(
    "file_annotation",
    "select obj from FileAnnotation obj join fetch obj.details.owner as owner join fetch obj.details.creationEvent "
    "join fetch obj.file where obj.ns = 'conf.file'",
)
q(
    "tags_in_set",
    "select tg from TagAnnotation tg where exists ( select aal from AnnotationAnnotationLink as aal "
    "where aal.child.id=tg.id and aal.parent.id=:tid)",
    tid=R("Annotation", "Set 1"),
)
q(
    "orphan_images",
    "select obj from Image obj join fetch obj.details.owner as owner where not exists (select obl from DatasetImageLink "
    "as obl where obl.child=obj.id) and not exists ( select ws from WellSample as ws where ws.image=obj.id) and owner.id = (:eid) "
    "order by lower(obj.name)",
    eid=R("Experimenter", "alice"),
)
q(
    "file_by_image_obj_chain",
    "select obj0 from Dataset obj0 join fetch obj0.imageLinks obj1 join fetch obj1.child obj2 "
    "left outer join fetch obj0.annotationLinks links left outer join fetch links.child as f left outer join fetch links.parent "
    "left outer join fetch f.file join fetch links.details.owner join fetch links.details.creationEvent "
    "where obj2.id=:id and (f.ns=:ns or f.file.mimetype=:mt)",
    id=IMG,
    ns="conf.file",
    mt="text/csv",
)
q(
    "page_of_images",
    "select i from Image i where i.details.owner.id=:o order by i.id",
    o=R("Experimenter", "alice"),
    page=(2, 3),
)
q(
    "page_with_fetch",
    "select d from Dataset d left outer join fetch d.imageLinks where d.details.owner.id=:o order by d.id",
    o=R("Experimenter", "alice"),
    page=(0, 2),
)
q("page_beyond_end", "select d from Dataset d order by d.id", page=(1000, 5))
q(
    "other_owner",
    "select d from Dataset d join fetch d.details.owner where d.details.owner.id=:o",
    o=R("Experimenter", "bob"),
)
q(
    "case_sensitive_order",
    "select d from Dataset d where d.details.owner.id=:o order by d.name",
    o=R("Experimenter", "alice"),
)
q("shape_with_roi", "select s from Shape s join fetch s.roi where s.id = :id", id=R("Shape", "roi 1/0"))
q(
    "well_of_image",
    "select well from Well as well join fetch well.details.creationEvent join fetch well.details.owner "
    "join fetch well.details.group join fetch well.plate as pt left outer join fetch well.wellSamples as ws "
    "left outer join fetch ws.image as img where ws.image.id = :oid",
    oid=R("Image", "A2 f1"),
)
q(
    "screens_of_well",
    "select s from Well w left outer join w.plate p left outer join p.screenLinks spl left outer join spl.parent s "
    "where spl.parent.id=s.id and spl.child.id=p.id and w.plate.id=p.id and w.id=:id",
    id=R("Well", "B2"),
)
q(
    "channel_stats",
    "select c from Channel c left outer join fetch c.statsInfo where c.pixels.id=:id",
    id=R("Pixels", "img_u16"),
)
q(
    "with_clause",
    "select d from Dataset d left outer join d.imageLinks l with l.child.id = :i where l.id is null and "
    "d.details.owner.id=:o order by d.id",
    i=IMG,
    o=R("Experimenter", "alice"),
)
q(
    "two_froms",
    "select i from Image i, DatasetImageLink l where l.child=i and l.parent.id=:d order by i.id",
    d=R("Dataset", "D one"),
)


@case("hql")
def select_two_entities(w):
    """findAllByQuery with two select items."""
    return objs(w, "alice", "select d, l from Dataset d join d.imageLinks l where d.id=:id", id=R("Dataset", "d two"))


@case("hql")
def select_scalar_by_find(w, a):
    a("column", lambda: objs(w, "alice", "select d.name from Dataset d where d.id=:id", id=R("Dataset", "d two")))
    a("count", lambda: objs(w, "alice", "select count(d) from Dataset d where d.id=:id", id=R("Dataset", "d two")))


@case("hql")
def find_by_query(w, a):
    def one(hql, **kw):
        return query(w, "alice", "findByQuery", hql, **kw)

    a("one", lambda: one("select d from Dataset d where d.id=:id", id=R("Dataset", "D one")))
    a("none", lambda: one("select d from Dataset d where d.id=-1"))
    a("several", lambda: one("select d from Dataset d"))
    a(
        "several with fetch of one",
        lambda: one("select d from Dataset d join fetch d.imageLinks where d.id=:id", id=R("Dataset", "D one")),
    )
    a(
        "same several times",
        lambda: one("select d from Dataset d join d.imageLinks l where d.id=:id", id=R("Dataset", "D one")),
    )


@case("hql")
def get_and_find(w, a):
    s = w.sf("alice").getQueryService()
    a("get", lambda: s.get("Dataset", w.id("Dataset", "D one")))
    a("find", lambda: s.find("Dataset", w.id("Dataset", "D one")))
    a("get missing", lambda: s.get("Dataset", 99999999))
    a("find missing", lambda: s.find("Dataset", 99999999))
    a("get unknown class", lambda: s.get("Nope", 1))
    a("get abstract class", lambda: s.get("Annotation", w.id("Annotation", "Tag A")))
    a("get subclass", lambda: s.get("TagAnnotation", w.id("Annotation", "Tag A")))
    a("get wrong subclass", lambda: s.get("MapAnnotation", w.id("Annotation", "Tag A")))
    a("get with I", lambda: s.get("DatasetI", w.id("Dataset", "D one")))
    a("get with package", lambda: s.get("ome.model.containers.Dataset", w.id("Dataset", "D one")))
    a("omero.model name", lambda: s.get("omero.model.Dataset", w.id("Dataset", "D one")))
    a("get image", lambda: s.get("Image", w.id("Image", "img_u16")))
    a("get pixels", lambda: s.get("Pixels", w.id("Pixels", "img_u16")))
    a("get experimenter", lambda: s.get("Experimenter", w.id("Experimenter", "bob")))
    a("get link", lambda: s.get("ProjectDatasetLink", w.id("ProjectDatasetLink", "P one > D one")))


@case("hql")
def find_by_string_and_example(w, a):
    import omero

    s = w.sf("alice").getQueryService()
    a("findByString", lambda: s.findByString("Dataset", "name", "D one"))
    a("findByString none", lambda: s.findByString("Dataset", "name", "zzz"))
    a(
        "findAllByString like",
        lambda: sorted(d.name.val for d in s.findAllByString("Dataset", "name", "D %", True, None)),
    )
    a(
        "findAllByString case",
        lambda: sorted(d.name.val for d in s.findAllByString("Dataset", "name", "d one", False, None)),
    )
    a("findAll Project", lambda: sorted(p.name.val for p in s.findAll("Project", None)))
    ex = omero.model.DatasetI()
    ex.name = omero.rtypes.rstring("D one")
    a("findByExample", lambda: s.findByExample(ex))
    a("findAllByExample", lambda: s.findAllByExample(ex, None))
