"""IQuery on a server without sockets."""

from __future__ import annotations

from types import SimpleNamespace

import omero
import omero.model
import pytest
from omero.rtypes import rint, rlong, rstring, unwrap

from embedded_omero.context import Call
from embedded_omero.core import Core
from embedded_omero.services.query import Query


@pytest.fixture
def lab(tmp_path):
    """Two users in two groups; datasets "D one" (alice), "d two", "d two" (bob), and "elsewhere" in the other group."""
    core = Core(tmp_path, "secret")
    groups = [core.accounts.add_group(name, "rwr---") for name in ("here", "there")]
    users = [core.accounts.add_user(n, n.title(), "Tester", groups, None) for n in ("alice", "bob")]
    alice, bob = (Call(core, core.sessions.create(user)) for user in users)
    there = Call(core, bob.session, None, {"omero.group": str(groups[1].id)})
    records = [alice.add("Dataset", {"name": "D one", "description": "x"}), bob.add("Dataset", {"name": "d two"}),
               bob.add("Dataset", {"name": "d two"}), there.add("Dataset", {"name": "elsewhere"})]  # fmt: skip
    return SimpleNamespace(call=alice, there=there, records=records, users=users, groups=groups)


def names(objects: list) -> list[str]:
    return [unwrap(o.name) for o in objects]


def flt(**values) -> omero.sys.Filter:
    made = omero.sys.Filter()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def test_by_id(lab):
    query, one = Query(), lab.records[0].id
    for name in ("Dataset", "DatasetI", "omero.model.Dataset", "ome.model.containers.Dataset"):
        assert unwrap(query.get(lab.call, name, one).name) == "D one"
    assert unwrap(query.find(lab.call, "Dataset", one).name) == "D one"
    assert query.find(lab.call, "Dataset", 999) is None
    assert query.find(lab.call, "Project", one) is None
    assert unwrap(query.refresh(lab.call, omero.model.DatasetI(one, False)).description) == "x"


@pytest.mark.parametrize(
    ("name", "id", "error", "message"),
    [
        ("Dataset", 999, omero.ValidationException,
         "No row with the given identifier exists: [ome.model.containers.Dataset#999]"),
        ("Nope", 1, omero.ApiUsageException, "Nope does not specify a valid class."),
        ("Annotation", 1, omero.ApiUsageException, "Annotation does not specify a valid class."),
        ("", 1, omero.ApiUsageException, " does not specify a valid class."),
        ("Dataset", 4, omero.SecurityViolation, "Cannot read ome.model.containers.Dataset:Id_4"),
    ],
)  # fmt: skip
def test_what_get_refuses(lab, name, id, error, message):
    with pytest.raises(error) as caught:
        Query().get(lab.call, name, id)
    assert caught.value.message.partition("; nested exception")[0] == message


def test_find_tells_what_must_not_be_read_from_what_does_not_exist(lab):
    with pytest.raises(omero.SecurityViolation):
        Query().find(lab.call, "Dataset", lab.records[3].id)
    assert unwrap(Query().find(lab.there, "Dataset", lab.records[3].id).name) == "elsewhere"


def test_all_of_a_class(lab):
    query = Query()
    bob = rlong(lab.users[1].id)
    assert names(query.findAll(lab.call, "Dataset", None)) == ["D one", "d two", "d two"]
    assert names(query.findAll(lab.call, "Dataset", flt(limit=rint(1), offset=rint(1)))) == ["d two"]
    assert names(query.findAll(lab.call, "Dataset", flt(ownerId=bob))) == ["d two", "d two"]
    assert names(query.findAll(lab.call, "Dataset", flt(ownerId=bob, groupId=rlong(lab.groups[1].id)))) == []
    assert len(query.findAll(lab.call, "PixelsType", flt(ownerId=bob))) == 11


def test_by_text(lab):
    query = Query()
    assert unwrap(query.findByString(lab.call, "Dataset", "name", "D one").description) == "x"
    assert query.findByString(lab.call, "Dataset", "name", "zzz") is None
    assert names(query.findAllByString(lab.call, "Dataset", "name", "d %", True, None)) == ["d two", "d two"]
    assert names(query.findAllByString(lab.call, "Dataset", "name", "d ONE", False, None)) == ["D one"]
    assert names(query.findAllByString(lab.call, "Dataset", "name", "%", True, flt(limit=rint(1)))) == ["D one"]
    with pytest.raises(omero.ApiUsageException, match="more than one"):
        query.findByString(lab.call, "Dataset", "name", "d two")
    for field in ("nope", "name = 'x' or x.name"):
        with pytest.raises(omero.QueryException, match="could not resolve property"):
            query.findByString(lab.call, "Dataset", field, "x")
        with pytest.raises(omero.QueryException, match="could not resolve property"):
            query.findAllByString(lab.call, "Dataset", field, "x", True, None)


def test_by_example(lab):
    query, example = Query(), omero.model.DatasetI()
    example.name = rstring("D one")
    assert unwrap(query.findByExample(lab.call, example).description) == "x"
    example.name = rstring("d two")
    assert names(query.findAllByExample(lab.call, example, None)) == ["d two", "d two"]
    assert names(query.findAllByExample(lab.call, example, flt(offset=rint(1)))) == ["d two"]
    with pytest.raises(omero.ApiUsageException, match="more than one"):
        query.findByExample(lab.call, example)
    example.description = rstring("y")
    assert query.findByExample(lab.call, example) is None


def test_queries_see_the_group_of_the_call(lab):
    query, hql = Query(), "select d.name from Dataset d order by d.id"
    assert unwrap(query.projection(lab.call, hql, None)) == [["D one"], ["d two"], ["d two"]]
    assert unwrap(query.projection(lab.there, hql, None)) == [["elsewhere"]]
    everywhere = Call(lab.call.core, lab.call.session, None, {"omero.group": "-1"})
    assert len(query.findAllByQuery(everywhere, "from Dataset", None)) == 4
    assert unwrap(query.findByQuery(lab.there, "from Dataset", None).name) == "elsewhere"


def test_an_answer_shows_the_rights_of_the_caller(lab):
    mine, other = (Query().get(lab.call, "Dataset", record.id) for record in lab.records[:2])
    assert str(mine.details.permissions) == str(other.details.permissions) == "rwr---"
    assert mine.details.permissions.canEdit()
    assert not other.details.permissions.canEdit()
    assert not other.details.owner.isLoaded()
