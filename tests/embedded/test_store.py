"""Transactions of the store: what fails inside one leaves every record, every value and every order as it was."""

import random

import pytest
from hypothesis import given, settings

from embedded_omero.store import Store
from tests.embedded.graphs import RANDOM

ENTITIES = ("Project", "Dataset", "ProjectDatasetLink", "Image", "Pixels", "Channel", "TagAnnotation")
REFERENCES = {"ProjectDatasetLink": {"parent": "Project", "child": "Dataset"}, "Pixels": {"image": "Image"},
              "Channel": {"pixels": "Pixels"}}  # fmt: skip


def change(store, chance):
    """Make, change, reorder or delete something."""
    entity = chance.choice(ENTITIES)
    there = list(store.all(entity))
    kind = chance.choice(("add", "add", "set", "reorder", "remove", "touch"))
    record = store.add(entity) if kind == "add" or not there else chance.choice(there)
    if kind == "remove":
        store.remove(record)
    elif kind == "touch":
        store.touch(record, chance.choice(list(store.all("TagAnnotation")) or [None]))
    elif kind == "reorder" and entity in ("Image", "Pixels"):
        f = record.entity.fields["pixels" if entity == "Image" else "channels"]
        elements = store.collection(record, f)
        store.reorder(record, f, chance.sample(elements, chance.randint(0, len(elements))))
    else:
        for name, target in REFERENCES.get(entity, {}).items():
            store.set(record, name, chance.choice([None, *store.all(target)]))
        if "name" in record.entity.fields:
            store.set(record, "name", chance.choice((None, "a", "b")))


def everything(store):
    rows = {e: [(r.id, dict(r.values), r.updated) for r in store.all(e)] for e in ENTITIES}
    collections = {
        (r, f.name): store.collection(r, f) for e in ENTITIES for r in store.all(e) for f in r.entity.collections()
    }
    return rows, collections


def fail(store, chance, steps):
    """A transaction which fails after some changes."""
    with store.transaction():
        for _ in range(steps):
            change(store, chance)
        with store.transaction():  # a part of the larger one
            change(store, chance)
        raise KeyError


@settings(max_examples=150, deadline=None)
@given(chance=RANDOM)
def test_failure_undoes_all(chance):
    store = Store()
    for _ in range(30):
        change(store, chance)
    before = everything(store)
    with pytest.raises(KeyError):
        fail(store, chance, chance.randint(0, 40))
    assert everything(store) == before
    with store.transaction():
        record = store.add("Project", {"name": "kept"})
    assert store.get("Project", record.id) is record


def test_ids_are_not_used_again():
    store = Store()
    with pytest.raises(KeyError):
        fail(store, random.Random(0), 20)
    made = [store.add(entity).id for entity in ENTITIES]
    assert max(made) > 1
