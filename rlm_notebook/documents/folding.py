"""Text with what extraction changes made equal: a form in which words are compared.

Equal become compatibility characters (NFKC: ligatures, full-width letters), line breaks and hyphens at them, dashes,
quotation marks, emphasis marks of Markdown, and white space. What numbers are made of stays: the spaces between digits,
points, signs, exponents. All letters and digits stay, too, so a place is the same number of them in both forms.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["KEPT", "WORD", "folded", "signs", "tight"]

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:'[^\W_]+)*")
_SPACE = re.compile(r"(?<!\d) | (?!\d)")
KEPT = re.compile(r"[^ ]|(?<=\d) (?=\d)")
_SOFT_HYPHEN = re.compile("\u00ad\\s*")
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))
_QUOTATION = {
    **dict.fromkeys(map(ord, '"“”„‟«»‹›″＂「」『』')),
    **dict.fromkeys(map(ord, "‘’‚‛′`´ʼ＇"), "'"),
}
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_FOLDED = {**_INVISIBLE, **_QUOTATION, **_DASHES}
_ASCII_MARKS = str.maketrans("`", "'", '"')
_APOSTROPHE = re.compile(r"(?<!\w)'+|'+(?!\w)")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[ ]?-[- ]*(?=[^\W\d_])")
_EMPHASIS = re.compile(r"(?<![\d\s*])\*+|\*+(?![\d\s*])")
#: 10² is not 102, and 1½ is not 11/2.
_EXPONENT = re.compile(r"(?<=\d)(?=[⁰¹²³⁴-⁹₀-₉])")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")


def folded(text: str) -> str:
    """The text with what is noise made equal, and single spaces."""
    if not text.isascii():
        text = _SOFT_HYPHEN.sub("", _FRACTION.sub(" ", _EXPONENT.sub("^", text)))
        text = unicodedata.normalize("NFKC", text.translate(_INVISIBLE)).translate(_FOLDED)
    else:
        text = text.translate(_ASCII_MARKS)
    text = " ".join(text.split())
    if "'" in text:
        text = _APOSTROPHE.sub("", text)
    if "*" in text:
        text = _EMPHASIS.sub("", text)
    return _HYPHEN.sub("", text) if "-" in text else text


def tight(spaced: str) -> str:
    """The folded text without spaces, except between digits."""
    return _SPACE.sub("", spaced)


def signs(folded_text: str) -> int:
    """The number of letters and digits."""
    return sum(map(str.isalnum, folded_text))
