"""`%rlm runs`, `show`, `diff`, `export`, `gc`: what is kept beside the notebook. Nothing here starts a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from IPython.core.error import UsageError

from ...checkpoints.document import document_of
from ...checkpoints.location import is_archived
from ...checkpoints.selection import recorded_in
from ...core.records import Recorded
from ...core.tree import NodeState
from ...exceptions import CheckpointError, ConfigurationError
from ...runtime.run_view import RunView
from ...views.diff import Difference
from ...views.table import Table
from ..cell.line_parser import LineParser
from ..kernel.session import Session
from .registry import Command
from .run_lookup import file_of, folders, live_run, run_named, runs_kept

__all__ = ["DIFF", "EXPORT", "GC", "RUNS", "SHOW"]

_COLUMNS = ("name", "status", "when", "nodes", "cost", "task")
_TASK_CHARACTERS = 120


# -- runs ----------------------------------------------------------------------------------------------------------


def _runs(session: Session, options: argparse.Namespace) -> Table:
    found = [path for path in runs_kept(session) if options.all or not is_archived(path)]
    rows = [_row(session, path) for path in found]
    where = ", ".join(map(str, folders(session))) or f"{Path.cwd()}: no *.rlm folder"
    return Table(_COLUMNS, tuple(rows), f"in {where}" if rows else f"no runs are kept yet (looked in {where})")


def _row(session: Session, path: Path) -> tuple[str, ...]:
    try:
        recorded = recorded_in(path)
    except CheckpointError as error:
        return (path.stem, "unreadable", "", "", "", str(error))
    if recorded is None:
        return (path.stem, "empty", "", "", "", "")
    tree = recorded.tree
    status = tree.status if tree.status in _ENDED else "running" if live_run(session, path) else "interrupted"
    when = datetime.fromtimestamp(tree.ended or tree.started or 0).strftime("%Y-%m-%d %H:%M")
    return (
        path.stem,
        status,
        when,
        _counted(recorded),
        _cost(recorded),
        _titled(recorded),
    )


def _titled(recorded: Recorded) -> str:
    """What the cell said; of runs that had none, the first line of the task."""
    said = str(recorded.tree.settings.get("title") or recorded.tree.task)
    lines = [line for line in said.splitlines() if line.strip()]
    return " ".join(lines[0].split())[:_TASK_CHARACTERS] if lines else ""


_ENDED = ("done", "failed", "cancelled", "paused")


def _counted(recorded: Recorded) -> str:
    done = sum(node.state is NodeState.DONE for node in recorded.tree)
    return str(done) if done == len(recorded.tree) else f"{done} of {len(recorded.tree)}"


def _cost(recorded: Recorded) -> str:
    cost = recorded.spent.cost_usd
    return "unknown" if cost is None else f"${cost:.4f}"


def _runs_options(parser: LineParser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="the numbered copies of earlier runs too")


RUNS = Command("the runs that are kept beside this notebook", _runs, _runs_options)


# -- show ----------------------------------------------------------------------------------------------------------


def _show(session: Session, options: argparse.Namespace) -> RunView:
    if options.name:
        return run_named(session, options.name)
    if session.last is None:
        raise UsageError("%rlm show: no run yet in this session; name one of `%rlm runs`")
    return session.last


def _show_options(parser: LineParser) -> None:
    parser.add_argument("name", nargs="?", metavar="RUN", help="a run's name, its path or a variable; else the last")


SHOW = Command("look at a run: the tree that was recorded, read only", _show, _show_options)


# -- diff ----------------------------------------------------------------------------------------------------------


def _diff(session: Session, options: argparse.Namespace) -> Difference:
    return run_named(session, options.old).diff(run_named(session, options.new))


def _diff_options(parser: LineParser) -> None:
    parser.add_argument("old", metavar="RUN", help="the earlier run: NAME.1, say, which is what NAME was before")
    parser.add_argument("new", metavar="RUN", help="the later one")


DIFF = Command("what is different in another run, node by node", _diff, _diff_options)


# -- export --------------------------------------------------------------------------------------------------------


def _export(session: Session, options: argparse.Namespace) -> None:
    form, path = next((form, getattr(options, form)) for form in _FORMS if getattr(options, form) is not None)
    suffix, text_of = _FORMS[form]
    run = run_named(session, options.name)
    target = Path(path or Path(options.name).stem + suffix).expanduser().absolute()
    if target in runs_kept(session) or str(target) == run.checkpoint:
        raise ConfigurationError(f"{target} is where a run is kept; export to another path")
    text = text_of(run)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {target}: {error.strerror or error}; choose another path") from None
    print(f"rlm: {options.name} is written to {target} ({max(1, len(text) >> 10)} KB)")


def _json_of(run: RunView) -> str:
    return json.dumps(document_of(run.internals.snapshot()), ensure_ascii=False, indent=1) + "\n"


def _mermaid_of(run: RunView) -> str:
    return run.to_mermaid()


def _html_of(run: RunView) -> str:
    return run.to_html()


_FORMS: dict[str, tuple[str, Callable[[RunView], str]]] = {
    "html": (".html", _html_of),
    "json": (".export.json", _json_of),
    "mermaid": (".mmd", _mermaid_of),
}


def _export_options(parser: LineParser) -> None:
    parser.add_argument("name", metavar="RUN", help="the run")
    form = parser.add_mutually_exclusive_group(required=True)
    for name, (suffix, _) in _FORMS.items():
        said = f"the file to write, else NAME{suffix} in the working directory"
        form.add_argument(f"--{name}", nargs="?", const="", metavar="PATH", help=said)


EXPORT = Command("a run as a file for others: a page, JSON or a flowchart", _export, _export_options)


# -- gc ------------------------------------------------------------------------------------------------------------


def _gc(session: Session, options: argparse.Namespace) -> None:
    if options.name is not None:
        _require_known(session, options.name)
    copies = list(_copies(session, options.name))
    size = sum(path.stat().st_size for path in copies)
    for path in copies if not options.dry_run else ():
        path.unlink()
    said = "would remove" if options.dry_run else "removed"
    for path in copies:
        print(f"rlm: {said} {path}")
    print(f"rlm: {said} {len(copies)} {'copy' if len(copies) == 1 else 'copies'} of earlier runs, {size / 1024:.0f} KB")


def _require_known(session: Session, name: str) -> None:
    """Raises `ConfigurationError` for a name of no run; one whose own file is gone may still have copies."""
    known = {path.stem.rpartition(".")[0] if is_archived(path) else path.stem for path in runs_kept(session)}
    if name not in known:
        file_of(session, name)
        raise ConfigurationError(f"%rlm gc {name}: give the name of a run, as `%rlm runs` lists them")


def _copies(session: Session, name: str | None) -> Iterator[Path]:
    """Numbered copies that hold a run; whatever else has such a name is somebody else's."""
    for path in filter(is_archived, runs_kept(session)):
        wanted = name is None or path.stem.rpartition(".")[0] == name
        if wanted and path.is_file() and not path.is_symlink() and _is_run(path):
            yield path


def _is_run(path: Path) -> bool:
    try:
        return recorded_in(path) is not None
    except CheckpointError:
        return False


def _gc_options(parser: LineParser) -> None:
    parser.add_argument("name", nargs="?", metavar="RUN", help="only the copies of this run")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


GC = Command("remove the numbered copies that are kept of earlier runs", _gc, _gc_options)
