"""Text, code and Markdown."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from ..anchors import ranged, section_anchors
from ..extraction import MOST_CHARACTERS, Extraction, Span, Unreadable

__all__ = ["BLOCK", "decoded", "is_binary", "read_lines", "read_markdown"]

#: Passages of lines or rows have about so many characters, about as many as one tool call returns.
BLOCK = 2_000
_SNIFFED = 8_192
#: The longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def is_binary(head: bytes) -> bool:
    """Whether a file that begins so is no text."""
    return b"\0" in head[:_SNIFFED] and not _encoding(head)


def _encoding(head: bytes) -> str:
    """The encoding that a mark, or the NULs of ASCII characters, give away; "" for any other."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sniffed = head[: min(_SNIFFED, len(head) // 2 * 2)]
    even, odd = sniffed[::2], sniffed[1::2]
    for zero, other, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if len(zero) > 1 and zero.count(0) > 0.7 * len(zero) and not other.count(0):
            return encoding
    return ""


def decoded(content: bytes) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a note if its encoding had to be guessed. Raises `Unreadable` for what is no text."""
    if is_binary(content):
        raise Unreadable("it is binary, not text; give a text, or Source(..., extract=FUNCTION)")
    encoding = _encoding(content)
    mark = next((mark for mark, name in _MARKS if name == encoding and content.startswith(mark)), b"")
    notes: tuple[str, ...] = ()
    try:
        # A mark of UTF-8 stays, as the file's digest has it, too; it is no character that anyone sees.
        text = content.decode() if not encoding or encoding == "utf-8" else content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if encoding:
            raise Unreadable(f"it is damaged: no {encoding.upper()} text (byte {error.start})") from None
        text = content.decode("cp1252", "replace")
        notes = (f"it is not UTF-8 (byte {error.start}); it was read as Windows-1252",)
    if len(text) > MOST_CHARACTERS:
        raise Unreadable(f"it holds more than {MOST_CHARACTERS:,} characters of text; give a part of it")
    return text, notes


def read_lines(content: bytes) -> Extraction:
    """Any text, in blocks of lines that end after an empty line where possible."""
    text, notes = decoded(content)
    return Extraction(text, list(_blocks(text)), unit="line", notes=notes)


def _blocks(text: str) -> Iterator[Span]:
    start, line = 0, 1
    while start < len(text):
        end = start + BLOCK
        if end >= len(text):
            end = len(text)
        elif (empty := text.rfind("\n\n", start + BLOCK // 2, end)) >= 0:
            end = empty + 2
        else:
            # A single long line is a block of its own.
            end = text.rfind("\n", start, end) + 1 or text.find("\n", end) + 1 or len(text)
        lines = text.count("\n", start, end)
        last = line + lines - (1 if text[end - 1] == "\n" else 0)
        yield Span(ranged("line", line, last), start, end, line)
        start, line = end, line + lines


_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{3,})[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def read_markdown(content: bytes) -> Extraction:
    """A section per heading; a text without headings by lines."""
    text, notes = decoded(content)
    headings = list(_headings(text))
    if not headings:
        return Extraction(text, list(_blocks(text)), unit="line", notes=notes)
    if text[: headings[0][0]].strip():
        headings.insert(0, (0, ""))
    ends = [*(start for start, _ in headings[1:]), len(text)]
    anchors = section_anchors(title for _, title in headings)
    spans = [Span(anchor, start, end) for anchor, (start, _), end in zip(anchors, headings, ends, strict=True)]
    return Extraction(text, [spans[0]._replace(start=0), *spans[1:]], notes=notes)


def _headings(text: str) -> Iterator[tuple[int, str]]:
    """Where headings begin, and their titles; not those in blocks of code."""
    position, fence, before = 0, "", (0, "")
    for line in text.splitlines(keepends=True):
        plain = line.rstrip("\r\n")
        if mark := _FENCE.match(plain):
            if not fence:
                fence = mark[1]
            elif plain.strip() == mark[1] and mark[1].startswith(fence):
                fence = ""
        elif fence:
            pass
        elif found := _HEADING.match(plain):
            yield position, found[1] or ""
            plain = ""
        elif before[1] and _UNDERLINE.match(plain):
            yield before[0], before[1]
            plain = ""
        # Only a single line of prose over an underline is a title.
        is_prose = not fence and plain.strip() and plain[0] not in "#>|-*+ \t"
        before = (position, plain.strip()) if is_prose and not before[1] else (position, "")
        position += len(line)
