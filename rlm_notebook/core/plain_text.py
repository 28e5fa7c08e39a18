"""Text of models, servers and files as plain text: for terminals, and for outputs that notebooks show as text."""

from __future__ import annotations

import re

__all__ = ["terminal_text", "without_links"]


def terminal_text(text: str) -> str:
    """The text without what drives a terminal: escape codes, carriage returns, direction overrides."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _shown(char) for char in text)


def _shown(char: str) -> str:
    """Joiners are parts of ordinary words and emoji, and separators are spaces; all else is no text."""
    return char if char in "\u200c\u200d" else " " if char.isspace() else "\ufffd"


def without_links(text: str) -> str:
    """The text in which only addresses of the web become links: an invisible sign keeps the parts of others apart."""
    return re.sub(r"(?<!http)(?<!https)(?=://)|(?<=data)(?=:\S)", "\u2060", text, flags=re.IGNORECASE)
