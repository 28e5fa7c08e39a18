"""The JSON file beside the notebook, and the journal that becomes it.

While a run goes on, every durable event is one line of `<name>.journal.jsonl`, flushed before its result is used.
When it stops, the whole is written as `<name>.json` (to a temporary file, synced, renamed), and the journal goes.
Either file alone is enough to resume. A run that calls no model opens nothing, and leaves the file byte for byte as it
was.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ..core.events import Event
from ..core.limits import NOTHING
from ..core.records import Recorded, still_useful
from ..core.redaction import narrower, store_of
from ..core.tree import NodeState, Tree
from ..exceptions import CheckpointError, ConfigurationError
from . import safe_files
from .atomic_write import keep_numbered, numbered, set_aside, temporary, write_whole
from .document import FORMAT, VERSION, document_of, recorded_of, require_no_circle
from .journal import line_of, read_journal
from .safe_files import decoded, read_whole, require_ordinary, too_large, unusable

__all__ = ["JsonFile", "load_recorded", "require_at_rest"]

log = logging.getLogger("rlm_notebook")

#: Seconds between two syncs of the journal to the disk; what is lost with the power is at most this much.
SYNC_INTERVAL = 0.2


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hundreds of thousands of objects come into being and none goes: the garbage collector would look at all of them
    again and again, and take as long as everything else together."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():
                # Into the oldest generation, without a look at each.
                gc.freeze()
                gc.unfreeze()
            gc.enable()


class JsonFile:
    """The `Journal` that keeps a run in `path`, a `.json` file.

    Raises `CheckpointError` where the file cannot be read, is held by another writer, or cannot be written; then no
    file was changed. `cell_id` is recorded, so that an edited cell finds its file again.
    """

    def __init__(self, path: str | Path, *, cell_id: str = "") -> None:
        self.path: Path | None = _checked(Path(path))
        self._file = self.path
        self._journal = self._file.with_name(self._file.stem + ".journal.jsonl")
        self._cell_id = cell_id
        self._held: list[Event] = []
        self._lines: IO[bytes] | None = None
        self._lock: Any = None
        self._written = 0
        self._synced = 0.0
        self._later: asyncio.TimerHandle | None = None
        self._recorded: Recorded | None = None
        self._left_over = False
        self._damaged = False
        self._seen: list[Any] = []

    def read(self) -> Recorded | None:
        self._require_ordinary()
        self._seen = self._state_on_disk()
        self._recorded, self._damaged = _loaded(self._file)
        self._left_over = self._journal.exists()
        return self._recorded

    def _require_ordinary(self) -> None:
        """Nothing is written through a link, and so nothing outside the folder: nor is the folder itself one."""
        mine = [self._file, self._journal, self._lock_path, temporary(self._file), *numbered(self._file)]
        require_ordinary(mine)
        folder = self._file.parent
        if folder.suffix == ".rlm" and os.path.islink(folder):
            raise CheckpointError(
                f"cannot use {folder}: it is a symbolic link; name the folder it points to with --checkpoint PATH"
            )

    def open(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._require_ordinary()
            self._acquire()
            self._require_unchanged()
            self._keep_what_was()
            self._lines, self._written = self._journal.open("wb"), 0
            for event in self._held:
                self._write(event)
        except OSError as error:
            self._give_up()
            raise _cannot_write(self._file, error) from error
        except CheckpointError:
            self._give_up()
            raise
        self._held.clear()

    def _give_up(self) -> None:
        """Nothing of this run is kept there, so nobody is told that it is."""
        self.close()
        self.path = None

    def claim(self, recorded: Recorded) -> bool:
        """Put down `recorded` as what a new run begins with; false where a run is kept already, or is being made.

        What a process left that died before it had put anything down is in nobody's way. Raises `CheckpointError`
        where nothing can be written.
        """
        try:
            self._require_ordinary()
            if self._is_taken() or not self._locked() or self._is_taken():
                return False
            self._journal.unlink(missing_ok=True)
            write_whole(self._file, document_of(replace(recorded, cell_id=self._cell())))
        except OSError as error:
            raise _cannot_write(self._file, error) from error
        finally:
            self.close()
        return True

    def _is_taken(self) -> bool:
        return self._file.exists() or (self._journal.exists() and self._journal.stat().st_size > 0)

    def append(self, event: Event) -> None:
        if self._lines is None:
            self._held.append(event)
            return
        try:
            self._write(event)
        except OSError as error:
            raise _cannot_go_on(self._journal, error) from error

    def compact(self, recorded: Recorded) -> None:
        if self._lines is not None:
            try:
                self._require_there()
                self._replace(recorded)
            except OSError as error:
                raise _cannot_go_on(self._file, error) from error
        elif self._lacks_form(recorded):
            # All of it is on the disk already: where it cannot be put into its final form, it stays as it is.
            with suppress(OSError, CheckpointError):
                self._acquire()
                self._require_unchanged()
                self._replace(recorded)

    @_no_collection()
    def _replace(self, recorded: Recorded) -> None:
        created = self._recorded.created if self._recorded else 0.0
        if self._recorded is not None and _loses(self._recorded, recorded):
            keep_numbered(self._file)
        write_whole(self._file, document_of(replace(recorded, cell_id=self._cell(), created=created)))
        self._let_go()
        self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        # What a run told that kept nothing is not part of the next one in this file.
        self._held.clear()
        with suppress(OSError):
            self._let_go()
        if self._lock is not None:
            # Removed while it is still held: after the release it may be somebody else's.
            with suppress(OSError):
                self._lock_path.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def _cell(self) -> str:
        return self._cell_id or (self._recorded.cell_id if self._recorded else "")

    @property
    def _lock_path(self) -> Path:
        return self._file.with_name(self._file.name + ".lock")

    def _lacks_form(self, recorded: Recorded) -> bool:
        """Nothing was called, but what lies there is not yet the final form of this run, or holds more than it may."""
        before = self._recorded
        if recorded.tree.status != "done" or before is None:
            return False
        # Also of a request that changed in something that nobody read: it is to be found, and replayed, as it is now.
        same = before.tree.request_key == recorded.tree.request_key
        final = not self._left_over and before.tree.status == "done" and same
        return not final or narrower(store_of(recorded), store_of(before))

    def _state_on_disk(self) -> list[Any]:
        """What tells whether somebody wrote the files: never what is in them."""
        return [_signature(path) for path in (self._file, self._journal)]

    def _require_unchanged(self) -> None:
        """What was read must still be what is there, or the results of whoever wrote in between were lost."""
        if self._seen and self._seen != self._state_on_disk():
            raise CheckpointError(
                f"cannot write {self._file}: another run changed it in the meantime; run again to go on from there"
            )

    def _acquire(self) -> None:
        if not self._locked():
            raise CheckpointError(self._in_use(_holder(self._lock_path)))

    def _locked(self) -> bool:
        """Take the lock; false where another run has it."""
        import filelock

        if self._lock is not None:
            return True
        path = self._lock_path
        lock = filelock.FileLock(path, thread_local=False)
        try:
            # Who only looks whether a run is under way has it for a moment.
            lock.acquire(timeout=0.1, poll_interval=0.02)
        except filelock.Timeout:
            if not path.exists():
                # Where nothing can be made, a lock cannot be had either; nobody holds it.
                raise _cannot_write(self._file, PermissionError(errno.EACCES, os.strerror(errno.EACCES))) from None
            return False
        self._lock = lock
        # Only for the message that a second writer gets; the lock itself is the operating system's, and where that
        # locks the bytes too (Windows), they cannot be written.
        with suppress(OSError):
            path.write_text(str(os.getpid()), encoding="ascii")
        return True

    def _in_use(self, holder: str) -> str:
        if self._recorded is not None and self._recorded.tree.parent is not None:
            return (
                f"this very edit is being made already: {holder} is writing {self._file}; "
                "wait for that run, or cancel it, and edit again: what it finished is not asked again"
            )
        return (
            f"cannot write {self._file}: {holder} is writing it; wait for that run, cancel it, or choose another name"
        )

    def _keep_what_was(self) -> None:
        """Before something new is written: what an interrupted run left in its journal, and a finished run."""
        recorded = self._recorded
        if self._damaged:
            set_aside(self._journal)
        if recorded is None:
            return
        if self._left_over:
            write_whole(self._file, document_of(recorded))
        elif recorded.tree.status == "done":
            keep_numbered(self._file)

    def _write(self, event: Event) -> None:
        assert self._lines is not None
        line = line_of(event, cell_id=self._cell())
        self._written += len(line)
        if self._written > safe_files.LARGEST_JOURNAL:
            raise too_large(self._journal, safe_files.LARGEST_JOURNAL)
        self._lines.write(line)
        self._lines.flush()
        since = time.monotonic() - self._synced
        if since >= SYNC_INTERVAL:
            self._sync()
        elif self._later is None:
            self._later = _call_later(SYNC_INTERVAL - since, self._sync_quietly)

    def _sync(self) -> None:
        assert self._lines is not None
        os.fsync(self._lines.fileno())
        self._require_there()
        self._synced = time.monotonic()

    def _sync_quietly(self) -> None:
        """When no further line comes, which would have done it; the next one tries again, and fails, if this fails."""
        self._later = None
        if self._lines is not None:
            with suppress(OSError):
                self._sync()

    def _let_go(self) -> None:
        """Close the journal: nothing is left to be synced."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()

    def _require_there(self) -> None:
        """A file that was removed while it is open takes lines without complaint, and keeps none."""
        if not self._journal.exists():
            raise FileNotFoundError(errno.ENOENT, "its folder, or its journal, was removed or moved while it ran")


def _call_later(seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle | None:
    """`None` where no loop runs: then nobody waits either, and the next line is not far."""
    try:
        return asyncio.get_running_loop().call_later(seconds, action)
    except RuntimeError:
        return None


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # What is replaced is another file, whatever the clock says.
    return found.st_mtime_ns, found.st_size, found.st_ino


def require_at_rest(path: Path) -> None:
    """Raises `ConfigurationError` while a run is being written there, by this process or another one."""
    import filelock

    lock = path.with_name(path.name + ".lock")
    if not lock.exists():
        return
    holder, held = _holder(lock), filelock.FileLock(lock, thread_local=False)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        raise ConfigurationError(
            f"the run in {path} is under way ({holder}); wait until it has ended, or cancel it first"
        ) from None
    except OSError:
        # Nothing can be locked here, so nobody has it locked.
        return
    held.release()


def load_recorded(path: Path) -> Recorded | None:
    """What is kept in `path` and in the journal beside it; the journal is read over the JSON.

    `None` if there is neither. Raises `CheckpointError` naming the file and what is wrong with it.
    """
    return _loaded(path)[0]


@_no_collection()
def _loaded(path: Path) -> tuple[Recorded | None, bool]:
    """What is kept, and whether there are lines in the journal that could not be read."""
    document = _read_document(path)
    journal = read_journal(path.with_name(path.stem + ".journal.jsonl"))
    if journal is None or journal.recorded is None:
        return document, journal is not None and journal.damaged
    try:
        require_no_circle(journal.recorded.tree)
    except ValueError as error:
        raise unusable(path, f"its journal is damaged: {error}") from None
    if document is None:
        return journal.recorded, journal.damaged
    if _same_execution(document.tree, journal.recorded.tree):
        # The crash came between writing the document and removing the journal.
        return document, journal.damaged
    return _over(document, journal.recorded, fresh=journal.fresh), journal.damaged


def _same_execution(tree: Tree, other: Tree) -> bool:
    """Earlier versions gave executions no name; of those, the time tells."""
    named = tree.execution or other.execution
    return tree.execution == other.execution if named else tree.started == other.started


def _over(document: Recorded, last: Recorded, *, fresh: bool) -> Recorded:
    """The run of a journal, begun over that of a document; `fresh`: it uses nothing of that."""
    nodes = (*document.earlier, *document.tree) if not fresh else ()
    # Another request, or the same made afresh, is another run: what the old one took is not held against it.
    same = not fresh and document.tree.request_key == last.tree.request_key
    return replace(
        last,
        earlier=still_useful(last.tree, nodes),
        cell_id=last.cell_id or document.cell_id,
        created=document.created,
        spent=last.spent + (document.spent if same else NOTHING),
        active_seconds=last.active_seconds + (document.active_seconds if same else 0.0),
    )


def _read_document(path: Path) -> Recorded | None:
    raw = read_whole(path)
    if raw is None:
        return None
    try:
        data = decoded(raw)
        del raw
        _check_format(path, data)
        return recorded_of(data)
    except (ValueError, RecursionError) as error:
        raise unusable(path, _in_words(error)) from error


def _check_format(path: Path, data: object) -> None:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise unusable(path, f'it is not an rlm checkpoint ("format" is not "{FORMAT}")')
    version = data.get("version")
    if isinstance(version, int) and version > VERSION:
        raise unusable(path, f"it has version {version}, and this rlm_notebook reads up to {VERSION}: upgrade it")


def _in_words(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"


def _loses(old: Recorded, new: Recorded) -> bool:
    """Answers that an unfinished run had are part of the new one no more: another task, or another model, took over."""
    if old.tree.status == "done" or _goes_on(old, new):
        # Kept before the first line was written.
        return False
    there = {node.result_key for node in (*new.tree, *new.earlier)}
    gaps = _with_gaps(old.tree)
    had = (*old.earlier, *(node for node in old.tree if node.id not in gaps))
    return any(node.state is NodeState.DONE and node.usage.calls and node.result_key not in there for node in had)


def _with_gaps(tree: Tree) -> set[str]:
    """What failed, and what was answered without it: that is made anew as soon as it is mended, and not missed."""
    found = more = {node.id for node in tree if node.state is NodeState.FAILED}
    while more:
        more = {
            node.id
            for node in tree
            if node.id not in found
            and not found.isdisjoint((*node.depends_on, *(child.id for child in tree.children(node.id))))
        }
        found |= more
    return found


def _goes_on(old: Recorded, new: Recorded) -> bool:
    """The old one is an edit that the new one finishes, or one that has done nothing yet: what it began from, and does
    not need any more, is kept where it was made."""
    if old.tree.parent is None:
        return False
    same = all(old.tree.settings.get(name) == new.tree.settings.get(name) for name in ("edit", "model", "planner"))
    return not old.spent.calls or (same and old.tree.parent == new.tree.parent)


def _checked(path: Path) -> Path:
    if os.path.isdir(path):
        raise CheckpointError(f"cannot use {path} as a checkpoint: it is a directory; name a file such as run.json")
    return path if path.suffix == ".json" else path.with_name(path.name + ".json")


def _cannot_write(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"cannot write the checkpoint {path}: {error.strerror or error}; choose a place that can be written"
    )


def _cannot_go_on(path: Path, error: OSError) -> CheckpointError:
    """For a run that has begun to spend: where its results are, and how it goes on."""
    return CheckpointError(
        f"cannot write the checkpoint {path}: {error.strerror or error}; the answer so far is in memory only "
        "(error.run.partial(), in a notebook _rlm.partial()). Make room, or put the folder back, and run again: "
        "what was kept before is not asked again"
    )


def _holder(lock: Path) -> str:
    try:
        process = int(lock.read_text(encoding="ascii"))
        return f"process {process}" if process != os.getpid() else "another run of this very session"
    except (OSError, ValueError):
        return "another run"
