"""The part of Markdown that the offline model needs: lines, fenced code, front matter, and text without markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["HASH", "Line", "front_matter_end", "lines_of", "plain"]


HASH = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t\r]*$")


@dataclass(frozen=True, slots=True)
class Line:
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


# In an item of a list a fence is indented as far as the item.
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def front_matter_end(text: str) -> int:
    match = _FRONT_MATTER.match(text)
    return match.end() if match else 0


def lines_of(text: str) -> Iterator[Line]:
    """Every line after the front matter."""
    start, fence = front_matter_end(text), ""
    for line in text[start:].split("\n"):
        mark = _FENCE.match(line)
        yield Line(start, line, bool(fence or mark))
        start += len(line) + 1
        if not mark:
            continue
        if not fence:
            fence = mark[1]
        elif mark[1].startswith(fence) and not line.strip(" `~"):
            fence = ""


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
