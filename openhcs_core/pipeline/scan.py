"""A first look at the text of a pipeline, before the parser of Python sees it.

Python's parser takes much memory, time or stack for some short texts. Here every token is looked at once: what has no
place in the text of a pipeline is refused, and what is left is small and flat.
"""

from __future__ import annotations

import keyword
import re

from openhcs_core.pipeline.errors import PipelineSourceError
from openhcs_core.pipeline.values import MAX_STRING

MAX_TEXT = 256 * 1024
"""Characters of a text."""
MAX_TOKENS = 10_000
"""Names, numbers, texts and signs of a text."""
MAX_BRACKETS = 24
"""Brackets in brackets."""
MAX_NAME = 200
MAX_NUMBER = 40

ALLOWED = (
    "A pipeline text consists of: imports of registered functions and from openhcs_core.pipeline; assignments of "
    "numbers, texts, lists, tuples, dicts and calls such as FunctionStep(...) to names; pipeline_steps.append(...)."
)

_TOKEN = re.compile(  # the counts bound what the search keeps for going back
    rf"""
    (?P<space>[ \t\n]+)
    | (?P<comment>\#[^\n]*)
    | (?P<string>\"\"\"(?:[^"\\]|\\.|"(?!"")){{0,{MAX_STRING}}}\"\"\"
        | \'\'\'(?:[^'\\]|\\.|'(?!'')){{0,{MAX_STRING}}}\'\'\'
        | "(?:[^"\\\n]|\\[^\n]){{0,{MAX_STRING}}}" | '(?:[^'\\\n]|\\[^\n]){{0,{MAX_STRING}}}')
    | (?P<number>(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
    | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*){{0,{MAX_NAME}}})
    | (?P<sign>\+=|=(?!=)|:(?!=)|[()\[\]{{}},-])
    | (?P<other>.)
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPE = re.compile(r"""\\(?:[\\'"abfnrtv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})""")
_COOKIE = re.compile(r"(?:[^\n]*\n)?[ \t]*#[^\n]*?coding[:=][ \t]*(?!utf-?8\b)[-\w.]", re.IGNORECASE)
_KEYWORDS = frozenset(keyword.kwlist) - {"from", "import", "as", "None", "True", "False"}
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


def scan(text: str) -> None:
    """Look at every token of a text.

    Raises
    ------
    PipelineSourceError
        At the first that has no place in a pipeline, and for a text which is too large.
    """
    if len(text) > MAX_TEXT:
        raise PipelineSourceError(f"A pipeline text has at most {MAX_TEXT} characters, this one {len(text)}.", 1, 1)
    _check_characters(text)
    found = _COOKIE.match(text)
    if found:
        _refuse(text, found.end() - 1, "A pipeline text is UTF-8; take the declaration of another encoding out.")
    depth = tokens = 0
    previous, end = "", 0
    for match in _TOKEN.finditer(text):
        kind, start = match.lastgroup, match.start()
        if kind in ("space", "comment"):
            continue
        token = match.group()
        tokens += 1
        if tokens > MAX_TOKENS:
            _refuse(text, start, f"The text is too long: more than {MAX_TOKENS} names, values and signs.")
        if previous == "-" and kind != "number":
            _refuse(text, start, "A minus belongs before a number; there is no arithmetic.")
        if kind == "name":
            _check_name(text, start, token)
        elif kind == "string":
            if previous == "name" and end == start:
                _refuse(text, start, "Texts have no prefix such as f, r or b.")
            if previous == "string":
                _refuse(text, start, "Texts are not joined; put a comma between them, or write one.")
            _check_string(text, start, token)
        elif kind == "number":
            if len(token) > MAX_NUMBER:
                _refuse(text, start, f"A number has at most {MAX_NUMBER} characters.")
        elif kind == "other":
            _refuse(text, start, _reason(text, start))
        elif token in _OPEN:
            depth += 1
            if depth > MAX_BRACKETS:
                _refuse(text, start, f"Brackets are nested deeper than {MAX_BRACKETS}.")
            if previous in _CLOSE or previous in ("string", "number") or (previous == "name" and token != "("):
                _refuse(text, start, "Values are neither indexed nor called; only FunctionStep(...) and its like are.")
        elif token in _CLOSE:
            depth = max(depth - 1, 0)
        elif token == "-" and previous not in ("(", "[", "{", ",", ":", "=", "+="):
            _refuse(text, start, "There is no arithmetic in a pipeline text.")
        previous, end = (token if kind == "sign" else str(kind)), match.end()


def position(text: str, start: int) -> tuple[int, int]:
    """Line and column of a character, both from 1."""
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)


def _refuse(text: str, start: int, reason: str) -> None:
    raise PipelineSourceError(f"{reason} {ALLOWED}", *position(text, start))


def _check_characters(text: str) -> None:
    if text.replace("\n", " ").replace("\t", " ").isprintable():
        return
    start = next(place for place, sign in enumerate(text) if not sign.isprintable() and sign not in "\n\t")
    code = ord(text[start])
    written = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    _refuse(text, start, f"The invisible character U+{code:04X} has no place here; in a text write {written}.")


def _check_name(text: str, start: int, token: str) -> None:
    if len(token) > MAX_NAME:
        _refuse(text, start, f"A name has at most {MAX_NAME} characters.")
    for part in token.split("."):
        if part in _KEYWORDS:
            _refuse(text, start, f"'{part}' has no place in a pipeline text.")
        if part.startswith("__"):
            _refuse(text, start, f"Names such as {part} have no place in a pipeline text.")


def _check_string(text: str, start: int, token: str) -> None:
    place = token.find("\\")
    while place >= 0:
        found = _ESCAPE.match(token, place)
        if found is None:
            _refuse(text, start + place, "After a backslash come n, t, r, x41, u0041, a quote or another backslash.")
            return
        place = token.find("\\", found.end())


def _reason(text: str, start: int) -> str:
    sign = text[start]
    if sign in "'\"":
        return f"This text has no end, or more than {MAX_STRING} characters."
    if sign.isdigit() and sign.isascii() or sign == ".":
        return "Numbers are written like 12, -3 or 1.5e-3, and paths of modules without spaces."
    if not sign.isascii():
        return f"'{sign}' belongs in texts and comments only."
    if sign == "\\":
        return "Lines are continued inside of brackets, not by a backslash."
    return f"'{sign}' has no place in a pipeline text: it only states values."
