"""The journal: one event a line, each with a checksum, and how a run is folded from it."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.events import (
    Cancelled,
    CellWritten,
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
from ..core.plan import plan_from_json
from ..core.recordable import LATEST
from ..core.tree import Recorded, Tree
from ..core.usage import NOTHING
from ..exceptions import CheckpointError
from . import safe_files
from .checked_lines import checked_body, line_with_checksum
from .document import MOST
from .safe_files import require_regular, unusable

__all__ = ["JournalContents", "line_of", "parse_line", "read_journal"]

log = logging.getLogger("rlm_notebook")


@dataclass(frozen=True, slots=True)
class JournalContents:
    """The run of a journal, if it contains one. `fresh`: the run reuses nothing of the document beside the journal;
    `damaged`: some lines could not be read."""

    recorded: Recorded | None
    fresh: bool
    damaged: bool


#: One for all lines: `json.dumps` with options creates an encoder for each call.
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str)


def line_of(event: Event, *, cell_id: str = "") -> bytes:
    """An event as one line of a journal. The line of `RunStarted` also holds the id of the run's cell."""
    data = to_json(event)
    if isinstance(event, RunStarted) and cell_id:
        data["cell_id"] = cell_id
    return line_with_checksum(_ENCODER.encode(data).encode("ascii"))


def read_journal(path: Path) -> JournalContents | None:
    """The fold of a journal up to its first unreadable line; `None` if there is no journal.

    A damaged line is logged and ends the fold, because later events may depend on it. A torn last line is normal after
    a crash. Raises `CheckpointError` if the file cannot be read, or its first line is damaged.
    """
    require_regular([path])
    fold = _Fold()
    try:
        if not path.exists():
            return None
        if path.stat().st_size > safe_files.LARGEST_FILE:
            raise unusable(path, f"it is larger than {safe_files.LARGEST_FILE >> 20} MB")
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    fold.add(parse_line(line.removesuffix(b"\n")))
                except ValueError as error:
                    rest = sum(1 for _ in lines)
                    # The only line may be the beginning of one; after a power loss it may be all zero bytes.
                    is_torn = rest == 0 and _START.startswith(line.rstrip(b"\0")[: len(_START)])
                    if fold.empty and not is_torn:
                        raise unusable(path, f"line {number} is damaged ({error}), and nothing precedes it") from None
                    if rest:
                        log.warning(
                            "%s: line %d is damaged (%s); what precedes it is used, the %d lines after it are not",
                            path, number, error, rest,
                        )  # fmt: skip
                    return fold.result(damaged=rest > 0)
    except OSError as error:
        raise CheckpointError(
            f"cannot read the journal {path}: {error.strerror or error}. Nothing was changed: "
            "make it readable, or choose another name"
        ) from error
    return fold.result(damaged=False)


_START = b'{"event"'


class _Fold:
    """The run that the lines so far describe."""

    def __init__(self) -> None:
        self._tree = Tree()
        self._spent = NOTHING
        self._fresh = False
        self._cell_id = ""
        self._paused = False
        self._last: float | None = None
        self._active = 0.0

    def add(self, data: Any) -> None:
        """Adds the event of a line. Raises `ValueError`, and changes nothing, for an invalid or illegal event."""
        event = from_json(data)
        # No engine emits these values, but the file may come from a stranger.
        if not 0 <= event.at <= LATEST:
            raise ValueError(f"its time is {event.at!r}")
        if isinstance(event, Planned):
            plan_from_json(event.plan)
        if isinstance(event, _WITH_USAGE):
            usage = event.usage
            counts = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.reasoning_tokens)
            if max(map(abs, (*counts, usage.calls))) > MOST or not math.isfinite(usage.cost_usd or 0.0):
                raise ValueError("its usage is not a number of tokens")
        self._tree.apply(event)
        if isinstance(event, _WITH_USAGE) and not getattr(event, "mark", ""):
            # Replayed and cached results used nothing in this execution.
            self._spent += event.usage
        # A replayed event has its recorded time, which lies in the past: it takes no time.
        if self._last is not None and not self._paused:
            self._active += max(0.0, event.at - self._last)
        self._last = max(event.at, self._last or event.at)
        if isinstance(event, RunPaused | RunResumed):
            self._paused = isinstance(event, RunPaused)
        if isinstance(event, RunStarted):
            self._fresh, self._cell_id = event.fresh, str(data.get("cell_id") or "")

    @property
    def empty(self) -> bool:
        return self._tree.root is None

    def result(self, *, damaged: bool) -> JournalContents:
        recorded = Recorded(self._tree, cell_id=self._cell_id, spent=self._spent, active_seconds=self._active)
        return JournalContents(None if self.empty else recorded, self._fresh, damaged)


_WITH_USAGE = Planned | Finished | Replied | CellWritten | Retried | Failed | Cancelled


def parse_line(line: bytes) -> Any:
    """The JSON object of a line. Raises `ValueError` for a torn or damaged line."""
    try:
        return json.loads(checked_body(line))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
