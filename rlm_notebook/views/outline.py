"""A tree as lines of text, for terminals, logs and diffs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..core.text import counted, cut, duration, printable
from ..core.tree import Node, Tree
from ..core.usage import Usage
from .idle_time import Break, without_breaks

__all__ = ["MARKS", "SYMBOLS", "outline", "outline_rows", "reason", "shown_state", "tokens"]

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


#: The mark of a node in words.
MARKS = {"replayed": "reused", "cached": "cached"}
_HANDED_UP = re.compile(r"\d+ of \d+ parts failed(?=: )")
_ACTIVE = ("planning", "running", "synthesizing")


def shown_state(node: Node) -> str:
    """The state to display: "waiting" for an active node that waits for a slot, a next attempt or an approval;
    "planning" for a node that is planned again after a rejection."""
    waits = bool(node.phases) and node.phases[-1].kind == "wait"
    if node.state == "waiting" and node.rejected and node.at_work:
        return "planning"
    return "waiting" if waits and node.state in _ACTIVE else str(node.state)


def outline(tree: Tree, *, width: int = 100, limit: int = 400, breaks: Sequence[Break] = ()) -> str:
    """One line a node, at most `limit`, with a count of the rest. `breaks` are subtracted from the nodes' durations."""
    rows = list(outline_rows(tree, width, breaks))
    if len(rows) > limit:
        rows = [*rows[:limit], f"… and {counted(len(rows) - limit, 'more node')}"]
    return "\n".join(rows) if rows else "(no node yet)"


def outline_rows(tree: Tree, width: int = 100, breaks: Sequence[Break] = ()) -> Iterator[str]:
    stack: list[tuple[Node, str, str]] = [(tree.root, "", "")] if tree.root else []
    while stack:
        node, lead, below = stack.pop()
        took = ""
        if node.started is not None and node.ended is not None:
            # Wall-clock time from its first call to its end: waits for sub-tasks and slots count.
            took = duration(without_breaks(node.started, node.ended, breaks))
        awaited = dict.fromkeys(use.name for use in node.tool_calls if use.awaiting_approval)
        awaiting = f"waiting for you: {', '.join(awaited)}" if awaited and not node.state.final else ""
        remark = printable(reason(node) or awaiting or node.remark)[:80]
        facts = "  ".join(filter(None, (took, MARKS.get(node.mark, node.mark), remark)))
        head = f"{lead}{SYMBOLS[shown_state(node)]} "
        room = max(20, width - len(head) - len(facts) - 2)
        yield f"{head}{cut(printable(node.title), room)}  {facts}".rstrip()
        children = tree.children(node.id)
        for index in range(len(children) - 1, -1, -1):
            last = index == len(children) - 1
            stack.append((children[index], below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")))


def reason(node: Node) -> str:
    """Why a node failed, without the errors of its sub-tasks: those are displayed beside the sub-tasks."""
    error = (node.error or "").removeprefix(f"node {node.id}: ")
    handed_up = _HANDED_UP.match(error)
    return handed_up[0] if handed_up else error


def tokens(usage: Usage) -> str:
    """The token count in words, with the share of the prompts that came from the provider's cache."""
    total = counted(usage.total_tokens, "token")
    if not usage.cached_tokens:
        return total
    return f"{total}, {usage.cached_tokens / max(usage.prompt_tokens, usage.cached_tokens):.0%} of the prompts cached"
