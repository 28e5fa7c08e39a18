"""The magics `%%rlm` and `%rlm`, their defaults, and how they are registered and removed.

The engine is imported by the first cell that needs it, so that `%load_ext` is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Dict, Float, Int, Unicode

from ..exceptions import RLMError
from ..host import PlainHost, install_host
from .cell.options import parser
from .cell.transformer import ASYNC_MAGIC, await_rlm, without_comments
from .commands.matcher import matcher_of
from .kernel.host import NotebookHost
from .kernel.session import Session

if TYPE_CHECKING:
    from ..runtime.engine_view import EngineView
    from .cell.answer import Value

__all__ = ["RLMMagics", "load", "unload"]

#: Named, because `%load_ext` does not import it.
_OUTPUT = "rlm_notebook.types.Output"
F = TypeVar("F", bound=Callable[..., Any])


def _engine(*arguments: Any, **options: Any) -> EngineView:
    from ..async_engine import AsyncRecursiveEngine

    return AsyncRecursiveEngine(*arguments, **options)


def _magic(kind: Callable[..., Any], name: str, *, documented: bool = False) -> Callable[[F], F]:
    """A magic whose line is not expanded; if `documented`, the options are appended to the docstring for `%%rlm?`."""

    def mark(function: F) -> F:
        if documented:
            function.__doc__ = f"{function.__doc__}\n{parser().format_help()}"
        marked: F = kind(name)(no_var_expand(function))
        return marked

    return mark


@magics_class
class RLMMagics(Magics):
    """Defaults of `%%rlm`; set them with `%config RLMMagics.model = "openai:gpt-5-mini"` and the like."""

    model = Unicode("", help="The model of a cell without --model.").tag(config=True)
    max_depth = Int(5, help="Default of --max-depth.").tag(config=True)
    max_steps = Int(50, help="Default of --max-steps.").tag(config=True)
    budget = Float(1.0, help="Dollars that a cell without --budget may spend; 0: no limit.").tag(config=True)
    prices = Dict(
        help="Prices that the table lacks: {model: (in, out)}, in dollars per million tokens read and written."
    ).tag(config=True)
    concurrency = Int(16, help="Default of --concurrency.").tag(config=True)
    view = Unicode("", help="Default of --view: widget, text or none; empty: the best that the host can show.").tag(
        config=True
    )

    def __init__(self, shell: Any, host: NotebookHost) -> None:
        super().__init__(shell)
        # Reading a trait gives its value; the type checker sees the descriptor instead.
        self.session = Session(shell, host, cast(Any, self), _engine)
        self.matcher = matcher_of(self.session)

    @_magic(cell_magic, ASYNC_MAGIC)
    def cell_async(self, line: str, cell: str) -> Coroutine[Any, Any, Value | None]:
        """The awaited form of `%%rlm`, which the input transformer generates."""
        from .cell.run_cell import run_cell

        return run_cell(self.session, line, cell)

    @_magic(cell_magic, "rlm", documented=True)
    def cell_blocking(self, line: str, cell: str) -> Value | None:
        """Solves the task in the cell with the recursive engine; the cell's value is the answer.

        This form blocks, for `get_ipython().run_cell_magic("rlm", line, task)`; a `%%rlm` cell is awaited.
        """
        from .cell.blocking import wait_for
        from .cell.run_cell import run_cell

        found: Value | None = wait_for(self.session, lambda: run_cell(self.session, line, cell))
        return found

    @_magic(line_magic, "%rlm")
    def not_first(self, line: str) -> None:
        """What IPython calls for a `%%rlm` below other code."""
        from .cell.errors import in_one_line

        problem = "%%rlm has to begin its cell, below comments at most; move the code above it into a cell of its own"
        raise in_one_line(UsageError(problem))

    @_magic(line_magic, "rlm", documented=True)
    def line(self, line: str) -> Any:
        """`%rlm` lists its commands and this help; a task goes into a `%%rlm` cell."""
        from .cell.errors import in_one_line
        from .commands.registry import run_command

        try:
            return run_command(self.session, line)
        except (RLMError, UsageError) as error:
            if "--debug" in line.split():
                raise
            failure = error
        raise in_one_line(failure, self.session.shell)


def load(shell: Any) -> None:
    """Registers the magics and the transformer; a second call changes nothing."""
    if any(isinstance(each, RLMMagics) for each in shell.configurables):
        return
    host = NotebookHost(shell)
    install_host(host)
    magics = RLMMagics(shell, host)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(magics.matcher)
    shell.display_formatter.ipython_display_formatter.for_type(_OUTPUT, magics.session.display_output)
    if without_comments not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(without_comments)
    if await_rlm not in shell.input_transformers_post:
        shell.input_transformers_post.append(await_rlm)


def unload(shell: Any) -> None:
    """Removes what `load` added; without a previous `load`, nothing changes."""
    install_host(PlainHost())
    cleanup = shell.input_transformers_cleanup
    cleanup[:] = [each for each in cleanup if each is not without_comments]
    shell.input_transformers_post[:] = [each for each in shell.input_transformers_post if each is not await_rlm]
    for loaded in (each for each in shell.configurables if isinstance(each, RLMMagics)):
        loaded.session.tables.forget()
        shell.display_formatter.ipython_display_formatter.pop(_OUTPUT, None)
        matchers = shell.Completer.custom_matchers
        matchers[:] = [each for each in matchers if each is not loaded.matcher]
    shell.configurables[:] = [each for each in shell.configurables if not isinstance(each, RLMMagics)]
    for kind, name in (("cell", "rlm"), ("cell", ASYNC_MAGIC), ("line", "rlm"), ("line", "%rlm")):
        shell.magics_manager.magics[kind].pop(name, None)
