"""The quotes of a node's answer, and the node that each of them comes from."""

from __future__ import annotations

from dataclasses import replace

from ..core.quotes import Quote, quotes_of
from ..core.tree import Node, Tree, living

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
        while quote:
            below = next((child for child in living(tree.children(found)) if has(child, quote)), None)
            if below is None:
                break
            found = below.id
        return found

    return [replace(each, node=origin(each.quote.casefold())) for each in quotes_of(tree[node_id].metadata)]
