"""The structure of a text: its sections, its prose, and pieces of it.

Code blocks, tables and front matter are not prose. `headings.py` finds the headings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .headings import Heading, headings_of
from .markdown import HASH, Line, front_matter_end, lines_of, plain

__all__ = ["Outline", "Paragraph", "Section", "chunks", "outline", "paragraphs"]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a text under a heading; `text` is without the heading itself, and includes sub-sections."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Outline:
    """The outline of a text: an optional title, the text before the first section, and the top-level sections."""

    title: str
    opening: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of prose without Markdown, except for code spans; `is_item`: it was an item of a list."""

    text: str
    is_item: bool = False


def outline(text: str) -> Outline:
    """The outline of a text; without sections if fewer than two headings divide it."""
    found = headings_of(text)
    title, body_start = "", front_matter_end(text)
    if (
        found
        and not text[body_start : found[0].start].strip()
        and all(each.level > found[0].level for each in found[1:])
    ):
        title, body_start, found = found[0].title, found[0].end, found[1:]
    cuts = _cuts(found)
    opening = text[body_start : cuts[0].start] if cuts else text[body_start:]
    sections = []
    for heading, end in zip(cuts, [*(each.start for each in cuts[1:]), len(text)], strict=False):
        if body := text[heading.end : end].strip():
            sections.append(Section(heading.title, body))
    return Outline(title, opening.strip(), tuple(sections))


def _cuts(found: list[Heading]) -> list[Heading]:
    """The headings of the first level that divides the text: a single one, with others below it, does not."""
    for level in sorted({each.level for each in found}):
        cuts = [each for each in found if each.level <= level]
        if len(cuts) > 1:
            return cuts
    return found


def chunks(text: str, size: int) -> list[str]:
    """The text in pieces of about `size` characters, cut between paragraphs, else lines, else sentences or words."""
    pieces: list[str] = []
    current = ""
    for block in _blocks(text, size):
        if current and len(current) + len(block) > size:
            pieces.append(current.strip())
            current = ""
        current += block
    return [piece for piece in [*pieces, current.strip()] if piece]


def _blocks(text: str, size: int) -> Iterator[str]:
    """The paragraphs, those that are too long in pieces."""
    for block in re.split(r"(?<=\n)(?=[ \t]*\n)", text):
        start = 0
        while len(block) - start > size:
            window = block[start + size // 2 : start + size]
            found = max(window.rfind("\n"), window.rfind(". ") + 1) or window.rfind(" ")
            end = start + (size // 2 + found + 1 if found > 0 else size)
            yield block[start:end]
            start = end
        yield block[start:]


_ITEM = re.compile(r"[ \t]*(?:[-*+•‣]|\d{1,3}[.)]|\(?[a-z]\))[ \t]+(?=\S)")
_RULE = re.compile(r"[ \t]*([-*_=~^]|[-*_=~^][ \t])\1{2,}[ \t\r]*$")
_DEFINITION = re.compile(r"[ \t]*(?:\[[^\]]+\]:\s|\.\.\s)")
_TABLE_ROW = re.compile(r"[ \t]*\|.*\|[ \t\r]*$|[ \t]*:?-{3,}:?[ \t]*\|")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def paragraphs(text: str) -> list[Paragraph]:
    """The prose of a text: no headings, code, tables, rules, link definitions or front matter."""
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    lines = list(lines_of(text))
    # Where the lines begin that belong to a heading, its underline included.
    headings = set()
    for heading in headings_of(text):
        headings.add(heading.start)
        newline = text.find("\n", heading.start, heading.end)
        if newline >= 0:
            headings.add(newline + 1)
    found = list(_paragraphs(lines, headings))
    # A text that is indented throughout is not code: it is read again without the indentation.
    if not found and any(line.text.startswith(("    ", "\t")) and not line.is_code for line in lines):
        stripped = [Line(line.start, line.text.strip(), line.is_code) for line in lines]
        found = list(_paragraphs(stripped, headings))
    return found


def _paragraphs(lines: list[Line], headings: set[int]) -> Iterator[Paragraph]:
    gathered: list[str] = []
    is_item = after_blank = False
    for line in [*lines, Line(0, "", is_code=False)]:
        starts_item = bool(_ITEM.match(line.text)) and not line.is_code
        is_prose = not (line.is_blank or line.is_code or line.start in headings) and not any(
            form.match(line.text) for form in (_RULE, _DEFINITION, _TABLE_ROW, HASH)
        )
        indented_code = after_blank and not starts_item and not is_item and _is_indented_code(line.text)
        if gathered and (not is_prose or starts_item or indented_code):
            if text := plain("\n".join(each.lstrip(" \t>") for each in gathered)):
                yield Paragraph(text, is_item)
            gathered = []
        if is_prose and not indented_code:
            is_item = starts_item or (is_item and (bool(gathered) or line.text.startswith(" ")))
            gathered.append(_ITEM.sub("", line.text, count=1) if starts_item else line.text)
        after_blank = line.is_blank or (indented_code and is_prose)


def _is_indented_code(line: str) -> bool:
    """Whether a line is indented code: Markdown treats any indented text as code, but plain texts indent paragraphs."""
    if not line.startswith(("    ", "\t")):
        return False
    words = line.split()
    wordy = sum(bool(_PLAIN_WORD.fullmatch(word)) for word in words)
    return len(words) < _WORDS_OF_PROSE or wordy < 0.85 * len(words) or not _OPENS_PROSE.match(line)


_WORDS_OF_PROSE = 5
_PLAIN_WORD = re.compile(r"[\"'“‘(]*[A-Za-z]+(?:[-'’/][A-Za-z]+)*[\"'”’),.;:!?]*|\d+[.,)]*|-+|[—–]")
_OPENS_PROSE = re.compile(r"[ \t]*(?:\(?[a-z0-9]{1,3}[.)][ \t]+)?[\"'“‘(]*[A-Z]")
