"""How similar a run of a text is to the words of a quote."""

from __future__ import annotations

from difflib import Match, SequenceMatcher
from itertools import accumulate

from .folding import WORD

__all__ = ["most_similar"]


def most_similar(window: str, words: list[str]) -> tuple[float, int, int]:
    """How similar the most similar run of a window is to the words, from 0 to 1; and where it is."""
    found = list(WORD.finditer(window))
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
    ratio = _ratio(run, words, blocks)
    # Equal words that stand alone, far from the others, are left out.
    while len(blocks) > 1:
        shorter = [(_ratio(run, words, each), each) for each in (blocks[1:], blocks[:-1])]
        better, kept = max(shorter, key=lambda each: each[0])
        if better <= ratio:
            break
        ratio, blocks = better, kept
    if not blocks:
        return 0.0, 0, 0
    start, end = first + blocks[0].a, first + blocks[-1].a + blocks[-1].size - 1
    return ratio, found[start].start(), found[end].end()


def _ratio(run: list[str], words: list[str], blocks: list[Match]) -> float:
    """The similarity of the run from the first to the last equal words."""
    if not blocks:
        return 0.0
    equal = sum(len(token) for each in blocks for token in run[each.a : each.a + each.size])
    spanned = sum(map(len, run[blocks[0].a : blocks[-1].a + blocks[-1].size]))
    return 2 * equal / (spanned + sum(map(len, words)))
