"""JSON in what models write: behind prose, in fences, with single quotes, wherever it is unambiguous.

Only whole values count. A value whose outermost bracket never closes was cut off, and nothing inside it is an answer;
nor is what stands inside a value that cannot be read. Of several whole values the likeliest comes first: the last one
that begins a fenced block, else the last one.

The text is read once, from left to right, bracket by bracket. Between values it is prose: a bracket there counts only
if what follows it looks like JSON (`{x}` and `[see]` do not). What is tried on a value is tried on that value alone,
so that the time is linear in the text whatever it holds; every loop has a bound.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .text import well_formed_value

__all__ = ["DECODER", "JsonText", "json_values", "json_whole"]

_ESCAPED_HALF = re.compile(r"\\u(?:d[89a-f]|0000)", re.IGNORECASE)


class _Decoder(json.JSONDecoder):
    """Escapes may spell what no text can hold: such texts are made well formed."""

    def decode(self, s: str, *args: Any, **kwargs: Any) -> Any:
        value = super().decode(s, *args, **kwargs)
        return well_formed_value(value) if "\\u" in s and _ESCAPED_HALF.search(s) else value


#: Control characters inside strings are let pass: models put line breaks there.
DECODER = _Decoder(strict=False)

# A string. One that never ends goes to the end of the text: a reply that was cut off in the middle of one must not be
# searched again from each of its quotes.
_STRING = r'"(?>[^"\\]+|\\.)*+(?:"|\\?\Z)'
# One in single quotes: an apostrophe in it is no end, because something else follows.
_SINGLE = r"(?<=[{\[,:\s])'((?>[^'\\]+|\\.|'(?!\s*[,:}\]]))*+)(?:'|\\?\Z)"
_COMMENT = r"//[^\n]*+|/\*(?>[^*]+|\*(?!/))*+(?:\*/|\Z)|(?<=[\s,{\[])\#[^\n]*+"

_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=\s*[}}\]])", re.DOTALL)
_SINGLE_QUOTED = re.compile(rf"({_STRING})|{_SINGLE}", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)|\"", re.DOTALL)
#: As Python writes them; `null` and the like are not touched by this.
_PYTHON_WORD = re.compile(rf"({_STRING})|\b(None|True|False)\b", re.DOTALL)
_JSON_WORD = {"None": "null", "True": "true", "False": "false"}
_COMMENTED = re.compile(rf"({_STRING}|{_SINGLE})|{_COMMENT}", re.DOTALL)
_BARE_KEY = re.compile(rf"({_STRING})|(?<=[{{,\s])([A-Za-z_$][\w$-]*+)(?=\s*:)", re.DOTALL)
_ENDED = re.compile(rf'({_STRING}|[}}\]]|[\w.+-]++)(?=(\s+["{{\[\w-]|["{{\[])?)', re.DOTALL)

#: What there is of interest between values: brackets, and what begins or ends a fenced block.
_BETWEEN = re.compile(r"[{}\[\]]|^[ \t]*(?:`{3,}|~{3,})|(?:`{3,})(?=\w*[ \t]*[{\[])", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})", re.MULTILINE)
#: Between the mark that begins a block and a value with which it begins.
_HEAD = re.compile(r"[`~]*[\w+-]*\s*\Z")
_OPENS_OBJECT = re.compile(rf"""\{{\s*(?:["'}}]|[A-Za-z_$][\w$-]*\s*:|{_COMMENT}|\Z)""", re.DOTALL)
_SCALAR = rf"(?:{_STRING}|'[^'\n]*+'|-?\d[\d.eE+-]*+|(?:true|false|null|None|True|False)\b)"
_LIST_OF_SCALARS = re.compile(rf"\[\s*(?:{_SCALAR}\s*,?\s*)*+", re.DOTALL)
_CUT_WORD = re.compile(r"-?\w*\Z")
#: Whatever stands inside a value up to its next bracket.
_INSIDE = re.compile(rf"""(?:[^"'{{}}\[\]/\#]++|{_STRING}|{_SINGLE}|{_COMMENT}|['/\#])*+""", re.DOTALL)
#: A member that follows on a value: then that is one itself, of an object whose beginning is missing.
_NEXT_MEMBER = re.compile(r'\s*,\s*"[^"\n]{0,200}"\s*:')
_PARTNER = {"}": "{", "]": "["}

#: Bounds for texts that are made to keep a reader busy.
_MOST_BRACKETS = 200_000
_DEEPEST = 10_000
_MOST_TRIES = 50


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int


@dataclass(slots=True)
class JsonText:
    """The whole JSON values of a text; `unclosed`: what should be its answer was cut off, and there is none."""

    text: str
    unclosed: bool = False
    _fenced: deque[_Span] = field(default_factory=lambda: deque(maxlen=_MOST_TRIES))
    _plain: deque[_Span] = field(default_factory=lambda: deque(maxlen=_MOST_TRIES))
    #: In the middle of a fenced block: a part of some program.
    _quoted: deque[_Span] = field(default_factory=lambda: deque(maxlen=_MOST_TRIES))

    @classmethod
    def of(cls, text: str, brackets: str = "{[") -> JsonText:
        """Read a text; with `brackets="{"` a list is no value, and what stands in one is found."""
        found = cls(text)
        _Reader(found, brackets).read()
        return found

    def values(self) -> Iterator[Any]:
        """The objects and arrays, the likeliest first."""
        for spans in () if self.unclosed else (self._fenced, self._plain, self._quoted):
            for span in reversed(spans):
                yield from _decoded(self.text[span.start : span.end])

    def places(self) -> list[tuple[int, int]]:
        """Where the whole values begin and end, in the order of the text; of very many, the last ones."""
        return sorted((span.start, span.end) for spans in (self._fenced, self._plain, self._quoted) for span in spans)


def json_whole(text: str) -> tuple[Any] | None:
    """The JSON value that is all of a text, or of its only fenced block, in a tuple; `None` for any other text."""
    for written in (text.strip(), _unfenced(text)):
        try:
            return (DECODER.decode(written),)
        except (ValueError, RecursionError):
            continue
    return None


def json_values(text: str) -> Iterator[Any]:
    """The whole text as a JSON value, if it is one; else the objects and arrays in it, the likeliest first."""
    whole = json_whole(text)
    yield from whole if whole is not None else JsonText.of(text).values()


def _unfenced(text: str) -> str:
    fenced = _ONE_BLOCK.fullmatch(text.strip())
    return fenced[2] if fenced else ""


_ONE_BLOCK = re.compile(r"(`{3,}|~{3,})\w*\s+((?:(?!```|~~~).)*+)\1", re.DOTALL)


class _Reader:
    """Goes through a text once, and sorts the values that it finds into a `JsonText`."""

    def __init__(self, found: JsonText, brackets: str) -> None:
        self._found = found
        self._text = found.text
        self._brackets = brackets
        #: Where the block that goes on begins, or -1.
        self._block = -1
        #: Where the next line is that begins or ends a block, as far as it was looked for.
        self._fence = -1
        #: Brackets of prose that are open.
        self._open = 0
        self._whole: deque[_Span] | None = None
        self._tries = _MOST_TRIES
        #: Brackets that may yet be matched one by one, in all values that the decoder cannot read.
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
        """What a bracket between values is; gives where to go on."""
        if _PARTNER.get(mark, mark) not in self._brackets:
            return behind
        if mark in _PARTNER:
            self._close(at)
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
        self._keep(_Span(at, end), begins_block)
        return end

    def _prose(self, at: int) -> int:
        """Where to go on behind a bracket that begins no value; 0 for one that does."""
        if self._text[at] == "{":
            return 0 if _OPENS_OBJECT.match(self._text, at) else at + 1
        scalars = _LIST_OF_SCALARS.match(self._text, at)
        end = scalars.end() if scalars else at + 1
        goes_on = self._text[end : end + 1] in ("", "]", "{", "[", '"', "'", "/", "#")
        return 0 if goes_on or _CUT_WORD.match(self._text, end) else end

    def _end(self, at: int) -> int | None:
        """Behind the value that begins there; `None` if its outermost bracket never closes."""
        if self._tries:
            try:
                return DECODER.raw_decode(self._text, at)[1]
            except (ValueError, RecursionError):
                # The decoder counts the lines up to each fault: that often is enough.
                self._tries -= 1
        limit = self._limit(at)
        opened, counts, position = [self._text[at]], {"{": 0, "[": 0}, at + 1
        counts[self._text[at]] = 1
        while len(opened) < _DEEPEST and self._left:
            self._left -= 1
            position = _INSIDE.match(self._text, position, limit).end()  # type: ignore[union-attr]
            if position >= limit:
                return None
            bracket = self._text[position]
            position += 1
            if bracket in counts:
                opened.append(bracket)
                counts[bracket] += 1
            elif counts[_PARTNER[bracket]]:
                # What was opened inside and did not close is closed with it: such a value may yet be mended as one.
                while (last := opened.pop()) != _PARTNER[bracket]:
                    counts[last] -= 1
                counts[last] -= 1
                if not opened:
                    return position
        return None

    def _limit(self, at: int) -> int:
        """How far a value reaches that cannot be read as it stands: no further than its block."""
        if self._fence <= at:
            fence = _FENCE.search(self._text, at)
            self._fence = fence.start() if fence else len(self._text)
        return self._fence

    def _keep(self, span: _Span, begins_block: bool) -> None:
        if _NEXT_MEMBER.match(self._text, span.end):
            self._cut_off(begins_block)
            return
        found = self._found
        self._whole = found._fenced if begins_block else found._plain if self._block < 0 else found._quoted
        self._whole.append(span)
        found.unclosed = False

    def _close(self, at: int) -> None:
        """A bracket closes that no value opened: of prose, or of a value whose beginning is missing."""
        if self._open:
            self._open -= 1
        elif self._whole and not self._text[self._whole[-1].end : at].strip():
            self._whole.pop()
            self._cut_off(self._whole is self._found._fenced)

    def _cut_off(self, begins_block: bool) -> None:
        """What was cut off counts for an answer, unless that was given in a block before."""
        self._whole = None
        if begins_block or not self._found._fenced:
            self._found.unclosed = True


def _decoded(text: str) -> Iterator[Any]:
    """A value as it stands, or else with the liberties that models take made regular."""
    tried = ""
    for mended in (_as_it_stands, _closed, _closed_in_double_quotes, _mended):
        written = mended(text)
        if written == tried:
            continue
        tried = written
        try:
            yield DECODER.decode(written)
        except (ValueError, RecursionError):
            continue
        return


def _as_it_stands(text: str) -> str:
    return text


def _closed_in_double_quotes(text: str) -> str:
    return _closed(_in_double_quotes(text))


def _closed(text: str) -> str:
    return _TRAILING_COMMA.sub(lambda match: match[1] or "", text)


def _mended(text: str) -> str:
    """Without comments, with quoted keys, with the commas that are missing: the last resort."""
    bare = _COMMENTED.sub(lambda match: match[1] or " ", text)
    keyed = _BARE_KEY.sub(lambda match: match[1] or f'"{match[2]}"', _in_double_quotes(bare))
    return _closed(_ENDED.sub(lambda match: f"{match[1]}," if match[2] else match[1], keyed))


def _in_double_quotes(text: str) -> str:
    """A text in which objects are written as Python does, with single quotes, as JSON."""
    if "'" in text:
        text = _SINGLE_QUOTED.sub(lambda match: match[1] or f'"{_ESCAPED.sub(_as_in_json, match[2])}"', text)
    return _PYTHON_WORD.sub(lambda match: match[1] or _JSON_WORD[match[2]], text)


def _as_in_json(match: re.Match[str]) -> str:
    if match[1] is None:
        return '\\"'
    return "'" if match[1] == "'" else match[0]
