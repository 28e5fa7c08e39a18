"""True quotes of real prose, the same with what extraction from a PDF does to text, and false ones made from them."""

from __future__ import annotations

import random
import re
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path

from rlm_notebook.documents.passages import Passage

__all__ = ["FALSIFICATIONS", "PAGES", "falsified", "noisy", "true_quotes"]

_ROOT = Path(__file__).parents[2]
_PAGE = 1_800


def _prose() -> str:
    files = [_ROOT / "README.md", *sorted((_ROOT / "docs").rglob("*.md")), _ROOT / "rlm_notebook/demo/guide.md"]
    text = "\n\n".join(file.read_text(encoding="utf-8") for file in files)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    paragraphs = [each for each in re.split(r"\n\s*\n", text) if not each.startswith(("|", "#"))]
    # As a PDF gives it: lines of 90 characters, in pages.
    return "\n".join(" ".join(each.split()) for each in paragraphs)


@cache
def _text() -> str:
    return _prose()


@cache
def PAGES() -> tuple[Passage, ...]:  # noqa: N802
    """The prose as the pages of one file."""
    text = _text()
    pages = textwrap.wrap(text, _PAGE, break_long_words=False, break_on_hyphens=False)
    return tuple(Passage("manual.pdf", f"p.{number}", textwrap.fill(page, 90)) for number, page in enumerate(pages, 1))


@cache
def _words() -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in _text().split() if word.isalpha()))


@cache
def _sentences() -> tuple[str, ...]:
    sentences = (each.lstrip("-* ") for each in re.split(r"(?<=[.!?])\s+", _text()))
    return tuple(each for each in sentences if len(each.split()) >= 6)


def true_quotes(amount: int, seed: int = 0) -> list[str]:
    """Runs of 6 to 40 words that begin with a sentence."""
    draw = random.Random(seed)
    return [" ".join(draw.choice(_sentences()).split()[: draw.randint(6, 40)]) for _ in range(amount)]


def noisy(quote: str, draw: random.Random) -> str:
    """The quote with line breaks, hyphens at them, ligatures, odd spaces and other quotation marks."""
    words = []
    for word in quote.split(" "):
        chance = draw.random()
        plain = word.isalpha() and len(word) > 5
        if plain and chance < 0.12:
            cut = draw.randint(2, len(word) - 2)
            hyphen, line_break = draw.choice(["-", "\u00ad", "\u2010"]), draw.choice(["\n", " \n"])
            word = f"{word[:cut]}{hyphen}{line_break}{word[cut:]}"
        elif plain and chance < 0.16:
            cut = draw.randint(2, len(word) - 2)
            odd = draw.choice(["\u00ad", "\u200b", " "])
            word = f"{word[:cut]}{odd}{word[cut:]}"
        words.append(word)
    text = "".join(
        word + draw.choices([" ", "\n", "  ", "\u00a0", "\u2009", "\t", " \r\n"], [60, 12, 6, 6, 4, 2, 2])[0]
        for word in words
    ).strip()
    for plain, ligature in (("ffi", "ﬃ"), ("ffl", "ﬄ"), ("ff", "ﬀ"), ("fi", "ﬁ"), ("fl", "ﬂ")):
        if draw.random() < 0.7:
            text = text.replace(plain, ligature)
    left, right = draw.choice([("“", "”"), ("«", "»"), ("„", "“"), ('"', '"')])
    text = re.sub(r'"([^"]*)"', lambda found: f"{left}{found[1]}{right}", text)
    text = text.replace("'", draw.choice(["'", "’"]))
    return re.sub(r"(?<=[a-z])-(?=[a-z])", lambda found: draw.choice(["-", "‐", "–", "-\n"]), text)


def _other_word(quote: str, draw: random.Random) -> str:
    words = quote.split()
    places = [at for at, word in enumerate(words) if word.isalpha()]
    if not places:
        return ""
    at = draw.choice(places)
    other = draw.choice([word for word in _words() if word != words[at]])
    return " ".join([*words[:at], other, *words[at + 1 :]])


_NEGATION = re.compile(r"\b(?:not|no|never|without|cannot|nothing|neither|nor) ?\b|n['’]t\b", re.IGNORECASE)


def _negation_dropped(quote: str, draw: random.Random) -> str:
    # Without a negation at its end, a quote is a true one that is shorter.
    found = [each for each in _NEGATION.finditer(quote) if quote[each.end() :].strip(" .,;")]
    if not found:
        return ""
    chosen = draw.choice(found)
    return (quote[: chosen.start()] + quote[chosen.end() :]).strip()


def _negation_added(quote: str, draw: random.Random) -> str:
    return re.sub(r"\b(is|are|has|can|may|does|runs|makes)\b", r"\1 not", quote, count=1)


def _number_altered(quote: str, draw: random.Random) -> str:
    found = list(re.finditer(r"\d", quote))
    if not found:
        return ""
    chosen = draw.choice(found)
    new = draw.choice([str((int(chosen[0]) + draw.randint(1, 9)) % 10), chosen[0] + "0", "", chosen[0] + ".5"])
    return quote[: chosen.start()] + new + quote[chosen.end() :]


def _glued(quote: str, draw: random.Random) -> str:
    ours, theirs = quote.split(), draw.choice(_sentences()).split()
    return " ".join([*ours[: len(ours) // 2 + 1], *theirs[len(theirs) // 2 :]])


def _word_dropped(quote: str, draw: random.Random) -> str:
    words = quote.split()
    at = draw.randint(1, len(words) - 2)
    return " ".join([*words[:at], *words[at + 1 :]])


def _paraphrased(quote: str, draw: random.Random) -> str:
    words = quote.split()
    middle = len(words) // 2
    return " ".join(["In other words,", *words[middle:], "and", *words[:middle]])


def _words_swapped(quote: str, draw: random.Random) -> str:
    words = quote.split()
    places = [at for at in range(len(words) - 1) if words[at].isalpha() and words[at + 1].isalpha()]
    if not places:
        return ""
    at = draw.choice(places)
    return " ".join([*words[:at], words[at + 1], words[at], *words[at + 2 :]])


FALSIFICATIONS: tuple[Callable[[str, random.Random], str], ...] = (
    _other_word,
    _negation_dropped,
    _negation_added,
    _number_altered,
    _glued,
    _word_dropped,
    _paraphrased,
    _words_swapped,
)


def falsified(amount: int, seed: int = 0) -> list[tuple[str, str]]:
    """False quotes, each with the name of what was done; none of them is in the prose by chance.

    What a dropped negation leaves may be there word for word: it still says the contrary.
    """
    draw, found, quotes = random.Random(seed), [], iter(true_quotes(40 * amount, seed))
    while len(found) < amount:
        falsify = FALSIFICATIONS[len(found) % len(FALSIFICATIONS)]
        # Not every quote has a number or a negation.
        false = next(each for quote in quotes if (each := falsify(quote, draw)) and each != quote)
        if falsify is _negation_dropped or not _is_there(false):
            found.append((falsify.__name__.strip("_"), false))
    return found


def _is_there(quote: str) -> bool:
    pattern = r"\s+".join(re.escape(word) for word in quote.rstrip(".,;:").split())
    return re.search(pattern, _text(), re.IGNORECASE) is not None
