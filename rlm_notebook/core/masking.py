"""Masks secrets in a text in any form: as they are, escaped, percent-encoded, as hex or in base64.

Base64 writes three bytes as four characters, so the encoded form of a secret depends on how many bytes precede it. For
each of the three alignments there is a core of characters that the bytes of the secret alone determine; where a core is
found, the whole encoded word around it is masked, because a header such as `Basic dXNlcjprZXk=` holds nothing else.
The cost is bounded: about twenty linear searches of a text for each secret.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from string import ascii_letters, digits
from urllib.parse import quote, quote_plus

from .text import end_of

__all__ = ["MASK", "redacted", "without_basic"]

MASK = "***"
#: Encoded forms of shorter secrets would match in ordinary text.
_SHORTEST_ENCODED = 8
#: Texts up to this length, in characters, are also searched for secrets that are broken over lines.
_LONGEST_UNFOLDED = 2_000_000
_WORD = re.compile(r"[A-Za-z0-9+/_=-]*")
_IN_WORD = f"{ascii_letters}{digits}+/_-"
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
            unfolded = "".join(text.replace("\\r", "").replace("\\n", "").split())
            for form in (secret, *cores):
                if form in unfolded:
                    text = re.sub(r"(?:\s|\\[rn])*".join(map(re.escape, form)), lambda _: mask, text)
    return text


def without_basic(text: str) -> str:
    """The text with a mask for the user and password of each `Basic` authorization, known or not."""
    return _BASIC.sub(lambda found: f"{found[1]}{MASK}" if _is_user_and_password(found[2]) else found[0], text)


def _is_user_and_password(encoded: str) -> bool:
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_" if set("-_") & set(encoded) else None)
        return ":" in decoded.decode() and decoded.decode().isprintable()
    except (binascii.Error, ValueError):
        return False


@lru_cache(maxsize=256)
def _forms_of(secret: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The forms of a secret that stands alone, longest first, and the cores of its base64."""
    if len(secret) < _SHORTEST_ENCODED:
        return (secret,), ()
    data = secret.encode("utf-8", "surrogatepass")
    quoted = json.dumps(secret)[1:-1]
    percent = "".join(f"%{byte:02X}" for byte in data)
    quoted_urls = [encode(data, safe=safe) for safe in ("", "/:") for encode in (quote, quote_plus)]
    lower_hex = [re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded) for encoded in quoted_urls]
    written = [
        secret,
        quoted,
        quoted.replace("/", "\\/"),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(quoted)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        *quoted_urls,
        *lower_hex,
        percent,
        percent.lower(),
        data.hex(),
        data.hex().upper(),
    ]
    cores = []
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode()
        # Only whole characters: the first and the last may hold bits of neighbouring bytes.
        core = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        cores += [core, core.translate(_URL_SAFE)]
    longest_first = sorted(dict.fromkeys(written), key=len, reverse=True)
    return tuple(longest_first), tuple(dict.fromkeys(cores))


_URL_SAFE = str.maketrans("+/", "-_")


def _without_word(text: str, core: str, mask: str) -> str:
    """The text with a mask for each encoded word that contains the core."""
    at, parts, behind = text.find(core), [], 0
    while at >= 0:
        before = text[max(behind, at - _LONGEST_WORD) : at]
        begins = at - len(before) + len(before.rstrip(_IN_WORD))
        end = end_of(_WORD, text, at + len(core))
        parts += [text[behind:begins], mask]
        behind = end
        at = text.find(core, behind)
    return "".join([*parts, text[behind:]])


#: At most this much of the encoded word before a core is masked with it, in characters: the search stays linear.
_LONGEST_WORD = 10_000
