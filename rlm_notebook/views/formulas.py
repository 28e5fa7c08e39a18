"""Formulas in Markdown: between dollars, in `\\(...\\)` and `\\[...\\]`, and in environments.

They are replaced by placeholders before Markdown is parsed, because an underscore in a formula is not emphasis, and put
back afterwards. Which text is a formula is decided as in the tree (`js/src/ui/formulas.tsx`), where the same text is
drawn: "$5 and $10" are prices. Both are tested with `tests/formulas.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "bare_formula",
    "for_notebooks",
    "harmless_formula",
    "has_formulas",
    "pieces_between",
    "put_apart",
    "put_back",
    "taken_out",
    "tamed",
]

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
#: Delimiters, and what no formula has inside: an empty line, code. A backslash takes the next character along.
_MARK = re.compile(r"\\\\[()\[\]]|\\(?:begin|end)\{[a-z]+\*?\}|\\.|\$\$?|\n[ \t>]*\n|`+|~~~", re.IGNORECASE)
_CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
_ENVIRONMENT = re.compile(
    r"\\begin\{((?:equation|align(?:at|ed)?|gather(?:ed)?|multline|eqnarray|split|array|cases|[a-z]*matrix)\*?)\}",
    re.IGNORECASE,
)
LONGEST_FORMULA = 4_000
_DIGITS = tuple("0123456789")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
#: What is between escaped brackets is prose if it is words; or, between square ones, a number.
_PLAIN = re.compile(r"[\w\s.,;:'?!-]*")
_WORDS = re.compile(r"[^\W\d_]{2}\s+[^\W\d_]{2}")
_NUMBER = re.compile(r"[\d\s.,]*")
#: A text between two delimiters is prose if it contains links.
_NO_FORMULA = re.compile(r"\]\((?:https?:|mailto:|#)", re.IGNORECASE)


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


def put_apart(text: str) -> str:
    """A text with placeholders, no two of which are neighbours: the dollars of two formulas would be one sign."""
    return text.replace(f"{_END}{_BEGIN}", f"{_END} {_BEGIN}")


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
    for begin, end in reversed(_CLOSING.items()):
        if formula.startswith(begin) and formula.endswith(end):
            return formula[len(begin) : -len(end)].strip(), begin in ("$$", "\\[", "\\\\[")
    return formula, True


def for_notebooks(formula: str) -> str:
    """The formula between delimiters that notebooks know: of `\\(x\\)`, their Markdown leaves "(x)"."""
    tex, display = bare_formula(formula)
    if formula.startswith(("\\(", "\\[")):
        formula = f"$${tex}$$" if display else f"${tex}$"
        if "$" in tex:
            formula = f"\\\\[{tex}\\\\]" if display else f"\\\\({tex}\\\\)"
    if formula.startswith("\\\\"):
        # A line break before a bracket would end the formula.
        return formula[:3] + re.sub(r"(?<=\\\\)(?=[)\]])", " ", formula[3:-3]) + formula[-3:]
    closing = "$$" if display else "$"
    if formula.startswith("$") and formula.endswith(f"\\{closing}"):
        # Notebooks read a backslash and the dollar behind it as one sign, also where it ends a line of the formula.
        formula = f"{formula.removesuffix(closing)} {closing}"
    return formula


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
    """In one pass, however many delimiters do not close."""
    parts, done = [], 0
    begin, closing = -1, ""
    for mark in _MARK.finditer(text):
        sign, at = mark[0], mark.start()
        # A dollar that ends a formula follows a sign, and no digit follows it.
        is_end = sign != "$" or not (text[at - 1].isspace() or text[at + 1 : at + 2] in _DIGITS)
        if begin < 0:
            begin, closing = _opened(sign, at, text)
        elif sign[0] in "\n`~":
            begin = -1
        elif sign == closing and is_end:
            if _is_formula(text[begin : mark.end()], min(len(closing), 3)):
                parts.append(f"{text[done:begin]}{_BEGIN}{len(formulas)}{_END}")
                formulas.append(text[begin : mark.end()])
                done = mark.end()
            begin = -1
        elif closing == "$" and sign in ("$", "$$", "\\(", "\\["):
            # The dollar before was none of a formula: no other begins inside one.
            begin, closing = _opened(sign, at, text)
    return "".join([*parts, text[done:]])


def _opened(sign: str, at: int, text: str) -> tuple[int, str]:
    """Where a formula that this sign opens begins, -1 if it opens none, and the sign that closes it."""
    environment = _ENVIRONMENT.fullmatch(sign)
    closing = f"\\end{{{environment[1]}}}" if environment is not None else _CLOSING.get(sign, "")
    if not closing or (sign == "$" and not text[at + 1 : at + 2].strip()):
        return -1, ""
    return at, closing


def _is_formula(raw: str, closing: int) -> bool:
    """Whether what is between two delimiters is one for all readers: short, no link, with balanced braces."""
    if len(raw) > LONGEST_FORMULA or not raw[closing:-closing].strip() or _NO_FORMULA.search(raw):
        return False
    if raw.startswith(("\\(", "\\[")):
        inner = raw[2:-2]
        if (raw[1] == "[" and _NUMBER.fullmatch(inner)) or (_PLAIN.fullmatch(inner) and _WORDS.search(inner)):
            return False
    depth = 0
    for brace in _BRACE.findall(raw):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0
