"""JSON in what models write: behind prose, in fences, with single quotes, wherever it is unambiguous."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["DECODER", "json_objects", "json_values"]

#: Control characters inside strings are let pass: models put line breaks there.
DECODER = json.JSONDecoder(strict=False)

#: A string, or a comma that stands before a closing bracket. A string that never ends goes to the end of the text: a
#: reply that was cut off in the middle of one must not be searched again from each of its quotes.
_TRAILING_COMMA = re.compile(r'("(?>[^"\\]+|\\.)*+(?:"|\\?\Z))|,(?=\s*[}\]])', re.DOTALL)
#: A string, or one in single quotes: an apostrophe in it is no end, because something else follows.
_SINGLE_QUOTED = re.compile(
    r"""("(?>[^"\\]+|\\.)*+(?:"|\\?\Z))|(?<=[{\[,:\s])'((?>[^'\\]+|\\.|'(?!\s*[,:}\]]))*+)(?:'|\\?\Z)""",
    re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)|\"", re.DOTALL)
#: As Python writes them; `null` and the like are not touched by this.
_PYTHON_WORD = re.compile(r'("(?>[^"\\]+|\\.)*+(?:"|\\?\Z))|\b(None|True|False)\b', re.DOTALL)
_JSON_WORD = {"None": "null", "True": "true", "False": "false"}

#: A text of nothing but brackets must not keep anybody busy.
_MOST_TRIES = 2_000
_OBJECT = re.compile(r"{")
_OBJECT_OR_ARRAY = re.compile(r"[{\[]")


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a text, outermost first, wherever they stand; then those of the text made regular."""
    yield from _found(text, _OBJECT)


def json_values(text: str) -> Iterator[Any]:
    """The whole text as a JSON value, if it is one; else the objects and arrays in it."""
    try:
        yield DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        yield from _found(text, _OBJECT_OR_ARRAY)


def _found(text: str, opening: re.Pattern[str]) -> Iterator[Any]:
    yield from _scan(text, opening)
    first = opening.search(text)
    start = first.start() if first else 0
    regular = _TRAILING_COMMA.sub(lambda match: match[1] or "", text[start:])
    if regular != text[start:]:
        yield from _scan(regular, opening)
    # Last, because the texts above may be right as they are, and what is in their strings too.
    doubled = _TRAILING_COMMA.sub(lambda match: match[1] or "", _in_double_quotes(text[start:]))
    if doubled != regular:
        yield from _scan(doubled, opening)


def _in_double_quotes(text: str) -> str:
    """A text in which objects are written as Python does, with single quotes, as JSON."""
    if "'" not in text:
        return text
    quoted = _SINGLE_QUOTED.sub(lambda match: match[1] or f'"{_ESCAPED.sub(_as_in_json, match[2])}"', text)
    return _PYTHON_WORD.sub(lambda match: match[1] or _JSON_WORD[match[2]], quoted)


def _as_in_json(match: re.Match[str]) -> str:
    if match[1] is None:
        return '\\"'
    return "'" if match[1] == "'" else match[0]


def _scan(text: str, opening: re.Pattern[str]) -> Iterator[Any]:
    position = 0
    for _ in range(_MOST_TRIES):
        found = opening.search(text, position)
        if found is None:
            return
        try:
            value, position = DECODER.raw_decode(text, found.start())
        except (ValueError, RecursionError):
            position = found.end()
        else:
            yield value
