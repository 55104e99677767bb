"""Messages as the frames that travel: ``[protocol and version, header in JSON, payload if any]``. No sockets here."""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, NewType, TypeVar, Union

import numpy as np

from openhcs_core.streaming.errors import MessageError
from openhcs_core.streaming.messages import TYPES, Image, Message

PROTOCOL = b"OpenHCS/1"
MAX_HEADER_BYTES = 256 * 1024
MAX_TEXT = 4096
MAX_NUMBER = 2**63 - 1

LongText = NewType("LongText", str)
"""Text that may be as long as a header."""

Buffer = bytes | bytearray | memoryview
_Class = TypeVar("_Class")
_Reader = Callable[[Any], Any]


def encode(message: Message, payload: Buffer | None = None, **changes: Any) -> list[Buffer]:
    """Frames of a message, some of its fields changed.

    Raises
    ------
    MessageError
        If its header is too large to be taken.
    """
    header = _ENCODER.encode({"type": message.type, **vars(message), **changes}).encode()
    if len(header) > MAX_HEADER_BYTES:
        raise MessageError(f"A message '{message.type}' is too large: {len(header)} bytes of header.")
    return [PROTOCOL, header] if payload is None else [PROTOCOL, header, payload]


def decode(frames: Sequence[Buffer]) -> tuple[Message, Buffer | None]:
    """The message in frames, and its payload; nothing is copied or allocated for what they claim.

    Raises
    ------
    MessageError
        If it is malformed, of another version, too large, or makes no sense.
    """
    if not 2 <= len(frames) <= 3:
        raise MessageError(f"A message has {len(frames)} frames instead of 2 or 3.")
    protocol, header = frames[0], frames[1]
    if protocol != PROTOCOL:
        raise MessageError(f"A message does not begin with {PROTOCOL.decode()!r}: another protocol or version.")
    if len(header) > MAX_HEADER_BYTES:
        raise MessageError(f"A header has {len(header)} bytes; {MAX_HEADER_BYTES} are allowed.")
    message = from_table(read_json(header))
    payload = frames[2] if len(frames) == 3 else None
    expected = message.nbytes if isinstance(message, Image) and message.slot is None else None
    if (None if payload is None else len(payload)) != expected:
        raise MessageError(f"The payload of a message '{message.type}' is not the one that its header announces.")
    return message, payload


def read_json(text: Buffer) -> dict[str, Any]:
    """A JSON object.

    Raises
    ------
    MessageError
        If it is none.
    """
    try:
        table = _DECODER.decode(str(text, "utf-8"))
    except (ValueError, RecursionError) as error:
        raise MessageError("A header is not JSON.") from error
    if not isinstance(table, dict):
        raise MessageError("A header is not a JSON object.")
    return table


def from_table(table: dict[str, Any]) -> Message:
    """The message that a header says.

    Raises
    ------
    MessageError
        If its type is unknown, or a field is unknown, absent, or of the wrong type.
    """
    kind = table.pop("type", None)
    if not isinstance(kind, str) or kind not in TYPES:
        raise MessageError("A message has an unknown type.")
    return read_object(TYPES[kind], table, kind)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _plain(value: Any) -> Any:
    """What the encoder does not know: parts of messages, and numbers of NumPy."""
    return value.item() if isinstance(value, np.generic) else vars(value)


_ENCODER = json.JSONEncoder(default=_plain, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def read_object(kind: type[_Class], table: dict[str, Any], where: str) -> _Class:
    """A data class as the fields of a table say.

    Parameters
    ----------
    kind : type
        The data class; its annotations are what the fields must be.
    table : mapping
        As read from JSON.
    where : str
        What it is, for errors.

    Raises
    ------
    MessageError
        If a field is unknown, absent, or of the wrong type; with its name.
    """
    readers, needed = _fields(kind)  # type: ignore[arg-type]
    if not needed <= table.keys():
        absent = min(needed - table.keys())
        raise MessageError(f"'{where}' lacks the field '{absent}'.", absent)
    name = ""
    values = {}
    try:
        for name, value in table.items():
            values[name] = readers[name](value)
    except KeyError:
        raise MessageError(f"'{where}' has a field that is unknown.", name[:40]) from None
    except _Wrong:
        raise MessageError(f"The field '{name}' of '{where}' is not of its type.", name) from None
    return kind(**values)


class _Wrong(Exception):
    """A value is not of its type."""


@functools.cache
def _fields(kind: type) -> tuple[dict[str, _Reader], set[str]]:
    """How to read each field, and which must not be absent."""
    hints = typing.get_type_hints(kind)
    entries = fields(kind)
    needed = {entry.name for entry in entries if entry.default is MISSING and entry.default_factory is MISSING}
    return {entry.name: _reader(hints[entry.name]) for entry in entries}, needed


def _reader(hint: Any) -> _Reader:
    """A function that returns a value as annotated; bool is no number, and whole numbers may stand for floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _either({option: _reader(option) for option in arguments if option is not type(None)}, hint)
    if origin is Literal:
        return lambda value: value if isinstance(value, str) and value in arguments else _wrong()
    if origin is tuple and arguments[-1] is Ellipsis:
        item = _reader(arguments[0])
        return lambda value: tuple(map(item, value)) if isinstance(value, list) else _wrong()
    if origin is tuple:
        items = [_reader(argument) for argument in arguments]

        def read_tuple(value: Any) -> Any:
            if not isinstance(value, list) or len(value) != len(items):
                raise _Wrong
            return tuple([read(one) for read, one in zip(items, value, strict=True)])

        return read_tuple
    if origin is dict:
        key, item = _reader(arguments[0]), _reader(arguments[1])
        return lambda value: {key(k): item(v) for k, v in value.items()} if isinstance(value, dict) else _wrong()
    if is_dataclass(hint) and isinstance(hint, type):
        return lambda value: read_object(hint, value, hint.__name__) if isinstance(value, dict) else _wrong()
    return _SIMPLE[hint]


def _either(readers: dict[Any, _Reader], hint: Any) -> _Reader:
    """Read a value as the option of its type, else as the first."""
    optional, first = type(None) in typing.get_args(hint), next(iter(readers.values()))
    if optional and len(readers) == 1:
        return lambda value: None if value is None else first(value)

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        return readers.get(type(value), first)(value)

    return read


def _wrong() -> Any:
    raise _Wrong


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < 1e300:  # nor is it NaN
        raise _Wrong
    return float(value)


_SIMPLE: dict[Any, _Reader] = {
    str: lambda value: value if isinstance(value, str) and len(value) <= MAX_TEXT else _wrong(),
    LongText: lambda value: value if isinstance(value, str) else _wrong(),
    bool: lambda value: value if isinstance(value, bool) else _wrong(),
    int: lambda value: value if type(value) is int and 0 <= value <= MAX_NUMBER else _wrong(),
    float: _number,
}
