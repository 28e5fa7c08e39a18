"""Recorded answers told again in a new run: one node's at the place where it stands now, or a whole tree's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from .core.events import Event
from .core.records import Recorded, created_fact, end_facts, plan_facts, result_facts
from .core.sources import moved, sources_in
from .core.tree import Node, Tree
from .exceptions import ReplayError
from .ports import Part
from .run import Run

__all__ = ["replay", "tell_result"]

ROOT = "0"


def tell_result(run: Run, known: Node, node: Node, parts: tuple[Part, ...]) -> str:
    """A recorded answer as that of `node`, whose results are `parts`; gives the text as it reads there."""
    told = _brought_to(run, known, node, parts)
    _emit_all(run, result_facts(told, node.id))
    return told.result or ""


def _brought_to(run: Run, known: Node, node: Node, parts: tuple[Part, ...]) -> Node:
    """A recorded answer as it reads here: what it refers to may stand at another place now."""
    if not parts:
        return known
    renamed = [*_renamed_parts(_tree_of(run, known), known, parts), (known.id, node.id)]
    text = moved(known.result or "", renamed)
    if text == known.result:
        return known
    sources = sources_in(text or "", run.tree.__contains__)
    return replace(known, result=text, metadata={**known.metadata, "sources": sources})


def _tree_of(run: Run, known: Node) -> Tree | None:
    """The tree that a record is from, if it is still at hand."""
    trees = (run.recorded.tree, run.tree) if run.recorded is not None else (run.tree,)
    return next((tree for tree in trees if known.id in tree and tree[known.id].result_key == known.result_key), None)


def _renamed_parts(tree: Tree | None, known: Node, parts: tuple[Part, ...]) -> Iterator[tuple[str, str]]:
    """Which part was which; those that were put aside came before the ones that took their place."""
    before = tree.children(known.id) if tree is not None else []
    for part in reversed(parts):
        while before:
            child = before.pop()
            if child.task == part.task:
                yield child.id, part.id
                break


async def replay(run: Run) -> str:
    """The recorded tree, told again; no model is called, whatever the engine's models are.

    Raises `ReplayError` if nothing is recorded, if it is not done, or if the request is another one now.
    """
    recorded = _require_same(run)
    for node in recorded.tree:
        _emit_all(run, [created_fact(node), *plan_facts(node, node.id)])
    for node in reversed(list(recorded.tree)):
        _emit_all(run, end_facts(node))
    return recorded.tree[ROOT].result or ""


def _require_same(run: Run) -> Recorded:
    recorded, place = run.recorded, run.checkpoint or "memory"
    if recorded is None:
        raise ReplayError(f"mode=replay, but nothing is recorded in {place}; run once with a model")
    old = recorded.tree
    if old.request_key != run.request_key:
        changed = "the task" if old.task != run.task else "the agents, tools, temperature or context"
        raise ReplayError(
            f"mode=replay, but node {ROOT} is not what was recorded in {place}: {changed} changed; "
            "run once without replay to record it anew"
        )
    if old.status != "done" or old.root is None:
        raise ReplayError(
            f"mode=replay, but the run recorded in {place} is {old.status}, not done; "
            "run once without replay to finish it"
        )
    return recorded


def _emit_all(run: Run, events: Iterable[Event]) -> None:
    for event in events:
        run.emit(event)
