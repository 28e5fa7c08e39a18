"""Key terms: words and phrases that a text uses more than once, and whose neighbours suggest that they are nouns."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .documents import paragraphs
from .language import STOP_WORDS, stem, word_set, words
from .ranking import sample

__all__ = ["key_terms"]

_TOKEN = re.compile(r"\w+://\S+|`[^`\n]{1,40}`|[^\W\d_][\w'’]*(?:-\w+)*|[^\s\w]|\d\S*")
Phrase = tuple[str, ...]

#: Words that are too general as terms, except within a phrase.
_GENERIC = frozenset(
    map(
        stem,
        word_set(
            """
            amount answer beginning bit call case cent change chapter choice course day detail document effect end
            example fact figure form group hand half hour idea instance item kind level line list lot manner matter
            moment month name need note number order paragraph part people percent person piece place plenty point
            possibility problem purpose question range reader reason rest section sense sentence set side sort start
            step text time today total two type value version view week word work world year
            """
        ),
    )
)


@dataclass(slots=True)
class _Statistics:
    """Counts of the candidate phrases of a text, by the stems of their words."""

    uses: Counter[Phrase] = field(default_factory=Counter)
    spellings: dict[Phrase, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    as_noun: Counter[str] = field(default_factory=Counter)
    as_other: Counter[str] = field(default_factory=Counter)
    title: frozenset[str] = frozenset()


def key_terms(text: str, count: int | None = None, title: str = "") -> list[str]:
    """The terms, best first: `count` of them, or up to eight that the text uses more than once."""
    found = _Statistics(title=frozenset(stem(word) for word in words(title) if word.lower() not in STOP_WORDS))
    for paragraph in paragraphs(sample(text)):
        _read(paragraph.text, found)
    scores = {phrase: _score(phrase, found) for phrase in found.uses}
    ordered = sorted((phrase for phrase in scores if scores[phrase] > 0), key=lambda each: (-scores[each], each))
    chosen: list[Phrase] = []
    for phrase in ordered:
        if len(chosen) == (count or 8):
            break
        # None that shares half its words with a better one.
        if not any(2 * len(set(phrase) & set(other)) >= min(len(phrase), len(other)) for other in chosen):
            chosen.append(phrase)
    if count is None:
        strong = [phrase for phrase in chosen if found.uses[phrase] > 1 or found.title.issuperset(phrase)]
        chosen = strong if len(strong) >= 3 else chosen[:3]
    return [_surface(found.spellings[phrase]) for phrase in chosen]


def _read(text: str, found: _Statistics) -> None:
    tokens: list[str] = _TOKEN.findall(text)
    for before, token, after in zip([".", *tokens], tokens, [*tokens[1:], "."], strict=False):
        if _is_content(token):
            # The neighbours of a word suggest whether it is used as a noun.
            word, before, after = stem(token), before.lower(), after.lower()
            found.as_noun[word] += (before in _BEFORE_NOUN) + (after in _AFTER_NOUN)
            found.as_other[word] += (before in _BEFORE_VERB) + (after in _AFTER_VERB)
    for run, opens in _runs(tokens):
        for start, phrase in _phrases(run):
            key, spelling = tuple(stem(each) for each in phrase), " ".join(phrase)
            found.uses[key] += 1
            # At the beginning of a sentence, the capital is not part of the spelling.
            if opens and start == 0 and phrase[0][1:].islower():
                found.spellings[key][spelling[0].lower() + spelling[1:]] += 0
            else:
                found.spellings[key][spelling] += 1


_BEFORE_NOUN = word_set("a an the this that these those each every no any some its their your our his her of per one")
_AFTER_NOUN = word_set("of is are was were has have had can will may must that which , . ; :")
_BEFORE_VERB = word_set(
    "to will would can could may might must shall should not never it they we you i he she who which that does do did "
    "cannot always only is are was were be been being"
)
_AFTER_VERB = word_set("the a an it them its your this these")


def _is_content(token: str) -> bool:
    if token.startswith("`"):
        return len(token) > 1
    return len(token) > 2 and "://" not in token and token[0].isalpha() and token.lower() not in STOP_WORDS


def _runs(tokens: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """Sequences of adjacent content words, and whether they begin a sentence; code is a sequence of its own."""
    run: list[str] = []
    opens, before = False, "."
    for token in [*tokens, "."]:
        if _is_content(token) and not token.startswith("`"):
            opens = before in {".", "!", "?", ":"} if not run else opens
            run.append(token)
        else:
            if run:
                yield run, opens
            if _is_content(token):
                yield [token], False
            run = []
        before = token


def _phrases(run: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """Phrases of one to three words of a sequence, or more if all are capitalised like a name."""
    for length in range(1, min(len(run), 6) + 1):
        for start in range(len(run) - length + 1):
            phrase = run[start : start + length]
            if length <= 3 or all(word[0].isupper() for word in phrase):
                yield start, phrase


def _score(phrase: Phrase, found: _Statistics) -> float:
    uses, first, last = found.uses[phrase], phrase[0], phrase[len(phrase) - 1]
    if len(phrase) > 1 and uses < 2 and not found.title.issuperset(phrase):
        return 0.0
    noun = _noun_likeness(last, found)
    if len(phrase) > 1:
        # Adverbs and verbs hardly ever begin a term.
        if first.endswith("ly"):
            noun *= 0.1
        elif found.as_other[first] > found.as_noun[first] + 1:
            noun *= 0.4
    elif first in _GENERIC:
        noun *= 0.35
    in_title = 1.5 if found.title.intersection(phrase) else 1.0
    return float(uses**0.9 * (1 + 0.6 * (len(phrase) - 1)) * noun * in_title)


_NOUN_ENDINGS = ("tion", "sion", "ment", "ness", "ity", "er", "or", "ism", "ship", "ance", "ence", "ure", "age", "cy")
_OTHER_ENDINGS = ("ly", "able", "ible", "ful", "ous", "ive", "less", "ish", "ed", "ic", "al")


def _noun_likeness(word: str, found: _Statistics) -> float:
    """Between 0 and 1, by the word's neighbours and its ending."""
    if word.startswith("`"):
        return 0.7
    nouns, others = found.as_noun[word], found.as_other[word]
    ratio = (nouns + 0.5) / (nouns + 1.6 * others + 1.0)
    spelling = _surface(found.spellings[(word,)]).lower()
    if spelling.endswith(_OTHER_ENDINGS):
        return 0.35 * ratio
    if spelling.endswith("ing"):
        return 0.6 * ratio
    return min(1.0, 1.2 * ratio) if spelling.endswith(_NOUN_ENDINGS) else ratio


def _surface(seen: Counter[str]) -> str:
    """The most frequent spelling."""
    return min(seen, key=lambda spelling: (-seen[spelling], spelling), default="")
