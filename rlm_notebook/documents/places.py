"""What a citation names: names of sources and anchors, however a model writes them."""

from __future__ import annotations

import re

__all__ = ["Anchor", "anchor_of", "overlap", "plain_name"]

_NAMES_OF_ANCHORS: dict[str, str] = {
    **dict.fromkeys(("page", "pages", "pp", "pg", "s", "seite"), "p"),
    **dict.fromkeys(("lines", "l", "ll"), "line"),
    **{"rows": "row", "cells": "cell", "sections": "section"},
}
#: An anchor as it is compared: its words and its numbers.
Anchor = tuple[tuple[str, ...], tuple[int, ...]]


def plain_name(name: str) -> str:
    """A name as it is compared: words with single spaces, without brackets and the signs between name and place."""
    return " ".join(re.sub(r"[()\[\]{}\"'`“”‘’]|[,;:#]+(?=\s|\Z)", " ", name).split()).casefold()


def anchor_of(text: str) -> Anchor:
    parts: list[str] = re.findall(r"[^\W\d_]+|\d+", text.casefold())
    names = tuple(_NAMES_OF_ANCHORS.get(part, part) for part in parts if not part.isdecimal())
    return names, tuple(int(part[:18]) for part in parts if part.isdecimal())


def overlap(anchor: Anchor, wanted: Anchor) -> bool:
    """Whether an anchor includes or overlaps another: page 12 has "p.12, lines 3-4", and lines 10-20 have line 12."""
    (names, numbers), (wanted_names, wanted_numbers) = anchor, wanted
    if not (names or numbers) or names != wanted_names[: len(names)]:
        return False
    if names != wanted_names or not numbers or not wanted_numbers:
        return numbers == wanted_numbers[: len(numbers)]
    return min(numbers) <= max(wanted_numbers) and min(wanted_numbers) <= max(numbers)
