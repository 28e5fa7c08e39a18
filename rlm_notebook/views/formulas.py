"""Formulas in Markdown, as notebooks detect them: between dollars, `\\\\(`, `\\\\[`, and in environments.

They are replaced by placeholders before Markdown is parsed, because an underscore in a formula is not emphasis, and put
back afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = ["bare_formula", "harmless_formula", "has_formulas", "pieces_between", "put_back", "taken_out", "tamed"]

#: A placeholder is the formula's number between two Unicode noncharacters, which no text contains.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_PLACE = re.compile(f"{_BEGIN}(\\d+){_END}")

#: Commands that make links, styles, classes, identifiers, images, or load and build other commands.
_COMMANDS = (
    "href|url|class|cssId|style|unicode|require|data|includegraphics|bbox|mmlToken|csname|endcsname|"
    "htmlClass|htmlId|htmlStyle|htmlData|tooltip|texttip|mathtip|toggle"
)
_COMMAND = re.compile(rf"\\(?=(?:{_COMMANDS})(?![A-Za-z]))")
_DELIMITER = re.compile(r"\$|\\[(\[]|\\\\|\\begin|&(?:#|dollar|bsol)", re.IGNORECASE)
#: Delimiters of formulas, and escapes that keep a dollar or a brace from being one; a blank line ends a formula.
_MARK = re.compile(r"\\\\[()\[\]]|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|\$\$?|[{}]|\n[ \t>]*\n", re.IGNORECASE)
_CLOSING = {"$": "$", "$$": "$$", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
#: A text between two dollars is prose if it contains code or links.
_NO_FORMULA = re.compile(r"`|~~~|\]\((?:https?:|mailto:|#)", re.IGNORECASE)


def has_formulas(text: str) -> bool:
    """Whether anything in the text, or in its rendered form, could be read as a formula."""
    return _DELIMITER.search(text) is not None


def taken_out(text: str, code: Iterable[tuple[int, int]], formulas: list[str]) -> str:
    """The text with a placeholder for each formula, which is appended to `formulas`.

    `code` are ranges of lines that hold no formula: first line, and the line after the last.
    """
    lines, done, written = text.split("\n"), 0, []
    with_ends = [f"{line}\n" for line in lines[:-1]] + [lines[-1]]
    for begin, end in sorted(code):
        written.append(_taken_out("".join(with_ends[done:begin]), formulas))
        written.append("".join(with_ends[begin:end]))
        done = max(done, end)
    written.append(_taken_out("".join(with_ends[done:]), formulas))
    return "".join(written)


def put_back(text: str, formulas: Sequence[str]) -> str:
    return _PLACE.sub(lambda place: formulas[int(place[1])], text) if formulas else text


def pieces_between(text: str, formulas: Sequence[str]) -> Iterator[tuple[bool, str]]:
    """The parts of a text with placeholders: whether it is a formula, and the part."""
    done = 0
    for place in _PLACE.finditer(text) if formulas else ():
        if place.start() > done:
            yield False, text[done : place.start()]
        yield True, formulas[int(place[1])]
        done = place.end()
    if done < len(text):
        yield False, text[done:]


def bare_formula(formula: str) -> tuple[str, bool]:
    """The TeX of a formula without its delimiters, and whether it stands in a line of its own."""
    for begin, end, display in (
        ("$$", "$$", True),
        ("$", "$", False),
        ("\\\\(", "\\\\)", False),
        ("\\\\[", "\\\\]", True),
    ):
        if formula.startswith(begin) and formula.endswith(end):
            return formula[len(begin) : -len(end)].strip(), display
    return formula, True


def harmless_formula(formula: str) -> str:
    """The formula without commands that do more than typeset, and harmless to a reader that sees no formula in it.

    Spaces are inserted to break up commands and links: they do not change a formula.
    """
    formula = _COMMAND.sub(r"\\ ", formula)
    formula = re.sub(r"<(?=[A-Za-z!/?])|&(?=#|[A-Za-z]+;)", r"\g<0> ", formula)
    formula = re.sub(r"(?<=\])(?=[(:\[])|(?<=!)(?=\[)", " ", formula)
    formula = re.sub(r"(?<!http)(?<!https)(?<=:)//", " //", formula, flags=re.IGNORECASE)
    return formula.replace('"', "''")


def tamed(pieces: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of text and escaped form without commands, which may stretch over several of them."""
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


def _taken_out(text: str, formulas: list[str]) -> str:
    parts, done = [], 0
    for begin, end in _found(text):
        parts.append(f"{text[done:begin]}{_BEGIN}{len(formulas)}{_END}")
        formulas.append(text[begin:end])
        done = end
    return "".join([*parts, text[done:]])


def _found(text: str) -> Iterator[tuple[int, int]]:
    """The ranges of the formulas; one that does not close before a blank line is not a formula."""
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
            closing = f"\\end{sign[6:]}" if sign[:6].lower() == "\\begin" else _CLOSING.get(sign, "")
            begin, depth = (mark.start() if closing else -1), 0
        elif sign == "{":
            depth += 1
        elif sign == "}" and depth:
            depth -= 1
