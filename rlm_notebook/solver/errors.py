"""How a node's failure reads: where it began, what was wrong, what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..core.error_text import error_text
from ..core.finish_reason import advice, cut_off, ended_early
from ..core.node import ENDED, THOUGHTS
from ..core.tree import Node
from ..exceptions import ExecutionError, ModelError, PlanError
from ..output_type import TypeMismatch
from ..ports import Reply

__all__ = [
    "TYPE_ATTEMPTS",
    "failed_parts",
    "not_empty",
    "reply_metadata",
    "unfit",
    "what_to_do",
    "what_was_wrong",
    "without_node",
]

#: How many causes the message of a failed node names, and how much of each; `.causes` holds them all.
CAUSES_SHOWN = 20
CAUSE_CHARACTERS = 500
#: How often a model may try to give an answer of the wanted type.
TYPE_ATTEMPTS = 3
#: How much is kept of what a model thought for one reply, in characters: the beginning and the end.
MOST_THOUGHTS = 100_000


def failed_parts(node: str, failed: list[Exception], total: int) -> ExecutionError:
    """The error of a node some of whose parts failed.

    It says where that began, not how it was handed up: else a failure deep in the tree is told once per level.
    """
    origins = list(_origins(failed))
    said = [_of_part(error) for error in origins[:CAUSES_SHOWN]]
    if len(origins) > CAUSES_SHOWN:
        said.append(f"and {len(origins) - CAUSES_SHOWN} more")
    message = f"node {node}: {len(failed)} of {total} parts failed: {'; '.join(said)}"
    return ExecutionError(message, node=node, causes=failed)


def _of_part(error: BaseException) -> str:
    return f"[{getattr(error, 'node', None) or '?'}] {_shortened(without_node(error))}"


def without_node(error: BaseException) -> str:
    """What an error says, for a place where its node is named already."""
    return error_text(error).removeprefix(f"node {getattr(error, 'node', None)}: ")


def _origins(errors: Iterable[BaseException]) -> Iterator[BaseException]:
    stack = list(errors)[::-1]
    while stack:
        error = stack.pop()
        if type(error) is ExecutionError and error.causes:
            stack.extend(reversed(error.causes))
        else:
            yield error


def _shortened(text: str) -> str:
    return text if len(text) <= CAUSE_CHARACTERS else text[:CAUSE_CHARACTERS] + " […]"


def not_empty(node: Node, reply: Reply) -> Reply:
    """The reply. Raises `ModelError` if it says nothing."""
    if not reply.content.strip():
        raise ModelError(
            f"node {node.id}: {reply.model} gave an empty answer (asked once); run again, or choose another model",
            node=node.id,
        )
    return reply


def reply_metadata(reply: Reply) -> dict[str, Any]:
    """What is recorded of a reply beside what it says: how it ended, if early, and what the model thought."""
    reason = ended_early(reply.finish_reason, reply.metadata)
    thoughts = reply.reasoning.strip()
    if len(thoughts) > MOST_THOUGHTS:
        half = MOST_THOUGHTS // 2
        thoughts = f"{thoughts[:half]}\n[…]\n{thoughts[-half:]}"
    return {**({ENDED: reason} if reason else {}), **({THOUGHTS: thoughts} if thoughts else {})}


def what_was_wrong(reply: Reply, problem: ValueError) -> str:
    """Why a reply cannot be used, in words for its model: first of all, that it was cut off."""
    reason = ended_early(reply.finish_reason, reply.metadata)
    return f"your output was {cut_off(reason)}, so be brief: {problem}" if reason else str(problem)


def what_to_do(reply: Reply) -> str:
    """What a user can do about replies that cannot be used."""
    said = advice(ended_early(reply.finish_reason, reply.metadata)) or "use a model that can reply in JSON"
    return said[0].upper() + said[1:]


def unfit(node: Node, reply: Reply, problem: TypeMismatch) -> PlanError:
    """The error of an answer that does not fit the output type after all attempts."""
    return PlanError(
        f"node {node.id}: {reply.model} gave no answer of the wanted type in {TYPE_ATTEMPTS} attempts: "
        f"{what_was_wrong(reply, problem)}. {what_to_do(reply)}, or a simpler output_type",
        node=node.id,
    )
