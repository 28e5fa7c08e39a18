"""The text of any error. `str(error)` is code of the error's author, and may itself raise."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

__all__ = ["await_hint", "causes_text", "described", "encodable", "error_text"]


def encodable(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair.

    UTF-8 cannot encode them: a kernel that has to send such a text fails while it reports the failure, and the cell
    never ends.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def error_text(error: BaseException) -> str:
    """`str(error)` in a form that UTF-8 can encode; if that raises, a statement of the exception's type."""
    try:
        return encodable(str(error))
    except BaseException as second:
        if isinstance(second, KeyboardInterrupt):
            raise
        return f"(its text cannot be read: {type(second).__name__})"


def described(error: BaseException) -> str:
    """The type and the text of an error; for a group also those of its members."""
    text = error_text(error)
    if isinstance(error, BaseExceptionGroup):
        text = f"{text}: {'; '.join(map(described, error.exceptions))}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def await_hint(value: object) -> str:
    """For the error about a value of the wrong type: what to do about a coroutine, or a run; "" for anything else."""
    return "; write `await` before it, and give its result" if inspect.isawaitable(value) else ""


#: How many causes of a failure are named, with how many characters and nodes each.
CAUSES_SHOWN = 20
CAUSE_CHARACTERS = 500
NODES_SHOWN = 5
#: A cause that occurred as often as this is named once.
MANY_TIMES = 3


def causes_text(causes: Iterable[tuple[str, str]]) -> str:
    """The causes of a failure, given as (node, text); one that occurred three times or more is named once."""
    nodes: dict[str, list[str]] = {}
    for node, text in causes:
        nodes.setdefault(text, []).append(node)
    named = []
    for text, where in nodes.items():
        shown = text if len(text) <= CAUSE_CHARACTERS else text[:CAUSE_CHARACTERS] + " […]"
        if len(where) < MANY_TIMES:
            named += [f"[{node}] {shown}" for node in where]
        else:
            also = [*where[1 : NODES_SHOWN + 1], *(["…"] if len(where) > NODES_SHOWN + 1 else [])]
            named.append(f"[{where[0]}] {shown} ({len(where)} times, also in {', '.join(also)})")
    more = len(named) - CAUSES_SHOWN
    return "; ".join([*named[:CAUSES_SHOWN], *([f"and {more} more"] if more > 0 else [])])
