"""What remains of a run in a saved notebook: a static tree, as HTML, Markdown and text.

It is shown where no kernel and no script is (GitHub, nbviewer, a colleague's untrusted copy), so it is self-contained,
escaped, and readable with every style stripped. It is deterministic: the same recorded run gives the same bytes.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from ..core.outline import SYMBOLS, duration, outline, printable
from ..core.tree import Node, NodeState, Tree
from ..run import Run

__all__ = ["bundle_of", "summary_of"]

#: So many rows are written; the rest is counted.
MOST_ROWS = 400
_TITLE_CHARACTERS = 140

_COLORS = {"done": "#2e9e5b", "failed": "#d6362f", "cancelled": "#8a8f98", "superseded": "#8a8f98"}
_HIDE_DEAD_WIDGET = (
    "<style>.jp-OutputArea:has(.rlm-static) .jupyter-widgets:not(:has(*)){display:none}"
    ".rlm-static details{margin-left:1.1em}.rlm-static summary{cursor:default}"
    ".rlm-static .rlm-leaf{margin-left:2.2em}</style>"
)


def bundle_of(run: Run) -> dict[str, str]:
    """The MIME bundle of a run's static tree."""
    return {"text/html": _html(run), "text/markdown": _markdown(run), "text/plain": _text(run)}


def summary_of(run: Run) -> str:
    """One line: how it went, what it took, where it is kept."""
    tree = run.tree
    finished = sum(node.state is NodeState.DONE for node in tree)
    usage = tree.usage
    facts = [
        f"{'rlm'} {tree.status}: {finished} of {len(tree)} nodes",
        f"{usage.calls} calls",
        f"{usage.total_tokens} tokens",
        duration(_span(tree)),
    ]
    if usage.cost_usd:
        facts.append(f"${usage.cost_usd:.4f}")
    if run.settings.get("model"):
        facts.append(f"model {printable(str(run.settings['model']))}")
    if run.journal.path is not None:
        facts.append(f"saved in {_short(run.journal.path)}")
    return " · ".join(facts)


def _span(tree: Tree) -> float:
    """The recorded time that the nodes were worked on: the longest stretch without the gap between executions."""
    stretches = sorted((p.started, p.ended) for node in tree for p in node.phases if p.ended is not None)
    total, reached = 0.0, float("-inf")
    for started, ended in stretches:
        total += max(0.0, ended - max(started, reached))
        reached = max(reached, ended)
    return total


def _short(path: Path) -> str:
    """Folder and name: what is the same on every machine that has the notebook."""
    return f"{path.parent.name}/{path.name}"


def _text(run: Run) -> str:
    return f"{summary_of(run)}\n{outline(run.tree, limit=MOST_ROWS)}"


def _markdown(run: Run) -> str:
    return f"```text\n{_text(run).replace('```', '` ` `')}\n```"


def _html(run: Run) -> str:
    head = f"<summary><b>{escape(summary_of(run))}</b></summary>"
    rows: list[str] = []
    left = _rows(run.tree, rows)
    more = f"<div>… and {left} more nodes</div>" if left else ""
    return (
        f'<div class="rlm-static" data-rlm-run="{escape(run.run_id)}">{_HIDE_DEAD_WIDGET}'
        f"<details>{head}{''.join(rows)}{more}</details></div>"
    )


def _rows(tree: Tree, rows: list[str]) -> int:
    """Append the nodes as nested HTML, at most `MOST_ROWS`; returns how many were left out."""
    pending: list[Node | str] = [tree.root] if tree.root else []
    written = 0
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            rows.append(item)
        elif written < MOST_ROWS:
            written += 1
            children = tree.children(item.id)
            rows.append(_opening(item, bool(children)))
            pending.append("</details>" if children else "</div>")
            pending.extend(reversed(children))
    return len(tree) - written


def _opening(node: Node, has_children: bool) -> str:
    line = _line(node)
    return f"<details open><summary>{line}</summary>" if has_children else f'<div class="rlm-leaf">{line}'


def _line(node: Node) -> str:
    state = str(node.state)
    color = _COLORS.get(state, "#2f7de1")
    title = printable(node.title)[:_TITLE_CHARACTERS]
    facts = " · ".join(_facts(node))
    mark = f'<span style="color:{color}" title="{state}">{SYMBOLS[state]}</span>'
    return f"{mark} {escape(title)} <small>{escape(facts)}</small>"


def _facts(node: Node) -> list[str]:
    facts: list[Any] = [node.state.value if node.state is not NodeState.DONE else ""]
    if node.started is not None and node.ended is not None:
        facts.append(duration(node.ended - node.started))
    if node.limited:
        facts.append(f"limited: {node.limited}")
    facts.append(printable(node.error or node.note)[:160])
    return [fact for fact in facts if fact]
