"""Text of queries to syntax trees."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded_omero.hql import nodes
from embedded_omero.hql.errors import HqlChangeError, HqlError, HqlSyntaxError
from embedded_omero.hql.lexer import KEYWORDS
from embedded_omero.hql.nodes import Binary, Call, In, IsNull, Join, Literal, Not, Param, Path
from embedded_omero.hql.parser import parse

# One query for every construct which clients of OMERO use.
QUERIES = [
    "from Image",
    "from Image as i where i.name = 'x'",
    "FROM MapAnnotation WHERE ns=:ns ORDER BY id DESC",
    "select i from Image i join fetch i.details.owner as o left outer join fetch i.details.externalInfo",
    "select i from Image i inner join i.pixels p with p.sizeX > 1 left join p.channels",
    "select distinct i.id, i.name from Image i order by i.id desc, lower(i.name) asc",
    "select max(row), max(column) from Well where plate.id = :id",
    "select count(*), count(distinct i), sum(p.sizeX * p.sizeY) from Image i join i.pixels p",
    "select minIndex(s), maxIndex(s), index(s) from Well w join w.wellSamples s group by index(s) having count(s) > 1",
    "select new map(i.id as id, i as i_details_permissions, (select count(id) from Roi r where r.image = i) as n) "
    "from Image i",
    "select sum(case when a.ns is null then 1 else 0 end), type(a.class) from Annotation a group by a.class",
    "select case a.ns when 'x' then 1 when 'y' then 2 end from Annotation a",
    "select o.path || o.name, -o.size + 1, o.size / 2.5 from OriginalFile o",
    "select i from Image i, DatasetImageLink l where l.child = i and l.parent.id = :d",
    "select i from Image i where i.id in (:ids) or i.id in :more or i.id not in (1, 2, -3) or i.id = (:id)",
    "select i from Image i where i.id in (select distinct(l.child.id) from DatasetImageLink l)",
    "select i from Image i where not exists (select l from DatasetImageLink l where l.child = i.id)",
    "select i from Image i where not i.name like 'a%' and i.name not like :n and i.name like 'a!_' escape '!'",
    "select i from Image i where i.series between 1 and 2 and i.series not between :a and :b and i.fileset is not null",
    "select p from Project p where :d in (select l.child.id from p.datasetLinks l) and p.datasetLinks is not empty",
    "select w from Well w where :s in elements(w.wellSamples) and w.wellSamples[0].id = 1 and size(w.wellSamples) > 0",
    "select cast(p.sizeX as string), coalesce(p.name, 'x'), substring(p.name, 1, 2), p.a.b.size from Plate p",
    "select extract(epoch from s.started) from Session s",
    "select m.parent.owner, x.group.order, g.index from GroupExperimenterMap as map",
    "select (select max(t.id) from Thumbnail t where t.pixels = p.id) from Pixels p where p.sizeX <> 1 and p.id != 2",
]


@pytest.mark.parametrize("query", QUERIES)
def test_what_clients_send_is_read_whatever_the_case_of_keywords(query):
    tree = parse(query)
    assert tree.froms
    shouted = " ".join(word.upper() if word in KEYWORDS else word for word in query.split(" "))
    assert parse(shouted) == tree
    assert parse(query.replace(" ", "\n\t ")) == tree


def test_clauses_end_up_in_their_places():
    query = parse(
        "select distinct p.id as n from Project p left join fetch p.datasetLinks as l with l.id > 1 join l.child, "
        "Image where p.id = :id group by p.id having count(l) = 2 order by n desc, 1"
    )
    assert query.distinct
    assert query.select == (nodes.Item(Path(("p", "id")), "n"),)
    assert query.froms == (
        nodes.From("Project", "p"),
        Join(Path(("p", "datasetLinks")), "l", True, True, Binary(">", Path(("l", "id")), Literal(1, "int"))),
        Join(Path(("l", "child"))),
        nodes.From("Image"),
    )
    assert query.where == Binary("=", Path(("p", "id")), Param("id"))
    assert query.group == (Path(("p", "id")),)
    assert query.having == Binary("=", Call("count", (Path(("l",)),), text="count"), Literal(2, "int"))
    assert query.order == (nodes.Order(Path(("n",)), True), nodes.Order(Literal(1, "int")))


def condition(text: str) -> nodes.Node:
    return parse("from Image i where " + text).where


@pytest.mark.parametrize(
    ("short", "explicit"),
    [
        ("a or b and c", "a or (b and c)"),
        ("not a = 1 and b", "(not (a = 1)) and b"),
        ("a = 1 + 2 * 3", "a = (1 + (2 * 3))"),
        ("a = 1 - 2 - 3", "a = ((1 - 2) - 3)"),
        ("a = b || c + 1", "a = (b || (c + 1))"),
        ("a - -b < 3", "(a - (-b)) < 3"),
        ("a between 1 and 2 and b", "(a >= 1 and a <= 2) and b"),
        ("a not in (1) or b", "(not (a in (1))) or b"),
        ("a is not null", "not (a is null)"),
    ],
)
def test_operators_bind_as_usual(short, explicit):
    assert condition(short) == condition(explicit)


def test_values():
    assert condition("a = 'it''s'").right == Literal("it's", "string")
    assert condition("a = 3000000000").right == Literal(3000000000, "long")
    assert condition("a = 3L").right == Literal(3, "long")
    assert condition("a = 1.5f").right == Literal(1.5, "float")
    assert condition("a = .5e1").right == Literal(5.0, "double")
    assert condition("a = true").right == Literal(True, "bool")
    assert condition("a in :x") == In(Path(("a",)), (Param("x"),))
    assert condition("a is null") == IsNull(Path(("a",)))
    assert condition("not a is null") == Not(IsNull(Path(("a",))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "unexpected end of subtree"),
        ("hello world", "node to traverse cannot be null!"),
        ("select d from Dataset d;", "unexpected char: ';'"),
        ("select d from Dataset d where", "unexpected token: null near line 1, column 30"),
        ("select d from Dataset d\nwhere (d.id = 1", "unexpected token: null near line 2, column 16"),
        ("select d from Dataset d join", "unexpected token: null near line 1, column 29"),
        ("select d from Dataset d wher d.id = 1", "unexpected token: wher near line 1, column 25"),
        ("select from Dataset", "unexpected token: from near line 1, column 8"),
        ("select d from Dataset d where d.id in ()", "unexpected token: ) near line 1, column 40"),
        ("select d from Dataset d order by", "unexpected token: null near line 1, column 33"),
        ("select d from Dataset d where d.name = 'x", 'unexpected char: "\'"'),
        ("select new list(d) from Dataset d", "unexpected token: list near line 1, column 12"),
        ("select d from Dataset d where case end = 1", "unexpected token: end near line 1, column 36"),
    ],
)
def test_what_is_no_query(text, message):
    with pytest.raises(HqlSyntaxError) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["delete from Dataset", "update Dataset set name = 'x'", "INSERT into Dataset (id)"])
def test_changes_are_told_apart_from_nonsense(text):
    with pytest.raises(HqlChangeError):
        parse(text)


FRAGMENTS = [*sorted(KEYWORDS), "Image", "i", "(", ")", ",", ".", "=", "'a'", ":p", "1", "["]


@given(st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=12))
def test_any_text_is_read_or_refused(words):
    text = " ".join(words)
    with contextlib.suppress(HqlError):  # everything else would be a fault of the parser
        assert parse(text).froms
