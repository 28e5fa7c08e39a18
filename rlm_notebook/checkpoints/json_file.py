"""The JSON file beside the notebook, and the journal that becomes it.

Theory of operation
===================
Files. `<name>.json` is the document of the last completed write. `<name>.journal.jsonl` holds the durable events of an
execution since then, one a line. Either file alone is enough to resume; where both exist, the journal is read over the
document. `<name>.json.lock` belongs to the only writer, `<name>.json.tmp` exists during a write, and `<name>.1.json` to
`.3.json` are finished runs that a later one replaced.

States of a `JsonFile`:

    created --read()--> read --open()--> writing --compact()--> compacted --close()--> closed

`append` buffers events until `open` is called, which happens before the first model call. A run that calls no model
therefore never opens anything and leaves the file byte for byte unchanged. `open` takes the lock, preserves what the
files hold (below), starts an empty journal and writes the buffered events. While writing, `append` flushes each line
before the run uses the result, and syncs to the disk at most every `SYNC_INTERVAL` seconds; a timer syncs the last
lines. `compact` writes the document, then removes the journal. `claim`, `supersede` and `restore` are shortcuts from
created to closed: they write the first document of a fork, unless the name is taken; the next version of a run; and an
earlier version.

Versions. A change that a person makes in the tree of a cell (an edit, a retry) gives the next version of the run in
the same file. The document before it becomes a numbered copy, as one does that another run replaces; only more copies
are retained, because each is one step of undoing. A document names the version before it by its execution id, not by a
number: numbers move. Restoring makes the present document a copy first, so that at every moment all versions exist.

Who may change a state: the event log of one run, on the run's event loop. Other runs and processes are excluded by the
operating system's lock on the lock file; the process id in it only serves the error message.

What must never happen:
- One writer overwrites what another wrote between `read` and `open`: the files' signatures are compared under the lock.
- A journal disappears before its document is on the disk: `write_whole` syncs the file and the folder first.
- A result that was paid for is lost: an interrupted journal is merged into the document before a new one begins, a
  damaged journal is copied, and a document whose answers the new run does not contain is archived.
- Anything outside the folder is written: every path must be a regular file, not a link.

Why two files: appending a line costs the same however large the run is, and a document can be read, compared and
validated. Writing the document for every event would make the cost of a run quadratic.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from ..core.events import Event
from ..core.records import still_useful
from ..core.redaction import narrower, store_of
from ..core.tree import NodeState, Recorded, Tree
from ..core.usage import NOTHING
from ..exceptions import CheckpointError, ConfigurationError
from . import safe_files
from .atomic_write import (
    RETAINED,
    archive,
    archive_path,
    archive_paths,
    copy_damaged,
    copy_whole,
    temporary,
    write_whole,
)
from .document import FORMAT, VERSION, lazy_document_of, recorded_of, require_acyclic
from .file_lock import Held, WriterLock, locked
from .file_names import make_folder
from .heads import head_of
from .journal import line_of, read_journal
from .safe_files import parse_json, read_header, read_whole, require_regular, too_large, unusable

__all__ = ["JsonFile", "load_recorded", "require_at_rest"]

#: Seconds between two syncs of the journal to the disk: the most that a power loss can take.
SYNC_INTERVAL = 0.2
#: How many copies are retained when a change makes a new version of a run.
MOST_VERSIONS = 20
#: From so many new objects on, a scan of them by the garbage collector is worth preventing.
MANY_OBJECTS = 50_000


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Disables the collector while hundreds of thousands of objects are created and none is freed: it would scan all of
    them repeatedly and double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            # Of a process that has frozen its objects, counting those takes longer than reading a small file.
            if gc.get_count()[0] > MANY_OBJECTS and not gc.get_freeze_count():
                # Moves the new objects into the oldest generation without scanning them.
                gc.freeze()
                gc.unfreeze()
            gc.enable()


class JsonFile:
    """The `Journal` that writes a run to `path`, a `.json` file. The module docstring explains its states.

    Raises `CheckpointError` where the file cannot be read or written, or is locked by another writer; in these cases no
    file was changed. `cell_id` is recorded, so that an edited cell finds its file again. `related` are the files of
    runs of the same request with other options.
    """

    def __init__(self, path: str | Path, *, cell_id: str = "", related: Iterable[Path] = ()) -> None:
        file = Path(path)
        if os.path.isdir(file):
            raise CheckpointError(f"cannot use {file} as a checkpoint: it is a directory; name a file such as run.json")
        self._file = file if file.suffix == ".json" else file.with_name(file.name + ".json")
        #: `None` after `open` failed: nothing of this run is in the file, so no message may name it.
        self.path: Path | None = self._file
        self._journal = self._file.with_name(self._file.stem + ".journal.jsonl")
        self._lock = WriterLock(self._file)
        self._cell_id = cell_id
        self._related = tuple(related)
        self._buffered: list[Event] = []
        self._lines: IO[bytes] | None = None
        self._written = 0
        self._synced = 0.0
        self._sync_timer: asyncio.TimerHandle | None = None
        self._recorded: Recorded | None = None
        self._had_journal = False
        self._had_damage = False
        self._signatures_read: list[tuple[int, ...] | None] = []

    def read(self) -> Recorded | None:
        self._require_regular()
        self._signatures_read = self._signatures()
        self._recorded, self._had_damage = _load(self._file)
        self._had_journal = self._journal.exists()
        return self._recorded

    def open(self) -> None:
        try:
            make_folder(self._file)
            self._require_regular()
            self._acquire()
            self._require_unchanged()
            # Nothing of an interrupted journal or of a finished run is lost when a new journal begins.
            if self._had_damage:
                copy_damaged(self._journal)
            if self._recorded is not None and self._had_journal:
                write_whole(self._file, lazy_document_of(self._recorded))
            elif self._recorded is not None and self._recorded.tree.status == "done":
                archive(self._file)
            self._lines, self._written = self._journal.open("wb"), 0
            for event in self._buffered:
                self._write(event)
        except (OSError, CheckpointError) as error:
            self.close()
            self.path = None
            if isinstance(error, OSError):
                raise _cannot_write(self._file, error) from error
            raise
        self._buffered.clear()

    def claim(self, recorded: Recorded) -> bool:
        """Writes `recorded` as the first document of a new run; false if the name is taken or locked.

        An empty journal, left by a process that died before its first event, does not count as taken. Raises
        `CheckpointError` where nothing can be written.
        """

        def taken() -> bool:
            return self._file.exists() or (self._journal.exists() and self._journal.stat().st_size > 0)

        try:
            self._require_regular()
            if taken() or not self._lock.take() or taken():
                return False
            self._journal.unlink(missing_ok=True)
            write_whole(self._file, lazy_document_of(replace(recorded, cell_id=self._recorded_cell_id())))
        except OSError as error:
            raise _cannot_write(self._file, error) from error
        finally:
            self.close()
        return True

    # -- versions ------------------------------------------------------------------------------------------------------

    def versions(self) -> list[Recorded]:
        """The numbered copies, newest first. One that cannot be read is left out."""
        return _readable(archive_paths(self._file))

    def version_after(self, executions: Collection[str]) -> str:
        """The execution id of the newest copy that a change of one of these executions made, or ""."""
        heads = map(head_of, archive_paths(self._file))
        return next((head.execution for head in heads if head.version_before in executions), "")

    def related(self) -> list[Recorded]:
        """The runs of the same request in other files. One that cannot be read is left out."""
        return _readable(self._related)

    def supersede(self, recorded: Recorded, known: Collection[str]) -> None:
        """Writes `recorded` as the next version of this run; what the file holds becomes a numbered copy.

        `known` are the executions whose document may be superseded. Raises `CheckpointError` if the file holds another
        one, or cannot be written.
        """
        with self._exclusively():
            before = self.read()
            if before is not None and before.tree.execution not in known:
                raise CheckpointError(
                    f"cannot change {self._file}: another run has replaced the one that is shown; run the cell again"
                )
            if before is not None:
                self._preserve_as_version()
            created = before.created if before is not None else recorded.created
            next_version = replace(recorded, cell_id=self._recorded_cell_id(), created=created)
            write_whole(self._file, lazy_document_of(next_version))
            self._journal.unlink(missing_ok=True)

    def restore(self, execution: str) -> None:
        """Makes the version with this execution id the present one; what the file holds becomes a numbered copy.

        Raises `CheckpointError` if there is no such version, or if it cannot be written.
        """
        with self._exclusively():
            self.read()
            if self._place_of(execution) is None:
                raise CheckpointError(
                    f"cannot restore that version of {self._file}: it is no longer there; "
                    f"`%rlm versions {self._file.stem}` lists those that are"
                )
            if self._recorded is not None:
                self._preserve_as_version()
            place = self._place_of(execution)
            assert place is not None
            copy_whole(place, self._file)
            self._journal.unlink(missing_ok=True)
            place.unlink()
            # The older copies move up: the numbers have no gap.
            older = archive_path(self._file, int(place.stem.rpartition(".")[2]) + 1)
            while older.exists():
                os.replace(older, place)
                place, older = older, archive_path(self._file, int(older.stem.rpartition(".")[2]) + 1)

    def _preserve_as_version(self) -> None:
        """The present document as a copy, after an interrupted journal was merged into it."""
        self._require_regular()
        if self._had_damage:
            copy_damaged(self._journal)
        if self._had_journal and self._recorded is not None:
            write_whole(self._file, lazy_document_of(self._recorded))
        archive(self._file, MOST_VERSIONS)

    def _place_of(self, execution: str) -> Path | None:
        """The numbered copy with this execution id."""
        places = archive_paths(self._file)
        return next((place for place in places if read_header(place).get("execution") == execution), None)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Holds the lock for a change of the files at rest."""
        try:
            self._require_regular()
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._acquire()
            yield
        except OSError as error:
            raise _cannot_write(self._file, error) from error
        finally:
            self.close()

    # -- a run's events ------------------------------------------------------------------------------------------------

    def append(self, event: Event) -> None:
        if self._lines is None:
            self._buffered.append(event)
            return
        try:
            self._write(event)
        except OSError as error:
            raise _cannot_continue(self._journal, error) from error

    def compact(self, recorded: Recorded) -> None:
        if self._lines is not None:
            try:
                self._require_journal()
                # A finished run was archived before the first line of the new one was written.
                self._replace(recorded, is_archived=self._recorded is None or self._recorded.tree.status == "done")
            except OSError as error:
                raise _cannot_continue(self._file, error) from error
        elif self._is_outdated(recorded):
            # All results are on the disk already: where the final form cannot be written, the present one remains.
            with suppress(OSError, CheckpointError):
                self._acquire()
                self._require_unchanged()
                self._replace(recorded, is_archived=False)

    def close(self) -> None:
        # Events of a run that opened nothing must not become part of the next run in this file.
        self._buffered.clear()
        with suppress(OSError):
            self._close_journal()
        self._lock.release()

    # -- what the files hold -------------------------------------------------------------------------------------------

    def _require_regular(self) -> None:
        """Refuses links, so that nothing outside the folder is written; the folder itself must not be a link either."""
        copies = {*(archive_path(self._file, 1 + number) for number in range(RETAINED)), *archive_paths(self._file)}
        require_regular([self._file, self._journal, self._lock.path, temporary(self._file), *copies])
        folder = self._file.parent
        if folder.suffix == ".rlm" and os.path.islink(folder):
            raise CheckpointError(
                f"cannot use {folder}: it is a symbolic link; name the folder it points to with --checkpoint PATH"
            )

    def _signatures(self) -> list[tuple[int, ...] | None]:
        """Shows whether another writer changed the files, without reading them."""
        found: list[tuple[int, ...] | None] = []
        for path in (self._file, self._journal):
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                # The inode: a replaced file is another one, even where the clock did not advance.
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return found

    def _require_unchanged(self) -> None:
        """Results that another writer added since `read` would be lost."""
        if self._signatures_read and self._signatures_read != self._signatures():
            raise CheckpointError(
                f"cannot write {self._file}: another run changed it in the meantime; run again to continue from there"
            )

    def _is_outdated(self, recorded: Recorded) -> bool:
        """No model was called, but the file is not the final form of this run, or holds more than `store` allows."""
        before = self._recorded
        if recorded.tree.status != "done":
            return False
        answer = recorded.tree.root
        known = before.tree.root if before is not None else None
        if before is None or known is None or answer is None or known.result_key != answer.result_key:
            # The answer is that of another version, or of a run with other options.
            return True
        # A request may differ in a variable that no node read. The file then gets the new request's key, so that a
        # replay finds it.
        same_request = before.tree.request_key == recorded.tree.request_key
        final = not self._had_journal and before.tree.status == "done" and same_request
        return not final or narrower(store_of(recorded), store_of(before))

    def _replace(self, recorded: Recorded, *, is_archived: bool) -> None:
        created = self._recorded.created if self._recorded else 0.0
        if self._recorded is not None and not is_archived and _loses_answers(self._recorded, recorded):
            archive(self._file)
        write_whole(self._file, lazy_document_of(replace(recorded, cell_id=self._recorded_cell_id(), created=created)))
        self._close_journal()
        self._journal.unlink(missing_ok=True)

    def _recorded_cell_id(self) -> str:
        return self._cell_id or (self._recorded.cell_id if self._recorded else "")

    # -- the lock ------------------------------------------------------------------------------------------------------

    def _acquire(self) -> None:
        if self._lock.take():
            return
        holder = self._lock.holder("run")
        if self._recorded is not None and self._recorded.tree.parent is not None:
            raise CheckpointError(
                f"this very edit is being made already: {holder} is writing {self._file}; "
                "wait for that run, or cancel it, and edit again: finished results are reused"
            )
        raise CheckpointError(
            f"cannot write {self._file}: {holder} is writing it; wait for that run, cancel it, or choose another name"
        )

    # -- the journal ---------------------------------------------------------------------------------------------------

    def _write(self, event: Event) -> None:
        assert self._lines is not None
        line = line_of(event, cell_id=self._recorded_cell_id())
        self._written += len(line)
        if self._written > safe_files.LARGEST_JOURNAL:
            raise too_large(self._journal, safe_files.LARGEST_JOURNAL)
        self._lines.write(line)
        self._lines.flush()
        since = time.monotonic() - self._synced
        if since >= SYNC_INTERVAL:
            self._sync()
        elif self._sync_timer is None:
            # Without a running loop nothing waits between two lines: the next line syncs.
            with suppress(RuntimeError):
                self._sync_timer = asyncio.get_running_loop().call_later(SYNC_INTERVAL - since, self._sync_last_lines)

    def _sync(self) -> None:
        assert self._lines is not None
        os.fsync(self._lines.fileno())
        self._require_journal()
        self._synced = time.monotonic()

    def _sync_last_lines(self) -> None:
        """The timer's action where no further line came. An error is left to the next line, which raises it."""
        self._sync_timer = None
        if self._lines is not None:
            with suppress(OSError):
                self._sync()

    def _require_journal(self) -> None:
        """A file that was removed while open accepts lines without an error, and loses them."""
        if not self._journal.exists():
            raise FileNotFoundError(errno.ENOENT, "its folder, or its journal, was removed or moved while it ran")

    def _close_journal(self) -> None:
        if self._sync_timer is not None:
            self._sync_timer.cancel()
            self._sync_timer = None
        lines, self._lines = self._lines, None
        if lines is not None:
            lines.close()


def require_at_rest(path: Path) -> None:
    """Raises `ConfigurationError` while this or another process writes a run to `path`."""
    lock = WriterLock(path)
    if not lock.path.exists():
        return
    holder = lock.holder("run")
    try:
        unlock = locked(lock.path)
    except Held:
        raise ConfigurationError(
            f"the run in {path} is under way ({holder}); wait until it has ended, or cancel it first"
        ) from None
    except OSError:
        # Nothing can be locked in this folder, so no run holds a lock.
        return
    unlock()


# -- reading -----------------------------------------------------------------------------------------------------------


def load_recorded(path: Path) -> Recorded | None:
    """The run in `path` and in the journal beside it, which is read over the document; `None` if there is neither.

    Raises `CheckpointError` naming the file and what is wrong with it.
    """
    return _load(path)[0]


def _readable(paths: Iterable[Path]) -> list[Recorded]:
    """The documents at these paths, without those that cannot be read."""
    found = []
    for path in paths:
        with suppress(CheckpointError):
            found.append(_read_document(path))
    return [each for each in found if each is not None]


@_without_garbage_collection()
def _load(path: Path) -> tuple[Recorded | None, bool]:
    """The recorded run, and whether the journal has lines that cannot be read."""
    document = _read_document(path)
    journal = read_journal(path.with_name(path.stem + ".journal.jsonl"))
    if journal is None or journal.recorded is None:
        return document, journal is not None and journal.damaged
    try:
        require_acyclic(journal.recorded.tree)
    except ValueError as error:
        raise unusable(path, f"its journal is damaged: {error}") from None
    last = journal.recorded
    if document is None:
        return last, journal.damaged
    # Files of earlier versions have no execution ids; their start times are compared instead.
    named = document.tree.execution or last.tree.execution
    one, other = ((each.tree.execution if named else each.tree.started) for each in (document, last))
    if one == other:
        # The process died after it wrote the document and before it removed the journal.
        return document, journal.damaged
    # The run was started over that of the document. A fresh one reuses nothing of it; and like another request, it
    # starts its own account of usage and time.
    nodes = (*document.earlier, *document.tree) if not journal.fresh else ()
    same_run = not journal.fresh and document.tree.request_key == last.tree.request_key
    merged = replace(
        last,
        earlier=still_useful(last.tree, nodes),
        cell_id=last.cell_id or document.cell_id,
        created=document.created,
        spent=last.spent + (document.spent if same_run else NOTHING),
        active_seconds=last.active_seconds + (document.active_seconds if same_run else 0.0),
    )
    return merged, journal.damaged


def _read_document(path: Path) -> Recorded | None:
    raw = read_whole(path)
    if raw is None:
        return None
    try:
        data = parse_json(raw)
        del raw
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise unusable(path, f'it is not an rlm checkpoint ("format" is not "{FORMAT}")')
        version = data.get("version")
        if isinstance(version, int) and version > VERSION:
            raise unusable(path, f"it has version {version}, and this rlm_notebook reads up to {VERSION}: upgrade it")
        return recorded_of(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise unusable(path, f"{field}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise unusable(path, str(error)) from error


# -- whether answers would be lost -------------------------------------------------------------------------------------


def _loses_answers(old: Recorded, new: Recorded) -> bool:
    """Whether the `old` run has paid answers that `new` lacks: its task or its model changed."""
    # An edit that `new` completes, or one that has called no model: what it started from and no longer needs is in the
    # version before it, or in the file of the run that was edited.
    settings, changed = old.tree.settings, new.tree.settings
    changes = settings.get("changes")
    if changes and changes == changed.get("changes") and old.tree.request_key == new.tree.request_key:
        return False
    if old.tree.parent is not None:
        same = all(settings.get(name) == changed.get(name) for name in ("edit", "model", "planner"))
        if not old.spent.calls or (same and old.tree.parent == new.tree.parent):
            return False
    present = {node.result_key for node in (*new.tree, *new.earlier)}
    incomplete = _failed_or_built_on_failure(old.tree)
    answered = (*old.earlier, *(node for node in old.tree if node.id not in incomplete))
    return any(
        node.state is NodeState.DONE and node.usage.calls and node.result_key not in present for node in answered
    )


def _failed_or_built_on_failure(tree: Tree) -> set[str]:
    """Nodes that failed, and those answered without them: both are replaced once the failure is mended, so that the old
    answers are no loss."""
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


# -- errors ------------------------------------------------------------------------------------------------------------


def _cannot_write(path: Path, error: OSError) -> CheckpointError:
    return CheckpointError(
        f"cannot write the checkpoint {path}: {error.strerror or error}; choose a place that can be written"
    )


def _cannot_continue(path: Path, error: OSError) -> CheckpointError:
    """For a run that has called models: where its results are, and what to do next."""
    return CheckpointError(
        f"cannot write the checkpoint {path}: {error.strerror or error}; the answer so far is in memory only "
        "(error.run.partial()). Make room, or restore the folder, and run again: "
        "results saved before the error are reused"
    )
