"""The runs in a folder: one row for each file, readable or not."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..checkpoints.selection import recorded_in
from ..core.error_text import described
from ..core.node import NodeState
from ..core.text import duration
from ..core.tree import Recorded
from ..exceptions import CheckpointError
from ..views.dataframe import pandas_for
from ..views.table import Table

__all__ = ["RunList", "RunSummary", "list_runs", "summary_of"]

_JOURNAL = ".journal.jsonl"
_SHOWN = ("name", "state", "nodes", "calls", "tokens", "cost", "time", "model", "when", "task")
_TITLE_CHARACTERS = 120
_ENDED = ("done", "failed", "cancelled", "paused")


@dataclass(frozen=True)
class RunSummary:
    """One run in a folder.

    `status` is "done", "failed", "cancelled", "paused", "running" for a run of this session, "interrupted" if its end
    was not recorded (another process may be running it), or "unreadable" if the file holds no run, for the reason in
    `problem`. `kind` is "run", or "experiment" for recorded rows of a table: its nodes are rows, of which some may have
    `failed`. `done` counts the finished ones of its `nodes`. `calls`, `tokens`, `cost_usd` (dollars; `None` if
    unknown) and `seconds` (of work, without pauses) are over all executions. `title` is the first line of its cell, or
    of its task. `created`, `ended` and `updated` (when the file last changed) are in UTC.
    """

    name: str
    path: Path
    status: str
    task: str = ""
    title: str = ""
    nodes: int = 0
    done: int = 0
    calls: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    seconds: float = 0.0
    model: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    updated: datetime | None = None
    problem: str = ""
    kind: str = "run"
    failed: int = 0

    @property
    def when(self) -> datetime | None:
        """The end of the run; if it has none, when its file last changed."""
        return self.ended or self.updated

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        moments = {name: row[name].isoformat() if row[name] else None for name in ("created", "ended", "updated")}
        return {**row, **moments, "path": str(self.path)}


class RunList(list[RunSummary]):
    """The runs of a folder; displays as a table, followed by `note`."""

    def __init__(self, runs: Iterable[RunSummary] = (), note: str = "") -> None:
        super().__init__(runs)
        self.note = note

    def to_frame(self) -> Any:
        """A `pandas.DataFrame` with one row per run.

        The columns are those of the table with units (`cost_usd`, NaN if unknown; `seconds`), then `done`, `created`,
        `problem`, `path` and `kind`. `when` and `created` are times in UTC; `task` is the whole task. Raises
        `ConfigurationError` if pandas is not installed.
        """
        pandas = pandas_for("to_frame()")
        rows = [[value(run) for value in _COLUMNS.values()] for run in self]
        frame = pandas.DataFrame(rows, columns=list(_COLUMNS))
        for column in ("when", "created"):
            frame[column] = pandas.to_datetime(frame[column], utc=True).astype("datetime64[ns, UTC]")
        # An empty list has the types of a full one.
        counts = dict.fromkeys(("nodes", "calls", "tokens", "done"), "int64")
        return frame.astype({"cost_usd": "float64", "seconds": "float64", **counts})

    def __str__(self) -> str:
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

    def _table(self) -> Table:
        kinds = any(run.kind != "run" for run in self)
        shown = ("name", "kind", *_SHOWN[1:]) if kinds else _SHOWN
        rows = [(cells[0], run.kind, *cells[1:]) if kinds else cells for run in self for cells in [_cells(run)]]
        return Table(shown, tuple(rows), self.note or ("" if self else "no runs are recorded here"))


_COLUMNS: dict[str, Any] = {
    "name": lambda run: run.name,
    "state": lambda run: run.status,
    "nodes": lambda run: run.nodes,
    "calls": lambda run: run.calls,
    "tokens": lambda run: run.tokens,
    "cost_usd": lambda run: run.cost_usd,
    "seconds": lambda run: run.seconds,
    "model": lambda run: run.model,
    "when": lambda run: run.when,
    "task": lambda run: run.task,
    "done": lambda run: run.done,
    "created": lambda run: run.created,
    "problem": lambda run: run.problem,
    "path": lambda run: str(run.path),
    "kind": lambda run: run.kind,
}


def list_runs(folder: str | Path = ".") -> RunList:
    """The runs in `folder`, and in the folders of notebooks (`*.rlm`) in it, by path.

    Reads only. A file that cannot be read is listed with its problem. Raises `CheckpointError` if there is no such
    folder.
    """
    place = Path(folder).expanduser()
    if not place.is_dir():
        raise CheckpointError(f"there is no folder {place}; give the one that holds the JSON of runs")
    files = set[Path]()
    for each in (place, *(path for path in place.glob("*.rlm") if path.is_dir())):
        files.update(each.glob("*.json"))
        # Also of a run that has only its journal yet.
        files.update(path.with_name(path.name.removesuffix(_JOURNAL) + ".json") for path in each.glob(f"*{_JOURNAL}"))
    return RunList(map(summary_of, sorted(files)))


def summary_of(path: Path) -> RunSummary:
    """The run in one file. Never raises: a file without a run is "unreadable"."""
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
    text = str(tree.settings.get("title") or tree.task)
    return RunSummary(
        name=path.stem,
        path=path,
        status=tree.status if tree.status in _ENDED else "interrupted",
        task=tree.task,
        title=next((" ".join(line.split()) for line in text.splitlines() if line.strip()), ""),
        nodes=len(tree),
        done=sum(node.state is NodeState.DONE for node in tree),
        calls=spent.calls,
        tokens=spent.total_tokens,
        cost_usd=spent.cost_usd,
        seconds=recorded.active_seconds,
        model=str(tree.settings.get("model") or ""),
        created=_moment(recorded.created or tree.started),
        ended=_moment(tree.ended) if tree.status in _ENDED else None,
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
    when = ""
    with suppress(ValueError, OverflowError, OSError):
        when = run.when.astimezone().strftime("%Y-%m-%d %H:%M") if run.when else ""
    if run.status == "unreadable":
        return (run.name, run.status, "", "", "", "", "", "", when, " ".join(run.problem.split()))
    count = str(run.nodes) if run.done == run.nodes else f"{run.done} of {run.nodes}"
    if run.kind != "run":
        count += " rows" + (f", {run.failed} failed" if run.failed else "")
    return (
        run.name,
        run.status,
        count,
        f"{run.calls:,}",
        f"{run.tokens:,}",
        "unknown" if run.cost_usd is None else f"${run.cost_usd:.4f}",
        duration(run.seconds),
        run.model,
        when,
        run.title[:_TITLE_CHARACTERS],
    )
