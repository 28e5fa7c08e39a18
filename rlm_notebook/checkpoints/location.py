"""Where is the notebook, and which JSON beside it belongs to this cell?

`analysis.ipynb` keeps its runs in `analysis.rlm/<name>.json`. The network is never asked.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..exceptions import CheckpointError, ConfigurationError
from .safe_files import head_of

__all__ = [
    "Cell",
    "FilesInUse",
    "checked_name",
    "checkpoint_for",
    "is_numbered",
    "kept_files",
    "notebook_found",
    "notebook_path",
    "place_without_cell",
    "run_folder",
    "run_folders",
]

FOLDER_SUFFIX = ".rlm"
UNNAMED = "notebook"
_NUMBERED = re.compile(r"\.\d+$")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{p}{n}" for p in ("com", "lpt") for n in range(1, 10))}
LONGEST_NAME = 80


def notebook_path(variables: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Path | None:
    """The `.ipynb` that this kernel serves, or `None` where no front end says (nbclient, a terminal).

    RLM_NOTEBOOK_PATH is taken as it is; raises `ConfigurationError` if that names no notebook.
    """
    return notebook_found(variables, environment)[0]


def notebook_found(
    variables: Mapping[str, Any], environment: Mapping[str, str] = os.environ
) -> tuple[Path | None, str]:
    """The notebook as `notebook_path` finds it, and who said so."""
    said = environment.get("RLM_NOTEBOOK_PATH")
    if said:
        if not said.endswith(".ipynb"):
            raise ConfigurationError(f"RLM_NOTEBOOK_PATH={said}: expected the path of a notebook, NAME.ipynb")
        return Path(said).expanduser().absolute(), "RLM_NOTEBOOK_PATH"
    candidates = {
        "VS Code": variables.get("__vsc_ipynb_file__"),
        "papermill, output": variables.get("PAPERMILL_OUTPUT_PATH"),
        "papermill, input": variables.get("PAPERMILL_INPUT_PATH"),
        "the Jupyter server, JPY_SESSION_NAME": environment.get("JPY_SESSION_NAME"),
    }
    for rule, candidate in candidates.items():
        if isinstance(candidate, str) and candidate.endswith(".ipynb") and Path(candidate).is_file():
            return Path(candidate).absolute(), rule
    return None, "no front end says; set RLM_NOTEBOOK_PATH to name it"


def run_folder(notebook: Path) -> Path:
    return notebook.with_suffix(FOLDER_SUFFIX)


class Cell:
    """What is known of a cell: its name if it gave one, the front end's id, what it asks, and its execution."""

    def __init__(self, *, name: str | None, cell_id: str, request_key: str, task: str, execution: str = "") -> None:
        self.name = checked_name(name) if name is not None else None
        self.cell_id = cell_id
        self.request_key = request_key
        self.task = task
        self.execution = execution


class FilesInUse:
    """Who uses which file in this session, so that two tasks of one cell, or two like cells, do not share one."""

    def __init__(self) -> None:
        self._users: dict[Path, Cell] = {}

    def used(self, path: Path, cell: Cell) -> None:
        self._users[path] = cell

    def by_another(self, path: Path, cell: Cell) -> bool:
        """The file is that of another cell, or of another task in the same execution (a cell with a loop)."""
        user = self._users.get(path)
        if user is None or not cell.cell_id:
            return False
        other_task = user.execution == cell.execution and user.request_key != cell.request_key
        return user.cell_id != cell.cell_id or other_task


def checkpoint_for(
    cell: Cell, notebook: Path | None, working_directory: Path, in_use: FilesInUse | None = None
) -> Path:
    """The JSON file of a cell; it need not exist yet.

    Raises `CheckpointError` when the notebook's name is unknown and several folders here could be meant.
    """
    in_use = in_use if in_use is not None else FilesInUse()
    if notebook is not None:
        return _in_folder(cell, run_folder(notebook), in_use)
    found = (_existing(cell, folder, in_use) for folder in run_folders(working_directory))
    matches = [path for path in found if path is not None]
    if len(matches) > 1:
        named = ", ".join(str(path.relative_to(working_directory)) for path in matches)
        raise CheckpointError(
            f"several recorded runs could be this cell's: {named}; say which with --checkpoint PATH, "
            "or set RLM_NOTEBOOK_PATH to the notebook's path"
        )
    return matches[0] if matches else _in_folder(cell, working_directory / (UNNAMED + FOLDER_SUFFIX), in_use)


def place_without_cell(name: str | None, request_key: str, task: str) -> Path:
    """The JSON file of a task where there are no cells: in a script, in a terminal. Raises as `checkpoint_for`."""
    cell = Cell(name=name, cell_id="", request_key=request_key, task=task)
    return checkpoint_for(cell, notebook_path({}), Path.cwd())


def run_folders(directory: Path) -> list[Path]:
    """The folders in a directory that hold runs of notebooks."""
    try:
        return sorted(path for path in directory.glob("*" + FOLDER_SUFFIX) if path.is_dir())
    except OSError:
        return []


def _in_folder(cell: Cell, folder: Path, in_use: FilesInUse) -> Path:
    return _existing(cell, folder, in_use) or folder / f"{cell.name or _free_slug(cell.task, folder)}.json"


def _existing(cell: Cell, folder: Path, in_use: FilesInUse) -> Path | None:
    """The file in `folder` that belongs to the cell: by name; else by the cell's id; else by what it asks."""
    if cell.name is not None:
        path = folder / f"{cell.name}.json"
        return path if path.exists() or _journal(path).exists() else None
    found = ((path, _head(path)) for path in _files(folder) if not in_use.by_another(path, cell))
    # An edit of a run, or its baseline, asks the same, but its answer is another: it is found by its name only.
    heads = [(path, head) for path, head in found if not head.get("parent") and not _is_baseline(head)]
    mine = [path for path, head in heads if cell.cell_id and head.get("cell_id") == cell.cell_id]
    same = [path for path, head in heads if cell.request_key and head.get("request_key") == cell.request_key]
    # Of several files of one cell (it has a loop), the one that holds this very request.
    both = [path for path in mine if path in same]
    return next(iter((*both, *mine, *same)), None)


def _is_baseline(head: dict[str, Any]) -> bool:
    settings = head.get("engine", head.get("settings"))
    return isinstance(settings, dict) and bool(settings.get("baseline"))


def _files(folder: Path) -> Iterable[Path]:
    """The files of runs, without the numbered ones that are kept of earlier runs; journals that stand alone too."""
    return [path for path in kept_files(folder) if not is_numbered(path)]


def is_numbered(path: Path) -> bool:
    """The copy that is kept of an earlier run."""
    return bool(_NUMBERED.search(path.stem))


def kept_files(folder: Path) -> list[Path]:
    """The JSON of every run in a folder, there already or still a journal."""
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


def _head(path: Path) -> dict[str, Any]:
    return head_of(path if path.exists() else _journal(path))


def _free_slug(task: str, folder: Path) -> str:
    slug = slug_of(task)
    number, name = 1, slug
    while (folder / f"{name}.json").exists() or _journal(folder / f"{name}.json").exists():
        number += 1
        name = f"{slug}-{number}"
    return name


def slug_of(task: str) -> str:
    """A file name of the first words of a task."""
    plain = unicodedata.normalize("NFKD", task[:400]).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)[:6]
    slug = "-".join(words)[:48].strip("-")
    return f"run-{slug}".strip("-") if slug in {"", *_RESERVED} else slug


def checked_name(name: str) -> str:
    """A name as one safe path component; raises `ConfigurationError` for anything else."""
    problem = _problem(name)
    if problem:
        raise ConfigurationError(f"--name {name!r}: {problem}; use letters, digits, '-', '_' and '.'")
    return name


def _problem(name: str) -> str:
    if not name or len(name) > LONGEST_NAME:
        return f"a name has 1 to {LONGEST_NAME} characters"
    if any(not char.isprintable() or char in '/\\:*?"<>|' for char in name):
        return "it has characters that a file name cannot have everywhere"
    if name.startswith(".") or name.endswith((".", " ")) or name.split(".")[0].lower() in _RESERVED:
        return "it is reserved, or begins or ends with a dot or space"
    if _NUMBERED.search(name):
        return "names that end in .NUMBER are kept for earlier runs"
    return ""
