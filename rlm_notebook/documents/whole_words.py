"""Whether words that a folded text has are whole there: not cut from a word, a number or a negation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import accumulate, pairwise

from .folding import WORD, signs

__all__ = ["is_whole"]

_LISTED = (
    "no not never none neither nor nobody nothing nowhere without cannot hardly barely scarcely seldom rarely "
    "nicht kein keine keinen keinem keiner keines nie niemals ohne weder "
    "ne pas jamais sans aucun aucune nunca ningún ninguna jamás não nem senza nessun nessuna "
    "niet geen nooit zonder inte ingen aldrig ikke ingen uden uten nie bez brak żaden nikdy "
    "не нет ни без никогда δεν μην χωρίς ei değil لا ليس لم لن غير לא אין בלי"
)
#: Where words have no spaces between them: what negates the word behind it, and at the end of a word the word itself.
_NEGATING = re.compile(r"[不没沒未無无非勿莫别毋]\Z")
_NEGATED = re.compile(r"(?:な[いかくけ]|ませ|ず|ぬ|ざる)")
_NEGATIONS = frozenset(_LISTED.split())
_BEFORE = re.compile(r"([^\W_]+(?:'[^\W_]+)*) ?\Z")
_AFTER = re.compile(r" ?([^\W_]+(?:'[^\W_]+)*)")
_IN_NUMBER_BEFORE = re.compile(r"(?:\d[.,'^/:]?|[-+±~^]|[<>≤≥] ?)\Z")
_IN_NUMBER_AFTER = re.compile(
    r"[.,'^/:-]?\d|\^| ?[%‰]| ?[×·] ?1|[万亿萬億千百兆]"
    r"| (?:per ?cent|thousand|[mb]n|mio|mrd|(?:m|b|tr)ill?[ij][^\W\d_]+|milliards?|Tausend|mil|тыс|млн|млрд)\b",
    re.IGNORECASE,
)
#: Groups of digits with spaces between them: "1 500".
_GROUP_BEFORE, _GROUP_AFTER = re.compile(r"(?<!\d)\d{1,3} \Z"), re.compile(r" \d{3}(?!\d)")
_GROUP_FIRST, _GROUP_LAST = re.compile(r"\d{3}(?!\d)"), re.compile(r"(?<!\d)\d{1,3}\Z")
_ALONE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def is_whole(window: str, start: int, end: int, words: list[str]) -> bool:
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
    if (_ALONE.match(first) and _NEGATING.search(before)) or (_ALONE.match(last) and _NEGATED.match(after)):
        return False
    there, quoted = _Edges.of(WORD.findall(window[start:end])), _Edges.of(words)
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
        bounds = list(pairwise(accumulate(map(signs, words), initial=0)))
        negations = [each for each, word in zip(bounds, words, strict=True) if _negates(word)]
        return cls(frozenset(start for start, _ in bounds), frozenset(end for _, end in bounds), negations)

    def keeps(self, negations: list[tuple[int, int]]) -> bool:
        return all(start in self.starts and end in self.ends for start, end in negations)


def _joined(left: str, right: str) -> bool:
    """Whether two characters are of one word; in scripts without spaces each may be a word."""
    return left.isalnum() and right.isalnum() and not (_ALONE.match(left) and _ALONE.match(right))


def _negates(word: str) -> bool:
    word = word.lower()
    return word in _NEGATIONS or word.endswith("n't")
