"""Reading the words after `%%rlm` and `%rlm`: split nearly as a shell does, parsed by argparse, wrong ones named."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from typing import NoReturn

from IPython.core.error import UsageError

__all__ = ["LineParser", "close_to", "words_of"]


class LineParser(argparse.ArgumentParser):
    """Raises `UsageError` where argparse would leave the process, naming the option that was probably meant."""

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
        """What the words say; `.help` is true if only that was asked for. Raises `UsageError`."""
        if "-h" in words or "--help" in words:
            return argparse.Namespace(help=True)
        found, unknown = self.parse_known_args(words)
        if unknown:
            raise UsageError(f"{self.prog}: {self._wrong(unknown[0])}")
        return found

    @property
    def option_names(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings]

    def _wrong(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r} is no option; {self._stray}"
        close = close_to(word.split("=")[0], self.option_names)
        return f"unknown option {word}; {close or f'{self.prog} --help lists the options'}"

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}; {self.prog} --help lists the options")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise UsageError(message or "")


def words_of(line: str, prog: str) -> list[str]:
    """The words of a line, with quotation marks as in a shell, on every system alike. Raises `UsageError`.

    A backslash is a character as any other, for the paths of Windows; only between double quotation marks it may
    stand before one that does not end the word: `"say \\"so\\""`.
    """
    # With a path that ends in a backslash ("C:\\runs\\") a mark is missing, unless none of them is escaped.
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


def close_to(word: str, known: Iterable[str]) -> str:
    """ "did you mean ...?", or "" where nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else ""
