"""Two runs side by side, for the browser: which runs there are, their nodes in pairs, and the outputs of one pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.node import Node
from ...core.text import printable
from ...exceptions import CheckpointError, ConfigurationError
from ...runtime.recorded_run import load_run
from ...runtime.run_list import list_runs
from ...runtime.run_view import RunView
from ...views.diff import Pair, difference, pairs_of

__all__ = ["Comparison"]

TITLE_CHARACTERS = 160
#: Of a larger comparison, nodes that are the same are left out; then the rest beyond it.
MOST_ROWS = 2000
#: The key of a run that was given, rather than found beside the shown one.
GIVEN = "given"


class Comparison:
    """What a view compares its run with: the runs in the same folder, and `given`, if it was made to compare."""

    def __init__(self, given: RunView | None = None) -> None:
        self._given = given
        #: The run that was loaded last, by its key and the time of its file.
        self._loaded: tuple[tuple[str, float], RunView] | None = None

    def answer(self, run: RunView, operation: str, arguments: dict[str, Any]) -> Any:
        """The answer to a request of a browser: "runs", "compare" or "outputs". It changes nothing, so loaded runs give
        it, too. Raises `ConfigurationError` for a run that cannot be compared with."""
        key = str(arguments.get("with", ""))
        if operation == "runs":
            return self.runs(run)
        if operation == "compare":
            return self.rows(run, key)
        old, new = (str(arguments[side]) if arguments.get(side) else None for side in ("old", "new"))
        return self.outputs(run, key, old, new)

    def runs(self, run: RunView) -> list[dict[str, Any]]:
        """The runs that `run` can be compared with: those that resemble its name first, then the latest."""
        given = [{"key": GIVEN, "name": _name_of(self._given), "status": self._given.status}] if self._given else []
        if not run.checkpoint:
            return given
        own = Path(run.checkpoint)
        listed = [each for each in (list_runs(own.parent) if own.parent.is_dir() else []) if each.path != own]
        listed = [each for each in listed if each.status != "unreadable" and each.path.parent == own.parent]
        listed.sort(key=lambda each: each.when.timestamp() if each.when else 0.0, reverse=True)
        listed.sort(key=lambda each: _stem(each.name) != _stem(own.stem))
        return given + [
            {
                "key": each.name,
                "name": each.name,
                "status": each.status,
                "when": each.when.timestamp() if each.when else None,
            }
            for each in listed
        ]

    def rows(self, run: RunView, key: str) -> dict[str, Any]:
        """The nodes of the run `key` and of `run` in pairs, and what is different in sum."""
        other = self._run(run, key)
        pairs = pairs_of(other.tree, run.tree)
        found = difference(other.tree, run.tree)
        rows = [_row(pair) for pair in pairs]
        shown = rows if len(rows) <= MOST_ROWS else [row for row in rows if row["kind"] != "same"][:MOST_ROWS]
        return {
            "rows": shown,
            "omitted": len(rows) - len(shown),
            "changed": len(found.changed),
            "added": len(found.added),
            "removed": len(found.removed),
            "reused": sum(node.mark == "replayed" for node in run.tree),
            "old": _sum(other),
            "new": _sum(run),
        }

    def outputs(self, run: RunView, key: str, old: str | None, new: str | None) -> dict[str, Any]:
        """The whole outputs of a pair of nodes; an error stands for an output that is missing."""
        return {"old": _output(self._run(run, key), old), "new": _output(run, new)}

    def _run(self, run: RunView, key: str) -> RunView:
        """The run for a key. Raises `ConfigurationError` for a key that `runs` does not list."""
        if key == GIVEN and self._given is not None:
            return self._given
        if not run.checkpoint or not any(each["key"] == key for each in self.runs(run)):
            raise ConfigurationError(f"there is no run {key!r} beside this one; `%rlm runs` lists what is saved here")
        path = Path(run.checkpoint).parent / f"{key}.json"
        state = (key, path.stat().st_mtime if path.exists() else 0.0)
        if self._loaded is None or self._loaded[0] != state:
            try:
                self._loaded = (state, load_run(path))
            except CheckpointError as error:
                raise ConfigurationError(f"the run {key!r} cannot be compared: {error}") from error
        return self._loaded[1]


def _name_of(run: RunView) -> str:
    return Path(run.checkpoint).stem if run.checkpoint else f"run {run.run_id[:8]}"


def _stem(name: str) -> str:
    """The name of a run without the number of an archived copy."""
    stem, _, number = name.rpartition(".")
    return stem if stem and number.isdigit() else name


def _row(pair: Pair) -> dict[str, Any]:
    node = pair.new or pair.old
    assert node is not None, "a pair has a node"
    kind = "removed" if pair.new is None else "added" if pair.old is None else "changed" if pair.what else "same"
    return {
        "kind": kind,
        "what": list(pair.what),
        "depth": pair.depth,
        "title": printable(node.title)[:TITLE_CHARACTERS],
        "old": _side(pair.old),
        "new": _side(pair.new),
    }


def _side(node: Node | None) -> dict[str, Any] | None:
    if node is None:
        return None
    phases = (phase for phase in node.phases if phase.kind != "wait" and phase.ended is not None)
    return {
        "id": node.id,
        "state": str(node.state),
        "mark": node.mark,
        "tokens": node.usage.total_tokens,
        "cost": node.usage.cost_usd,
        "seconds": sum((phase.ended or 0.0) - phase.started for phase in phases),
    }


def _sum(run: RunView) -> dict[str, Any]:
    usage = run.usage
    return {
        "name": _name_of(run),
        "status": run.status,
        "nodes": len(run.tree),
        "calls": usage.calls,
        "tokens": usage.total_tokens,
        "cost": usage.cost_usd,
    }


def _output(run: RunView, node_id: str | None) -> str | None:
    if node_id is None or node_id not in run.tree:
        return None
    node = run.tree[node_id]
    return node.result if node.result is not None else node.partial or node.error or None
