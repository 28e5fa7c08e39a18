"""A tree as lines of text: for terminals, logs, diffs and everything that has no browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..core.limits import Usage
from ..core.text import duration, printable
from ..core.tree import Node, Tree
from .idle_time import Break, without_breaks

__all__ = ["SYMBOLS", "outline", "outline_rows", "reason", "shown_state", "tokens"]

SYMBOLS = {
    "pending": "·",
    "planning": "?",
    "running": "▸",
    "waiting": "…",
    "synthesizing": "⇡",
    "done": "✓",
    "failed": "✗",
    "cancelled": "⊘",
    "superseded": "–",
}


_HANDED_UP = re.compile(r"\d+ of \d+ parts failed(?=: )")
_ACTIVE = ("planning", "running", "synthesizing")


def shown_state(node: Node) -> str:
    """The state, where nobody who waits is shown at work: for a turn, for the next attempt, to be allowed a tool."""
    waits = bool(node.phases) and node.phases[-1].kind == "wait"
    return "waiting" if waits and node.state in _ACTIVE else str(node.state)


def outline(tree: Tree, *, width: int = 100, limit: int = 400, breaks: Sequence[Break] = ()) -> str:
    """One line a node, at most `limit` of them; says how many were left out. `breaks` are no part of what they took."""
    rows = list(outline_rows(tree, width, breaks))
    if len(rows) > limit:
        rows = [*rows[:limit], f"… and {len(rows) - limit} more nodes"]
    return "\n".join(rows) if rows else "(no node yet)"


def outline_rows(tree: Tree, width: int = 100, breaks: Sequence[Break] = ()) -> Iterator[str]:
    stack: list[tuple[Node, str, str]] = [(tree.root, "", "")] if tree.root else []
    while stack:
        node, lead, below = stack.pop()
        yield _line(node, lead, width, breaks)
        children = tree.children(node.id)
        for index in range(len(children) - 1, -1, -1):
            last = index == len(children) - 1
            stack.append((children[index], below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")))


def _line(node: Node, lead: str, width: int, breaks: Sequence[Break]) -> str:
    facts = "  ".join(fact for fact in (_took(node, breaks), node.mark, _remark(node)) if fact)
    head = f"{lead}{SYMBOLS[shown_state(node)]} "
    room = max(20, width - len(head) - len(facts) - 2)
    title = printable(node.title)
    title = title if len(title) <= room else title[: room - 1] + "…"
    return f"{head}{title}  {facts}".rstrip()


def _took(node: Node, breaks: Sequence[Break]) -> str:
    """From its first call to its end by the clock: what it waited for in between, parts and turns, is a part of it."""
    if node.started is None or node.ended is None:
        return ""
    return duration(without_breaks(node.started, node.ended, breaks))


def _remark(node: Node) -> str:
    return printable(reason(node) or _asking(node) or node.remark)[:80]


def reason(node: Node) -> str:
    """Why a node failed, for a place beside it and its parts: what befell a part is said there, not once a level."""
    error = (node.error or "").removeprefix(f"node {node.id}: ")
    handed_up = _HANDED_UP.match(error)
    return handed_up[0] if handed_up else error


def _asking(node: Node) -> str:
    asked = dict.fromkeys(use.name for use in node.tool_calls if use.awaiting_approval)
    return f"waits for approval: {', '.join(asked)}" if asked and not node.state.final else ""


def tokens(usage: Usage) -> str:
    """What was used, and how much of the prompts the provider knew already: cached tokens cost a fraction."""
    said = f"{usage.total_tokens:,} tokens"
    if not usage.cached_tokens:
        return said
    return f"{said}, {usage.cached_tokens / max(usage.prompt_tokens, usage.cached_tokens):.0%} of the prompts cached"
