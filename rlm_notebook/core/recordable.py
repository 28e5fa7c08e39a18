"""What models, tools and options put in, as it can be recorded: JSON that every reader takes again.

An event holds it from the moment it is told, so no reader has to look at it again. Nothing is dropped in silence: a
value that JSON has no form for becomes text that says what it was.

- A number that is none (NaN, Infinity), or one of more digits than readers take, is text.
- Objects have text for keys; of two keys that read alike both stay.
- What is nested deeper than `DEEPEST` is the text of its JSON.
- Bytes are text if they are UTF-8, else Base64; other values are what pydantic makes of them, else their `repr`.
- A count of tokens is a whole number up to `MOST`, a time lies between 1970 and the year 9999.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from pydantic_core import to_jsonable_python

from .events import KINDS, Event
from .limits import NOTHING, Usage

__all__ = ["DEEPEST", "LATEST", "MOST", "moment", "plain", "plain_arguments", "plain_text", "plain_usage", "recordable"]

#: Lists and objects within each other that are kept as such. Readers take a few more.
DEEPEST = 90
#: Seconds since the epoch: the last that a calendar has a date for.
LATEST = 253_402_300_799.0
#: Tokens or dollars of one call; readers take the sum of millions of such calls.
MOST = 2**40
#: Whole numbers below this are read by everybody.
_LARGE = 10**300
#: Values within one value; a list that holds itself twice on each of 60 levels has more than anybody can write.
_MOST_VALUES = 1_000_000


def recordable(event: Event) -> Event:
    """The event, if all its fields can be recorded as they are, else one of which they can."""
    texts, others, all_fields = _FIELDS[type(event)]
    plain_texts = {*map(type, texts(event))} == _TEXT
    changes: dict[str, Any] | None = None
    for name, conversion in others if plain_texts else all_fields:
        value = getattr(event, name)
        if (better := conversion(value)) is not value:
            changes = changes or {}
            changes[name] = better
    return replace(event, **changes) if changes else event


def plain_text(value: Any) -> str:
    """Text as it is, of a subclass the text alone; of anything else what `str` says."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return str.__str__(str(value))
    except Exception:
        return _unspeakable(value)


def moment(at: Any) -> float:
    """A time that can be recorded: clocks may be set to before 1970, or be broken."""
    if type(at) is float and 0.0 <= at <= LATEST:
        return at
    try:
        at = float(at)
    except (TypeError, ValueError, ArithmeticError):
        return 0.0
    return min(max(at, 0.0), LATEST) if at == at else 0.0


def plain_usage(usage: Any) -> Usage:
    """Counts as whole numbers, costs as finite ones; what is beyond belief counts as much as can be recorded."""
    if not isinstance(usage, Usage):
        return Usage()
    if usage is NOTHING:
        return usage
    cost = usage.cost_usd
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens, usage.calls)
    countable = {*map(type, counts)} == {int} and min(counts) >= -MOST and max(counts) <= MOST
    if countable and (cost is None or (type(cost) is float and -MOST <= cost <= MOST)):
        return usage
    return Usage(*map(_count, counts)).with_cost(_cost(cost))


def _count(value: Any) -> int:
    try:
        return int(max(-MOST, min(MOST, value)))
    except (TypeError, ValueError, ArithmeticError):
        return 0


def _cost(value: Any) -> float | None:
    """An amount that is none is not known."""
    try:
        return float(max(-MOST, min(MOST, value))) if value is not None and value == value else None
    except (TypeError, ValueError, ArithmeticError):
        return None


def plain(value: Any, *, fresh: bool = False) -> Any:
    """Any value as JSON has it; the very same object where nothing has to be changed, unless it is to be a `fresh`
    one, which nobody else can change."""
    if not fresh and type(value) is dict and {*map(type, value)} <= _TEXT and {*map(type, value.values())} <= _SIMPLE:
        return value
    return _Plain(fresh).of(value, 0)


#: The types of a dict's keys and values if there is nothing to change about it, as of most there is not.
_TEXT = frozenset({str})
_SIMPLE = frozenset({str, bool, type(None)})


def plain_arguments(value: Any) -> dict[str, Any] | str:
    """Arguments of a tool: an object, or text that is none. Too deep to be kept they are text: a tool has to get what
    is recorded, or nothing."""
    if isinstance(value, str):
        return plain_text(value)
    made = _Plain()
    arguments = made.of(value, 0)
    return arguments if isinstance(arguments, dict) and not made.cut else _Plain().as_text(value)


class _Plain:
    """One value on its way; a second look at an object that is being looked at is a circle."""

    def __init__(self, fresh: bool = False) -> None:
        self._fresh = fresh
        self._open: set[int] = set()
        self._values = 0
        #: Something is text because it was too deep, or too much.
        self.cut = False

    def of(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str or value is None or kind is bool:
            return value
        if kind is int:
            return value if -_LARGE < value < _LARGE else _digits(value)
        if kind is float:
            return value if value - value == 0 else _NUMBERS.get(repr(value), "NaN")
        if kind is dict or kind is list or kind is tuple:
            if not (value or self._fresh):
                return value
            return self._within(value, depth, self._object if kind is dict else self._array)
        return self._odd(value, depth)

    def _within(self, value: Any, depth: int, inner: Callable[[Any, int], Any]) -> Any:
        self._values += len(value)
        if id(value) in self._open or depth >= DEEPEST or self._values > _MOST_VALUES:
            self.cut = True
            return self.as_text(value)
        self._open.add(id(value))
        try:
            return inner(value, depth + 1)
        finally:
            self._open.discard(id(value))

    def _object(self, given: dict[Any, Any], depth: int) -> dict[str, Any]:
        same, made = not self._fresh, dict[str, Any]()
        for key, item in given.items():
            better = item if type(item) in _SIMPLE else self.of(item, depth)
            same = same and better is item and type(key) is str
            made[key if type(key) is str else _distinct(_key(key), key, given, made)] = better
        return given if same else made

    def _array(self, given: list[Any] | tuple[Any, ...], depth: int) -> Any:
        made = [item if type(item) in _SIMPLE else self.of(item, depth) for item in given]
        same = not self._fresh and all(new is old for new, old in zip(made, given, strict=True))
        return given if same else made

    def as_text(self, value: Any) -> str:
        """What is too deep to be kept as it is: its JSON as text, or a word on why that cannot be written."""
        try:
            if self._can_be_written(value):
                return json.dumps(value, ensure_ascii=False, default=_unspeakable)
        except (RecursionError, TypeError, ValueError):
            pass
        return f"(left out: more than {DEEPEST} levels or {_MOST_VALUES:,} values within each other)"

    def _can_be_written(self, value: Any) -> bool:
        """What holds itself, or the same list again and again, has no end."""
        level = [value]
        while level:
            inner = level.pop()
            self._values += len(inner)
            if self._values > _MOST_VALUES:
                return False
            level += [each for each in _items(inner) if isinstance(each, dict | list | tuple)]
        return True

    def _odd(self, value: Any, depth: int) -> Any:
        """Subclasses as what they are of; what is left as pydantic writes it."""
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return self.of(int.__pos__(value), depth)
        if isinstance(value, float):
            return self.of(float.__pos__(value), depth)
        if isinstance(value, bytes | bytearray | memoryview):
            return _of_bytes(bytes(value))
        try:
            if isinstance(value, Mapping):
                return self._within(dict(value.items()), depth, self._object)
            if isinstance(value, list | tuple):
                return self._within(list(value), depth, self._array)
            if isinstance(value, set | frozenset):
                return self._within(sorted(value, key=repr), depth, self._array)
            listed = getattr(value, "tolist", None)
            made = listed() if callable(listed) else to_jsonable_python(value, bytes_mode="base64")
        except Exception:
            return _unspeakable(value)
        return self.of(made, depth) if type(made) in _JSON else _unspeakable(value)


def _items(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


_JSON = frozenset([str, int, float, bool, type(None), dict, list])
_NUMBERS = {"inf": "Infinity", "-inf": "-Infinity"}


def _digits(value: int) -> str:
    """Python writes no more than some thousand decimal digits; hexadecimal ones it always does."""
    try:
        return str(value)
    except ValueError:
        return hex(value)


def _key(key: Any) -> str:
    """As `json` writes keys that are no text; others as text."""
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int) and not isinstance(key, str):
        return _digits(int.__pos__(key))
    if isinstance(key, bytes):
        return _of_bytes(key)
    return plain_text(key)


def _distinct(text: str, key: Any, given: Mapping[Any, Any], made: Mapping[str, Any]) -> str:
    """Also beside a key that reads alike."""
    if text not in made and (isinstance(key, str) or text not in given):
        return text
    named, number = f"{text} ({type(key).__name__})", 1
    while named in made or named in given:
        number += 1
        named = f"{text} ({type(key).__name__} {number})"
    return named


def _of_bytes(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return base64.b64encode(value).decode("ascii")


def _unspeakable(value: Any) -> str:
    try:
        return str.__str__(repr(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _object(value: Any) -> Any:
    """What has to be an object."""
    made = plain(value)
    return made if isinstance(made, dict) else {} if made is None else {"value": made}


def _object_or_none(value: Any) -> Any:
    return None if value is None else _object(value)


def _texts(value: Any) -> tuple[str, ...]:
    if type(value) is tuple and {*map(type, value)} <= _TEXT:
        return value
    return tuple(map(plain_text, value))


def _digests(value: Any) -> dict[str, str]:
    if type(value) is dict and {*map(type, value)} <= _TEXT and {*map(type, value.values())} <= _TEXT:
        return value
    return {plain_text(name): plain_text(text) for name, text in dict(value).items()}


def _text_or_none(value: Any) -> str | None:
    return None if value is None else plain_text(value)


def _flag(value: Any) -> bool:
    return value if type(value) is bool else bool(value)


def calls_of(value: Any) -> Any:
    """The calls of a reply: each has an id and a name, and arguments that are an object or text."""
    made = tuple(call if type(call) is dict and _is_plain_call(call) else _call(call) for call in value)
    return value if type(value) is tuple and all(a is b for a, b in zip(made, value, strict=True)) else made


def _is_plain_call(call: dict[str, Any]) -> bool:
    return plain(call) is call and type(call.get("arguments")) in (dict, str)


def _call(call: Any) -> Any:
    made = _object(call)
    arguments = made.get("arguments")
    if "arguments" in made and not isinstance(arguments, dict | str):
        made = {**made, "arguments": plain_arguments(arguments)}
    return {**made, **{name: plain_text(made[name]) for name in ("id", "name") if name in made}}


#: By the annotation of an event's field: what makes a value one that can be recorded.
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "str": plain_text,
    "str | None": _text_or_none,
    "float": moment,
    "bool": _flag,
    "Usage": plain_usage,
    "tuple[str, ...]": _texts,
    "dict[str, Any]": _object,
    "dict[str, Any] | None": _object_or_none,
    "dict[str, str]": _digests,
    "tuple[dict[str, Any], ...]": calls_of,
}

_Conversion = tuple[str, Callable[[Any], Any]]


def _fields_of(kind: type[Event]) -> tuple[Callable[[Event], tuple[Any, ...]], list[_Conversion], list[_Conversion]]:
    """What gives all texts of an event at once, since nearly all are plain; the other fields; all fields."""
    conversions = [(each.name, _CONVERSIONS[str(each.type)]) for each in fields(kind)]
    texts = [name for name, conversion in conversions if conversion in (plain_text, _text_or_none)]
    # Of one name alone it gives no tuple.
    return attrgetter("node", *texts), [each for each in conversions if each[0] not in texts], conversions


#: The fields of each kind of events; one that nothing converts is an error when it is defined, and not in a run.
_FIELDS = {kind: _fields_of(kind) for kind in KINDS.values()}
