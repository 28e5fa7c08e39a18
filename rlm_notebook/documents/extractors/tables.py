"""CSV, TSV and JSONL: passages of whole rows. Row 1 is the first one below the header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from ..anchors import ranged
from ..extraction import Extraction, Span
from .text import BLOCK, decoded

__all__ = ["read_csv", "read_jsonl", "read_tsv"]

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_LONGEST_HEADER = 500


def read_csv(content: bytes) -> Extraction:
    return _read(content, ",")


def read_tsv(content: bytes) -> Extraction:
    return _read(content, "\t")


def read_jsonl(content: bytes) -> Extraction:
    text, notes = decoded(content)
    spans = list(_blocks(text, 0, [0, *(found.end() for found in _LINE.finditer(text))]))
    return Extraction(text, spans, unit="row", notes=notes)


def _read(content: bytes, delimiter: str) -> Extraction:
    text, notes = decoded(content)
    cuts = _row_ends(text)
    below = cuts[1] if len(cuts) > 1 else len(text)
    header = " ".join(text[:below].lstrip("\ufeff").split())[:_LONGEST_HEADER]
    spans = [Span("header", 0, below), *_blocks(text, below, cuts[1:])] if text else []
    columns = ", ".join(next(csv.reader([header], delimiter=delimiter), []))
    return Extraction(text, spans, unit="row", header=columns, notes=notes, rows=_row_ends)


def _row_ends(text: str) -> list[int]:
    """0 and the end of each row. A line break between quotation marks is in a cell."""
    if '"' not in text:
        return [0, *(found.end() for found in _LINE.finditer(text))]
    ends, quoted = [0], False
    for found in _LINE.finditer(text):
        quoted ^= text.count('"', found.start(), found.end()) % 2 == 1
        if not quoted:
            ends.append(found.end())
    # Without the closing mark, the rest would be one cell: then each line is a row.
    return ends if not quoted else [0, *(found.end() for found in _LINE.finditer(text))]


def _blocks(text: str, start: int, cuts: list[int]) -> Iterator[Span]:
    """Passages of whole rows; `cuts` are the ends of all rows, beginning with `start`."""
    first = at = 1
    while at < len(cuts):
        if cuts[at] - start >= BLOCK or at == len(cuts) - 1:
            yield Span(ranged("row", first, at), start, cuts[at], first)
            start, first = cuts[at], at + 1
        at += 1
