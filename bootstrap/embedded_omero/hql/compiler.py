"""Expressions of the syntax tree to functions of the environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..permissions import HIDDEN, NAMES, knows
from . import nodes
from .errors import HqlSemanticError
from .expr import Env, Expr, Getter, comparable, condition, constant, of_source, slots_of
from .functions import AGGREGATES, CASTS, FUNCTIONS, first_known, text_of
from .operators import ARITHMETIC, applied, coerced, comparison, failure, like_pattern, logic, mapped, membership
from .scope import Scope
from .types import (
    BOOL,
    CLASS,
    DOUBLE,
    INT,
    LONG,
    NULL,
    STRING,
    UNKNOWN,
    Type,
    arithmetic,
    check_comparable,
    is_number,
    summed,
)

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True)
class Aggregate:
    """A function over the rows of a group; its result is put into a slot of the environment."""

    slot: int
    run: Callable[[list[Any]], Any]
    value: Getter
    distinct: bool


class Compiler:
    """Compiles the expressions of one query.

    Parameters
    ----------
    engine : Engine
        The execution this query is part of.
    scope : Scope
        Its names.
    nested : bool
        Whether it is a subquery.
    """

    def __init__(self, engine: Engine, scope: Scope, nested: bool) -> None:
        self.engine = engine
        self.scope = scope
        self.nested = nested
        self.clause = "from"  # which one is being compiled: from, where, select, group, having, order
        self.aggregates: list[Aggregate] = []
        self.used: set[int] = set()  # slots which any expression of this query depends on

    def compile(self, node: nodes.Node, expected: Type | None = None) -> Expr:
        """Expression of a node; ``expected`` is what a parameter has to be."""
        expr = self._compile(node, expected)
        self.used |= expr.slots
        return expr

    def _compile(self, node: nodes.Node, expected: Type | None) -> Expr:
        match node:
            case nodes.Path(parts):
                return self._path(parts)
            case nodes.Param(name):
                value, kind = self.engine.params.one(name, expected)
                return constant(UNKNOWN if kind == "entity" else Type(kind), value)
            case nodes.Literal(value, kind):
                return constant(NULL if kind == "null" else Type(kind), value)
            case nodes.Binary(op, left, right):
                return self._binary(op, left, right)
            case nodes.Not(operand):
                inner = self.compile(operand)
                test = inner.get
                return condition(lambda env: None if (v := test(env)) is None else not v, inner)
            case nodes.Negative(operand):
                inner = self.compile(operand)
                return mapped(inner.type, lambda v: -v, inner)
            case nodes.Like():
                return self._like(node)
            case nodes.In(value, items):
                return self._in(value, items)
            case nodes.IsNull(value):
                inner = self.compile(value)
                test = inner.get
                return condition(lambda env: test(env) is None, inner)
            case nodes.IsEmpty(collection):
                inner = self._size(collection)
                test = inner.get
                return condition(lambda env: test(env) == 0, inner)
            case nodes.Exists(query):
                return self.engine.subquery(query, self.scope).exists()
            case nodes.Subquery(query):
                return self.engine.subquery(query, self.scope).scalar()
            case nodes.Call():
                return self._call(node)
            case nodes.Case(whens, otherwise):
                return self._case(whens, otherwise)
            case nodes.Cast(value, name):
                return self._cast(value, name)
            case nodes.Element():
                return self._element(node)
        raise AssertionError(f"no rule for {node}")

    def item(self, node: nodes.Node) -> Expr:
        """Expression of the select list: a reference there means the record, so it is joined."""
        if isinstance(node, nodes.Path):
            found = self.scope.resolve(node.parts, joined=True)
            if found is not None:
                self.used |= found.slots
                return self._discreet(found)
        expr = self.compile(node)
        if isinstance(node, nodes.Literal) and node.kind in ("bool", "null"):  # recorded: of no known type
            expr.type = UNKNOWN
        return expr

    def _discreet(self, expr: Expr) -> Expr:
        """Names of users only as far as the caller may know them."""
        access = expr.access
        if access is None or access.name not in NAMES or access.source.entity.name != "Experimenter":
            return expr
        slot, get, call = access.source.slot, expr.get, self.engine.call

        def known(env: Env) -> Any:
            return get(env) if env[slot] is None or knows(call, env[slot]) else HIDDEN

        return Expr(expr.type, known, expr.slots, access)

    # -- names

    def _path(self, parts: tuple[str, ...]) -> Expr:
        if parts[-1] == "size" and self.scope.ends_at_collection(parts[:-1]):
            if len(parts) > 3:  # recorded: the server makes an invalid statement of it
                raise failure("data")
            return self._size(nodes.Path(parts[:-1]))
        found = self.scope.resolve(parts)
        if found is not None:
            return found
        name = ".".join(parts)
        entity = self.scope.model.get(name)
        if entity is not None:
            return constant(CLASS, entity)
        if len(parts) > 1:
            raise HqlSemanticError(f"Invalid path: '{name}'")
        if self.clause == "select":
            raise HqlSemanticError(
                "No data type for node: org.hibernate.hql.ast.tree.IdentNode\n"
                f" \\-[IDENT] IdentNode: '{name}' {{originalText={name}}}"
            )
        raise failure("grammar")  # the name goes to the database as that of a column

    def _size(self, path: nodes.Path) -> Expr:
        source, f = self.scope.collection(path.parts)
        owner, elements = of_source(source), self.engine.elements
        get = owner.get
        return Expr(INT, lambda env: None if (r := get(env)) is None else len(elements(r, f)), owner.slots)

    def _element(self, node: nodes.Element) -> Expr:
        if self.clause == "select":
            raise HqlSemanticError('Cannot invoke "antlr.collections.AST.getType()" because "rhs" is null', quote=False)
        source, f = self.scope.collection(node.collection.parts)
        owner, index, elements = of_source(source), self.compile(node.index), self.engine.elements

        def get(env: Env) -> Any:
            record, position = owner.get(env), index.get(env)
            found = elements(record, f) if record is not None else []
            return found[position] if position is not None and 0 <= position < len(found) else None

        entity = self.scope.model[f.type]
        if not node.rest:
            return Expr(Type("entity", entity), get, slots_of(owner, index))
        if node.rest == ("id",):
            return Expr(LONG, lambda env: None if (r := get(env)) is None else r.id, slots_of(owner, index))
        name = node.rest[0]
        if len(node.rest) > 1 or name not in entity.fields or entity.fields[name].kind != "value":
            raise HqlSemanticError(f"could not resolve property: {'.'.join(node.rest)} of: {entity.java}")
        kind = Type(entity.fields[name].type)
        return Expr(kind, lambda env: None if (r := get(env)) is None else r.values.get(name), slots_of(owner, index))

    # -- operators

    def _pair(self, left: nodes.Node, right: nodes.Node) -> tuple[Expr, Expr]:
        """Two operands; each tells what the other has to be if that is a parameter."""
        if isinstance(left, nodes.Param):
            b = self.compile(right)
            return self.compile(left, b.type), b
        a = self.compile(left)
        return a, self.compile(right, a.type)

    def _binary(self, op: str, left: nodes.Node, right: nodes.Node) -> Expr:
        if op in ("and", "or"):
            return logic(op, self.compile(left), self.compile(right))
        a, b = self._pair(left, right)
        if op == "||":
            return mapped(STRING, lambda x, y: text_of(x) + text_of(y), a, b)
        if op in ARITHMETIC:
            return mapped(arithmetic(a.type, b.type), ARITHMETIC[op], a, b)
        return comparison(op, coerced(left, a, b.type), coerced(right, b, a.type))

    def _like(self, node: nodes.Like) -> Expr:
        value, pattern = self._pair(node.value, node.pattern)
        escape = self.compile(node.escape).get([]) if node.escape is not None else "\\"
        if is_number(value.type):
            raise failure("grammar")
        return mapped(BOOL, lambda v, p: like_pattern(p, escape).fullmatch(v) is not None, value, pattern)

    def _in(self, value: nodes.Node, items: tuple[nodes.Node, ...]) -> Expr:
        first = items[0]
        if isinstance(first, nodes.Subquery):
            a = self.compile(value)
            found, slots = self.engine.subquery(first.query, self.scope).values()
            return membership(a, found, slots)
        if isinstance(first, nodes.Call) and first.name == "elements":
            return self._in_elements(self.compile(value), first)
        a = self.compile(value, self.compile(first).type if isinstance(value, nodes.Param) else None)
        members = [e for item in items for e in self._members(item, a.type)]
        getters = [comparable(e) for e in members]
        slots = slots_of(*members)
        if not slots:
            fixed = {get([]) for get in getters}
            return membership(a, lambda env: fixed, slots)
        return membership(a, lambda env: {get(env) for get in getters}, slots)

    def _members(self, item: nodes.Node, expected: Type) -> list[Expr]:
        if isinstance(item, nodes.Param):
            return [constant(Type(kind), v) for v, kind in self.engine.params.many(item.name, expected)]
        member = coerced(item, self.compile(item), expected)
        check_comparable(member.type, expected)
        return [member]

    def _in_elements(self, value: Expr, call: nodes.Call) -> Expr:
        source, f = self.scope.collection(_only_path(call).parts)
        owner, elements = of_source(source), self.engine.elements
        get = owner.get

        def found(env: Env) -> set:
            record = get(env)
            ids = [e.id for e in elements(record, f)] if record is not None else []
            if len(ids) > 1:  # recorded: the collection becomes a subquery which may have one row only
                raise failure("data")
            return set(ids)

        return membership(value, found, owner.slots, indexable=False)

    def _case(self, whens: tuple[tuple[nodes.Node, nodes.Node], ...], otherwise: nodes.Node | None) -> Expr:
        tests = [self.compile(test) for test, _ in whens]
        values = [self.compile(value) for _, value in whens]
        default = self.compile(otherwise) if otherwise is not None else constant(NULL, None)
        branches = [(t.get, v.get) for t, v in zip(tests, values, strict=True)]

        def get(env: Env) -> Any:
            for test, value in branches:
                if test(env) is True:
                    return value(env)
            return default.get(env)

        kind = first_known([v.type for v in values] + [default.type])
        return Expr(kind, get, slots_of(*tests, *values, default))

    def _cast(self, value: nodes.Node, name: str) -> Expr:
        if name not in CASTS:
            raise HqlSemanticError(f"Could not resolve requested type for CAST : {name}")
        kind, run = CASTS[name]
        return mapped(kind, run, self.compile(value))

    # -- functions

    def _call(self, call: nodes.Call) -> Expr:
        if call.name in AGGREGATES:
            return self._aggregate(call)
        if call.name in ("index", "minindex", "maxindex"):
            index = self._index(call)
            if call.name == "index":
                return index
            return self._add_aggregate(INT, AGGREGATES[call.name[:3]], index, False)
        if call.name == "type":
            inner = self.compile(_only_path(call))
            get = inner.get
            if inner.type.kind == "entity":
                return Expr(CLASS, lambda env: None if (r := get(env)) is None else r.entity, inner.slots)
            return Expr(CLASS, get, inner.slots)
        if call.name == "size":
            if self.clause == "select" and not self.nested:  # recorded: needs a GROUP BY which is not there
                raise failure("grammar")
            return self._size(_only_path(call))
        function = FUNCTIONS.get(call.name)
        if function is None or len(call.args) not in function.arguments:
            raise self._unknown(call)
        return applied(function, [self.compile(a) for a in call.args])

    def _unknown(self, call: nodes.Call) -> Exception:
        if self.clause != "select":
            return failure("grammar")
        return HqlSemanticError(
            "No data type for node: org.hibernate.hql.ast.tree.MethodNode\n \\-[METHOD_CALL] MethodNode: '('\n"
            f"    +-[METHOD_NAME] IdentNode: '{call.text}' {{originalText={call.text}}}\n    \\-[EXPR_LIST] exprList\n"
        )

    def _index(self, call: nodes.Call) -> Expr:
        path = _only_path(call)
        source = self.scope.alias(path.parts[0]) if len(path.parts) == 1 else None
        if source is None or source.index_slot is None:
            raise HqlSemanticError(f"index() needs the alias of an indexed collection: {'.'.join(path.parts)}")
        slot = source.index_slot
        return Expr(INT, lambda env: env[slot], frozenset((slot,)))

    def _aggregate(self, call: nodes.Call) -> Expr:
        if self.clause in ("from", "where", "group"):
            raise failure("grammar")
        if not call.args:
            return self._add_aggregate(LONG, len, constant(BOOL, True), False)
        before = len(self.aggregates)
        value = self.compile(call.args[0])
        nested, text = len(self.aggregates) > before, value.type.kind in ("string", "bool")
        if nested or len(call.args) > 1 or text and call.name in ("sum", "avg"):
            raise failure("grammar")
        kind = {"count": LONG, "sum": summed(value.type), "avg": DOUBLE}.get(call.name, value.type)
        return self._add_aggregate(kind, AGGREGATES[call.name], value, call.distinct)

    def _add_aggregate(self, kind: Type, run: Callable[[list[Any]], Any], value: Expr, distinct: bool) -> Expr:
        slot = self.engine.new_slot()
        get = value.get if value.type.kind in ("class", "discriminator") else comparable(value)
        self.aggregates.append(Aggregate(slot, run, get, distinct))
        return Expr(kind, lambda env: env[slot], value.slots | {slot})


def _only_path(call: nodes.Call) -> nodes.Path:
    if len(call.args) != 1 or not isinstance(call.args[0], nodes.Path):
        raise HqlSemanticError(f"{call.text}() needs a path")
    return call.args[0]
