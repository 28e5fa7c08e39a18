"""Messages between the host and a confined process: a length, then JSON of that many bytes.

JSON has no bytes, tuples and exceptions: a dict with one of the keys below stands for them, and a dict of the user's
with such a key is written as its items. What arrives from the process is hostile: its length is checked before it is
read, and its punctuation before it is parsed, because a short text can describe a large number of objects.

This module and `crossing` import only the standard library: the confined process loads them, too.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from typing import Any

from .crossing import plain, portable_error, rebuilt_error

__all__ = ["HEADER", "MOST_BYTES", "MalformedError", "body_length", "packed", "unpacked"]

HEADER = struct.Struct("!I")
#: The longest message that the host reads.
MOST_BYTES = 20_000_000
MOST_CONTAINERS = 1_000_000
MOST_COMMAS = 5_000_000

_BYTES, _TUPLE, _ITEMS, _ERROR = "__bytes__", "__tuple__", "__items__", "__error__"
_MARKS = {_BYTES, _TUPLE, _ITEMS, _ERROR}
_AS_THEY_ARE = {str, int, float, bool, type(None)}


class MalformedError(ValueError):
    """A message that does not keep to the protocol."""


def packed(message: dict[str, Any]) -> bytes:
    """A message with its length, as it is sent."""
    body = json.dumps(_packed(message), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return HEADER.pack(len(body)) + body


def body_length(header: bytes | bytearray, most: int = MOST_BYTES) -> int:
    """How long the message behind a header is. Raises `MalformedError` if it is longer than allowed."""
    length = int(HEADER.unpack(header)[0])
    if length > most:
        raise MalformedError(f"a message of {length:,} bytes; at most {most:,} can be passed at once")
    return length


def unpacked(body: bytes | bytearray, *, trusted: bool = False) -> dict[str, Any]:
    """The message. Raises `MalformedError` for anything that is none."""
    if not trusted and (body.count(b"[") + body.count(b"{") > MOST_CONTAINERS or body.count(b",") > MOST_COMMAS):
        raise MalformedError("a message of too many parts; pass less at once")
    try:
        message = _unpacked(json.loads(body))
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise MalformedError(f"a message that is not readable ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise MalformedError("a message that is no object")
    return message


def _packed(value: Any) -> Any:
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, list):
        # Columns of a table are long and simple.
        return value if set(map(type, value)) <= _AS_THEY_ARE else [_packed(item) for item in value]
    if isinstance(value, Mapping):
        if _MARKS.isdisjoint(value):
            return {str(key): _packed(item) for key, item in value.items()}
        return {_ITEMS: [[str(key), _packed(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [_packed(item) for item in value]}
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode("ascii")}
    if isinstance(value, BaseException):
        return {_ERROR: list(portable_error(value))}
    if isinstance(value, str | int | float):
        return value  # a subclass, which JSON writes as its base
    return _packed(plain(value))


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return value if set(map(type, value)) <= _AS_THEY_ARE else [_unpacked(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or _MARKS.isdisjoint(value):
        return {key: _unpacked(item) for key, item in value.items()}
    [(mark, content)] = value.items()
    if mark == _BYTES:
        return base64.b64decode(content, validate=True)
    if mark == _TUPLE:
        return tuple(_unpacked(item) for item in content)
    if mark == _ERROR:
        name, text = content
        return rebuilt_error(str(name), str(text))
    return {str(key): _unpacked(item) for key, item in content}
