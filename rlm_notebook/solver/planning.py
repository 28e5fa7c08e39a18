"""From a node to its plan: replayed, forced by a limit, or requested; sub-tasks start while the plan streams."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..concurrency.threads import READ_AT_ONCE, in_daemon_thread
from ..core.construction import fast_init
from ..core.decisions import Rejected
from ..core.events import Planned, PlanRejected, Retried
from ..core.keys import normalized
from ..core.node import APPROVAL, EDITED
from ..core.plan import (
    Execute,
    NotJSON,
    Plan,
    PlannedTask,
    Program,
    Recurse,
    UnusablePlan,
    parse_plan,
    plan_from_json,
)
from ..core.plan_stream import PlanReader, TooManyTasks, parse_long_plan
from ..core.reasoning import begins_with_thoughts, split_thoughts
from ..core.replay_events import plan_events, rejection_events
from ..core.tree import Node
from ..exceptions import InvalidJSONError, PlanError
from ..ports.model import NodeFacts, Reply
from ..prompts import repair_messages
from .errors import beginning_of, limit_error, reply_metadata, what_to_do, what_was_wrong
from .model_calls import call_model
from .replay import emit_recorded
from .requests import LLM_QUERY, EngineConfiguration, RequestBuilder
from .run import SolverRun
from .subtasks import SubTasks

__all__ = ["Planning"]

ATTEMPTS = 3
#: Sub-tasks and characters that are parsed of a plan, unless `max_steps` requires more.
MOST_TASKS = 10_000
MOST_CHARACTERS = 2_000_000
CHARACTERS_PER_TASK = 200


@fast_init
@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of a node's plan before the planner is called.

    `executed_before`: an earlier execution carried the plan out, so that it needs no approval.
    """

    key: str
    facts: NodeFacts
    plan: Plan | None = None
    executed_before: bool = False


class Planning:
    """Gives the nodes of an engine's runs their plans."""

    def __init__(self, configuration: EngineConfiguration, requests: RequestBuilder) -> None:
        self._planner = configuration.team.planner.resolved
        self._requests = requests
        self._on_limit = configuration.options.on_limit
        self._code = configuration.code
        self._retry = configuration.options.retry

    def draft(self, run: SolverRun, node_id: str) -> Draft:
        """A plan that needs no planner: EXECUTE of a sub-query or forced by a limit, the recorded plan, or PROGRAM of a
        root that is a code node. Else `plan` is `None`."""
        node = run.tree[node_id]
        facts = self._requests.facts(run, node)
        key = self._requests.key(run, node, facts)
        if node.query == LLM_QUERY:
            run.emit(Planned(at=run.clock(), node=node_id, plan=Execute().to_json(), key=key))
            return Draft(key, facts, Execute())
        forced = "max_depth" if node.depth + 1 >= run.limits.max_depth and self._on_limit == "execute" else ""
        if not forced and normalized(node.task) in map(normalized, run.tree.tasks_above(node_id)):
            forced = "restates an ancestor"
        if forced:
            run.emit(Planned(at=run.clock(), node=node_id, plan=Execute().to_json(), key=key, limited=forced))
            return Draft(key, facts, Execute())
        known = run.recorded_state.records.plans.get(key, node_id)
        if known is None and run.job.keep_plan:
            known = run.recorded_state.plan_at(node, run.tree)
        # The user rejected a plan, and the execution ended before there was another: the reason still counts.
        before = run.recorded_state.records.rejected.get(key, node_id)
        if before is not None and (known is None or known.plan in [each.plan for each in before.rejected]):
            known = None
            for event in rejection_events(before, node_id, before.plan_usage):
                emit_recorded(run, event)
        if known is not None and known.decision == "PROGRAM" and self._code is None:
            # Recorded by an engine with code, which this one does not have.
            known = None
        if known is not None:
            executed_before = run.recorded_state.was_executed(known, run.tree)
            plan = plan_from_json(known.plan)
            for event in plan_events(replace(known, plan_key=key), node_id):
                if isinstance(event, Planned):
                    self._emit_plan(run, node, event, plan, started=0)
                else:
                    emit_recorded(run, event)
            return Draft(key, facts, plan, executed_before)
        if self._code is not None and self._code.when == "root" and node.parent is None:
            program = Program()
            run.emit(Planned(at=run.clock(), node=node_id, plan=program.to_json(), key=key))
            return Draft(key, facts, program)
        run.require_solving(node_id)
        return Draft(key, facts)

    async def from_planner(self, run: SolverRun, node_id: str, draft: Draft, children: SubTasks) -> Plan:
        """A plan from the planner. An unusable reply is sent back to it with the problem, up to `ATTEMPTS` times.

        Sub-tasks that start while the plan streams are in `children`. Raises `PlanError` and `LimitError`.
        """
        node = run.tree[node_id]
        # No sub-task starts early where each plan has to be approved.
        early = node.depth + 1 < run.limits.max_depth and not run.approves(node_id)
        request = self._requests.for_planner(draft.facts, node.rejected, streaming=early)
        reader = EarlyStart(run, children) if request.streaming else None
        steps = run.limits.max_steps
        most = max(MOST_TASKS, steps), max(MOST_CHARACTERS, CHARACTERS_PER_TASK * steps)
        attempt = 0
        while True:
            attempt += 1
            reply = await call_model(run, node_id, self._planner, request, self._retry, reader)
            try:
                if len(reply.content) <= READ_AT_ONCE:
                    plan = parse_plan(reply.content)
                else:
                    plan = await in_daemon_thread(parse_long_plan, reply.content, *most)
                if isinstance(plan, Program) and self._code is None:
                    raise UnusablePlan('"decision" is "EXECUTE" or "RECURSE"; code is not enabled')
            except TooManyTasks:
                # By so much that it is not recorded.
                await children.abandon("the plan is over the limit")
                executed = Execute().to_json()
                event = Planned(at=run.clock(), node=node_id, plan=executed, key=draft.key, usage=run.claim(node_id))
                run.emit(replace(event, model=reply.model, limited="max_steps"))
                if self._on_limit == "raise":
                    raise limit_error("max_steps", run.limits, node, f"more than {max(MOST_TASKS, steps):,}") from None
                return Execute()
            except UnusablePlan as problem:
                await children.abandon("its plan could not be used")
                if attempt == ATTEMPTS:
                    raise _no_plan(node, reply, problem) from problem
                wrong = what_was_wrong(reply, problem)
                run.emit(Retried(at=run.clock(), node=node.id, reason=wrong, usage=run.claim(node.id)))
                request = replace(request, messages=repair_messages(request.messages, reply.content, wrong))
            else:
                return await self._accept(run, node, draft.key, *_without_thoughts(reply, plan), children)

    async def start_sub_tasks(
        self, run: SolverRun, node_id: str, draft: Draft, planned: Recurse | Program, children: SubTasks
    ) -> Execute | Program | None:
        """Start the sub-tasks of a split once it is approved, where required; else what the node does instead."""
        node = run.tree[node_id]
        if node.limited:
            return Execute()
        guarded = run.approves(node_id) and not draft.executed_before
        plan = await self._approved(run, node, draft, planned, children) if guarded else planned
        if not isinstance(plan, Recurse):
            return plan
        if (served := run.splits.acquire(node.depth, len(plan.sub_tasks))) is not None:
            await served
        children.begin(plan.sub_tasks[len(children.early) :], plan.joining)
        children.early = ()
        return None

    async def _approved(
        self, run: SolverRun, node: Node, draft: Draft, plan: Recurse | Program, children: SubTasks
    ) -> Plan:
        """The plan that a person approves; an edited plan replaces the planner's, a rejected one is planned anew."""
        while isinstance(decision := await run.control.decision(node.id, plan=plan), Rejected):
            if isinstance(plan, Recurse):
                run.steps.release(len(plan.sub_tasks))
            run.emit(PlanRejected(at=run.clock(), node=node.id, reason=decision.reason))
            other = await self.from_planner(run, node.id, draft, children)
            if isinstance(other, Execute) or run.tree[node.id].limited:
                return other if isinstance(other, Execute) else Execute()
            plan = other
        edited = decision.plan
        if edited is None or edited == plan:
            return plan
        if isinstance(plan, Recurse):
            run.steps.release(len(plan.sub_tasks))
        now = run.clock()
        mark = {"was": plan.to_json(), "at": APPROVAL, "when": now}
        event = Planned(at=now, node=node.id, plan={**edited.to_json(), EDITED: mark}, key=draft.key)
        self._emit_plan(run, node, event, edited, started=0)
        return edited if not run.tree[node.id].limited else Execute()

    async def _accept(self, run: SolverRun, node: Node, key: str, reply: Reply, plan: Plan, children: SubTasks) -> Plan:
        """Record a complete plan; sub-tasks that started early and are not its first ones are superseded."""
        first = plan.sub_tasks[: len(children.early)] if isinstance(plan, Recurse) else ()
        if list(first) != list(children.early):
            await children.abandon("the plan came out otherwise")
        started = len(children.early)
        if started and self._exceeded_limit(run, node, plan, started):
            await children.abandon("the plan is over the limit")
            # Abandoning releases steps, but none of the plan counts as started any more: it still does not fit.
            started = 0
        # Usage is claimed where nothing can end the node before the event is emitted.
        event = Planned(
            at=run.clock(),
            node=node.id,
            plan={**plan.to_json(), **reply_metadata(reply)},
            key=key,
            usage=run.claim(node.id),
            model=reply.model,
        )
        self._emit_plan(run, node, event, plan, started)
        return plan

    def _emit_plan(self, run: SolverRun, node: Node, event: Planned, plan: Plan, started: int) -> None:
        """Record a plan and reserve its steps. A split over a limit is executed, or raises `LimitError`; the plan is
        recorded either way, so that a run with a higher limit reuses it."""
        limit = self._exceeded_limit(run, node, plan, started)
        if limit and self._on_limit == "raise":
            run.emit(event)
            raise limit_error(limit, run.limits, node, str(len(plan.sub_tasks) if isinstance(plan, Recurse) else 0))
        run.emit(event if event.limited == limit else replace(event, limited=limit))
        if isinstance(plan, Recurse) and not limit:
            run.steps.reserve(len(plan.sub_tasks) - started)

    def _exceeded_limit(self, run: SolverRun, node: Node, plan: Plan, started: int) -> str:
        """The limit that the sub-tasks after the first `started` would exceed, or ""."""
        if isinstance(plan, Execute):
            return ""
        if node.depth + 1 >= run.limits.max_depth:
            return "max_depth"
        if isinstance(plan, Program):
            return ""
        return "" if run.steps.has(len(plan.sub_tasks) - started) else "max_steps"


class EarlyStart:
    """Starts sub-tasks from a plan while it streams. A restarted stream has to repeat those that have started."""

    def __init__(self, run: SolverRun, children: SubTasks) -> None:
        self._run = run
        self._children = children
        self.restart()

    def restart(self) -> None:
        self._reader = PlanReader()
        self._seen = 0
        self._text_begun = False

    def feed(self, text: str) -> None:
        if not self._text_begun and (stripped := text.lstrip()):
            self._text_begun = True
            if stripped[0] not in "{`":
                # After prose, only the complete text shows which JSON is the plan and which was only considered.
                self._reader.stop()
        for planned in self._reader.feed(text):
            if not self._begin(planned):
                self._reader.stop()
                return
            self._seen += 1

    def _begin(self, planned: PlannedTask) -> bool:
        """Start the next sub-task; false if the stream contradicts an earlier one, or if no step is left."""
        started = self._children.early
        if self._seen < len(started):
            return started[self._seen] == planned
        if not self._run.steps.reserve_early():
            return False
        self._children.early = (*started, planned)
        self._children.begin([planned], self._reader.joining)
        return True


def _without_thoughts(reply: Reply, plan: Plan) -> tuple[Reply, Plan]:
    """The plan without the thoughts that its inline answer begins with, which move to the reply's reasoning."""
    if not isinstance(plan, Execute) or plan.answer is None or not begins_with_thoughts(plan.answer):
        return reply, plan
    thoughts, answer = split_thoughts(plan.answer)
    reasoning = "\n\n".join(filter(None, (reply.reasoning, thoughts)))
    return replace(reply, reasoning=reasoning), replace(plan, answer=answer or None)


def _no_plan(node: Node, reply: Reply, problem: UnusablePlan) -> PlanError:
    kind = InvalidJSONError if isinstance(problem, NotJSON) else PlanError
    return kind(
        f"node {node.id}: {reply.model} gave no usable plan in {ATTEMPTS} attempts: {what_was_wrong(reply, problem)}. "
        f"It wrote: {beginning_of(reply)}. {what_to_do(reply)}, or max_depth=1 to answer without planning",
        node=node.id,
    )
