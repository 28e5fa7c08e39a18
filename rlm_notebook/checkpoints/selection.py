"""Chooses the journal that a `checkpoint=` argument asks for, and reads what a path holds.

`json_file` loads pydantic, so it is imported when a file is first used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.choices import Store
from ..core.tree import Recorded
from ..exceptions import ConfigurationError
from ..host import current_host
from ..ports.run import Journal
from .location import checkpoint_without_cell
from .memory import MemoryJournal
from .redacted import RedactedJournal

__all__ = ["journal_for", "recorded_in", "require_at_rest"]


def journal_for(checkpoint: Any, *, request_key: str, task: str, store: Store = "full") -> Journal:
    """The journal that `checkpoint` asks for: `None` (memory), a path, `True` (beside the notebook), or a journal.

    A file holds as much of the texts as `store` says. Raises `ConfigurationError` for anything else.
    """
    if checkpoint is None or checkpoint is False:
        return MemoryJournal()
    if checkpoint is True:
        found = current_host().checkpoint_path(None, request_key, task)
        checkpoint = found or checkpoint_without_cell(None, request_key, task)
    if isinstance(checkpoint, str | Path):
        from .json_file import JsonFile

        checkpoint = JsonFile(checkpoint)
    if not hasattr(checkpoint, "append") or not hasattr(checkpoint, "compact"):
        raise ConfigurationError(f"checkpoint={checkpoint!r}: expected None, True or a path such as 'run.json'")
    journal: Journal = checkpoint
    return journal if store == "full" or journal.path is None else RedactedJournal(journal, store)


def recorded_in(path: Path) -> Recorded | None:
    """The run in a file, or `None` if there is no file. Raises `CheckpointError` for what cannot be read."""
    from .json_file import load_recorded

    return load_recorded(path)


def require_at_rest(path: Path) -> None:
    """Raises `ConfigurationError` while a run is being written there, by this process or another one."""
    from . import json_file

    json_file.require_at_rest(path)
