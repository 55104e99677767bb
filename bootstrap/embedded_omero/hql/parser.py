"""Tokens to a syntax tree, by recursive descent."""

from __future__ import annotations

import functools

from . import nodes
from .errors import HqlChangeError, HqlSyntaxError
from .lexer import Token, tokenize
from .nodes import Binary, Call, Literal, Node, Param, Path, Query

_COMPARISONS = frozenset(("=", "<>", "<", "<=", ">", ">="))
_SUFFIXES = {"l": "long", "f": "float", "d": "double"}


@functools.lru_cache(maxsize=512)
def parse(text: str) -> Query:
    """Syntax tree of a query.

    Raises
    ------
    HqlSyntaxError
        If the text is no query.
    HqlChangeError
        If it is an update, insert or delete statement.
    """
    tokens = tokenize(text)
    if tokens[0].kind == "end":
        raise HqlSyntaxError("unexpected end of subtree")
    if tokens[0].value in ("delete", "update", "insert"):
        raise HqlChangeError(text)
    if tokens[0].value not in ("select", "from"):
        raise HqlSyntaxError("node to traverse cannot be null!", quote=False)
    parser = _Parser(tokens)
    query = parser.query()
    if parser.token.kind != "end":
        raise parser.token.error()
    return query


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.position = 0

    # -- tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def peek(self, ahead: int = 1) -> Token:
        return self.tokens[min(self.position + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.token
        self.position += 1
        return token

    def at(self, *values: str) -> bool:
        return self.token.kind in ("keyword", "op") and self.token.value in values

    def accept(self, value: str) -> bool:
        if self.at(value):
            self.position += 1
            return True
        return False

    def expect(self, value: str) -> None:
        if not self.accept(value):
            raise self.token.error()

    def name(self) -> str:
        if self.token.kind != "name":
            raise self.token.error()
        return self.next().value

    def word(self) -> str:
        """A name behind a dot, where keywords are allowed."""
        if self.token.kind not in ("name", "keyword"):
            raise self.token.error()
        return self.next().text

    # -- clauses

    def query(self) -> Query:
        items: tuple[nodes.Item, ...] = ()
        distinct = as_map = False
        if self.accept("select"):
            distinct = self.accept("distinct")
            if self.accept("new"):
                if self.name().lower() != "map":
                    raise self.tokens[self.position - 1].error()
                as_map = True
                self.expect("(")
                items = self.items()
                self.expect(")")
            else:
                items = self.items()
        self.expect("from")
        froms = self.froms()
        where = self.expression() if self.accept("where") else None
        group: tuple[Node, ...] = ()
        having = None
        if self.accept("group"):
            self.expect("by")
            group = self.list_of(self.expression)
            having = self.expression() if self.accept("having") else None
        order: tuple[nodes.Order, ...] = ()
        if self.accept("order"):
            self.expect("by")
            order = self.list_of(self.order_item)
        return Query(froms, items, distinct, as_map, where, group, having, order)

    def list_of(self, rule) -> tuple:
        found = [rule()]
        while self.accept(","):
            found.append(rule())
        return tuple(found)

    def items(self) -> tuple[nodes.Item, ...]:
        return self.list_of(self.item)

    def item(self) -> nodes.Item:
        value = self.expression()
        if self.accept("as"):
            return nodes.Item(value, self.word())
        return nodes.Item(value)

    def order_item(self) -> nodes.Order:
        value = self.expression()
        descending = self.at("desc")
        if self.at("asc", "desc"):
            self.next()
        return nodes.Order(value, descending)

    def alias(self) -> str | None:
        if self.accept("as"):
            return self.word()
        return self.name() if self.token.kind == "name" else None

    def froms(self) -> tuple[nodes.From | nodes.Join, ...]:
        found: list[nodes.From | nodes.Join] = []
        while True:
            found.append(nodes.From(".".join(self.path().parts), self.alias()))
            while self.at("join", "left", "inner"):
                found.append(self.join())
            if not self.accept(","):
                return tuple(found)

    def join(self) -> nodes.Join:
        left = self.accept("left")
        if left:
            self.accept("outer")
        else:
            self.accept("inner")
        self.expect("join")
        fetch = self.accept("fetch")
        path, alias = self.path(), self.alias()
        condition = self.expression() if self.accept("with") else None
        return nodes.Join(path, alias, left, fetch, condition)

    # -- expressions, from the loosest to the tightest

    def expression(self) -> Node:
        left = self.conjunction()
        while self.accept("or"):
            left = Binary("or", left, self.conjunction())
        return left

    def conjunction(self) -> Node:
        left = self.negation()
        while self.accept("and"):
            left = Binary("and", left, self.negation())
        return left

    def negation(self) -> Node:
        if self.accept("not"):
            return nodes.Not(self.negation())
        if self.accept("exists"):
            self.expect("(")
            query = self.query()
            self.expect(")")
            return nodes.Exists(query)
        return self.comparison()

    def comparison(self) -> Node:
        left = self.concatenation()
        while True:
            if self.token.kind == "op" and self.token.value in _COMPARISONS:
                left = Binary(self.next().value, left, self.concatenation())
            elif self.at("is"):
                left = self.is_test(left)
            elif self.at("in", "like", "between") or self.at("not") and self.peek().value in ("in", "like", "between"):
                negated = self.accept("not")
                test = self.word_test(left)
                left = nodes.Not(test) if negated else test
            else:
                return left

    def is_test(self, value: Node) -> Node:
        self.expect("is")
        negated = self.accept("not")
        test: Node
        if self.accept("null"):
            test = nodes.IsNull(value)
        elif self.token.text.lower() == "empty" and isinstance(value, Path):
            self.next()
            test = nodes.IsEmpty(value)
        else:
            raise self.token.error()
        return nodes.Not(test) if negated else test

    def word_test(self, value: Node) -> Node:
        if self.accept("like"):
            pattern = self.concatenation()
            return nodes.Like(value, pattern, self.primary() if self.accept("escape") else None)
        if self.accept("between"):
            low = self.concatenation()
            self.expect("and")
            return Binary("and", Binary(">=", value, low), Binary("<=", value, self.concatenation()))
        self.expect("in")
        return nodes.In(value, self.in_items())

    def in_items(self) -> tuple[Node, ...]:
        if self.token.kind == "param":
            return (Param(self.next().value),)
        if self.at("elements"):
            return (self.primary(),)
        self.expect("(")
        items = (nodes.Subquery(self.query()),) if self.at("select", "from") else self.list_of(self.concatenation)
        self.expect(")")
        return items

    def concatenation(self) -> Node:
        left = self.sum()
        while self.accept("||"):
            left = Binary("||", left, self.sum())
        return left

    def sum(self) -> Node:
        left = self.product()
        while self.at("+", "-"):
            left = Binary(self.next().value, left, self.product())
        return left

    def product(self) -> Node:
        left = self.unary()
        while self.at("*", "/"):
            left = Binary(self.next().value, left, self.unary())
        return left

    def unary(self) -> Node:
        if self.accept("-"):
            return nodes.Negative(self.unary())
        self.accept("+")
        return self.case() if self.at("case") else self.primary()

    def case(self) -> Node:
        self.expect("case")
        subject = None if self.at("when") else self.concatenation()
        whens: list[tuple[Node, Node]] = []
        while self.accept("when"):
            condition = self.expression()
            if subject is not None:
                condition = Binary("=", subject, condition)
            self.expect("then")
            whens.append((condition, self.expression()))
        if not whens:
            raise self.token.error()
        otherwise = self.expression() if self.accept("else") else None
        self.expect("end")
        return nodes.Case(tuple(whens), otherwise)

    def primary(self) -> Node:
        token = self.token
        if token.kind == "param":
            return Param(self.next().value)
        if token.kind == "string":
            return Literal(self.next().value, "string")
        if token.kind == "number":
            return _number(self.next().value)
        if self.at("true", "false"):
            return Literal(self.next().value == "true", "bool")
        if self.accept("null"):
            return Literal(None, "null")
        if self.accept("("):
            inner = nodes.Subquery(self.query()) if self.at("select", "from") else self.expression()
            self.expect(")")
            return inner
        if token.kind == "name" or self.at("elements"):
            return self.call() if self.peek().value == "(" and self.peek().kind == "op" else self.path_or_element()
        raise token.error()

    def call(self) -> Node:
        text = self.word()
        name = text.lower()
        self.expect("(")
        if name == "cast":
            value = self.expression()
            self.expect("as")
            node: Node = nodes.Cast(value, self.word().lower())
        elif name == "count" and self.accept("*"):
            node = Call(name, (), text=text)
        elif name == "extract":
            field = Literal(self.name().lower(), "string")
            self.expect("from")
            node = Call(name, (field, self.expression()), text=text)
        else:
            distinct = self.accept("distinct")
            args = () if self.at(")") else self.list_of(self.expression)
            node = Call(name, args, distinct, text)
        self.expect(")")
        return node

    def path(self) -> Path:
        parts = [self.name()]
        while self.accept("."):
            parts.append(self.word())
        return Path(tuple(parts))

    def path_or_element(self) -> Node:
        path = self.path()
        if not self.accept("["):
            return path
        index = self.expression()
        self.expect("]")
        rest = []
        while self.accept("."):
            rest.append(self.word())
        return nodes.Element(path, index, tuple(rest))


def _number(text: str) -> Literal:
    """The suffix tells the type; without one the size does."""
    suffix = _SUFFIXES.get(text[-1].lower())
    digits = text[:-1] if suffix else text
    if suffix in ("float", "double") or not digits.isdigit():
        return Literal(float(digits), suffix or "double")
    value = int(digits)
    return Literal(value, suffix or ("int" if value < 2**31 else "long"))
