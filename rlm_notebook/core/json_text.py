"""Finds JSON in a model's text: after prose, in fences, with single quotes, wherever it is unambiguous.

Only complete values count. A value whose outermost bracket never closes was cut off, and nothing inside it is an
answer; neither is anything inside a value that cannot be parsed. Of several complete values the most likely one comes
first: the last one that begins a fenced block, or else the last one.

The text is scanned once, from left to right, bracket by bracket. Between values it is prose: a bracket there counts
only if the text after it looks like JSON (`{x}` and `[see]` do not). A repair works on one value alone, so that the
time is linear in the length of any text; every loop has a bound.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .text import end_of, repeated, well_formed_value

__all__ = ["DECODER", "JsonText", "json_values", "json_whole"]

_ESCAPED_HALF = re.compile(r"\\u(?:d[89a-f]|0000)", re.IGNORECASE)


class _Decoder(json.JSONDecoder):
    """A decoder whose texts are well formed, although escapes may spell halves of surrogate pairs and NUL."""

    def decode(self, s: str, *args: Any, **kwargs: Any) -> Any:
        value = super().decode(s, *args, **kwargs)
        return well_formed_value(value) if "\\u" in s and _ESCAPED_HALF.search(s) else value


#: Accepts control characters inside strings: models write line breaks there.
DECODER = _Decoder(strict=False)

# A string. One that never ends goes to the end of the text: a reply that was cut off in the middle of one must not be
# searched again from each of its quotes.
_STRING = '"' + repeated(r'[^"\\]++|\\.') + r'(?:"|\\?\Z)'
# One in single quotes: an apostrophe in it is no end, because something else follows.
_SINGLE = r"(?<=[{\[,:\s])'(" + repeated(r"[^'\\]++|\\.|'(?!\s*[,:}\]])") + r")(?:'|\\?\Z)"
_COMMENT = r"//[^\n]*+|/\*" + repeated(r"[^*]++|\*(?!/)") + r"(?:\*/|\Z)|(?<=[\s,{\[])\#[^\n]*+"

_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)
_SINGLE_QUOTED = re.compile(rf"({_STRING})|{_SINGLE}", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)|\"", re.DOTALL)
#: Constants as Python writes them.
_PYTHON_WORD = re.compile(rf"({_STRING})|\b(None|True|False)\b", re.DOTALL)
_JSON_WORD = {"None": "null", "True": "true", "False": "false"}
_COMMENTED = re.compile(rf"({_STRING}|{_SINGLE})|{_COMMENT}", re.DOTALL)
_BARE_KEY = re.compile(rf"({_STRING})|(?<=[{{,\s])([A-Za-z_$][\w$-]*+)(?=\s*:)", re.DOTALL)
_ENDED = re.compile(rf'({_STRING}|[}}\]]|[\w.+-]++)(?=(\s+["{{\[\w-]|["{{\[])?)', re.DOTALL)

#: The relevant marks between values: brackets, and the fences of a block.
_BETWEEN = re.compile(r"[{}\[\]]|^[ \t]*(?:`{3,}|~{3,})|(?:`{3,})(?=\w*[ \t]*[{\[])", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
#: The text between an opening fence and a value that begins the block.
_HEAD = re.compile(r"[`~]*[\w+-]*\s*\Z")
_OPENS_OBJECT = re.compile(rf"""\{{\s*(?:["'}}]|[A-Za-z_$][\w$-]*\s*:|{_COMMENT}|\Z)""", re.DOTALL)
_SCALAR = rf"(?:{_STRING}|'[^'\n]*+'|-?\d[\d.eE+-]*+|(?:true|false|null|None|True|False)\b)"
_LIST_OF_SCALARS = re.compile(r"\[\s*" + repeated(_SCALAR + r"\s*,?\s*"), re.DOTALL)
_CUT_WORD = re.compile(r"-?\w*\Z")
#: The content of a value up to its next bracket.
_INSIDE = re.compile(repeated(rf"""[^"'{{}}\[\]/\#]++|{_STRING}|{_SINGLE}|{_COMMENT}|['/\#]"""), re.DOTALL)
#: A member after a value: then the value belongs to an object whose beginning is missing.
_NEXT_MEMBER = re.compile(r'\s*,\s*"[^"\n]{0,200}"\s*:')
_PARTNER = {"}": "{", "]": "["}

#: Bounds for texts that are constructed to be slow to parse.
_MOST_BRACKETS = 200_000
_DEEPEST = 10_000
_MOST_TRIES = 50


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int


@dataclass(slots=True)
class JsonText:
    """The complete JSON values of a text; `unclosed`: the value that should be the answer was cut off."""

    text: str
    unclosed: bool = False
    _fenced: deque[_Span] = field(default_factory=lambda: deque(maxlen=_MOST_TRIES))
    _plain: deque[_Span] = field(default_factory=lambda: deque(maxlen=_MOST_TRIES))
    #: In the middle of a fenced block, where it is probably part of a program.
    _quoted: deque[_Span] = field(default_factory=lambda: deque(maxlen=_MOST_TRIES))

    @classmethod
    def of(cls, text: str, brackets: str = "{[") -> JsonText:
        """Scan a text; with `brackets="{"` lists do not count as values, but objects inside them do."""
        found = cls(text)
        _Reader(found, brackets).read()
        return found

    def values(self) -> Iterator[Any]:
        """The objects and arrays, the most likely one first."""
        for spans in () if self.unclosed else (self._fenced, self._plain, self._quoted):
            for span in reversed(spans):
                yield from _decoded(self.text[span.start : span.end])

    def places(self) -> list[tuple[int, int]]:
        """The start and end of each complete value, in the order of the text; of very many, the last ones."""
        return sorted((span.start, span.end) for spans in (self._fenced, self._plain, self._quoted) for span in spans)


def json_whole(text: str) -> tuple[Any] | None:
    """The JSON value that is the whole text, or its only fenced block, in a tuple; `None` for any other text."""
    fenced = _ONE_BLOCK.fullmatch(text.strip())
    for written in (text.strip(), fenced[2] if fenced else ""):
        try:
            return (DECODER.decode(written),)
        except (ValueError, RecursionError):
            continue
    return None


def json_values(text: str) -> Iterator[Any]:
    """The whole text as a JSON value, if it is one; else the objects and arrays in it, the most likely one first."""
    whole = json_whole(text)
    yield from whole if whole is not None else JsonText.of(text).values()


_ONE_BLOCK = re.compile(r"(`{3,}|~{3,})\w*\s+(" + repeated("(?!```|~~~).") + r")\1", re.DOTALL)


class _Reader:
    """Scans a text once, and adds the values that it finds to a `JsonText`."""

    def __init__(self, found: JsonText, brackets: str) -> None:
        self._found = found
        self._text = found.text
        self._brackets = brackets
        #: The position behind the fence of the open block, or -1.
        self._block = -1
        #: The position of the next fence, as far as it was searched.
        self._fence = -1
        #: The number of open brackets in prose.
        self._open = 0
        self._whole: deque[_Span] | None = None
        self._tries = _MOST_TRIES
        #: The brackets that may still be matched one by one, in all values that the decoder cannot parse.
        self._left = _MOST_BRACKETS

    def read(self) -> None:
        position, found = 0, self._found
        for _ in range(_MOST_BRACKETS):
            between = _BETWEEN.search(self._text, position)
            if between is None:
                return
            position, mark = between.end(), between[0]
            if mark in "{}[]":
                position = self._bracket(mark, between.start(), position)
            else:
                self._block = between.end() if self._block < 0 else -1
        found.unclosed = True

    def _bracket(self, mark: str, at: int, behind: int) -> int:
        """Handle a bracket between values; returns the position to continue from."""
        if _PARTNER.get(mark, mark) not in self._brackets:
            return behind
        if mark in _PARTNER:
            # No value opened it: it is one of prose, or of a value whose beginning is missing.
            if self._open:
                self._open -= 1
            elif self._whole and not self._text[self._whole[-1].end : at].strip():
                self._whole.pop()
                self._cut_off(self._whole is self._found._fenced)
            return behind
        prose = self._prose(at)
        if prose:
            self._open += 1
            return prose
        end = self._end(at)
        begins_block = self._block >= 0 and _HEAD.match(self._text, self._block, at) is not None
        if end is None:
            self._cut_off(begins_block)
            return self._limit(at)
        if _NEXT_MEMBER.match(self._text, end):
            self._cut_off(begins_block)
            return end
        found = self._found
        self._whole = found._fenced if begins_block else found._plain if self._block < 0 else found._quoted
        self._whole.append(_Span(at, end))
        found.unclosed = False
        return end

    def _prose(self, at: int) -> int:
        """The position behind a bracket that begins no value; 0 for one that does."""
        if self._text[at] == "{":
            return 0 if _OPENS_OBJECT.match(self._text, at) else at + 1
        scalars = _LIST_OF_SCALARS.match(self._text, at)
        end = scalars.end() if scalars else at + 1
        is_list = self._text[end : end + 1] in ("", "]", "{", "[", '"', "'", "/", "#")
        return 0 if is_list or _CUT_WORD.match(self._text, end) else end

    def _end(self, at: int) -> int | None:
        """The position behind the value that begins at `at`; `None` if its outermost bracket never closes."""
        if self._tries:
            try:
                return DECODER.raw_decode(self._text, at)[1]
            except (ValueError, RecursionError):
                # Bounded, because the decoder counts all lines up to each error.
                self._tries -= 1
        limit = self._limit(at)
        opened, counts, position = [self._text[at]], {"{": 0, "[": 0}, at + 1
        counts[self._text[at]] = 1
        while len(opened) < _DEEPEST and self._left:
            self._left -= 1
            position = end_of(_INSIDE, self._text, position, limit)
            if position >= limit:
                return None
            bracket = self._text[position]
            position += 1
            if bracket in counts:
                opened.append(bracket)
                counts[bracket] += 1
            elif counts[_PARTNER[bracket]]:
                # Inner brackets that did not close are closed with it: the value may still be repaired.
                while (last := opened.pop()) != _PARTNER[bracket]:
                    counts[last] -= 1
                counts[last] -= 1
                if not opened:
                    return position
        return None

    def _limit(self, at: int) -> int:
        """The end of the region of a value that cannot be decoded: it does not extend beyond its block."""
        if self._fence <= at:
            fence = _FENCE.search(self._text, at)
            self._fence = fence.start() if fence else len(self._text)
        return self._fence

    def _cut_off(self, begins_block: bool) -> None:
        """Note that a value was cut off: it counts as the answer, unless a block before it holds one."""
        self._whole = None
        if begins_block or not self._found._fenced:
            self._found.unclosed = True


def _decoded(text: str) -> Iterator[Any]:
    """The value of a text, or of its first repaired form that can be decoded."""
    tried = ""
    for repair in (str, _closed, lambda text: _closed(_in_double_quotes(text)), _repaired):
        written = repair(text)
        if written == tried:
            continue
        tried = written
        try:
            yield DECODER.decode(written)
        except (ValueError, RecursionError):
            continue
        return


def _closed(text: str) -> str:
    """The text without trailing commas."""
    return _TRAILING_COMMA.sub(lambda match: match[1] or "", text)


def _repaired(text: str) -> str:
    """The text without comments, with quoted keys and with missing commas added: the last resort."""
    bare = _COMMENTED.sub(lambda match: match[1] or " ", text)
    keyed = _BARE_KEY.sub(lambda match: match[1] or f'"{match[2]}"', _in_double_quotes(bare))
    return _closed(_ENDED.sub(lambda match: f"{match[1]}," if match[2] else match[1], keyed))


def _in_double_quotes(text: str) -> str:
    """A text that is written like Python, with single quotes, as JSON."""

    def escaped(match: re.Match[str]) -> str:
        if match[1] is None:
            return '\\"'
        # JSON has no escape for an apostrophe.
        return "'" if match[1] == "'" else match[0]

    if "'" in text:
        text = _SINGLE_QUOTED.sub(lambda match: match[1] or f'"{_ESCAPED.sub(escaped, match[2])}"', text)
    return _PYTHON_WORD.sub(lambda match: match[1] or _JSON_WORD[match[2]], text)
