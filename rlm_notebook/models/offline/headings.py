"""Finds the headings of a text: Markdown headings, underlined ones, and those of plain text (numbered, centred, in
capitals, or run into their paragraphs). Code is never a heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from .markdown import HASH, Line, lines_of, plain

__all__ = ["Heading", "headings_of"]


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    title: str
    start: int
    end: int


def headings_of(text: str) -> list[Heading]:
    """The headings by the first convention that the text follows at least twice (one heading divides nothing)."""
    lines = list(lines_of(text))
    marked = list(_underlined_headings(lines))
    for line in lines:
        match = None if line.is_code else HASH.match(line.text)
        if match and plain(match[2]):
            marked.append(Heading(len(match[1]), plain(match[2]), line.start, line.end))
    if len(marked) > 1:
        return sorted(marked, key=lambda each: each.start)
    # Short lines that stand alone: numbered, centred, or in capitals.
    blank = Line(0, "", is_code=False)
    found = []
    for before, line, after in zip([blank, *lines], lines, [*lines[1:], blank], strict=False):
        if before.is_blank and after.is_blank and not line.is_code and (level := _plain_level(line.text)):
            found.append(Heading(level, plain(line.text).rstrip("."), line.start, line.end))
    run_in = _run_in_headings(lines)
    if run_in:
        found = [each for each in found if _last_number(each.title) is None]
    found = sorted([*_counting(found), *run_in], key=lambda each: each.start)
    return found if len(found) > 1 else []


_UNDERLINE = re.compile(r"([=\-~^\"*+])\1{2,}[ \t\r]*$")
_LEVELS = {"=": 1, "-": 2, "~": 3, "^": 4, '"': 4, "*": 1, "+": 4}


def _underlined_headings(lines: list[Line]) -> Iterator[Heading]:
    for index, under in enumerate(lines):
        match = _UNDERLINE.match(under.text)
        if not match or under.is_code:
            continue
        # The lines directly above, if a blank line precedes them.
        most, start = _TITLE_LINES if match[1] == "=" else 1, index
        while start > 0 and not lines[start - 1].is_blank and index - start <= most:
            start -= 1
        above = lines[start:index]
        if not 0 < len(above) <= most or not all(map(_can_be_title, above)):
            continue
        if len(under.text.strip()) >= max(len(line.text.strip()) for line in above) - 3:
            yield Heading(_LEVELS[match[1]], plain(above[0].text), above[0].start, under.end)


#: The most lines of a title above a line of "=": "What's new in 3.12", "Released in October".
_TITLE_LINES = 3


def _can_be_title(line: Line) -> bool:
    text = line.text.strip()
    return (
        not line.is_code
        and bool(plain(text))
        and len(text) <= 100
        and text[0] not in "|#>-*+=~"
        and line.text[:4].strip() != ""
    )


_NUMBERED = re.compile(r"\s*(?:(?:section|chapter|article|part)\s+)?((?:\d+\.)*\d+|[IVXLC]+)[.):]?\s+\S", re.IGNORECASE)


def _counting(found: list[Heading]) -> list[Heading]:
    """The headings without numbered ones whose numbers are not consecutive on their level: those are list items."""
    broken = set()
    for level in {each.level for each in found}:
        numbers = [_last_number(each.title) for each in found if each.level == level]
        counted = [number for number in numbers if number is not None]
        if any(after not in (before + 1, 0, 1) for before, after in pairwise(counted)):
            broken.add(level)
    return [each for each in found if each.level not in broken or _last_number(each.title) is None]


def _last_number(title: str) -> int | None:
    """2 of "1.2 Scope"; `None` without a decimal number in front."""
    match = re.match(r"(?:\d+\.)*(\d+)\b", title)
    return int(match[1]) if match else None


_RUN_IN = re.compile(r"[ \t]*(\d{1,2})\.[ \t]+([A-Z][A-Za-z,;'’ -]{2,70}?)\.(?=[ \t]+[A-Z\"“(]|[ \t\r]*$)")


def _run_in_headings(lines: list[Line]) -> list[Heading]:
    """Titles that a numbered paragraph opens with, as in licences: "2. Grant of Copyright License. Subject to ..."."""
    blank = Line(0, "", is_code=False)
    found: list[Heading] = []
    for before, line in zip([blank, *lines], lines, strict=False):
        match = _RUN_IN.match(line.text) if before.is_blank and not line.is_code else None
        if match and (not found or int(match[1]) == (_last_number(found[-1].title) or 0) + 1):
            found.append(Heading(2, f"{match[1]}. {match[2]}", line.start, line.start + match.end()))
    return found if len(found) > 2 else []


#: The most words of a title that ends with a period, including its number: "1. Definitions."
_WORDS_OF_CLOSED = 4


def _plain_level(line: str) -> int:
    """1 for capitals, 2 for centred or numbered "1", 3 for "1.1" and so on; 0 if the line is no heading."""
    text = line.strip()
    if not 3 <= len(text) <= 70 or text.endswith((",", ";", ":", "?", "!")) or not any(map(str.isalpha, text)):
        return 0
    if text.endswith(".") and len(text.split()) > _WORDS_OF_CLOSED:
        return 0
    number = _NUMBERED.match(line)
    if number and text[number.end() - 1 - (len(line) - len(line.lstrip())) :][:1].isupper():
        return 2 + number[1].count(".")
    if text.isupper() and len(text) > 4:
        return 1
    is_centred = len(line) - len(line.lstrip()) >= 8 and text[0].isupper() and not text.endswith(".")
    return 2 if is_centred else 0
