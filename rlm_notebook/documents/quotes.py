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

import unicodedata
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from operator import attrgetter
from pathlib import PurePosixPath

from ..core.quotes import Quotation, Quote, QuoteState
from .folding import KEPT, WORD, folded, signs, tight
from .passages import Passage
from .places import Anchor, anchor_of, overlap, plain_name
from .similarity import most_similar
from .whole_words import is_whole

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
        return cls(spaced, tight(spaced), WORD.findall(spaced))

    @property
    def spellings(self) -> tuple[str, ...]:
        """As it is, and with the case of its first letter changed: a quote may begin a sentence, or stand in one."""
        first = self.tight[:1]
        return (self.tight, first.swapcase() + self.tight[1:]) if first.isalpha() else (self.tight,)


@dataclass(eq=False)
class _Source:
    name: str
    passages: list[Passage] = field(default_factory=list)
    #: Its blocks are `blocks[first:end]` of the index.
    first: int = 0
    end: int = 0

    @cached_property
    def anchors(self) -> dict[Anchor, list[int]]:
        """The passages by their anchors."""
        found: dict[Anchor, list[int]] = {}
        for at, passage in enumerate(self.passages):
            found.setdefault(anchor_of(passage.anchor), []).append(at)
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
    """What a citation names: a source (`None`: none that there is) and in it passages (`None`: any); `rest` is the
    anchor as it is written."""

    source: _Source | None
    passages: frozenset[int] | None
    rest: str


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
        place = (named.name, cited.rest) if named is not None else (label, "")
        missing = Quote(words, *place, "not found", cited=label)
        if not needle.words:
            return missing
        blocks = self._candidates(needle, cited)
        cut = elsewhere = None
        for match in (each for at in blocks for each in self._occurrences(at, needle)):
            if not match.is_whole:
                cut = cut or match
                continue
            found = self._place(match)
            inside = cited.passages is None or any(at in cited.passages for at in found.passages)
            if found.source is named and inside:
                return _quote(words, label, found, cited, "verified")
            elsewhere = elsewhere or match
        if elsewhere is not None:
            return _quote(words, label, self._place(elsewhere), cited, "moved" if label else "verified")
        similar = cut or self._most_similar(blocks, needle)
        return _quote(words, label, self._place(similar), cited, "altered") if similar is not None else missing

    # -- where to look

    def _candidates(self, needle: _Needle, cited: _Cited) -> list[int]:
        """The blocks to compare with a quote, the cited ones first."""
        first = list(self._blocks_of(cited))
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
            # Common words: the blocks that hold them as they are, but for the case of their first letter.
            ranked = [*(at for at, block in enumerate(self._blocks) if needle.spaced[1:] in block.text), *ranked]
        return list(dict.fromkeys([*first, *ranked[:_MOST_BLOCKS]]))

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
        source, rest = self._named(plain_name(label))
        if source is None and len(self._sources) == 1:
            # A place without a name is one of the only source.
            only = next(iter(self._sources.values()))
            source = only if anchored(only, rest) else None
        if source is None:
            return _Cited(None, None, rest)
        return _Cited(source, anchored(source, rest) if rest else None, rest)

    def _named(self, wanted: str) -> tuple[_Source | None, str]:
        """The source that a citation names, and the rest: the longest name that it begins with, else one inside."""
        for written in (wanted, wanted.rpartition("/")[2]):
            cut = len(written)
            while cut > 0:
                if (named := self._names.get(written[:cut])) is not None:
                    return named, written[cut:].strip()
                cut = written.rfind(" ", 0, cut)
        inside = max((name for name in self._names if f" {name} " in f" {wanted} "), key=len, default="")
        return self._names.get(inside), " ".join(f" {wanted} ".replace(f" {inside} ", " ", 1).split())

    @cached_property
    def _names(self) -> dict[str, _Source]:
        """Sources by their names; also without folder, and without suffix, where that is the name of one alone."""
        found: dict[str, _Source] = {}
        for shorten in (PurePosixPath.as_posix, attrgetter("name"), attrgetter("stem")):
            names = [(plain_name(shorten(PurePosixPath(source.name))), source) for source in self._sources.values()]
            alone = Counter(name for name, _ in names)
            found = {**{name: source for name, source in names if name and alone[name] == 1}, **found}
        return found

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
        close = tight(window)
        positions: list[int] = []
        for spelling in needle.spellings:
            found = close.find(spelling)
            while found >= 0:
                positions = positions or [each.start() for each in KEPT.finditer(window)]
                start, end = positions[found], positions[found + len(spelling) - 1] + 1
                yield _Match(at, window, head, start, end, is_whole(window, start, end, needle.words))
                found = close.find(spelling, found + len(spelling))

    def _most_similar(self, blocks: Sequence[int], needle: _Needle) -> _Match | None:
        """The most similar run of words, if it is similar enough."""
        if not _SHORTEST_SIMILAR <= len(needle.tight) <= _LONGEST_SIMILAR:
            return None
        windows = [(at, *self._window(at, len(needle.spaced))) for at in blocks[:_MOST_SIMILAR]]
        compared = [(*most_similar(window, needle.words), at, window, head) for at, window, head in windows]
        ratio, start, end, at, window, head = max(compared, key=lambda each: each[0], default=(0.0, 0, 0, 0, "", 0))
        return _Match(at, window, head, start, end) if ratio >= _SIMILAR else None

    def _place(self, match: _Match) -> _Place:
        """Where a match is in the passages. Folding keeps letters and digits, so these are counted."""
        source, at = self._blocks[match.at].source, match.at
        blocks = self._blocks[max(source.first, at - 1) : min(source.end, at + 2)]
        before = signs(blocks[0].text) - signs(match.window[: match.head]) if match.head else 0
        skipped = before + signs(match.window[: match.start])
        length = signs(match.window[match.start : match.end])
        pieces = [piece for block in blocks for piece in block.pieces()]
        texts = [unicodedata.normalize("NFC", text) for _, text in pieces]
        whole = "\n".join(texts)
        counted = list(accumulate(map(_WEIGHTS.__getitem__, whole)))
        start, end = bisect_left(counted, skipped + 1), bisect_left(counted, skipped + length) + 1
        ends = list(accumulate(len(text) + 1 for text in texts))
        first, last = pieces[min(bisect_right(ends, start), len(pieces) - 1)][0], pieces[bisect_left(ends, end)][0]
        around = whole[max(0, start - _AROUND) : start], whole[end : end + _AROUND]
        return _Place(source, range(first, last + 1), around[0], whole[start:end], around[1])


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
        last = len(source.passages) - 1
        end = len(source.passages[last].text)
        yield _Block(source, first, start, last, end, folded("\n".join(texts)))


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
        for bucket in {hash(word) % count for word in set(WORD.findall(block.text))}:
            buckets[bucket].append(at)
    return buckets


class _Weights(dict[str, int]):
    """How many letters and digits a character has when it is folded."""

    def __missing__(self, sign: str) -> int:
        weight = self[sign] = signs(unicodedata.normalize("NFKC", sign))
        return weight


_WEIGHTS = _Weights()


def _quote(words: str, label: str, place: _Place, cited: _Cited, state: QuoteState) -> Quote:
    passages = place.passages
    at = next((each for each in passages if each in (cited.passages or ())), passages[0])
    anchor = place.source.passages[at].anchor
    around = {"found": place.found, "before": place.before, "after": place.after}
    return Quote(words, place.source.name, anchor, state, cited=label, **around)


def anchored(source: _Source, rest: str) -> frozenset[int] | None:
    """The passages that an anchor names; `None` for a source without anchors."""
    anchors = source.anchors
    if set(anchors) <= {((), ())}:
        return None
    wanted = anchor_of(rest)
    found = anchors.get(wanted)
    if found is None and len(anchors) <= _MOST_ANCHORS:
        found = [at for each, listed in anchors.items() if overlap(each, wanted) for at in listed]
    return frozenset(found or ())
