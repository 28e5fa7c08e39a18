"""One run as the engine's own parts see it: solver, lifecycle and displays use this, users a `Run`.

A run is composed of parts with one concern each: the log of its events (`event_log`), the records of earlier
executions (`recall`), the admission of model calls (`admission`), the time it has worked (`active_time`), control from
outside (`control`), and the run that follows it (`continuation`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import cached_property
from typing import Any, Protocol, TypeVar

from ..caches.shared_replies import SharedReplies
from ..core.changes import Change, version_before
from ..core.cost_estimate import Estimate
from ..core.plan import Plan
from ..core.tree import Node, NodeState, Recorded, unfinished
from ..core.usage import Usage
from ..exceptions import ConfigurationError, ExecutionError, RLMError
from ..ports.model import Message
from ..ports.run import VersionedJournal
from ..sandbox.options import make_sandbox
from ..sandbox.port import Sandbox
from ..solver.run import NodeSource
from .active_time import ActiveTime
from .admission import Admission
from .approvals import Approvals
from .budget import BudgetMeter, NodeQuota
from .config import Configuration, RunRequest
from .continuation import Continuation
from .control import Control
from .event_log import EventLog
from .forks import Fork, edited, retried
from .options import EngineOptions
from .plan_estimate import estimate_of_calls, estimate_of_plan
from .priority import Priorities
from .recall import RecordedState
from .run_view import Forked, RunView
from .scheduler import PrioritySemaphore, SplitGate, slots_for
from .steady_clock import SteadyClock

__all__ = ["RunContext", "RunFactory"]

#: How many characters of a partial answer are recorded.
MOST_OF_A_DRAFT = 200_000
R = TypeVar("R", bound=RunView)


class RunFactory(Protocol):
    """The engine that created a run, as far as its context uses it."""

    def prompt(self, run: NodeSource, node_id: str) -> tuple[Message, ...]:
        """The main prompt of a node, computed from the same facts as when it was sent."""
        ...

    def key(self, run: NodeSource, node_id: str) -> str:
        """The plan key of a node."""
        ...

    def start_again(self, job: RunRequest) -> RunView:
        """A run of the same request, over what is recorded, in the same place."""
        ...

    def start_version(self, job: RunRequest, fork: Fork, change: Change, known: Collection[str]) -> RunView:
        """The next version of a run, over changed records, in the same place; `known` are its executions."""
        ...

    def start_restored(self, job: RunRequest, execution: str) -> RunView:
        """The version of this execution, as it is recorded, in the same place."""
        ...


class RunContext:
    """The parts of one run, and values computed from several of them; also the `RunInternals` of a `Run`.

    Created on the event loop that the run lives on. `run` is the same run for its user.
    """

    live = True

    def __init__(
        self,
        run: RunView,
        job: RunRequest,
        configuration: Configuration,
        recorded: Recorded | None,
        factory: RunFactory,
        *,
        others: Sequence[Node] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.run = run
        self.job = job
        self.configuration = configuration
        self.task = job.task
        self.request_key = job.request_key
        self.budget = configuration.budget
        self.limits = configuration.limits
        self.clock = SteadyClock(clock)
        self.recorded_state = RecordedState(recorded, job.request_key, job.memory, others)
        #: What earlier executions left.
        self.recorded = recorded
        self.run_id = self.recorded_state.run_id or secrets.token_hex(8)
        self.log = EventLog(job.journal, configuration.observers)
        self.tree = self.log.tree
        #: The sole writer: apply, append, notify. A failing journal fails the run; a failing observer never does.
        self.emit = self.log.emit
        #: Call an observer with every event from now on; call the result to stop.
        self.watch = self.log.watch
        #: What waits for a decision of the user.
        self.approvals = Approvals()
        self.active_time = ActiveTime(self.recorded_state.active_seconds, self.budget.seconds, self.clock)
        meter = BudgetMeter(self.budget, self.recorded_state.spent, configuration.whole)
        slots = PrioritySemaphore(slots_for(configuration.slots))
        self.steps = NodeQuota(self.limits.max_steps)
        self.splits = SplitGate()
        self.admission = Admission(self.log, slots, configuration.slots, meter, self.active_time, self.approvals)
        #: The usage of a node since its last event that carried usage.
        self.claim = self.admission.claim
        self.control = Control(self.log, self.admission, self.active_time, self.approvals, self.clock)
        #: The event loop that the run lives on; everything it emits is emitted there.
        self.loop = self.control.loop
        #: Replies to equal requests: without a cache, those in flight in this run alone.
        self.replies = configuration.replies if configuration.cached else SharedReplies()
        #: Partial answers by node, while they stream.
        self.drafts: dict[str, list[str]] = {}
        #: Why the last attempt failed, of nodes whose call is made again.
        self.failing: dict[str, str] = {}
        self.priorities = Priorities(self.tree)
        self.continuation = Continuation(self.control)
        self._factory = factory
        self._sandbox: Sandbox | None = None
        self._began = self.clock()

    # -- computed from its parts ---------------------------------------------------------------------------------

    @property
    def options(self) -> EngineOptions:
        return self.configuration.options

    @property
    def guarded(self) -> list[str]:
        return self.configuration.team.guarded

    @property
    def request(self) -> RunRequest:
        return self.job

    @property
    def status(self) -> str:
        return self.tree.status

    @property
    def finished(self) -> bool:
        """It has reached its end; one that ended as paused continues only as another execution."""
        return self.status in ("done", "failed", "cancelled") or (self.status == "paused" and self.control.ended)

    @property
    def at_rest(self) -> bool:
        """No task of the run is alive, and the run is recorded."""
        return self.control.ended

    @property
    def usage(self) -> Usage:
        """Over all executions of the run, earlier ones of the same file included."""
        return self.admission.meter.total

    @property
    def calls(self) -> int:
        """Model calls of this execution."""
        return self.admission.meter.spent.calls

    @property
    def reused(self) -> bool:
        """Every answer was found in the records: no model was called."""
        return self.status == "done" and self.calls == 0 and bool(self.recorded_state.records)

    @property
    def checkpoint(self) -> str | None:
        """The path of the run's file, or `None` if it is in memory only, or a replay that found no record."""
        if self.job.mode == "replay" and self.recorded is None:
            return None
        path = self.log.journal.path
        return str(path) if path else None

    @property
    def active_seconds(self) -> float:
        """How long the run has worked, from the first call of each execution on; pauses do not count."""
        return self.active_time.seconds

    @property
    def rests(self) -> Sequence[tuple[float, float | None]]:
        return self.active_time.rests

    @property
    def fresh(self) -> bool:
        return self.active_time.fresh

    @property
    def breadcrumbs(self) -> tuple[str, ...]:
        """The tasks above this one, outermost first, from the `context` of `solve`."""
        return self.job.context.breadcrumbs if self.job.context is not None else ()

    @property
    def settings(self) -> dict[str, Any]:
        """The engine as checkpoints record it, and the content hashes of the variables."""
        variables = self.job.memory.digests()
        optional = {
            "variables": variables,
            "edit": self.job.edit or self.recorded_state.edit,
            "baseline": self.job.baseline,
            "title": self.job.title,
            "changes": self.changes,
        }
        return {**self.configuration.to_json(), **{name: value for name, value in optional.items() if value}}

    @property
    def changes(self) -> list[Change]:
        """The changes that people made in the tree of this run, in their order."""
        earlier = self.recorded_state.changes
        if not (self.job.joins_only and self.job.versioned) or self.recorded is None:
            return earlier
        budget = self.recorded.tree.settings.get("budget")
        return [*earlier, {"op": "answer", "node": "0", "at": self._began, "budget": budget}]

    @property
    def changed(self) -> tuple[str, ...]:
        """The variables whose content has changed since the run was recorded."""
        return self.recorded_state.changed

    @property
    def notes(self) -> list[str]:
        """What has changed since the run was recorded, a line each: variables, prompts, and tools whose versions cannot
        show a change; and what of the sources could not be read."""
        return [*self.recorded_state.notes, *self._unseen, *self.job.memory.notes]

    @cached_property
    def _unseen(self) -> list[str]:
        recorded = self.recorded
        called = {use.name for node in recorded.tree for use in node.tool_calls} if recorded is not None else set()
        return [
            f"the version of the tool {name} does not tell when this changes: {what}; @tool(version=...) can"
            for name, what in self.configuration.team.unseen.items()
            if name in called
        ]

    def snapshot(self) -> Recorded:
        """What to record: the tree and, while the run is unfinished, records that only earlier trees have."""
        return self.recorded_state.with_present(self.tree, self.usage, self.active_seconds)

    # -- for the solver ------------------------------------------------------------------------------------------

    def take_draft(self, node: str) -> str:
        """The partial answer of a node whose stream has ended without a reply."""
        return "".join(self.drafts.pop(node, ()))[:MOST_OF_A_DRAFT]

    def sandbox(self) -> Sandbox:
        """Where the code of this run's code nodes runs. Raises `ConfigurationError` if that cannot be here."""
        if self._sandbox is None:
            assert self.configuration.code is not None, "only an engine with code has code nodes"
            self._sandbox = make_sandbox(self.configuration.code)
        return self._sandbox

    async def close_sandbox(self) -> None:
        """Close the sandbox that this run has made; one that the user gave may be in use by other runs."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None and self.configuration.code is not None and sandbox is not self.configuration.code.kind:
            await asyncio.shield(asyncio.ensure_future(sandbox.close()))

    def task_of(self, node: str) -> asyncio.Task[Any] | None:
        """The task that works on this node."""
        return self.control.node_tasks.get(node) or self.control.task

    def require_solving(self, node_id: str) -> None:
        """Raises `ExecutionError` in a run that only synthesises recorded results."""
        if self.job.joins_only:
            raise ExecutionError("it was not finished", node=node_id)

    def approves(self, node_id: str) -> bool:
        """Whether the plan of this node requires approval before its sub-tasks start."""
        of_root = self.configuration.approve == "root" or self.job.plan_only
        return self.configuration.approve is True or (of_root and node_id == "0")

    # -- what may follow from it ---------------------------------------------------------------------------------

    @property
    def successor(self) -> RunView | None:
        """The run that this one continued as (`continue_as`), if any."""
        return self.continuation.run

    @property
    def latest(self) -> RunView:
        """This run, or the last of those that it continued as."""
        return self.run if self.successor is None else self.successor.internals.latest

    @property
    def last_in_place(self) -> RunView:
        """This run, or the last of those that were started in its place."""
        following = self.continuation.in_place
        return self.run if following is None else following.internals.last_in_place

    def started_in_place(self, run: RunView) -> None:
        self.continuation.in_place = run

    def follow(self, follower: Callable[[RunView], None]) -> None:
        """Call `follower` with the run that this one continues as, as soon as it has been started."""
        self.continuation.follow(follower)

    def on_refusal(self, observer: Callable[[RLMError], None]) -> None:
        """Call `observer` with the error of a continuation that could not start."""
        self.continuation.on_refusal(observer)

    def continue_as(self, start: Callable[[], RunView]) -> None:
        """End without losing paid work, and continue as the run that `start` creates: its `successor`."""
        self.continuation.continue_as(start)

    def again(self) -> RunView:
        """A new run of the same request, in the same place and within the same budget: failed and cancelled nodes are
        retried, results are reused. Raises `ConfigurationError` while the run is in progress."""
        return self.in_place(self._factory.start_again)

    def in_place(self, start: Callable[[RunRequest], R]) -> R:
        """Start a run in the place of this one; one at a time, because two would write to the same journal."""
        self.require_finished()
        last = self.last_in_place
        if self.checkpoint and not last.internals.at_rest:
            raise ConfigurationError(
                f"it continues in {self.checkpoint} already: that run is {last.status}; wait for it, or cancel it"
            )
        started = start(self.job)
        last.internals.started_in_place(started)
        return started

    @property
    def versioned(self) -> bool:
        """Whether a change made in the tree is the next version of this run, rather than a run of its own."""
        return self.job.versioned and isinstance(self.job.journal, VersionedJournal)

    @property
    def version_before(self) -> str:
        """The execution id of the version that undoing the last change restores, or ""."""
        return version_before(self.changes) if self.versioned else ""

    @property
    def version_undone(self) -> str:
        """The execution id of the version that undoing a change left behind, or ""."""
        journal = self.job.journal
        if not (self.job.versioned and isinstance(journal, VersionedJournal)):
            return ""
        return journal.version_after(self._executions - {""})

    @property
    def _executions(self) -> set[str]:
        """Of what is shown. A run that was wholly reused left the document of an earlier execution in place."""
        return {self.tree.execution, self.recorded.tree.execution if self.recorded is not None else ""}

    def edit_version(self, node_id: str, part: str, value: Any) -> RunView:
        """The next version of this run, with another task, plan, result or code of a node.

        Raises `ConfigurationError`.
        """
        self.require_finished()
        given: dict[str, Any] = {**dict.fromkeys(("task", "plan", "result", "code")), part: value}
        fork = edited(self, node_id, **given)
        change = {"op": "edit", "node": node_id, "part": part}
        if fork.task != self.task:
            change["was"] = self.task
        return self._version(fork, change)

    def retry_version(self, node_id: str | None) -> RunView:
        """The next version of this run, in which what failed, or this node in any state, is computed again."""
        self.require_finished()
        fork = retried(self, node_id)
        node = self.tree[node_id] if node_id is not None else None
        done = [node] if node is not None and node.state is NodeState.DONE else []
        named = node_id or next((each.id for each in reversed(unfinished(self.tree))), "0")
        keys = [key for each in done for key in (each.plan_key, each.result_key) if key]
        return self._version(fork, {"op": "retry", "node": named, "keys": keys})

    def _version(self, fork: Fork, change: Change) -> RunView:
        change = {**change, "at": self.clock()}
        return self.in_place(lambda job: self._factory.start_version(job, fork, change, self._executions))

    def restored(self, execution: str) -> RunView:
        """The version of this execution, as it is recorded: no model is called."""
        return self.in_place(lambda job: self._factory.start_restored(job, execution))

    def require_finished(self) -> None:
        if not self.finished:
            raise ConfigurationError(f"this run is {self.status}; wait until it has ended, or cancel it first")

    def forked(self) -> Forked:
        return self

    def key_of(self, node_id: str) -> str:
        """The plan key of a node."""
        return self._factory.key(self, node_id)

    def describe_prompt(self, node_id: str) -> tuple[Message, ...]:
        """The main prompt of a node, computed from the same facts as when it was sent."""
        return self._factory.prompt(self, node_id)

    def estimate(self, request: str, plan: Plan | None) -> Estimate:
        """What approving a request that waits will probably cost, with its plan or with another one."""
        waiting = next((each for each in self.approvals.awaiting if each.id == request), None)
        if waiting is None:
            raise ConfigurationError("this request does not wait any more")
        plan = plan or waiting.plan
        if plan is None:
            return estimate_of_calls(self, waiting.node)
        return estimate_of_plan(self, waiting.node, plan)

    def estimate_of_plan(self, node_id: str, plan: Plan) -> Estimate:
        """What carrying out a plan of a node will probably cost."""
        return estimate_of_plan(self, node_id, plan)

    # -- control -------------------------------------------------------------------------------------------------

    def cancel(self, node_id: str | None = None) -> Awaitable[None]:
        """As `Run.cancel`."""
        if self.successor is not None:
            return self.successor.cancel(node_id)
        if node_id is None or node_id == "0":
            return self.control.cancel()
        if node_id not in self.tree or self.tree[node_id].state.final:
            state = self.tree[node_id].state if node_id in self.tree else "not in this run"
            raise ConfigurationError(f"node {node_id} is {state}: there is nothing to cancel")
        return self.control.cancel_node(node_id)

    def suspend(self) -> Awaitable[None]:
        """Cancel, but end as paused: the same request resumes from here when it is run again."""
        self.control.stops_as = "paused"
        return self.cancel()
