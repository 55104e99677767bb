"""Random graphs of objects: what is saved is what is read, twice is like once, and nothing is half saved."""

from __future__ import annotations

import copy
import functools

import omero
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omero.gateway import BlitzGateway
from omero.sys import ParametersI

from tests.embedded.graphs import MODEL, RANDOM, ROOTS, Graph, described, graphs, related, values

EXAMPLES = settings(max_examples=60, deadline=None)
FEW = settings(max_examples=30, deadline=None)


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
    before = {}
    said = server.described(server.save(graph), before)
    counts, events = server.counts(), stamps(before)
    for again in (server.save(server.load(next(iter(before.values())))), *map(server.save, before.values())):
        assert values(again)
    after = {}
    assert server.described(next(iter(before.values())), after) == said
    assert (server.counts(), stamps(after)) == (counts, events)


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


@FEW
@given(graph=graphs(*ROOTS), chance=RANDOM)
def test_what_is_refused_leaves_nothing(server, graph, chance):
    """One object of the graph lacks what it needs."""
    sent = {}
    described(graph, seen=sent)
    required = [(o, f.name) for o in sent.values() for f in MODEL.of(o).fields.values()
                if not f.nullable and f.kind in ("value", "ref") and f.name not in ("series", "parent", "child")]  # fmt: skip
    assume(required)
    obj, name = chance.choice(required)
    setattr(obj, name, None)
    counts = server.counts()
    with pytest.raises(omero.ValidationException, match=name):
        server.save(graph)
    assert server.counts() == counts
