"""Where the rows of experiments are recorded: one append-only file of JSON lines, or memory.

Theory of operation
===================
There are three kinds of lines (`row_lines.py` writes and reads them): the first names the format; a line with "engine"
holds the settings of an engine, once; a line with "row" holds one row that has ended: its key, state, answer or error,
usage, times, and the tree of its run. A row that runs again is a further line, and the last line of a key counts.
Nothing is ever rewritten, so appending costs the same however large the file is, any prefix of the file is a valid
file, and rows of other tables or engines in the same file do no harm. In memory is only where each key's last line
begins.

Who may write: the holder of the lock on `<file>.lock`, which the operating system takes from a process that dies. The
lock is taken before the first call, and not at all where every row is reused: then the file stays byte for byte the
same.

What must never happen: a row counts as recorded before its line is with the operating system (`append` writes without
a buffer, so that `kill -9` loses nothing; the lines of `SYNC_INTERVAL` seconds are synced to the disk together); a
torn line is followed by another one (`open` removes an incomplete last line, `append` removes what a full disk left of
its own); one damaged line makes others unreadable (rows do not depend on each other: it is skipped, and its row runs
again).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from ..checkpoints.atomic_write import copy_whole
from ..checkpoints.checked_lines import checked_body, line_with_checksum
from ..checkpoints.file_lock import WriterLock
from ..checkpoints.file_names import make_folder
from ..checkpoints.safe_files import require_regular, unusable
from ..core.events import Event
from ..core.keys import digest
from ..core.limits import NOTHING, Usage
from ..core.tree import Recorded
from ..exceptions import CheckpointError
from .row_lines import check_format, first_line, head_of, line_of, record_of, row_of, run_of, tree_of
from .row_record import RowRecord

__all__ = ["RowJournal", "RowStore"]

log = logging.getLogger("rlm_notebook")

#: Seconds between two syncs to the disk: the most that a power loss can take.
SYNC_INTERVAL = 0.2


class RowStore:
    """The recorded rows of a file, or of memory (`path=None`), by key. The module docstring explains the file.

    Raises `CheckpointError` for a file that cannot be read or written, or that another process writes.
    """

    def __init__(self, path: Path | None, *, trees: bool = True) -> None:
        self.path = path
        #: Whether the trees of rows are recorded.
        self.trees = trees
        #: For each key, where its last line begins and ends; in memory, the number of the line.
        self._places: dict[str, tuple[int, int]] = {}
        self._states: dict[str, str] = {}
        #: Rows that are done, with an answer that refuses.
        self.refused: set[str] = set()
        self._usages: dict[str, Usage] = {}
        self._known_usages: dict[Usage, Usage] = {}
        self._engines: dict[str, dict[str, Any]] = {}
        self._lines: list[bytes] = []
        self._end = 0
        self._read_to = 0
        self._file: IO[bytes] | None = None
        self._reader: IO[bytes] | None = None
        self._lock: WriterLock | None = None
        self._synced = 0.0
        if path is not None:
            self._scan()

    # -- reading ---------------------------------------------------------------------------------------------------

    def __contains__(self, key: str) -> bool:
        return key in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def state(self, key: str) -> str | None:
        """ "done", "failed" or "cancelled"; `None` for a row that is not recorded."""
        return self._states.get(key)

    def usage(self, key: str) -> Usage:
        """What the row has used over all its executions; nothing for a row that is not recorded."""
        return self._usages.get(key, NOTHING)

    @property
    def model(self) -> str:
        """The name of the model that was recorded last; "" where no trees are recorded."""
        settings = next(reversed(self._engines.values()), {})
        return str(settings.get("model") or "")

    def record(self, key: str) -> RowRecord | None:
        """The recorded row, or `None`."""
        if key not in self._places:
            return None
        return record_of(head_of(self._body(key)))

    def recorded(self, key: str) -> Recorded | None:
        """The run of a row, with its tree; `None` if the row is not recorded, or without its tree."""
        if key not in self._places:
            return None
        body = self._body(key)
        try:
            return run_of(body, self._engines)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CheckpointError(f"the tree of this row in {self.path} cannot be read: {error}") from error

    def _body(self, key: str) -> bytes:
        begin, end = self._places[key]
        if self.path is None:
            return checked_body(self._lines[begin])
        try:
            if self._reader is None:
                self._reader = self.path.open("rb")
            self._reader.seek(begin)
            return checked_body(self._reader.read(end - begin))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot read {self.path} again: {error}. It was changed or removed since; run the rows again"
            ) from error

    def _scan(self) -> None:
        """Read the lines that were added since the last scan."""
        assert self.path is not None
        require_regular([self.path])
        try:
            if not self.path.exists():
                return
            with self.path.open("rb") as lines:
                lines.seek(self._read_to)
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    begin, self._read_to = self._read_to, self._read_to + len(line)
                    self._index(line, begin)
        except OSError as error:
            raise CheckpointError(
                f"cannot read {self.path}: {error.strerror or error}; make it readable, or choose another name"
            ) from error
        self._end = self._read_to

    def _index(self, line: bytes, begin: int) -> None:
        try:
            head = head_of(checked_body(line[:-1]))
            if begin == 0:
                check_format(head)
            elif "row" in head:
                record = record_of(head)
                self._add(record, begin, begin + len(line) - 1)
            elif "engine" in head:
                self._engines[str(head["engine"])] = dict(head["settings"])
        except (ValueError, KeyError, TypeError) as error:
            if begin == 0:
                raise unusable(self.path or Path(), f"it is no file of an experiment ({error})") from None
            log.warning("%s: the line at byte %d is damaged (%s); its row runs again", self.path, begin, error)

    def journal(self, key: str, keeps: Callable[[Recorded], bool], *, fresh: bool = False) -> RowJournal:
        """The journal of a row's run; `RowJournal` has the arguments."""
        return RowJournal(self, key, keeps, fresh=fresh)

    def line(self, key: str) -> bytes | None:
        """The last line of a row as it is recorded, without its end; `None` if there is none."""
        if key not in self._places:
            return None
        return line_with_checksum(self._body(key))[:-1]

    def lines(self) -> Iterator[tuple[str, bytes]]:
        """The last line of every row."""
        for key in self._places:
            if (line := self.line(key)) is not None:
                yield key, line

    @property
    def engines(self) -> dict[str, dict[str, Any]]:
        """The recorded settings of engines, by the names that lines give them."""
        return dict(self._engines)

    # -- writing ---------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Get ready to record rows: take the lock, and read what another process has added meanwhile."""
        if self.path is None or self._file is not None:
            return
        try:
            make_folder(self.path)
            require_regular([self.path, WriterLock(self.path).path])
            self._acquire()
            self._scan()
            # Unbuffered: what is written is with the operating system, also if this process is killed.
            self._file = self.path.open("ab", buffering=0)
            # A torn last line, of a process that was killed.
            self._file.truncate(self._end)
            if self._end == 0:
                self._write(first_line(time.time()))
        except OSError as error:
            self.close()
            raise CheckpointError(
                f"cannot write {self.path}: {error.strerror or error}; choose a place that can be written"
            ) from error
        except CheckpointError:
            self.close()
            raise

    def take_over(self, other: RowStore, *, move: bool) -> bool:
        """Move or copy the file of another store to this path, unless there is a file by now; whether it was moved.

        A file that somebody else is writing is copied. Raises `OSError`, and `CheckpointError` if this one is written.
        """
        assert self.path is not None
        assert other.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._acquire()
        try:
            if self.path.exists():
                return False
            moved = move and other._moved_to(self.path)
            if not moved:
                copy_whole(other.path, self.path)
        finally:
            self.close()
            self._scan()
        return moved

    def _moved_to(self, target: Path) -> bool:
        """Whether the file could be moved: nobody else writes it, and it is on the same disk."""
        assert self.path is not None
        try:
            self._acquire()
            os.replace(self.path, target)
        except (OSError, CheckpointError):
            return False
        finally:
            self.close()
        with suppress(OSError):
            # Fails while there is something left in it.
            self.path.parent.rmdir()
        return True

    def append(self, key: str, recorded: Recorded) -> RowRecord:
        """Record a row that has ended, before its result is used."""
        head, tree = row_of(key, recorded), None
        settings = recorded.tree.settings
        if self.trees:
            head["engine"] = engine = digest(settings)[:12]
            if engine not in self._engines:
                self._engines[engine] = settings
                if self.path is not None:
                    self._write(line_of({"engine": engine, "settings": settings}))
            tree = tree_of(recorded)
        line = line_of(head if tree is None else {**head, "tree": tree})
        record, begin = record_of(head), self._end
        if self.path is None:
            self._add(record, len(self._lines), 0)
            self._lines.append(line[:-1])
        else:
            self._write(line)
            self._add(record, begin, self._end - 1)
        return record

    def adopt(self, lines: Iterable[tuple[str, bytes]], engines: Mapping[str, dict[str, Any]]) -> None:
        """Record lines of another store. Raises `ValueError` for a line that is damaged."""
        for name, settings in engines.items():
            if name not in self._engines:
                self._engines[name] = settings
                if self.path is not None:
                    self._write(line_of({"engine": name, "settings": settings}))
        for _, line in lines:
            record, begin = record_of(head_of(checked_body(line))), self._end
            if self.path is None:
                self._add(record, len(self._lines), 0)
                self._lines.append(line)
            else:
                self._write(line + b"\n")
                self._add(record, begin, self._end - 1)

    def _add(self, record: RowRecord, begin: int, end: int) -> None:
        self._places[record.key] = begin, end
        self._states[record.key] = record.state
        if record.state == "done" and record.error is not None:
            self.refused.add(record.key)
        elif self.refused:
            self.refused.discard(record.key)
        # Equal usages, as of all rows without a price, are one object.
        self._usages[record.key] = self._known_usages.setdefault(record.usage, record.usage)

    def _write(self, line: bytes) -> None:
        assert self._file is not None
        try:
            written = self._file.write(line)
            if written != len(line):
                raise OSError(28, "No space left on device")
            self._end += len(line)
            self._read_to = self._end
            if time.monotonic() - self._synced >= SYNC_INTERVAL:
                self.sync()
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self._end)
            raise CheckpointError(
                f"cannot write more rows to {self.path}: {error.strerror or error}; the rows before are recorded: make "
                "room, and run again"
            ) from error

    def sync(self) -> None:
        """Put what is written on the disk. Raises `OSError`."""
        if self._file is not None and self.path is not None:
            os.fsync(self._file.fileno())
            if not self.path.exists():
                raise FileNotFoundError(2, "the file, or its folder, was removed or moved while the rows ran")
            self._synced = time.monotonic()

    def close(self) -> None:
        """Release the file; rows can still be read."""
        if self._file is not None:
            with suppress(OSError):
                self.sync()
            self._file.close()
            self._file = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __del__(self) -> None:
        if getattr(self, "_reader", None) is not None:
            assert self._reader is not None
            self._reader.close()

    def _acquire(self) -> None:
        assert self.path is not None
        lock = WriterLock(self.path)
        if not lock.take():
            raise CheckpointError(
                f"cannot write {self.path}: {lock.holder('experiment')} is writing it; wait until it has ended, or "
                "choose another name"
            )
        self._lock = lock


class RowJournal:
    """The `Journal` of one row's run: its whole record is one line, appended when the run ends.

    `keeps` decides whether a run that ended is worth a line; `fresh` hides what is recorded from the run.
    """

    path: Path | None = None

    def __init__(self, store: RowStore, key: str, keeps: Callable[[Recorded], bool], *, fresh: bool = False) -> None:
        self._store, self._key, self._keeps, self._fresh = store, key, keeps, fresh
        self._opened = False

    def read(self) -> Recorded | None:
        return self._store.recorded(self._key) if not self._fresh else None

    def open(self) -> None:
        self._store.open()
        self._opened = True

    def append(self, event: Event) -> None:
        """Nothing: a row is recorded as a whole."""

    def compact(self, recorded: Recorded) -> None:
        # Not of a run that failed because the store could not be opened.
        if self._keeps(recorded) and (self._opened or recorded.tree.status == "done"):
            self._store.open()
            self._store.append(self._key, recorded)

    def close(self) -> None:
        """Nothing: other rows still write to the store."""
