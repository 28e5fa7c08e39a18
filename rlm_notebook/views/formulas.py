"""Formulas in Markdown, as notebooks find them: between dollars, `\\\\(`, `\\\\[`, and in environments.

They are taken out before Markdown is read, since an underscore in a formula is no emphasis, and put back after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["harmless_formula", "has_formulas", "put_back", "taken_out", "tamed"]

#: Non-characters, which no text holds: a formula is its number between them.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_PLACE = re.compile(f"{_BEGIN}(\\d+){_END}")

#: Commands that make links, styles, classes, identifiers, images, or load and build other commands.
_COMMANDS = (
    "href|url|class|cssId|style|unicode|require|data|includegraphics|bbox|mmlToken|csname|endcsname|"
    "htmlClass|htmlId|htmlStyle|htmlData|tooltip|texttip|mathtip|toggle"
)
_COMMAND = re.compile(rf"\\(?=(?:{_COMMANDS})(?![A-Za-z]))")
_DELIMITER = re.compile(r"\$|\\[(\[]|\\\\|\\begin|&(?:#|dollar|bsol)", re.IGNORECASE)
#: What delimits formulas, and what keeps a dollar or a brace from doing so; a blank line ends them.
_MARK = re.compile(r"\\\\[()\[\]]|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|\$\$?|[{}]|\n[ \t>]*\n", re.IGNORECASE)
_CLOSING = {"$": "$", "$$": "$$", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
#: A text between two dollars is prose if it has code or links in it.
_NO_FORMULA = re.compile(r"`|~~~|\]\((?:https?:|mailto:|#)", re.IGNORECASE)


def has_formulas(text: str) -> bool:
    """Whether anything in the text, or in what it becomes, could be read as a formula."""
    return _DELIMITER.search(text) is not None


def taken_out(text: str, code: Iterable[tuple[int, int]], formulas: list[str]) -> str:
    """The text with a place for each formula, which is appended to `formulas`. `code` are lines without any."""
    parts = []
    for part, is_code in _parts(text, code):
        parts.append(part if is_code else _taken_out(part, formulas))
    return "".join(parts)


def put_back(text: str, formulas: Sequence[str]) -> str:
    return _PLACE.sub(lambda place: formulas[int(place[1])], text) if formulas else text


def harmless_formula(formula: str) -> str:
    """The formula without commands that do more than typeset, and nothing else to a reader who sees no formula in it.

    Spaces mean nothing in formulas.
    """
    formula = _COMMAND.sub(r"\\ ", formula)
    formula = re.sub(r"<(?=[A-Za-z!/?])|&(?=#|[A-Za-z]+;)", r"\g<0> ", formula)
    formula = re.sub(r"(?<=\])(?=[(:\[])|(?<=!)(?=\[)", " ", formula)
    formula = re.sub(r"(?<!http)(?<!https)(?<=:)//", " //", formula, flags=re.IGNORECASE)
    return formula.replace('"', "''")


def tamed(pieces: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Texts (each as it reads, and as it was escaped) without commands, which may stretch over several of them."""
    whole = "".join(text for text, _ in pieces)
    at = [found.start() for found in _COMMAND.finditer(whole)]
    if not at:
        return list(pieces)
    tame, begin = [], 0
    for text, escaped in pieces:
        inside = [each - begin for each in at if begin <= each < begin + len(text)]
        begin += len(text)
        for each in reversed(inside):
            text = f"{text[: each + 1]} {text[each + 1 :]}"
        tame.append((text, f"{escaped} " if escaped and inside else escaped))
    return tame


def _parts(text: str, code: Iterable[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    lines, done = text.split("\n"), 0
    ends = [f"{line}\n" for line in lines[:-1]] + [lines[-1]]
    for begin, end in sorted(code):
        yield "".join(ends[done:begin]), False
        yield "".join(ends[begin:end]), True
        done = max(done, end)
    yield "".join(ends[done:]), False


def _taken_out(text: str, formulas: list[str]) -> str:
    parts, done = [], 0
    for begin, end in _found(text):
        parts.append(f"{text[done:begin]}{_BEGIN}{len(formulas)}{_END}")
        formulas.append(text[begin:end])
        done = end
    return "".join([*parts, text[done:]])


def _found(text: str) -> Iterator[tuple[int, int]]:
    """Where formulas are; one that does not close before a blank line is none."""
    begin, closing, depth, last = -1, "", 0, -1
    for mark in _MARK.finditer(text):
        sign = mark[0]
        if begin >= 0 and sign == closing:
            last = mark.end()
            if depth:
                continue
            if _NO_FORMULA.search(text, begin, last):
                begin, depth, last = mark.start(), 0, -1
                closing = _CLOSING.get(sign, "")
                begin = begin if closing else -1
                continue
            yield begin, last
            begin, last = -1, -1
        elif sign.startswith("\n"):
            if begin >= 0 and last >= 0 and not _NO_FORMULA.search(text, begin, last):
                yield begin, last
            begin, depth, last = -1, 0, -1
        elif begin < 0:
            begin, closing, depth = _opened(mark)
        elif sign == "{":
            depth += 1
        elif sign == "}" and depth:
            depth -= 1


def _opened(mark: re.Match[str]) -> tuple[int, str, int]:
    sign = mark[0]
    closing = f"\\end{sign[6:]}" if sign[:6].lower() == "\\begin" else _CLOSING.get(sign)
    return (mark.start(), closing, 0) if closing else (-1, "", 0)
