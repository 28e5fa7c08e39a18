"""Parses the words after `%%rlm` and `%rlm`: split nearly as in a shell, read by argparse, with close matches."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from typing import NoReturn

from IPython.core.error import UsageError

__all__ = ["LineParser", "close_choice", "close_to", "words_of"]


class LineParser(argparse.ArgumentParser):
    """Raises `UsageError`, with the closest option, where argparse would exit the process."""

    def __init__(self, prog: str, description: str | None = None, *, stray: str = "it takes no more words") -> None:
        super().__init__(
            prog=prog,
            description=description,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawTextHelpFormatter,
        )
        self._stray = stray
        self.add_argument("-h", "--help", action="store_true", help="show this help")
        self.add_argument("--debug", action="store_true", help="show the whole traceback of an error")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The parsed options; `.help` is true if help was requested. Raises `UsageError`."""
        if "-h" in words or "--help" in words:
            return argparse.Namespace(help=True)
        found, unknown = self.parse_known_args(words)
        if unknown:
            word = unknown[0]
            if not word.startswith("-"):
                raise UsageError(f"{self.prog}: {word!r} is no option; {self._stray}")
            hint = close_to(word.split("=")[0], self.option_names) or f"{self.prog} --help lists the options"
            raise UsageError(f"{self.prog}: unknown option {word}; {hint}")
        return found

    @property
    def option_names(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings]

    def error(self, message: str) -> NoReturn:
        hint = close_choice(message) or f"{self.prog} --help lists the options"
        raise UsageError(f"{self.prog}: {message}; {hint}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError(message or "")


def words_of(line: str, prog: str) -> list[str]:
    """The words of a line, quoted as in a shell, with the same result on every system. Raises `UsageError`.

    A backslash is an ordinary character, as in Windows paths. Only between double quotation marks it escapes a
    quotation mark: `"say \\"so\\""`.
    """
    # A quoted path that ends in a backslash ("C:\\runs\\") would be unclosed, so it is read without escapes.
    words = _split(line, escapes=True) or _split(line, escapes=False)
    if words is None:
        raise UsageError(f"{prog}: the options cannot be read (No closing quotation); close the quotation mark")
    return words


def _split(line: str, *, escapes: bool) -> list[str] | None:
    """The words, or `None` if a quotation mark is not closed."""
    words, word, quote, at = [], "", "", 0
    begun = False
    while at < len(line):
        character = line[at]
        if escapes and quote == '"' and line.startswith('\\"', at):
            word, at = word + '"', at + 1
        elif quote:
            quote, word = ("", word) if character == quote else (quote, word + character)
        elif character.isspace():
            words += [word] if begun else []
            word, begun = "", False
        else:
            begun = True
            quote, word = (character, word) if character in "'\"" else ("", word + character)
        at += 1
    words += [word] if begun else []
    return None if quote else words


def close_choice(message: str) -> str:
    """For argparse's error about a value that is no choice: "did you mean ...?", or "" if nothing is close."""
    wrong, _, choices = message.partition("invalid choice: ")[2].partition(" (choose from ")
    return close_to(wrong.strip("'"), re.findall(r"[\w-]+", choices))


def close_to(word: str, known: Iterable[str]) -> str:
    """ "did you mean ...?", or "" if nothing is close."""
    # Only an error needs it.
    import difflib

    close = difflib.get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""
