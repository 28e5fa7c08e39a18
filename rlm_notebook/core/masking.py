"""A secret in a text, whatever form it was written in: as it is, escaped, percent-encoded, as hex or in base64.

Base64 writes three bytes as four characters, so what a secret becomes depends on how many bytes stand before it. For
each of the three places that it can have there is a core of characters that its own bytes alone decide; where a core
is found, all of the encoded word around it is masked, because a header such as `Basic dXNlcjprZXk=` holds nothing else.
The cost is bounded: some twenty searches of a text for each secret, all of them linear.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

__all__ = ["MASK", "redacted", "without_basic"]

MASK = "***"
#: What is shorter is in every text, and would only garble it; encoded forms are looked for from here on.
_SHORTEST_ENCODED = 8
#: Up to here a text is also looked through for what was broken over lines, in characters.
_LONGEST_UNFOLDED = 2_000_000
_WORD = re.compile(r"[A-Za-z0-9+/_=-]*")
_WORD_BEFORE = re.compile(r"[A-Za-z0-9+/_-]*\Z")
_BASIC = re.compile(r"\b(Basic\s+)([A-Za-z0-9+/_-]{8,}={0,2})", re.IGNORECASE)


def redacted(text: str, secrets: Iterable[str], mask: str = MASK) -> str:
    """The text with a mask for each secret, in any form."""
    for secret in sorted(filter(None, set(secrets)), key=len, reverse=True):
        written, cores = _forms_of(secret)
        for form in written:
            text = text.replace(form, mask)
        for core in cores:
            text = _without_word(text, core, mask)
        if cores and len(text) <= _LONGEST_UNFOLDED and ("\n" in text or "\\n" in text):
            text = _without_folded(text, (secret, *cores), mask)
    return text


def without_basic(text: str) -> str:
    """The text without the user and the password of a `Basic` authorization, whoever they are."""
    return _BASIC.sub(lambda found: f"{found[1]}{MASK}" if _is_pair(found[2]) else found[0], text)


def _is_pair(encoded: str) -> bool:
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_" if set("-_") & set(encoded) else None)
        return ":" in decoded.decode() and decoded.decode().isprintable()
    except (binascii.Error, ValueError):
        return False


@lru_cache(maxsize=256)
def _forms_of(secret: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """How the secret is written where it stands alone, and the cores of its base64."""
    if len(secret) < _SHORTEST_ENCODED:
        return (secret,), ()
    data = secret.encode("utf-8", "surrogatepass")
    quoted = json.dumps(secret)[1:-1]
    percent = "".join(f"%{byte:02X}" for byte in data)
    written = [
        secret,
        quoted,
        quoted.replace("/", "\\/"),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(quoted)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        *(form for made in (quote, quote_plus) for form in _either_case(made(data, safe=""))),
        *(form for made in (quote, quote_plus) for form in _either_case(made(data, safe="/:"))),
        percent,
        percent.lower(),
        data.hex(),
        data.hex().upper(),
    ]
    cores = [_core(data, before).translate(alphabet) for before in range(3) for alphabet in ({}, _URL_SAFE)]
    longest_first = sorted(dict.fromkeys(written), key=len, reverse=True)
    return tuple(longest_first), tuple(dict.fromkeys(cores))


_URL_SAFE = str.maketrans("+/", "-_")


def _either_case(percent: str) -> tuple[str, str]:
    """Both ways of writing what is percent-encoded."""
    return percent, re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), percent)


def _core(data: bytes, before: int) -> str:
    """The characters of base64 that these bytes alone decide, with so many bytes before them."""
    encoded = base64.b64encode(bytes(before) + data).decode()
    return encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


def _without_word(text: str, core: str, mask: str) -> str:
    """The text with a mask for each encoded word that holds the core."""
    at, parts, behind = text.find(core), [], 0
    while at >= 0:
        begins = at - len(_WORD_BEFORE.search(text[max(behind, at - _LONGEST_WORD) : at])[0])  # type: ignore[index]
        end = _WORD.match(text, at + len(core)).end()  # type: ignore[union-attr]
        parts += [text[behind:begins], mask]
        behind = end
        at = text.find(core, behind)
    return "".join([*parts, text[behind:]])


#: How much of the encoded word before a core is masked with it, in characters.
_LONGEST_WORD = 10_000


def _without_folded(text: str, forms: Iterable[str], mask: str) -> str:
    """The text with a mask for what was broken over lines."""
    unfolded = "".join(text.replace("\\r", "").replace("\\n", "").split())
    for form in forms:
        if form in unfolded:
            text = re.sub(r"(?:\s|\\[rn])*".join(map(re.escape, form)), lambda _: mask, text)
    return text
