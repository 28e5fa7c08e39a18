"""What can be read from a tree, whether its run goes on, has ended, or was loaded from a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from .core.tree import Node, Tree
from .types import TraceObject

__all__ = ["ReadableRun", "best_of", "trace_of"]


class ReadableRun(Protocol):
    """Anything with a tree: a run, or a recorded one."""

    @property
    def tree(self) -> Tree: ...


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


def best_of(tree: Tree) -> str:
    """The finished parts nearest to the root, in the plan's order, each under its title."""
    return "\n\n".join(f"## [{node.id}] {node.title}\n\n{node.result}" for node in _topmost_finished(tree))


def _topmost_finished(tree: Tree) -> Iterator[Node]:
    stack = [tree.root] if tree.root else []
    while stack:
        node = stack.pop()
        if node.result is not None:
            yield node
        else:
            stack.extend(reversed(tree.children(node.id)))
