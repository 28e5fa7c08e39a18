"""What `name` and `checkpoint` of an experiment mean: where its rows are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoints.location import ROWS_SUFFIX, checkpoint_without_cell, notebook_path, run_folders
from ..core.keys import digest
from ..exceptions import CheckpointError, ConfigurationError
from ..host import current_host
from .row_store import RowStore

__all__ = ["store_for"]


def store_for(name: str | None, checkpoint: Any, task: str, *, trees: bool = True) -> RowStore:
    """The store that `name` or `checkpoint` asks for: a file beside the notebook, a path, or memory.

    Raises `ConfigurationError`, and `CheckpointError` for a file that cannot be read or where several could be meant.
    """
    if name is not None and checkpoint is not None:
        raise ConfigurationError("name= and checkpoint= both say where the rows are recorded; give one of them")
    if isinstance(checkpoint, str | Path):
        path = Path(checkpoint)
        return RowStore(path if path.suffix == ".jsonl" else path.with_name(path.name + ROWS_SUFFIX), trees=trees)
    if checkpoint is not None and checkpoint is not True and checkpoint is not False:
        raise ConfigurationError(f"checkpoint={checkpoint!r}: expected a path such as 'rows.rlmx.jsonl', or True")
    if name is None and not checkpoint:
        return RowStore(None, trees=trees)
    key = digest(["experiment", task])
    beside = current_host().checkpoint_path(name, key, task) or checkpoint_without_cell(name, key, task)
    path = beside.with_name((name or beside.stem) + ROWS_SUFFIX)
    if notebook_path(current_host().variables) is None and not path.exists():
        # The notebook is not known: the file may be in the folder of any of those beside it.
        found = [folder / path.name for folder in run_folders(path.parent.parent) if (folder / path.name).exists()]
        if len(found) > 1:
            named = ", ".join(f"{each.parent.name}/{each.name}" for each in found)
            raise CheckpointError(f"several files could be this experiment's: {named}; name one with checkpoint=PATH")
        path = found[0] if found else path
    return RowStore(path, trees=trees)
