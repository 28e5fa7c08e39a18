"""Tool calls as servers really send them, in whole replies and in the deltas of a stream.

A delta should hold the index of its call, and the first delta of a call its id and its name. Servers leave out the
index or give 0 to every call, send no id, an empty one, one for each delta, or the same for all calls, repeat the
name in each delta, all of the arguments so far, or the whole call at the end. So a delta is added to the call that it
can belong to (`_Call.goes_on`), and begins a call of its own only if there is none. The arguments decide most cases:
once they are a whole JSON object, nothing can follow but the same object again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...core.recordable import plain_arguments
from ...core.text import well_formed, well_formed_value
from ...ports.model import ToolCall

__all__ = ["INVALID_JSON", "CallsWritten", "arguments_as_object", "arguments_from", "arguments_text", "called"]

#: How arguments that are no JSON object go back to a provider: it refuses a conversation with anything else in it.
INVALID_JSON = "invalid_json"

#: Arguments that were encoded once more by each gateway on the way.
_MOST_ENCODINGS = 3


class CallsWritten:
    """The tool calls of one reply while it is being written; `offered` are the names of the tools in the request."""

    def __init__(self, offered: Collection[str] = ()) -> None:
        self._offered = offered
        self._calls: list[_Call] = []
        self._chunk = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add_whole(self, calls: Any) -> None:
        """The calls of a reply that is not streamed: each is one."""
        for call in calls if isinstance(calls, list | tuple) else ():
            if isinstance(call, Mapping):
                self._calls.append(_Call.of(_Delta.of(call, 0)))

    def add(self, deltas: Any) -> None:
        """The calls in one chunk of a stream."""
        self._chunk += 1
        listed = deltas if isinstance(deltas, list | tuple) else ()
        for position, given in enumerate(listed):
            if isinstance(given, Mapping) and not (delta := _Delta.of(given, position)).is_empty:
                self._add(delta)

    def add_piece(self, key: Any, name: Any = None, arguments: Any = None, *, call_id: Any = None) -> None:
        """A piece of the call that the provider calls `key`, where that can be relied on."""
        call = next((each for each in self._calls if each.key == key), None)
        if call is None:
            call = _Call(key)
            self._calls.append(call)
        call.id = call.id or _text(call_id)
        call.name = call.name or _text(name)
        call.arguments = _joined(call.arguments, arguments)

    def replace(self, key: Any, name: Any, arguments: Any, *, call_id: Any = None) -> None:
        """The whole of a call, which repeats what came in pieces."""
        self.add_piece(key, name, call_id=call_id)
        call = next(each for each in self._calls if each.key == key)
        if arguments not in (None, ""):
            call.arguments = arguments

    def has(self, key: Any, call_id: Any = None) -> bool:
        return any(each.key == key or (call_id and each.id == call_id) for each in self._calls)

    def calls(self, first: int) -> tuple[ToolCall, ...]:
        """The calls; those without an id are numbered from `first` on, so that ids are unique in a conversation."""
        return tuple(
            ToolCall(well_formed(call.id) or f"call_{at}", well_formed(call.name), arguments_from(call.written))
            for at, call in enumerate(self._calls, first)
        )

    def _add(self, delta: _Delta) -> None:
        if self._repeats(delta):
            return
        # The latest call that it can belong to: of its id and index, of its id, of its index, or at all.
        latest = self._calls[::-1]
        same_id = [call for call in latest if delta.id and call.id == delta.id]
        same_index = [call for call in latest if call.key == delta.key]
        both = [call for call in same_id if call.key == delta.key]
        anonymous = not delta.id and not delta.name
        call = next(iter([*both, *same_id, *same_index, *(latest if anonymous else [])]), None)
        if call is None or not call.goes_on(delta, self._chunk, self._offered):
            self._calls.append(_Call.of(delta, self._chunk))
        else:
            call.add(delta, self._chunk)

    def _repeats(self, delta: _Delta) -> bool:
        """Whether this is a call that has come already, whole, as some servers repeat it at the end."""
        given = _whole(delta.arguments)
        if given is None or not (delta.id or delta.name):
            return False
        return any(
            call.chunk != self._chunk
            and (not delta.id or not call.id or delta.id == call.id)
            and (not delta.name or delta.name == call.name)
            and (delta.key == call.key or not delta.indexed)
            and _whole(call.arguments) == given
            for call in self._calls
        )


@dataclass(slots=True)
class _Delta:
    key: int
    indexed: bool
    id: str
    name: str
    arguments: Any

    @classmethod
    def of(cls, given: Mapping[str, Any], position: int) -> _Delta:
        index, function = given.get("index"), given.get("function")
        named = function if isinstance(function, Mapping) else given
        key = index if isinstance(index, int) else position
        return cls(key, index is not None, _text(given.get("id")), _text(named.get("name")), named.get("arguments"))

    @property
    def is_empty(self) -> bool:
        return not (self.id or self.name or self.arguments)


@dataclass(slots=True)
class _Call:
    key: Any
    id: str = ""
    name: str = ""
    arguments: Any = ""
    #: In which chunk it was last added to.
    chunk: int = 0
    #: The last piece of its arguments, while each piece begins with the one before it; else `None`.
    latest: str | None = ""

    @classmethod
    def of(cls, delta: _Delta, chunk: int = 0) -> _Call:
        arguments = "" if delta.arguments is None else delta.arguments
        return cls(delta.key, delta.id, delta.name, arguments, chunk, arguments if isinstance(arguments, str) else None)

    @property
    def written(self) -> Any:
        """The arguments: the pieces together or, where only that is an object, the last of pieces that grow."""
        grown = self.latest is not None and _whole(self.arguments) is None and _whole(self.latest) is not None
        return self.latest if grown else self.arguments

    def add(self, delta: _Delta, chunk: int) -> None:
        self.id = self.id or delta.id
        self.chunk = chunk
        if self.name and delta.name and self.name != delta.name:
            self.name += delta.name
        self.name = self.name or delta.name
        if delta.arguments:
            piece = delta.arguments if isinstance(delta.arguments, str) else ""
            self.latest = piece if self.latest is not None and piece.startswith(self.latest) and piece else None
        if self.arguments == "{}" and delta.arguments:
            # Some gateways begin with an empty object, and then send the real one in pieces.
            self.arguments = ""
        self.arguments = _joined(self.arguments, delta.arguments)

    def goes_on(self, delta: _Delta, chunk: int, offered: Collection[str]) -> bool:
        """Whether a delta can be a further piece of this call."""
        piece = delta.arguments
        if self.name and delta.name and delta.name != self.name:
            # A name may come in pieces, too, where only the whole is a tool that there is.
            return not self.arguments and any(each.startswith(self.name + delta.name) for each in offered)
        if not delta.name and not (delta.id and self.id and delta.id != self.id):
            return True
        if self.chunk == chunk and delta.name and (not self._is_open or _begins_object(piece)):
            return False
        other_id = bool(delta.id and self.id and delta.id != self.id)
        if other_id or (delta.indexed and delta.key != self.key):
            # Another id, or an index: a new call, unless this one is in the middle of its arguments.
            return self._is_open and not _begins_object(piece) and not (delta.name and not piece)
        if self.arguments == "{}" and piece and _whole(piece) is None:
            return True
        return _whole(self.arguments) is None or not piece

    @property
    def _is_open(self) -> bool:
        return bool(self.arguments) and _whole(self.arguments) is None


def _begins_object(piece: Any) -> bool:
    return isinstance(piece, Mapping) or (isinstance(piece, str) and piece.lstrip()[:1] == "{")


def _text(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _joined(known: Any, more: Any) -> Any:
    """Arguments come as pieces of JSON text; some servers send them decoded, at once."""
    if more is None or more == "":
        return known
    if isinstance(more, str) and isinstance(known, str):
        return known if more.strip() == "null" and _whole(known) is not None else known + more
    return more if not isinstance(more, str) else known


def _whole(arguments: Any) -> dict[str, Any] | None:
    """The arguments, if they are a whole JSON object already."""
    if isinstance(arguments, Mapping):
        return dict(arguments)
    if not isinstance(arguments, str) or arguments.rstrip()[-1:] not in ("}", '"'):
        return None
    decoded = arguments_from(arguments)
    return decoded if isinstance(decoded, dict) else None


def arguments_from(given: Any) -> dict[str, Any] | str:
    """The arguments of a call as a dict, however they were sent; the text as it came if it is no JSON object."""
    if given is None:
        return {}
    try:
        if isinstance(given, Mapping):
            return dict(well_formed_value(given))
        decoded = given
        for _ in range(_MOST_ENCODINGS):
            if not isinstance(decoded, str):
                break
            decoded = _decoded(decoded)
        if decoded is None:
            return {}
        if isinstance(decoded, Mapping):
            return dict(well_formed_value(decoded))
    except (ValueError, RecursionError):
        pass
    return well_formed(given) if isinstance(given, str) else plain_arguments(given)


def _decoded(text: str) -> Any:
    """The JSON value of a text; `None` for an empty one. A null, or the same value again, may follow."""
    values: list[Any] = []
    at, end = 0, len(text)
    while True:
        while at < end and text[at] in " \t\r\n":
            at += 1
        if at == end:
            break
        value, at = _DECODER.raw_decode(text, at)
        values.append(value)
    kept = [value for value in values if value is not None] or [None]
    if any(value != kept[0] for value in kept[1:]):
        raise ValueError("more than one value")
    return kept[0]


def _finite(text: str) -> float | str:
    """Numbers that JSON does not know stay text: what holds them could not be sent or kept."""
    number = float(text)
    return number if math.isfinite(number) else text


#: Models put line breaks into strings.
_DECODER = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=str)


def arguments_as_object(arguments: dict[str, Any] | str) -> dict[str, Any]:
    """The arguments of a call as a conversation repeats them: what was no object is shown to the model within one."""
    return arguments if isinstance(arguments, dict) else {INVALID_JSON: arguments}


def called(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The name and arguments of a call, in the engine's form or in that of the wire."""
    function = call.get("function")
    return function if isinstance(function, Mapping) else call


def arguments_text(call: Mapping[str, Any]) -> str:
    """The arguments of a call as a conversation repeats them: the text of a JSON object, whatever the model wrote.

    Providers refuse a conversation with anything else in it, and the model could not mend its call.
    """
    arguments = called(call)["arguments"]
    if isinstance(arguments, str):
        arguments = arguments_as_object(arguments_from(arguments))
    return json.dumps(arguments, ensure_ascii=False, default=str)
