"""The journal: one event a line, each line self-checking, and how a run is read back from it."""

from __future__ import annotations

import json
import logging
import math
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
from ..core.plan import plan_from_json
from ..core.recordable import LATEST
from ..core.records import Recorded
from ..core.tree import Tree
from ..exceptions import CheckpointError
from . import safe_files
from .document import MOST
from .safe_files import require_ordinary, unusable

__all__ = ["Journalled", "checked_line", "line_of", "read_journal"]

log = logging.getLogger("rlm_notebook")


@dataclass(frozen=True, slots=True)
class Journalled:
    """The run of a journal, if there is one in it; `fresh`: it uses nothing of what the document beside it holds,
    `damaged`: some lines could not be read."""

    recorded: Recorded | None
    fresh: bool
    damaged: bool


#: Made once: `json.dumps` with options makes a new one for each line.
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str)


def line_of(event: Event, *, cell_id: str = "") -> bytes:
    """One self-checking line: a JSON object. That of the start says which cell the run is of."""
    data = to_json(event)
    if isinstance(event, RunStarted) and cell_id:
        data["cell_id"] = cell_id
    return checked_line(_ENCODER.encode(data).encode("ascii"))


def checked_line(body: bytes) -> bytes:
    """A JSON object as a line of a journal: its last field, "crc", is the CRC-32 of the object without it."""
    return body[:-1] + _check(body) + b"\n"


def read_journal(path: Path) -> Journalled | None:
    """The fold of a journal up to its first line that cannot be read; `None` if there is no journal.

    Raises `CheckpointError` where the file cannot be read, or is none.
    """
    require_ordinary([path])
    fold = _Fold()
    try:
        if not path.exists():
            return None
        if path.stat().st_size > safe_files.LARGEST_FILE:
            raise unusable(path, f"it is larger than {safe_files.LARGEST_FILE >> 20} MB")
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    fold.add(_decoded(line.removesuffix(b"\n")))
                except ValueError as error:
                    rest = sum(1 for _ in lines)
                    if fold.empty and not _is_torn_start(line, rest):
                        raise unusable(path, f"line {number} is damaged ({error}), and nothing precedes it") from None
                    _report(path, number, rest, error)
                    return fold.result(damaged=rest > 0)
    except OSError as error:
        raise CheckpointError(
            f"cannot read the journal {path}: {error.strerror or error}. Nothing was changed: "
            "make it readable, or choose another name"
        ) from error
    return fold.result(damaged=False)


def _is_torn_start(line: bytes, rest: int) -> bool:
    """The first line of a run that was stopped while it wrote it, or nothing at all where the power went."""
    begun = line.rstrip(b"\0")
    return rest == 0 and (begun.startswith(_START[: len(begun)]) if len(begun) < len(_START) else begun[:8] == _START)


_START = b'{"event"'


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
        event = _plausible(from_json(data))
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

    @property
    def empty(self) -> bool:
        return self._tree.root is None

    def result(self, *, damaged: bool) -> Journalled:
        recorded = Recorded(self._tree, cell_id=self._cell_id, spent=self._spent, active_seconds=self._active)
        return Journalled(None if self.empty else recorded, self._fresh, damaged)


_USING = Planned | Finished | Replied | Retried | Failed | Cancelled


def _used(event: Event) -> Usage:
    """What was spent in this execution; what is replayed or cached was not."""
    return event.usage if isinstance(event, _USING) and not getattr(event, "mark", "") else NOTHING


def _plausible(event: Event) -> Event:
    """The event, if an engine can have told it; raises `ValueError` for a line that somebody made up."""
    if not 0 <= event.at <= LATEST:
        raise ValueError(f"its time is {event.at!r}")
    if isinstance(event, Planned):
        plan_from_json(event.plan)
    if isinstance(event, _USING):
        usage = event.usage
        counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens)
        if max(map(abs, (*counts, usage.calls))) > MOST or not math.isfinite(usage.cost_usd or 0.0):
            raise ValueError("its usage is no number of tokens")
    return event


def _decoded(line: bytes) -> Any:
    """What a line says; raises `ValueError` for what is torn or damaged."""
    body = line[:-_CHECK_LENGTH] + b"}"
    if line[-_CHECK_LENGTH:] != _check(body):
        raise ValueError("its checksum is wrong")
    try:
        return json.loads(body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _report(path: Path, number: int, rest: int, error: ValueError) -> None:
    """A last line torn by a crash is nothing to speak of; what follows a damaged one may build on what is lost."""
    if rest:
        log.warning(
            "%s: line %d is damaged (%s); what precedes it is used, the %d lines after it are not",
            path, number, error, rest,
        )  # fmt: skip


def _check(body: bytes) -> bytes:
    """The end of an object's line, in place of its brace."""
    return b',"crc":"%08x"}' % zlib.crc32(body)


_CHECK_LENGTH = len(_check(b""))
