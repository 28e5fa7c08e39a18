"""A tree as a Mermaid flowchart: for documents and pages that draw it (GitHub does, and JupyterLab)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from ..core.text import printable
from ..core.tree import Node, Tree
from .outline import SYMBOLS, shown_state

__all__ = ["mermaid"]

#: So many nodes are drawn; the rest is counted.
MOST_NODES = 200
TITLE_CHARACTERS = 60
_PLAIN = frozenset(" ,.:?!-/'…")
_CLASSES = """\
  classDef done stroke:#2e9e5b
  classDef failed stroke:#d6362f
  classDef cancelled stroke:#8a8f98,stroke-dasharray:3
  classDef superseded stroke:#8a8f98,stroke-dasharray:3"""
_DRAWN_STATES = ("done", "failed", "cancelled", "superseded")


def mermaid(tree: Tree) -> str:
    """A flowchart: a box per node, arrows to its parts, dotted ones from what a node waits for.

    At most `MOST_NODES` are drawn, those near the root first; the rest is counted. No title can leave its box.
    """
    shown = _upper(tree)
    lines = ["flowchart TD", *map(_box, shown.values())]
    if missing := len(tree) - len(shown):
        lines.append(f'  more["… and {missing} more {"node" if missing == 1 else "nodes"}"]')
    for node in shown.values():
        lines.extend(_arrows(node, shown))
    return "\n".join([*lines, _CLASSES]) + "\n"


def _upper(tree: Tree) -> dict[str, Node]:
    """Breadth first, so that what is left out is detail."""
    shown: dict[str, Node] = {}
    waiting = deque([tree.root] if tree.root is not None else [])
    while waiting and len(shown) < MOST_NODES:
        node = waiting.popleft()
        shown[node.id] = node
        waiting.extend(tree.children(node.id))
    return shown


def _box(node: Node) -> str:
    state = shown_state(node)
    style = f":::{state}" if state in _DRAWN_STATES else ""
    return f'  {_name(node.id)}["{SYMBOLS[state]} {_escaped(_shortened(node.title))}"]{style}'


def _arrows(node: Node, shown: dict[str, Node]) -> Iterator[str]:
    if node.parent is not None:
        yield f"  {_name(node.parent)} --> {_name(node.id)}"
    for wanted in node.depends_on:
        if wanted in shown:
            yield f"  {_name(wanted)} -.-> {_name(node.id)}"


def _name(node_id: str) -> str:
    return "n" + node_id.replace(".", "_")


def _shortened(title: str) -> str:
    return title if len(title) <= TITLE_CHARACTERS else title[: TITLE_CHARACTERS - 1] + "…"


def _escaped(text: str) -> str:
    """Whatever could mean something to Mermaid, HTML or Markdown as a numbered entity, which Mermaid writes `#35;`."""
    return "".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in printable(text))
