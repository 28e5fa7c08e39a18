"""The API keys that this process uses or could use, so that no message, log or file repeats one."""

from __future__ import annotations

import os
import re

from ..core.masking import redacted, without_basic

__all__ = ["remember_key", "remember_named", "without_keys"]

#: Shorter keys are placeholders for servers without keys.
_SHORTEST = 8
#: Names of environment variables that hold keys; only a long value of letters and digits is taken for one.
_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")
_LIKELY = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[!-~]{16,4096}")
_used: set[str] = set()


def remember_key(*keys: str) -> None:
    """Mask these keys in every text from now on, because they are sent to a provider."""
    _used.update(key for key in keys if len(key) >= _SHORTEST)


def remember_named(name: str, value: str) -> None:
    """Mask a value that is given to a program by this name, if the name or the value looks like that of a secret."""
    if _NAMES.search(name.upper()) or (_LIKELY.fullmatch(value) and "/" not in value and "\\" not in value):
        remember_key(value)


def without_keys(text: str) -> str:
    """The text with a mask for each key of this process, in any form, and for each `Basic` authorization."""
    of_environment = {value for name, value in os.environ.items() if _NAMES.search(name) and _LIKELY.fullmatch(value)}
    text = redacted(text, _used | of_environment)
    return without_basic(text) if "asic" in text else text
