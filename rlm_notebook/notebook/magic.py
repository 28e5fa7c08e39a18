"""`%%rlm` and `%rlm`: from a cell to a run and back to the cell's value.

A cell runs in four steps: read its options, make an engine of them, start the run with a view, and turn whatever
comes back into a value or into a failed cell with one line.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Int, Unicode

from ..async_engine import AsyncRecursiveEngine
from ..checkpoints.json_file import JsonFile, load_recorded
from ..core.outline import printable
from ..core.records import Recorded
from ..core.tree import NodeState
from ..engine import RecursiveEngine
from ..exceptions import CheckpointError, ConfigurationError, RLMError
from ..portal import run_blocking
from ..ports import Journal, install_host
from ..run import Run
from ..types import Output
from .host import NotebookHost, show
from .loop import heartbeat
from .options import CellOptions, parse_options, parser
from .transformer import ASYNC_MAGIC, await_rlm, interpolated

__all__ = ["RLMMagics", "RunInterrupted", "load", "unload"]

DEFAULT_OPENAI = "openai:gpt-5-mini"


class RunInterrupted(RLMError):
    """The cell was interrupted, or its run was cancelled; what finished is saved."""


@magics_class
class RLMMagics(Magics):
    """Defaults of `%%rlm`; set them with `%config RLMMagics.model = "openai:gpt-5-mini"` and the like."""

    model = Unicode("", help="The model where a cell names none.").tag(config=True)
    max_depth = Int(5, help="Default of --max-depth.").tag(config=True)
    max_steps = Int(50, help="Default of --max-steps.").tag(config=True)
    concurrency = Int(16, help="Default of --concurrency.").tag(config=True)
    view = Unicode("", help="Default of --view: widget, text or none; empty: what the host can show.").tag(config=True)

    def __init__(self, shell: Any, host: NotebookHost) -> None:
        super().__init__(shell)
        self._host = host
        self._told_models: set[str] = set()

    @cell_magic(ASYNC_MAGIC)
    @no_var_expand
    def cell_async(self, line: str, cell: str) -> Coroutine[Any, Any, Output | None]:
        """What an awaited `%%rlm` cell calls."""
        return self._solve(line, cell)

    @cell_magic("rlm")
    @no_var_expand
    def cell_blocking(self, line: str, cell: str) -> Output | None:
        """Give the task in the cell to the recursive engine; the cell's value is the answer.

        This is the blocking form, for `get_ipython().run_cell_magic("rlm", ...)`; as a cell, `%%rlm` is awaited.
        """
        return run_blocking(lambda: self._solve(line, cell))

    @line_magic("rlm")
    @no_var_expand
    def line(self, line: str) -> None:
        """`%rlm` shows the last run and the help; `%rlm version` the version."""
        from .. import __version__

        word = line.strip()
        if word not in ("", "version", "help"):
            raise UsageError(f"%rlm {word}: unknown; `%rlm` helps, and a task goes into a cell below `%%rlm`")
        if word == "version":
            print(__version__)
            return
        last = self.shell.user_ns.get("_rlm")
        print(f"last run: {last!r}" if isinstance(last, Run) else "no run yet in this session")
        print(parser().format_help())

    # -- one cell ------------------------------------------------------------------------------------------------

    async def _solve(self, line: str, cell: str) -> Output | None:
        debug = "--debug" in line.split()
        try:
            options = parse_options(line)
            if isinstance(options, str):
                print(options)
                return None
            output = await self._run(options, cell)
        except (RLMError, UsageError) as error:
            raise _in_one_line(error, debug) from (error if debug else None)
        if options.out:
            self.shell.user_ns[options.out] = output
        return output

    async def _run(self, options: CellOptions, cell: str) -> Output:
        task = self._task(options, cell)
        journal = self._journal(options, task)
        engine = self._engine(options, self._model(options, journal))
        run = engine.start(task, checkpoint=journal, mode=cast(Any, options.mode))
        self.shell.user_ns["_rlm"] = run
        kind = options.view or self.view or ("widget" if self._host.has_kernel else "text")
        view = show(run, kind, title=options.name or "", notice=_reused_from(run))
        try:
            async with heartbeat():
                return await run
        except (asyncio.CancelledError, KeyboardInterrupt):
            await run.cancel()
            raise RunInterrupted(_interrupted(run)) from None
        finally:
            view.close()

    def _task(self, options: CellOptions, cell: str) -> str:
        task = cell if options.raw else interpolated(cell, self.shell.user_ns)
        if not task.strip():
            raise ConfigurationError("the cell is empty: write the task below the %%rlm line")
        return task.strip("\n")

    def _journal(self, options: CellOptions, task: str) -> Journal | None:
        if options.no_checkpoint:
            return None
        if options.checkpoint:
            explicit: Journal = JsonFile(Path(options.checkpoint).expanduser(), cell_id=self._host.cell_id)
            _require_writable(cast(JsonFile, explicit))
            return explicit
        path = self._host.checkpoint_path(options.name, self._request_key(options, task), task)
        return _OrMemory(JsonFile(path, cell_id=self._host.cell_id))

    def _request_key(self, options: CellOptions, task: str) -> str:
        """The key that the run will have: it does not depend on the model."""
        return self._engine(options, "offline").request_key(task)

    def _engine(self, options: CellOptions, llm: Any) -> AsyncRecursiveEngine:
        given: dict[str, Any] = {
            "agents": self._variable(options.agents, "--agents") if options.agents else None,
            "tools": [self._variable(name, "--tools") for name in options.tools],
            "max_depth": options.max_depth or self.max_depth,
            "max_steps": options.max_steps or self.max_steps,
            "max_concurrency": options.concurrency or self.concurrency,
            "on_limit": options.on_limit or "execute",
            "on_failure": options.on_failure or "raise",
            "temperature": options.temperature,
            "budget": options.budget,
        }
        if isinstance(llm, AsyncRecursiveEngine | RecursiveEngine):
            engine = llm.async_engine if isinstance(llm, RecursiveEngine) else llm
            return engine.replaced(**{name: value for name, value in given.items() if self._said(options, name)})
        return AsyncRecursiveEngine(llm, **given)

    def _said(self, options: CellOptions, name: str) -> bool:
        """Whether the line itself names an option of the engine."""
        value = getattr(options, {"max_concurrency": "concurrency"}.get(name, name))
        return value is not None and value != ()

    def _variable(self, name: str, option: str) -> Any:
        variables: Mapping[str, Any] = self.shell.user_ns
        if name not in variables:
            raise ConfigurationError(f"{option} {name}: there is no variable {name!r} in this notebook")
        return variables[name]

    # -- which model ---------------------------------------------------------------------------------------------

    def _model(self, options: CellOptions, journal: Journal | None) -> Any:
        """The first that applies: the option, `%config`, RLM_MODEL, the recorded one, a key that is set, offline."""
        said = options.model or self.model or os.environ.get("RLM_MODEL")
        if said:
            return self.shell.user_ns[said] if said.isidentifier() and said in self.shell.user_ns else said
        recorded = _recorded_model(journal)
        if recorded:
            return recorded
        if os.environ.get("OPENAI_API_KEY"):
            self._tell(f"rlm: using {DEFAULT_OPENAI}, because OPENAI_API_KEY is set; choose with -m SPEC")
            return DEFAULT_OPENAI
        self._tell(_NO_MODEL)
        return "offline"

    def _tell(self, line: str) -> None:
        if line not in self._told_models:
            self._told_models.add(line)
            print(line)


_NO_MODEL = (
    "rlm: NO MODEL CHOSEN - using `offline`: rule-based, extractive, not a language model.\n"
    "     Choose one: -m openai:NAME (set OPENAI_API_KEY), -m ollama:NAME, -m http://127.0.0.1:8080/v1#NAME,\n"
    '     -m VARIABLE (a model or callable of yours), or for all cells: %config RLMMagics.model = "..."'
)


class _OrMemory:
    """A file in the default place; where that cannot be written, a warning before the first call, and memory."""

    def __init__(self, file: JsonFile) -> None:
        self._file: JsonFile | None = file
        self._readable = file

    @property
    def path(self) -> Path | None:
        return self._file.path if self._file is not None else None

    def read(self) -> Recorded | None:
        return self._readable.read()

    def open(self) -> None:
        if self._file is None:
            return
        try:
            self._file.open()
        except CheckpointError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            print(f"rlm: warning: {error.__cause__.strerror}: {self._file.path}; this run is kept in memory only")
            self._file = None

    def append(self, event: Any) -> None:
        if self._file is not None:
            self._file.append(event)

    def compact(self, recorded: Recorded) -> None:
        if self._file is not None:
            self._file.compact(recorded)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _require_writable(file: JsonFile) -> None:
    """A place that was named explicitly must work, and that is known before the first call."""
    folder = cast(Path, file.path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".rlm-{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise CheckpointError(
            f"--checkpoint {file.path}: {error.strerror or error}; choose a place that can be written"
        ) from None


def _recorded_model(journal: Journal | None) -> str:
    path = journal.path if journal is not None else None
    if path is None:
        return ""
    recorded = load_recorded(path)
    model = str(recorded.tree.settings.get("model", "")) if recorded is not None else ""
    # A recorded callable cannot be had again by its name, and `offline` was never a choice that binds anybody.
    return model if ":" in model and not model.startswith("offline") else ""


def _reused_from(run: Run) -> str:
    if run.recorded is None or run.recorded.tree.request_key != run.request_key:
        return ""
    done = sum(node.state is NodeState.DONE for node in run.recorded.tree)
    return f"resuming: {done} of {len(run.recorded.tree)} nodes were recorded before"


def _interrupted(run: Run) -> str:
    done = sum(node.state is NodeState.DONE for node in run.tree)
    where = f"saved in {run.checkpoint}" if run.checkpoint else "kept in memory only (_rlm.partial())"
    return f"Interrupted: {done} of {len(run.tree)} nodes are {where}; run the cell again to continue"


def _in_one_line(error: BaseException, debug: bool) -> BaseException:
    """The error, shown by IPython as one line (its text stays whole); with `--debug`, with its traceback."""
    if not debug:
        said = f"{type(error).__name__}: {error}" if not isinstance(error, RunInterrupted | UsageError) else str(error)
        line = printable(said)
        error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return error


@contextmanager
def _ignoring_missing() -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError):
        return


def load(shell: Any) -> None:
    """Register the magics and the transformer, once; loading again changes nothing."""
    if any(isinstance(each, RLMMagics) for each in shell.configurables):
        return
    host = NotebookHost(shell)
    install_host(host)
    shell.register_magics(RLMMagics(shell, host))
    if await_rlm not in shell.input_transformers_post:
        shell.input_transformers_post.append(await_rlm)


def unload(shell: Any) -> None:
    """Take away what `load` added."""
    from ..ports import PlainHost

    install_host(PlainHost())
    with _ignoring_missing():
        shell.input_transformers_post.remove(await_rlm)
    shell.configurables[:] = [each for each in shell.configurables if not isinstance(each, RLMMagics)]
    for kind, name in (("cell", "rlm"), ("cell", ASYNC_MAGIC), ("line", "rlm")):
        with _ignoring_missing():
            del shell.magics_manager.magics[kind][name]
