"""What can be read from a tree, whether its run goes on, has ended, or was loaded from a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from ..core.finish_reason import advice, cut_off
from ..core.limits import Usage
from ..core.node import THOUGHTS
from ..core.tree import Node, NodeState, Tree
from ..exceptions import ExecutionError
from ..output_type import OutputType, TypeMismatch
from ..types import Output, TraceObject

__all__ = ["ReadableRun", "best_of", "output_of", "trace_of", "written"]


class ReadableRun(Protocol):
    """Anything with a tree: a run, or a recorded one."""

    @property
    def tree(self) -> Tree: ...


def written(text: str, path: str | Path | None) -> str:
    """The text, or the path of the file that it was written to. Raises `OSError` where it cannot be."""
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
    """The finished parts nearest to the root, in the plan's order, each under its title; and what has come of answers
    that broke off, or are being written now (`drafts`)."""
    parts = (f"## [{node.id}] {node.title}\n\n{text}" for node, text in _topmost_written(tree, drafts))
    return "\n\n".join(parts)


def _topmost_written(tree: Tree, drafts: Mapping[str, Sequence[str]]) -> Iterator[tuple[Node, str]]:
    stack = [tree.root] if tree.root else []
    while stack:
        node = stack.pop()
        if node.result is not None:
            yield node, node.result
            continue
        text = "".join(drafts.get(node.id, ())) or node.partial
        if text.strip() and node.state is not NodeState.SUPERSEDED:
            yield node, f"{text}\n\n(not whole: it {'breaks off' if node.state.final else 'goes on'} here)"
        stack.extend(reversed(tree.children(node.id)))


class AnsweredRun(ReadableRun, Protocol):
    """What an output says of its run."""

    @property
    def run_id(self) -> str: ...
    @property
    def usage(self) -> Usage: ...
    @property
    def calls(self) -> int: ...
    @property
    def active_seconds(self) -> float: ...
    @property
    def checkpoint(self) -> str | None: ...
    @property
    def changed(self) -> tuple[str, ...]: ...
    @property
    def breadcrumbs(self) -> tuple[str, ...]: ...


def output_of(run: AnsweredRun, content: str, output_type: OutputType | None) -> Output:
    """A run's answer. Raises `ExecutionError` if a recorded one does not fit the output type any more."""
    root, spent = run.tree["0"], run.usage
    metadata: dict[str, Any] = {
        **root.metadata,
        "depth": max(node.depth for node in run.tree),
        "steps": sum(node.state is not NodeState.SUPERSEDED for node in run.tree),
        "task_id": root.id,
        "breadcrumbs": list(run.breadcrumbs),
        "model": root.model,
        "duration": run.active_seconds,
        "usage": spent.tokens_to_json(),
        "cache_hit_rate": spent.cache_hit_rate,
        "cost_usd": spent.cost_usd,
        "calls": run.calls,
        "limited": any(node.limited for node in run.tree),
        "run_id": run.run_id,
        "checkpoint": run.checkpoint,
        "changed": list(run.changed),
        "sub_results": _sub_results(run.tree, root),
        **({THOUGHTS: root.reasoning} if root.reasoning else {}),
        **({"notes": notes} if (notes := list(cut_off_answers(run.tree))) else {}),
    }
    return Output(content, metadata, parsed=_parsed(output_type, content), usage=spent, run=run)


def _sub_results(tree: Tree, root: Node) -> list[dict[str, Any]]:
    """The answers that the root's was joined from, in the plan's order, each as an output reads."""
    return [
        {
            "content": node.result,
            "metadata": {
                "task": node.task,
                "task_id": node.id,
                "depth": node.depth,
                "model": node.model,
                "usage": node.usage.tokens_to_json(),
                "cost_usd": node.usage.cost_usd,
            },
        }
        for node in tree.children(root.id)
        if node.result is not None and node.state is NodeState.DONE
    ]


def cut_off_answers(tree: Tree) -> Iterator[str]:
    """Which answers that this one rests on are not whole, a line each."""
    for node in tree:
        if node.ended_early and node.state is NodeState.DONE:
            yield f"node {node.id} was {cut_off(node.ended_early)}: {advice(node.ended_early)}"


def _parsed(output_type: OutputType | None, content: str) -> Any:
    try:
        return output_type.parse(content) if output_type is not None else None
    except TypeMismatch as problem:
        raise ExecutionError(
            f"node 0: the recorded answer does not fit the output type any more: {problem}; "
            'run with mode="fresh" to have it made again',
            node="0",
        ) from problem
