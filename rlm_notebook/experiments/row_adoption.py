"""Takes over the rows that a renamed or copied notebook has in the folder of its old name.

The rule is that of runs (`checkpoints/location.py`): what answers is taken, from the folders beside a known notebook. A
file answers if it has the experiment's name and rows with its keys. It is moved if the notebook it belongs to is gone,
and copied if that is still there.
"""

from __future__ import annotations

from collections.abc import Collection

from ..checkpoints.location import adoption_line, is_orphan, notebook_path, papermill_folders, run_folder, run_folders
from ..core.choices import RunMode
from ..exceptions import CheckpointError
from ..host import current_host
from ..host.console import say
from .row_store import RowStore

__all__ = ["recorded_model", "with_rows_beside"]


def with_rows_beside(store: RowStore, keys: Collection[str], mode: RunMode) -> RowStore:
    """The store with the rows of these keys from beside the notebook, if its own file does not exist yet.

    A replay writes nothing: it gets the store in which they are, and so does an experiment whose rows are all done
    where nothing can be written. Raises `CheckpointError` if a file that would be moved cannot be read.
    """
    beside = [] if mode == "fresh" else _beside(store)
    best = max(beside, key=lambda other: _answered(other, keys), default=None)
    if best is None or best.path is None or store.path is None or not any(key in best for key in keys):
        return store
    if mode == "replay":
        return best
    source = best.path
    try:
        moved = store.take_over(best, move=is_orphan(source))
    except CheckpointError:
        # Another kernel has just adopted it, and writes it: opening the store says so.
        return store
    except OSError:
        return best if all(best.state(key) == "done" for key in keys) else store
    say(adoption_line(source, store.path, moved=moved))
    return store


def recorded_model(store: RowStore) -> str:
    """The name of the model that answered last, in its file or else in one that it may take over; "" if none."""
    return next((model for each in (store, *_beside(store)) if (model := each.model)), "")


def _answered(store: RowStore, keys: Collection[str]) -> tuple[int, int]:
    """How many rows it has that are done, and at all. Of equal ones, the first in `_beside` is taken."""
    states = [state for key in keys if (state := store.state(key)) is not None]
    return states.count("done"), len(states)


def _beside(store: RowStore) -> list[RowStore]:
    """The stores of the same name beside the known notebook, whose own folder has none yet; those of notebooks that
    are gone come first."""
    variables = current_host().variables
    notebook, path = notebook_path(variables), store.path
    if notebook is None or path is None or path.exists() or path.parent != run_folder(notebook):
        return []
    found = []
    for folder in dict.fromkeys([*run_folders(notebook.parent), *papermill_folders(variables)]):
        other = folder / path.name
        # What a link points to may be anywhere: nothing is moved out of it.
        if folder.is_symlink() or not other.exists():
            continue
        try:
            found.append(RowStore(other, trees=store.trees))
        except CheckpointError:
            if is_orphan(other):
                raise
    return sorted(found, key=lambda each: each.path is not None and not is_orphan(each.path))
