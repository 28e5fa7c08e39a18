"""Many runs of one experiment under one budget: which rows run, how many at once, and when they stop.

Theory of operation
===================
An experiment is a set of keys, one for each distinct row (or, in a study, each distinct row, arm and seed). A key that
the store holds as done is reused; every other key becomes a `Job`, which is a run of the engine whose journal is one
line of the store. `concurrency` workers take jobs from one iterator, so a slow row holds back nothing but itself.

States of an experiment: *running*, *paused*, and at the end *done* (each row is done or failed), *stopped* (by the
budget, the pilot, or an error that every further row would meet too), *cancelled*, *failed* (with `errors="raise"`, or
because nothing could be recorded). An experiment never rewinds: `again` starts the rest over what is recorded.

One budget: the runs share a `BudgetMeter`, in which each call is reserved beside the budget of its own run, and
`row_admission` starts no more rows than it can finish. The first call or row that does not fit stops the experiment;
calls in flight finish and are recorded.

What must never happen: a failed row ends the others (unless asked for); a row that is recorded runs again; a result is
used before its line is written; a worker is left when the experiment ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..concurrency.cancellation import is_being_cancelled, is_failure
from ..core.choices import RunMode
from ..core.error_text import error_text
from ..core.limits import NOTHING, Budget, Usage
from ..core.text import counted
from ..core.tree import Recorded
from ..exceptions import (
    BudgetExceededError,
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    ModelError,
    ReplayError,
)
from ..host.credentials import without_keys
from ..runtime.active_time import ActiveTime
from ..runtime.budget import BudgetMeter, OverBudget, budget_error
from ..runtime.run_view import RunView
from .forecast import Forecast, forecast_of
from .row_admission import RowAdmission
from .row_storage import RowStorage

__all__ = ["Errors", "Job", "JobSource", "RowRuns"]

Errors = Literal["keep", "raise"]


class RowEngine(Protocol):
    """The engine of a job, as far as it is used here."""

    def start(self, task: str, *, checkpoint: Any, mode: RunMode, output_type: Any) -> RunView: ...
    def sharing(self, whole: BudgetMeter | None) -> RowEngine: ...
    @property
    def answers_in_one_call(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Job:
    """One row to run: its key, its task, and the engine that solves it."""

    key: str
    task: str
    engine: Any
    output_type: Any = None


#: The jobs of these keys, in the order in which they should run.
JobSource = Callable[[Collection[str]], Iterator[Job]]


class RowRuns:
    """The runs of an experiment; started by `start`, on the event loop that is running. Await it until they have ended.

    `keys` are distinct. `pilot`: run so many rows first, and stop if the rest would exceed the budget.
    """

    def __init__(
        self,
        keys: Sequence[str],
        jobs: JobSource,
        store: RowStorage,
        *,
        budget: Budget | None = None,
        concurrency: int = 64,
        errors: Errors = "keep",
        mode: RunMode = "resume",
        pilot: int | None = None,
        executor: Any = None,
        counts_before: bool = True,
    ) -> None:
        self.keys = keys
        self.store = store
        self.budget = budget or Budget()
        self.concurrency = concurrency
        #: Why the experiment stopped before its end; "" if it did not.
        self.stopped = ""
        self.forecast: Forecast | None = None
        #: Rows that ended without a line in the store, and why.
        self.unrecorded: dict[str, str] = {}
        #: Rows that need no call.
        self.reused = sum(store.state(key) == "done" for key in keys) if mode != "fresh" else 0
        self.done = self.reused
        self.failed = 0
        self.started = time.time()
        self.seconds = 0.0
        self.error: BaseException | None = None
        self._jobs, self._errors, self._mode = jobs, errors, mode
        self._pilot, self._executor, self._counts_before = pilot, executor, counts_before
        #: Rows that the end of the budget broke off.
        self.broken: set[str] = set()
        self._fresh_keys: set[str] = set()
        self._live: dict[str, RunView] = {}
        #: The keys of rows that have begun or ended, in this order: a view reads what is new.
        self.log: list[str] = []
        #: Each engine with the budget of the experiment.
        self._engines: dict[int, Any] = {}
        self._running = asyncio.Event()
        self._running.set()
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None
        self._clock: ActiveTime | None = None
        self._watchers: list[Callable[[], None]] = []
        self._meter = BudgetMeter(self.budget, NOTHING)
        self._admission = RowAdmission(Budget(), self._meter, ())

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """ "running", "paused", "done", "stopped", "cancelled" or "failed"."""
        if self._task is not None and not self._task.done():
            return "running" if self._running.is_set() else "paused"
        if self._cancelled:
            return "cancelled"
        if self.error is not None:
            return "failed"
        return "stopped" if self.stopped else "done"

    @property
    def usage(self) -> Usage:
        """Over all executions of these rows."""
        total = NOTHING
        for key in self.keys:
            total += self.store.usage(key)
        return total

    @property
    def spent(self) -> Usage:
        """By this execution, calls in flight included."""
        return self._meter.spent

    @property
    def calls(self) -> int:
        """Model calls of this execution."""
        return self._meter.spent.calls

    def state(self, key: str) -> tuple[str, str | None]:
        """The state of a row, and its error: "done", "failed", "cancelled" or "pending"."""
        if (state := self.store.state(key)) is not None and not (self._mode == "fresh" and key not in self._fresh_keys):
            return state, None
        if key in self.unrecorded:
            return "failed", self.unrecorded[key]
        if self.status == "running" or self.status == "paused":
            return "pending", None
        if self._cancelled:
            return "cancelled", "cancelled before it ran"
        return "pending", self.stopped or None

    def run_of(self, key: str) -> RunView | None:
        """The run of a row that is under way."""
        return self._live.get(key)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the experiment; `None` before it has started."""
        return self._task.get_loop() if self._task is not None else None

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever a row has ended, and at the end."""
        self._watchers.append(watcher)

    def at_end(self, call: Callable[[], None]) -> None:
        """Call this once the rows that run now have ended."""
        assert self._task is not None
        self._task.add_done_callback(lambda _: call())

    def _notify(self) -> None:
        for watcher in self._watchers:
            watcher()

    # -- control ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the rows that are not done. Raises `ReplayError` in a replay if some are missing."""
        wanted = [key for key in self.keys if self._mode == "fresh" or self.store.state(key) != "done"]
        if self._mode == "replay":
            missing = [key for key in wanted if self.store.state(key) is None]
            if missing:
                raise ReplayError(
                    f"{len(missing)} of {len(self.keys)} rows are not recorded in {self.store.path or 'memory'}; "
                    "run once without replay to record them"
                )
            wanted = []
        self._start(wanted)

    def again(self, budget: Budget | None = None) -> None:
        """Start the rows that have failed, were cancelled, or have not run; all others stay as they are."""
        if self._task is not None and not self._task.done():
            raise ConfigurationError(f"the experiment is {self.status}; wait for it, or cancel it first")
        wanted = [key for key in self.keys if self.state(key)[0] != "done"]
        self.budget = budget or self.budget
        self.stopped, self.error, self._cancelled, self._pilot = "", None, False, None
        self.unrecorded.clear()
        self.failed, self._engines = 0, {}
        self._mode = "resume" if self._mode == "replay" else self._mode
        self.reused = self.done = len(self.keys) - len(wanted)
        self._start(wanted)

    def _start(self, wanted: list[str]) -> None:
        before = self.usage if self._counts_before and self.budget != Budget() else NOTHING
        self._meter = BudgetMeter(self.budget, before)
        ended = (self.store.usage(key) for key in self.keys if self.store.state(key) == "done")
        self._admission = RowAdmission(self.budget, self._meter, ended)
        self.started = time.time()
        self.error = None
        if not wanted:
            self.failed = sum(self.store.state(key) != "done" for key in self.keys)
        self._task = asyncio.get_running_loop().create_task(self._drive(wanted), name="rlm-experiment")
        # Marks the error as retrieved: it is in `error`.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    def cancel(self) -> Awaitable[None]:
        """Cancel the rows in flight and start no others; what finished is recorded. Await it for the end."""
        self.request_cancel()
        return self._ended()

    def request_cancel(self) -> None:
        """`cancel`, for whoever does not await the end."""
        task = self._task
        if task is not None and not task.done():
            self._cancelled = True
            task.get_loop().call_soon_threadsafe(task.cancel)

    async def _ended(self) -> None:
        if self._task is not None:
            await asyncio.wait([self._task])

    def pause(self) -> None:
        """Start no further call; calls in flight finish."""
        self._running.clear()
        if self._clock is not None:
            self._clock.stop()
        for run in list(self._live.values()):
            run.pause()
        self._notify()

    def resume(self) -> None:
        """Start calls again after `pause`."""
        self._running.set()
        if self._clock is not None:
            self._clock.start()
        for run in list(self._live.values()):
            run.resume()
        self._notify()

    def __await__(self) -> Generator[Any, None, None]:
        return self._outcome().__await__()

    async def _outcome(self) -> None:
        assert self._task is not None
        try:
            # Shielded, and cancelled by `cancel`, which marks the experiment as such.
            await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if not is_being_cancelled():
                return
            with suppress(asyncio.CancelledError):
                await self.cancel()
            raise

    # -- the work --------------------------------------------------------------------------------------------------

    async def _drive(self, wanted: list[str]) -> None:
        began = time.monotonic()
        try:
            await self._within_time(wanted)
        except BaseException as error:
            if not (self._cancelled and isinstance(error, asyncio.CancelledError)):
                self.error = error
            raise
        finally:
            self.seconds = time.monotonic() - began
            self.store.close()
            self._notify()

    async def _within_time(self, wanted: list[str]) -> None:
        clock = self._clock = ActiveTime(0.0, self.budget.seconds, time.time)

        async def work() -> str:
            clock.start()
            await self._pilot_and_rest(wanted)
            return ""

        try:
            await clock.within(work)
        except OverBudget as problem:
            self._stop(problem)

    async def _pilot_and_rest(self, wanted: list[str]) -> None:
        first: list[str] = []
        if self._pilot and len(wanted) > self._pilot:
            first = sorted(wanted)[: self._pilot]  # keys are digests: their order is a random one, the same each time
            await self._work(first)
            rest = set(wanted).difference(first)
            if self.stopped:
                return
            sizes = {job.key: len(job.task) for job in self._jobs({*first, *rest})}
            records = [record for key in first if (record := self.store.record(key)) is not None]
            self.forecast = forecast_of(
                records, [sizes[record.key] for record in records], [sizes[key] for key in rest], self.concurrency
            )
            seconds = self._clock.seconds if self._clock is not None else 0.0
            if exceeded := self.forecast.exceeds(self.budget, self._meter.total, seconds):
                self.stopped = f"the pilot of {counted(len(first), 'row')}: {self.forecast}; {exceeded}"
                return
            self._notify()
        await self._work([key for key in wanted if key not in set(first)] if first else wanted)

    async def _work(self, wanted: list[str]) -> None:
        """Run these rows, and end when all have ended or the experiment stops."""
        jobs = self._jobs(set(wanted))
        if self._executor is not None:
            from .dask_rows import DaskRows

            await DaskRows(self, self._executor, len(wanted)).run(jobs)
            return
        workers = [
            asyncio.create_task(self._worker(jobs), name=f"rlm-row-{number}")
            for number in range(max(1, min(self.concurrency, len(wanted))))
        ]
        try:
            await asyncio.gather(*workers)
        except BaseException:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            raise

    async def _worker(self, jobs: Iterator[Job]) -> None:
        for job in jobs:
            if not self._running.is_set():
                await self._running.wait()
            if not self.stopped and not job.engine.answers_in_one_call:
                problem = await self._admission.admit(id(job.engine), self.store.usage(job.key))
                if problem is not None and not self.stopped:
                    self._stop(problem)
            if self.stopped:
                return
            await self._row(job)
            self._notify()

    async def _row(self, job: Job) -> None:
        run: RunView | None = None
        is_new = self.store.state(job.key) is None
        try:
            engine = self._engines.get(id(job.engine))
            if engine is None:
                engine = self._engines[id(job.engine)] = job.engine.sharing(self._meter)
            begun: RunView = engine.start(
                job.task,
                checkpoint=self.store.journal(job.key, self._is_worth_a_line, fresh=self._mode == "fresh"),
                mode="fresh" if self._mode == "fresh" else "resume",
                output_type=job.output_type,
            )
            run = begun
            self._live[job.key] = begun
            self.log.append(job.key)
            if not job.engine.answers_in_one_call:
                self._admission.started(job.key, id(job.engine), lambda: begun.usage)
            await begun
            self.done += 1
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) or not is_failure(error):
                if run is not None:
                    await run.cancel()
                raise
            self._failed(job, error, is_new)
        finally:
            self._fresh_keys.add(job.key)
            self._admission.ended(job.key)
            self._live.pop(job.key, None)
            self.log.append(job.key)

    def _failed(self, job: Job, error: BaseException, is_new: bool) -> None:
        """A row has failed: it is kept, or ends the experiment. Raises the error in the latter case."""
        if isinstance(error, CheckpointError):
            raise error
        if isinstance(error, BudgetExceededError) and self._meter.refused is not None:
            self.broken.add(job.key)
            self._stop(self._meter.refused)
            if self.store.state(job.key) is None:
                # Refused before its first call: it has not run.
                return
        elif isinstance(error, ModelError) and error.fatal:
            if self._errors == "raise" or (self.done == self.reused and is_new):
                raise error
            self.stopped = self.stopped or without_keys(error_text(error))
        elif self._errors == "raise":
            raise error
        if self.store.state(job.key) in (None, "done"):
            self.unrecorded[job.key] = without_keys(error_text(error))
        self.failed += 1

    def _stop(self, problem: OverBudget) -> None:
        if not self.stopped:
            self.stopped = f"{budget_error(problem).spent}; run again with a larger budget to continue"
        if self._errors == "raise":
            raise budget_error(problem) from None

    # -- of rows that run in other processes -----------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """It is not paused."""
        return self._running.is_set()

    @property
    def is_fresh(self) -> bool:
        """What is recorded is not used."""
        return self._mode == "fresh"

    @property
    def total(self) -> Usage:
        """What counts towards the budget: of all executions."""
        return self._meter.total

    def count_elsewhere(self, used: Usage) -> None:
        """Count what another process has used."""
        self._meter.count(used)

    def ended_elsewhere(self, keys: Collection[str]) -> None:
        """These rows have ended, and are recorded as far as they can be. Raises with `errors="raise"` if one failed."""
        for key in keys:
            self._fresh_keys.add(key)
            self.log.append(key)
            if self.store.state(key) == "done":
                self.done += 1
                continue
            self.failed += 1
            if self._errors == "raise":
                record = self.store.record(key)
                raise ExecutionError(self.unrecorded.get(key) or (record.error if record else None) or "a row failed")
        self._notify()

    def stop_elsewhere(self, reason: str) -> None:
        """The budget does not suffice for what is left."""
        self.stopped = self.stopped or reason
        if self._errors == "raise":
            raise BudgetExceededError(reason)

    def _is_worth_a_line(self, recorded: Recorded) -> bool:
        """Whether something was paid, or is known; false for a row that the end of the budget met first."""
        ended = recorded.tree.status
        return ended == "done" or recorded.spent.calls > 0 or (ended == "failed" and self._meter.refused is None)
