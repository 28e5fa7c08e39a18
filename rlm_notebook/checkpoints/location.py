"""Finds the notebook, and the JSON file beside it that belongs to a cell.

The runs of `analysis.ipynb` are in `analysis.rlm/<name>.json`. Nothing here uses the network.
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..exceptions import CheckpointError, ConfigurationError
from .safe_files import read_header

__all__ = [
    "Cell",
    "FilesInUse",
    "checked_name",
    "checkpoint_for",
    "checkpoint_without_cell",
    "find_notebook",
    "is_archived",
    "notebook_path",
    "run_files",
    "run_folder",
    "run_folders",
]

FOLDER_SUFFIX = ".rlm"
UNNAMED = "notebook"
_NUMBERED = re.compile(r"\.\d+$")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10))}
LONGEST_NAME = 80


def notebook_path(variables: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Path | None:
    """The path of this kernel's `.ipynb`, or `None` where no front end reports it (nbclient, a terminal).

    RLM_NOTEBOOK_PATH takes precedence; the file need not exist. Raises `ConfigurationError` if it does not end in
    `.ipynb`.
    """
    return find_notebook(variables, environment)[0]


def find_notebook(variables: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> tuple[Path | None, str]:
    """The path as `notebook_path` gives it, and the source of it; without a path, what to do."""
    configured = environment.get("RLM_NOTEBOOK_PATH")
    if configured:
        if not configured.endswith(".ipynb"):
            raise ConfigurationError(f"RLM_NOTEBOOK_PATH={configured}: expected the path of a notebook, NAME.ipynb")
        return Path(configured).expanduser().absolute(), "RLM_NOTEBOOK_PATH"
    candidates = {
        "VS Code": variables.get("__vsc_ipynb_file__"),
        "papermill, output": variables.get("PAPERMILL_OUTPUT_PATH"),
        "papermill, input": variables.get("PAPERMILL_INPUT_PATH"),
        "the Jupyter server, JPY_SESSION_NAME": environment.get("JPY_SESSION_NAME"),
    }
    for source, candidate in candidates.items():
        if isinstance(candidate, str) and candidate.endswith(".ipynb") and Path(candidate).is_file():
            return Path(candidate).absolute(), source
    return None, "no front end reports it; set RLM_NOTEBOOK_PATH to name it"


def run_folder(notebook: Path) -> Path:
    return notebook.with_suffix(FOLDER_SUFFIX)


class Cell:
    """One execution of a cell: its `--name`, the front end's cell id, the request key, the task, the execution's id."""

    def __init__(self, *, name: str | None, cell_id: str, request_key: str, task: str, execution: str = "") -> None:
        self.name = checked_name(name) if name is not None else None
        self.cell_id = cell_id
        self.request_key = request_key
        self.task = task
        self.execution = execution


class FilesInUse:
    """Which cell uses which file in this session: two equal cells, or two tasks of one cell, must not share a file."""

    def __init__(self) -> None:
        self._users: dict[Path, Cell] = {}

    def used(self, path: Path, cell: Cell) -> None:
        self._users[path] = cell

    def by_another(self, path: Path, cell: Cell) -> bool:
        """Another cell uses the file, or another task of the same execution does (a cell with a loop)."""
        user = self._users.get(path)
        if user is None or not cell.cell_id:
            return False
        other_task = user.execution == cell.execution and user.request_key != cell.request_key
        return user.cell_id != cell.cell_id or other_task


def checkpoint_for(
    cell: Cell, notebook: Path | None, working_directory: Path, in_use: FilesInUse | None = None
) -> Path:
    """The path of a cell's JSON file, which need not exist yet.

    Raises `CheckpointError` if the notebook's path is unknown and files in several folders match.
    """
    in_use = in_use if in_use is not None else FilesInUse()
    if notebook is not None:
        return _in_folder(cell, run_folder(notebook), in_use)
    found = (_existing_file(cell, folder, in_use) for folder in run_folders(working_directory))
    matches = [path for path in found if path is not None]
    if len(matches) > 1:
        named = ", ".join(str(path.relative_to(working_directory)) for path in matches)
        raise CheckpointError(
            f"several recorded runs could be this cell's: {named}; name one with --checkpoint PATH, "
            "or set RLM_NOTEBOOK_PATH to the notebook's path"
        )
    return matches[0] if matches else _in_folder(cell, working_directory / (UNNAMED + FOLDER_SUFFIX), in_use)


def checkpoint_without_cell(name: str | None, request_key: str, task: str) -> Path:
    """The path of a task's JSON file in a script or a terminal. Raises as `checkpoint_for`."""
    cell = Cell(name=name, cell_id="", request_key=request_key, task=task)
    return checkpoint_for(cell, notebook_path({}), Path.cwd())


def run_folders(directory: Path) -> list[Path]:
    """The `*.rlm` folders in a directory, sorted."""
    try:
        return sorted(path for path in directory.glob("*" + FOLDER_SUFFIX) if path.is_dir())
    except OSError:
        return []


def _in_folder(cell: Cell, folder: Path, in_use: FilesInUse) -> Path:
    existing = _existing_file(cell, folder, in_use)
    if existing is not None or cell.name is not None:
        return existing or folder / f"{cell.name}.json"
    slug = slug_of(cell.task)
    names = itertools.chain([slug], (f"{slug}-{number}" for number in itertools.count(2)))
    paths = (folder / f"{name}.json" for name in names)
    return next(path for path in paths if not path.exists() and not _journal(path).exists())


def _existing_file(cell: Cell, folder: Path, in_use: FilesInUse) -> Path | None:
    """The cell's file in `folder`: by name; without one, by the cell's id or else by the request key."""
    if cell.name is not None:
        path = folder / f"{cell.name}.json"
        return path if path.exists() or _journal(path).exists() else None
    mine, same = [], []
    for path in run_files(folder):
        if is_archived(path) or in_use.by_another(path, cell):
            continue
        header = read_header(path if path.exists() else _journal(path))
        settings = header.get("engine", header.get("settings"))
        if header.get("parent") or (isinstance(settings, dict) and settings.get("baseline")):
            # An edit of a run, or its baseline, has the same request but another answer: it is found by name only.
            continue
        if cell.cell_id and header.get("cell_id") == cell.cell_id:
            mine.append(path)
        if cell.request_key and header.get("request_key") == cell.request_key:
            same.append(path)
    # A cell with a loop has several files: the one with this request comes first.
    both = [path for path in mine if path in same]
    return next(iter((*both, *mine, *same)), None)


def is_archived(path: Path) -> bool:
    """Whether the file is a numbered copy of an earlier run."""
    return bool(_NUMBERED.search(path.stem))


def run_files(folder: Path) -> list[Path]:
    """The JSON path of every run in a folder, archived ones included; it may not exist yet beside a journal."""
    try:
        found = set(folder.glob("*.json"))
        found |= {
            path.with_name(path.name.replace(".journal.jsonl", ".json")) for path in folder.glob("*.journal.jsonl")
        }
    except OSError:
        return []
    return sorted(found)


def _journal(path: Path) -> Path:
    return path.with_name(path.stem + ".journal.jsonl")


def slug_of(task: str) -> str:
    """A file name made of the first words of a task."""
    plain = unicodedata.normalize("NFKD", task[:400]).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)[:6]
    slug = "-".join(words)[:48].strip("-")
    return f"run-{slug}".strip("-") if slug in {"", *_RESERVED} else slug


def checked_name(name: str) -> str:
    """The name, if it is one path component that is valid on every system; else raises `ConfigurationError`."""
    if not name or len(name) > LONGEST_NAME:
        problem = f"a name has 1 to {LONGEST_NAME} characters"
    elif any(not char.isprintable() or char in '/\\:*?"<>|' for char in name):
        problem = "it contains characters that are not allowed in file names on every system"
    elif name.startswith(".") or name.endswith((".", " ")) or name.split(".")[0].lower() in _RESERVED:
        problem = "it is reserved, or begins or ends with a dot or space"
    elif _NUMBERED.search(name):
        problem = "names that end in .NUMBER are reserved for copies of earlier runs"
    else:
        return name
    raise ConfigurationError(f"--name {name!r}: {problem}; use letters, digits, '-', '_' and '.'")
