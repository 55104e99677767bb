"""What queries answer: joins, conditions, groups, order, subqueries, errors, on a small database."""

from __future__ import annotations

import omero
import pytest
from omero.rtypes import rbool, rint, robject, rstring

from embedded_omero.hql.errors import HqlSemanticError
from tests.embedded.hql_world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


PROJECTS = ["P1", "p2"]
# Queries of one column with what they answer; names in braces in the parameters stand for ids.
COLUMNS = {
    # joins
    "select d.name from Project p join p.datasetLinks l join l.child d where p.id = 1 order by d.name": ["D1", "d2"],
    "select p.name from Image i join i.datasetLinks dl join dl.parent ds join ds.projectLinks pl join pl.parent p "
    "where i.name = 'b.tif' order by p.name": ["P1", "P1", "p2"],
    "select i.name from Dataset d left outer join d.imageLinks l left outer join l.child i where d.name = 'D3'": [None],
    "select d.name from Dataset d join d.imageLinks l join l.child i where d.name = 'D3'": [],
    "select d.name from Dataset d left join d.imageLinks l with l.child.id = 1 where l.id is null "
    "order by d.name": ["D3", "d2"],
    "select l.parent.name from DatasetImageLink l where l.child.name = 'b.tif' order by l.parent.name": ["D1", "d2"],
    "select i.name from Image i, DatasetImageLink l where l.child = i and l.parent.name = 'D1' order by i.id":
        ["a.tif", "b.tif"],
    "select s.parent.name from Plate p left join p.screenLinks s where p.name like 'pl%'": [],
    "select i.fileset.templatePrefix from Image i where i.name like '%.tif'": ["ann/"],
    "select nv.name from Image i join i.annotationLinks l join l.child a join a.mapValue nv order by 1": ["k", "l"],
    "select i.name from Image i join i.annotationLinks l join l.child a join a.mapValue nv "
    "where nv.name = 'l' and nv.value = '2'": ["b.tif"],
    "select o.name from ImageAnnotationLink l join l.child a join a.file o": ["a.ome"],
    "select a.ns from Annotation a left join a.file where a.ns = 'rating' or a.file.name = 'a.ome' order by a.ns":
        ["file", "rating"],  # a path goes through a join which has no alias
    "select a.ns from Annotation a left join a.file f where a.ns = 'rating' or a.file.name = 'a.ome'": ["file"],
    "select count(*) from PlaneInfo i join fetch i.deltaT": None,
    "select w.id from WellSample s left join s.well.plate p left join p.screenLinks k join s.well w "
    "where k.parent.id = 1 and s.id = 3": [2],
    "select i.name from Image i, OriginalFile o where o.size = 12 and i.name || 'x' = o.name || 'x'": [],
    "select o.name from Image i, OriginalFile o, FilesetEntry e where e.clientPath = o.name and i.fileset = e.fileset":
        ["a.ome"],
    "select count(*) from Image i, Image j where i.description = j.description": [1],
    "select count(nv) from MapAnnotation a join a.mapValue nv where index(nv) = 1": [1],
    # conditions
    "select p.name from Project p where p.description <> 'other'": ["P1"],
    "select p.name from Project p where not p.description = 'other'": ["P1"],
    "select p.name from Project p where p.description is null": ["p2"],
    "select p.name from Project p where p.description = null": [],
    "select p.name from Project p where p.description = 'x' or p.name = 'p2'": ["p2"],
    "select p.name from Project p where not (p.description = 'x' and p.name = 'P1')": PROJECTS,
    "select p.name from Project p where p.name not in ('P1', null)": [],
    "select p.name from Project p where p.name in ('P1', null)": ["P1"],
    "select p.name from Project p where p.description not in ('x')": ["P1"],
    "select i.name from Image i where i.name like '_.tif' and i.name not like 'b%' order by i.name": ["a.tif", "c.tif"],
    "select o.name from OriginalFile o where o.name like 'a\\_ome'": [],
    "select o.name from OriginalFile o where o.name like 'a!.%' escape '!'": ["a.ome"],
    "select p.sizeX from Pixels p join p.image i where i.name like '%.tif' and p.sizeX between 9 and 32 order by p.id":
        [16, 32],
    "select w.id from Well w where size(w.wellSamples) = 2 and w.row = 0 and w.column = 1": [2],
    "select d.name from Dataset d where d.imageLinks.size = 2 order by d.id": ["D1", "d2"],
    "select d.name from Dataset d where d.imageLinks is empty": ["D3"],
    "select w.row from Well w where w.wellSamples[1].id = 2": [0],
    "select w.row from Well w where w.wellSamples[0] = 3 and w.wellSamples[7].id is null": [0],
    "select w.row from Well w where 1 in (w.id, w.row - 5)": [0],
    "select p.id from Plate p where 3 in elements(p.screenLinks)": [],
    "select p.id from Plate p where 1 in elements(p.screenLinks)": [1],
    "select count(*) from Pixels p where p.physicalSizeX is not null": [1],
    "select i.name from Image i where i.id = '1'": ["a.tif"],
    "select a.ns from Annotation a where a.class = MapAnnotation or a.class in (LongAnnotation)": ["rating", "map"],
    "select a.textValue from Annotation a where type(a) = TagAnnotation order by a.id": ["tag", "other", "set"],
    "select t.textValue from TagAnnotation t where t.details.owner.omeName = 'ann' and t.ns is not null": ["set"],
    # names without an alias
    "select name from Project where description = 'first'": ["P1"],
    "select child.textValue from ImageAnnotationLink where parent.name = 'a.tif' and child.ns is null": ["tag"],
    # subqueries
    "select i.name from Image i where not exists (select l from DatasetImageLink l where l.child = i.id) and not "
    "exists (select s from WellSample s where s.image = i)": ["orphan"],
    "select i.name from Image i where i.id in (select l.child.id from DatasetImageLink l where l.parent.name = 'd2') "
    "order by i.name": ["b.tif", "c.tif"],
    "select (select count(id) from DatasetImageLink l where l.parent = d.id) from Dataset d order by d.id": [2, 2, 0],
    "select (select max(l.child.name) from DatasetImageLink l where l.parent = d.id) from Dataset d order by d.id":
        ["b.tif", "c.tif", None],
    "select p.name from Project p where :d2 in (select l.child.id from p.datasetLinks l)": ["P1"],
    "select (select size(d2.imageLinks) from Dataset d2 where d2.id = d.id) from Dataset d order by d.id": [2, 2, 0],
    "select d.name from Dataset d where 1 < (select count(*) from DatasetImageLink l join l.child i where l.parent = d "
    "and i.name <> 'a.tif')": ["d2"],
    # order
    "select p.description from Project p order by p.description": ["first", None],
    "select p.description from Project p order by p.description desc": [None, "first"],
    "select d.name from Dataset d order by d.name": ["D1", "D3", "d2"],
    "select d.name from Dataset d order by lower(d.name) desc": ["D3", "d2", "D1"],
    "select d.name as n from Dataset d order by n": ["D1", "D3", "d2"],
    "select d.name from Dataset d order by 1": ["D1", "D3", "d2"],
    # aggregates
    "select count(*) from Well": [4],
    "select count(distinct l.child) from ImageAnnotationLink l": [5],
    "select max(d.id) from Dataset d where d.id = -1": [None],
    "select sum(p.sizeX) from Pixels p join p.image i join i.datasetLinks l where l.parent.name = 'D1'": [24],
    "select avg(p.sizeX) from Pixels p join p.image i where i.name in ('a.tif', 'c.tif')": [20.0],
    "select l.parent.name from DatasetImageLink l group by l.parent.name having count(l) > 1 order by l.parent.name":
        ["D1", "d2"],
    "select count(p.description) from Project p": [1],
    "select l.parent.name from ImageAnnotationLink l group by l.parent.name having count(*) > 2": ["b.tif"],
    # computations
    "select case when d.name = 'D1' then 'first' else d.name end from Dataset d order by d.id": ["first", "d2", "D3"],
    "select case d.name when 'D1' then 1 end from Dataset d order by d.id": [1, None, None],
    "select coalesce(p.description, p.name) from Project p order by p.id": ["first", "p2"],
    "select p.name || '!' from Project p where p.name = upper(p.name)": ["P1!"],
    "select p.description || '!' from Project p order by p.id": ["first!", None],
    "select -p.sizeX / 3 from Pixels p where p.id = 1": [-2],
    "select 1.5 / 0.5 from Pixels p where p.id = 1": [3.0],
    "select concat('a', 2.0, 1 = 1) from Pixels p where p.id = 1": ["a2true"],
    "select locate('b', 'abb') + locate('b', 'abb', 3) from Pixels p where p.id = 1": [5],
    "select count(distinct type(a.class)) from Annotation a": [4],
    "select mod(p.sizeX, 3) + p.sizeY * 0.5 from Pixels p where p.id = 1": [10.0],
    "select substring(i.name, 3, 2) from Image i where i.id = 1": ["ti"],
    "select cast(p.sizeX as string) from Pixels p where p.id = 1": ["8"],
    "select extract(epoch from e.time) from Event e where e.id = 2": [1],
    "select x.physicalSizeX.value from Pixels x where x.physicalSizeX.unit = 'MICROMETER'": [0.5],
    "select d.details.permissions.perm1 from Dataset d where d.id = 1": [-40],
    "select lc.name from Pixels p join p.channels c join c.logicalChannel lc where p.image.id = 2 and index(c) = 1":
        ["GFP"],
}  # fmt: skip


@pytest.mark.parametrize("indexes", [True, False])
@pytest.mark.parametrize("query", COLUMNS)
def test_columns(world, query, indexes):
    expected = COLUMNS[query]
    if expected is None:  # a fetch join has to start from what is selected
        with pytest.raises(HqlSemanticError, match="owner of the fetched association was not present"):
            world.rows(query)
        return
    assert world.column(query, indexes=indexes, d2=world["d2"]) == expected


def test_several_columns(world):
    assert world.rows(
        "select w.row, w.column, i.name, index(s) from Well w join w.wellSamples s join s.image i "
        "where w.plate.id = :id and index(s) = :i order by w.row, w.column desc", id=world["PL"], i=rint(1)
    ) == [(0, 1, "A2.1", 1), (0, 0, "A1.1", 1), (1, 1, "B2.1", 1), (1, 0, "B1.1", 1)]  # fmt: skip
    assert world.rows("select max(row), max(column), count(*) from Well where plate.name = 'nope'") == [(None, None, 0)]
    assert world.rows("select minIndex(s), maxIndex(s) from Well w join w.wellSamples s") == [(0, 1)]
    assert world.rows("select l.parent.name, count(*) from DatasetImageLink l group by l.parent.name order by 1") == [
        ("D1", 2), ("d2", 2)
    ]  # fmt: skip
    assert world.rows("select distinct l.child.id, l.child.name from DatasetImageLink l where l.parent.id in (:ids)",
                      ids=[world["D1"], world["d2"]]) == [(1, "a.tif"), (2, "b.tif"), (3, "c.tif")]  # fmt: skip


def test_hidden_records_take_no_part():
    world = World()
    link = next(world.store.where("DatasetImageLink", child=world["a.tif"]))
    world.caller.hidden = {world["b.tif"], link, world["d2"]}
    assert world.column("select i.name from Image i where i.name like '_.tif' order by i.id") == ["a.tif", "c.tif"]
    query = "select i.name from Dataset d left join d.imageLinks l left join l.child i where d.id = 1"
    assert world.column(query) == ["b.tif"]  # what a reference leads to is not looked at again
    assert world.column("select count(*) from DatasetImageLink l where l.parent.id = 1") == [1]
    assert world.column("select d.name from Dataset d where d.id in (:ids)", ids=[1, 2, 3]) == ["D1", "D3"]
    linked = "exists (select l from DatasetImageLink l where l.parent = d and l.child.id = 1)"
    assert world.column(f"select d.id from Dataset d where {linked}") == []
    world.caller.hidden = {world.store.get("WellSample", 1)}
    assert world.rows("select index(s), s.id from Well w join w.wellSamples s where w.id = 1") == [(1, 2)]


def test_parameters_of_a_with_clause_match_nothing(world):
    """Recorded from a server; literals work."""
    query = "select count(*) from Dataset d left join d.imageLinks l with l.child.id = {} where l.id is null"
    assert world.column(query.format("1")) == [2]
    assert world.column(query.format(":id"), id=1) == [3]


def test_text_is_escaped_by_its_quotes_only(world):
    assert world.column("select p.name from Project p where p.name = 'x'' or ''1''=''1'") == []


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("select x from Nope x", "Nope is not mapped"),
        ("select d.nope from Dataset d", "could not resolve property: nope of: ome.model.containers.Dataset"),
        ("select d from Dataset d where d.foo.bar = 1", "could not resolve property: foo of: ome.model.containers"),
        ("select d from Dataset d join d.foo", "could not resolve property: foo of: ome.model.containers.Dataset"),
        ("select e.details.owner.id from Experimenter e", "could not resolve property: owner of: ome.model.meta"),
        ("select x from Dataset d", "IdentNode: 'x'"),
        ("select x.name from Dataset d", "Invalid path: 'x.name'"),
        ("select nosuch(d.id) from Dataset d", "IdentNode: 'nosuch'"),
        ("select lower() from Dataset d", "IdentNode: 'lower'"),
        ("select d from Dataset d where d.imageLinks.id = 1", "illegal attempt to dereference collection"),
        ("select d.name from Dataset d join fetch d.imageLinks", "role=ome.model.containers.Dataset.imageLinks"),
        ("select w.wellSamples[0].id from Well w", '"rhs" is null'),
        ("select index(w) from Well w", "indexed collection"),
        ("select index(w.id) from Well w", "indexed collection"),
        ("select w from Well w where size(w.plate) = 1", "w.plate is not a collection"),
        ("select w from Well w where size(w.id + 1) = 1", "size() needs a path"),
        ("select w from Well w where size(nope) = 1", "Invalid path: 'nope'"),
        ("select w from Well w join nope.x", "Invalid path: 'nope.x'"),
        ("select w from Well w join w.row", "cannot dereference scalar: row"),
        ("select w from Well w where w.wellSamples[0].image.name = 'x'", "could not resolve property: image.name"),
        ("select w.wellSamples from Well w", "illegal attempt to dereference collection"),
        ("select p.physicalSizeX.nope from Pixels p", "could not resolve property: nope of: physicalSizeX"),
        ("select w.id from Pixels p join p.physicalSizeX x join x.value w", "could not resolve property: value"),
        ("select cast(w.id as thing) from Well w", "requested type for CAST : thing"),
        ("select d from Dataset d left join d.imageLinks l with l.child.name = 'x'", "with clause"),
    ],
)
def test_names_which_mean_nothing(world, query, message):
    with pytest.raises(HqlSemanticError) as caught:
        world.rows(query)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("select d from Dataset d where d.name = 1", omero.ApiUsageException),
        ("select d from Dataset d where d.id like 'x'", omero.ApiUsageException),
        ("select d from Dataset d where foo = 1", omero.ApiUsageException),
        ("select d from Dataset d where nosuch(d.id) = 1", omero.ApiUsageException),
        ("select d from Dataset d where count(d) = 1", omero.ApiUsageException),
        ("select d.name, count(d) from Dataset d", omero.ApiUsageException),
        ("select d.name from Dataset d group by d.id, d.name having d.description = 'x' order by d.id", None),
        ("select d.name from Dataset d group by d.name order by d.description", omero.ApiUsageException),
        ("select distinct d.name from Dataset d order by d.id", omero.ApiUsageException),
        ("select distinct d from Dataset d order by d.name", None),
        ("select size(d.imageLinks) from Dataset d", omero.ApiUsageException),
        ("select id from Image i join i.pixels p", omero.ApiUsageException),
        ("select d from Dataset d where d.id = 'x'", omero.ValidationException),
        ("select 1 / (d.id - d.id) from Dataset d", omero.ValidationException),
        ("select (select l.id from DatasetImageLink l where l.parent = d) from Dataset d", omero.ValidationException),
        ("select w from Well w where :ids in elements(w.wellSamples)", omero.ValidationException),
        ("select l from DatasetImageLink l where l.parent.projectLinks.size > 1", omero.ValidationException),
        ("select d from Dataset d order by 2", omero.ApiUsageException),
        ("select d from Dataset d where d.id in (select i.id, i.name from Image i)", omero.ApiUsageException),
    ],
)
def test_what_the_database_refuses(world, query, error):
    if error is None:
        world.rows(query)
        return
    with pytest.raises(error) as caught:
        world.rows(query, ids=1)
    assert caught.value.message == "could not execute query"


D_BY_ID = "select d.name from Dataset d where d.id = :x"


@pytest.mark.parametrize(
    ("query", "value", "expected"),
    [
        (D_BY_ID, 1, ["D1"]),
        (D_BY_ID, [1], ["D1"]),
        ("select d.name from Dataset d where d.id in (:x)", 1, ["D1"]),
        ("select d.name from Dataset d where d.id in :x order by d.id", [1, 2], ["D1", "d2"]),
        ("select d.name from Dataset d where d = :x", robject(omero.model.DatasetI(1, False)), ["D1"]),
        (D_BY_ID, rint(1), omero.InternalException),
        (D_BY_ID, "1", omero.InternalException),
        (D_BY_ID, [1, 2], omero.ApiUsageException),
        (D_BY_ID, [], omero.ApiUsageException),
        ("select d.name from Dataset d where d.id in (:x)", [], omero.ApiUsageException),
        ("select d.name from Dataset d where d.id in (:x)", ["1"], omero.InternalException),
        ("select d.name from Dataset d where d.name = :x", 1, omero.InternalException),
        ("select d.name from Dataset d where d = :x", 1, omero.InternalException),
        ("select w.id from Well w where w.row = :x", 1, omero.InternalException),
        ("select w.id from Well w where :x < w.row", rint(0), [3, 4]),
        ("select w.id from Well w where :x < w.row", 0, omero.InternalException),
        ("select w.id from Well w join w.wellSamples s where index(s) = :x", 1, omero.InternalException),
        ("select m.id from GroupExperimenterMap m where m.owner = :x", rbool(True), []),
        ("select m.id from GroupExperimenterMap m where m.owner = :x", rstring("t"), omero.InternalException),
        ("select d.name from Dataset d where d.id = :y", 1, omero.ApiUsageException),
    ],
)
def test_parameters_are_checked_strictly(world, query, value, expected):
    if isinstance(expected, list):
        assert world.column(query, x=value) == expected
        return
    with pytest.raises(expected):
        world.rows(query, x=value)
