"""HQL projections and aggregates."""

from omero.rtypes import rint

from embedded_omero.conformance import R
from embedded_omero.conformance import hql_rows as p

IMG, PL, AL = R("Image", "img_u16"), R("Plate", "PL one"), R("Experimenter", "alice")
ROIS, RO = R("Roi", "roi 1"), R("ExperimenterGroup", "ro")

p("max_row_column", "select max(row), max(column) from Well where plate.id = :id", id=PL)
p("min_max_index", "select minIndex(ws), maxIndex(ws) from Well w join w.wellSamples ws where w.plate.id=:oid", oid=PL)
p("count_rois", "select count(*) from Roi as roi where roi.image.id = :imageId", imageId=IMG)
p(
    "plate_grid",
    "select well.row, well.column, img.id, img.name, author.lastName, well.id, img.acquisitionDate, "
    "img.details.creationEvent.time, img.description from Well well join well.wellSamples ws join ws.image img join img.details.owner author "
    "where well.plate.id = :id and index(ws) = :wsidx",
    "- - Image - - Well",
    id=PL,
    wsidx=rint(1),
)
p(
    "index_as_long_parameter",
    "select w.id from Well w join w.wellSamples ws where w.plate.id=:id and index(ws) = :i",
    "Well",
    id=PL,
    i=1,
)
p(
    "annotation_counts",
    "select sum( case when an.ns = :ratingns and an.class = LongAnnotation then 1 else 0 end), sum( case when "
    "(an.ns is null or an.ns != :ratingns) and an.class = LongAnnotation then 1 else 0 end), sum( case when an.class != LongAnnotation "
    "then 1 else 0 end ), type(an.class) from Annotation an where an.id in (select distinct(ann.id) from ImageAnnotationLink ial "
    "join ial.child as ann join ial.parent as i where i.id in (:ids)) group by an.class",
    ratingns="openmicroscopy.org/omero/insight/rating",
    ids=[IMG],
)
p("pixels_size", "select pixels.sizeX, pixels.sizeY from Pixels pixels where pixels.image.id = :id", id=IMG)
p(
    "new_map_images",
    "select new map(image.id as id, image.archived as archived, image.name as name, image.details.owner.id as ownerId, "
    "image as image_details_permissions, image.fileset.id as filesetId ) from Image image join image.datasetLinks dlink "
    "where dlink.parent.id = :did order by lower(image.name), image.id",
    {"id": "Image", "ownerId": "Experimenter"},
    did=R("Dataset", "D one"),
)
p(
    "new_map_id_pairs",
    "select new map( i.id as im_id, p.id as pix_id ) from Pixels as p join p.image as i where i.id in (:ids)",
    ids=[],
)
p(
    "map_entity_only",
    "select new map(project.name as name, project as project_details_permissions, (select count(id) from "
    "ProjectDatasetLink pdl where pdl.parent = project.id) as childCount) from Project project where project.details.owner.id = :id "
    "order by lower(project.name), project.id",
    id=AL,
)
p(
    "map_screens",
    "select new map(screen.name as name, (select count(spl.id) from ScreenPlateLink spl where spl.parent=screen.id) "
    "as childCount) from Screen screen where screen.details.owner.id = :id order by lower(screen.name), screen.id",
    id=AL,
)
p(
    "map_orphan_plates",
    "select new map(plate.name as name, (select count(pa.id) from PlateAcquisition pa where pa.plate.id=plate.id) "
    "as childCount) from Plate plate where plate.details.owner.id = :id and not exists ( select splink from ScreenPlateLink as splink "
    "where splink.child = plate.id ) order by lower(plate.name), plate.id",
    id=AL,
)
p(
    "map_acquisitions",
    "select new map(pa.name as name, pa.startTime as startTime, pa.endTime as endTime) from PlateAcquisition pa "
    "where pa.plate.id = :pid order by pa.id",
    pid=PL,
)
p(
    "tag_tree",
    "select new map(tag.textValue as textValue, tag.description as description, tag.ns as ns, (select count(aalink2) from "
    "AnnotationAnnotationLink aalink2 where aalink2.child.class=TagAnnotation and aalink2.parent.id=tag.id) as tagChildCount, "
    "(select count(aalink3) from ImageAnnotationLink aalink3 where aalink3.child.id=tag.id) as imageChildCount) from TagAnnotation tag "
    "where tag.details.owner.id=:o order by tag.id",
    o=AL,
)
p(
    "channel_names",
    "select lc.name, lc.emissionWave.value, index(chan) from Pixels p join p.image as img join p.channels as chan "
    "join chan.logicalChannel as lc where img.id = :id order by index(chan)",
    id=IMG,
)
p(
    "emission_unit",
    "select lc.emissionWave.unit, lc.emissionWave from LogicalChannel lc where lc.id=:id",
    id=R("LogicalChannel", "img_u16 c0"),
)
p(
    "physical_size",
    "select p.physicalSizeX.value, p.physicalSizeY.unit, p.physicalSizeZ from Pixels p where p.id=:id",
    id=R("Pixels", "img_u16"),
)
p(
    "not_in_subquery",
    "select i.name from Image i where i.name like :n and i.id in (select l.child.id from DatasetImageLink l "
    "where l.parent.id=:d) order by i.name desc",
    n="img_%",
    d=R("Dataset", "D one"),
)
p(
    "groups",
    "select grp.id, grp.name, grp.details.permissions from ExperimenterGroup grp where grp.id in (:ids) order by lower(grp.name)",
    "ExperimenterGroup",
    ids=[R("ExperimenterGroup", g) for g in ("private", "ro", "ra", "rw")],
)
p(
    "experimenter_strings",
    "select distinct experimenter.id, experimenter.omeName, experimenter.firstName, experimenter.lastName, "
    "experimenter.email from Experimenter experimenter where experimenter.id = :id",
    "Experimenter",
    id=AL,
)
p(
    "null_sum",
    "select count(link), sum(link.parent.size) from PixelsOriginalFileMap as link where link.id in ( select "
    "distinct(i_link.id) from PixelsOriginalFileMap as i_link where i_link.child.image.id in (:ids))",
    ids=[IMG],
)
p(
    "orphan_count",
    "select count(image.id) from Image image where image.details.owner.id = :id and not exists ( select dilink from "
    "DatasetImageLink as dilink where dilink.child.id = image.id ) and not exists ( select ws from WellSample ws where ws.image.id = image.id )",
    id=AL,
)
p(
    "count_distinct",
    "select count(distinct obj) from Well obj join obj.details.owner as owner left outer join obj.wellSamples as "
    "wellSamples left outer join wellSamples.image as image where obj.plate.id = :pid",
    pid=PL,
)
p(
    "path_to_image",
    "select coalesce(powner.id, downer.id, iowner.id), pdlink.parent.id, dilink.parent.id, (select count(id) from "
    "DatasetImageLink dil where dil.parent=dilink.parent.id), image.id, image.details.group.id as groupId from Image image join "
    "image.details.owner iowner left outer join image.datasetLinks dilink left outer join dilink.parent.details.owner downer left outer "
    "join dilink.parent.projectLinks pdlink left outer join pdlink.parent.details.owner powner where image.id = :iid order by "
    "coalesce(powner.id, downer.id, iowner.id), pdlink.parent.id, dilink.parent.id, image.id",
    "Experimenter Project Dataset - Image ExperimenterGroup",
    iid=IMG,
)
p(
    "free_tags",
    "select ann.id, ann.textValue, ann.description from TagAnnotation ann where ann.id not in (select distinct l.child.id "
    "from AnnotationAnnotationLink l join l.parent as ts where ts.ns = :ns) and ann.ns is null and ann.details.owner.id=:o",
    "Annotation",
    ns="openmicroscopy.org/omero/insight/tagset",
    o=AL,
)
p(
    "tagsets",
    "select aal.parent.id, aal.child.id, aal.parent.description, aal.parent.textValue from AnnotationAnnotationLink aal "
    "inner join aal.parent ann where ann.ns=:ns",
    "Annotation Annotation",
    ns="openmicroscopy.org/omero/insight/tagset",
)
p(
    "images_by_key_value",
    "SELECT i.id FROM Image i JOIN i.annotationLinks al JOIN al.child ann JOIN ann.mapValue as nv "
    "WHERE nv.name = :key AND nv.value = :value",
    "Image",
    key="a",
    value="3",
)
p(
    "images_by_tag_type",
    "SELECT i.id FROM Image i JOIN i.annotationLinks al JOIN al.child a WHERE a.textValue=:tagvalue AND "
    "TYPE(a)=TagAnnotation",
    "Image",
    tagvalue="Tag A",
)
p(
    "images_of_project",
    "SELECT i.id FROM Project p JOIN p.datasetLinks pdl JOIN pdl.child d JOIN d.imageLinks dil JOIN dil.child i "
    "WHERE p.id=:project",
    "Image",
    project=R("Project", "P one"),
)
p(
    "images_of_well",
    "SELECT i.id FROM Well w JOIN w.wellSamples ws JOIN ws.image i WHERE w.id=:well",
    "Image",
    well=R("Well", "A3"),
)
p(
    "wells_at",
    "SELECT w.id FROM Plate pl JOIN pl.wells w WHERE pl.id=:plate AND w.row=:row AND w.column=:column",
    "Well",
    plate=PL,
    row=rint(1),
    column=rint(2),
)
p("row_as_long_parameter", "SELECT w.id FROM Well w WHERE w.row=:row", "Well", row=1)
p("shapes_of_roi", "SELECT s.id FROM Shape s WHERE s.roi.id=:roi_id", "Shape", roi_id=ROIS)
p("concat_null", "SELECT o.path||o.name, o.repo||o.name FROM OriginalFile o where o.name='notes.csv'")
p(
    "rois_by_theta_join",
    "SELECT r.id FROM Roi r, DatasetImageLink dil, ProjectDatasetLink pdl WHERE dil.child=r.image AND "
    "dil.parent=pdl.child AND pdl.parent.id=:id",
    "Roi",
    id=R("Project", "p two"),
)
p(
    "size_of_collection",
    "select d.name, size(d.imageLinks) from Dataset d where d.details.owner.id=:o order by d.name",
    o=AL,
)
p(
    "group_by_having",
    "select l.parent.name, count(l.id) from DatasetImageLink l where l.details.owner.id=:o group by l.parent.name "
    "having count(l.id) > 1 order by l.parent.name",
    o=AL,
)
p("count_by_type", "select a.class, count(a) from Annotation a where a.details.owner.id=:o group by a.class", o=AL)
p(
    "rtypes",
    "select i.name, i.archived, i.id, p.sizeX, p.physicalSizeX.value, i.acquisitionDate, i.description, i.details.creationEvent.time "
    "from Image i join i.pixels p where i.id=:id",
    "- - Image",
    id=IMG,
)
p(
    "bool_and_double",
    "select b.boolValue, d.doubleValue, t.timeValue, l.longValue from BooleanAnnotation b, DoubleAnnotation d, "
    "TimestampAnnotation t, LongAnnotation l where b.ns='conf.num' and d.ns='conf.num' and t.ns='conf.num' and l.details.owner.id=:o",
    o=AL,
)
p(
    "arithmetic",
    "select p.sizeX * p.sizeY, p.sizeX / 5, p.sizeX / 5.0, p.sizeX + 0.5, -p.sizeX, mod(p.sizeX, 5) from Pixels p where p.id=:id",
    id=R("Pixels", "img_u16"),
)
p(
    "avg_sum_min",
    "select avg(p.sizeX), sum(p.sizeX), min(p.sizeX), max(p.sizeX), count(p) from Pixels p join p.image i join "
    "i.datasetLinks l where l.parent.id=:d",
    d=R("Dataset", "D one"),
)
p(
    "literals",
    "select 1, 'a', 1.5, true, cast(p.sizeX as string), cast(p.sizeX as double) from Pixels p where p.id=:id",
    id=R("Pixels", "img_u16"),
)
p(
    "case_when",
    "select case when d.name = 'D one' then 'first' else d.name end from Dataset d where d.details.owner.id=:o order by d.id",
    o=AL,
)
p(
    "string_functions",
    "select lower(d.name), upper(d.name), length(d.name), substring(d.name, 1, 3), concat(d.name, '!'), trim(d.name) "
    "from Dataset d where d.name='D one'",
)
p("like_escape", "select d.name from Dataset d where d.name like 'D\\_one'")
p("like_case", "select d.name from Dataset d where d.name like 'd %' and d.details.owner.id=:o order by d.name", o=AL)
p(
    "between_and_not",
    "select i.name from Image i join i.pixels p where p.sizeX between 8 and 16 and not i.name = 'img_f32' and "
    "i.name like 'img%' order by i.name",
)
p(
    "null_comparisons",
    "select p.name from Project p where p.description != 'first project' and p.details.owner.id=:o order by p.name",
    o=AL,
)
p(
    "null_order",
    "select p.name, p.description from Project p where p.details.owner.id=:o order by p.description, p.name",
    o=AL,
)
p(
    "null_order_desc",
    "select p.name, p.description from Project p where p.details.owner.id=:o order by p.description desc, p.name",
    o=AL,
)
p(
    "left_join_null",
    "select d.name, i.name from Dataset d left outer join d.imageLinks l left outer join l.child i where "
    "d.details.owner.id=:o order by d.name, i.name",
    o=AL,
)
p(
    "implicit_inner_join",
    "select l.child.name from DatasetImageLink l where l.parent.projectLinks.size > 1 order by l.child.name",
)
p("implicit_path_null", "select i.name, i.fileset.templatePrefix from Image i where i.id=:id", id=IMG)
p("entity_column", "select d, d.details.owner.omeName from Dataset d where d.id=:id", id=R("Dataset", "d two"))
p(
    "entity_unfetched_owner",
    "select l.child from DatasetImageLink l where l.parent.id=:id order by l.child.id",
    id=R("Dataset", "d two"),
)
p(
    "permissions_column",
    "select d.details.permissions from Dataset d where d.name in ('D alice ra', 'D bob ra') order by d.name",
)
p("permissions_perm1", "select d.details.permissions.perm1 from Dataset d where d.id=:id", id=R("Dataset", "D one"))
p("empty_result", "select d.id from Dataset d where d.id = -1", "Dataset")
p("count_empty", "select count(d), max(d.id), sum(d.id) from Dataset d where d.id = -1")
p("page", "select i.name from Image i where i.name like 'img_%' order by i.name", page=(1, 2))
p("page_limit_zero", "select i.name from Image i where i.name like 'img_%' order by i.name", page=(0, 0))
p(
    "in_without_parentheses",
    "select d.name from Dataset d where d.id in :ids order by d.name",
    ids=[R("Dataset", "D one"), R("Dataset", "d two")],
)
p(
    "member_of",
    "select p.name from Project p where :d in (select l.child.id from p.datasetLinks l) order by p.name",
    d=R("Dataset", "D one"),
)
p("in_elements", "select w.row, w.column from Well w where :ws in elements(w.wellSamples)", ws=R("WellSample", "B1 f1"))
p("collection_index", "select w.wellSamples[0].id from Well w where w.id=:id", "WellSample", id=R("Well", "B1"))
p(
    "exists_correlated",
    "select i.name from Image i where exists (select r from Roi r where r.image = i) order by i.name",
)
p("order_by_alias", "select d.name as n from Dataset d where d.details.owner.id=:o order by n", o=AL)
p("order_by_position", "select d.name from Dataset d where d.details.owner.id=:o order by 1", o=AL)
p("keywords_upper_case", "SELECT D.name FROM Dataset D WHERE D.id = :id", id=R("Dataset", "D one"))
p(
    "event_log",
    "SELECT count(*) FROM EventLog WHERE action = 'INSERT' AND entityType = 'ome.model.containers.Dataset' AND entityId = :id",
    id=R("Dataset", "D one"),
)
p("jobs", "select count(j) from Job j join j.status s where s.value = 'nope'")
p(
    "all_groups_ctx",
    "select d.name, d.details.group.name from Dataset d where d.details.group.id in (:g) order by d.name",
    who="alice@-1",
    g=[R("ExperimenterGroup", "private"), RO],
)
p("other_group_ctx", "select d.name from Dataset d order by d.name", who="alice@ro")
p("id_as_string_parameter", "select d.name from Dataset d where d.id = :id", id="1")
p("name_as_long_parameter", "select d.name from Dataset d where d.name = :n", n=1)
