"""Key terms: phrases that a text uses much, that are nouns by their neighbours, and that its surroundings use less."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from .documents import paragraphs
from .language import STOP_WORDS, stem, words
from .ranking import sample

__all__ = ["key_terms"]

_TOKEN = re.compile(r"`[^`\n]{1,40}`|[^\W\d_][\w'’]*(?:-\w+)*|[^\s\w]|\d\S*")
Phrase = tuple[str, ...]


@dataclass(slots=True)
class _Found:
    """What was seen of the candidate phrases of a text."""

    counts: Counter[Phrase] = field(default_factory=Counter)
    surfaces: dict[Phrase, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    as_noun: Counter[str] = field(default_factory=Counter)
    as_other: Counter[str] = field(default_factory=Counter)


def key_terms(text: str, count: int = 5, surroundings: str = "", title: str = "") -> list[str]:
    """Up to `count` terms, the most telling first; `surroundings` is the whole that the text is a part of."""
    found = _Found()
    for paragraph in paragraphs(sample(text)):
        _read(paragraph.text, found)
    common = _paragraph_counts(surroundings) if surroundings and surroundings != text else {}
    about = {stem(word) for word in words(title)}
    scores = {phrase: _score(phrase, found, common, about) for phrase in found.counts}
    ordered = sorted(scores, key=lambda phrase: (-scores[phrase], phrase))
    chosen = _without_overlap([phrase for phrase in ordered if scores[phrase] > 0], found.counts, count)
    return [_surface(found.surfaces[phrase]) for phrase in chosen]


def _read(text: str, found: _Found) -> None:
    tokens: list[str] = _TOKEN.findall(text)
    for index, token in enumerate(tokens):
        before = tokens[index - 1].lower() if index else "."
        after = tokens[index + 1].lower() if index + 1 < len(tokens) else "."
        if _is_content(token):
            _note_use(stem(token), before, after, found)
    for run in _runs(tokens):
        for phrase in _phrases(run):
            key = tuple(stem(token) for token in phrase)
            found.counts[key] += 1
            found.surfaces[key][" ".join(phrase)] += 1


_NOUN_BEFORE = frozenset("a an the this that these those each every no any some its their your our his her of per one".split())
_VERB_BEFORE = frozenset(
    "to will would can could may might must shall should not never it they we you i he she who which that does do did "
    "cannot always only".split()
)
_NOUN_AFTER = frozenset("of is are was were has have had can will may must that which".split())


def _note_use(word: str, before: str, after: str, found: _Found) -> None:
    """Whether this use of a word looks like a noun's."""
    found.as_noun[word] += (before in _NOUN_BEFORE) + (after in _NOUN_AFTER)
    found.as_other[word] += (before in _VERB_BEFORE) + (after in {"the", "a", "an", "it", "them", "its", "your"})


def _is_content(token: str) -> bool:
    return token.startswith("`") or (len(token) > 2 and token[0].isalpha() and token.lower() not in STOP_WORDS)


def _runs(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Stretches of content words with nothing between them; code stands alone."""
    run: list[str] = []
    for token in [*tokens, "."]:
        if _is_content(token) and not token.startswith("`"):
            run.append(token)
            continue
        if run:
            yield run
        if token.startswith("`") and len(token) > 1:
            yield [token]
        run = []


def _phrases(run: Sequence[str]) -> Iterator[Sequence[str]]:
    for length in (1, 2, 3):
        for start in range(len(run) - length + 1):
            yield run[start : start + length]


def _score(phrase: Phrase, found: _Found, common: Mapping[str, int], about: set[str]) -> float:
    uses = found.counts[phrase]
    if len(phrase) > 1 and uses < 2 and not about.issuperset(phrase):
        return 0.0
    noun = _noun_likeness(phrase[-1], found)
    if len(phrase) > 1:
        noun *= min(1.0, 0.3 + _modifier_likeness(phrase[0]))
    rarity = sum(_rarity(part, common) for part in phrase) / len(phrase)
    in_title = 1.3 if about.intersection(phrase) else 1.0
    return uses**0.8 * (1 + 0.7 * (len(phrase) - 1)) * noun * rarity * in_title


_NOUN_ENDINGS = ("tion", "sion", "ment", "ness", "ity", "er", "or", "ism", "ship", "ance", "ence", "ure", "age")
_OTHER_ENDINGS = ("ly", "able", "ible", "ful", "ous", "ive", "less", "ish")


def _noun_likeness(word: str, found: _Found) -> float:
    if word.startswith("`"):
        return 0.8
    ratio = (found.as_noun[word] + 1.0) / (found.as_noun[word] + 1.6 * found.as_other[word] + 1.5)
    if word.endswith(_OTHER_ENDINGS):
        return 0.3 * ratio
    return min(1.0, ratio * (1.2 if word.endswith(_NOUN_ENDINGS) else 1.0))


def _modifier_likeness(word: str) -> float:
    return 0.1 if word.endswith("ly") else 0.7


def _rarity(word: str, common: Mapping[str, int]) -> float:
    """Close to 1 for a word of few paragraphs of the surroundings, lower for one that is everywhere."""
    total = common.get("", 0)
    if not total:
        return 1.0
    return math.log((total + 1) / (common.get(word, 0) + 0.5)) / math.log(2 * (total + 1))


@lru_cache(maxsize=4)
def _paragraph_counts(text: str) -> Mapping[str, int]:
    """In how many paragraphs each stem occurs; under "" how many there are. Kept, as siblings share surroundings."""
    counts: Counter[str] = Counter()
    for paragraph in paragraphs(sample(text)):
        counts.update({stem(token) for token in _TOKEN.findall(paragraph.text)})
        counts[""] += 1
    return counts


def _without_overlap(ordered: Sequence[Phrase], counts: Mapping[Phrase, int], count: int) -> list[Phrase]:
    """The best phrases of which none is most of another."""
    chosen: list[Phrase] = []
    for phrase in ordered:
        if len(chosen) == count:
            break
        if not any(_shares_words(phrase, other) for other in chosen):
            chosen.append(phrase)
    return chosen


def _shares_words(one: Phrase, other: Phrase) -> bool:
    shared = set(one) & set(other)
    return len(shared) >= min(len(set(one)), len(set(other)))


def _surface(seen: Counter[str]) -> str:
    """The most frequent spelling; lower case if it is ever written so, as a capital may only start a sentence."""
    spellings = sorted(seen, key=lambda spelling: (-seen[spelling], spelling))
    best = spellings[0]
    lowered = best[0].lower() + best[1:]
    return lowered if lowered in seen else best
