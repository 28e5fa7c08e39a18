"""The names of the files beside a run's own, `<name>.json`."""

from __future__ import annotations

import logging
import re
from pathlib import Path

__all__ = ["FOLDER_SUFFIX", "baseline_path", "edits_of", "journal_path", "make_folder"]

log = logging.getLogger("rlm_notebook")
FOLDER_SUFFIX = ".rlm"


def make_folder(file: Path) -> None:
    """Makes the folder of a file that is about to be written. Raises `OSError`.

    A new folder that the user named is mentioned, because its name may be misspelt, and the run that should be resumed
    be in another one; the folder of a notebook is not.
    """
    folder = file.parent
    named = folder.suffix != FOLDER_SUFFIX and not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if named:
        log.warning("made the folder %s, which is new, for %s", folder, file.name)


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
