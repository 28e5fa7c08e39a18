"""The answer of a tree: its finished results, its incomplete ones, and all nodes as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from ..core.finish_reason import advice, cut_off
from ..core.tree import NodeState, Tree
from ..types import TraceObject

__all__ = ["best_of", "cut_off_answers", "trace_of", "written"]


def written(text: str, path: str | Path | None) -> str:
    """The text, or the path of the file that it was written to. Raises `OSError` if it cannot be written."""
    if path is None:
        return text
    Path(path).write_text(text, encoding="utf-8")
    return str(path)


def trace_of(tree: Tree) -> list[TraceObject]:
    """All nodes as plain dictionaries, depth first."""
    return [
        TraceObject(
            id=node.id,
            parent=node.parent,
            depth=node.depth,
            task=node.task,
            state=str(node.state),
            decision=node.decision,
            result=node.result,
            error=node.error,
        )
        for node in tree.walk()
    ]


def best_of(tree: Tree, drafts: Mapping[str, Sequence[str]] = MappingProxyType({})) -> str:
    """The finished results nearest to the root, in the plan's order, each under its title; and the incomplete answers
    that broke off or are still streaming (`drafts`: the pieces so far, by node id)."""
    sections = []
    stack = [tree.root] if tree.root else []
    while stack:
        node = stack.pop()
        heading = f"## [{node.id}] {node.title}\n\n"
        if node.result is not None:
            sections.append(heading + node.result)
            continue
        text = "".join(drafts.get(node.id, ())) or node.partial
        if text.strip() and node.state is not NodeState.SUPERSEDED:
            ends = "breaks off" if node.state.final else "goes on"
            sections.append(f"{heading}{text}\n\n(not whole: it {ends} here)")
        stack.extend(reversed(tree.children(node.id)))
    return "\n\n".join(sections)


def cut_off_answers(tree: Tree) -> Iterator[str]:
    """A line for each incomplete answer that this one is based on."""
    for node in tree:
        if node.ended_early and node.state is NodeState.DONE:
            yield f"node {node.id} was {cut_off(node.ended_early)}: {advice(node.ended_early)}"
