"""Search over the nodes of a run: ids, tasks, outputs, tool calls, plans and prompts, words in any order.

A node is found if it has every word in any of its texts. A hit names the first text with the most of the words, and
what surrounds the first of them there. Prompts are read last, and only where the other texts lack a word: they are the
longest, and repeat the tasks above.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ...core.text import printable
from ...core.tree import Tree

__all__ = ["Hit", "search", "searched_words"]

#: The id of the node, the name of the text, and an excerpt of it.
Hit = tuple[str, str, str]

MOST_WORDS = 20
LONGEST_WORD = 400
#: Characters of an excerpt before and after the start of the first word.
BEFORE, AFTER = 24, 96
#: Ids are shown in brackets in texts; the fields of a node that are searched before its prompt.
_ID = re.compile(r"\[?(\d+(?:\.\d+)*)\]?")
_FIELDS = ("output", "cells", "tools", "plan")


class Searched(Protocol):
    """A run and the long fields of its nodes: `Details`."""

    @property
    def tree(self) -> Tree: ...
    def read(self, node_id: str, field: str) -> Any: ...


def searched_words(given: Any) -> list[str]:
    """The words of a request, in lower case."""
    words = (word.lower()[:LONGEST_WORD] for word in given if isinstance(word, str)) if isinstance(given, list) else ()
    return list(dict.fromkeys(filter(None, words)))[:MOST_WORDS]


def search(details: Searched, words: Sequence[str]) -> Iterator[Hit | None]:
    """One item for each node of the run: its hit, or `None` if it has not all of the words."""
    for node in list(details.tree) if words else ():
        yield _hit(details, node.id, words)


def _hit(details: Searched, node_id: str, words: Sequence[str]) -> Hit | None:
    node = details.tree[node_id]
    texts = {"id": "", "title": f"{node.task}\n{node.title}", "agent": node.agent, "note": node.error or node.note}
    texts |= {field: _text(details.read(node_id, field)) for field in _FIELDS}
    lowered = [text.lower() for text in texts.values()]
    missing = [word for word in words if not _names(word, node_id) and not any(word in text for text in lowered)]
    if missing:
        texts["prompt"] = _text(details.read(node_id, "prompt"))
        prompt = texts["prompt"].lower()
        if not all(word in prompt for word in missing):
            return None
        # What the prompt alone has is the reason for the hit.
        field = "prompt"
        shown: Sequence[str] = missing
    elif all(_names(word, node_id) for word in words):
        return node_id, "id", ""
    else:
        counts = {field: sum(word in text.lower() for word in words) for field, text in texts.items()}
        field = max(counts, key=counts.__getitem__)
        shown = words
    return node_id, field, _excerpt(texts[field], shown)


def _names(word: str, node_id: str) -> bool:
    """Whether the word is the id of the node, or, without brackets, of a node above it."""
    found = _ID.fullmatch(word)
    return found is not None and (node_id == found[1] or (word[0] != "[" and node_id.startswith(f"{found[1]}.")))


def _text(data: Any) -> str:
    """Anything that a detail holds, as the text that people read."""
    match data:
        case None:
            return ""
        case str():
            return data
        case list() | tuple():
            return "\n".join(map(_text, data))
        case dict():
            return "\n".join(map(_text, data.values()))
    return json.dumps(data, default=str)


def _excerpt(text: str, words: Sequence[str]) -> str:
    lowered = text.lower()
    at = min((index for word in words if (index := lowered.find(word)) >= 0), default=0)
    begin = max(0, at - BEFORE)
    shown = printable(" ".join(text[begin : at + AFTER].split()))
    return f"{'…' if begin else ''}{shown}{'…' if at + AFTER < len(text) else ''}"
