"""The lines of a file of rows: what each holds, how it is written, and how it is read again.

A line is a JSON object whose last field is a checksum. The summary of a row is at the beginning of its line and the
tree of its run at the end, so that reading the summaries of all rows does not parse their trees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from ..checkpoints.checked_lines import line_with_checksum
from ..checkpoints.document import document_of, recorded_of
from ..core.limits import NOTHING, Usage
from ..core.tree import Recorded
from .row_record import RowRecord, RowState

__all__ = ["check_format", "first_line", "head_of", "line_of", "record_of", "row_of", "run_of", "tree_of"]

_FORMAT = "rlm-experiment"
_VERSION = 1
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str)
_TREE = b',"tree":{'
STATES = get_args(RowState)


def line_of(data: Mapping[str, Any]) -> bytes:
    """The line that holds this, with its checksum and its end."""
    return line_with_checksum(_ENCODER.encode(data).encode("ascii"))


def first_line(created: float) -> bytes:
    """The line that names the format."""
    return line_of({"format": _FORMAT, "version": _VERSION, "created": created})


def check_format(head: Mapping[str, Any]) -> None:
    """Raises `ValueError` unless the first line names this format, in a version that can be read."""
    if head.get("format") != _FORMAT:
        raise ValueError(f'its "format" is not "{_FORMAT}"')
    version = head.get("version")
    if not isinstance(version, int) or version > _VERSION:
        raise ValueError(f"it has version {version}, and this rlm_notebook reads up to {_VERSION}: upgrade it")


def head_of(body: bytes) -> dict[str, Any]:
    """The fields of a line before its tree. In JSON text, a quotation mark within a string is always escaped, so the
    first match is the field itself."""
    at = body.find(_TREE)
    found = json.loads(body if at < 0 else body[:at] + b"}")
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def row_of(key: str, recorded: Recorded) -> dict[str, Any]:
    """The summary of a run that has ended, as the line of its row begins."""
    tree, root = recorded.tree, recorded.tree.root
    done = tree.status == "done"
    # A model that says it cannot has answered, but not the task.
    refused = root.metadata.get("refused") if done and root is not None else None
    usage = {name: value for name, value in recorded.spent.to_json().items() if value != 0 and name != "total_tokens"}
    return {
        "row": key,
        "state": tree.status if tree.status in STATES else "cancelled",
        "answer": root.result if done and root is not None else None,
        "error": (str(refused) if refused else None) if done else tree.error or "cancelled",
        "usage": usage,
        "seconds": round(recorded.active_seconds, 6),
        "at": tree.ended or tree.started or 0.0,
    }


def record_of(head: Mapping[str, Any]) -> RowRecord:
    """The row of a line. Raises `ValueError`, `KeyError` or `TypeError` for one that was not written here."""
    key, state, answer, error = head["row"], head["state"], head["answer"], head["error"]
    if not isinstance(key, str) or state not in STATES or not isinstance(answer, str | None):
        raise ValueError("it describes no row")
    used = head["usage"]
    usage = Usage.from_json(used) if used else NOTHING
    if not all(
        isinstance(value, int | float) or (value is None and name == "cost_usd") for name, value in used.items()
    ):
        raise ValueError("its usage is no number")
    return RowRecord(
        key, state, answer, None if error is None else str(error), usage, float(head["seconds"]), float(head["at"])
    )


def tree_of(recorded: Recorded) -> dict[str, Any]:
    """The document of a run without what `run_of` completes: the engine, the answer, and whatever is empty."""
    document = document_of(recorded)
    for name in ("format", "version", "engine", "result", "cell_id"):
        del document[name]
    return _without_empty({**document, "nodes": [_without_empty(node) for node in document["nodes"]]})


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    short = {}
    for name, value in values.items():
        if name in ("usage", "plan_usage"):
            value = {each: count for each, count in value.items() if count != 0}
        if value or (value == 0 and name in ("depth", "created", "started", "updated")):
            short[name] = value
    return short


def run_of(body: bytes, engines: Mapping[str, Mapping[str, Any]]) -> Recorded | None:
    """The run of a line with its tree; `None` if it has none. Raises as the parsers do for a damaged line."""
    if body.find(_TREE) < 0:
        return None
    data = json.loads(body)
    engine = dict(engines.get(data.get("engine"), {}))
    # The models of `checkpoints.document` know the defaults of what is left out.
    return recorded_of({"format": "rlm-checkpoint", "version": 1, **data["tree"], "engine": engine})
