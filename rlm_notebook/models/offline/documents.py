"""The structure of a text: its headings, its sections, its prose.

Reads Markdown, underlined headings, and plain text with numbered, centred or ALL-CAPS headings. Code blocks, tables and
front matter are never taken for headings or prose. Says nothing about what any of it means.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Outline", "Paragraph", "Section", "chunks", "outline", "paragraphs", "plain"]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a text under a heading; `text` is without the heading itself, sub-sections included."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Outline:
    """A text as its reader sees it: an optional title, what stands before the first section, the top sections."""

    title: str
    opening: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph of prose without Markdown, code spans kept; `is_item`: it was an item of a list."""

    text: str
    is_item: bool = False


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A line with its place in the text; `is_code`: in a fenced block, or its fence."""

    start: int
    text: str
    is_code: bool

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def is_blank(self) -> bool:
        return not self.text.strip()


def outline(text: str) -> Outline:
    """The top sections of a text; none if it has fewer than two headings to divide it."""
    found = _headings(text)
    title, body_start = "", _front_matter_end(text)
    if (
        found
        and not text[body_start : found[0].start].strip()
        and all(each.level > found[0].level for each in found[1:])
    ):
        title, body_start, found = found[0].title, found[0].end, found[1:]
    cuts = _cuts(found)
    opening = text[body_start : cuts[0].start] if cuts else text[body_start:]
    return Outline(title, opening.strip(), tuple(_sections(text, cuts)))


def _cuts(found: list[_Heading]) -> list[_Heading]:
    """The headings of the first level that divides: a lone one, with others below it, does not."""
    for level in sorted({each.level for each in found}):
        cuts = [each for each in found if each.level <= level]
        if len(cuts) > 1:
            return cuts
    return found


def _sections(text: str, cuts: list[_Heading]) -> Iterator[Section]:
    ends = [*(each.start for each in cuts[1:]), len(text)]
    for heading, end in zip(cuts, ends, strict=False):
        body = text[heading.end : end].strip()
        if body:
            yield Section(heading.title, body)


def _headings(text: str) -> list[_Heading]:
    """The headings by the first convention that the text follows at least twice (one heading divides nothing)."""
    lines = list(_lines(text))
    marked = sorted([*_hash_headings(lines), *_underlined_headings(lines)], key=lambda each: each.start)
    if len(marked) > 1:
        return marked
    return _plain_headings(lines)


# In an item of a list a fence is indented as far as the item.
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def _front_matter_end(text: str) -> int:
    match = _FRONT_MATTER.match(text)
    return match.end() if match else 0


def _lines(text: str) -> Iterator[_Line]:
    """Every line after the front matter."""
    start, fence = _front_matter_end(text), ""
    for line in text[start:].split("\n"):
        mark = _FENCE.match(line)
        yield _Line(start, line, bool(fence or mark))
        start += len(line) + 1
        if not mark:
            continue
        if not fence:
            fence = mark[1]
        elif mark[1].startswith(fence) and not line.strip(" `~"):
            fence = ""


_HASH = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t\r]*$")


def _hash_headings(lines: list[_Line]) -> Iterator[_Heading]:
    for line in lines:
        match = None if line.is_code else _HASH.match(line.text)
        if match and plain(match[2]):
            yield _Heading(len(match[1]), plain(match[2]), line.start, line.end)


_UNDERLINE = re.compile(r"([=\-~^\"*+])\1{2,}[ \t\r]*$")
_LEVELS = {"=": 1, "-": 2, "~": 3, "^": 4, '"': 4, "*": 1, "+": 4}


def _underlined_headings(lines: list[_Line]) -> Iterator[_Heading]:
    for index, under in enumerate(lines):
        match = _UNDERLINE.match(under.text)
        above = _title_lines(lines, index, most=_TITLE_LINES if match and match[1] == "=" else 1) if match else []
        if not match or not above or under.is_code or not all(map(_can_be_title, above)):
            continue
        if len(under.text.strip()) >= max(len(line.text.strip()) for line in above) - 3:
            yield _Heading(_LEVELS[match[1]], plain(above[0].text), above[0].start, under.end)


#: A title above a line of "=" may go over so many lines: "What's new in 3.12", "Released in October".
_TITLE_LINES = 3


def _title_lines(lines: list[_Line], under: int, most: int) -> list[_Line]:
    """The lines right above an underline, if a blank line is before them."""
    start = under
    while start > 0 and not lines[start - 1].is_blank and under - start <= most:
        start -= 1
    return lines[start:under] if 0 < under - start <= most else []


def _can_be_title(line: _Line) -> bool:
    text = line.text.strip()
    return (
        not line.is_code
        and bool(plain(text))
        and len(text) <= 100
        and text[0] not in "|#>-*+=~"
        and line.text[:4].strip() != ""
    )


_NUMBERED = re.compile(r"\s*(?:(?:section|chapter|article|part)\s+)?((?:\d+\.)*\d+|[IVXLC]+)[.):]?\s+\S", re.IGNORECASE)


def _plain_headings(lines: list[_Line]) -> list[_Heading]:
    """Short lines that stand alone: numbered, centred, or in capitals."""
    blank = _Line(0, "", is_code=False)
    found = []
    for before, line, after in zip([blank, *lines], lines, [*lines[1:], blank], strict=False):
        if before.is_blank and after.is_blank and not line.is_code and (level := _plain_level(line.text)):
            found.append(_Heading(level, plain(line.text).rstrip("."), line.start, line.end))
    run_in = _run_in_headings(lines)
    if run_in:
        found = [each for each in found if _last_number(each.title) is None]
    found = sorted([*_counting(found), *run_in], key=lambda each: each.start)
    return found if len(found) > 1 else []


def _counting(found: list[_Heading]) -> list[_Heading]:
    """Without the numbered ones of a level that do not count on: those are items of a list, of which some are long."""
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


def _run_in_headings(lines: list[_Line]) -> list[_Heading]:
    """Titles that a numbered paragraph opens with, as in licences: "2. Grant of Copyright License. Subject to ..."."""
    blank = _Line(0, "", is_code=False)
    found: list[_Heading] = []
    for before, line in zip([blank, *lines], lines, strict=False):
        match = _RUN_IN.match(line.text) if before.is_blank and not line.is_code else None
        if match and (not found or int(match[1]) == (_last_number(found[-1].title) or 0) + 1):
            found.append(_Heading(2, f"{match[1]}. {match[2]}", line.start, line.start + match.end()))
    return found if len(found) > 2 else []


#: A title that ends with a period has at most so many words, its number among them: "1. Definitions."
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
    for block in re.split(r"(?<=\n)(?=[ \t]*\n)", text):
        if len(block) <= size:
            yield block
        else:
            yield from _cut(block, size)


def _cut(block: str, size: int) -> Iterator[str]:
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
    lines = list(_lines(text))
    found = list(_paragraphs(lines, _heading_lines(text)))
    # A text that is indented throughout is no code: read it again without the indentation.
    if not found and any(line.text.startswith(("    ", "\t")) and not line.is_code for line in lines):
        stripped = [_Line(line.start, line.text.strip(), line.is_code) for line in lines]
        found = list(_paragraphs(stripped, _heading_lines(text)))
    return found


def _heading_lines(text: str) -> set[int]:
    """Where the lines begin that belong to a heading, its underline included."""
    starts = set()
    for heading in _headings(text):
        starts.add(heading.start)
        newline = text.find("\n", heading.start, heading.end)
        if newline >= 0:
            starts.add(newline + 1)
    return starts


def _paragraphs(lines: list[_Line], headings: set[int]) -> Iterator[Paragraph]:
    gathered: list[str] = []
    is_item = after_blank = False
    for line in [*lines, _Line(0, "", is_code=False)]:
        starts_item = bool(_ITEM.match(line.text)) and not line.is_code
        is_prose = not (line.is_blank or line.start in headings or _is_no_prose(line))
        indented_code = after_blank and not starts_item and not is_item and _is_indented_code(line.text)
        if gathered and (not is_prose or starts_item or indented_code):
            yield from _paragraph(gathered, is_item)
            gathered = []
        if is_prose and not indented_code:
            is_item = starts_item or (is_item and (bool(gathered) or line.text.startswith(" ")))
            gathered.append(_ITEM.sub("", line.text, count=1) if starts_item else line.text)
        after_blank = line.is_blank or (indented_code and is_prose)


def _is_indented_code(line: str) -> bool:
    """Indented text is code in Markdown, but many a plain text indents its paragraphs."""
    if not line.startswith(("    ", "\t")):
        return False
    words = line.split()
    wordy = sum(bool(_PLAIN_WORD.fullmatch(word)) for word in words)
    return len(words) < _WORDS_OF_PROSE or wordy < 0.85 * len(words) or not _OPENS_PROSE.match(line)


_WORDS_OF_PROSE = 5
_PLAIN_WORD = re.compile(r"[\"'“‘(]*[A-Za-z]+(?:[-'’/][A-Za-z]+)*[\"'”’),.;:!?]*|\d+[.,)]*|-+|[—–]")
_OPENS_PROSE = re.compile(r"[ \t]*(?:\(?[a-z0-9]{1,3}[.)][ \t]+)?[\"'“‘(]*[A-Z]")


def _is_no_prose(line: _Line) -> bool:
    text = line.text
    is_furniture = _RULE.match(text) or _DEFINITION.match(text) or _TABLE_ROW.match(text) or _HASH.match(text)
    return line.is_code or bool(is_furniture)


def _paragraph(lines: list[str], is_item: bool) -> Iterator[Paragraph]:
    text = plain("\n".join(line.lstrip(" \t>") for line in lines))
    if text:
        yield Paragraph(text, is_item)


_CODE_SPAN = re.compile(r"(`+)[^`]+?\1")
_TAGS = (
    "a|abbr|b|big|br|center|code|dd|del|details|div|dl|dt|em|font|h[1-6]|hr|i|img|kbd|li|ol|p|picture|pre|s|small|"
    "source|span|strong|sub|summary|sup|table|tbody|td|th|thead|tr|u|ul|video"
)
_INLINE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])"), ""),
    (re.compile(r"\[\^[^\]\s]+\]"), ""),
    (re.compile(r"\[([^\[\]]*)\]\([^()\s]*(?:\([^()]*\))?[^()]*\)"), r"\1"),
    (re.compile(r"\[([^\[\]]+)\]\[[^\]]*\]"), r"\1"),
    (re.compile(r"<((?:https?|mailto):[^>\s]+)>"), r"\1"),
    (re.compile(rf"</?(?:{_TAGS})(?:\s[^<>]*)?/?>", re.IGNORECASE), ""),
    # Not `__init__`, which is a name.
    (re.compile(r"(?<!\w)(\*\*\*|\*\*|___|__)(?=\S)(?![a-z_]+__(?!\w))(.+?)(?<=\S)\1(?!\w)", re.DOTALL), r"\2"),
    (re.compile(r"(?<![\w*\\])\*(?=[^\s*])([^*]*[^\s*\\])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_\\])_(?=[^\s_])([^_]*[^\s_\\])_(?![\w_])"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!<>|])"), r"\1"),
)


def plain(text: str) -> str:
    """A text without inline Markdown and HTML, white space folded; code spans stay as they are."""
    spans: list[str] = []

    def keep(match: re.Match[str]) -> str:
        spans.append(match[0])
        return f"\ue000{len(spans) - 1}\ue001"

    text = _CODE_SPAN.sub(keep, text.replace("\ue000", "").replace("\ue001", ""))
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    text = re.sub("\ue000(\\d+)\ue001", lambda match: spans[int(match[1])], html.unescape(text))
    return " ".join(text.split())
