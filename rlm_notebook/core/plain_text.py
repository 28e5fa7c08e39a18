"""Text of models, servers and files as plain text: for terminals, and for notebook outputs of type text."""

from __future__ import annotations

import re

__all__ = ["terminal_text", "without_links"]


def terminal_text(text: str) -> str:
    """The text without characters that control a terminal: escape codes, carriage returns, direction overrides."""
    if text.isprintable():
        return text
    # Joiners (U+200C, U+200D) are parts of ordinary words and emoji.
    return "".join(
        char if char.isprintable() or char in "\n\t\u200c\u200d" else " " if char.isspace() else "\ufffd"
        for char in text
    )


def without_links(text: str) -> str:
    """The text in which only http(s) addresses become links: an invisible word joiner breaks up all other ones."""
    return re.sub(r"(?<!http)(?<!https)(?=://)|(?<=data)(?=:\S)", "\u2060", text, flags=re.IGNORECASE)
