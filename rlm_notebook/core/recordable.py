"""Values of models, tools and options in a recordable form: JSON that every parser accepts.

An event is converted before it is applied, so no later code has to check its values. Nothing is dropped silently: a
value that JSON cannot hold becomes text that describes it.

- NaN, the infinities, and integers with more digits than parsers accept become text.
- Keys of objects become text; if two keys have the same text, both stay.
- A value that is nested deeper than `DEEPEST` becomes the text of its JSON.
- Bytes become text if they are UTF-8, else Base64; other values are converted by pydantic, else by `repr`.
- A token count is a whole number up to `MOST`; a time is between 1970 and the year 9999.
"""

from __future__ import annotations

import base64
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

from pydantic_core import to_jsonable_python

from .events import KINDS, Event
from .usage import NOTHING, Usage

__all__ = ["DEEPEST", "LATEST", "MOST", "moment", "plain", "plain_arguments", "plain_text", "plain_usage", "recordable"]

#: The deepest nesting of lists and objects; parsers accept a few more levels.
DEEPEST = 90
#: The latest time, in seconds since the epoch: the end of the year 9999, the last that `datetime` supports.
LATEST = 253_402_300_799.0
#: The most tokens or dollars of one call; parsers still accept the sum of millions of such calls.
MOST = 2**40
#: The bound of integers that all parsers accept.
_LARGE = 10**300
#: The most values within one value: a list that contains itself twice on each of 60 levels could not be written.
_MOST_VALUES = 1_000_000


def recordable(event: Event) -> Event:
    """The event itself if all its fields are recordable, else a copy with converted fields."""
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
    """The text of a `str`, without its subclass; for any other value the result of `str`."""
    if type(value) is str:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    try:
        return str.__str__(str(value))
    except Exception:
        return _repr(value)


def moment(at: Any) -> float:
    """A recordable time, in seconds since the epoch: a clock may be set to before 1970, or be broken."""
    if type(at) is float and 0.0 <= at <= LATEST:
        return at
    try:
        at = float(at)
    except (TypeError, ValueError, ArithmeticError):
        return 0.0
    return min(max(at, 0.0), LATEST) if at == at else 0.0


def plain_usage(usage: Any) -> Usage:
    """The usage with integer counts and a finite cost, clamped to what can be recorded."""
    if not isinstance(usage, Usage):
        return Usage()
    if usage is NOTHING:
        return usage
    cost = usage.cost_usd
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens, usage.calls)
    countable = {*map(type, counts)} == {int} and min(counts) >= -MOST and max(counts) <= MOST
    if countable and (cost is None or (type(cost) is float and -MOST <= cost <= MOST)):
        return usage
    # NaN is not equal to itself; a cost that is no number counts as unknown.
    known = cost is not None and cost == cost
    return Usage(*(int(_clamped(count) or 0) for count in counts)).with_cost(_clamped(cost) if known else None)


def _clamped(value: Any) -> float | None:
    try:
        return float(max(-MOST, min(MOST, value)))
    except (TypeError, ValueError, ArithmeticError):
        return None


def plain(value: Any, *, fresh: bool = False) -> Any:
    """Any value as JSON; the same object if nothing has to be converted, unless `fresh` asks for a copy that no other
    code can change."""
    if not fresh and type(value) is dict and {*map(type, value)} <= _TEXT and {*map(type, value.values())} <= _SIMPLE:
        return value
    return _Plain(fresh).of(value, 0)


#: The types of the keys and values of most dicts, which need no conversion.
_TEXT = frozenset({str})
_SIMPLE = frozenset({str, bool, type(None)})


def plain_arguments(value: Any) -> dict[str, Any] | str:
    """The arguments of a tool call: an object, or text that is not one. Arguments that are nested too deeply become
    text, so that the call fails: a tool must get exactly what is recorded."""
    if isinstance(value, str):
        return plain_text(value)
    made = _Plain()
    arguments = made.of(value, 0)
    return arguments if isinstance(arguments, dict) and not made.cut else _Plain().as_text(value)


class _Plain:
    """Converts one value; an object that is met again while it is being converted contains itself."""

    def __init__(self, fresh: bool = False) -> None:
        self._fresh = fresh
        self._open: set[int] = set()
        self._values = 0
        #: Whether something became text because it was too deep or too large.
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
            made[key if type(key) is str else _distinct_key(key, given, made)] = better
        return given if same else made

    def _array(self, given: list[Any] | tuple[Any, ...], depth: int) -> Any:
        if not self._fresh:
            # Without a look at each item in Python: a list may hold a million numbers.
            kinds = set(map(type, given))
            if kinds == {int}:
                are_plain = min(given) > -_LARGE and max(given) < _LARGE
            else:
                are_plain = all(map(math.isfinite, given)) if kinds == {float} else kinds <= _SIMPLE
            if are_plain:
                return given
        made = [item if type(item) in _SIMPLE else self.of(item, depth) for item in given]
        same = not self._fresh and all(new is old for new, old in zip(made, given, strict=True))
        return given if same else made

    def as_text(self, value: Any) -> str:
        """The JSON of a value that is nested too deeply, as text; if that cannot be written, a note on why."""
        # Counted first, so that writing ends: the value may contain itself, or the same list over and over.
        waiting = [value]
        try:
            while waiting and self._values <= _MOST_VALUES:
                inner = waiting.pop()
                self._values += len(inner)
                items = inner.values() if isinstance(inner, dict) else inner
                waiting += [each for each in items if isinstance(each, dict | list | tuple)]
            if self._values <= _MOST_VALUES:
                return json.dumps(value, ensure_ascii=False, default=_repr)
        except (RecursionError, TypeError, ValueError):
            pass
        return f"(left out: more than {DEEPEST} levels or {_MOST_VALUES:,} values within each other)"

    def _odd(self, value: Any, depth: int) -> Any:
        """Instances of subclasses as their base type; other values as pydantic writes them."""
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
            return _repr(value)
        return self.of(made, depth) if type(made) in _JSON else _repr(value)


_JSON = frozenset([str, int, float, bool, type(None), dict, list])
_NUMBERS = {"inf": "Infinity", "-inf": "-Infinity"}


def _digits(value: int) -> str:
    """The digits of a large integer: hexadecimal if Python refuses to write so many decimal ones."""
    try:
        return str(value)
    except ValueError:
        return hex(value)


def _distinct_key(key: Any, given: Mapping[Any, Any], made: Mapping[str, Any]) -> str:
    """A key as text, as `json` writes it if it accepts the type; with its type if another key has the same text."""
    if key is None or isinstance(key, bool):
        text = {None: "null", True: "true", False: "false"}[key]
    elif isinstance(key, int) and not isinstance(key, str):
        text = _digits(int.__pos__(key))
    else:
        text = _of_bytes(key) if isinstance(key, bytes) else plain_text(key)
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


def _repr(value: Any) -> str:
    # `repr` is code of the object's author, and may raise anything.
    try:
        return str.__str__(repr(value))
    except Exception:
        return f"<{type(value).__name__}>"


def _object(value: Any) -> Any:
    """The value of a field that has to be an object."""
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


def calls_of(value: Any) -> Any:
    """The calls of a reply: each has an id and a name, and arguments that are an object or text."""
    calls = []
    for given in value:
        call = given
        if type(call) is not dict or plain(call) is not call or type(call.get("arguments")) not in (dict, str):
            call = _object(call)
            if "arguments" in call and not isinstance(call["arguments"], dict | str):
                call = {**call, "arguments": plain_arguments(call["arguments"])}
            call = {**call, **{name: plain_text(call[name]) for name in ("id", "name") if name in call}}
        calls.append(call)
    return value if type(value) is tuple and all(map(operator.is_, calls, value)) else tuple(calls)


#: The conversion to a recordable value, by the annotation of an event's field.
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "str": plain_text,
    "str | None": _text_or_none,
    "float": moment,
    "int": lambda value: value if type(value) is int and 0 <= value <= MOST else int(_clamped(value) or 0),
    "bool": bool,
    "Usage": plain_usage,
    "tuple[str, ...]": _texts,
    "dict[str, Any]": _object,
    "dict[str, Any] | None": _object_or_none,
    "dict[str, str]": _digests,
    "tuple[dict[str, Any], ...]": calls_of,
}

_Conversion = tuple[str, Callable[[Any], Any]]


def _fields_of(kind: type[Event]) -> tuple[Callable[[Event], tuple[Any, ...]], list[_Conversion], list[_Conversion]]:
    """A function that gets all texts of an event at once (nearly all need no conversion), the conversions of its other
    fields, and those of all fields."""
    conversions = [(each.name, _CONVERSIONS[str(each.type)]) for each in fields(kind)]
    texts = [name for name, conversion in conversions if conversion in (plain_text, _text_or_none)]
    # With a single name, `attrgetter` would return no tuple.
    return operator.attrgetter("node", *texts), [each for each in conversions if each[0] not in texts], conversions


#: By kind of event. A field without a conversion raises `KeyError` when this module is imported, not in a run.
_FIELDS = {kind: _fields_of(kind) for kind in KINDS.values()}
