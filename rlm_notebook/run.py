"""One execution: a tree, its journal, those who watch it, and what it may still spend.

`emit` is the sole writer. Everything that happens to a run is an event that goes through it: applied to the tree,
appended to the journal, told to the observers, in this order. A run never rewinds; resuming is a new run over the
records of the old one. Control (cancel, pause, resume) comes back as calls on the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping
from typing import Any, cast

from .core.context import RLMContext
from .core.diff import Difference, difference
from .core.events import (
    Cancelled,
    Event,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
)
from .core.limits import NOTHING, ONE_CALL, Budget, Limits, Usage
from .core.mermaid import mermaid
from .core.outline import outline
from .core.plan import Execute, Plan, Recurse, plan_from_json
from .core.records import Recorded, Records
from .core.tree import Node, NodeState, Tree
from .exceptions import BudgetExceededError, CheckpointError, ConfigurationError, ExecutionError, RLMError
from .forks import Fork, edited, retried
from .memory import SharedMemory
from .ports import Journal, Message, Model, Observer, current_host
from .pricing import Prices
from .readings import ReadableRun, best_of, trace_of
from .turns import Meter, OverBudget, Turns
from .typed import OutputType, Unfit
from .types import Output, TraceObject

__all__ = ["Run"]

log = logging.getLogger("rlm_notebook")

_END = object()


class Run:
    """A run of the engine: await it for its `Output`, iterate `events()`, or `cancel()`, `pause()`, `resume()` it.

    Made by `AsyncRecursiveEngine.start`. `tree` is the state so far, `status` one of "pending", "running", "paused",
    "done", "failed", "cancelled". Control may be called from any thread.
    """

    def __init__(
        self,
        *,
        task: str,
        request_key: str,
        settings: dict[str, Any],
        journal: Journal,
        recorded: Recorded | None,
        limits: Limits,
        budget: Budget,
        context: RLMContext | None = None,
        memory: SharedMemory | None = None,
        output_type: OutputType | None = None,
        prices: Prices | None = None,
        approve: bool | str = False,
        joins_only: bool = False,
        remember: Callable[[Model, Model], Model] = lambda model, asking: asking,
        observers: Iterable[Observer] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        same = recorded is not None and recorded.tree.request_key == request_key
        #: Stays the same over the resumes of one request, so that what refers to it (a saved output) still does.
        self.run_id = recorded.tree.run_id if same and recorded is not None else secrets.token_hex(8)
        #: Run and node that this one was edited from.
        self.parent = recorded.tree.parent if same and recorded is not None else None
        self.task = task
        self.request_key = request_key
        self.settings = settings
        self.budget = budget
        self.limits = limits
        self.tree = Tree()
        self.journal = journal
        self.recorded = recorded
        self.records = _records_of(recorded)
        self.clock = clock
        self.context = context
        self.memory = memory if memory is not None else SharedMemory({})
        self.output_type = output_type
        self.prices = prices if prices is not None else Prices()
        #: What a reply is said to come from when it does not name its model itself; "": the model's own name.
        self.default_model = ""
        self.approval = approve
        self.joins_only = joins_only
        #: Puts the engine's cache before what asks a model.
        self.remember = remember
        #: Plans that wait for `approve`, by node.
        self.awaiting: dict[str, asyncio.Future[Any]] = {}
        #: Requests that are being made now, so that an equal one can wait for the same answer.
        self.under_way: dict[Any, asyncio.Future[Any]] = {}
        #: How many calls come after a node because siblings of it, or of an ancestor, wait: only where that is any.
        self.waited_for: dict[str, int] = {}
        self._unclaimed: dict[str, Usage] = {}
        # A changed request is another one: what was spent on the old is not held against it.
        self._meter = Meter(budget, recorded.spent if recorded is not None and same else NOTHING)
        self.output: Output | None = None
        self.error: BaseException | None = None
        self.join_again: Callable[[], Run] | None = None
        self.start_fork: Callable[[Fork], Run] | None = None
        self.key_of: Callable[[str], str] = lambda node_id: ""
        self._held: dict[str, float] = {}
        self.describe_prompt: Callable[[str], tuple[Message, ...]] = lambda node_id: ()
        #: Replaced, never changed: whoever stops watching while it is told of an event disturbs nobody.
        self._observers: tuple[Observer, ...] = tuple(observers)
        self._steps = 1
        self._active = recorded.active_seconds if recorded is not None and same else 0.0
        self._active_since: float | None = None
        self._opened = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._turns = Turns(limits.max_concurrency)
        self._going = asyncio.Event()
        self._going.set()
        self._timeout: asyncio.Timeout | None = None
        self._task: asyncio.Task[Output] | None = None

    # -- what happened -------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        return self.tree.status

    @property
    def finished(self) -> bool:
        return self.status in ("done", "failed", "cancelled")

    @property
    def ended(self) -> bool:
        """No task of the run is alive: what is to be kept has been put away."""
        return self._task is None or self._task.done()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the run lives on; everything it emits is emitted there."""
        return self._loop

    @property
    def usage(self) -> Usage:
        """Over the lifetime of the run: what earlier executions of the same file used is included."""
        return self._meter.total

    @property
    def calls(self) -> int:
        """Model calls of this execution."""
        return self._meter.spent.calls

    @property
    def checkpoint(self) -> str | None:
        """Where the run is kept, or `None` for memory."""
        return str(self.journal.path) if self.journal.path else None

    @property
    def active_seconds(self) -> float:
        """How long the run has worked, from the first call of each execution on; pauses do not count."""
        return self._active

    @property
    def reused(self) -> bool:
        """Every answer was found in the records: no model was called."""
        return self.status == "done" and self.calls == 0 and bool(self.records)

    def emit(self, event: Event) -> None:
        """The sole writer: apply, keep, tell. A journal that fails fails the run; an observer never does."""
        self.tree.apply(event)
        try:
            if event.durable:
                self.journal.append(event)
        finally:
            # What was applied is told even if it could not be kept: who watches sees the tree as it is.
            self._tell(event)

    def _tell(self, event: Event) -> None:
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("an observer failed on %s; the run goes on", type(event).__name__)

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` every event from now on; call the result to stop."""
        self._observers = (*self._observers, observer)

        def stop() -> None:
            # By identity: an observer may be of any type, and equal to another one.
            self._observers = tuple(each for each in self._observers if each is not observer)

        return stop

    @property
    def watched(self) -> bool:
        """Somebody would see text while it streams."""
        return bool(self._observers)

    async def events(self) -> AsyncIterator[Event]:
        """Every event from now on, tokens included, in order, until the run ends."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        if self._task is None or self.finished:
            return
        stop = self.watch(queue.put_nowait)
        self._task.add_done_callback(lambda _: queue.put_nowait(_END))
        try:
            while (event := await queue.get()) is not _END:
                yield event
        finally:
            stop()

    def partial(self) -> Output:
        """The best answer so far: the answer if there is one, else the finished parts in the plan's order."""
        if self.output is not None:
            return self.output
        return Output(best_of(self.tree), {"partial": True, "run_id": self.run_id}, usage=self.usage, run=self)

    def synthesize_anyway(self) -> Run:
        """Answer with what there is: a new run, to be awaited, that joins what is recorded and solves nothing new.

        For a run that ended early (a failure, a spent budget, a cancellation). What is missing is stated in the
        prompts, so that the answer can say so. Raises `ConfigurationError` while the run is under way.
        """
        if self.join_again is None or not self.finished:
            raise ConfigurationError(f"this run is {self.status}; wait until it has ended, or cancel it first")
        return self.join_again()

    def edit(
        self,
        node_id: str,
        *,
        task: str | None = None,
        plan: Plan | Mapping[str, Any] | None = None,
        result: str | None = None,
    ) -> Run:
        """A new run, started at once, in which a node has another task, plan or result; this one stays as it is.

        What does not depend on the edit is reused, and a result that comes out as before ends what has to be done.
        Of a run kept in a file, the new one is kept beside it, as `<name>-edit.json`. Its budget starts at zero.
        Raises `ConfigurationError` while the run is under way and for an edit that cannot be made.
        """
        edit = _plan_of(plan) if plan is not None else None
        return self._forked(edited(self, node_id, task, edit, result))

    def retry(self, node_id: str | None = None) -> Run:
        """A new run that does again what failed or was cancelled; or also one node that was done. As `edit`."""
        return self._forked(retried(self, node_id))

    def _forked(self, fork: Fork) -> Run:
        if self.start_fork is None:
            raise ConfigurationError("this run has no engine that could go on with it")
        return self.start_fork(fork)

    def trace(self) -> list[TraceObject]:
        """All nodes as plain dictionaries."""
        return trace_of(self.tree)

    def to_mermaid(self) -> str:
        """The tree as a Mermaid flowchart."""
        return mermaid(self.tree)

    def diff(self, other: ReadableRun) -> Difference:
        """What is different in `other`, node by node, and what it took more or less."""
        return difference(self.tree, other.tree)

    # -- control -------------------------------------------------------------------------------------------------

    def cancel(self) -> Awaitable[None]:
        """Stop now. Once the result is awaited (or this returned, in another thread), no task of the run is alive
        and everything finished is kept."""
        if self._task is None or self._task.done():
            return _Ended(None)
        if threading.get_ident() == self._thread:
            self._task.cancel()
            return _Ended(self._task)
        ended = threading.Event()
        self._loop.call_soon_threadsafe(self._cancel_and_tell, ended)
        ended.wait(timeout=10)
        return _Ended(None)

    def _cancel_and_tell(self, ended: threading.Event) -> None:
        if self._task is None or self._task.done():
            ended.set()
            return
        self._task.add_done_callback(lambda _: ended.set())
        self._task.cancel()

    def pause(self) -> None:
        """Start no further model call; those under way finish."""
        self._on_loop(self._pause)

    def resume(self) -> None:
        """Go on after `pause`."""
        self._on_loop(self._resume)

    def approve(self, node_id: str, plan: Plan | Mapping[str, Any] | None = None) -> None:
        """Let a plan that waits for approval go ahead, as it is or as the given one (a dict as planners write it).

        Raises `ConfigurationError` for a node that waits for nothing, and for what is no plan.
        """
        if node_id not in self.awaiting:
            raise ConfigurationError(
                f"node {node_id} waits for no approval; waiting: {', '.join(self.awaiting) or '-'}"
            )
        edited = _plan_of(plan) if plan is not None else None
        self._on_loop(lambda: self._approved(node_id, edited))

    def _approved(self, node_id: str, edited: Any) -> None:
        waiting = self.awaiting.get(node_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(edited)

    async def approval_of(self, node_id: str) -> Execute | Recurse | None:
        """Wait until the plan of a node is approved; the edited plan, or `None` if it stays. Waiting costs no time."""
        waiting = self.awaiting[node_id] = self._loop.create_future()
        self._rest()
        try:
            edited: Execute | Recurse | None = await waiting
            return edited
        finally:
            del self.awaiting[node_id]

    def _on_loop(self, action: Callable[[], None]) -> None:
        if threading.get_ident() == self._thread:
            action()
        else:
            self._loop.call_soon_threadsafe(action)

    def _pause(self) -> None:
        if self.status == "pending":
            # The run's own task was not yet here: no call starts, and the pause is told right after the start.
            self._going.clear()
            self._loop.call_soon(self._pause)
        elif self.status == "running":
            self._going.clear()
            self._stop_clock()
            self.emit(RunPaused(at=self.clock()))

    def _resume(self) -> None:
        if self.status == "pending":
            self._loop.call_soon(self._resume)
        elif self.status == "paused":
            self.emit(RunResumed(at=self.clock()))
            if self.calls:
                self._start_clock()
            self._going.set()

    # -- for the engine ------------------------------------------------------------------------------------------

    def require_solving(self, node_id: str) -> None:
        """Raises `ExecutionError` in a run that only joins what is there."""
        if self.joins_only:
            raise ExecutionError("it was not finished", node=node_id)

    def hold(self, model: str, seconds: float) -> None:
        """Nobody calls this model for so many seconds: the provider asked for it."""
        self._held[model] = max(self._held.get(model, 0.0), self._loop.time() + seconds)

    def recalled(self, key: str, node_id: str) -> Node | None:
        """What is recorded of a node's result key, if every reference that was read for it is still the same."""
        known = self.records.results.get(key, node_id)
        if known is None or any(self.memory.digest(name) != digest for name, digest in known.reads.items()):
            return None
        return known

    def followed(self, known: Node) -> bool:
        """Whether the plan of a recorded node was followed: then it needs no approval any more."""
        if known.state is NodeState.DONE:
            return True
        tree = self.recorded.tree if self.recorded is not None else self.tree
        return known.id in tree and tree[known.id] is known and bool(tree.children(known.id))

    def has_steps(self, count: int) -> bool:
        """Whether `max_steps` leaves so many nodes."""
        return self._steps + count <= self.limits.max_steps

    def reserve_steps(self, count: int) -> bool:
        """Take `count` nodes from what `max_steps` leaves; false if there are not so many."""
        if not self.has_steps(count):
            return False
        self._steps += count
        return True

    def release_steps(self, count: int) -> None:
        """Give back what `reserve_steps` took for nodes that are put aside."""
        self._steps -= count

    def approves(self, node_id: str) -> bool:
        """Whether the plan of this node has to be approved before anything is spent on it."""
        return self.approval is True or (self.approval == "root" and node_id == "0")

    async def take_turn(self, node: str, model: str, priority: float, reserved: Usage) -> None:
        """Wait for a node's right to make one model call: not paused, within `max_concurrency`, within the budget, and
        with a journal that is ready to keep what comes back. `end_turn` gives it back."""
        await self._turn_at(model, priority)
        try:
            await self._going.wait()
            self._require_time()
            await self._meter.reserve(reserved)
        except OverBudget as problem:
            self._turns.give_back()
            raise self._budget_error(problem.name, problem.used, problem.limit) from None
        except BaseException:
            self._turns.give_back()
            raise
        self._add_claim(node, ONE_CALL)
        try:
            self.open_journal()
        except BaseException:
            self.end_turn(node, reserved, NOTHING)
            raise
        self._start_clock()

    async def _turn_at(self, model: str, priority: float) -> None:
        """A turn, once the model's provider may be called; it may ask for patience while others have their turns."""
        await self._turns.take(priority)
        while (wait := self._held.get(model, 0.0) - self._loop.time()) > 0:
            self._turns.give_back()
            await asyncio.sleep(wait)
            await self._turns.take(priority)

    def end_turn(self, node: str, reserved: Usage, used: Usage) -> None:
        """The call is over: count what it used beside the call itself, and let the next one have its turn."""
        self._meter.settle(reserved, used)
        self._add_claim(node, used)
        self._turns.give_back()
        self._rest()

    def _rest(self) -> None:
        """Where only an approval is waited for, no time is counted; the next call starts the clock again."""
        if self.awaiting and self._meter.idle:
            self._stop_clock()

    def _add_claim(self, node: str, used: Usage) -> None:
        self._unclaimed[node] = self._unclaimed.get(node, NOTHING) + used

    def claim(self, node: str) -> Usage:
        """What the node used since its last event that told of usage."""
        return self._unclaimed.pop(node, NOTHING)

    def _require_time(self) -> None:
        if self.budget.seconds is not None and self._active >= self.budget.seconds:
            raise self._budget_error("seconds", self._active, self.budget.seconds)

    def _budget_error(self, name: str, used: float, limit: float) -> BudgetExceededError:
        error = BudgetExceededError(
            f"the budget of {limit:g} {name} is spent ({used:g} used); what finished is kept: "
            f"run again with a larger budget to go on, or take error.run.partial()"
        )
        error.run = self
        return error

    def open_journal(self) -> None:
        """Before the first call: what is paid for must have a place to be kept."""
        if not self._opened:
            self.journal.open()
            self._opened = True

    def begin(self, main: Callable[[], Awaitable[str]]) -> None:
        """Start the run's own task; `main` gives the root's answer."""
        self._task = self._loop.create_task(self._drive(main), name=f"rlm-run-{self.run_id}")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Output]) -> None:
        if not task.cancelled():
            # An error that nobody awaits is still in `run.error` and on the tree; asyncio need not warn of it.
            task.exception()
        elif self.status == "pending":
            # Cancelled before its first step: nothing ran, but that it ended is told all the same.
            self._emit_start()
            self._end_badly(asyncio.CancelledError())

    def _emit_start(self) -> None:
        self.emit(
            RunStarted(
                at=self.clock(),
                run_id=self.run_id,
                task=self.task,
                request_key=self.request_key,
                settings=self.settings,
                parent=self.parent,
            )
        )

    async def _drive(self, main: Callable[[], Awaitable[str]]) -> Output:
        self._emit_start()
        try:
            self.output = self._output(await self._within_time(main))
        except BaseException as error:
            self._end_badly(error)
            raise
        # Kept first, announced second: who sees "done" can rely on the file.
        self._finish("done")
        return self.output

    async def _within_time(self, main: Callable[[], Awaitable[str]]) -> str:
        limit = self._timeout = asyncio.timeout(None)
        try:
            async with limit:
                return await main()
        except TimeoutError:
            if limit.expired():
                seconds = self.budget.seconds or 0
                raise self._budget_error("seconds", seconds, seconds) from None
            raise
        finally:
            self._timeout = None
            self._stop_clock()

    def _start_clock(self) -> None:
        """With the first call: what was recorded costs no time."""
        if self._active_since is not None:
            return
        self._active_since = self._loop.time()
        if self._timeout is not None and self.budget.seconds is not None:
            self._timeout.reschedule(self._active_since + max(0.0, self.budget.seconds - self._active))

    def _stop_clock(self) -> None:
        if self._active_since is not None:
            self._active += self._loop.time() - self._active_since
            self._active_since = None
        if self._timeout is not None:
            self._timeout.reschedule(None)

    def _end_badly(self, error: BaseException) -> None:
        self.error = error
        if isinstance(error, RLMError):
            error.run = self
        for node in list(self.tree):
            if not node.state.final:
                with contextlib.suppress(CheckpointError):
                    self.emit(Cancelled(at=self.clock(), node=node.id, usage=self.claim(node.id)))
        status = "cancelled" if isinstance(error, asyncio.CancelledError | KeyboardInterrupt) else "failed"
        try:
            self._finish(status, error)
        except CheckpointError as second:
            # The first error is what the user must hear of; that it could not be kept is said with it.
            log.error("%s", second)

    def _finish(self, status: str, error: BaseException | None = None) -> None:
        said = f"{type(error).__name__}: {error}" if error is not None and status == "failed" else ""
        event = RunFinished(at=self.clock(), status=status, error=said)
        self.tree.apply(event)
        try:
            self.journal.append(event)
            self.journal.compact(self.snapshot())
        except CheckpointError as problem:
            problem.run = self
            if status == "done":
                self.error = problem
                event = RunFinished(at=event.at, status="failed", error=f"CheckpointError: {problem}")
                self.tree.apply(event)
            raise
        finally:
            self.journal.close()
            self._tell(event)

    def snapshot(self) -> Recorded:
        """All that is worth keeping: the tree, and records of earlier trees while the run is unfinished."""
        earlier: tuple[Any, ...] = ()
        if self.recorded is not None and self.status != "done":
            known = {node.plan_key for node in self.tree} | {node.result_key for node in self.tree}
            nodes = (*self.recorded.earlier, *self.recorded.tree)
            earlier = tuple(n for n in nodes if {n.plan_key, n.result_key} - known - {""})
        return Recorded(self.tree, earlier, spent=self.usage, active_seconds=self.active_seconds)

    def _output(self, content: str) -> Output:
        root = self.tree["0"]
        spent = self.usage
        metadata: dict[str, Any] = {
            **root.metadata,
            "depth": max(node.depth for node in self.tree),
            "steps": len(self.tree),
            "task_id": root.id,
            "breadcrumbs": [],
            "model": root.model,
            "duration": self.active_seconds,
            "usage": _tokens(spent),
            "cost_usd": spent.cost_usd,
            "calls": self.calls,
            "limited": any(node.limited for node in self.tree),
            "run_id": self.run_id,
            "checkpoint": self.checkpoint,
        }
        return Output(content, metadata, parsed=self._parsed(content), usage=spent, run=self)

    def _parsed(self, content: str) -> Any:
        try:
            return self.output_type.parse(content) if self.output_type is not None else None
        except Unfit as problem:
            raise ExecutionError(
                f"node 0: the recorded answer does not fit the output type any more: {problem}; "
                'run with mode="fresh" to have it made again',
                node="0",
            ) from problem

    async def _result(self) -> Output:
        if self._task is None:
            raise ConfigurationError("this run was loaded from a file: it cannot be awaited; look at its tree")
        return await self._task

    def __await__(self) -> Generator[Any, None, Output]:
        return self._result().__await__()

    def __str__(self) -> str:
        return outline(self.tree)

    def __repr__(self) -> str:
        return f"<Run {self.run_id} {self.status}: {len(self.tree)} nodes, {self.calls} calls>"

    def _ipython_display_(self) -> None:
        current_host().display(self)


def _tokens(usage: Usage) -> dict[str, Any]:
    return {name: value for name, value in usage.to_json().items() if name.endswith("_tokens")}


class _Ended:
    """Awaitable that a task has ended, however; not awaiting it is fine."""

    def __init__(self, task: asyncio.Task[Any] | None) -> None:
        self._task = task

    def __await__(self) -> Generator[Any, None, None]:
        if self._task is not None:
            yield from asyncio.wait({self._task}).__await__()


def _plan_of(plan: Any) -> Execute | Recurse:
    if isinstance(plan, Execute | Recurse):
        return plan
    try:
        return plan_from_json(dict(plan))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"that is not a plan: {error}") from None


def _records_of(recorded: Recorded | None) -> Records:
    if recorded is None:
        return Records()
    return Records.of((*recorded.earlier, *cast("Iterable[Any]", recorded.tree)))
