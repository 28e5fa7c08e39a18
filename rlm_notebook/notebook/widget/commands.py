"""Commands that a browser sends to a run: looked up by name, validated, and executed on the run's event loop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ...core.rerun_scope import after_cell, after_plan, after_result, after_retry, after_task
from ...core.tree import NodeState
from ...exceptions import ConfigurationError, ReplayError
from ...runtime.forks import edited, plan_given, retried
from ...runtime.run_view import RunView, version_of

__all__ = ["execute"]

Arguments = Mapping[str, Any]


_OPERATIONS = (
    *("pause", "resume", "cancel", "approve", "reject", "estimate"),
    *("retry", "edit", "undo", "redo", "answer", "preview"),
)


def execute(run: RunView, op: Any, node: str | None, arguments: Arguments) -> Any:
    """Executes the command `op` and returns its result, if it has one. Raises `ConfigurationError` if it is refused."""
    if op not in _OPERATIONS:
        raise ConfigurationError(f"unknown command {op!r}")
    internals = run.internals
    internals.forked()
    if op in ("pause", "resume", "cancel") and internals.finished:
        raise ConfigurationError("the run is over")
    if op in ("retry", "edit", "answer") and internals.versioned and os.environ.get("RLM_MODE") == "replay":
        # Before the run is ended for it.
        raise ReplayError("RLM_MODE=replay: no model may be called, so nothing can be computed anew; unset it first")
    match op:
        case "pause":
            run.pause()
        case "resume":
            run.resume()
        case "cancel":
            run.cancel(node)
        case "approve":
            rest = arguments.get("rest") is True
            run.approve(node or "0", arguments.get("plan"), request=_request(run, node, arguments), rest=rest)
        case "reject":
            run.reject(node or "0", str(arguments.get("reason") or ""), request=_request(run, node, arguments))
        case "estimate":
            estimate = internals.estimate(_request(run, node, arguments), plan_given(arguments.get("plan")))
            amounts = {"least": estimate.least.to_json(), "most": estimate.most.to_json()}
            return {**amounts, "unknown": True} if estimate.by_code else amounts
        case "retry":
            retried(internals.forked(), node)
            unfinished_node = node is None or run.tree[node].state is not NodeState.DONE
            if internals.versioned and (run.status == "done" or not unfinished_node):
                # An answer is replaced: the run that gave it stays as a version.
                internals.continue_as(lambda: internals.retry_version(node))
            elif unfinished_node:
                # The same request, in the same file, runs what is unfinished.
                internals.continue_as(internals.again)
            else:
                # A finished node is reused unless the run is forked without its record.
                internals.continue_as(lambda: run.retry(node))
        case "edit":
            part, value = _edited_part(run, node or "0", arguments)
            if internals.versioned:
                internals.continue_as(lambda: internals.edit_version(node or "0", part, value))
            else:
                internals.continue_as(lambda: run.edit(node or "0", **{part: value}))
        case "undo":
            if not internals.version_before or not internals.finished:
                raise ConfigurationError("there is nothing to undo in this run")
            if arguments.get("version", version_of(run)) != version_of(run):
                raise ConfigurationError("this was undone already; the tree shows the version before it")
            before = internals.version_before
            internals.continue_as(lambda: internals.restored(before))
        case "redo":
            if not internals.finished or not (undone := internals.version_undone):
                raise ConfigurationError("there is nothing to redo in this run")
            if arguments.get("version", version_of(run)) != version_of(run):
                raise ConfigurationError("the tree shows another version now; look at it, and press Redo again")
            internals.continue_as(lambda: internals.restored(undone))
        case "answer":
            if run.status == "done":
                raise ConfigurationError("this run has its answer already")
            internals.continue_as(run.synthesize_anyway)
        case "preview":
            return _preview(run, node, arguments)
    return None


def _request(run: RunView, node: str | None, arguments: Arguments) -> str:
    """The request that the user saw. Without it, a second click would decide the request that follows."""
    request = arguments.get("request")
    if not isinstance(request, str) or not request:
        if (node or "0") not in run.awaiting:
            raise ConfigurationError(f"node {node or '0'} waits for no approval")
        raise ConfigurationError("a decision names the request that was shown; reload the page")
    return request


def _preview(run: RunView, node: str | None, arguments: Arguments) -> dict[str, Any]:
    """The nodes that an edit, or without arguments a retry, would run again, and their recorded usage."""
    tree = run.tree
    if not arguments:
        retried(run.internals.forked(), node)
        scope = after_retry(tree, tree[node] if node is not None else None)
    else:
        part, value = _edited_part(run, node or "0", arguments)
        edited_node = tree[node or "0"]
        if part == "plan":
            scope = after_plan(tree, edited_node, value)
        elif part == "code":
            scope = after_cell(tree, edited_node)
        else:
            scope = after_task(tree, edited_node) if part == "task" else after_result(tree, edited_node)
    return {
        "nodes": list(scope.nodes),
        "calls": scope.usage.calls,
        "tokens": scope.usage.total_tokens,
        "cost_usd": scope.usage.cost_usd,
    }


def _edited_part(run: RunView, node: str, arguments: Arguments) -> tuple[str, Any]:
    """The edited part of a node and its new value; exactly one may be given.

    An invalid edit is refused here, rather than after the calls in flight have ended.
    """
    given = {name: value for name, value in arguments.items() if name in _PARTS and value is not None}
    if len(given) != 1:
        raise ConfigurationError(f"give one of {', '.join(_PARTS)}; {' and '.join(given) or 'nothing'} was given")
    ((part, value),) = given.items()
    value = plan_given(value) if part == "plan" else value
    if part == "code" and isinstance(value, dict):
        # Keys of JSON are texts.
        value = {int(place) if str(place).isdigit() else place: text for place, text in value.items()}
    values: dict[str, Any] = {name: value if name == part else None for name in _PARTS}
    edited(run.internals.forked(), node, **values)
    return part, value


_PARTS = ("task", "plan", "result", "code")
