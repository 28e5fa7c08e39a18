"""The quotes of a node's answer, and the node that each of them comes from."""

from __future__ import annotations

from dataclasses import replace

from ..core.quotes import Quote, quotes_of
from ..core.tree import Node, NodeState, Tree

__all__ = ["traced_quotes"]


def traced_quotes(tree: Tree, node_id: str) -> list[Quote]:
    """The quotes of a node's answer, with the node that quoted each first: a worker, where a synthesis passed it on."""
    words: dict[str, set[str]] = {}

    def has(node: Node, quote: str) -> bool:
        if node.id not in words:
            words[node.id] = {each.quote.casefold() for each in quotes_of(node.metadata)}
        return quote in words[node.id]

    def origin(quote: str) -> str:
        found = node_id
        while quote and (below := next((each for each in _living(tree, found) if has(each, quote)), None)) is not None:
            found = below.id
        return found

    return [replace(each, node=origin(each.quote.casefold())) for each in quotes_of(tree[node_id].metadata)]


def _living(tree: Tree, node_id: str) -> list[Node]:
    return [child for child in tree.children(node_id) if child.state is not NodeState.SUPERSEDED]
