"""The answer of an arm with `best_of`: the one that most of its calls gave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

from ..core.keys import digest
from ..output_type import OutputType
from .row_record import RowRecord

__all__ = ["most_frequent", "voted"]


def voted(records: Sequence[RowRecord], output_type: OutputType | None) -> tuple[RowRecord, bool]:
    """The record that stands for all of these, and whether at least two of them agree.

    Its answer is the most frequent one, of equally frequent ones the first; its usage that of all, its seconds those of
    the slowest, because the calls do not wait for each other. Records without an answer have no vote.
    """
    answered = [record for record in records if record.answer is not None]
    chosen, count = most_frequent(answered, output_type) if answered else (records[0], 0)
    usage = reduce(add, (record.usage for record in records))
    return replace(chosen, usage=usage, seconds=max(record.seconds for record in records)), count > 1


def most_frequent(records: Sequence[RowRecord], output_type: OutputType | None) -> tuple[RowRecord, int]:
    """The first record with the most frequent answer, and how many have it.

    Equal answers are those with the same value of the type, or with the same words in any case.
    """
    votes: list[str] = []
    for record in records:
        answer = record.answer or ""
        if output_type is not None:
            read: Callable[[str], object] = output_type.parse
            votes.append(digest([output_type.to_json(read(answer))]))
        else:
            votes.append(" ".join(answer.split()).casefold().rstrip("."))
    best, count = Counter(votes).most_common(1)[0]
    return records[votes.index(best)], count
