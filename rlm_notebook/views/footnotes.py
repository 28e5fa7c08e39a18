"""The quotes of an answer as a reader sees them: in quotation marks, each with a footnote that has place and state.

The result is text, or Markdown for the gate, in which no words of a quote are markup. A quote that the sources do not
have says so where it stands, and not only in its footnote.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from ..core.quotes import quotations_in

__all__ = ["BRACKETS", "footnoted"]

#: The brackets that quotes are written in; a text without any is left as it is.
BRACKETS = "⟦〚"
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKUP = re.compile(r"[\\`*\[\]<>|~$&]|(?<![^\W_])_|_(?![^\W_])")
_WRONG = ("altered", "not found")


def footnoted(text: str, code: Iterable[tuple[int, int]], *, as_markdown: bool = True) -> str:
    """The text with its quotes in quotation marks and their footnotes at the end; `code` are the ranges of lines that
    are code, where brackets are none of a quote."""
    words, strong, line_break = (_plain, "**", "\\\n") if as_markdown else (_folded, "", "\n")
    lines = [0, *(each.end() for each in re.finditer("\n", text)), len(text) + 1]
    # Blocks of code follow each other: between an even and an odd number of their bounds a text is outside.
    bounds = [lines[min(line, len(lines) - 1)] for block in code for line in block]
    found = [
        each
        for each in quotations_in(text)
        if each.is_closed
        and each.quote
        and text[each.start - 1 : each.start] != "`"
        and bisect_right(bounds, each.start) % 2 == 0
    ]
    if not found:
        return text
    numbers: dict[str, int] = {}
    pieces, last = [], 0
    for each in found:
        note = f"{words(each.label) or 'no place'}, {each.state or 'not checked'}"
        number = numbers.setdefault(note, len(numbers) + 1)
        wrong = f" ({strong}{each.state}{strong})" if each.state in _WRONG else ""
        pieces += [text[last : each.start], f"“{words(each.quote)}”{_raised(number)}{wrong}"]
        last = each.end
    notes = line_break.join(f"{_raised(number)} {note}" for note, number in numbers.items())
    return "".join([*pieces, text[last:].rstrip(), "\n\n", notes, "\n"])


def _raised(number: int) -> str:
    return str(number).translate(_SUPERSCRIPT)


def _plain(words: str) -> str:
    """The words as Markdown that has no markup; as entities, because a backslash may begin a formula."""
    return _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", _folded(words))


def _folded(words: str) -> str:
    return " ".join(words.split())
