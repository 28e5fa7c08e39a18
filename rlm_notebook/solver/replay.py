"""Recorded results as events of a new run: one node's, at its present place, or those of a whole tree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..core.changes import changes_of
from ..core.citations import moved, placeless, sources_in
from ..core.events import Event
from ..core.keys import result_key
from ..core.plan import Recurse, plan_from_json
from ..core.redaction import hashed, store_of
from ..core.replay_events import created_event, end_events, plan_events, result_events
from ..core.tree import IllegalEvent, Node, NodeState, Recorded, Tree
from ..exceptions import CheckpointError, ExecutionError, ReplayError
from ..ports.model import Part
from .run import SolverRun

__all__ = [
    "emit_recorded",
    "program_parts",
    "replay",
    "replay_as_recorded",
    "replay_below",
    "replay_program",
    "replay_result",
    "replay_tree",
    "unchanged",
]

ROOT = "0"


def replay_result(run: SolverRun, known: Node, node: Node, parts: tuple[Part, ...]) -> str:
    """Emit a recorded result as that of `node`, whose sub-tasks gave `parts`; returns its text.

    References in the text to nodes (citations) are adjusted to where those nodes are in this tree.
    """
    if parts:
        # The tree that the record is from, if it is available.
        trees = (run.recorded.tree, run.tree) if run.recorded is not None else (run.tree,)
        here = (tree for tree in trees if known.id in tree and tree[known.id].result_key == known.result_key)
        renamed = [*_renamed_parts(next(here, None), known, parts), (known.id, node.id)]
        text = moved(known.result or "", renamed)
        if text != known.result:
            sources = sources_in(text or "", run.tree.__contains__)
            known = replace(known, result=text, metadata={**known.metadata, "sources": sources})
    _emit_all(run, result_events(known, node.id))
    return known.result or ""


def _renamed_parts(tree: Tree | None, known: Node, parts: tuple[Part, ...]) -> Iterator[tuple[str, str]]:
    """Old and new ids of the parts. From the end: superseded children precede those that replaced them."""
    before = tree.children(known.id) if tree is not None else []
    for part in reversed(parts):
        while before:
            child = before.pop()
            if child.task == part.task:
                yield child.id, part.id
                break


async def replay(run: SolverRun) -> str:
    """Replay the recorded tree, without any model call; returns the answer.

    Raises `ReplayError` if nothing is recorded, if the run is not done, or if the request has changed.
    """
    return replay_tree(run, _require_same(run).tree)


async def replay_as_recorded(run: SolverRun) -> str:
    """Replay the recorded tree in whatever state it ended; returns the answer, or ends as the recorded run did."""
    assert run.recorded is not None, "a version was restored"
    tree = run.recorded.tree
    answer = replay_tree(run, tree) if tree.root is not None else ""
    if tree.status == "done":
        return answer
    if tree.status == "failed":
        kind, _, text = tree.error.partition(": ")
        raise ExecutionError(text if kind == ExecutionError.__name__ else tree.error, node=ROOT)
    run.control.stops_as = "paused" if tree.status == "paused" else "cancelled"
    raise asyncio.CancelledError


def replay_tree(run: SolverRun, tree: Tree) -> str:
    """Emit a whole recorded tree with its recorded times; returns the answer."""
    if ROOT not in run.tree:
        # A redacted file lacks the task. It is equal to the present one, because the request key is.
        _emit_all(run, [replace(created_event(tree[ROOT]), task=run.task)])
    for node in tree:
        _emit_all(run, [created_event(node)] if node.id != ROOT else [])
        _emit_all(run, plan_events(node, node.id))
    for node in reversed(list(tree)):
        _emit_all(run, end_events(node))
    return tree[ROOT].result or ""


def program_parts(tree: Tree, node_id: str) -> list[tuple[str, str]]:
    """The sub-queries of a code node, as its result key holds them: task and result, "" for one without a result."""
    return [
        (child.task, placeless(child.result or "", child.id))
        for child in tree.children(node_id)
        if child.state is not NodeState.SUPERSEDED
    ]


def replay_program(run: SolverRun, known: Node, node: Node) -> str | None:
    """Emit a recorded code node with everything below it as it is, without running its cells; returns the answer.

    `None` if it has no answer, or if anything that the answer depends on has changed: then its cells have to run.
    """
    recorded = run.recorded
    if recorded is None or known.id != node.id or known.id not in recorded.tree or recorded.tree[known.id] is not known:
        return None
    if run.recorded_state.result(known.result_key, known.id) is not known:
        return None
    below = [each for each in recorded.tree.walk(known.id) if each.state is not NodeState.SUPERSEDED]
    if not all(_as_answered(run, recorded.tree, each) for each in below):
        return None
    if not run.steps.reserve(len(below) - 1):
        return None
    replay_below(run, recorded.tree, node.id)
    _emit_all(run, result_events(known, node.id))
    return known.result


def replay_below(run: SolverRun, tree: Tree, node_id: str) -> None:
    """Emit the recorded nodes below a node as they ended; those that had not ended are cancelled."""
    below = [each for each in tree.walk(node_id) if each.state is not NodeState.SUPERSEDED][1:]
    for each in below:
        _emit_all(run, [created_event(each)])
        _emit_all(run, plan_events(each, each.id))
    for each in reversed(below):
        _emit_all(run, end_events(each))


def _as_answered(run: SolverRun, tree: Tree, node: Node) -> bool:
    """Whether a recorded node and its children are as they were when it was answered: none was edited since."""
    if node.state is NodeState.FAILED:
        # Its program has dealt with the failure; only in another run is the sub-query tried again.
        parent = tree[node.parent] if node.parent is not None else None
        return parent is not None and parent.decision == "PROGRAM" and not run.job.edit
    if node.state is not NodeState.DONE or not all(run.job.memory.is_same(*each) for each in node.reads.items()):
        return False
    parts = program_parts(tree, node.id)
    if node.decision == "RECURSE":
        planned = plan_from_json(node.plan)
        if not isinstance(planned, Recurse) or [task for task, _ in parts] != [each.task for each in planned.sub_tasks]:
            return False
    return node.result_key == result_key(node.plan_key, node.decision or "", parts)


def unchanged(run: SolverRun, root_key: str) -> Tree | None:
    """The recorded tree, if it is done and nothing that it depends on has changed; `root_key` is the present one.

    It then is the answer as a whole, including parts that had failed when it was synthesised: they are not retried.
    """
    recorded = run.recorded
    if recorded is None or run.job.joins_only or store_of(recorded) == "hashes":
        return None
    old = recorded.tree
    if old.root is None or old.status != "done" or old.request_key != run.request_key:
        return None
    if old.root.plan_key != root_key or not _within_limits(run, old):
        return None
    gaps_wanted = run.configuration.options.on_failure == "synthesize" == old.settings.get("on_failure")
    unfinished = [
        node.state
        for node in old
        if node.state not in (NodeState.DONE, NodeState.SUPERSEDED) and not _handled_by_code(old, node)
    ]
    gaps_stand = not unfinished or (gaps_wanted and all(state is NodeState.FAILED for state in unfinished))
    # Or a person asked for an answer without the missing parts, and no larger budget was given since.
    changes = changes_of(old)
    last = changes[-1] if run.job.versioned and changes else {}
    asked_for = last.get("op") == "answer" and last.get("budget") in (None, run.configuration.budget.to_json())
    return old if gaps_stand or asked_for else None


def _handled_by_code(tree: Tree, node: Node) -> bool:
    """Whether a node failed as the sub-query of a code node, whose program has dealt with the failure."""
    above = [node, *reversed(tree.ancestors(node.id))] if node.state is NodeState.FAILED else []
    return any(each.query and tree[each.parent or ""].state is NodeState.DONE for each in above)


def _within_limits(run: SolverRun, old: Tree) -> bool:
    """Whether the present limits would give the same tree: none that shaped it was raised, none is below it."""
    if old.settings.get("limits") == run.limits.to_json():
        return True
    living = [node for node in old if node.state is not NodeState.SUPERSEDED]
    deepest = max(node.depth for node in living)
    fits = deepest < run.limits.max_depth and len(living) <= run.limits.max_steps
    return fits and not any(node.limited for node in living)


def _require_same(run: SolverRun) -> Recorded:
    recorded, place = run.recorded, run.checkpoint or "memory"
    if recorded is None:
        where = f"in {place}" if run.checkpoint else "for this task"
        raise ReplayError(f"mode=replay, but nothing is recorded {where}; run once with a model")
    if store_of(recorded) == "hashes":
        raise ReplayError(
            f'mode=replay, but {place} was recorded with store="hashes": it can be shown, not replayed; '
            'run once without replay and with store="outputs" or "full"'
        )
    old = recorded.tree
    if old.request_key != run.request_key:
        what = "the agents, tools, temperature, context or output type"
        if old.task not in (run.task, hashed(run.task)):
            what = "the task"
        elif names := run.changed:
            what = f"the variable{'s' if len(names) > 1 else ''} {', '.join(names)}"
        raise ReplayError(
            f"mode=replay, but node {ROOT} is not what was recorded in {place}: {what} changed; "
            "run once without replay to record it anew"
        )
    if old.status != "done" or old.root is None:
        raise ReplayError(
            f"mode=replay, but the run recorded in {place} is {old.status}, not done; "
            "run once without replay to finish it"
        )
    return recorded


def _emit_all(run: SolverRun, events: Iterable[Event]) -> None:
    for event in events:
        emit_recorded(run, event)


def emit_recorded(run: SolverRun, event: Event) -> None:
    """Emit an event of a record. Raises `CheckpointError` for one that no run can have recorded."""
    try:
        run.emit(event)
    except IllegalEvent as error:
        raise CheckpointError(
            f"cannot use the checkpoint {run.checkpoint or 'memory'}: {error}. Nothing was changed: "
            'move the file away, or run with mode="fresh"'
        ) from error
