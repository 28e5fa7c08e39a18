"""The files of a run's edits: `<name>-edit.json`, `<name>-edit-2.json`, ..."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from ..core.choices import Store
from ..core.tree import Recorded
from ..exceptions import CheckpointError
from ..ports.run import Journal
from .file_names import edits_of
from .memory import MemoryJournal
from .selection import journal_for, recorded_in

__all__ = ["existing_edit", "new_edit"]


def existing_edit(path: Path | None, wanted: Recorded, store: Store) -> Journal | None:
    """The file beside that at `path` which holds the same edit of the same run, or `None`."""
    if path is None or not wanted.tree.settings.get("edit"):
        return None
    tree = wanted.tree
    edit = (tree.parent, tree.request_key, tree.settings.get("edit"))
    # An edit that was renamed to a number, because another one took its name, is not found.
    for place in edits_of(path.with_name(f"{_stem(path)}.json")):
        try:
            recorded = recorded_in(place)
        except CheckpointError:
            continue
        if recorded is None:
            continue
        tree = recorded.tree
        if (tree.parent, tree.request_key, tree.settings.get("edit")) == edit:
            return journal_for(place, request_key="", task="", store=store)
    return None


def new_edit(path: Path | None, recorded: Recorded, store: Store) -> Journal:
    """A journal that holds `recorded`: in memory, or a new file `<name>-edit.json` beside that at `path`.

    Raises `CheckpointError` where that cannot be written.
    """
    if path is None:
        memory = MemoryJournal()
        memory.open()
        memory.compact(recorded)
        memory.close()
        return memory
    for number in itertools.count(1):
        name = f"{_stem(path)}-edit.json" if number == 1 else f"{_stem(path)}-edit-{number}.json"
        place = path.with_name(name)
        file: Any = journal_for(place, request_key="", task="", store=store)
        if file.claim(recorded):
            claimed: Journal = file
            return claimed
    raise AssertionError("unreachable: there are names without end")


def _stem(path: Path) -> str:
    return re.sub(r"-edit(-\d+)?$", "", path.stem)
