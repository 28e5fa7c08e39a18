"""Adopts a run from another folder: the run of a renamed notebook is moved, that of a copied one is copied."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from ..exceptions import CheckpointError, ConfigurationError
from .atomic_write import archive_paths
from .file_names import baseline_path, edits_of, journal_path

__all__ = ["adopt"]


def adopt(source: Path, target: Path, *, cell_id: str, move: bool) -> Path:
    """Writes the run at `source` to `target` as the run of this cell; returns the path at which the cell finds it.

    Its archived runs, edits and baseline come along. With `move`, the source is removed once the copy is on the disk; a
    run that is being written just now stays. Where nothing can be written, a finished run is used where it is. Raises
    `CheckpointError` if a source that would be moved cannot be read; one that would be copied belongs to somebody else
    and is passed over.
    """
    # Loads pydantic, which no cell without an adopted run needs at this point.
    from .json_file import JsonFile, load_recorded, require_at_rest

    try:
        recorded = load_recorded(source)
    except CheckpointError:
        if move:
            raise
        return target
    if recorded is None:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # False if another kernel has just adopted it.
        written = JsonFile(target, cell_id=cell_id or recorded.cell_id).claim(recorded)
    except (OSError, CheckpointError):
        return source if recorded.tree.status == "done" else target
    if not written:
        return target
    with suppress(OSError):
        for beside in (*archive_paths(source), *edits_of(source), baseline_path(source)):
            place = target.with_name(target.stem + beside.name.removeprefix(source.stem))
            if not beside.is_file() or beside.is_symlink() or os.path.lexists(place):
                continue
            if move:
                os.replace(beside, place)
            else:
                shutil.copyfile(beside, place)
    if move:
        with suppress(OSError, ConfigurationError):
            require_at_rest(source)
            source.unlink(missing_ok=True)
            journal_path(source).unlink(missing_ok=True)
            # Fails while there is something left in it.
            source.parent.rmdir()
    return target
