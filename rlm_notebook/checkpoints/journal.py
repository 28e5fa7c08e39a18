"""The journal: one event a line, each line self-checking, and how a run is read back from it."""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Planned,
    Replied,
    Retried,
    RunPaused,
    RunResumed,
    RunStarted,
    from_json,
    to_json,
)
from ..core.limits import NOTHING, Usage
from ..core.records import Recorded
from ..core.tree import Tree
from ..exceptions import CheckpointError

__all__ = ["Journalled", "line_of", "read_journal"]

log = logging.getLogger("rlm_notebook")


@dataclass(frozen=True, slots=True)
class Journalled:
    """The run of a journal; `fresh`: it uses nothing of what the document beside it holds."""

    recorded: Recorded
    fresh: bool


#: Made once: `json.dumps` with options makes a new one for each line.
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str)


def line_of(event: Event, *, cell_id: str = "") -> bytes:
    """One self-checking line: the JSON, a tab, a checksum. That of the start says which cell the run is of."""
    data = to_json(event)
    if isinstance(event, RunStarted) and cell_id:
        data["cell_id"] = cell_id
    body = _ENCODER.encode(data).encode("ascii")
    return body + b"\t" + _check(body) + b"\n"


def read_journal(path: Path) -> Journalled | None:
    """The fold of a journal up to its first line that cannot be read; `None` if there is no node in it.

    Raises `CheckpointError` where the file cannot be read.
    """
    try:
        if not path.exists():
            return None
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the journal {path}: {error.strerror or error}") from error
    fold = _Fold()
    lines = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            fold.add(_decoded(line))
        except ValueError as error:
            _report(path, number, len(lines), error)
            break
    return fold.result()


class _Fold:
    """What the lines so far come to."""

    def __init__(self) -> None:
        self._tree = Tree()
        self._spent = NOTHING
        self._fresh = False
        self._cell_id = ""
        self._paused = False
        self._last: float | None = None
        self._active = 0.0

    def add(self, data: Any) -> None:
        """Raises `ValueError`, and changes nothing, for what is no event or cannot follow."""
        event = from_json(data)
        self._tree.apply(event)
        self._spent += _used(event)
        self._count_time(event)
        if isinstance(event, RunStarted):
            self._fresh, self._cell_id = event.fresh, str(data.get("cell_id") or "")

    def _count_time(self, event: Event) -> None:
        """What is replayed is told with the times that were recorded: they are past, and take none."""
        if self._last is not None and not self._paused:
            self._active += max(0.0, event.at - self._last)
        self._last = max(event.at, self._last or event.at)
        if isinstance(event, RunPaused | RunResumed):
            self._paused = isinstance(event, RunPaused)

    def result(self) -> Journalled | None:
        if self._tree.root is None:
            return None
        recorded = Recorded(self._tree, cell_id=self._cell_id, spent=self._spent, active_seconds=self._active)
        return Journalled(recorded, self._fresh)


_USING = Planned | Finished | Replied | Retried | Failed | Cancelled


def _used(event: Event) -> Usage:
    """What was spent in this execution; what is replayed or cached was not."""
    return event.usage if isinstance(event, _USING) and not getattr(event, "mark", "") else NOTHING


def _decoded(line: bytes) -> Any:
    """What a line says; raises `ValueError` for what is torn or damaged."""
    body, _, check = line.rpartition(b"\t")
    if not body or check != _check(body):
        raise ValueError("its checksum is wrong")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _report(path: Path, number: int, total: int, error: ValueError) -> None:
    """A last line torn by a crash is nothing to speak of; what follows a damaged one may build on what is lost."""
    if number < total - 1:
        log.warning(
            "%s: line %d is damaged (%s); what precedes it is used, the %d lines after it are not",
            path, number, error, total - 1 - number,
        )  # fmt: skip


def _check(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)
