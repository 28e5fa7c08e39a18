"""Errors of nodes as texts: where the failure began, what was wrong, what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..core.error_text import causes_text, error_text
from ..core.finish_reason import advice, cut_off, ended_early
from ..core.limits import Limits
from ..core.node import ENDED, THOUGHTS
from ..core.tree import Node
from ..exceptions import ExecutionError, LimitError, MaxStepsError, ModelError, PlanError, RecursionDepthError
from ..output_type import TypeMismatch
from ..ports.model import Reply

__all__ = [
    "TYPE_ATTEMPTS",
    "beginning_of",
    "failed_parts",
    "limit_error",
    "not_empty",
    "reply_metadata",
    "unfit",
    "what_to_do",
    "what_was_wrong",
    "without_node",
]

#: Attempts at an answer that fits the output type.
TYPE_ATTEMPTS = 3
#: How many characters of one reply's reasoning are recorded: the beginning and the end.
MOST_THOUGHTS = 100_000


def failed_parts(node: str, failed: list[Exception], total: int) -> ExecutionError:
    """The error of a node with failed sub-tasks.

    It names where the failures began, not each level that passed them on; `.causes` holds all of them.
    """
    causes = causes_text((getattr(each, "node", None) or "?", without_node(each)) for each in _origins(failed))
    message = f"node {node}: {len(failed)} of {total} parts failed: {causes}"
    return ExecutionError(message, node=node, causes=failed)


def without_node(error: BaseException) -> str:
    """The text of an error without the prefix that names its node."""
    return error_text(error).removeprefix(f"node {getattr(error, 'node', None)}: ")


def _origins(errors: Iterable[BaseException]) -> Iterator[BaseException]:
    stack = list(errors)[::-1]
    while stack:
        error = stack.pop()
        if type(error) is ExecutionError and error.causes:
            stack.extend(reversed(error.causes))
        else:
            yield error


def not_empty(node: Node, reply: Reply) -> Reply:
    """The reply. Raises `ModelError` if it is empty."""
    if not reply.content.strip():
        raise ModelError(
            f"node {node.id}: {reply.model} gave an empty answer (asked once); run again, or choose another model",
            node=node.id,
        )
    return reply


def reply_metadata(reply: Reply) -> dict[str, Any]:
    """What is recorded of a reply beside its text: how it ended, if early, and its reasoning."""
    reason = ended_early(reply.finish_reason, reply.metadata)
    thoughts = reply.reasoning.strip()
    if len(thoughts) > MOST_THOUGHTS:
        half = MOST_THOUGHTS // 2
        thoughts = f"{thoughts[:half]}\n[…]\n{thoughts[-half:]}"
    return {**({ENDED: reason} if reason else {}), **({THOUGHTS: thoughts} if thoughts else {})}


def what_was_wrong(reply: Reply, problem: ValueError) -> str:
    """Why a reply cannot be used, as a text for its model; first of all, that it was cut off."""
    reason = ended_early(reply.finish_reason, reply.metadata)
    return f"your output was {cut_off(reason)}, so be brief: {problem}" if reason else str(problem)


def beginning_of(reply: Reply) -> str:
    """How a reply begins, for an error that shows what could not be used."""
    return repr(" ".join(reply.content[:2_000].split())[:200] or "(nothing)")


def what_to_do(reply: Reply) -> str:
    """What a user can do about unusable replies, as a sentence."""
    text = advice(ended_early(reply.finish_reason, reply.metadata)) or "use a model that can reply in JSON"
    return text[0].upper() + text[1:]


def unfit(node: Node, reply: Reply, problem: TypeMismatch) -> PlanError:
    """The error for an answer that does not fit the output type after all attempts."""
    # A model that is made of rules says so of itself: it writes no JSON.
    label = reply.metadata.get("label")
    named = f"{reply.model} ({label})" if label else reply.model
    return PlanError(
        f"node {node.id}: {named} gave no answer of the wanted type in {TYPE_ATTEMPTS} attempts: "
        f"{what_was_wrong(reply, problem)}. It wrote: {beginning_of(reply)}. {what_to_do(reply)}, or a simpler "
        "output_type",
        node=node.id,
    )


def limit_error(limit: str, limits: Limits, node: Node, wanted: str) -> LimitError:
    """The error of a node whose plan passes a limit: "max_depth" or "max_steps"."""
    if limit == "max_depth":
        return RecursionDepthError(
            f"node {node.id} wants to split at depth {node.depth}, but max_depth={limits.max_depth}; "
            'raise max_depth (--max-depth in a cell), or use on_limit="execute"'
        )
    parts = f"{wanted} {'sub-task' if wanted == '1' else 'sub-tasks'}"
    return MaxStepsError(
        f"node {node.id} wants {parts}, which is more than max_steps={limits.max_steps} "
        'leaves; raise max_steps (--max-steps in a cell), or use on_limit="execute"'
    )
