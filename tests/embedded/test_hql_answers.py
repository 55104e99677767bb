"""Answers as clients get them: types of projected values, what of an object is loaded, exceptions."""

from __future__ import annotations

import Ice
import omero
import omero.model
import pytest
from omero.rtypes import RClassI, RObjectI, rbool, rdouble, rint, rlong, rstring, rtime, unwrap

from embedded_omero.hql import answers
from tests.embedded.hql_world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def project(world: World, hql: str, **values) -> list[list]:
    return answers.project(world.caller, hql, world.params(**values))


def find(world: World, hql: str, **values) -> list:
    return answers.find_all(world.caller, hql, world.params(**values))


PIXELS = "from Pixels p join p.image i where i.name = 'b.tif'"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"select p.sizeX, p.sizeX * 2, p.sizeX / 3, -p.sizeX {PIXELS}", [rint(16), rint(32), rint(5), rint(-16)]),
        (f"select p.id, p.id + p.sizeX {PIXELS}", [rlong(2), rlong(18)]),
        (f"select p.sizeX * 0.5, sqrt(p.sizeX) {PIXELS}", [rdouble(8), rdouble(4)]),
        (f"select count(p), sum(p.sizeX), avg(p.sizeX), max(p.sizeX) {PIXELS}",
         [rlong(1), rlong(16), rdouble(16), rint(16)]),
        (f"select i.name, length(i.name), p.physicalSizeX.value, p.physicalSizeX.unit {PIXELS}",
         [rstring("b.tif"), rint(5), rdouble(0.5), rstring("MICROMETER")]),
        ("select o.owner from GroupExperimenterMap o where o.id = 1", [rbool(False)]),
        ("select e.time from Event e where e.id = 2", [rtime(1000)]),
        ("select a.class from Annotation a where a.ns = 'map'", [rstring("/map/")]),
        ("select 1, 'a', 1.5, 2L", [rint(1), rstring("a"), rdouble(1.5), rlong(2)]),
        ("select cast(1 as string), cast('3' as long), coalesce(null, 2)", [rstring("1"), rlong(3), rint(2)]),
        ("select case when 1 = 1 then 1 else 0 end, index(s)", [rint(1), rint(1)]),
    ],
)  # fmt: skip
def test_values_keep_their_types(world, query, expected):
    if " from " not in query:
        query += " from Well w join w.wellSamples s where s.id = 2"
    (row,) = project(world, query)
    assert row == expected
    assert [type(v) for v in row] == [type(v) for v in expected]


def test_values_which_are_maps(world):
    (row,) = project(world, f"select p.physicalSizeX, i.details.permissions {PIXELS}")
    assert unwrap(row[0]) == {"value": 0.5, "unit": "MICROMETER", "symbol": "µm"}
    rights = dict.fromkeys(("canAnnotate", "canDelete", "canEdit", "canLink", "canChgrp", "canChown"), True)
    assert unwrap(row[1]) == {"perm": "rwra--", **rights}
    query = f"select new map(i.name as name, i.fileset.id as f, i as i_details_permissions) {PIXELS}"
    ((entry,),) = project(world, query)
    assert unwrap(entry) == {"name": "b.tif", "f": None, "i_details_permissions": {"perm": "rwra--", **rights}}


def test_classes_and_objects(world):
    ((kind, tag),) = project(world, "select type(t), t from Annotation t where t.textValue = 'tag'")
    assert isinstance(kind, RClassI)
    assert kind.val == "ome.model.annotations.TagAnnotation"
    assert isinstance(tag, RObjectI)
    assert isinstance(tag.val, omero.model.TagAnnotationI)
    assert not tag.val.details.owner.isLoaded()
    ((child,),) = project(world, "select l.child from DatasetImageLink l where l.id = 1")
    assert child.val.isLoaded()


def test_nulls_and_values_without_a_type(world):
    assert project(world, "select p.description from Project p order by p.id") == [[rstring("first")], []]
    assert project(world, "select sum(p.sizeX) from Pixels p where p.id = -1") == [[]]
    assert project(world, "select p.description, p.description from Project p where p.name = 'p2'") == [[None, None]]
    assert project(world, "select i.fileset from Image i where i.name = 'b.tif'") == []
    assert project(world, "select p.id, true, p.name from Project p where p.id = 1") == [[rlong(1)]]


def test_only_what_is_fetched_is_loaded(world):
    (bare,) = find(world, "select i from Image i where i.id = :id", id=world["b.tif"])
    assert not bare.isPixelsLoaded()
    assert not bare.details.owner.isLoaded()
    assert bare.details.group.isLoaded()
    (image,) = find(world, "select i from Image i left join fetch i.pixels p join fetch p.channels c "
                           "join fetch c.logicalChannel where i.id = :id", id=world["b.tif"])  # fmt: skip
    pixels = image.getPrimaryPixels()
    assert pixels.image is image
    assert not pixels.pixelsType.isLoaded()
    assert [unwrap(c.logicalChannel.name) for c in pixels.copyChannels()] == ["DAPI", "GFP"]
    (dataset,) = find(world, "select d from Dataset d left join fetch d.imageLinks where d.name = 'D3'")
    assert dataset.copyImageLinks() == []


def test_an_object_is_loaded_wherever_it_is_referred_to(world):
    (link,) = find(world, "select l from ImageAnnotationLink l join fetch l.details.owner join fetch l.child a "
                          "left join fetch a.file f where f.name = 'a.ome'")  # fmt: skip
    owner = link.details.owner
    assert owner.isLoaded()
    assert owner is link.child.details.owner is link.child.file.details.owner
    assert not link.parent.isLoaded()


def test_what_is_always_loaded(world):
    (image,) = find(world, "select i from Image i where i.name = 'A1.1'")
    (sample,) = image.copyWellSamples()
    assert sample.isLoaded()
    assert not sample.well.isLoaded()
    for shape in find(world, "select s from Shape s where s.roi.image.id = :id", id=world["b.tif"]):
        assert shape.roi.isLoaded()
        assert not shape.roi.isShapesLoaded()


def test_indexed_collections_have_holes_for_what_was_not_fetched(world):
    (well,) = find(world, "select w from Well w left join fetch w.wellSamples s left join fetch s.image i "
                          "where i.name = 'A2.1'")  # fmt: skip
    first, second = well.copyWellSamples()
    assert first is None
    assert unwrap(second.image.name) == "A2.1"


@pytest.mark.parametrize(
    ("query", "page", "names"),
    [
        ("select d from Dataset d join d.imageLinks order by d.id", None, ["D1", "D1", "d2", "d2"]),
        ("select d from Dataset d join d.imageLinks order by d.id", (1, 2), ["D1", "d2"]),
        ("select distinct d from Dataset d join d.imageLinks order by d.id", None, ["D1", "d2"]),
        ("select d from Dataset d join fetch d.imageLinks order by d.id", None, ["D1", "d2"]),
        ("select d from Dataset d join fetch d.imageLinks order by d.id", (1, 5), ["d2"]),
        ("select d from Dataset d join fetch d.imageLinks order by d.id", (0, 1), ["D1"]),
        ("select d from Dataset d join fetch d.details.owner join d.imageLinks order by d.id", (0, 2), ["D1", "D1"]),
        ("from Dataset d order by d.id", (0, 0), []),
        ("from Dataset d order by d.id", (-3, 2), ["D1", "d2"]),
        ("from Dataset d order by d.id", (1, -1), ["d2", "D3"]),
        ("from Dataset d order by d.id", (9, 1), []),
    ],
)
def test_repeated_objects_and_pages(world, query, page, names):
    params = world.params()
    if page:
        params.page(*page)
    found = answers.find_all(world.caller, query, params)
    assert [unwrap(d.name) for d in found] == names
    if "fetch d.imageLinks" in query:
        assert all(d.sizeOfImageLinks() == 2 for d in found)


def test_the_only_object(world):
    def one(hql):
        return answers.find_one(world.caller, hql)

    assert one("select d from Dataset d where d.id = -1") is None
    assert unwrap(one("select d from Dataset d join d.imageLinks l where d.id = 1").name) == "D1"
    with pytest.raises(omero.ApiUsageException) as caught:
        one("from Dataset")
    assert caught.value.message.split("\n\t") == ["Query named:", "from Dataset", "has returned more than one Object\n"
                                                  "findBy methods must return a single value."]  # fmt: skip


@pytest.mark.parametrize("selected", ["d.name", "d, d", "new map(d as d)"])
def test_finders_return_one_object_per_row_only(world, selected):
    query = f"select {selected} from Dataset d"
    with pytest.raises(Ice.UnknownLocalException):
        find(world, query)
    assert find(world, query + " where d.id = -1") == []


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("", omero.QueryException, "Illegal query:\nunexpected end of subtree []"),
        ("hello", omero.QueryException, "Illegal query:hello\nnode to traverse cannot be null!"),
        ("from Nope", omero.QueryException, "Illegal query:from Nope\nNope is not mapped [from Nope]"),
        ("delete from Dataset", omero.ApiUsageException,
         "Not supported for DML operations [delete from ome.model.containers.Dataset]"),
        ("update Dataset set name = 'x'", omero.ApiUsageException,
         "Not supported for DML operations [update ome.model.containers.Dataset set name = 'x']"),
        ("select d from Dataset d where d.id = :id", omero.ApiUsageException, "Null parameters not allowed: id"),
        ("from Dataset d where d.name = ':id'", omero.ApiUsageException, "Invalid filter-parameter name format"),
        ("select d from Dataset d where d.name = 'at 12:30'", None, ""),
    ],
)  # fmt: skip
def test_exceptions(world, query, error, message):
    for ask in (find, project):
        if error is None:
            assert ask(world, query) == []
            continue
        with pytest.raises(error) as caught:
            ask(world, query)
        assert caught.value.message == message


def test_null_parameters_are_refused_even_if_unused(world):
    params = world.params()
    params.map = {"x": None}
    with pytest.raises(Ice.UnknownException):
        answers.find_all(world.caller, "from Dataset", params)
    assert len(answers.find_all(world.caller, "from Dataset", None)) == 3
    assert len(find(world, "from Dataset", unused=1)) == 3


def test_names_of_strangers_are_hidden():
    world = World()
    ann, ben = world.users
    world.caller.is_admin = False
    world.caller.member_of = {world.group}
    query = "select e.omeName, e.id from Experimenter e order by e.id"
    assert unwrap(project(world, query)) == [["ann", 0], ["ben", 1]]
    world.store.remove(world.store.find("GroupExperimenterMap", child=ben))
    assert unwrap(project(world, query)) == [["ann", 0], ["<hidden>", 1]]
    friend, stranger = find(world, "from Experimenter e order by e.id")
    assert unwrap([friend.omeName, friend.lastName]) == ["ann", "Tester"]
    assert unwrap([stranger.omeName, stranger.lastName, stranger.email]) == ["<hidden>", "<hidden>", None]
    assert project(world, "select count(e) from Experimenter e where e.omeName = 'ben'") == [[rlong(1)]]
