"""The changes that people make in the tree of a cell's run, as its settings record them.

A change is a JSON object: "op" ("edit", "retry" or "answer": a synthesis of what there was), "node", "at" (seconds
since the epoch), "before" (the execution id of the version before it) and, depending on the operation, "part" ("task",
"plan", "result" or "code"), "was" (the task of the root before), "keys" (the content keys of a node that was to be
computed again) and "budget" (that of the run which was answered without its missing parts).

The changes of a run are a list in its settings, oldest first; each version of the run has one more than the version
before it. They belong to one request: another task in the cell begins without any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .node import EDITED, Node

if TYPE_CHECKING:
    # `%load_ext` reads changes without the tree, whose events take pydantic to load.
    from .tree import Tree

__all__ = [
    "Change",
    "changes_in",
    "changes_of",
    "described_changes",
    "edited_task",
    "requested_task",
    "reusable",
    "version_before",
]

Change = dict[str, Any]
#: The most nodes that a description names.
MOST_NAMED = 3
_WORDS = {"edit": "edited at", "retry": "retried at"}


def changes_of(tree: Tree) -> list[Change]:
    """The changes of a recorded run; the file may come from a stranger or an earlier version."""
    return changes_in(tree.settings)


def changes_in(settings: Mapping[str, Any]) -> list[Change]:
    """The same for the settings of a run alone."""
    found = settings.get("changes")
    known = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    return [each for each in known if isinstance(each.get("op"), str) and isinstance(each.get("node"), str)]


def version_before(changes: Sequence[Change]) -> str:
    """The execution id of the version before the last change that has one, or ""."""
    return next((str(each["before"]) for each in reversed(changes) if each.get("before")), "")


def edited_task(changes: Sequence[Change]) -> bool:
    """Whether the root has another task than the request."""
    return any(each["op"] == "edit" and each["node"] == "0" and each.get("part") == "task" for each in changes)


def requested_task(tree: Tree) -> str:
    """The task of the request that a recorded run answers, also if the root was given another one."""
    edits = (each for each in changes_of(tree) if each["node"] == "0" and isinstance(each.get("was"), str))
    return str(next(edits, {"was": tree.task})["was"])


def described_changes(changes: Sequence[Change]) -> str:
    """The changes in words: "edited at 0.0, 0.2; retried at 0.1"."""
    parts = []
    for op, words in _WORDS.items():
        nodes = list(dict.fromkeys(each["node"] for each in changes if each["op"] == op))
        named = ", ".join(nodes[-MOST_NAMED:]) + (
            f" and {len(nodes) - MOST_NAMED} more" if len(nodes) > MOST_NAMED else ""
        )
        parts += [f"{words} {named}"] if nodes else []
    if changes and changes[-1]["op"] == "answer":
        parts.append("answered with what there was")
    return "; ".join(parts)


def reusable(nodes: Iterable[Node], since: Sequence[Change]) -> list[Node]:
    """What another version of a run offers this one: what models gave, without what people wrote there, and without
    what was to be computed again by the changes `since` then."""
    again = {key for each in since for key in each.get("keys") or () if key}
    found = []
    for node in nodes:
        if node.plan_key in again or node.result_key in again:
            continue
        if EDITED in (node.plan or {}):
            node = replace(node, plan=None)
        if EDITED in node.metadata:
            # Its plan may only follow from that result.
            node = replace(node, plan=None, result=None, result_key="")
        found.append(node)
    return found
