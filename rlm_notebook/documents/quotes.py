"""Whether the words of a quote are in the sources, and where.

Words are compared in a folded form, in which what extraction from a PDF changes is equal: compatibility characters
(NFKC: ligatures, full-width letters), line breaks and hyphens at them, dashes, quotation marks, emphasis marks of
Markdown, any white space between letters. A quote is *verified* if its folded form is in the folded source as whole
words, and nothing else is: one character more or less is an alteration, since it may be a number or a negation. Folding
therefore keeps what numbers are made of (their spaces, points, signs, exponents), and a quote that is cut out behind or
before a negation, or out of a number, is altered, although its words are there.

Similar words make a quote *altered*: 80 % of the characters in equal words, in one run of the source.

The sources are cut into blocks of about 8,000 characters. For each word the blocks that have it are kept (by hash, in
arrays), so that a quote is compared with the few blocks that share its rarest words.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import Match, SequenceMatcher
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise

from ..core.quotes import Quotation, Quote, QuoteState
from .passages import Passage

__all__ = ["QuoteIndex"]

#: Characters of a block.
_BLOCK = 8_000
#: Quotes that are shorter (folded, without spaces) or longer are compared exactly, and not for similarity.
_SHORTEST_SIMILAR, _LONGEST_SIMILAR = 12, 4_000
#: The part of the characters that has to be in equal words.
_SIMILAR = 0.8
_BUCKETS = 1 << 18
#: The most words that are looked up, and blocks that are compared.
_RAREST, _MOST_BLOCKS = 8, 24
#: The most blocks that are compared for similar words.
_MOST_SIMILAR = 8
#: Characters shown on each side of what was found.
_AROUND = 300
#: In a source with more passages, an anchor is found only as it is written.
_MOST_ANCHORS = 20_000

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:'[^\W_]+)*")
_SPACE = re.compile(r"(?<!\d) | (?!\d)")
_KEPT = re.compile(r"[^ ]|(?<=\d) (?=\d)")
_SOFT_HYPHEN = re.compile("\u00ad\\s*")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_QUOTATION = {
    **dict.fromkeys(map(ord, '"“”„‟«»‹›″＂「」『』')),
    **dict.fromkeys(map(ord, "‘’‚‛′`´ʼ＇"), "'"),
}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_FOLDED = {**_INVISIBLE, **_QUOTATION, **_DASHES}
_ASCII_MARKS = str.maketrans("`", "'", '"')
_APOSTROPHE = re.compile(r"(?<!\w)'+|'+(?!\w)")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[ ]?-[- ]*(?=[^\W\d_])")
_EMPHASIS = re.compile(r"(?<![\d\s*])\*+|\*+(?![\d\s*])")
#: 10² is not 102, and 1½ is not 11/2.
_EXPONENT = re.compile(r"(?<=\d)(?=[⁰¹²³⁴-⁹₀-₉])")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")

_LISTED = (
    "no not never none neither nor nobody nothing nowhere without cannot hardly "
    "nicht kein keine keinen keinem keiner keines nie niemals ohne weder "
    "ne pas jamais sans aucun aucune nunca ningún ninguna jamás não nem senza nessun nessuna"
)
_NEGATIONS = frozenset(_LISTED.split())
_BEFORE = re.compile(r"([^\W_]+(?:'[^\W_]+)*) ?\Z")
_AFTER = re.compile(r" ?([^\W_]+(?:'[^\W_]+)*)")
_IN_NUMBER_BEFORE = re.compile(r"(?:\d[.,'^/]?|[-+±~^]|[<>≤≥] ?)\Z")
_IN_NUMBER_AFTER = re.compile(
    r"[.,'^/]?\d|\^| ?[%‰]| (?:per ?cent|thousand|million|billion|trillion|Tausend|Millionen|Milliarden)\b"
)
#: Groups of digits with spaces between them: "1 500".
_GROUP_BEFORE, _GROUP_AFTER = re.compile(r"(?<!\d)\d{1,3} \Z"), re.compile(r" \d{3}(?!\d)")
_GROUP_FIRST, _GROUP_LAST = re.compile(r"\d{3}(?!\d)"), re.compile(r"(?<!\d)\d{1,3}\Z")
_NAMES_OF_ANCHORS = {
    **dict.fromkeys(("page", "pages", "pp", "pg", "s", "seite"), "p"),
    **dict.fromkeys(("lines", "l", "ll"), "line"),
    **{"rows": "row", "cells": "cell", "sections": "section"},
}


def folded(text: str) -> str:
    """The text with what is noise made equal, and single spaces."""
    if not text.isascii():
        text = _SOFT_HYPHEN.sub("", _FRACTION.sub(" ", _EXPONENT.sub("^", text)))
        text = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).translate(_FOLDED)
    else:
        text = text.translate(_ASCII_MARKS)
    text = " ".join(text.split())
    if "'" in text:
        text = _APOSTROPHE.sub("", text)
    if "*" in text:
        text = _EMPHASIS.sub("", text)
    return _HYPHEN.sub("", text) if "-" in text else text


def _tight(spaced: str) -> str:
    """The folded text without spaces, except between digits."""
    return _SPACE.sub("", spaced)


@dataclass(frozen=True, slots=True)
class _Needle:
    """A quote in the forms that it is sought in."""

    spaced: str
    tight: str
    words: list[str]

    @classmethod
    def of(cls, quote: str) -> _Needle:
        spaced = folded(quote).rstrip(" .,;:'-").lstrip(" .,;:'")
        if spaced.startswith("-") and not spaced.lstrip("- ")[:1].isdigit():
            spaced = spaced.lstrip("- ")
        return cls(spaced, _tight(spaced), _WORD.findall(spaced))

    @property
    def spellings(self) -> tuple[str, ...]:
        """As it is, and with the case of its first letter changed: a quote may begin a sentence, or stand in one."""
        first = self.tight[:1]
        return (self.tight, first.swapcase() + self.tight[1:]) if first.isalpha() else (self.tight,)


#: An anchor as it is compared: its words and its numbers.
_Anchor = tuple[tuple[str, ...], tuple[int, ...]]


@dataclass(eq=False)
class _Source:
    name: str
    passages: list[Passage] = field(default_factory=list)
    #: Its blocks are `blocks[first:end]` of the index.
    first: int = 0
    end: int = 0

    @cached_property
    def anchors(self) -> dict[_Anchor, list[int]]:
        """The passages by their anchors."""
        found: dict[_Anchor, list[int]] = {}
        for at, passage in enumerate(self.passages):
            found.setdefault(_anchor(passage.anchor), []).append(at)
        return found


@dataclass(frozen=True, slots=True)
class _Block:
    """Consecutive text of one source: from `start` in its passage `first` to `end` in its passage `last`."""

    source: _Source
    first: int
    start: int
    last: int
    end: int
    text: str

    def pieces(self) -> Iterator[tuple[int, str]]:
        """The passages it is made of, each with the part of its text."""
        for at in range(self.first, self.last + 1):
            text = self.source.passages[at].text
            start = self.start if at == self.first else 0
            yield at, text[start : self.end if at == self.last else len(text)]


@dataclass(frozen=True, slots=True)
class _Cited:
    """What a citation names: a source (`None`: none that there is) and in it passages (`None`: any)."""

    source: _Source | None
    passages: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class _Match:
    """Words in a window: a block with so much of its neighbours that a quote may begin or end in them.

    `head` is the length of what is before the block.
    """

    at: int
    window: str
    head: int
    start: int
    end: int
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class _Place:
    """Where words were found: in these passages of a source, with the text around them."""

    source: _Source
    passages: range
    before: str
    found: str
    after: str


class QuoteIndex:
    """Finds quotes in passages; immutable, and safe to use from several threads.

    Building one takes time linear in the text (about 0.1 s per million characters); its blocks are a folded copy.
    """

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._sources: dict[str, _Source] = {}
        for passage in passages:
            self._sources.setdefault(passage.source, _Source(passage.source)).passages.append(passage)
        self._blocks: list[_Block] = []
        for source in self._sources.values():
            source.first = len(self._blocks)
            self._blocks.extend(_cut(source))
            source.end = len(self._blocks)
        self._postings = _postings(self._blocks)
        self._cited = lru_cache(maxsize=10_000)(self._find_cited)
        self._known = lru_cache(maxsize=10_000)(self._check)

    def check(self, quotation: Quotation) -> Quote:
        """The quote with its state and the place where its words, or similar ones, are."""
        return self._known(quotation.quote, quotation.label)

    def _check(self, words: str, label: str) -> Quote:
        needle = _Needle.of(words)
        cited = self._cited(label)
        named = cited.source
        missing = Quote(words, named.name if named else label, _rest(label, named), "not found", cited=label)
        if not needle.words:
            return missing
        blocks = self._candidates(needle, cited)
        cut = elsewhere = None
        for match in (each for at in blocks for each in self._occurrences(at, needle)):
            if match.is_whole and _is_cited(place := self._place(match), cited):
                return _quote(words, label, place, cited, "verified")
            if match.is_whole:
                elsewhere = elsewhere or match
            else:
                cut = cut or match
        if elsewhere is not None:
            return _quote(words, label, self._place(elsewhere), cited, "moved" if label else "verified")
        similar = cut or self._most_similar(blocks, needle)
        return _quote(words, label, self._place(similar), cited, "altered") if similar is not None else missing

    # -- where to look

    def _candidates(self, needle: _Needle, cited: _Cited) -> list[int]:
        """The blocks to compare with a quote, the cited ones first."""
        first = list(dict.fromkeys(at for at in self._blocks_of(cited)))
        listed = sorted(
            (self._postings[each] for each in {hash(word) % len(self._postings) for word in needle.words}), key=len
        )
        present = [each for each in listed if each]
        rare = [each for each in present if len(each) <= len(self._blocks) // 4 + 8][:_RAREST]
        counts: Counter[int] = Counter()
        for blocks in rare:
            counts.update(blocks)
        least = (len(rare) + 1) // 2
        ranked = sorted((at for at, count in counts.items() if count >= least), key=lambda at: (-counts[at], at))
        if not rare or (len(ranked) > _MOST_BLOCKS and counts[ranked[_MOST_BLOCKS]] == counts[ranked[0]]):
            ranked = [*self._holding(needle), *ranked]
        return list(dict.fromkeys([*first, *ranked[:_MOST_BLOCKS]]))

    def _holding(self, needle: _Needle) -> Iterator[int]:
        """The blocks that hold common words as they are, but for the case of their first letter."""
        return (at for at, block in enumerate(self._blocks) if needle.spaced[1:] in block.text)

    def _blocks_of(self, cited: _Cited) -> Iterator[int]:
        """The blocks of cited passages; of a whole source none, which is searched like all others."""
        source = cited.source
        if source is None or cited.passages is None:
            return
        firsts = [block.first for block in self._blocks[source.first : source.end]]
        for passage in sorted(cited.passages)[:_MOST_BLOCKS]:
            at = source.first + max(0, bisect_right(firsts, passage) - 1)
            while at > source.first and self._blocks[at - 1].last >= passage:
                at -= 1
            while at < source.end and self._blocks[at].first <= passage:
                yield at
                at += 1

    def _find_cited(self, label: str) -> _Cited:
        source = self._named(label)
        if source is None:
            # A place without a name is one of the only source.
            only = next(iter(self._sources.values())) if len(self._sources) == 1 else None
            passages = _anchored(only, label) if only is not None else None
            return _Cited(only, passages) if passages else _Cited(None, None)
        rest = _rest(label, source)
        return _Cited(source, _anchored(source, rest) if rest else None)

    def _named(self, label: str) -> _Source | None:
        """The source that a citation names: the longest that it begins with, else one that is in it."""
        wanted = _plain(label)
        cut = len(wanted)
        while cut > 0:
            if (named := self._names.get(wanted[:cut])) is not None:
                return named
            cut = wanted.rfind(" ", 0, cut)
        inside = [name for name in self._names if f" {name} " in f" {wanted} "]
        return self._names[max(inside, key=len)] if inside else None

    @cached_property
    def _names(self) -> dict[str, _Source]:
        """Sources by their names, and by the file's name without its folder where that is theirs alone."""
        short = Counter(name.rpartition("/")[2] for name in self._sources)
        files = {name: each for name, each in self._sources.items() if short[name.rpartition("/")[2]] == 1}
        return {
            **{_plain(name.rpartition("/")[2]): source for name, source in files.items()},
            **{_plain(name): source for name, source in self._sources.items()},
        }

    # -- comparing

    def _window(self, at: int, length: int) -> tuple[str, int]:
        """The window of a block for words of this length, and the length of what is before the block."""
        block = self._blocks[at]
        room = length + length // 3 + 100
        before = self._blocks[at - 1].text[-room:] + " " if at > block.source.first else ""
        after = " " + self._blocks[at + 1].text[:room] if at + 1 < block.source.end else ""
        return f"{before}{block.text}{after}", len(before)

    def _occurrences(self, at: int, needle: _Needle) -> Iterator[_Match]:
        """Where a window has the words; `is_whole` if they are not cut from a word, a number or a negation."""
        window, head = self._window(at, len(needle.spaced))
        tight = _tight(window)
        positions: list[int] = []
        for spelling in needle.spellings:
            found = tight.find(spelling)
            while found >= 0:
                positions = positions or [each.start() for each in _KEPT.finditer(window)]
                start, end = positions[found], positions[found + len(spelling) - 1] + 1
                yield _Match(at, window, head, start, end, _is_whole(window, start, end, needle))
                found = tight.find(spelling, found + len(spelling))

    def _most_similar(self, blocks: Sequence[int], needle: _Needle) -> _Match | None:
        """The most similar run of words, if it is similar enough."""
        if not _SHORTEST_SIMILAR <= len(needle.tight) <= _LONGEST_SIMILAR:
            return None
        windows = [(at, *self._window(at, len(needle.spaced))) for at in blocks[:_MOST_SIMILAR]]
        compared = [(*_most_similar(window, needle.words), at, window, head) for at, window, head in windows]
        ratio, start, end, at, window, head = max(compared, key=lambda each: each[0], default=(0.0, 0, 0, 0, "", 0))
        return _Match(at, window, head, start, end) if ratio >= _SIMILAR else None

    def _place(self, match: _Match) -> _Place:
        """Where a match is in the passages. Folding keeps letters and digits, so these are counted."""
        source, at = self._blocks[match.at].source, match.at
        blocks = self._blocks[max(source.first, at - 1) : min(source.end, at + 2)]
        before = _signs(blocks[0].text) - _signs(match.window[: match.head]) if match.head else 0
        skipped = before + _signs(match.window[: match.start])
        return _located(source, blocks, skipped, _signs(match.window[match.start : match.end]))


def _cut(source: _Source) -> Iterator[_Block]:
    """The text of a source in blocks."""
    first = start = size = 0
    texts: list[str] = []
    for at, passage in enumerate(source.passages):
        text, begin = passage.text, 0
        while size + len(text) - begin > _BLOCK:
            end = _end_of_piece(text, begin, begin + _BLOCK - size)
            yield _Block(source, first, start, at, end, folded("\n".join([*texts, text[begin:end]])))
            first, start, begin, size, texts = at, end, end, 0, []
        texts.append(text[begin:])
        size += len(text) - begin
    if texts:
        yield _Block(source, first, start, at, len(text), folded("\n".join(texts)))


def _end_of_piece(text: str, begin: int, end: int) -> int:
    """The end of a line or of a word before `end`, if there is one near; not where a word may be hyphenated."""
    for sign in "\n ":
        found = text.rfind(sign, max(begin, end - 1_000), end)
        while found > 0 and text[found - 1] in "-\u00ad\u2010":
            found = text.rfind(sign, max(begin, end - 1_000), found)
        if found >= 0:
            return found + 1
    return end


def _postings(blocks: Sequence[_Block]) -> list[array[int]]:
    """For each hash of a word the blocks that have such words."""
    buckets = [array("I") for _ in range(_BUCKETS if len(blocks) > 64 else 1 << 12)]
    count = len(buckets)
    for at, block in enumerate(blocks):
        for bucket in {hash(word) % count for word in set(_WORD.findall(block.text))}:
            buckets[bucket].append(at)
    return buckets


def _is_whole(window: str, start: int, end: int, needle: _Needle) -> bool:
    """Whether `window[start:end]` begins and ends with whole words and numbers, and negates as much as the quote."""
    before, after = window[max(0, start - 40) : start], window[end : end + 40]
    first, last = window[start], window[end - 1]
    if _joined(before[-1:], first) or _joined(last, after[:1]) or re.match(r"'[^\W_]", after):
        return False
    if first.isdigit() and (
        _IN_NUMBER_BEFORE.search(before)
        or (_GROUP_BEFORE.search(before) and _GROUP_FIRST.match(window[start : start + 4]))
    ):
        return False
    if last.isdigit() and (
        _IN_NUMBER_AFTER.match(after)
        or (_GROUP_AFTER.match(after) and _GROUP_LAST.search(window[max(start, end - 4) : end]))
    ):
        return False
    beside = (_BEFORE.search(before), _AFTER.match(after))
    if any(found is not None and _negates(found[1]) for found in beside):
        return False
    there, quoted = _Edges.of(_WORD.findall(window[start:end])), _Edges.of(needle.words)
    return there.keeps(quoted.negations) and quoted.keeps(there.negations)


@dataclass(frozen=True, slots=True)
class _Edges:
    """Where the words of a text begin and end, in letters and digits from its beginning; and those that negate.

    White space may be missing or too much, but a negation begins and ends where it does: "not able" is not "notable".
    """

    starts: frozenset[int]
    ends: frozenset[int]
    negations: list[tuple[int, int]]

    @classmethod
    def of(cls, words: list[str]) -> _Edges:
        bounds = list(pairwise(accumulate(map(_signs, words), initial=0)))
        negations = [each for each, word in zip(bounds, words, strict=True) if _negates(word)]
        return cls(frozenset(start for start, _ in bounds), frozenset(end for _, end in bounds), negations)

    def keeps(self, negations: list[tuple[int, int]]) -> bool:
        return all(start in self.starts and end in self.ends for start, end in negations)


def _joined(left: str, right: str) -> bool:
    """Whether two characters are of one word; in scripts without spaces each may be a word."""
    return left.isalnum() and right.isalnum() and not (_ALONE.match(left) and _ALONE.match(right))


_ALONE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def _negates(word: str) -> bool:
    word = word.lower()
    return word in _NEGATIONS or word.endswith("n't")


def _most_similar(window: str, words: list[str]) -> tuple[float, int, int]:
    """How similar the most similar run of a window is to the words, from 0 to 1; and where it is."""
    found = list(_WORD.finditer(window))
    tokens, wanted, count = [each[0] for each in found], set(words), len(words)
    hits = [0, *accumulate(token in wanted for token in tokens)]
    width = min(count, len(tokens))
    places = range(len(tokens) - width + 1)
    at = max(places, key=lambda place: hits[place + width] - hits[place], default=0)
    if hits[at + width] - hits[at] < count // 2:
        return 0.0, 0, 0
    first = max(0, at - count // 4 - 3)
    run = tokens[first : at + width + count // 4 + 3]
    blocks = [each for each in SequenceMatcher(None, run, words, autojunk=False).get_matching_blocks() if each.size]
    ratio, blocks = _trimmed(run, words, blocks)
    if not blocks:
        return 0.0, 0, 0
    start, end = first + blocks[0].a, first + blocks[-1].a + blocks[-1].size - 1
    return ratio, found[start].start(), found[end].end()


def _trimmed(run: list[str], words: list[str], blocks: list[Match]) -> tuple[float, list[Match]]:
    """The similarity of the run from the first to the last equal words; words that stand alone far off are left out."""
    best = _ratio(run, words, blocks)
    while len(blocks) > 1:
        shorter = [(_ratio(run, words, each), each) for each in (blocks[1:], blocks[:-1])]
        ratio, kept = max(shorter, key=lambda each: each[0])
        if ratio <= best:
            break
        best, blocks = ratio, kept
    return best, blocks


def _ratio(run: list[str], words: list[str], blocks: list[Match]) -> float:
    if not blocks:
        return 0.0
    equal = sum(len(token) for each in blocks for token in run[each.a : each.a + each.size])
    spanned = sum(map(len, run[blocks[0].a : blocks[-1].a + blocks[-1].size]))
    return 2 * equal / (spanned + sum(map(len, words)))


def _signs(folded_text: str) -> int:
    """The number of letters and digits."""
    return sum(map(str.isalnum, folded_text))


class _Weights(dict[str, int]):
    """How many letters and digits a character has when it is folded."""

    def __missing__(self, sign: str) -> int:
        weight = self[sign] = _signs(unicodedata.normalize("NFKC", sign))
        return weight


_WEIGHTS = _Weights()


def _located(source: _Source, blocks: Sequence[_Block], skipped: int, length: int) -> _Place:
    """The place of `length` letters and digits after the first `skipped` ones of consecutive blocks."""
    pieces = [piece for block in blocks for piece in block.pieces()]
    texts = [unicodedata.normalize("NFC", text) for _, text in pieces]
    whole = "\n".join(texts)
    counted = list(accumulate(map(_WEIGHTS.__getitem__, whole)))
    start, end = bisect_left(counted, skipped + 1), bisect_left(counted, skipped + length) + 1
    ends = list(accumulate(len(text) + 1 for text in texts))
    first, last = pieces[min(bisect_right(ends, start), len(pieces) - 1)][0], pieces[bisect_left(ends, end)][0]
    before, after = whole[max(0, start - _AROUND) : start], whole[end : end + _AROUND]
    return _Place(source, range(first, last + 1), before, whole[start:end], after)


def _quote(words: str, label: str, place: _Place, cited: _Cited, state: QuoteState) -> Quote:
    passages = place.passages
    at = next((each for each in passages if each in (cited.passages or ())), passages[0])
    anchor = place.source.passages[at].anchor
    around = {"found": place.found, "before": place.before, "after": place.after}
    return Quote(words, place.source.name, anchor, state, cited=label, **around)


def _is_cited(place: _Place, cited: _Cited) -> bool:
    inside = cited.passages is None or any(each in cited.passages for each in place.passages)
    return place.source is cited.source and inside


# -- citations


def _plain(name: str) -> str:
    """A name as it is compared: words with single spaces, without brackets and the signs between name and place."""
    return " ".join(re.sub(r"[()\[\]{}\"'`“”‘’]|[,;:#]+(?=\s|\Z)", " ", name).split()).casefold()


def _rest(label: str, source: _Source | None) -> str:
    """The citation without the name of its source: the anchor."""
    if source is None:
        return ""
    wanted = _plain(label)
    for name in (_plain(source.name), _plain(source.name.rpartition("/")[2])):
        if name and name in wanted:
            return " ".join(wanted.replace(name, " ", 1).split())
    return ""


def _anchor(text: str) -> _Anchor:
    parts = re.findall(r"[^\W\d_]+|\d+", text.casefold())
    names = tuple(_NAMES_OF_ANCHORS.get(part, part) for part in parts if not part.isdecimal())
    return names, tuple(int(part[:18]) for part in parts if part.isdecimal())


def _anchored(source: _Source, rest: str) -> frozenset[int] | None:
    """The passages that an anchor names; `None` for a source without anchors."""
    anchors = source.anchors
    if set(anchors) <= {((), ())}:
        return None
    wanted = _anchor(rest)
    found = anchors.get(wanted)
    if found is None and len(anchors) <= _MOST_ANCHORS:
        found = [at for each, listed in anchors.items() if _overlap(each, wanted) for at in listed]
    return frozenset(found or ())


def _overlap(anchor: _Anchor, wanted: _Anchor) -> bool:
    """Whether an anchor includes or overlaps another: page 12 has "p.12, lines 3-4", and lines 10-20 have line 12."""
    (names, numbers), (wanted_names, wanted_numbers) = anchor, wanted
    if not (names or numbers) or names != wanted_names[: len(names)]:
        return False
    if names != wanted_names or not numbers or not wanted_numbers:
        return numbers == wanted_numbers[: len(numbers)]
    return min(numbers) <= max(wanted_numbers) and min(wanted_numbers) <= max(numbers)
