"""Random queries on random databases: indexes change the time a query takes, never its answer."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from embedded_omero.metamodel import metamodel
from embedded_omero.store import Store
from tests.embedded.hql_world import Caller, World

ENTITIES = ("Project", "ProjectDatasetLink", "Dataset", "DatasetImageLink", "Image", "Pixels", "ImageAnnotationLink",
            "Annotation", "Well", "WellSample")  # fmt: skip
VALUES = {"Project": ("name", "description"), "Dataset": ("name",), "Image": ("name", "description"),
          "Pixels": ("sizeX",), "Annotation": ("ns",), "Well": ("row",)}  # fmt: skip
TEXTS = ("a", "ab", "b%")
RANDOM = st.integers(0, 2**32 - 1).map(random.Random)
EXAMPLES = settings(max_examples=250, deadline=None)


def relations(entity: str) -> list[tuple[str, str]]:
    """(property, entity it leads to) of the references and collections which stay within ENTITIES."""
    fields = metamodel()[entity].fields.values()
    return [(f.name, f.type) for f in fields if f.kind in ("ref", "collection") and f.type in ENTITIES]


def references(entity: str) -> list[str]:
    return [f.name for f in metamodel()[entity].references() if f.type in ENTITIES]


def random_world(chance: random.Random) -> World:
    """A database of a few records with random values and relations, some of them null, some records hidden."""
    world = World.__new__(World)
    store = world.store = Store()
    world.caller = Caller(store, store.add("Experimenter", {"omeName": "ann"}))
    for entity in ENTITIES:
        for _ in range(chance.randint(2, 6)):
            values: dict[str, Any] = {}
            for name in VALUES.get(entity, ()):
                values[name] = chance.randint(0, 2) if name in ("sizeX", "row") else chance.choice((*TEXTS, None))
            record = store.add({"Annotation": "TagAnnotation"}.get(entity, entity), values)
            if chance.random() < 0.1:
                world.caller.hidden.add(record)
    for entity in ENTITIES:
        for record in store.all(entity):
            for name in references(entity):
                if chance.random() < 0.85:
                    store.set(record, name, chance.choice(list(store.all(record.entity.fields[name].type))))
    return world


class Texts:
    """Makes the text of a random query.

    Parameters
    ----------
    chance : random.Random
    around : dict of str to str
        Entities by alias of the query around.
    """

    def __init__(self, chance: random.Random, around: dict[str, str] | None = None) -> None:
        self.chance = chance
        self.aliases = dict(around or {})
        self.prefix = "xyz"[len({alias[0] for alias in self.aliases})]
        self.own: list[str] = []

    def pick(self, *options):
        return self.chance.choice(options)

    def new_alias(self, entity: str) -> str:
        alias = f"{self.prefix}{len(self.own)}"
        self.own.append(alias)
        self.aliases[alias] = entity
        return alias

    def froms(self, joins: int) -> str:
        elements = []
        for _ in range(self.pick(1, 1, 1, 2)):
            entity = self.pick(*ENTITIES)
            text = f"{entity} {self.new_alias(entity)}"
            for _ in range(self.chance.randint(0, joins)):
                start = self.pick(*self.own)
                name, target = self.pick(*relations(self.aliases[start]), ("", ""))
                if name:
                    text += f" {self.pick('join', 'left join')} {start}.{name} {self.new_alias(target)}"
                    if self.chance.random() < 0.2:
                        text += f" with {self.own[-1]}.id {self.pick('=', '>', '<>')} {self.chance.randint(1, 5)}"
            elements.append(text)
        return ", ".join(elements)

    def number(self, *aliases: str) -> str:
        """Something with ids as values."""
        alias = self.pick(*(aliases or self.aliases))
        names = references(self.aliases[alias])
        choices = [f"{alias}.id"] + [f"{alias}.{n}.id" for n in names] + [f"{alias}.{n}" for n in names]
        for name in names:  # through two references: an implied join
            target = metamodel()[self.aliases[alias]].fields[name].type
            choices += [f"{alias}.{name}.{further}.id" for further in references(target)]
        return self.pick(*choices)

    def value(self) -> str:
        """A condition on a text or a size."""
        alias = self.pick(*self.aliases)
        name = self.pick(*VALUES.get(self.aliases[alias], ("id",)))
        same = [a for a, e in self.aliases.items() if name in VALUES.get(e, ())]
        if same and self.chance.random() < 0.5:
            return f"{alias}.{name} = {self.pick(*same)}.{name}"
        if name in ("name", "description", "ns"):
            return f"{alias}.{name} {self.pick('=', 'like', '<>')} {self.pick(*map(repr, TEXTS))}"
        return f"{alias}.{name} between 1 and 2"

    def condition(self, depth: int) -> str:
        kind = self.chance.randint(0, 9 if depth else 5)
        a, id = self.number(), self.chance.randint(1, 5)
        if kind == 0:
            return f"{a} {self.pick('=', '<', '<>')} {self.pick(id, float(id))}"
        if kind == 1:
            return f"{id} {self.pick('=', '>=')} {a}"
        if kind == 2:
            return f"{a} {self.pick('in', 'not in')} ({id}, {id + 1}, 4)"
        if kind == 3:
            return f"{a} is {self.pick('', 'not ')}null"
        if kind == 4:
            return f"{a} {self.pick('=', '<>')} {self.number()}"
        if kind == 5:
            return self.value()
        if kind == 6:
            return f"({self.condition(depth - 1)} {self.pick('and', 'or')} {self.condition(depth - 1)})"
        if kind == 7:
            return f"not {self.condition(depth - 1)}"
        return self.subquery(a, depth)

    def subquery(self, value: str, depth: int) -> str:
        inner = Texts(self.chance, self.aliases)
        froms = inner.froms(1)
        where = f"{inner.number(*inner.own)} = {inner.number()} and {inner.condition(depth - 1)}"
        if self.chance.random() < 0.5:
            return f"{self.pick('', 'not ')}exists (select {inner.own[0]} from {froms} where {where})"
        return f"{value} {self.pick('in', 'not in')} (select {inner.number(*inner.own)} from {froms} where {where})"

    def query(self) -> str:
        froms = self.froms(3)
        where = " and ".join(self.condition(2) for _ in range(self.chance.randint(0, 2)))
        source = f"from {froms}{' where ' if where else ''}{where}"
        style = self.chance.randint(0, 4)
        if style == 0:
            key = self.number(self.own[0])
            return f"select {key}, count(*), max({self.own[-1]}.id) {source} group by {key} order by {key}"
        if style == 1:
            return f"select count(distinct {self.own[-1]}), sum({self.own[0]}.id) {source}"
        ids = ", ".join(f"{alias}.id" for alias in self.own)
        return f"select {'distinct ' if style == 2 else ''}{ids} {source} order by {ids}"


@EXAMPLES
@given(RANDOM)
def test_indexes_do_not_change_answers(chance):
    world, query = random_world(chance), Texts(chance).query()
    assert world.rows(query) == world.rows(query, indexes=False), query


@EXAMPLES
@given(RANDOM)
def test_a_condition_is_true_false_or_unknown_for_every_row(chance):
    """WHERE, where conditions steer the search, finds the rows for which CASE, where they do not, says so."""
    world, texts = random_world(chance), Texts(chance)
    froms, condition = texts.froms(2), texts.condition(2)
    ids = ", ".join(f"{alias}.id" for alias in texts.own)
    verdict = f"case when {condition} then 1 when not ({condition}) then 2 else 3 end"
    rows = world.rows(f"select {ids}, {verdict} from {froms}", indexes=False)
    for number, where in ((1, condition), (2, f"not ({condition})")):
        query = f"select {ids} from {froms} where {where}"
        expected = [row[:-1] for row in rows if row[-1] == number]
        assert sorted(world.rows(query), key=str) == sorted(expected, key=str), query
