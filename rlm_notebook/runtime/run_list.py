"""The runs in a folder: one row for each file, readable or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..checkpoints.selection import recorded_in
from ..core.error_text import described
from ..core.records import Recorded
from ..exceptions import CheckpointError
from ..views.table import Table

__all__ = ["RunList", "RunSummary", "list_runs"]

_JOURNAL = ".journal.jsonl"
_SHOWN = ("name", "status", "nodes", "calls", "cost_usd", "updated", "task")


@dataclass(frozen=True)
class RunSummary:
    """One run in a folder.

    `status` is "done", "failed", "cancelled", "paused", "interrupted" if its end was not recorded (it may be in
    progress), or "unreadable" if the file holds no run, for the reason in `problem`. `tokens` and `cost_usd` (dollars;
    `None` if unknown) are over all executions; `created` and `updated` are in UTC.
    """

    name: str
    path: Path
    status: str
    task: str = ""
    nodes: int = 0
    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    model: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        moments = {name: row[name].isoformat() if row[name] else None for name in ("created", "updated")}
        return {**row, **moments, "path": str(self.path)}


class RunList(list[RunSummary]):
    """The runs of a folder; displays as a table."""

    def __str__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _table(self) -> Table:
        return Table(_SHOWN, tuple(map(_cells, self)), "" if self else "no runs are recorded here")


def list_runs(folder: str | Path = ".") -> RunList:
    """The runs in `folder`, and in the folders of notebooks (`*.rlm`) in it, by path.

    Reads only. A file that cannot be read is listed with its problem. Raises `CheckpointError` if there is no such
    folder.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise CheckpointError(f"there is no folder {place}; give the one that holds the JSON of runs")
    return RunList(_summary(path) for path in sorted(set(_files(place))))


def _files(folder: Path) -> Iterator[Path]:
    """The JSON path of each run, also where only its journal exists yet."""
    for each in (folder, *(path for path in folder.glob("*.rlm") if path.is_dir())):
        yield from each.glob("*.json")
        yield from (path.with_name(path.name.removesuffix(_JOURNAL) + ".json") for path in each.glob(f"*{_JOURNAL}"))


def _summary(path: Path) -> RunSummary:
    try:
        recorded = recorded_in(path)
        if recorded is None:
            return RunSummary(path.stem, path, "unreadable", updated=_changed(path), problem="it holds no run")
        return _of(path, recorded)
    except CheckpointError as error:
        return RunSummary(path.stem, path, "unreadable", updated=_changed(path), problem=str(error))
    except Exception as error:
        # One bad file, however bad, does not end the list.
        return RunSummary(path.stem, path, "unreadable", updated=_changed(path), problem=described(error))


def _of(path: Path, recorded: Recorded) -> RunSummary:
    tree, spent = recorded.tree, recorded.spent
    ended = tree.status in ("done", "failed", "cancelled", "paused")
    return RunSummary(
        name=path.stem,
        path=path,
        status=tree.status if ended else "interrupted",
        task=tree.task,
        nodes=len(tree),
        calls=spent.calls,
        tokens=spent.total_tokens,
        cost_usd=spent.cost_usd,
        model=str(tree.settings.get("model") or ""),
        created=_moment(recorded.created or tree.started),
        updated=_changed(path) or _moment(tree.ended),
        problem=tree.error,
    )


def _changed(path: Path) -> datetime | None:
    moments = []
    for file in (path, path.with_name(path.stem + _JOURNAL)):
        try:
            moments.append(file.stat().st_mtime)
        except OSError:
            continue
    return _moment(max(moments, default=None))


def _moment(seconds: float | None) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def _cells(run: RunSummary) -> tuple[str, ...]:
    cost = "unknown" if run.cost_usd is None else f"${run.cost_usd:.4f}"
    when = run.updated.astimezone().strftime("%Y-%m-%d %H:%M") if run.updated else ""
    task = " ".join((run.task if run.status != "unreadable" else run.problem).split())
    known = run.status != "unreadable"
    numbers = (str(run.nodes), str(run.calls), cost) if known else ("", "", "")
    return (run.name, run.status, *numbers, when, task)
