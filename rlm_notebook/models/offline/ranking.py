"""Selects sentences: TF-IDF vectors, LexRank for centrality, maximal marginal relevance against repetition.

LexRank: Erkan and Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text Summarization" (2004).
MMR: Carbonell and Goldstein, "The Use of MMR" (1998). BM25 for questions: Robertson and Zaragoza (2009).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .documents import paragraphs
from .language import STOP_WORDS, content_stems, sentences, word_set, words

__all__ = ["Sentence", "choose", "passages", "read_sentences"]

#: The most characters that are read of a text, and the most sentences that are compared with each other.
MAX_CHARACTERS = 200_000
MAX_COMPARED = 150
#: The fewest words of a fragment that may stand in for a sentence, if the text has no sentences.
MIN_WORDS = 5

Vector = dict[str, float]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence and its position: `leads`: it is the first of a paragraph; `source` is the caller's."""

    text: str
    leads: bool = False
    is_item: bool = False
    source: str = ""


def read_sentences(text: str, source: str = "") -> list[Sentence]:
    """The sentences of a text's prose, in order; of a very long text, those of evenly spaced paragraphs."""
    found = []
    for paragraph in paragraphs(sample(text)):
        for index, sentence in enumerate(sentences(paragraph.text)):
            found.append(Sentence(sentence, index == 0, paragraph.is_item, source))
    return found


def sample(text: str) -> str:
    """The text itself, or ten evenly spaced excerpts of a text that is too long to read as a whole."""
    if len(text) <= MAX_CHARACTERS:
        return text
    step, size = len(text) // 10, MAX_CHARACTERS // 10
    excerpts = []
    for start in range(0, step * 10, step):
        excerpt = text[start : start + size]
        # Without its first and last line, which are probably cut.
        first, last = excerpt.find("\n"), excerpt.rfind("\n")
        excerpts.append(excerpt[first + 1 : last] if 0 <= first < last else excerpt)
    return "\n\n".join(excerpts)


def choose(
    candidates: Sequence[Sentence], count: int | None = None, max_words: int | None = None, title: str = ""
) -> list[Sentence]:
    """The most central sentences with the least repetition, in the order of the text.

    At most `count` of them, or at most about `max_words` words together.
    """
    unique = list({sentence.text: sentence for sentence in candidates}.values())
    unique = [sentence for sentence in unique if any(map(str.isalnum, sentence.text))]
    usable = [sentence for sentence in unique if _is_whole(sentence.text)]
    if not usable:
        # Fragments, where there is no complete sentence.
        lines = [sentence for sentence in unique if len(words(sentence.text)) >= MIN_WORDS]
        usable = [line for line in lines if not line.text.rstrip().endswith((":", ",", ";"))]
    shortlist = _shortlist(usable, title)
    vectors = _vectors([content_stems(usable[index].text) for index in shortlist])
    weights = _weights([usable[index] for index in shortlist], vectors, title)
    picked = _diverse([usable[index] for index in shortlist], vectors, weights, count, max_words)
    return [usable[shortlist[position]] for position in sorted(picked)]


def _is_whole(text: str) -> bool:
    """Whether it ends as a sentence does, and does not continue an earlier one (a lower-case "then you can ...")."""
    opening = words(text)[:1]
    continues = bool(opening) and opening[0].islower() and opening[0] in STOP_WORDS and text[0].isalpha()
    return _ends_whole(text) and not continues and len(words(text)) > 2


def _ends_whole(text: str) -> bool:
    return text.rstrip("\"'”’)]*_").endswith((".", "!", "?", "。", "！", "？", "।"))


def _shortlist(candidates: Sequence[Sentence], title: str) -> list[int]:
    """The indices of the sentences to compare: all, or those with most of the text's frequent words."""
    if len(candidates) <= MAX_COMPARED:
        return list(range(len(candidates)))
    stems = [content_stems(sentence.text) for sentence in candidates]
    frequency = Counter(stem for each in stems for stem in set(each))
    value = [
        sum(frequency[stem] for stem in set(each)) / (len(each) + 5) * _fitness(sentence)
        for each, sentence in zip(stems, candidates, strict=True)
    ]
    best = sorted(range(len(candidates)), key=lambda index: (-value[index], index))
    return sorted(best[:MAX_COMPARED])


def _vectors(stems: Sequence[Sequence[str]]) -> list[Vector]:
    """TF-IDF vectors of length 1."""
    frequency = Counter(stem for each in stems for stem in set(each))
    idf = {stem: math.log(1 + len(stems) / count) for stem, count in frequency.items()}
    return [_unit({stem: count * idf[stem] for stem, count in Counter(each).items()}) for each in stems]


def _unit(vector: Vector) -> Vector:
    length = math.sqrt(sum(value * value for value in vector.values())) or 1.0
    return {stem: value / length for stem, value in vector.items()}


def _cosine(left: Vector, right: Vector) -> float:
    if len(left) > len(right):
        left, right = right, left
    return sum(value * right[stem] for stem, value in left.items() if stem in right)


def _weights(candidates: Sequence[Sentence], vectors: Sequence[Vector], title: str) -> list[float]:
    """The weight of each sentence, between 0 and about 2."""
    central = _lexrank(vectors)
    about = _unit(dict.fromkeys(content_stems(title), 1.0))
    weights = []
    for index, sentence in enumerate(candidates):
        place = 1.35 if index == 0 else 1.0
        weights.append(
            (0.55 + 0.45 * central[index]) * _fitness(sentence) * place * (1 + 0.5 * _cosine(about, vectors[index]))
        )
    return weights


def _lexrank(vectors: Sequence[Vector], damping: float = 0.85, rounds: int = 25) -> list[float]:
    """Centrality in the graph of similar sentences, scaled so that the highest is 1."""
    neighbours: list[list[tuple[int, float]]] = [[] for _ in vectors]
    for index, vector in enumerate(vectors):
        for other in range(index):
            weight = _cosine(vector, vectors[other])
            if weight > 0.03:
                neighbours[index].append((other, weight))
                neighbours[other].append((index, weight))
    totals = [sum(weight for _, weight in each) for each in neighbours]
    scores = [1.0] * len(vectors)
    for _ in range(rounds):
        received = [1 - damping] * len(vectors)
        for index, each in enumerate(neighbours):
            share = damping * scores[index] / totals[index] if totals[index] else 0.0
            for other, weight in each:
                received[other] += share * weight
        scores = received
    highest = max(scores, default=1.0)
    return [score / highest for score in scores]


# A sentence that begins with one of these depends on the one before it, which may not be in the extract.
_LEANS = word_set(
    "it this that these those they he she such but however so therefore thus hence otherwise also then and or instead "
    "both neither here there his her their its if such"
)


def _fitness(sentence: Sentence) -> float:
    """How well a sentence can be understood without its context, by its form alone."""
    tokens = words(sentence.text)
    fitness = 1.6 if sentence.leads and not sentence.is_item else 1.0
    if sentence.is_item:
        fitness *= 0.6
    # Eight to thirty words are one statement; fewer are a fragment, many more are several.
    if len(tokens) < 8:
        fitness *= 0.8 if len(tokens) >= 6 else 0.4
    elif len(tokens) > 30:
        fitness *= max(0.35, 1 - (len(tokens) - 30) * 0.03)
    opening = [token.lower() for token in tokens[:6]]
    points_back = "such" in opening or bool({"that", "this", "these", "those"}.intersection(opening[1:2]))
    if points_back or _LEANS.intersection(opening[:1]):
        fitness *= 0.55
    if not _ends_whole(sentence.text) or sentence.text.rstrip().endswith(("?", "？")):
        fitness *= 0.25  # a question, or a fragment
    if sentence.text.count("`") >= 2 * _MANY_SPANS:
        fitness *= 0.5  # a list of names rather than a statement
    return fitness


_MANY_SPANS = 4


def _diverse(
    candidates: Sequence[Sentence],
    vectors: Sequence[Vector],
    weights: Sequence[float],
    count: int | None,
    max_words: int | None,
) -> list[int]:
    """Positions by maximal marginal relevance until the wanted length is reached."""
    picked: list[int] = []
    similarity = [0.0] * len(candidates)
    left = max_words if max_words is not None else math.inf
    remaining = set(range(len(candidates)))
    while remaining and (count is None or len(picked) < count):
        best = max(remaining, key=lambda index: (0.7 * weights[index] - 0.3 * similarity[index], -index))
        remaining.discard(best)
        length = len(candidates[best].text.split())
        if picked and length > left:
            continue  # too long for the remaining words; a shorter one may still fit
        picked.append(best)
        left -= length
        for index in remaining:
            similarity[index] = max(similarity[index], _cosine(vectors[index], vectors[best]))
    return picked


def passages(text: str, question: Iterable[str], count: int = 3) -> list[str]:
    """The sentences that match a question's content stems best, in order; none if no stem occurs."""
    found = read_sentences(text)
    stems = [content_stems(sentence.text) for sentence in found]
    value = _bm25(stems, set(question))
    best = sorted(range(len(found)), key=lambda index: (-value[index], index))[:count]
    threshold = 0.45 * max(value, default=0.0)
    return [found[index].text for index in sorted(best) if value[index] > 0 and value[index] >= threshold]


def _bm25(stems: Sequence[Sequence[str]], query: set[str]) -> list[float]:
    where: dict[str, int] = defaultdict(int)
    for each in stems:
        for stem in query.intersection(each):
            where[stem] += 1
    mean = (sum(map(len, stems)) / len(stems) if stems else 0.0) or 1.0
    idf = {stem: math.log(1 + (len(stems) - found + 0.5) / (found + 0.5)) for stem, found in where.items()}
    values = []
    for each in stems:
        value = 0.0
        for stem in query & set(each):
            count, relative_length = each.count(stem), len(each) / mean
            value += idf[stem] * (count * 2.2 / (count + 1.2 * (0.5 + 0.5 * relative_length)))
        values.append(value)
    return values
