"""Quotes in an answer, and what checking them against the sources gave.

A quote is written `⟦"verbatim words"|report.pdf p.12⟧`: words and the place that they are from. Checking adds its state
as a last field, `⟦"verbatim words"|report.pdf p.12|verified⟧`, so that an answer shows it wherever it is copied to.
Models write the form loosely, so reading it is tolerant: any kind of quotation marks or none, white space and line
breaks, a missing place, brackets within brackets, a quote that breaks off. Reading takes time linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
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
    # The brackets that are open, and the outermost pairs, each from its first to behind its last character.
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
    found = [_closed(text, start, end) for start, end in pairs]
    for start in opened:
        # A quote that breaks off ends at its closing quotation mark, else with the paragraph.
        limit = start + 1 + _LONGEST_OPEN
        stop = _BREAK.search(text, start + 1, limit)
        inner = text[start + 1 : stop.start() if stop else limit]
        closed = _CLOSED_WORDS.match(inner)
        end = closed.end() if closed else len(inner)
        if words := _bare(inner[:end]):
            found.append(Quotation(start, start + 1 + end, words, "", is_closed=False))
    return sorted(found, key=lambda each: each.start)


def _closed(text: str, start: int, end: int) -> Quotation:
    """A quote between brackets: words, place and state, of which the last two may be missing."""
    state: QuoteState | None = None
    words, bar, label = text[start + 1 : end - 1].rpartition("|")
    if bar and (noted := label.strip().lower()) in QUOTE_STATES:
        state = noted
        words, bar, label = words.rpartition("|")
    if not bar or label.rstrip().endswith(_CLOSING):
        # The only bar is one of the words: the place is what follows the closing quotation mark.
        words += bar + label
        closed = _CLOSED_WORDS.match(words)
        behind = closed.end() if closed else len(words)
        words, label = words[:behind], words[behind:].strip(" \t\n,;:()–—-")
    return Quotation(start, end, _bare(words), " ".join(label.split()), state)


def _bare(words: str) -> str:
    """The words without the quotation marks around them, which may be escaped as in JSON; white space folded."""
    return " ".join(words.split()).strip(QUOTATION_MARKS + "\\ ")


def with_states(text: str, quotations: Sequence[Quotation], quotes: Sequence[Quote]) -> str:
    """The text with the place and the state of each quote as they were found; `quotes` are those of `quotations`."""
    written = []
    for quotation, quote in zip(quotations, quotes, strict=True):
        place = quote.place if is_there(quote) else quote.cited or quote.place
        written.append(f'⟦"{quotation.quote.translate(_PLAIN)}"|{place.translate(_PLAIN)}|{quote.state}⟧')
    return _rewritten(text, quotations, written)


def unquoted_states(text: str) -> str:
    """The text with no state at any quote: one that was not checked has none, whatever its model wrote."""
    if not _BRACKET.search(text):
        return text
    found, written = [], []
    for each in quotations_in(text):
        holds_another = each.is_closed and _BRACKET.search(text, each.start + 1, each.end - 1)
        if each.state is not None or holds_another:
            # A place that is called like a state would be read as one.
            label = "" if each.label.lower() in QUOTE_STATES else each.label
            found.append(each)
            written.append(f'⟦"{each.quote.translate(_PLAIN)}"|{label.translate(_PLAIN)}⟧')
    return _rewritten(text, found, written)


def _rewritten(text: str, quotations: Iterable[Quotation], written: Iterable[str]) -> str:
    pieces, last = [], 0
    for each, new in zip(quotations, written, strict=True):
        pieces += [text[last : each.start], new]
        last = each.end
    return "".join([*pieces, text[last:]])


def quotes_to_json(quotes: Iterable[Quote]) -> list[dict[str, str]]:
    """The quotes as JSON values, without what is empty."""
    return [{name: value for name in _NAMES if (value := getattr(each, name))} for each in quotes]


def quotes_of(metadata: Any) -> list[Quote]:
    """The quotes that the metadata of a result hold; what is not a quote is left out."""
    listed = metadata.get(QUOTES) if isinstance(metadata, dict) else None
    quotes = []
    for each in listed if isinstance(listed, list) else ():
        if isinstance(each, dict) and each.get("state") in QUOTE_STATES:
            texts = {name: str(each.get(name, "")) for name in _NAMES if name != "state"}
            quotes.append(Quote(state=each["state"], **texts))
    return quotes


_NAMES = [each.name for each in fields(Quote)]


def counted_quotes(quotes: Iterable[Quote]) -> str:
    """The quotes by state: "3 quotes verified, 1 altered"; "" without quotes."""
    counts = Counter(each.state for each in quotes)
    parts = [f"{counts[state]} {state}" for state in QUOTE_STATES if counts[state]]
    if not parts:
        return ""
    number, _, rest = parts[0].partition(" ")
    return ", ".join([f"{number} quote{'' if number == '1' else 's'} {rest}", *parts[1:]])
