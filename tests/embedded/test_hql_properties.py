"""Random queries on random databases: indexes change the time a query takes, never its answer."""

from __future__ import annotations

from typing import Any

from embedded_omero.metamodel import metamodel
from embedded_omero.store import Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.embedded.hql_world import Caller, World

ENTITIES = ("Project", "ProjectDatasetLink", "Dataset", "DatasetImageLink", "Image", "Pixels", "ImageAnnotationLink",
            "Annotation", "Well", "WellSample")  # fmt: skip
VALUES = {"Project": ("name", "description"), "Dataset": ("name",), "Image": ("name", "description"),
          "Pixels": ("sizeX",), "Annotation": ("ns",), "Well": ("row",)}  # fmt: skip
TEXTS = ["a", "ab", "b%", None]
IDS = st.integers(1, 4)
EXAMPLES = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def relations(entity: str) -> list[tuple[str, str]]:
    """(property, entity it leads to) of the references and collections which stay within ENTITIES."""
    fields = metamodel()[entity].fields.values()
    return [(f.name, f.type) for f in fields if f.kind in ("ref", "collection") and f.type in ENTITIES]


def references(entity: str) -> list[str]:
    return [f.name for f in metamodel()[entity].references() if f.type in ENTITIES]


@st.composite
def worlds(draw) -> World:
    """A database of a few records with random values and relations, some of them hidden."""
    world = World.__new__(World)
    store = world.store = Store()
    world.caller = Caller(store, store.add("Experimenter", {"omeName": "ann"}))
    concrete = {"Annotation": "TagAnnotation"}
    for entity in ENTITIES:
        for _ in range(draw(st.integers(1, 4))):
            values: dict[str, Any] = {}
            for name in VALUES.get(entity, ()):
                value = draw(st.integers(0, 2)) if name in ("sizeX", "row") else draw(st.sampled_from(TEXTS))
                if value is not None:
                    values[name] = value
            record = store.add(concrete.get(entity, entity), values)
            if draw(st.integers(0, 7)) == 0:
                world.caller.hidden.add(record)
    for entity in ENTITIES:
        for record in store.all(entity):
            for name in references(entity):
                target = store.get(record.entity.fields[name].type, draw(IDS))
                if target is not None:
                    store.set(record, name, target)
    return world


class Texts:
    """Makes the text of a random query."""

    def __init__(self, draw, aliases: dict[str, str] | None = None, prefix: str = "x") -> None:
        self.draw = draw
        self.aliases = dict(aliases or {})  # alias -> entity, those of the query around included
        self.prefix = prefix
        self.own: list[str] = []

    def pick(self, options):
        return self.draw(st.sampled_from(list(options)))

    def new_alias(self, entity: str) -> str:
        alias = f"{self.prefix}{len(self.own)}"
        self.own.append(alias)
        self.aliases[alias] = entity
        return alias

    def froms(self, roots: int, joins: int) -> str:
        elements = []
        for _ in range(self.draw(st.integers(1, roots))):
            entity = self.pick(ENTITIES)
            text = f"{entity} {self.new_alias(entity)}"
            for _ in range(self.draw(st.integers(0, joins))):
                start = self.pick(self.own)
                if not relations(self.aliases[start]):
                    continue
                name, target = self.pick(relations(self.aliases[start]))
                text += f" {self.pick(('join', 'left join'))} {start}.{name} {self.new_alias(target)}"
                if self.draw(st.integers(0, 3)) == 0:
                    text += f" with {self.own[-1]}.id {self.pick(('=', '>', '<>'))} {self.draw(IDS)}"
            elements.append(text)
        return ", ".join(elements)

    def number(self, alias: str | None = None) -> str:
        """Something with ids as values."""
        alias = alias or self.pick(self.aliases)
        names = references(self.aliases[alias])
        choices = [f"{alias}.id"] + [f"{alias}.{n}.id" for n in names] + [f"{alias}.{n}" for n in names]
        for name in names:  # through two references: an implied join
            target = metamodel()[self.aliases[alias]].fields[name].type
            choices += [f"{alias}.{name}.{further}.id" for further in references(target)]
        return self.pick(choices)

    def condition(self, depth: int) -> str:
        kind = self.draw(st.integers(0, 9 if depth else 6))
        a = self.number()
        if kind == 0:
            return f"{a} = {self.draw(IDS)}"
        if kind == 1:
            return f"{self.draw(IDS)} {self.pick(('=', '<', '>=', '<>'))} {a}"
        if kind == 2:
            return f"{a} {self.pick(('in', 'not in'))} ({', '.join(map(str, self.draw(st.lists(IDS, min_size=1, max_size=3))))})"
        if kind == 3:
            return f"{a} is {self.pick(('', 'not '))}null"
        if kind == 4:
            return f"{a} {self.pick(('=', '<>'))} {self.number()}"
        if kind in (5, 6):
            alias = self.pick(self.aliases)
            if not VALUES.get(self.aliases[alias]):
                return f"{alias}.id > 1"
            name = self.pick(VALUES[self.aliases[alias]])
            if name in ("sizeX", "row"):
                return f"{alias}.{name} between 1 and 2"
            return f"{alias}.{name} {self.pick(('=', 'like', '<>'))} {self.pick(('%r' % t for t in TEXTS if t))}"
        if kind == 7:
            return f"({self.condition(depth - 1)} {self.pick(('and', 'or'))} {self.condition(depth - 1)})"
        if kind == 8:
            return f"not {self.condition(depth - 1)}"
        inner = Texts(self.draw, self.aliases, self.prefix + "y")
        froms = inner.froms(1, 1)
        value = inner.number(inner.own[0])
        where = inner.condition(depth - 1) + f" and {inner.condition(0)}"
        if self.draw(st.booleans()):
            return f"{self.pick(('', 'not '))}exists (select {inner.own[0]} from {froms} where {where})"
        return f"{a} {self.pick(('in', 'not in'))} (select {value} from {froms} where {where})"

    def query(self) -> str:
        froms = self.froms(2, 3)
        conditions = [self.condition(2) for _ in range(self.draw(st.integers(0, 3)))]
        where = f" where {' and '.join(conditions)}" if conditions else ""
        style = self.draw(st.integers(0, 3))
        if style == 0:
            key = self.number(self.own[0])
            return f"select {key}, count(*), max({self.own[-1]}.id) from {froms}{where} group by {key} order by {key}"
        if style == 1:
            return f"select count(distinct {self.own[-1]}), sum({self.own[0]}.id) from {froms}{where}"
        ids = ", ".join(f"{alias}.id" for alias in self.own)
        distinct = "distinct " if style == 2 else ""
        return f"select {distinct}{ids} from {froms}{where} order by {ids}"


@st.composite
def queries(draw) -> str:
    return Texts(draw).query()


@EXAMPLES
@given(worlds(), queries())
def test_indexes_do_not_change_answers(world, query):
    assert world.rows(query) == world.rows(query, indexes=False)


@st.composite
def partitions(draw) -> tuple[str, str, str]:
    """(selected ids, FROM clause, condition)."""
    texts = Texts(draw)
    froms = texts.froms(2, 2)
    return ", ".join(f"{alias}.id" for alias in texts.own), froms, texts.condition(2)


@EXAMPLES
@given(worlds(), partitions())
def test_a_condition_is_true_false_or_unknown_for_every_row(world, parts):
    """WHERE, where conditions steer the search, finds the rows for which CASE, where they do not, says so."""
    ids, froms, condition = parts
    rows = world.rows(
        f"select {ids}, case when {condition} then 1 when not ({condition}) then 2 else 3 end from {froms}", indexes=False
    )
    for number, where in ((1, condition), (2, f"not ({condition})")):
        assert sorted(world.rows(f"select {ids} from {froms} where {where}"), key=str) == sorted(
            (row[:-1] for row in rows if row[-1] == number), key=str
        )
