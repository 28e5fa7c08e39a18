"""`%%rlm` and `%rlm`: from a cell to a run and back to the cell's value.

A cell runs in four steps: read its options, make an engine of them, start the run with a view, and turn whatever
comes back into a value or into a failed cell with one line.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar, cast

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Float, Int, Unicode

from ..async_engine import AsyncRecursiveEngine
from ..checkpoints.json_file import JsonFile
from ..core.limits import Budget
from ..core.records import Recorded
from ..engine import RecursiveEngine
from ..exceptions import ConfigurationError, RLMError
from ..models.registry import default_openai_model
from ..portal import run_blocking
from ..ports import Journal, PlainHost, install_host
from ..run import Run
from ..types import Output
from .comm_pump import pumped_comms
from .failure import RunInterrupted, in_one_line, interruption
from .host import NotebookHost, show
from .loop import heartbeat
from .model_choice import OFFLINE, recorded_model, said_model, suggestions, variable
from .options import CellOptions, parse_options, parser
from .storage import FileOrMemory, named_file
from .transformer import ASYNC_MAGIC, await_rlm, interpolated

__all__ = ["RLMMagics", "RunInterrupted", "load", "unload"]

F = TypeVar("F", bound=Callable[..., Any])


def _magic(kind: Callable[..., Any], name: str, *, documented: bool = False) -> Callable[[F], F]:
    """A magic whose line arrives as it was typed; `%%rlm?` shows the docstring, so the options belong into it."""

    def mark(function: F) -> F:
        if documented:
            function.__doc__ = f"{function.__doc__}\n{parser().format_help()}"
        marked: F = kind(name)(no_var_expand(function))
        return marked

    return mark


@magics_class
class RLMMagics(Magics):
    """Defaults of `%%rlm`; set them with `%config RLMMagics.model = "openai:gpt-5-mini"` and the like."""

    model = Unicode("", help="The model where a cell names none.").tag(config=True)
    max_depth = Int(5, help="Default of --max-depth.").tag(config=True)
    max_steps = Int(50, help="Default of --max-steps.").tag(config=True)
    budget = Float(1.0, help="Dollars that a cell may spend where it names no --budget; 0: no limit.").tag(config=True)
    concurrency = Int(16, help="Default of --concurrency.").tag(config=True)
    view = Unicode("", help="Default of --view: widget, text or none; empty: what the host can show.").tag(config=True)

    def __init__(self, shell: Any, host: NotebookHost) -> None:
        super().__init__(shell)
        self._variables: dict[str, Any] = shell.user_ns
        self._host = host
        self._told: set[str] = set()

    @_magic(cell_magic, ASYNC_MAGIC)
    def cell_async(self, line: str, cell: str) -> Coroutine[Any, Any, Output | None]:
        """What an awaited `%%rlm` cell calls."""
        return self._solve(line, cell)

    @_magic(cell_magic, "rlm", documented=True)
    def cell_blocking(self, line: str, cell: str) -> Output | None:
        """Give the task in the cell to the recursive engine; the cell's value is the answer.

        This form waits, for `get_ipython().run_cell_magic("rlm", line, task)`; a `%%rlm` cell of its own is awaited.
        """
        before = self._variables.get("_rlm")
        try:
            return run_blocking(lambda: self._solve(line, cell))
        except KeyboardInterrupt:
            run = self._variables.get("_rlm")
            if not isinstance(run, Run) or run is before:
                raise
        raise in_one_line(interruption(run, "Interrupted"))

    @_magic(line_magic, "rlm", documented=True)
    def line(self, line: str) -> None:
        """`%rlm` shows the last run and this help, `%rlm version` the version; a task goes into a `%%rlm` cell."""
        from .. import __version__

        word = line.strip()
        if word == "version":
            print(__version__)
            return
        if word not in ("", "help"):
            raise UsageError(f"%rlm {word}: unknown; `%rlm` helps, and a task goes into a cell below `%%rlm`")
        last = self._variables.get("_rlm")
        print(f"last run: {last!r}" if isinstance(last, Run) else "no run yet in this session")
        print(parser().format_help())

    # -- one cell ------------------------------------------------------------------------------------------------

    async def _solve(self, line: str, cell: str) -> Output | None:
        debug = "--debug" in line.split()
        try:
            options = parse_options(line)
            if isinstance(options, CellOptions):
                return await self._answer(options, cell)
            print(options)
            return None
        except (RLMError, UsageError) as error:
            if debug:
                raise
            failure = error
        raise in_one_line(failure)

    async def _answer(self, options: CellOptions, cell: str) -> Output:
        run = self._start(options, _task(options, cell, self._variables))
        self._variables["_rlm"] = run
        try:
            output = await self._shown(run, options)
        finally:
            await _stopped(run)
        if options.out:
            self._variables[options.out] = output
        return output

    async def _shown(self, run: Run, options: CellOptions) -> Output:
        """The result of a run that is watched; stopping it is a failure of the cell in words of its own."""
        with show(run, options.view or self.view or self._host.best_view, title=options.name or ""):
            try:
                with heartbeat(), pumped_comms(self.shell):
                    return await run
            except (asyncio.CancelledError, KeyboardInterrupt):
                by_signal = _is_being_cancelled()
                await _stopped(run)
        raise interruption(run, "Interrupted" if by_signal else "Cancelled")

    def _start(self, options: CellOptions, task: str) -> Run:
        said = said_model(options.model, self.model, self._variables)
        # What a request is does not depend on the model that answers it, but an engine brings agents and tools along.
        asked: dict[str, Any] = {
            "variables": {name: variable(name, "--context", self._variables) for name in options.context},
            "output_type": variable(options.type, "--type", self._variables) if options.type else None,
        }
        wanted = self._engine(options, OFFLINE if said is None else said).request_key(task, **asked)
        journal = self._journal(options, wanted, task)
        model, mode = (said, options.mode) if said is not None else self._default(options.mode, journal, wanted)
        return self._engine(options, model).start(task, checkpoint=journal, mode=cast(Any, mode), **asked)

    def _journal(self, options: CellOptions, request_key: str, task: str) -> Journal | None:
        if options.no_checkpoint:
            return None
        if options.checkpoint:
            return named_file(options.checkpoint, self._host.cell_id)
        path = self._host.checkpoint_path(options.name, request_key, task)
        return FileOrMemory(JsonFile(path, cell_id=self._host.cell_id))

    # -- its engine ----------------------------------------------------------------------------------------------

    def _engine(self, options: CellOptions, llm: Any) -> AsyncRecursiveEngine:
        said = self._said(options)
        if isinstance(llm, AsyncRecursiveEngine | RecursiveEngine):
            engine = llm.async_engine if isinstance(llm, RecursiveEngine) else llm
            return engine.replaced(**said)
        defaults = {
            "max_depth": self.max_depth,
            "max_steps": self.max_steps,
            "max_concurrency": self.concurrency,
            # Nobody should be surprised by a bill; what has no known price is not limited in dollars.
            "budget": Budget(usd=self.budget or None, unknown_price="ignore"),
        }
        return AsyncRecursiveEngine(llm, **{**defaults, **said})

    def _said(self, options: CellOptions) -> dict[str, Any]:
        """The arguments of an engine that the line itself gives."""
        names = self._variables
        given = {
            "agents": variable(options.agents, "--agents", names) if options.agents else None,
            "tools": [variable(name, "--tools", names) for name in options.tools] or None,
            "max_depth": options.max_depth,
            "max_steps": options.max_steps,
            "max_concurrency": options.concurrency,
            "on_limit": options.on_limit,
            "on_failure": options.on_failure,
            "temperature": options.temperature,
            "budget": self._budget(options),
        }
        return {name: value for name, value in given.items() if value is not None}

    def _budget(self, options: CellOptions) -> Budget | None:
        """What the line limits; the default in dollars goes on holding beside it."""
        if not options.limits:
            return None
        if "usd" in options.limits:
            return Budget(**cast(Any, options.limits))
        return Budget(**cast(Any, {"usd": self.budget or None, "unknown_price": "ignore", **options.limits}))

    def _default(self, mode: str, journal: Journal | None, request_key: str) -> tuple[Any, str]:
        """Nothing was chosen: the recorded model, one whose key is set, `offline`; and the mode to run in."""
        recorded = journal.read() if journal is not None and mode != "fresh" else None
        if known := recorded_model(recorded):
            return known, mode
        if _is_answered(recorded, request_key):
            # A model that only its author has answered this already: nobody is asked again, nothing is overwritten.
            return OFFLINE, "replay"
        if os.environ.get("OPENAI_API_KEY"):
            chosen = default_openai_model()
            self._tell_once(f"rlm: using {chosen}, because OPENAI_API_KEY is set; choose with -m SPEC")
            return chosen, mode
        print(suggestions())
        return OFFLINE, mode

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            print(line)


def _task(options: CellOptions, cell: str, variables: dict[str, Any]) -> str:
    task = cell if options.raw else interpolated(cell, variables)
    if not task.strip():
        raise ConfigurationError("the cell is empty: write the task below the %%rlm line")
    return task.strip("\n")


def _is_answered(recorded: Recorded | None, request_key: str) -> bool:
    """The request is recorded with its answer, and what gave it was a choice (`offline` never is)."""
    if recorded is None or recorded.tree.status != "done" or recorded.tree.request_key != request_key:
        return False
    return not str(recorded.tree.settings.get("model", "")).startswith(OFFLINE)


def _is_being_cancelled() -> bool:
    """This very task was told to stop (an interrupt); else only the run that it waits for was."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _stopped(run: Run) -> None:
    """Leave no task of the run behind; another interrupt does not keep it from putting away what it holds."""
    while not run.ended:
        with suppress(asyncio.CancelledError):
            await run.cancel()


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
    """Take away what `load` added; without it, nothing changes."""
    install_host(PlainHost())
    shell.input_transformers_post[:] = [each for each in shell.input_transformers_post if each is not await_rlm]
    shell.configurables[:] = [each for each in shell.configurables if not isinstance(each, RLMMagics)]
    for kind, name in (("cell", "rlm"), ("cell", ASYNC_MAGIC), ("line", "rlm")):
        shell.magics_manager.magics[kind].pop(name, None)
