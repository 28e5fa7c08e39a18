"""A run from start to end: its first event, its main task within the time limit, its last event."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from ..concurrency.threads import read_beside
from ..core.error_text import causes_text, described
from ..core.events import Cancelled, RunFinished, RunStarted
from ..core.tree import NodeState, Recorded
from ..exceptions import BudgetExceededError, CheckpointError, RLMError
from ..host.credentials import without_keys
from ..solver.run import SolverRun
from ..types import Output
from .active_time import ActiveTime
from .budget import OverBudget, budget_error
from .config import RunRequest
from .continuation import Continuation
from .control import Control
from .event_log import EventLog
from .recall import RecordedState
from .run_output import output_of
from .run_view import RunView

__all__ = ["Lifecycle"]

log = logging.getLogger("rlm_notebook")


class DrivenRun(SolverRun, Protocol):
    """The parts of a run that its lifecycle uses beside those that the solver does."""

    @property
    def run(self) -> RunView: ...
    @property
    def run_id(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def job(self) -> RunRequest: ...
    @property
    def recorded_state(self) -> RecordedState: ...
    @property
    def log(self) -> EventLog: ...
    @property
    def control(self) -> Control: ...
    @property
    def active_time(self) -> ActiveTime: ...
    @property
    def continuation(self) -> Continuation: ...
    def snapshot(self) -> Recorded: ...
    async def close_sandbox(self) -> None: ...


class Lifecycle:
    """Drives one run to its `output` or its `error`, and then starts its successor, if there is one."""

    def __init__(self, run: DrivenRun) -> None:
        self.output: Output | None = None
        self.error: BaseException | None = None
        self._run = run

    def begin(self, main: Callable[[SolverRun], Awaitable[str]]) -> None:
        """Start the run's task; `main` returns the root's result."""
        control = self._run.control
        control.task = control.loop.create_task(self._drive(main), name=f"rlm-run-{self._run.run_id}")
        control.task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Output]) -> None:
        if not task.cancelled():
            # Marks the error as retrieved: it is in `run.error` and in the tree, asyncio need not log it.
            task.exception()
        elif self._run.status == "pending":
            # Cancelled before its first step: its start and end are emitted all the same.
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

    async def _drive(self, main: Callable[[SolverRun], Awaitable[str]]) -> Output:
        run = self._run
        self._emit_start()
        try:
            try:
                content = await run.active_time.within(partial(main, run))
            except OverBudget as problem:
                raise budget_error(problem) from None
            finally:
                await run.close_sandbox()
            output_type = run.job.output_type
            answered = partial(output_of, run.run, output_type=output_type)
            # A typed answer is parsed, which for a long one would block the loop.
            self.output = answered(content) if output_type is None else await read_beside(answered, content)
        except BaseException as error:
            self._end_badly(error)
            raise
        self._finish("done")
        return self.output

    def _end_badly(self, error: BaseException) -> None:
        run, self.error = self._run, error
        if isinstance(error, RLMError):
            error.run = run.run
        if isinstance(error, BudgetExceededError) and error.spent:
            # Without these, an outage that lasts until the time is over would read as a budget that is too small.
            over = (NodeState.DONE, NodeState.SUPERSEDED)
            failing = [(node, text) for node, text in run.failing.items() if run.tree[node].state not in over]
            if failing:
                spent = f"{error.spent}; calls failed until then: {causes_text(failing)}"
                error.args = (str(error.args[0]).replace(error.spent, spent),)
                error.spent = spent
        for node in list(run.tree):
            if not node.state.final:
                with contextlib.suppress(CheckpointError):
                    usage, text = run.claim(node.id), run.take_draft(node.id)
                    run.emit(Cancelled(at=run.clock(), node=node.id, usage=usage, text=text))
        status = run.control.stops_as if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) else "failed"
        try:
            self._finish(status, error)
        except CheckpointError as second:
            # The first error is the one to raise; that it could not be recorded is logged.
            log.error("%s", second)

    def _finish(self, status: str, error: BaseException | None = None) -> None:
        run = self._run
        text = ""
        if error is not None and status == "failed":
            # The advice of a spent budget is for whoever catches the error.
            spent = error.spent if isinstance(error, BudgetExceededError) else ""
            text = without_keys(f"{type(error).__name__}: {spent}" if spent else described(error))
        try:
            run.log.end(RunFinished(at=run.clock(), status=status, error=text), run.snapshot)
        except CheckpointError as problem:
            problem.run = run.run
            self.error = self.error or problem
            raise
