"""Random graphs of objects: what is saved is what is read, twice is like once, and nothing is half saved."""

from __future__ import annotations

import omero
import pytest
from hypothesis import assume, given, settings
from omero.gateway import BlitzGateway
from omero.sys import ParametersI

from tests.embedded.graphs import MODEL, RANDOM, ROOTS, Graph, described, graphs, related, values

EXAMPLES = settings(max_examples=120, deadline=None)
FEW = settings(max_examples=40, deadline=None)


class Server:
    """What the properties ask of a server.

    Parameters
    ----------
    conn : BlitzGateway
    store : Store
        Its records, to be counted.
    """

    def __init__(self, conn, store) -> None:
        self._query, self._update, self._store = conn.c.sf.getQueryService(), conn.c.sf.getUpdateService(), store

    def save(self, obj):
        return self._update.saveAndReturnObject(obj)

    def load(self, obj):
        """The object as the server has it, with the relations by which graphs go on."""
        entity = MODEL.of(obj)
        fetches = "".join(f" left outer join fetch x.{f.name}" for f in related(entity))
        query = f"select x from {entity.name} x{fetches} where x.id = :id"
        return self._query.findByQuery(query, ParametersI().addId(obj.id.val))

    def described(self, obj, seen=None):
        return described(obj, self.load, seen)

    def counts(self):
        """Number of records of each class, and how many changes were noted."""
        return {name: self._store.count(name) for name in MODEL.entities if name not in ("Event", "Session")}


@pytest.fixture(scope="module")
def server(omero_server, make_user):
    user = make_user()
    conn = BlitzGateway(user.name, user.password, host=omero_server.host, port=omero_server.port)
    assert conn.connect()
    yield Server(conn, omero_server.core.store)
    conn.close()


@EXAMPLES
@given(graph=graphs(*ROOTS))
def test_read_back_equal(server, graph):
    sent, there = {}, {}
    said = described(graph, seen=sent)
    saved = server.save(graph)
    assert described(saved) == said
    assert server.described(saved, seen=there) == said
    assert len(there) == len(sent)  # what was shared is shared


@FEW
@given(graph=graphs(*ROOTS))
def test_saving_again_changes_nothing(server, graph):
    before, after = {}, {}
    root = server.save(graph)
    said = server.described(root, before)
    counts = server.counts()
    server.save(root)
    for obj in before.values():
        server.save(obj)
    assert server.described(root, after) == said
    assert (server.counts(), stamps(after)) == (counts, stamps(before))


def stamps(objects):
    """Which event changed each object last."""
    return {key: obj.details.updateEvent.id.val for key, obj in objects.items()}


@FEW
@given(graph=graphs(*ROOTS), chance=RANDOM)
def test_changes_replace_all_values(server, graph, chance):
    objects = {}
    server.described(server.save(graph), objects)
    for key in chance.sample(sorted(objects), min(3, len(objects))):
        changed = server.load(objects[key])
        Graph(chance).fill(changed)
        expected = values(changed)
        assert values(server.save(changed)) == expected
        assert values(server.load(changed)) == expected


@FEW
@given(graph=graphs(*ROOTS), chance=RANDOM)
def test_stale_copies_are_refused(server, graph, chance):
    objects = {}
    server.described(server.save(graph), objects)
    key = chance.choice(sorted(objects))
    first, second = (server.load(objects[key]) for _ in range(2))
    for copy in (first, second):
        Graph(chance).fill(copy)
    assume(values(first) != values(objects[key]) != values(second))
    server.save(first)
    with pytest.raises(omero.OptimisticLockException, match=f"{key[1]} from"):
        server.save(second)
    assert values(server.load(second)) == values(first)


def break_something(graph, chance):
    """Take from an object of a new graph what it needs; answers the name of that."""
    sent = {}
    described(graph, seen=sent)
    needed = [
        (obj, f.name)
        for obj in sent.values()
        for f in MODEL.of(obj).fields.values()
        if not f.nullable and f.kind in ("value", "ref") and f.name not in ("parent", "child")
    ]
    assume(needed)
    obj, name = chance.choice(needed)
    setattr(obj, name, None)
    return name


@FEW
@given(graph=graphs(*ROOTS), chance=RANDOM)
def test_what_is_refused_leaves_nothing(server, graph, chance):
    name, counts = break_something(graph, chance), server.counts()
    with pytest.raises(omero.ValidationException, match=name):
        server.save(graph)
    assert server.counts() == counts


@FEW
@given(graph=graphs("Plate", "Dataset"), child=graphs("Image"), chance=RANDOM)
def test_refused_changes_leave_everything_as_it_was(server, graph, child, chance):
    """Changes all over a graph which is there, and something new and wrong in it."""
    before, after = {}, {}
    root = server.save(graph)
    said = server.described(root, before)
    counts = server.counts()
    changed = {}
    described(root, seen=changed)
    for obj in changed.values():
        Graph(chance).fill(obj)
    name = break_something(child, chance)
    if MODEL.of(root).name == "Dataset":
        root.linkImage(child)
    else:
        well, sample = omero.model.WellI(), omero.model.WellSampleI()
        sample.image = child
        well.addWellSample(sample)
        root.addWell(well)
    with pytest.raises(omero.ValidationException, match=name):
        server.save(root)
    assert server.described(root, after) == said
    assert (server.counts(), stamps(after)) == (counts, stamps(before))
