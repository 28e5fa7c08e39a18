"""The keys that this process uses, or could use: remembered so that no message, log or file repeats one."""

from __future__ import annotations

import os
import re

from .core.masking import redacted, without_basic

__all__ = ["remember_key", "without_keys"]

#: What is shorter is a placeholder for a server without keys.
_SHORTEST = 8
#: The names under which environments hold keys; only what is long and mixed is taken for one.
_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")
_LIKELY = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[!-~]{16,4096}")
_used: set[str] = set()


def remember_key(*keys: str) -> None:
    """These are sent to a provider: they are in no text from here on."""
    _used.update(key for key in keys if len(key) >= _SHORTEST)


def without_keys(text: str) -> str:
    """The text with a mask for each key of this process, in any form, and for each `Basic` authorization."""
    text = redacted(text, _used | _of_environment())
    return without_basic(text) if "asic" in text else text


def _of_environment() -> set[str]:
    return {value for name, value in os.environ.items() if _NAMES.search(name) and _LIKELY.fullmatch(value)}
