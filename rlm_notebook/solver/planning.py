"""From a node to its plan: recalled, forced by a limit, or asked for; and sub-tasks begun while the plan streams."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace

from ..concurrency.threads import READ_AT_ONCE, in_daemon_thread
from ..core.construction import fast_init
from ..core.events import Planned, Retried
from ..core.keys import normalized
from ..core.plan import (
    Execute,
    NotJSON,
    PlannedTask,
    Recurse,
    UnusablePlan,
    parse_plan,
    plan_from_json,
)
from ..core.plan_stream import PlanReader, TooManyTasks, parse_long_plan
from ..core.reasoning import begins_with_thoughts, split_thoughts
from ..core.replay_events import plan_events
from ..core.tree import Node
from ..exceptions import InvalidJSONError, LimitError, MaxStepsError, PlanError, RecursionDepthError
from ..ports import NodeFacts, Reply, Request
from ..prompts import repair_messages
from ..runtime.config import Configuration
from ..runtime.run_context import RunContext
from .errors import reply_metadata, what_to_do, what_was_wrong
from .model_calls import call_model
from .replay import emit_recorded
from .requests import RequestBuilder
from .subtasks import SubTasks

__all__ = ["Planning"]

ATTEMPTS = 3
#: What is read of a plan where `max_steps` asks for no more.
MOST_TASKS = 10_000
MOST_CHARACTERS = 2_000_000
CHARACTERS_PER_TASK = 200


@fast_init
@dataclass(frozen=True, slots=True)
class Draft:
    """What is known of a node's plan before the planner is asked; `followed`: it was, by an earlier execution."""

    key: str
    facts: NodeFacts
    plan: Execute | Recurse | None = None
    followed: bool = False


class Planning:
    """How an engine's nodes come to a plan."""

    def __init__(self, configuration: Configuration, requests: RequestBuilder) -> None:
        self._planner = configuration.team.planner.resolved
        self._requests = requests
        self._on_limit = configuration.on_limit
        self._retry = configuration.retry

    def draft(self, run: RunContext, node_id: str) -> Draft:
        """How the node comes to its plan: EXECUTE where a limit says so, one that is recorded, or one to be `asked`."""
        node = run.tree[node_id]
        facts = self._requests.facts(run, node)
        key = self._requests.key(run, node, facts)
        if forced := self._forced(run, node):
            run.emit(Planned(at=run.clock(), node=node_id, plan=Execute().to_json(), key=key, limited=forced))
            return Draft(key, facts, Execute())
        known = run.recorded_state.records.plans.get(key, node_id)
        if known is None and run.job.keep_plan:
            known = run.recorded_state.plan_at(node, run.tree)
        if known is not None:
            followed = run.recorded_state.was_executed(known, run.tree)
            return Draft(key, facts, self._recalled(run, node, replace(known, plan_key=key)), followed)
        run.require_solving(node_id)
        return Draft(key, facts)

    async def asked(self, run: RunContext, node_id: str, draft: Draft, children: SubTasks) -> Execute | Recurse:
        """A plan from the planner, which is told what was wrong with what it wrote before.

        Sub-tasks that were begun while the plan streamed are in `children`.
        """
        node, request = run.tree[node_id], self._requests.for_planner(draft.facts)
        attempt = 0
        while True:
            attempt += 1
            reply = await self._reply(run, node, request, children)
            try:
                plan = await self._read(run, reply.content)
            except TooManyTasks:
                await children.abandon("the plan is over the limit")
                return self._beyond_all(run, node, draft.key, reply)
            except UnusablePlan as problem:
                await children.abandon("its plan could not be used")
                if attempt == ATTEMPTS:
                    raise _no_plan(node, reply, problem) from problem
                wrong = what_was_wrong(reply, problem)
                run.emit(Retried(at=run.clock(), node=node.id, reason=wrong, usage=run.claim(node.id)))
                request = replace(request, messages=repair_messages(request.messages, reply.content, wrong))
            else:
                return await self._settled(run, node, draft.key, *_told_apart(reply, plan), children)

    async def _read(self, run: RunContext, text: str) -> Execute | Recurse:
        """The plan that is written there; a long text is read beside the event loop."""
        if len(text) <= READ_AT_ONCE:
            return parse_plan(text)
        steps = run.limits.max_steps
        most = max(MOST_TASKS, steps), max(MOST_CHARACTERS, CHARACTERS_PER_TASK * steps)
        return await in_daemon_thread(parse_long_plan, text, *most)

    def _beyond_all(self, run: RunContext, node: Node, key: str, reply: Reply) -> Execute:
        """A split that goes so far beyond the limit that it is not even recorded."""
        executed = Execute().to_json()
        event = Planned(at=run.clock(), node=node.id, plan=executed, key=key, usage=run.claim(node.id))
        run.emit(replace(event, model=reply.model, limited="max_steps"))
        if self._on_limit == "raise":
            raise _limit_error("max_steps", run, node, f"more than {max(MOST_TASKS, run.limits.max_steps):,}")
        return Execute()

    async def followed(
        self, run: RunContext, node_id: str, draft: Draft, split: Recurse, children: SubTasks
    ) -> Execute | None:
        """What holds, whatever the planner wrote: approved where that is wanted, its sub-tasks begun (`None`)."""
        node = run.tree[node_id]
        if node.limited:
            return Execute()
        approved = run.approves(node_id) and not draft.followed
        plan = await self._approved(run, node, draft.key, split) if approved else split
        if isinstance(plan, Execute):
            return plan
        if (turn := run.splits.ask(node.depth, len(plan.sub_tasks))) is not None:
            await turn
        children.begin(plan.sub_tasks[len(children.early) :], plan.joining)
        children.early = ()
        return None

    async def _approved(self, run: RunContext, node: Node, key: str, plan: Recurse) -> Execute | Recurse:
        """The plan as its approval leaves it; an edited one is recorded in the place of the planner's."""
        edited = await run.control.approval_of(node.id)
        if edited is None or edited == plan:
            return plan
        run.steps.release(len(plan.sub_tasks))
        self._tell(run, node, Planned(at=run.clock(), node=node.id, plan=edited.to_json(), key=key), edited, begun=0)
        return edited if not run.tree[node.id].limited else Execute()

    def _forced(self, run: RunContext, node: Node) -> str:
        """Why a node is executed without asking the planner, or ""."""
        if node.depth + 1 >= run.limits.max_depth and self._on_limit == "execute":
            return "max_depth"
        mine = normalized(node.task)
        if mine in map(normalized, run.tree.tasks_above(node.id)):
            return "restates an ancestor"
        return ""

    def _recalled(self, run: RunContext, node: Node, known: Node) -> Execute | Recurse:
        plan = plan_from_json(known.plan)
        for event in plan_events(known, node.id):
            if isinstance(event, Planned):
                self._tell(run, node, event, plan, begun=0)
            else:
                emit_recorded(run, event)
        return plan

    async def _settled(
        self, run: RunContext, node: Node, key: str, reply: Reply, plan: Execute | Recurse, children: SubTasks
    ) -> Execute | Recurse:
        """The plan as it stands, with what was begun too early put aside."""
        if not _continues(plan, children.early):
            await children.abandon("the plan came out otherwise")
        begun = len(children.early)
        event = Planned(
            at=run.clock(),
            node=node.id,
            plan={**plan.to_json(), **reply_metadata(reply)},
            key=key,
            usage=run.claim(node.id),
            model=reply.model,
        )
        if begun and self._beyond(run, node, plan, begun):
            await children.abandon("the plan is over the limit")
            # It does not fit, whatever their steps leave now that they are given back.
            begun = 0
        self._tell(run, node, event, plan, begun)
        return plan

    def _tell(self, run: RunContext, node: Node, event: Planned, plan: Execute | Recurse, begun: int) -> None:
        """A split that goes beyond a limit is executed, or ends the run; either way the plan is kept for later."""
        limit = self._beyond(run, node, plan, begun)
        if limit and self._on_limit == "raise":
            run.emit(event)
            raise _limit_error(limit, run, node, str(len(plan.sub_tasks) if isinstance(plan, Recurse) else 0))
        run.emit(event if event.limited == limit else replace(event, limited=limit))
        if isinstance(plan, Recurse) and not limit:
            run.steps.reserve(len(plan.sub_tasks) - begun)

    def _beyond(self, run: RunContext, node: Node, plan: Execute | Recurse, begun: int) -> str:
        """Which limit the sub-tasks that are not begun yet would break, or ""."""
        if isinstance(plan, Execute):
            return ""
        if node.depth + 1 >= run.limits.max_depth:
            return "max_depth"
        return "" if run.steps.has(len(plan.sub_tasks) - begun) else "max_steps"

    def _reply(self, run: RunContext, node: Node, request: Request, children: SubTasks) -> Awaitable[Reply]:
        """The planner's reply; sub-tasks are begun as soon as they are whole, unless each plan is to be approved."""
        early = request.streaming and node.depth + 1 < run.limits.max_depth and not run.approves(node.id)
        if not early and request.streaming:
            request = replace(request, streaming=False)
        beginner = EarlyStart(run, children) if early else None
        return call_model(run, node.id, self._planner, request, self._retry, beginner)


def _limit_error(limit: str, run: RunContext, node: Node, wanted: str) -> LimitError:
    if limit == "max_depth":
        return RecursionDepthError(
            f"node {node.id} wants to split at depth {node.depth}, but max_depth={run.limits.max_depth}; "
            'raise max_depth, or use on_limit="execute"'
        )
    return MaxStepsError(
        f"node {node.id} wants {wanted} sub-tasks, which is more than max_steps={run.limits.max_steps} "
        'leaves; raise max_steps, or use on_limit="execute"'
    )


class EarlyStart:
    """Begins sub-tasks from the text of a plan as it streams in; a stream that starts anew must say the same again."""

    def __init__(self, run: RunContext, children: SubTasks) -> None:
        self._run = run
        self._children = children
        self.restart()

    def restart(self) -> None:
        self._reader = PlanReader()
        self._seen = 0
        self._begun = False

    def feed(self, text: str) -> None:
        if not self._begun and (led := text.lstrip()):
            self._begun = True
            if led[0] not in "{`":
                # It begins with prose: what a plan is of that, and what only was considered, its end decides.
                self._reader.stop()
        for planned in self._reader.feed(text):
            if not self._begin(planned):
                self._reader.stop()
                return
            self._seen += 1

    def _begin(self, planned: PlannedTask) -> bool:
        begun = self._children.early
        if self._seen < len(begun):
            return begun[self._seen] == planned
        if not self._run.steps.reserve_early():
            return False
        self._children.early = (*begun, planned)
        self._children.begin([planned], self._reader.joining)
        return True


def _told_apart(reply: Reply, plan: Execute | Recurse) -> tuple[Reply, Execute | Recurse]:
    """The thoughts that the answer beside a plan begins with are told from it, too."""
    if not isinstance(plan, Execute) or plan.answer is None or not begins_with_thoughts(plan.answer):
        return reply, plan
    thoughts, answer = split_thoughts(plan.answer)
    reasoning = "\n\n".join(filter(None, (reply.reasoning, thoughts)))
    return replace(reply, reasoning=reasoning), replace(plan, answer=answer or None)


def _continues(plan: Execute | Recurse, begun: Sequence[PlannedTask]) -> bool:
    """Whether what was begun is the beginning of the plan that came out."""
    return not begun or (isinstance(plan, Recurse) and list(plan.sub_tasks[: len(begun)]) == list(begun))


def _no_plan(node: Node, reply: Reply, problem: UnusablePlan) -> PlanError:
    kind = InvalidJSONError if isinstance(problem, NotJSON) else PlanError
    seen = " ".join(reply.content[:2_000].split())[:200] or "(nothing)"
    return kind(
        f"node {node.id}: {reply.model} gave no usable plan in {ATTEMPTS} attempts: {what_was_wrong(reply, problem)}. "
        f"It wrote: {seen!r}. {what_to_do(reply)}, or max_depth=1 to answer without planning",
        node=node.id,
    )
