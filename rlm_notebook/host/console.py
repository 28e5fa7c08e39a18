"""Text for streams: whatever their encoding (a Windows pipe, `PYTHONIOENCODING=ascii`), writing to them never fails."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

__all__ = ["encodable", "lenient_streams", "printed", "say", "written"]

#: The name under which the replacement is registered as a handler of encoding errors.
AS_ASCII = "rlm_notebook.ascii"
_SIMILAR = str.maketrans(
    {
        **dict(zip("·▸✓✗⊘⇡⚠", ".>vxo^!", strict=True)),
        **dict(zip("├└─│┌┐┘", "|`-|,.'", strict=True)),
        **dict(zip("–—−‐‑“”‘’•×\u00a0", "-----\"\"''*x ", strict=True)),
        **{sign: f"^{digit}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
        **{"…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "€": "EUR"},
    }
)


def encodable(text: str, encoding: str | None) -> str:
    r"""The text as this encoding has it: of other characters, symbols in ASCII, and the rest as escapes (\u65e5)."""
    if text.isascii() or not encoding:
        return text
    try:
        return text.encode(encoding, AS_ASCII).decode(encoding)
    except (LookupError, UnicodeError):
        return text.translate(_SIMILAR).encode("ascii", "backslashreplace").decode("ascii")


def printed(text: str) -> str:
    """The text as standard output can write it."""
    # A program without a console has no standard output.
    return encodable(text, getattr(sys.stdout, "encoding", None))


def say(value: object = "") -> None:
    """Prints a value to standard output, in its encoding."""
    print(printed(str(value)))


@contextmanager
def lenient_streams() -> Iterator[None]:
    """Within the block, standard output and standard error write what their encoding lacks in ASCII."""
    streams = [each for each in (sys.stdout, sys.stderr) if isinstance(each, io.TextIOWrapper)]
    before = [(each, each.errors) for each in streams]
    for each in streams:
        each.reconfigure(errors=AS_ASCII)
    try:
        yield
    finally:
        for each, errors in before:
            # It is flushed by this, and its reader may have gone.
            with suppress(OSError, ValueError):
                each.reconfigure(errors=errors)


def written(stream: IO[str], text: str) -> None:
    """Writes text to any stream, in its encoding."""
    stream.write(encodable(text, getattr(stream, "encoding", None)))


def _as_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return text.translate(_SIMILAR).encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(AS_ASCII, _as_ascii)
