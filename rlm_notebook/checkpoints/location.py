"""Finds the notebook, and the JSON file beside it that belongs to a cell.

The runs of `analysis.ipynb` are in `analysis.rlm/<name>.json`. Nothing here uses the network.

Theory of operation
===================
The question is always the same: a cell is about to run; which file holds its run? Three things speak for a file, in
this order: **the request key decides, then the cell id, then the name.**

- The request key says that the file answers what the cell asks. Such a file is the cell's, because nobody pays twice
  for what a file beside the notebook knows. A run of another model answers nothing.
  Of several such files, the one of the cell's options is meant: two cells with one task, of which one has `--code=root`
  or another limit, have one request key and two answers, and neither replaces the other's file.
- The cell id, where the front end sends one, says that the file holds an earlier version of this cell. Its run is
  continued: what the edit leaves unchanged is reused, and a finished run is archived first.
- The name alone says little: copied cells share it, and so do the cells of other notebooks. A file of this name that
  records neither this request nor this cell belongs to another cell and is never replaced: the run is kept as `name-2`,
  and a line says so. The name is enough where nothing contradicts it: in the folder of a known notebook, for a file
  that records no cell at all; in a terminal, which has no cells, for what this session keeps under the name; and for
  `keep_plan` and a replay, which ask for what the name holds.

Without a name, every file of a folder may be the cell's. With one, only `name` and its numbered siblings may: two cells
with different names and the same task are two runs, because the user says so.

Where files are searched, and where new ones are written:

    notebook    searched                                                    written
    known       its folder; then, by request key, the folders beside it     its folder
    unknown     all `*.rlm` folders of the working directory                where it was found, else `notebook.rlm`

What is found beside a known notebook is adopted, which `adoption` describes: moved if the notebook it belongs to is
gone (it was renamed, or the run was made where the notebook was unknown), copied if that is still there. So a copy of
a notebook, in which the cells have the same ids, starts with what the original knows, and never writes into the
original's files; a cell with another id is another cell, and its run stays its own. In the same way, a cell without a
name gets a copy of a file that another cell of this session uses, and any cell one of an archived run that answers it.

The rows of experiments, which are found by their content, are taken over by the same rule
(`experiments/row_adoption.py`).

What must never happen:
- A finished run of another cell or notebook is replaced, or a run is paid for although a readable file answers it.
- A file that cannot be read, for example after a git conflict, is passed over although it is this cell's: it has the
  cell's name, or its text has the cell's id or request key. It is returned, and reading it raises the error.
- A replay writes: it reads what it finds where it is.
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..exceptions import CheckpointError, ConfigurationError
from .adoption import adopt
from .file_names import FOLDER_SUFFIX
from .heads import Options, RunHead, differ, head_of

__all__ = [
    "FOLDER_SUFFIX",
    "ROWS_SUFFIX",
    "UNNAMED",
    "Cell",
    "FilesInUse",
    "adoption_line",
    "checked_name",
    "checkpoint_for",
    "checkpoint_without_cell",
    "find_notebook",
    "is_archived",
    "is_orphan",
    "notebook_path",
    "papermill_folders",
    "related",
    "rows_files",
    "rows_name",
    "run_files",
    "run_folder",
    "run_folders",
]

#: Of the files in which the rows of experiments are recorded.
ROWS_SUFFIX = ".rlmx.jsonl"
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
        return _target(configured), "RLM_NOTEBOOK_PATH"
    candidates = {
        "VS Code": variables.get("__vsc_ipynb_file__"),
        "papermill, output": variables.get("PAPERMILL_OUTPUT_PATH"),
        "papermill, input": variables.get("PAPERMILL_INPUT_PATH"),
        "the Jupyter server, JPY_SESSION_NAME": environment.get("JPY_SESSION_NAME"),
    }
    for source, candidate in candidates.items():
        if isinstance(candidate, str) and candidate.endswith(".ipynb") and Path(candidate).is_file():
            return _target(candidate), source
    return None, "no front end reports it; set RLM_NOTEBOOK_PATH to name it"


def _target(notebook: str) -> Path:
    """The notebook's path; of a link, that of its target, so that both names share their runs."""
    path = Path(notebook).expanduser().absolute()
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def papermill_folders(variables: Mapping[str, Any]) -> list[Path]:
    """The `*.rlm` folders beside papermill's input notebook, which may be elsewhere than its output."""
    given = variables.get("PAPERMILL_INPUT_PATH")
    return run_folders(Path(given).absolute().parent) if isinstance(given, str) and given.endswith(".ipynb") else []


def run_folder(notebook: Path) -> Path:
    return notebook.with_suffix(FOLDER_SUFFIX)


class Cell:
    """One execution of a cell: its `--name`, the front end's cell id, the request key, the task, the execution's id.

    `model`: the name of the model it chose, "" if none. `options`: those of `heads.options_in`. `keep_plan`, and the
    mode "replay": it asks for what its name holds; "fresh" reuses nothing. `typed`: in a terminal, where what is typed
    again under a name is its next version.
    """

    def __init__(
        self,
        *,
        name: str | None,
        cell_id: str,
        request_key: str,
        task: str,
        execution: str = "",
        model: str = "",
        options: Options | None = None,
        keep_plan: bool = False,
        mode: str = "resume",
        typed: bool = False,
    ) -> None:
        self.name = checked_name(name) if name is not None else None
        self.cell_id = cell_id
        self.request_key = request_key
        self.task = task
        self.execution = execution
        self.model = model
        self.options = options or {}
        self.keep_plan = keep_plan
        session = os.environ.get("RLM_MODE") if mode == "resume" else None
        self.replays = (session or mode) == "replay"
        self.fresh = (session or mode) == "fresh"
        self.typed = typed

    @property
    def stem(self) -> str:
        """The name of a new file."""
        return self.name if self.name is not None else slug_of(self.task)

    def may_be_in(self, path: Path) -> bool:
        """Whether the name of the file is the cell's, or that with a number; without a name, any file may be."""
        stem = _NUMBERED.sub("", path.stem)
        return self.name is None or re.fullmatch(re.escape(self.name) + r"(-\d+)?", stem) is not None

    def is_answered_by(self, head: RunHead) -> bool:
        """Whether the run is one of this request. One that has ended by another model answers nothing here."""
        same = bool(self.request_key) and self.request_key in head.request_keys
        other_model = bool(self.model and head.model) and self.model != head.model
        return same and (self.replays or not head.done or not other_model)

    def is_in(self, head: RunHead) -> bool:
        return bool(self.cell_id) and head.cell_id == self.cell_id


class FilesInUse:
    """Which cell uses which file in this session: two equal cells, unless they have a name, or two tasks of one cell,
    must not share a file."""

    def __init__(self) -> None:
        self._users: dict[Path, Cell] = {}

    def used(self, path: Path, cell: Cell) -> None:
        self._users[path] = cell

    def is_used(self, path: Path) -> bool:
        """Whether any cell of this session uses the file."""
        return path in self._users

    def by_another(self, path: Path, cell: Cell) -> bool:
        """Another cell uses the file, or another task of the same execution does (a cell with a loop)."""
        user = self._users.get(path)
        if self.with_other_options(path, cell):
            return True
        if user is None or not cell.cell_id:
            return False
        other_task = user.execution == cell.execution and user.request_key != cell.request_key
        return user.cell_id != cell.cell_id or other_task

    def with_other_options(self, path: Path, cell: Cell) -> bool:
        """Another cell with other options uses the file; where no cell has an id, any execution with other options.

        A terminal has no cells: there, it is the same task typed again. A replay only reads.
        """
        user = self._users.get(path)
        if user is None or cell.typed or cell.replays:
            return False
        same_cell = bool(cell.cell_id) and user.cell_id == cell.cell_id and user.execution != cell.execution
        return not same_cell and differ(user.options, cell.options)

    def require_unused(self, path: Path, cell: Cell) -> None:
        """Raises `ConfigurationError` if another cell keeps another request in this file, which the user named."""
        user = self._users.get(path)
        ids = {user.cell_id, cell.cell_id} - {""} if user is not None else set()
        if user is not None and len(ids) > 1 and user.request_key != cell.request_key:
            raise ConfigurationError(
                f"--checkpoint {path}: another cell of this notebook keeps its run there, and each would replace the "
                "other's; name another file"
            )
        self.used(path, cell)

    def by(self, path: Path, cell: Cell) -> bool:
        """This very cell uses the file, which may not say so itself: a run that is reused whole changes no file."""
        user = self._users.get(path)
        if user is None:
            return False
        typed_again = cell.typed and cell.name is not None and user.name == cell.name
        return typed_again or (bool(cell.cell_id) and user.cell_id == cell.cell_id)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a cell's run is kept. `source`: a run that is adopted first; `line`: what the user is told."""

    path: Path
    source: RunHead | None = None
    moved: bool = False
    line: str = ""


def checkpoint_for(
    cell: Cell,
    notebook: Path | None,
    working_directory: Path,
    in_use: FilesInUse | None = None,
    *,
    also: Iterable[Path] = (),
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """The path of a cell's JSON file, which need not exist yet; a run found beside the notebook is adopted first.

    `also`: further folders that are searched for it; `tell` is given a line for the user where the file is not simply
    the cell's own. Raises `CheckpointError` if the notebook's path is unknown and several folders hold the cell.
    """
    search = _Search(cell, notebook, working_directory, in_use if in_use is not None else FilesInUse(), also)
    place = search.place()
    path, source = place.path, place.source
    if source is not None:
        path = adopt(source.path, path, cell_id=cell.cell_id, move=place.moved)
    if place.line and (source is None or path.exists()):
        tell(place.line)
    return path


def checkpoint_without_cell(
    name: str | None,
    request_key: str,
    task: str,
    *,
    model: str = "",
    mode: str = "resume",
    tell: Callable[[str], None] = lambda line: None,
) -> Path:
    """The path of a task's JSON file in a script or a terminal. Raises as `checkpoint_for`."""
    cell = Cell(name=name, cell_id="", request_key=request_key, task=task, model=model, mode=mode)
    return checkpoint_for(cell, notebook_path({}), Path.cwd(), tell=tell)


class _Search:
    """One search for the file of a cell; `place` is its result."""

    def __init__(
        self, cell: Cell, notebook: Path | None, working_directory: Path, in_use: FilesInUse, also: Iterable[Path]
    ) -> None:
        self.cell, self.in_use = cell, in_use
        self.home = run_folder(notebook) if notebook is not None else working_directory / (UNNAMED + FOLDER_SUFFIX)
        self.known = notebook is not None
        own = [self.home] if notebook is not None else run_folders(working_directory)
        files = [path for folder in own for path in run_files(folder)]
        self.own = [head_of(path) for path in files if not is_archived(path)]
        self._archived = [path for path in files if is_archived(path)]
        beside = [*run_folders(self.home.parent), *also] if notebook is not None else []
        # What a link points to may be anywhere: nothing is moved out of it.
        self._beside = [folder for folder in beside if not folder.is_symlink()]

    def place(self) -> _Place:
        cell = self.cell
        readable = [head for head in self.own if head.unreadable is None and cell.may_be_in(head.path)]
        # An edit of a run, or its baseline, has the same request but another answer: it is found by its name only.
        readable = [h for h in readable if not h.derived or h.cell_id or h.path.stem == cell.name]
        unused = [head for head in readable if not self.in_use.by_another(head.path, cell)]
        # Cells with one name and one request share its file: a dry run and the run, for example.
        shared = [head for head in readable if not self.in_use.with_other_options(head.path, cell)]
        if answer := self._best(h for h in (shared if cell.name is not None else unused) if cell.is_answered_by(h)):
            return self._kept_at(answer.path)
        mine = [head for head in unused if cell.is_in(head) or self.in_use.by(head.path, cell)]
        damaged = [head for head in self.own if head.unreadable is not None]
        damaged = [h for h in damaged if h.path.stem == cell.stem or h.mentions(cell.request_key, cell.cell_id)]
        if damaged and not mine:
            return self._kept_at(damaged[0].path)
        if not cell.fresh and (source := self._answer_elsewhere()):
            return self._adopted(source)
        # Copies of a notebook have equal cell ids: none of them is chosen by guess.
        if len({head.path.parent for head in mine}) > 1:
            self._refuse(mine)
        own = min(mine, key=lambda head: (head.path.stem != cell.stem, head.path), default=None)
        if found := own or self._named(unused):
            return self._kept_at(found.path)
        # The notebook was renamed, and the cell edited since.
        orphans = (head for head in self.beside if head.unreadable is None and is_orphan(head.path))
        renamed = (h for h in orphans if not h.derived and cell.is_in(h) and cell.may_be_in(h.path))
        if not cell.fresh and (source := self._best(renamed)):
            return self._adopted(source)
        return self._kept_at(self._free(cell.stem))

    def _best(self, answers: Iterable[RunHead]) -> RunHead | None:
        """Of several files that answer the request: the cell's own, one of its options, one that is done, one of a
        notebook that exists."""

        def rank(head: RunHead) -> tuple[Any, ...]:
            # Of the folders beside a known notebook, what an orphan holds is moved and so tidied up.
            last = is_orphan(head.path) != self.known
            first = not self.cell.is_in(head), differ(head.options, self.cell.options), not head.done
            return *first, last, head.path.stem != self.cell.stem, head.path

        return min(answers, key=rank, default=None)

    def _named(self, unused: list[RunHead]) -> RunHead | None:
        """The file of the cell's name, where the name decides."""
        cell = self.cell
        if cell.keep_plan or cell.replays or not cell.request_key:
            # Also where another cell of this session uses it.
            named = [head for head in self.own if head.path.stem == cell.name and head.unreadable is None]
            if len(named) > 1:
                self._refuse(named)
            return next(iter(named), None)
        named = [head for head in unused if head.path.stem == cell.name]
        for head in named:
            # A journal without a whole line holds nothing that could be lost.
            if not head.request_keys:
                return head
            # Where no cell has an id, a file that this session has not used yet is that of a cell edited since. (If the
            # request is the same, the model is another; a terminal has no cells, but what another session typed.)
            same_request = cell.request_key in head.request_keys
            edited = not (cell.cell_id or cell.typed or same_request or self.in_use.is_used(head.path))
            if self.known and not head.cell_id and (cell.cell_id or edited):
                return head
        return None

    def _refuse(self, several: list[RunHead]) -> None:
        named = ", ".join(str(_relative(head.path, self.home)) for head in several)
        raise CheckpointError(
            f"several recorded runs could be this cell's: {named}; name one with --checkpoint PATH, "
            "or set RLM_NOTEBOOK_PATH to the notebook's path"
        )

    # -- runs of other folders, and of other cells ---------------------------------------------------------------------

    def _answer_elsewhere(self) -> RunHead | None:
        """A run of another folder, one that another cell uses, or an archived one, which answers the request."""
        cell = self.cell
        mine = (head for head in self.own if cell.may_be_in(head.path))
        shared = [head for head in mine if self.in_use.by_another(head.path, cell)]
        # With other options the run has another answer; what it shares with this one is reused as of `related`.
        shared = [head for head in shared if not self.in_use.with_other_options(head.path, cell)]
        # Of its own file, the cell reuses the archived versions anyway.
        has_file = any(cell.is_in(head) and cell.may_be_in(head.path) for head in self.own)
        archived = map(head_of, filter(cell.may_be_in, () if has_file else self._archived))
        beside = []
        for head in self.beside:
            # Not that of another cell of a notebook that exists; a copied notebook has the same cell ids.
            of_another = bool(cell.cell_id and head.cell_id) and not cell.is_in(head) and not is_orphan(head.path)
            if cell.may_be_in(head.path) and not of_another:
                beside.append(head)
        runs = [head for head in (*shared, *beside, *archived) if head.unreadable is None and not head.derived]
        orphans = (head for head in self.beside if is_orphan(head.path))
        damaged = (head for head in orphans if head.mentions(cell.request_key, cell.cell_id))
        return self._best(head for head in runs if cell.is_answered_by(head)) or next(damaged, None)

    @cached_property
    def beside(self) -> list[RunHead]:
        """The runs of the other folders that are searched."""
        folders = dict.fromkeys(folder for folder in self._beside if folder != self.home)
        return [head_of(path) for folder in folders for path in run_files(folder) if not is_archived(path)]

    def _adopted(self, source: RunHead) -> _Place:
        path, here = source.path, source.path.parent == self.home
        if self.cell.replays or source.unreadable is not None:
            return _Place(path)
        stem = self.cell.name or (self.cell.stem if here else _NUMBERED.sub("", path.stem))
        target, moved = self._free(stem), self.known and not here and is_orphan(path)
        return _Place(target, source, moved, adoption_line(path, target, moved=moved))

    # -- new files -----------------------------------------------------------------------------------------------------

    def _kept_at(self, path: Path) -> _Place:
        """The place, with a line for a run that is not kept under its own name, because another run is."""
        named = next((head.path for head in self.own if head.path.stem == self.cell.name), None)
        if named is None or path.stem == self.cell.name:
            return _Place(path)
        line = f"rlm: {_relative(named, self.home)} holds another run, which is kept; this one is {path.name}"
        return _Place(path, line=line)

    def _free(self, stem: str) -> Path:
        """A path in the home folder with this name or the next numbered one that no run here has."""
        taken = {head.path.stem for head in self.own} | {path.stem for path in run_files(self.home)}
        stems = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        return self.home / f"{next(each for each in stems if each not in taken)}.json"


def related(path: Path, name: str | None, request_key: str) -> list[Path]:
    """The other runs of a request in the folder of a cell's new file, which were made with other options."""
    cell = Cell(name=name, cell_id="", request_key=request_key, task="")
    others = (each for each in run_files(path.parent) if each != path and not is_archived(each))
    heads = [head_of(each) for each in others if cell.may_be_in(each)]
    return [head.path for head in heads if request_key in head.request_keys and not head.derived]


def is_orphan(path: Path) -> bool:
    """Whether the notebook is gone in whose folder this file is."""
    return not path.parent.with_suffix(".ipynb").exists()


def adoption_line(path: Path, target: Path, *, moved: bool) -> str:
    """What the user is told of a file that a cell takes over from another folder, or from another cell."""
    home = target.parent
    verb, why = ("moved", "whose notebook is gone") if moved else ("copied", "which answers this cell, too")
    return f"rlm: {_relative(path, home)}, {why}, is {verb} to {_relative(target, home)}"


def _relative(path: Path, home: Path) -> Path:
    """The path as a line shows it: below the folder in which the notebook is."""
    return path.relative_to(home.parent) if path.is_relative_to(home.parent) else path


def run_folders(directory: Path) -> list[Path]:
    """The `*.rlm` folders in a directory, sorted."""
    try:
        return sorted(path for path in directory.glob("*" + FOLDER_SUFFIX) if path.is_dir())
    except OSError:
        return []


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


def rows_files(folder: Path) -> list[Path]:
    """The file of every experiment in a folder, sorted."""
    try:
        return sorted(folder.glob("*" + ROWS_SUFFIX))
    except OSError:
        return []


def rows_name(path: Path) -> str:
    """The name of the experiment that is recorded in this file."""
    return path.name.removesuffix(ROWS_SUFFIX)


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
