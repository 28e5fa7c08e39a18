"""Forks: a new run over the records of another one, edited or with nodes to retry; the old run is unchanged.

The fork of a run in progress can be computed, but the run has to end before the fork starts.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core.changes import Change, changes_of
from ..core.edits import with_cell, with_plan, with_result, with_task, without
from ..core.keys import digest
from ..core.plan import Plan, Recurse, plan_from_json
from ..core.tree import Node, NodeState, Recorded, RunState, Tree, TreeHeader, unfinished
from ..exceptions import ConfigurationError
from .run_view import Forked

__all__ = ["Fork", "edited", "plan_given", "retried"]


@dataclass(frozen=True, slots=True)
class Fork:
    """What a new run starts with: a task, changed records, and the run and node that it is forked from.

    `edit` identifies the edit, so that the same edit of the same run resumes its file.
    """

    task: str
    recorded: Recorded
    parent: dict[str, Any]
    edit: str = ""

    def seed(self, request_key: str, at: float) -> Recorded:
        """The records as those of a new run that was cancelled before its first step and has no usage."""
        before = self.recorded.tree
        # The cell's text is no title for another task.
        settings = {
            name: value for name, value in before.settings.items() if self.task == before.task or name != "title"
        }
        header = TreeHeader(
            run_id=secrets.token_hex(8),
            execution=secrets.token_hex(8),
            task=self.task,
            request_key=request_key,
            settings={**settings, "edit": self.edit},
            parent=self.parent,
        )
        tree = Tree.of(before, header, RunState("cancelled", started=at, ended=at))
        return Recorded(tree, self.recorded.earlier)

    def version(self, change: Change) -> Recorded:
        """The records as the next version of the same run, which was cancelled before its first step."""
        before = self.recorded.tree
        # The cell's text is no title for another task.
        settings = {
            name: value for name, value in before.settings.items() if self.task == before.task or name != "title"
        }
        header = replace(
            before.header,
            execution=secrets.token_hex(8),
            task=self.task,
            settings={**settings, "changes": [*changes_of(before), change]},
        )
        tree = Tree.of(before, header, replace(before.state, status="cancelled", error=""))
        return replace(self.recorded, tree=tree)


def edited(
    run: Forked,
    node_id: str,
    task: str | None,
    plan: Plan | None,
    result: str | None,
    code: Mapping[int, str] | None = None,
) -> Fork:
    """A fork in which one node has another task, plan or result, or a cell of it other code.

    Raises `ConfigurationError`.
    """
    given: dict[str, Any] = {"task": task, "plan": plan, "result": result, "code": code}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        names = " and ".join(named) or "nothing"
        raise ConfigurationError(f"edit of node {node_id}: give one of task, plan, result and code; {names} was given")
    for name in ("task", "result"):
        value = given[name]
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise ConfigurationError(f"edit of node {node_id}: {name}={value!r} is no text or empty; give a text")
    node, recorded = _node(run, node_id), run.snapshot()
    parts: list[Any] = [node_id, task, plan.to_json() if plan is not None else None, result]
    edit = digest(parts if code is None else [*parts, [[place, text] for place, text in code.items()]])
    fork = Fork(run.task, recorded, {"run_id": run.run_id, "node": node_id}, edit)
    if task is not None and node.parent is None:
        return replace(fork, task=task)
    if task is not None:
        if run.tree[node.parent or ""].plan is None:
            raise ConfigurationError(
                f"node {node.id} belongs to a plan that was never complete; retry node {node.parent} first"
            )
        return replace(fork, recorded=with_task(recorded, node, task))
    if code is not None:
        return replace(fork, recorded=with_cell(recorded, node, *_cell_given(node, code)))
    key = _key(run, node)
    if plan is None:
        return replace(fork, recorded=with_result(recorded, node, key, result or ""))
    if isinstance(plan, Recurse) and node.depth + 1 >= run.limits.max_depth:
        raise ConfigurationError(
            f"node {node.id} cannot split at depth {node.depth} with max_depth={run.limits.max_depth}; raise max_depth"
        )
    return replace(fork, recorded=with_plan(recorded, node, key, plan))


def retried(run: Forked, node_id: str | None) -> Fork:
    """A fork that retries all failed or cancelled nodes, or one node in any state. Raises `ConfigurationError`."""
    if node_id is None:
        if not unfinished(run.tree):
            raise ConfigurationError("nothing failed in this run; give the id of the node to retry")
        return Fork(run.task, run.snapshot(), {"run_id": run.run_id, "node": "0"}, digest("retry"))
    node, recorded = _node(run, node_id), run.snapshot()
    if node.state is NodeState.DONE:
        recorded = without(recorded, node)
    return Fork(run.task, recorded, {"run_id": run.run_id, "node": node_id}, digest(["retry", node_id]))


def plan_given(plan: Any) -> Plan | None:
    """A plan as a user gives it: a `Plan`, a dict as planners write it, or `None`. Raises `ConfigurationError`."""
    if plan is None or isinstance(plan, Plan):
        return plan
    if not isinstance(plan, Mapping):
        raise ConfigurationError(
            f"that is not a plan: {plan!r:.60}; give a Plan, or a dict such as "
            '{"decision": "RECURSE", "sub_tasks": ["one", "two"]}'
        )
    try:
        return plan_from_json(dict(plan))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"that is not a plan: {error}") from None


def _cell_given(node: Node, code: Any) -> tuple[int, str]:
    """The place of a cell, from 0, and its new code. Raises `ConfigurationError`."""
    given = list(code.items()) if isinstance(code, Mapping) else []
    if len(given) != 1 or not isinstance(given[0][0], int) or not isinstance(given[0][1], str):
        raise ConfigurationError(
            f"edit of node {node.id}: code={code!r:.60}; give the place of one cell, from 0, and its code: "
            '{1: "print(1)"}'
        )
    ((place, text),) = given
    if not 0 <= place < len(node.cells) or not text.strip():
        raise ConfigurationError(
            f"edit of node {node.id}: cell {place} is not among its {len(node.cells)} cells, or its code is empty"
        )
    return place, text


def _node(run: Forked, node_id: str) -> Node:
    if node_id not in run.tree:
        raise ConfigurationError(
            f"there is no node {node_id!r} in this run; its ids are those of run.tree, such as '0'"
        )
    node = run.tree[node_id]
    if node.state is NodeState.SUPERSEDED:
        raise ConfigurationError(f"node {node_id} was superseded with its plan; choose a node that was not")
    return node


def _key(run: Forked, node: Node) -> str:
    """The node's plan key, also if it has no plan. Raises `ConfigurationError` where it depends on unfinished nodes."""
    missing = [
        wanted for wanted in node.depends_on if wanted not in run.tree or run.tree[wanted].state is not NodeState.DONE
    ]
    if missing and not node.plan_key:
        raise ConfigurationError(
            f"node {node.id} depends on {', '.join(missing)}, which is not done; edit or retry that first"
        )
    return node.plan_key or run.key_of(node.id)
