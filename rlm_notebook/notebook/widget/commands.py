"""Commands that a browser sends to a run: looked up by name, validated, and executed on the run's event loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...core.plan import Execute, Recurse
from ...core.rerun_scope import Reruns, after_plan, after_result, after_retry, after_task
from ...core.tree import NodeState
from ...exceptions import ConfigurationError
from ...runtime.forks import edited, plan_given, retried
from ...runtime.run_view import RunView

__all__ = ["commands_for", "execute"]

Arguments = Mapping[str, Any]


def execute(run: RunView, op: Any, node: str | None, arguments: Arguments) -> Any:
    """Executes the command `op` and returns its result, if it has one. Raises `ConfigurationError` if it is refused."""
    command = _COMMANDS.get(op) if isinstance(op, str) else None
    if command is None:
        raise ConfigurationError(f"unknown command {op!r}")
    run.internals.forked()
    return command(run, node, arguments)


def commands_for(run: RunView) -> list[str]:
    """The commands that the widget offers for a run in its present state."""
    if not run.internals.live:
        return []
    if run.internals.finished:
        can_answer = run.status != "done" and any(node.state == "done" for node in run.tree)
        return ["retry", "edit", *(["answer"] if can_answer else [])]
    return _WHILE_RUNNING.get(run.status, ["cancel"])


_WHILE_RUNNING = {
    "running": ["cancel", "pause", "retry", "edit", "approve"],
    "paused": ["cancel", "resume", "retry", "edit", "approve"],
}


def _pause(run: RunView, node: str | None, arguments: Arguments) -> None:
    _require_going(run)
    run.pause()


def _resume(run: RunView, node: str | None, arguments: Arguments) -> None:
    _require_going(run)
    run.resume()


def _cancel(run: RunView, node: str | None, arguments: Arguments) -> None:
    _require_going(run)
    run.cancel(node)


def _approve(run: RunView, node: str | None, arguments: Arguments) -> None:
    run.approve(node or "0", arguments.get("plan"))


def _retry(run: RunView, node: str | None, arguments: Arguments) -> None:
    """An unfinished node is retried by the same request, in the same file. To retry a finished one, the run is forked
    without its record."""
    retried(run.internals.forked(), node)
    if node is None or run.tree[node].state is not NodeState.DONE:
        run.internals.continue_as(run.internals.again)
    else:
        run.internals.continue_as(lambda: run.retry(node))


def _edit(run: RunView, node: str | None, arguments: Arguments) -> None:
    wanted, part, value = node or "0", *_part(arguments)
    _require_possible(run, wanted, part, value)
    run.internals.continue_as(lambda: run.edit(wanted, **{part: value}))


def _answer(run: RunView, node: str | None, arguments: Arguments) -> None:
    if run.status == "done":
        raise ConfigurationError("this run has its answer already")
    run.internals.continue_as(run.synthesize_anyway)


def _preview(run: RunView, node: str | None, arguments: Arguments) -> dict[str, Any]:
    wanted = node or "0"
    if not arguments:
        retried(run.internals.forked(), node)
        return _preview_of(after_retry(run.tree, run.tree[node] if node is not None else None))
    part, value = _part(arguments)
    _require_possible(run, wanted, part, value)
    tree = run.tree
    if part == "plan":
        return _preview_of(after_plan(tree, tree[wanted], value))
    return _preview_of(after_task(tree, tree[wanted]) if part == "task" else after_result(tree, tree[wanted]))


def _preview_of(reruns: Reruns) -> dict[str, Any]:
    usage = reruns.usage
    return {
        "nodes": list(reruns.nodes),
        "calls": usage.calls,
        "tokens": usage.total_tokens,
        "cost_usd": usage.cost_usd,
    }


def _part(arguments: Arguments) -> tuple[str, Any]:
    """The edited part of a node and its new value. Exactly one part may be given."""
    given = {name: value for name, value in arguments.items() if name in _PARTS and value is not None}
    if len(given) != 1:
        raise ConfigurationError(f"give one of {', '.join(_PARTS)}; {' and '.join(given) or 'nothing'} was given")
    ((part, value),) = given.items()
    return part, plan_given(value) if part == "plan" else value


_PARTS = ("task", "plan", "result")


def _require_possible(run: RunView, node: str, part: str, value: str | Execute | Recurse) -> None:
    """Refuses an invalid edit immediately, rather than after the calls in flight have ended."""
    given: dict[str, Any] = {"task": None, "plan": None, "result": None, part: value}
    edited(run.internals.forked(), node, given["task"], given["plan"], given["result"])


def _require_going(run: RunView) -> None:
    if run.internals.finished:
        raise ConfigurationError("the run is over")


_COMMANDS: dict[str, Callable[[RunView, str | None, Arguments], Any]] = {
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "approve": _approve,
    "retry": _retry,
    "edit": _edit,
    "answer": _answer,
    "preview": _preview,
}
