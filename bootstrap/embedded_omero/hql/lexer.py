"""Text of a query to tokens."""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import HqlSyntaxError

# Words which are no names of aliases; as part of a path (``x.class``, ``details.group``) they are names all the same.
KEYWORDS = frozenset((
    "all", "and", "any", "as", "asc", "between", "by", "case", "class", "delete", "desc", "distinct", "else",
    "elements", "end", "escape", "exists", "false", "fetch", "from", "full", "group", "having", "in", "indices",
    "inner", "insert", "into", "is", "join", "left", "like", "new", "not", "null", "on", "or", "order", "outer",
    "right", "select", "set", "some", "then", "true", "union", "update", "when", "where", "with",
))  # fmt: skip
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?[lLfFdD]?)
      | (?P<name>[^\W\d][\w$]*)
      | (?P<param>:[^\W\d]\w*)
      | (?P<string>'(?:[^']|'')*')
      | (?P<op><>|!=|\^=|<=|>=|\|\||[=<>+\-*/(),.\[\]])
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """``kind`` is name, keyword, number, param, string, op or end; keywords are in lower case."""

    kind: str
    value: str
    text: str
    line: int
    column: int

    def error(self) -> HqlSyntaxError:
        """The complaint that this token is not expected here."""
        what = "null" if self.kind == "end" else self.text
        return HqlSyntaxError(f"unexpected token: {what} near line {self.line}, column {self.column}")


def tokenize(text: str) -> list[Token]:
    """Tokens of a query, closed by one of kind "end".

    Raises
    ------
    HqlSyntaxError
        At a character which begins no token.
    """
    tokens: list[Token] = []
    position, line, start = 0, 1, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise HqlSyntaxError(f"unexpected char: {text[position]!r}")
        kind, found = match.lastgroup, match.group()
        column = position - start + 1
        if kind == "name":
            lower = found.lower()
            keyword = lower in KEYWORDS
            tokens.append(Token("keyword" if keyword else "name", lower if keyword else found, found, line, column))
        elif kind == "param":
            tokens.append(Token(kind, found[1:], found, line, column))
        elif kind == "string":
            tokens.append(Token(kind, found[1:-1].replace("''", "'"), found, line, column))
        elif kind != "space":
            tokens.append(Token(str(kind), "<>" if found in ("!=", "^=") else found, found, line, column))
        if "\n" in found:
            line += found.count("\n")
            start = position + found.rindex("\n") + 1
        position = match.end()
    tokens.append(Token("end", "", "", line, position - start + 1))
    return tokens
