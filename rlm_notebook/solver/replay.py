"""Recorded answers told again in a new run: one node's at the place where it stands now, or a whole tree's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..core.citations import moved, sources_in
from ..core.events import Event
from ..core.records import Recorded
from ..core.redaction import hashed, store_of
from ..core.replay_events import created_event, end_events, plan_events, result_events
from ..core.tree import IllegalEvent, Node, NodeState, Tree
from ..exceptions import CheckpointError, ReplayError
from ..ports import Part
from ..runtime.run_context import RunContext

__all__ = ["emit_recorded", "replay", "replay_result", "replay_tree", "unchanged"]

ROOT = "0"


def replay_result(run: RunContext, known: Node, node: Node, parts: tuple[Part, ...]) -> str:
    """A recorded answer as that of `node`, whose results are `parts`; gives the text as it reads there."""
    told = _relocated(run, known, node, parts)
    _emit_all(run, result_events(told, node.id))
    return told.result or ""


def _relocated(run: RunContext, known: Node, node: Node, parts: tuple[Part, ...]) -> Node:
    """A recorded answer as it reads here: what it refers to may stand at another place now."""
    if not parts:
        return known
    renamed = [*_renamed_parts(_tree_of(run, known), known, parts), (known.id, node.id)]
    text = moved(known.result or "", renamed)
    if text == known.result:
        return known
    sources = sources_in(text or "", run.tree.__contains__)
    return replace(known, result=text, metadata={**known.metadata, "sources": sources})


def _tree_of(run: RunContext, known: Node) -> Tree | None:
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


async def replay(run: RunContext) -> str:
    """The recorded tree, told again; no model is called, whatever the engine's models are.

    Raises `ReplayError` if nothing is recorded, if it is not done, or if the request is another one now.
    """
    return replay_tree(run, _require_same(run).tree)


def replay_tree(run: RunContext, tree: Tree) -> str:
    """A whole recorded tree, with the times that were recorded; gives the answer."""
    if ROOT not in run.tree:
        # What was asked may not be in the file; it is the same, or its key were another.
        _emit_all(run, [replace(created_event(tree[ROOT]), task=run.task)])
    for node in tree:
        _emit_all(run, [created_event(node)] if node.id != ROOT else [])
        _emit_all(run, plan_events(node, node.id))
    for node in reversed(list(tree)):
        _emit_all(run, end_events(node))
    return tree[ROOT].result or ""


def unchanged(run: RunContext, root_key: str) -> Tree | None:
    """The recorded tree, if it is done and all that it depends on is as it was; `root_key` is the root's now.

    Then it is the answer as it stands, with the parts that had failed when it was joined: nobody is asked anew.
    """
    recorded = run.recorded
    if recorded is None or run.job.joins_only or store_of(recorded) == "hashes":
        return None
    old = recorded.tree
    if old.root is None or old.status != "done" or old.request_key != run.request_key:
        return None
    same = old.root.plan_key == root_key and _gaps_stand(run, old) and _fits(run, old)
    return old if same else None


def _gaps_stand(run: RunContext, old: Tree) -> bool:
    """What failed was joined over because that was asked for, and still is."""
    asked = run.configuration.on_failure == "synthesize" == old.settings.get("on_failure")
    unfinished = [node.state for node in old if node.state not in (NodeState.DONE, NodeState.SUPERSEDED)]
    return not unfinished or (asked and all(state is NodeState.FAILED for state in unfinished))


def _fits(run: RunContext, old: Tree) -> bool:
    """No limit that made the tree what it is was raised, and none was lowered below it."""
    if old.settings.get("limits") == run.limits.to_json():
        return True
    living = [node for node in old if node.state is not NodeState.SUPERSEDED]
    deepest = max(node.depth for node in living)
    fits = deepest < run.limits.max_depth and len(living) <= run.limits.max_steps
    return fits and not any(node.limited for node in living)


def _require_same(run: RunContext) -> Recorded:
    recorded, place = run.recorded, run.checkpoint or "memory"
    if recorded is None:
        raise ReplayError(f"mode=replay, but nothing is recorded in {place}; run once with a model")
    if store_of(recorded) == "hashes":
        raise ReplayError(
            f'mode=replay, but {place} was recorded with store="hashes": it can be shown, not replayed; '
            'run once without replay and with store="outputs" or "full"'
        )
    old = recorded.tree
    if old.request_key != run.request_key:
        raise ReplayError(
            f"mode=replay, but node {ROOT} is not what was recorded in {place}: {_what_changed(run, old)} changed; "
            "run once without replay to record it anew"
        )
    if old.status != "done" or old.root is None:
        raise ReplayError(
            f"mode=replay, but the run recorded in {place} is {old.status}, not done; "
            "run once without replay to finish it"
        )
    return recorded


def _what_changed(run: RunContext, old: Tree) -> str:
    if old.task not in (run.task, hashed(run.task)):
        return "the task"
    if names := run.changed:
        return f"the variable{'s' if len(names) > 1 else ''} {', '.join(names)}"
    return "the agents, tools, temperature, context or output type"


def _emit_all(run: RunContext, events: Iterable[Event]) -> None:
    for event in events:
        emit_recorded(run, event)


def emit_recorded(run: RunContext, event: Event) -> None:
    """Emit what a record says; raises `CheckpointError` for one that no run can have left."""
    try:
        run.emit(event)
    except IllegalEvent as error:
        raise CheckpointError(
            f"cannot use the checkpoint {run.checkpoint or 'memory'}: {error}. Nothing was changed: "
            'move the file away, or run with mode="fresh"'
        ) from error
