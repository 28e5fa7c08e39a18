"""Rows on the workers of a Dask cluster: `executor=dask.distributed.Client`.

Theory of operation
===================
The coordinator, which is the process of the notebook, sends small batches of rows to workers, and alone writes the
file. A worker solves a batch on an event loop of its own, with an engine made there from the arguments of this one
(keys are read from the worker's environment and are never sent), and gives back the lines of its rows.

Each batch is meant for one worker and for no other, so that the coordinator alone decides what runs a second time: when
a worker is lost, its batch is sent to another one. Nothing that is recorded is sent at all.

One budget: a batch holds a *lease*, a part of what neither is spent nor leased; what it did not spend comes back with
its rows. So the sum never exceeds the budget. The lease of a lost worker counts as spent: nobody knows what was.

What must never happen: a row is in two batches at once; a lease is given out twice; the loss of a worker is taken for
the failure of its rows.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..core.limits import Budget, Usage
from ..exceptions import ConfigurationError, RLMError
from ..host.installation import install_command
from ..runtime.budget import OverBudget, budget_error
from .row_store import RowStore

if TYPE_CHECKING:
    from .row_runs import Job, RowRuns

__all__ = ["DaskRows", "checked_client"]

#: The most rows of a batch, and how many batches each worker thread gets at least, so that none has much to lose.
MOST_ROWS = 64
BATCHES = 4
#: Seconds between two looks at which workers there are.
INTERVAL = 0.5
#: Seconds between two looks at whether the worker is there whose result is being fetched.
FETCH = 2.0


def checked_client(executor: Any) -> Any:
    """The executor, if it is a client of Dask that blocks. Raises `ConfigurationError`."""
    if find_spec("distributed") is None:
        raise ConfigurationError(
            f"executor= takes a dask.distributed.Client, and dask is not installed: {install_command('dask')}"
        )
    if not isinstance(executor, import_module("distributed").Client):
        raise ConfigurationError(
            f"executor={type(executor).__name__}: expected a dask.distributed.Client; leave it out to run the rows in "
            "this process (one handles over 1,000 rows a second, because calls wait for the network)"
        )
    if executor.asynchronous:
        raise ConfigurationError("executor: this Client was made with asynchronous=True; make one without")
    return executor


@dataclass
class Solved:
    """What a worker gives back of a batch."""

    #: The lines of its rows, and the settings of the engines that they name.
    lines: list[tuple[str, bytes]]
    engines: dict[str, Any]
    #: Rows that failed without a line, and why.
    unrecorded: dict[str, str]
    #: Rows that the end of the lease broke off.
    broken: set[str]
    #: Why the batch stopped before its end; "" if it did not.
    stopped: str
    spent: Usage
    error: BaseException | None = None


#: A row for a worker: its key, its task, its engine, its output type, and the line that it continues from.
SentRow = tuple[str, str, Any, Any, bytes | None]


def solve(rows: list[SentRow], engines: dict[str, Any], lease: Budget, concurrency: int) -> Solved:
    """Solve a batch; runs in a thread of a worker."""
    from .row_runs import Job, RowRuns

    store = RowStore(None)
    begun = {row[0]: row[4] for row in rows}
    store.adopt([(key, line) for key, line in begun.items() if line is not None], engines)
    jobs = [Job(*row[:4]) for row in rows]

    async def work() -> tuple[RowRuns, BaseException | None]:
        runs = RowRuns(
            [job.key for job in jobs],
            lambda wanted: (job for job in jobs if job.key in wanted),
            store,
            budget=lease,
            concurrency=concurrency,
            counts_before=False,
        )
        runs.start()
        try:
            await runs
        except RLMError as error:
            return runs, error
        return runs, None

    runs, error = asyncio.run(work())
    lines = [(key, line) for key, line in store.lines() if begun.get(key) != line]
    return Solved(lines, store.engines, runs.unrecorded, runs.broken, runs.stopped, runs.spent, error)


@dataclass(eq=False)
class _Batch:
    jobs: list[Job]
    worker: str
    lease: Budget
    #: Its lease was all that was left.
    has_all: bool
    future: Any = None
    has_ended: bool = False


class DaskRows:
    """Runs the rows of an experiment on a cluster."""

    def __init__(self, runs: RowRuns, client: Any, count: int) -> None:
        self._runs, self._client, self._count = runs, client, count
        self._batches: set[_Batch] = set()
        #: Rows of lost workers, and of leases that were spent.
        self._again: deque[Job] = deque()
        self._threads: dict[str, int] = {}
        self._change = asyncio.Event()
        #: A lease was spent: from now on one batch at a time has all that is left.
        self._one_by_one = False

    async def run(self, jobs: Iterator[Job]) -> None:
        """Run all jobs, and end when all have ended or the experiment stops."""
        try:
            await self._look()
            while True:
                self._send_all(jobs)
                if not self._batches and (self._runs.stopped or self._waiting is None):
                    return
                self._change.clear()
                try:
                    await asyncio.wait_for(self._change.wait(), INTERVAL)
                except TimeoutError:
                    await self._look()
                for batch in [each for each in self._batches if each.has_ended]:
                    self._batches.discard(batch)
                    await self._take(batch)
        finally:
            for batch in self._batches:
                batch.future.cancel(force=True)

    #: The next row that is to be sent; `None` if there is none.
    _waiting: Job | None = None

    def _send_all(self, jobs: Iterator[Job]) -> None:
        """Send batches as long as a thread is free and the budget has room."""
        runs = self._runs
        while not runs.stopped and runs.is_running:
            if self._waiting is None:
                self._waiting = self._again.popleft() if self._again else next(jobs, None)
            # A worker with a free thread, of these the one with the fewest batches.
            busy = Counter(batch.worker for batch in self._batches)
            free = [each for each, threads in self._threads.items() if busy[each] < threads]
            worker = min(free, key=busy.__getitem__, default=None)
            if self._one_by_one and self._batches:
                worker = None
            if self._waiting is None or worker is None:
                return
            lease = self._lease()
            if isinstance(lease, OverBudget):
                if not self._batches:
                    runs.stop_elsewhere(f"{budget_error(lease).spent}; run again with a larger budget to continue")
                return
            chosen = [self._waiting]
            size = min(MOST_ROWS, -(-self._count // (BATCHES * max(1, sum(self._threads.values())))))
            while len(chosen) < size:
                job = self._again.popleft() if self._again else next(jobs, None)
                if job is None:
                    break
                chosen.append(job)
            self._waiting = None
            self._send(_Batch(chosen, worker, lease, self._one_by_one))

    def _lease(self) -> Budget | OverBudget:
        """A part of what is neither spent nor leased; or of which amount nothing is left."""
        budget, total = self._runs.budget, self._runs.total
        shares = 1 if self._one_by_one else max(1, sum(self._threads.values()) - len(self._batches))
        given: dict[str, Any] = {}
        for name, limit, used in (
            ("calls", budget.calls, total.calls),
            ("tokens", budget.tokens, total.total_tokens),
            ("usd", budget.usd, total.cost_usd or 0.0),
        ):
            if limit is None:
                continue
            rest = limit - used - sum(getattr(batch.lease, name) or 0 for batch in self._batches)
            given[name] = rest / shares if name == "usd" else max(min(1, int(rest)), int(rest / shares))
            if given[name] <= 0:
                return OverBudget(name, used, limit, unit="row")
        return Budget(**given, unknown_price=budget.unknown_price)

    def _send(self, batch: _Batch) -> None:
        runs, loop = self._runs, asyncio.get_running_loop()
        rows: list[SentRow] = [
            (job.key, job.task, job.engine, job.output_type, None if runs.is_fresh else runs.store.line(job.key))
            for job in batch.jobs
        ]
        share = max(1, runs.concurrency // max(1, sum(self._threads.values())))
        where = {"workers": [batch.worker], "allow_other_workers": False, "pure": False}
        try:
            batch.future = self._client.submit(solve, rows, runs.store.engines, batch.lease, share, **where)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise ConfigurationError(
                f"the engine cannot be sent to workers ({type(error).__name__}: {error}); give its models as specs, "
                "and tools and callables that can be pickled"
            ) from error
        self._batches.add(batch)

        def ended() -> None:
            batch.has_ended = True
            self._change.set()

        batch.future.add_done_callback(lambda _future: loop.call_soon_threadsafe(ended))

    async def _look(self) -> None:
        """Learn which workers there are; what a lost one had is sent again."""
        self._threads = await asyncio.to_thread(self._client.nthreads)
        for batch in [each for each in self._batches if each.worker not in self._threads and not each.has_ended]:
            self._batches.discard(batch)
            batch.future.cancel(force=True)
            self._lost(batch)

    def _lost(self, batch: _Batch) -> None:
        lease = batch.lease
        self._runs.count_elsewhere(
            Usage(calls=lease.calls or 0, prompt_tokens=lease.tokens or 0, cost_usd=lease.usd or 0.0)
        )
        self._again.extend(batch.jobs)

    async def _result(self, batch: _Batch) -> Solved | None:
        """What a worker gave back; `None` if the worker was lost before its result was here.

        A result stays in the memory of its worker until it is fetched: if the worker dies in between, Dask waits for
        ever, because no other worker may run the batch.
        """
        while True:
            try:
                solved: Solved = await asyncio.to_thread(batch.future.result, FETCH)
                return solved
            except TimeoutError:
                if batch.worker not in await asyncio.to_thread(self._client.nthreads):
                    batch.future.cancel(force=True)
                    return None

    async def _take(self, batch: _Batch) -> None:
        """Record what a worker gave back."""
        future, runs = batch.future, self._runs
        if future.status == "cancelled" or future.status == "lost":
            self._lost(batch)
            return
        if future.status == "error":
            error = future.exception()
            raise ConfigurationError(
                f"a worker could not run its rows ({type(error).__name__}: {error}); it needs rlm_notebook and what "
                "the models need, in the same versions as here"
            ) from error
        solved = await self._result(batch)
        if solved is None:
            self._lost(batch)
            return
        runs.count_elsewhere(solved.spent)
        if solved.lines:
            runs.store.open()
            runs.store.adopt(solved.lines, solved.engines)
        if solved.error is not None:
            raise solved.error
        ended = ({key for key, _ in solved.lines} | {*solved.unrecorded}) - solved.broken
        runs.unrecorded.update({key: why for key, why in solved.unrecorded.items() if key in ended})
        runs.ended_elsewhere(ended)
        if not solved.stopped:
            return
        if batch.has_all:
            runs.stop_elsewhere(solved.stopped)
        self._one_by_one = True
        self._again.extend(job for job in batch.jobs if job.key not in ended)
