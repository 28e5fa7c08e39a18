"""Citations: references such as [0.2] in an answer to the nodes that it is based on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

__all__ = ["moved", "placeless", "sources_in"]

_REFERENCE = re.compile(r"\[(0(?:\.\d+)*)\]")


def sources_in(text: str, exists: Callable[[str], bool]) -> list[str]:
    """The ids of the nodes that a text cites, in the order of their first mention; only those that exist."""
    return [node for node in dict.fromkeys(_REFERENCE.findall(text)) if exists(node)]


def placeless(text: str, node: str) -> str:
    """A node's text with references to itself and its descendants made relative: equal wherever the node stands."""
    if "[0" not in text:
        return text

    def relative(match: re.Match[str]) -> str:
        found = match[1]
        return f"[~{found[len(node) :]}]" if found == node or found.startswith(node + ".") else match[0]

    return _REFERENCE.sub(relative, text)


def moved(text: str, renamed: Iterable[tuple[str, str]]) -> str:
    """A text with each reference to an old id, or below it, pointing to the new one: for an answer that is reused at
    another place."""
    table = {old: new for old, new in renamed if old != new}
    if not table:
        return text

    def target(match: re.Match[str]) -> str:
        node = match[1]
        for old, new in table.items():
            if node == old or node.startswith(old + "."):
                return f"[{new}{node[len(old) :]}]"
        return match[0]

    return _REFERENCE.sub(target, text)
