"""A tree as a Mermaid flowchart, which GitHub and JupyterLab draw."""

from __future__ import annotations

from collections import deque

from ..core.text import counted, cut, printable
from ..core.tree import Node, Tree
from .outline import SYMBOLS, shown_state

__all__ = ["mermaid"]

#: The most nodes that are drawn; the rest is counted.
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
    """A flowchart with a box per node, arrows to its children, and dotted arrows from the nodes it depends on.

    At most `MOST_NODES` are drawn, those near the root first; the rest is counted. Titles are escaped.
    """
    shown: dict[str, Node] = {}
    waiting = deque([tree.root] if tree.root is not None else [])
    # Breadth first, so that details are left out before the upper levels are.
    while waiting and len(shown) < MOST_NODES:
        node = waiting.popleft()
        shown[node.id] = node
        waiting.extend(tree.children(node.id))
    lines = ["flowchart TD"]
    for node in shown.values():
        state = shown_state(node)
        style = f":::{state}" if state in _DRAWN_STATES else ""
        title = printable(cut(node.title, TITLE_CHARACTERS))
        # What Mermaid, HTML or Markdown could read as markup becomes a numeric entity, which Mermaid writes `#35;`.
        escaped = "".join(char if char.isalnum() or char in _PLAIN else f"#{ord(char)};" for char in title)
        lines.append(f'  {_name(node.id)}["{SYMBOLS[state]} {escaped}"]{style}')
    if missing := len(tree) - len(shown):
        lines.append(f'  more["… and {counted(missing, "more node")}"]')
    for node in shown.values():
        if node.parent is not None:
            lines.append(f"  {_name(node.parent)} --> {_name(node.id)}")
        lines += [f"  {_name(each)} -.-> {_name(node.id)}" for each in node.depends_on if each in shown]
    return "\n".join([*lines, _CLASSES]) + "\n"


def _name(node_id: str) -> str:
    return "n" + node_id.replace(".", "_")
