"""The names of the files beside a run's own, `<name>.json`."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["baseline_path", "edits_of", "journal_path"]


def journal_path(path: Path) -> Path:
    """The journal of the run at `path`."""
    return path.with_name(path.stem + ".journal.jsonl")


def baseline_path(path: Path) -> Path:
    """The file with the plain answer that the run at `path` is compared with."""
    return path.with_name(f"{path.stem}-baseline.json")


def edits_of(path: Path) -> list[Path]:
    """The files of the edits of the run at `path`."""
    is_edit = re.compile(re.escape(path.stem) + r"-edit(-\d+)?\.json")
    return sorted(each for each in path.parent.iterdir() if is_edit.fullmatch(each.name))
