"""The way of a run from its begin to its end: told as it starts, driven within its time, put away however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

from ..concurrency.threads import read_beside
from ..core.error_text import described
from ..core.events import Cancelled, RunFinished, RunStarted
from ..credentials import without_keys
from ..exceptions import CheckpointError, RLMError
from ..types import Output
from .admission import budget_error
from .budget import OverBudget
from .run_context import RunContext
from .run_output import output_of

__all__ = ["Lifecycle"]

log = logging.getLogger("rlm_notebook")


class Lifecycle:
    """Drives one run to its `output` or its `error`, and then has begin what it goes on as, if anything."""

    def __init__(self, run: RunContext) -> None:
        self.output: Output | None = None
        self.error: BaseException | None = None
        self._run = run

    def begin(self, main: Callable[[RunContext], Awaitable[str]]) -> None:
        """Start the run's own task; `main` gives the root's answer."""
        control = self._run.control
        control.task = control.loop.create_task(self._drive(main), name=f"rlm-run-{self._run.run_id}")
        control.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Output]) -> None:
        if not task.cancelled():
            # An error that nobody awaits is still in `run.error` and on the tree; asyncio need not warn of it.
            task.exception()
        elif self._run.status == "pending":
            # Cancelled before its first step: nothing ran, but that it ended is told all the same.
            self._emit_start()
            self._end_badly(asyncio.CancelledError())
        if self._run.control.settled or not task.cancelled():
            self._run.continuation.begin()
        else:
            self._run.continuation.drop()

    def _emit_start(self) -> None:
        run = self._run
        run.emit(
            RunStarted(
                at=run.clock(),
                run_id=run.run_id,
                execution=secrets.token_hex(8),
                task=run.task,
                request_key=run.request_key,
                settings=run.settings,
                parent=run.recorded_state.parent,
                fresh=run.job.mode == "fresh",
            )
        )

    async def _drive(self, main: Callable[[RunContext], Awaitable[str]]) -> Output:
        self._emit_start()
        try:
            content, wanted = await self._in_time(main), self._run.job.output_type
            answered = partial(output_of, self._run.run, output_type=wanted)
            # Only what has a type is read once more.
            self.output = answered(content) if wanted is None else await read_beside(answered, content)
        except BaseException as error:
            self._end_badly(error)
            raise
        self._finish("done")
        return self.output

    async def _in_time(self, main: Callable[[RunContext], Awaitable[str]]) -> str:
        try:
            return await self._run.active_time.within(partial(main, self._run))
        except OverBudget as problem:
            raise budget_error(problem) from None

    def _end_badly(self, error: BaseException) -> None:
        run, self.error = self._run, error
        if isinstance(error, RLMError):
            error.run = run.run
        for node in list(run.tree):
            if not node.state.final:
                with contextlib.suppress(CheckpointError):
                    usage, text = run.claim(node.id), run.take_draft(node.id)
                    run.emit(Cancelled(at=run.clock(), node=node.id, usage=usage, text=text))
        status = run.control.stops_as if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) else "failed"
        try:
            self._finish(status, error)
        except CheckpointError as second:
            # The first error is what the user must hear of; that it could not be kept is said with it.
            log.error("%s", second)

    def _finish(self, status: str, error: BaseException | None = None) -> None:
        run = self._run
        said = without_keys(described(error)) if error is not None and status == "failed" else ""
        try:
            run.log.end(RunFinished(at=run.clock(), status=status, error=said), run.snapshot)
        except CheckpointError as problem:
            problem.run = run.run
            self.error = self.error or problem
            raise
