"""The command `rlm-notebook`: `demo`, `run`, `map`, `show` and `doctor`."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from ..async_engine import AsyncRecursiveEngine
from ..checkpoints.json_file import JsonFile, load_recorded
from ..checkpoints.location import ROWS_SUFFIX
from ..core.limits import Budget
from ..core.plain_text import terminal_text
from ..core.text import counted
from ..documents.source import named_sources
from ..exceptions import BudgetExceededError, CheckpointError, ConfigurationError, RLMError
from ..host.console import lenient_streams
from ..host.installation import install_command
from ..memory import SharedMemory
from ..notebook.cell.argument_types import BUDGET_OPTIONS, dollars, seconds, whole_number
from ..runtime.recorded_run import load_run
from ..sandbox.options import CodeSandbox
from ..version import __version__
from ..views.gate import plain
from ..views.idle_time import breaks_of
from ..views.outline import outline

__all__ = ["main"]

DEMO_FOLDER = "rlm-demo"
DEMO_SECONDS = 120
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status. Errors are one line on standard error."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    with lenient_streams():
        # The task follows the option, and is not its value.
        words = ["--code=planner" if each == "--code" else each for each in given]
        options, unknown = _parser().parse_known_args(words)
        if unknown:
            # Not by `parse_args`, which would suggest nothing of the command's own.
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        if options.command is None:
            print(_FIRST_STEPS)
            return 0
        try:
            done = options.command(options)
            status: int = asyncio.run(done) if inspect.iscoroutine(done) else done
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader closed the pipe (`| head`): nothing more may be written, not even when Python exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (RLMError, OSError) as error:
            message = str(error)
            if isinstance(error, BudgetExceededError) and error.budget in BUDGET_OPTIONS:
                option = BUDGET_OPTIONS[error.budget]
                message = f"{error.spent}: run the same command with a larger {option} to continue"
            print(f"rlm-notebook: {message}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            saved = "finished results are saved: run the same command to continue"
            print(f"rlm-notebook: interrupted; {saved}", file=sys.stderr)
            return INTERRUPTED
        return status


class _Parser(argparse.ArgumentParser):
    """Prints an error in one line, with the closest command or option."""

    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"(?:unrecognized arguments: |invalid choice: )'?([\w-]+)", message)
        choices = re.findall(r"[\w-]+", message.partition(" (choose from ")[2])
        words, cutoff = (choices, 0.6) if choices else (list(self._option_string_actions), 0.7)
        close = difflib.get_close_matches(unknown[1], words, 2, cutoff) if unknown else []
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        first = message.splitlines()[0]
        self.exit(2, f"{self.prog}: {first}; {hint}`{self.prog} --help` lists what there is\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="rlm-notebook", description="Recursive language-model runs.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(command=None, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    demo = commands.add_parser("demo", help="write and execute the quickstart notebook here")
    demo.add_argument("--lab", action="store_true", help="open the notebook in JupyterLab afterwards")
    demo.set_defaults(command=_demo, parser=demo)
    _run_options(commands.add_parser("run", help="solve a task in the terminal"))
    _map_options(commands.add_parser("map", help="solve a task for each row of a table, a file"))
    show = commands.add_parser("show", help="print a recorded run")
    show.add_argument("path", type=Path, help="the JSON file of the run")
    show.add_argument("--mermaid", action="store_true", help="print the tree as a Mermaid flowchart instead")
    show.set_defaults(command=_show, parser=show)
    doctor = commands.add_parser("doctor", help="print what was found: versions, names of keys, where runs are saved")
    doctor.set_defaults(command=_doctor, parser=doctor)
    return parser


_FIRST_STEPS = """\
rlm-notebook gives a task to a language model, which splits it into a tree of sub-tasks.

  rlm-notebook demo                                  try it: no key, no network
  rlm-notebook run "Summarise each section" --file report.md
  rlm-notebook doctor                                which models can be used here

In a notebook: %load_ext rlm_notebook, then a cell that begins with %%rlm.
`rlm-notebook --help` lists the commands."""

_SOURCE_HELP = "a file, a folder or a glob to read by reference: PDF, DOCX, HTML, text, tables; repeatable"
_QUOTES_HELP = "quotes of the references: checked word for word and marked, required to be there, or off"
_CODE_HELP = "the planner may have the task solved by Python code; with --code=root it is"


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="the task to solve")
    parser.add_argument("-f", "--file", type=Path, help="a text file that the task refers to")
    parser.add_argument("--source", metavar="PATH", action="append", default=[], help=_SOURCE_HELP)
    parser.add_argument("-n", "--name", help="name of the JSON file of the run")
    parser.add_argument("--checkpoint", type=Path, help="save the run in this file instead")
    parser.add_argument("--code", choices=["planner", "root"], help=_CODE_HELP)
    parser.add_argument("--code-sandbox", choices=["monty", "python"], help="where the code runs (implies --code)")
    parser.add_argument("--quotes", choices=["check", "require", "off"], help=_QUOTES_HELP)
    _engine_options(parser, "the whole run")
    parser.set_defaults(command=_solve, parser=parser)


def _map_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="the task of a row; {{column}} stands for a value")
    parser.add_argument("-f", "--file", type=Path, required=True, help="the table: a CSV, JSONL or Parquet file")
    parser.add_argument("-o", "--out", type=Path, required=True, help="write the answers here: .csv, .jsonl, .parquet")
    parser.add_argument("-n", "--name", help="name of the file in which the rows are recorded")
    parser.add_argument("--checkpoint", type=Path, help="record the rows in this file instead")
    parser.add_argument("--concurrency", type=whole_number, metavar="N", default=16, help="rows and calls at once")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="the first N rows only")
    parser.add_argument("--pilot", type=whole_number, metavar="N", help="forecast from N rows, stop if it is too much")
    parser.add_argument("--store", choices=["full", "outputs"], default="full", help="outputs: record no trees")
    _engine_options(parser, "all rows")
    parser.set_defaults(command=_solve_rows, parser=parser)


def _engine_options(parser: argparse.ArgumentParser, whole: str) -> None:
    """The options of the engine; `whole` is what the budget is for."""
    parser.add_argument("-m", "--model", metavar="SPEC", help="openai:NAME, say; default: RLM_MODEL, else offline")
    parser.add_argument("--mode", choices=["resume", "fresh", "replay"], default="resume")
    parser.add_argument("--max-depth", type=whole_number, metavar="N", default=5)
    parser.add_argument("--max-steps", type=whole_number, metavar="N", default=50)
    parser.add_argument("--budget", type=dollars, metavar="USD", help=f"budget: dollars of {whole}")
    parser.add_argument("--max-calls", type=whole_number, metavar="N", help=f"budget: model calls of {whole}")
    parser.add_argument("--max-tokens", type=whole_number, metavar="N", help=f"budget: tokens of {whole}")
    parser.add_argument("--timeout", type=seconds, metavar="S", help=f"budget: seconds of {whole}")
    parser.add_argument("--env-file", metavar="PATH", help="set the keys of a .env file first; existing ones stay")


# -- run, map and show ------------------------------------------------------------------------------------------------


async def _solve(options: argparse.Namespace) -> int:
    from ..checkpoints.location import checkpoint_without_cell
    from ..observers.text import progress_of

    _set_keys(options)
    has_code = options.code is not None or options.code_sandbox is not None
    engine = AsyncRecursiveEngine(
        options.model or os.environ.get("RLM_MODEL") or "offline",
        max_depth=options.max_depth,
        max_steps=options.max_steps,
        budget=Budget(options.budget, options.max_tokens, options.timeout, options.max_calls),
        code=CodeSandbox(options.code_sandbox or "monty", options.code or "planner") if has_code else None,
        quotes=options.quotes,
    )
    # Code reads the file as a variable; without code it is part of the task.
    given = {"text": options.file} if options.file is not None and engine.code is not None else {}
    task = str(options.task) if given else _task(options)
    replaying = "replay" in (options.mode, os.environ.get("RLM_MODE"))
    variables = SharedMemory({**given, **named_sources(options.source, given)}, replaying=replaying)
    key = engine.request_key(task, variables=variables)
    path = options.checkpoint or checkpoint_without_cell(
        options.name,
        key,
        task,
        model=str(engine.settings()["model"]),
        mode=options.mode,
        tell=lambda line: print(line, file=sys.stderr),
    )
    journal = JsonFile(path)
    run = engine.start(task, checkpoint=journal, mode=options.mode, variables=variables)
    progress = progress_of(run)
    try:
        output = await run
    finally:
        progress.close()
    print(plain(str(output)))
    label = output.metadata.get("label")
    print(f"\n{f'({label}) ' if label else ''}{counted(run.calls, 'call')}, saved in {run.checkpoint}", file=sys.stderr)
    return 0


async def _solve_rows(options: argparse.Namespace) -> int:
    from ..experiments.progress import progress_of_rows

    _set_keys(options)
    engine = AsyncRecursiveEngine(
        options.model or os.environ.get("RLM_MODEL") or "offline",
        max_depth=options.max_depth,
        max_steps=options.max_steps,
        max_concurrency=options.concurrency,
    )
    budget = Budget(options.budget, options.max_tokens, options.timeout, options.max_calls)
    experiment = engine.map(
        options.task,
        options.file,
        name=options.name,
        checkpoint=options.checkpoint or (True if options.name is None else None),
        budget=budget,
        concurrency=options.concurrency,
        limit=options.limit,
        pilot=options.pilot,
        mode=options.mode,
        store=options.store,
    )
    progress = progress_of_rows(experiment)
    try:
        await experiment
    finally:
        progress.close()
        if experiment.status != "failed":
            experiment.write(options.out)
    print(f"{options.out}: {experiment.summary}; recorded in {experiment.checkpoint}")
    for row, error in experiment.errors(3):
        print(f"row {row}: {terminal_text(error)}", file=sys.stderr)
    return 0 if experiment.summary.done == experiment.summary.rows else 1


def _set_keys(options: argparse.Namespace) -> None:
    from ..models.env_file import load_env_file

    if options.env_file:
        names = load_env_file(options.env_file)
        print(f"set from {options.env_file}: {', '.join(names) or 'nothing that was not set already'}", file=sys.stderr)


def _task(options: argparse.Namespace) -> str:
    if options.file is None:
        return str(options.task)
    try:
        text = options.file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--file {options.file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"--file {options.file}: it is not UTF-8 text; give a text file") from None
    return f"{options.task}\n\n{text}"


def _show(options: argparse.Namespace) -> int:
    if str(options.path).endswith(ROWS_SUFFIX):
        from ..experiments.recorded import load_experiment

        print(load_experiment(options.path))
        return 0
    run = load_run(options.path)
    if options.mermaid:
        print(run.to_mermaid(), end="")
        return 0
    print(outline(run.tree, limit=10_000, breaks=breaks_of(run.tree, run.internals.active_seconds)))
    root = run.tree.root
    print(f"\n{plain(root.result) if root is not None and root.result else f'({run.status})'}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from ..notebook.commands.doctor import examined

    for what, found in examined().rows:
        print(f"{what}: {found}")
    return 0


# -- the demonstration -------------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> int:
    _require("nbclient", "demo")
    _require("ipykernel", "demo")
    from ..checkpoints.location import run_folder
    from ..demo.quickstart import NAME, written

    notebook = Path.cwd() / DEMO_FOLDER / "quickstart.ipynb"
    notebook.parent.mkdir(parents=True, exist_ok=True)
    # The user may have changed the one that is there.
    if not notebook.exists():
        notebook.write_text(written(), encoding="utf-8")
    print(f"Executing {notebook} ...", flush=True)
    _execute(notebook)
    saved = run_folder(notebook) / f"{NAME}.json"
    recorded = load_recorded(saved)
    if recorded is None or recorded.tree.root is None:
        raise CheckpointError(f"the notebook ran, but saved no run in {saved}; delete {notebook.parent} and try again")
    drawn = outline(recorded.tree, breaks=breaks_of(recorded.tree, recorded.active_seconds))
    print(f"\n{drawn}\n\n{recorded.tree.root.result}\n")
    print(f"Text:     {files('rlm_notebook') / 'demo' / 'guide.md'}")
    print(f"Notebook: {notebook}\nRun:      {saved}")
    lab = Path(sys.executable).with_name("jupyter")
    here = Path.cwd()
    program, file = (path.relative_to(here) if path.is_relative_to(here) else path for path in (lab, notebook))
    print(f"Open it:  {program} lab {file}   (JupyterLab comes with the extra: lab)")
    if not options.lab:
        return 0
    _require("jupyterlab", "lab")
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(notebook)])


def _require(package: str, extra: str) -> None:
    if find_spec(package) is None:
        raise ConfigurationError(f"this needs {package}: {install_command(extra)}")


def _execute(path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook: Any = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=DEMO_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute(env={**os.environ, "RLM_NOTEBOOK_PATH": str(path)})
    except CellExecutionError as error:
        raise ConfigurationError(f"a cell of {path} failed: {error.ename}: {error.evalue}") from None
    finally:
        nbformat.write(notebook, path)
