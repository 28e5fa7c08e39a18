"""One execution: what its user holds in hands while it goes on and when it has ended.

A run is composed of parts that know nothing of each other's concerns: the log of what happened (`event_log`), what it
knows from earlier executions (`past`), who may call a model and for how much (`permits`), how long it has worked
(`stopwatch`), what comes back from whoever watches (`control`), and its way from begin to end (`lifetime`). A run never
rewinds; resuming is a new run over the records of the old one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..concurrency.cancellation import is_being_cancelled
from ..core.events import Event
from ..core.limits import Usage
from ..core.plan import Plan
from ..core.records import Recorded
from ..core.tree import Tree
from ..exceptions import ConfigurationError, ExecutionError
from ..host import current_host, html_page, tree_view
from ..ports import Message, Observer, Reply
from ..types import Output, TraceObject
from ..views.dataframe import frame_of
from ..views.diff import Difference, difference
from ..views.idle_time import breaks_of
from ..views.mermaid import mermaid
from ..views.outline import outline
from ..views.run_view import ReadableRun, best_of, trace_of, written
from .active_time import Stopwatch
from .admission import Permits
from .config import Configuration, Job
from .continuation import Succession
from .control import Control
from .event_log import EventLog
from .forks import Fork, edited, plan_given, retried
from .lifecycle import Lifetime
from .priority import Urgency
from .recall import Past
from .scheduler import Meter, Splits, Steps, Turns, slots_for
from .steady_clock import SteadyClock

__all__ = ["Origin", "Run"]

_END = object()
#: How much is kept of an answer that broke off, in characters.
MOST_OF_A_DRAFT = 200_000


class Origin(Protocol):
    """The engine that a run came from, as far as the run needs it."""

    def prompt(self, run: Run, node_id: str) -> tuple[Message, ...]:
        """The main prompt of a node, made again."""
        ...

    def key(self, run: Run, node_id: str) -> str:
        """The key of a node's plan, made again."""
        ...

    def join_again(self, run: Run) -> Run:
        """A run that joins what is recorded, and solves nothing new."""
        ...

    def start_again(self, run: Run) -> Run:
        """A run of the same request, over what is recorded, in the same place."""
        ...

    def start_fork(self, run: Run, fork: Fork) -> Run:
        """A run over changed records."""
        ...

    def start_plain(self, run: Run) -> Run:
        """A run of the same request without a tree."""
        ...


class Run:
    """A run of the engine: await it for its `Output`, iterate `events()`, or `cancel()`, `pause()`, `resume()` it.

    Made by `AsyncRecursiveEngine.start`. `tree` is the state so far, `status` one of "pending", "running", "paused",
    "done", "failed", "cancelled". Control may be called from any thread.
    """

    def __init__(
        self,
        job: Job,
        configuration: Configuration,
        recorded: Recorded | None,
        origin: Origin,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.job = job
        self.configuration = configuration
        self.budget = configuration.budget
        self.limits = configuration.limits
        self.clock = SteadyClock(clock)
        self.past = Past(recorded, job.request_key, job.memory)
        self.run_id = self.past.run_id or secrets.token_hex(8)
        self.log = EventLog(job.journal, configuration.observers)
        self.tree: Tree = self.log.tree
        #: What waits for `approve`, by node: its plan, or its calls of tools.
        self.awaiting: dict[str, asyncio.Future[Any]] = {}
        self.stopwatch = Stopwatch(self.past.active_seconds, self.budget.seconds, self.clock)
        meter = Meter(self.budget, self.past.spent)
        turns = Turns(slots_for(configuration.slots))
        self.steps = Steps(self.limits.max_steps)
        self.splits = Splits()
        self.permits = Permits(self.log, turns, meter, self.stopwatch, self.awaiting)
        self.control = Control(self.log, self.permits, self.stopwatch, self.awaiting, self.clock)
        #: Requests that are being made now; who asks an equal one waits for the same answer, and puts a future here.
        self.under_way: dict[Any, asyncio.Future[Reply] | None] = {}
        #: Answers that are being written, as far as they have come, by node.
        self.drafts: dict[str, list[str]] = {}
        self.urgency = Urgency(self.tree)
        self._succession = Succession()
        self._lifetime = Lifetime(self, self._succession)
        #: The run that was started after this one, in the same place.
        self._heir: Run | None = None
        self._origin = origin

    @classmethod
    def ended_as(cls, recorded: Recorded, job: Job, configuration: Configuration, origin: Origin) -> Run:
        """A recorded run that has ended, as one of an engine: to go on from, not to be awaited."""
        run = cls(job, configuration, recorded, origin)
        run.tree = run.log.tree = recorded.tree
        return run

    # -- what happened -------------------------------------------------------------------------------------------

    @property
    def task(self) -> str:
        return self.job.task

    @property
    def breadcrumbs(self) -> tuple[str, ...]:
        """The tasks that this one stands below, outermost first, as the `context` of `solve` said."""
        return self.job.context.breadcrumbs if self.job.context is not None else ()

    @property
    def request_key(self) -> str:
        return self.job.request_key

    @property
    def settings(self) -> dict[str, Any]:
        """The engine as checkpoints record it, and the content hashes of the variables."""
        variables = self.job.memory.digests()
        kept = {
            "variables": variables,
            "edit": self.job.edit or self.past.edit,
            "baseline": self.job.baseline,
            "title": self.job.title,
        }
        return {**self.configuration.to_json(), **{name: value for name, value in kept.items() if value}}

    @property
    def recorded(self) -> Recorded | None:
        """What earlier executions left."""
        return self.past.recorded

    @property
    def changed(self) -> tuple[str, ...]:
        """The variables whose content is another now than when the run was recorded."""
        return self.past.changed

    @property
    def notes(self) -> list[str]:
        """What is different from when the run was recorded, a line each: variables that changed, other prompts; and
        of which of its tools nobody knows whether they changed."""
        return [*self.past.notes, *self._unseen]

    @cached_property
    def _unseen(self) -> list[str]:
        recorded = self.recorded
        called = {use.name for node in recorded.tree for use in node.tool_calls} if recorded is not None else set()
        return [
            f"the version of the tool {name} does not tell when this changes: {what}; @tool(version=...) can"
            for name, what in self.configuration.team.unseen.items()
            if name in called
        ]

    @property
    def status(self) -> str:
        return self.tree.status

    @property
    def output(self) -> Output | None:
        """The answer, once there is one."""
        return self._lifetime.output

    @property
    def error(self) -> BaseException | None:
        """What the run ended with, if it was not its answer."""
        return self._lifetime.error

    @property
    def finished(self) -> bool:
        """It has come to its end; one that was stopped as paused goes on only as another execution."""
        return self.status in ("done", "failed", "cancelled") or (self.status == "paused" and self.control.ended)

    @property
    def ended(self) -> bool:
        """No task of the run is alive: what is to be kept has been put away."""
        return self.control.ended and (self.successor is None or self.successor.ended)

    @property
    def successor(self) -> Run | None:
        """The run that this one went on as (`go_on_as`), if it did."""
        return self._succession.run

    @property
    def latest(self) -> Run:
        """This run, or the last of those that it went on as."""
        return self if self.successor is None else self.successor.latest

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the run lives on; everything it emits is emitted there."""
        return self.control.loop

    @property
    def usage(self) -> Usage:
        """Over the lifetime of the run: what earlier executions of the same file used is included."""
        return self.permits.meter.total

    @property
    def calls(self) -> int:
        """Model calls of this execution."""
        return self.permits.meter.spent.calls

    @property
    def checkpoint(self) -> str | None:
        """Where the run is kept, or `None` for memory."""
        path = self.log.journal.path
        return str(path) if path else None

    @property
    def active_seconds(self) -> float:
        """How long the run has worked, from the first call of each execution on; pauses do not count."""
        return self.stopwatch.seconds

    @property
    def reused(self) -> bool:
        """Every answer was found in the records: no model was called."""
        return self.status == "done" and self.calls == 0 and bool(self.past.records)

    def emit(self, event: Event) -> None:
        """The sole writer: apply, keep, tell. A journal that fails fails the run; an observer never does."""
        self.log.emit(event)

    def watch(self, observer: Observer) -> Callable[[], None]:
        """Tell `observer` every event from now on; call the result to stop."""
        return self.log.watch(observer)

    async def events(self) -> AsyncIterator[Event]:
        """Every event from now on, tokens included, in order, until the run ends."""
        queue: asyncio.Queue[Any] = asyncio.Queue()
        if self.control.task is None or self.finished:
            return
        put = self.control.told_here(queue.put_nowait)
        stop = self.watch(put)
        self.control.task.add_done_callback(lambda _: put(_END))
        try:
            while (event := await queue.get()) is not _END:
                yield event
        finally:
            stop()

    def partial(self) -> Output:
        """The best answer so far: the answer if there is one, else the finished parts in the plan's order, with what
        has come of those that are being written or broke off."""
        if self.output is not None:
            return self.output
        return Output(
            best_of(self.tree, self.drafts), {"partial": True, "run_id": self.run_id}, usage=self.usage, run=self
        )

    def trace(self) -> list[TraceObject]:
        """All nodes as plain dictionaries."""
        return trace_of(self.tree)

    def to_mermaid(self) -> str:
        """The tree as a Mermaid flowchart."""
        return mermaid(self.tree)

    def to_frame(self) -> Any:
        """The nodes as a `pandas.DataFrame`, one row each. Raises `ConfigurationError` where pandas is missing."""
        return frame_of(self.tree)

    def diff(self, other: ReadableRun) -> Difference:
        """What is different in `other`, node by node, and what it took more or less."""
        return difference(self.tree, other.tree)

    def describe_prompt(self, node_id: str) -> tuple[Message, ...]:
        """The main prompt of a node, made again from the same facts."""
        return self._origin.prompt(self, node_id)

    def key_of(self, node_id: str) -> str:
        """The key of a node's plan, made again from the same facts."""
        return self._origin.key(self, node_id)

    def snapshot(self) -> Recorded:
        """All that is worth keeping: the tree, and records of earlier trees while the run is unfinished."""
        return self.past.with_present(self.tree, self.usage, self.active_seconds)

    # -- what may follow from it ---------------------------------------------------------------------------------

    def synthesize_anyway(self) -> Run:
        """Answer with what there is: a new run, to be awaited, that joins what is recorded and solves nothing new.

        For a run that ended early (a failure, a spent budget, a cancellation). What is missing is stated in the
        prompts, so that the answer can say so. Raises `ConfigurationError` while the run is under way.
        """
        return self._in_its_place(self._origin.join_again)

    def again(self) -> Run:
        """The same request once more, in the same place and within the same budget: what failed or was cancelled is
        tried again, what is done is reused. Raises `ConfigurationError` while the run is under way."""
        return self._in_its_place(self._origin.start_again)

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
        self._require_finished()
        return self._origin.start_fork(self, edited(self, node_id, task, plan_given(plan), result))

    def retry(self, node_id: str | None = None) -> Run:
        """A new run that does again what failed or was cancelled; or also one node that was done. As `edit`."""
        self._require_finished()
        return self._origin.start_fork(self, retried(self, node_id))

    def baseline(self) -> Run:
        """A new run, started at once, of the same request without recursion: the task goes to the model as it is.

        With the same model, tools and references, to compare what it says and costs. Of a run kept in a file, it is
        kept beside it, as `<name>-baseline.json`: asked again, it calls no model. Its budget starts at zero.
        """
        return self._origin.start_plain(self)

    def _in_its_place(self, start: Callable[[Run], Run]) -> Run:
        """Runs in one file come one after the other: two at once would write into each other's journal."""
        self._require_finished()
        last = self
        while last._heir is not None:
            last = last._heir
        if self.checkpoint and not last.control.ended:
            raise ConfigurationError(
                f"it goes on in {self.checkpoint} already, by a run that is {last.status}; wait for that, or cancel it"
            )
        last._heir = start(self)
        return last._heir

    def _require_finished(self) -> None:
        if not self.finished:
            raise ConfigurationError(f"this run is {self.status}; wait until it has ended, or cancel it first")

    def go_on_as(self, start: Callable[[], Run]) -> None:
        """End, losing nothing that was paid for, and go on as the run that `start` makes: its `successor`.

        No new call starts, those under way finish and are kept. Whoever awaits this run gets what its successor gives.
        Of a run that has ended, the successor is started in the next step of the running event loop; raises
        `ConfigurationError` where none is running, and while it is about to go on as another run already.
        """
        if self.control.ended:
            loop = _running_loop()
            self._succession.plan(start)
            loop.call_soon(self._succession.begin)
        else:
            self._succession.plan(start)
            self.control.settle()

    def follow(self, told: Callable[[Run], None]) -> None:
        """Tell `told` the run that this one goes on as, as soon as it has been started."""
        self._succession.follow(told)

    # -- control -------------------------------------------------------------------------------------------------

    def cancel(self, node_id: str | None = None) -> Awaitable[None]:
        """Stop now: the run, or one node with all below it, whose parent then fails or joins the rest (`on_failure`).

        Once the result is awaited (or, for a run, this returned in another thread), no task of it is alive and
        everything finished is kept. Raises `ConfigurationError` for a node that is not there or has ended.
        """
        if self.successor is not None:
            return self.successor.cancel(node_id)
        if node_id is None or node_id == "0":
            return self.control.cancel()
        if node_id not in self.tree or self.tree[node_id].state.final:
            state = self.tree[node_id].state if node_id in self.tree else "not in this run"
            raise ConfigurationError(f"node {node_id} is {state}: there is nothing to cancel")
        return self.control.cancel_node(node_id)

    def suspend(self) -> Awaitable[None]:
        """Stop now, as `cancel` does, but as paused: the same request goes on from here when it is run again."""
        self._lifetime.stops_as = "paused"
        return self.cancel()

    def pause(self) -> None:
        """Start no further model call; those under way finish."""
        self.control.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self.control.resume()

    def approve(self, node_id: str, plan: Plan | Mapping[str, Any] | None = None) -> None:
        """Let a plan that waits for approval go ahead, as it is or as the given one (a dict as planners write it); or
        the calls that a node is about to make of tools with `requires_approval`.

        Raises `ConfigurationError` for a node that waits for nothing, and for what is no plan.
        """
        if node_id not in self.awaiting:
            raise ConfigurationError(
                f"node {node_id} waits for no approval; waiting: {', '.join(self.awaiting) or '-'}"
            )
        self.control.approve(node_id, plan_given(plan))

    # -- for the engine ------------------------------------------------------------------------------------------

    def take_draft(self, node: str) -> str:
        """What has come of a node's answer, which goes no further."""
        return "".join(self.drafts.pop(node, ()))[:MOST_OF_A_DRAFT]

    def claim(self, node: str) -> Usage:
        """What the node used since its last event that told of usage."""
        return self.permits.claim(node)

    def task_of(self, node: str) -> asyncio.Task[Any] | None:
        """The task that works on this node."""
        return self.control.node_tasks.get(node) or self.control.task

    def require_solving(self, node_id: str) -> None:
        """Raises `ExecutionError` in a run that only joins what is there."""
        if self.job.joins_only:
            raise ExecutionError("it was not finished", node=node_id)

    def approves(self, node_id: str) -> bool:
        """Whether the plan of this node has to be approved before anything is spent on it."""
        return self.configuration.approve is True or (self.configuration.approve == "root" and node_id == "0")

    def begin(self, main: Callable[[], Awaitable[str]]) -> None:
        """Start the run's own task; `main` gives the root's answer."""
        self._lifetime.begin(main)

    async def _result(self) -> Output:
        try:
            output: Output = await self.control.outcome()
        except BaseException:
            if self.successor is None or is_being_cancelled():
                raise
            return await self.successor
        return output if self.successor is None else await self.successor

    def __await__(self) -> Generator[Any, None, Output]:
        return self._result().__await__()

    def to_html(self, path: str | Path | None = None) -> str:
        """The run as one interactive HTML page that needs no kernel and no network, or the `path` it was written to.

        It holds all that models wrote: share it as you would share the notebook.
        """
        return written(html_page(self), path)

    def __str__(self) -> str:
        return outline(self.tree, breaks=breaks_of(self.tree, self.active_seconds))

    def __repr__(self) -> str:
        return f"<Run {self.run_id} {self.status}: {len(self.tree)} nodes, {self.calls} calls>"

    def _ipython_display_(self) -> None:
        current_host().display(self)

    def _display_(self) -> Any:
        """What marimo shows."""
        return tree_view(self)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError("there is no running event loop to go on in; execute the cell again") from None
