"""Quotes in an answer, and what checking them against the sources gave.

A quote is written `⟦"verbatim words"|report.pdf p.12⟧`: words and the place that they are from. Checking adds its state
as a last field, `⟦"verbatim words"|report.pdf p.12|verified⟧`, so that an answer shows it wherever it is copied to.
Models write the form loosely, so reading it is tolerant: any kind of quotation marks or none, white space and line
breaks, a missing place, brackets within brackets, a quote that breaks off. Reading takes time linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

__all__ = [
    "QUOTES",
    "QUOTE_STATES",
    "Quotation",
    "Quote",
    "QuoteState",
    "counted_quotes",
    "is_there",
    "quotations_in",
    "quotes_of",
    "quotes_to_json",
    "unquoted_states",
    "with_states",
    "without_passage",
]

QuoteState = Literal["verified", "moved", "altered", "not found"]
QUOTE_STATES: tuple[QuoteState, ...] = get_args(QuoteState)
#: The key in the metadata of a result under which its quotes are recorded.
QUOTES = "quotes"

#: All marks that open or close a quotation.
QUOTATION_MARKS = "\"“”„‟«»‹›‘’‚‛'`″＂「」『』"
_BRACKET = re.compile("[⟦⟧〚〛]")
_OPENING = "⟦〚"
#: Within a quote, so that none is read inside another one.
_PLAIN = str.maketrans("⟦〚⟧〛", "[[]]")
_CLOSING = ('"', "”", "»", "“")
#: The end of a quote that is not closed.
_BREAK = re.compile(r"\n[ \t]*\n|[⟦〚]|\Z")
#: The most of it, in characters.
_LONGEST_OPEN = 4_000
_CLOSED_WORDS = re.compile(r'\s*(?:"[^"⟦]*"|“[^”⟦]*”|«[^»⟦]*»|„[^“”⟦]*[“”])')


@dataclass(frozen=True, slots=True)
class Quotation:
    """A quote as a text has it, at `text[start:end]`: its words, where they are said to be from, the state at its end.

    `is_closed`: its brackets are complete.
    """

    start: int
    end: int
    quote: str
    label: str
    state: QuoteState | None = None
    is_closed: bool = True


@dataclass(frozen=True, slots=True)
class Quote:
    """A quote of an answer, after checking.

    `state` is "verified" (the words are there), "moved" (they are at another place, which `source` and `anchor` name;
    `cited` is the place that the answer named), "altered" (the place has similar words) or "not found". `node` is the
    node whose answer quoted the words first. `found` is what the source has, with up to 300 characters `before` and
    `after` it; empty if nothing was found or if the run was recorded without its inputs.
    """

    quote: str
    source: str
    anchor: str
    state: QuoteState
    node: str = ""
    cited: str = ""
    found: str = ""
    before: str = ""
    after: str = ""

    @property
    def place(self) -> str:
        """Source and anchor as answers cite them: "report.pdf p.12"."""
        return f"{self.source} {self.anchor}".strip()


def without_passage(quote: Quote) -> Quote:
    """The quote without what was found, which is a part of an input."""
    return replace(quote, found="", before="", after="")


def is_there(quote: Quote) -> bool:
    """Whether the sources have the words of a quote."""
    return quote.state in ("verified", "moved")


def quotations_in(text: str) -> list[Quotation]:
    """All quotes of a text, in order; of nested ones the outer one."""
    pairs, unclosed = _bracket_pairs(text)
    found = [_closed(text, start, end) for start, end in pairs]
    found += [each for start in unclosed if (each := _unclosed(text, start)).quote]
    return sorted(found, key=lambda each: each.start)


def _bracket_pairs(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """The outermost pairs of brackets, from the first to behind the last character; and the brackets left open."""
    opened: list[int] = []
    pairs: list[tuple[int, int]] = []
    for bracket in _BRACKET.finditer(text):
        if bracket[0] in _OPENING:
            opened.append(bracket.start())
        elif opened:
            start = opened.pop()
            while pairs and pairs[-1][0] > start:
                pairs.pop()
            pairs.append((start, bracket.end()))
    return pairs, opened


def _closed(text: str, start: int, end: int) -> Quotation:
    words, label, state = _fields(text[start + 1 : end - 1])
    return Quotation(start, end, words, label, state)


def _fields(inner: str) -> tuple[str, str, QuoteState | None]:
    """Words, place and state, of which the last two may be missing."""
    state: QuoteState | None = None
    words, bar, label = inner.rpartition("|")
    if bar and (noted := label.strip().lower()) in QUOTE_STATES:
        state = noted
        words, bar, label = words.rpartition("|")
    if not bar or label.rstrip().endswith(_CLOSING):
        # The only bar is one of the words.
        words, label = _without_bar(words + bar + label)
    return _bare(words), " ".join(label.split()), state


def _without_bar(inner: str) -> tuple[str, str]:
    """Words and place where no bar is between them: the place is what follows the closing quotation mark."""
    closed = _CLOSED_WORDS.match(inner)
    return (inner[: closed.end()], inner[closed.end() :].strip(" \t\n,;:()–—-")) if closed else (inner, "")


def _unclosed(text: str, start: int) -> Quotation:
    """A quote that breaks off: up to its closing quotation mark, else to the end of the paragraph."""
    limit = start + 1 + _LONGEST_OPEN
    stop = _BREAK.search(text, start + 1, limit)
    inner = text[start + 1 : stop.start() if stop else limit]
    closed = _CLOSED_WORDS.match(inner)
    end = closed.end() if closed else len(inner)
    return Quotation(start, start + 1 + end, _bare(inner[:end]), "", is_closed=False)


def _bare(words: str) -> str:
    """The words without the quotation marks around them, which may be escaped as in JSON; white space folded."""
    return " ".join(words.split()).strip(QUOTATION_MARKS + "\\ ")


def with_states(text: str, quotations: Sequence[Quotation], quotes: Sequence[Quote]) -> str:
    """The text with the place and the state of each quote as they were found; `quotes` are those of `quotations`."""
    return _rewritten(text, quotations, lambda at: _written(quotations[at].quote, quotes[at]))


def _written(words: str, quote: Quote) -> str:
    place = quote.place if is_there(quote) else quote.cited or quote.place
    return f'⟦"{words.translate(_PLAIN)}"|{place.translate(_PLAIN)}|{quote.state}⟧'


def unquoted_states(text: str) -> str:
    """The text with no state at any quote: one that was not checked has none, whatever its model wrote."""
    if not _BRACKET.search(text):
        return text
    found = [each for each in quotations_in(text) if each.state is not None or _is_nested(text, each)]
    return _rewritten(text, found, lambda at: _without_state(found[at]))


def _is_nested(text: str, quotation: Quotation) -> bool:
    """Whether it holds brackets of another one."""
    return quotation.is_closed and bool(_BRACKET.search(text, quotation.start + 1, quotation.end - 1))


def _without_state(quotation: Quotation) -> str:
    # A place that is called like a state would be read as one.
    label = "" if quotation.label.lower() in QUOTE_STATES else quotation.label
    return f'⟦"{quotation.quote.translate(_PLAIN)}"|{label.translate(_PLAIN)}⟧'


def _rewritten(text: str, quotations: Sequence[Quotation], write: Callable[[int], str]) -> str:
    pieces, last = [], 0
    for at, each in enumerate(quotations):
        pieces += [text[last : each.start], write(at)]
        last = each.end
    return "".join([*pieces, text[last:]])


def quotes_to_json(quotes: Iterable[Quote]) -> list[dict[str, str]]:
    """The quotes as JSON values, without what is empty."""
    return [{name: value for name in _NAMES if (value := getattr(each, name))} for each in quotes]


def quotes_of(metadata: Any) -> list[Quote]:
    """The quotes that the metadata of a result hold; what is not a quote is left out."""
    listed = metadata.get(QUOTES) if isinstance(metadata, dict) else None
    return [_quote(each) for each in listed if _is_quote(each)] if isinstance(listed, list) else []


_NAMES = [each.name for each in fields(Quote)]


def _is_quote(value: Any) -> bool:
    return isinstance(value, dict) and value.get("state") in QUOTE_STATES


def _quote(data: dict[str, Any]) -> Quote:
    texts = {name: str(data.get(name, "")) for name in _NAMES if name != "state"}
    return Quote(state=data["state"], **texts)


def counted_quotes(quotes: Iterable[Quote]) -> str:
    """The quotes by state: "3 quotes verified, 1 altered"; "" without quotes."""
    counts = Counter(each.state for each in quotes)
    parts = [f"{counts[state]} {state}" for state in QUOTE_STATES if counts[state]]
    if not parts:
        return ""
    number, _, rest = parts[0].partition(" ")
    return ", ".join([f"{number} quote{'' if number == '1' else 's'} {rest}", *parts[1:]])
