"""The engine: configuration, and the recursion, which exists once.

An engine is immutable and keeps nothing of a run, so it can be used again and for several runs at once. Streaming,
tools, checkpoints, budgets and replay are not in here: they are observers of the log, wrappers of the model, or
records that a node finds itself in.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

from .adapters import journal_for
from .agent import Agent, agents_of, ask, converse, first_of
from .core.context import RLMContext
from .core.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
    PlanStarted,
    Retried,
    Started,
    SynthesisStarted,
)
from .core.keys import digest, normalized, plan_key, request_key, result_key
from .core.limits import Budget, Limits
from .core.plan import PLAN_SCHEMA, Execute, NotJSON, Recurse, UnusablePlan, parse_plan, plan_from_json
from .core.records import created_fact, end_facts, plan_facts, result_facts
from .core.retry import RetryPolicy
from .core.tree import Node, NodeState
from .exceptions import (
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    InvalidJSONError,
    LimitError,
    MaxStepsError,
    ModelError,
    PlanError,
    RecursionDepthError,
    ReplayError,
)
from .ports import Message, NodeFacts, Observer, Part, Reply, Request
from .prompts import (
    PROMPTS_VERSION,
    ancestors_shown,
    planner_messages,
    repair_messages,
    synthesizer_messages,
    worker_messages,
)
from .run import Run
from .tools import Tool, as_tools
from .types import Output

__all__ = ["AsyncRecursiveEngine"]

PLAN_ATTEMPTS = 3
DEFAULT_AGENT = "default"
ROOT = "0"
#: How many causes the message of a failed node names, and how much of each; `.causes` holds them all.
CAUSES_SHOWN = 20
CAUSE_CHARACTERS = 500

RunMode = Literal["resume", "fresh", "replay"]
OnLimit = Literal["execute", "raise"]
OnFailure = Literal["raise", "synthesize"]


class AsyncRecursiveEngine:
    """Solves a task by recursive decomposition: per node, a planner decides to EXECUTE or to RECURSE.

    `llm` is a spec ("offline", "openai:NAME", "http://127.0.0.1:8080/v1#NAME"), a `Model`, or any callable
    `(inputs, context) -> {"content": ..., "metadata": ...}`, blocking or async. `agents` maps names to agents (or to
    anything that `llm` accepts); `router_model` names the one that plans. The root has depth 0 and no node has depth
    `max_depth` or more; a step is one node. With `on_limit="execute"` a task at a limit is answered without splitting,
    with "raise" the run ends in `RecursionDepthError` or `MaxStepsError`.

    Raises `ConfigurationError` for arguments that cannot work.
    """

    def __init__(
        self,
        llm: Any,
        agents: Mapping[str, Any] | None = None,
        router_model: str = "planner",
        tools: Iterable[Any] = (),
        *,
        max_depth: int = 5,
        max_steps: int = 50,
        max_concurrency: int = 16,
        max_tool_rounds: int = 8,
        on_limit: OnLimit = "execute",
        on_failure: OnFailure = "raise",
        budget: Budget | None = None,
        retry: RetryPolicy | None = RetryPolicy(),
        observers: Iterable[Observer] = (),
        temperature: float | None = None,
        call_timeout: float | None = 600.0,
        default_model: str | None = None,
        verbose: bool = False,
    ) -> None:
        self._arguments: dict[str, Any] = {
            "llm": llm,
            "agents": agents,
            "router_model": router_model,
            "tools": tools,
            "max_depth": max_depth,
            "max_steps": max_steps,
            "max_concurrency": max_concurrency,
            "max_tool_rounds": max_tool_rounds,
            "on_limit": on_limit,
            "on_failure": on_failure,
            "budget": budget,
            "retry": retry,
            "observers": observers,
            "temperature": temperature,
            "call_timeout": call_timeout,
            "default_model": default_model,
            "verbose": verbose,
        }
        self._tools = as_tools(tools)
        self._agents = agents_of(agents)
        self._default = Agent(DEFAULT_AGENT, llm, temperature=temperature)
        self._planner = self._router(router_model, agents is not None)
        self._limits = Limits(max_depth, max_steps, max_concurrency, max_tool_rounds)
        self._on_limit = _one_of("on_limit", on_limit, ("execute", "raise"))
        self._on_failure = _one_of("on_failure", on_failure, ("raise", "synthesize"))
        self._budget = budget if budget is not None else Budget()
        self._retry = retry
        self._observers = (*observers, *_loggers(verbose))
        self._call_timeout = call_timeout
        self._default_model = default_model
        self._shared_key = self._digest_of_surroundings()

    # -- the face ------------------------------------------------------------------------------------------------

    async def solve(
        self, task: str, *, context: RLMContext | None = None, checkpoint: Any = None, mode: RunMode = "resume"
    ) -> Output:
        """The answer to `task`.

        `checkpoint`: `None` keeps the run in memory, a path is the JSON file that it is kept in, `True` is beside the
        notebook. `mode`: "resume" reuses what is recorded there, "fresh" ignores it, "replay" calls no model.
        Raises `ExecutionError` when a node failed, `LimitError`, `CheckpointError`, `ConfigurationError`.
        """
        return await self.start(task, context=context, checkpoint=checkpoint, mode=mode)

    def start(
        self, task: str, *, context: RLMContext | None = None, checkpoint: Any = None, mode: RunMode = "resume"
    ) -> Run:
        """Start solving and return the `Run` at once; needs a running event loop."""
        _require_loop()
        wanted = self.request_key(task, context)
        journal = journal_for(checkpoint, request_key=wanted, task=task)
        mode = _mode(mode, kept=journal.path is not None)
        # Also read when it is not used: a journal has to know what it is about to replace.
        recorded = journal.read()
        run = Run(
            task=task,
            request_key=wanted,
            settings=self.settings(),
            journal=journal,
            recorded=recorded if mode != "fresh" else None,
            limits=self._limits,
            budget=self._budget,
            observers=self._observers,
        )
        run.describe_prompt = lambda node_id: self._prompt(run, run.tree[node_id], context)
        run.begin(self._replay(run) if mode == "replay" else self._main(run, context))
        return run

    async def stream(
        self, task: str, *, context: RLMContext | None = None, checkpoint: Any = None, mode: RunMode = "resume"
    ) -> AsyncIterator[Event]:
        """Every event of a run in order, tokens included; leaving the loop early cancels the run.

        When the run fails, its error is raised after the last event.
        """
        run = self.start(task, context=context, checkpoint=checkpoint, mode=mode)
        try:
            async with aclosing(run.events()) as events:  # type: ignore[type-var]
                async for event in events:
                    yield event
            await run
        finally:
            await run.cancel()

    def replaced(self, **changes: Any) -> AsyncRecursiveEngine:
        """An engine with some arguments changed; this one stays as it is."""
        return AsyncRecursiveEngine(**{**self._arguments, **changes})

    def request_key(self, task: str, context: RLMContext | None = None) -> str:
        """What makes two executions the same request: the task and the options that change its meaning."""
        return request_key(_checked_task(task), self._meaning(context))

    def settings(self) -> dict[str, Any]:
        """What checkpoints record of an engine."""
        agents = [self._default, *self._agents.values()]
        return {
            "model": self._default.resolved.name,
            "planner": self._planner.resolved.name,
            "agents": {agent.name: agent.to_json() for agent in agents},
            "tools": [tool.name for tool in self._tools],
            "limits": self._limits.to_json(),
            "budget": self._budget.to_json(),
            "on_limit": self._on_limit,
            "on_failure": self._on_failure,
            "prompts_version": PROMPTS_VERSION,
        }

    # -- the recursion -------------------------------------------------------------------------------------------

    def _main(self, run: Run, context: RLMContext | None) -> Callable[[], Awaitable[str]]:
        async def main() -> str:
            run.emit(NodeCreated(at=run.clock(), node=ROOT, parent=None, task=run.task, agent=DEFAULT_AGENT))
            return await self._node(run, ROOT, context)

        return main

    async def _node(self, run: Run, node_id: str, context: RLMContext | None) -> str:
        """Solve a node, and leave it in a final state whatever happens."""
        try:
            return await self._solve(run, run.tree[node_id], context)
        except asyncio.CancelledError:
            _end(run, Cancelled(at=run.clock(), node=node_id))
            raise
        except LimitError as error:
            _end(run, Cancelled(at=run.clock(), node=node_id, reason=str(error)))
            raise
        except CheckpointError:
            raise
        except Exception as error:
            _end(run, Failed(at=run.clock(), node=node_id, error=str(error), kind=type(error).__name__))
            raise

    async def _solve(self, run: Run, node: Node, context: RLMContext | None) -> str:
        plan = await self._plan(run, node, context)
        parts = await self._children(run, node, plan, context)
        return await self._answer(run, node, plan, parts, context)

    async def _plan(self, run: Run, node: Node, context: RLMContext | None) -> Execute | Recurse:
        facts = self._facts(run, node, context)
        key = self._plan_key(run, node, facts)
        if forced := self._forced(run, node):
            plan: Execute | Recurse = Execute()
            run.emit(Planned(at=run.clock(), node=node.id, plan=_json(plan), key=key, limited=forced))
            return plan
        if (known := run.records.plans.get(key)) is not None and known.plan is not None:
            plan = plan_from_json(known.plan)
            for event in plan_facts(known, node.id):
                if isinstance(event, Planned):
                    self._tell_plan(run, node, event, plan)
                else:
                    run.emit(event)
        else:
            plan = await self._ask_planner(run, node, facts, key)
        return plan if run.tree[node.id].decision == "RECURSE" or isinstance(plan, Execute) else Execute()

    async def _children(
        self, run: Run, node: Node, plan: Execute | Recurse, context: RLMContext | None
    ) -> tuple[Part, ...]:
        """Solve the sub-tasks, in parallel where they do not depend on each other; results in the plan's order."""
        if isinstance(plan, Execute):
            return ()
        ids = self._create_children(run, node, plan)
        tasks: dict[str, asyncio.Task[Part | Exception]] = {}
        started = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                for child in ids:
                    tasks[child] = group.create_task(self._child(run, child, tasks, started, context))
                started.set()
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None
        return self._joined(run, node, [tasks[child].result() for child in ids])

    async def _child(
        self,
        run: Run,
        node_id: str,
        tasks: Mapping[str, asyncio.Task[Part | Exception]],
        started: asyncio.Event,
        context: RLMContext | None,
    ) -> Part | Exception:
        """A sub-task's result, or the error that leaves its siblings alone."""
        await started.wait()
        node = run.tree[node_id]
        try:
            for wanted in node.depends_on:
                _require_result(run, node, wanted, await asyncio.shield(tasks[wanted]))
            content = await self._node(run, node_id, context)
        except (ExecutionError, LimitError) as error:
            if isinstance(error, ModelError) and error.fatal:
                raise
            return error
        return Part(node_id, node.task, content)

    async def _answer(
        self, run: Run, node: Node, plan: Execute | Recurse, parts: tuple[Part, ...], context: RLMContext | None
    ) -> str:
        node = run.tree[node.id]
        key = result_key(node.plan_key, plan.decision, [(part.task, part.content) for part in parts])
        if (known := run.records.results.get(key)) is not None:
            _emit_all(run, result_facts(known, node.id))
            return known.result or ""
        if isinstance(plan, Execute) and plan.answer and self._fuses(node):
            return self._finish(run, node, key, Reply(plan.answer, model=node.plan_model))
        facts = self._facts(run, node, context, parts)
        if parts:
            run.emit(SynthesisStarted(at=run.clock(), node=node.id))
            reply = await ask(
                run, node.id, self._synthesizer.resolved, self._synthesis_request(run, facts), self._retry
            )
        else:
            run.emit(Started(at=run.clock(), node=node.id))
            reply = await self._execute(run, node, facts)
        return self._finish(run, node, key, reply)

    # -- planning ------------------------------------------------------------------------------------------------

    def _forced(self, run: Run, node: Node) -> str:
        """Why a node is executed without asking the planner, or ""."""
        if node.depth + 1 >= self._limits.max_depth and self._on_limit == "execute":
            return "max_depth"
        mine = normalized(node.task)
        if any(normalized(above.task) == mine for above in run.tree.ancestors(node.id)):
            return "restates an ancestor"
        return ""

    async def _ask_planner(self, run: Run, node: Node, facts: NodeFacts, key: str) -> Execute | Recurse:
        """A plan from the planner, which is told what was wrong with what it wrote before."""
        run.emit(PlanStarted(at=run.clock(), node=node.id))
        messages = self._planner_messages(facts)
        for attempt in range(1, PLAN_ATTEMPTS + 1):
            request = self._request("planner", messages, facts, self._planner, schema=PLAN_SCHEMA)
            reply = await ask(run, node.id, self._planner.resolved, request, self._retry)
            try:
                plan = parse_plan(reply.content)
            except UnusablePlan as problem:
                if attempt == PLAN_ATTEMPTS:
                    raise _no_plan(node, reply, problem) from problem
                run.emit(Retried(at=run.clock(), node=node.id, reason=str(problem), usage=run.claim(node.id)))
                messages = repair_messages(messages, reply.content, str(problem))
            else:
                event = Planned(
                    at=run.clock(),
                    node=node.id,
                    plan=_json(plan),
                    key=key,
                    usage=run.claim(node.id),
                    model=reply.model,
                )
                self._tell_plan(run, node, event, plan)
                return plan
        raise AssertionError("unreachable: the loop returns or raises")

    def _tell_plan(self, run: Run, node: Node, event: Planned, plan: Execute | Recurse) -> None:
        """A split that goes beyond a limit is executed, or ends the run; either way the plan is kept for later."""
        limit = self._limit_of(run, node, plan)
        if limit and self._on_limit == "raise":
            run.emit(event)
            raise self._limit_error(limit, node, plan)
        run.emit(replace(event, limited=limit))

    def _limit_of(self, run: Run, node: Node, plan: Execute | Recurse) -> str:
        if isinstance(plan, Execute):
            return ""
        if node.depth + 1 >= self._limits.max_depth:
            return "max_depth"
        return "" if run.reserve_steps(len(plan.sub_tasks)) else "max_steps"

    def _limit_error(self, limit: str, node: Node, plan: Execute | Recurse) -> LimitError:
        if limit == "max_depth":
            return RecursionDepthError(
                f"node {node.id} wants to split at depth {node.depth}, but max_depth={self._limits.max_depth}; "
                'raise max_depth, or use on_limit="execute"'
            )
        wanted = len(plan.sub_tasks) if isinstance(plan, Recurse) else 0
        return MaxStepsError(
            f"node {node.id} wants {wanted} sub-tasks, which is more than max_steps={self._limits.max_steps} "
            'leaves; raise max_steps, or use on_limit="execute"'
        )

    def _create_children(self, run: Run, node: Node, plan: Recurse) -> list[str]:
        ids = [f"{node.id}.{index}" for index in range(len(plan.sub_tasks))]
        for child, planned in zip(ids, plan.sub_tasks, strict=True):
            agent, note = self._assigned(planned.agent)
            run.emit(
                NodeCreated(
                    at=run.clock(),
                    node=child,
                    parent=node.id,
                    task=planned.task,
                    agent=agent,
                    depends_on=tuple(ids[position] for position in planned.depends_on),
                    note=note,
                )
            )
        return ids

    def _assigned(self, name: str | None) -> tuple[str, str]:
        if not name or name == DEFAULT_AGENT:
            return DEFAULT_AGENT, ""
        if name in self._agents:
            return name, ""
        return DEFAULT_AGENT, f"there is no agent {name!r}" if self._agents else ""

    # -- executing and joining -----------------------------------------------------------------------------------

    async def _execute(self, run: Run, node: Node, facts: NodeFacts) -> Reply:
        agent = self._agent(node)
        tools = self._tools_of(agent)
        request = self._request(
            "worker",
            worker_messages(facts, agent.instructions),
            facts,
            agent,
            tools=tuple(tool.schema for tool in tools.values()),
        )
        reply = await converse(run, node.id, agent.resolved, request, tools, self._retry)
        if not reply.content.strip():
            raise ModelError(
                f"node {node.id}: {agent.resolved.name} gave an empty answer; run again, or choose another model",
                node=node.id,
            )
        return reply

    def _synthesis_request(self, run: Run, facts: NodeFacts) -> Request:
        agent = self._synthesizer
        return self._request("synthesizer", synthesizer_messages(facts, agent.instructions), facts, agent)

    def _finish(self, run: Run, node: Node, key: str, reply: Reply) -> str:
        run.emit(
            Finished(
                at=run.clock(),
                node=node.id,
                content=reply.content,
                key=key,
                metadata=dict(reply.metadata),
                usage=run.claim(node.id),
                model=reply.model,
            )
        )
        return reply.content

    def _joined(self, run: Run, node: Node, outcomes: list[Part | Exception]) -> tuple[Part, ...]:
        """The parts, or the error of a node whose parts failed."""
        failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        for error in failed:
            if isinstance(error, LimitError):
                raise error
        if failed and self._on_failure == "raise":
            raise ExecutionError(_causes_in_words(node, failed, len(outcomes)), node=node.id, causes=failed)
        children = run.tree.children(node.id)
        return tuple(
            outcome if isinstance(outcome, Part) else Part(child.id, child.task, f"(missing: {outcome})")
            for child, outcome in zip(children, outcomes, strict=True)
        )

    # -- who and what --------------------------------------------------------------------------------------------

    def _router(self, name: str, agents_given: bool) -> Agent:
        if name in self._agents:
            return self._agents[name]
        if agents_given and self._agents:
            known = ", ".join(sorted(self._agents))
            raise ConfigurationError(f"router_model={name!r} is not among the agents ({known}); name one of them")
        return self._default

    @property
    def _synthesizer(self) -> Agent:
        return self._agents.get("synthesizer", self._planner)

    def _agent(self, node: Node) -> Agent:
        return self._agents.get(node.agent, self._default)

    def _tools_of(self, agent: Agent) -> dict[str, Tool]:
        return {tool.name: tool for tool in (*self._tools, *agent.tools)}

    def _fuses(self, node: Node) -> bool:
        """The planner's own answer is what the node's agent would give."""
        agent = self._agent(node)
        same = agent.resolved is self._planner.resolved or agent.resolved.name == self._planner.resolved.name
        return same and agent.plain and not self._tools

    def _facts(self, run: Run, node: Node, context: RLMContext | None, parts: tuple[Part, ...] = ()) -> NodeFacts:
        outer = context.breadcrumbs if context is not None else ()
        breadcrumbs = (*outer, *(above.task for above in run.tree.ancestors(node.id)))
        known = [run.tree[wanted] for wanted in node.depends_on]
        return NodeFacts(
            task=node.task,
            task_id=node.id,
            depth=node.depth,
            goal=breadcrumbs[0] if breadcrumbs else node.task,
            breadcrumbs=breadcrumbs,
            agent=node.agent,
            parts=parts,
            dependencies=tuple(Part(n.id, n.task, n.result or "") for n in known),
        )

    def _request(
        self,
        mode: Literal["planner", "worker", "synthesizer"],
        messages: tuple[Message, ...],
        facts: NodeFacts,
        agent: Agent,
        *,
        schema: dict[str, Any] | None = None,
        tools: tuple[dict[str, Any], ...] = (),
    ) -> Request:
        return Request(
            mode=mode,
            messages=messages,
            facts=facts,
            tools=tools,
            schema=schema,
            temperature=agent.temperature,
            deadline=self._call_timeout,
            # A plan is JSON: nobody wants to see it stream. Everything else is shown as it comes.
            streaming=mode != "planner" and agent.resolved.capabilities.stream,
        )

    def _planner_messages(self, facts: NodeFacts) -> tuple[Message, ...]:
        offered = {name: agent.description for name, agent in self._agents.items() if agent is not self._planner}
        tools = [tool.name for tool in self._tools]
        return planner_messages(facts, offered, tools, self._planner.instructions)

    def _prompt(self, run: Run, node: Node, context: RLMContext | None) -> tuple[Message, ...]:
        """The main prompt of a node, made again from the same facts."""
        if node.decision == "RECURSE" and node.state in (NodeState.SYNTHESIZING, NodeState.DONE):
            children = run.tree.children(node.id)
            parts = tuple(Part(child.id, child.task, child.result or "") for child in children)
            return self._synthesis_request(run, self._facts(run, node, context, parts)).messages
        facts = self._facts(run, node, context)
        if any(phase.kind == "execute" for phase in node.phases):
            return worker_messages(facts, self._agent(node).instructions)
        return self._planner_messages(facts)

    # -- keys and records ----------------------------------------------------------------------------------------

    def _digest_of_surroundings(self) -> str:
        """What all nodes of a run share: who plans, who joins, who is offered, which tools there are."""
        return digest(
            {
                "planner": self._planner.to_json(),
                "synthesizer": self._synthesizer.to_json(),
                "agents": {name: agent.to_json() for name, agent in self._agents.items()},
                "tools": [{"name": t.name, "schema": t.parameters, "version": t.version} for t in self._tools],
            }
        )

    def _plan_key(self, run: Run, node: Node, facts: NodeFacts) -> str:
        return plan_key(
            task=node.task,
            ancestors=ancestors_shown(facts.breadcrumbs),
            dependencies=[part.content for part in facts.dependencies],
            agent=self._agent(node).to_json(),
            surroundings=self._shared_key,
        )

    def _meaning(self, context: RLMContext | None) -> dict[str, Any]:
        """The options that change what is asked for."""
        return {
            "breadcrumbs": list(context.breadcrumbs) if context is not None else [],
            "agents": {
                name: [agent.description, agent.instructions, agent.temperature, [t.name for t in agent.tools]]
                for name, agent in self._agents.items()
            },
            "tools": [tool.name for tool in self._tools],
            "temperature": self._default.temperature,
        }

    def _replay(self, run: Run) -> Callable[[], Awaitable[str]]:
        """The recorded tree, told again; no model is called, whatever the engine's models are."""

        async def main() -> str:
            recorded = run.recorded
            if recorded is None:
                raise ReplayError(f"mode=replay, but nothing is recorded in {_place(run)}; run once with a model")
            _require_same(run)
            for node in recorded.tree:
                _emit_all(run, [created_fact(node), *plan_facts(node, node.id)])
            for node in reversed(list(recorded.tree)):
                _emit_all(run, end_facts(node))
            root = recorded.tree[ROOT]
            return root.result or ""

        return main


def _emit_all(run: Run, events: Iterable[Event]) -> None:
    for event in events:
        run.emit(event)


def _require_same(run: Run) -> None:
    recorded = run.recorded
    assert recorded is not None
    old = recorded.tree
    if old.request_key != run.request_key:
        changed = "the task" if old.task != run.task else "the agents, tools, temperature or context"
        raise ReplayError(
            f"mode=replay, but node {ROOT} is not what was recorded in {_place(run)}: {changed} changed; "
            "run once without replay to record it anew"
        )
    if old.status != "done" or old.root is None:
        raise ReplayError(
            f"mode=replay, but the run recorded in {_place(run)} is {old.status}, not done; "
            "run once without replay to finish it"
        )


def _place(run: Run) -> str:
    return run.checkpoint or "memory"


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise ConfigurationError(f"{name}={value!r}: expected one of {', '.join(map(repr, allowed))}")
    return value


def _mode(mode: Any, *, kept: bool) -> RunMode:
    """`RLM_MODE` sets the mode of a whole session, for runs that are kept in a file and named no mode themselves."""
    wanted = os.environ.get("RLM_MODE", "") if kept and mode == "resume" else ""
    checked: RunMode = _one_of("RLM_MODE" if wanted else "mode", wanted or mode, ("resume", "fresh", "replay"))
    return checked


def _checked_task(task: Any) -> str:
    if not isinstance(task, str):
        raise ConfigurationError(f"a task is text, not {type(task).__name__}; pass the task as a string")
    if not task.strip():
        raise ConfigurationError("the task is empty; say what is to be solved")
    return task


def _require_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "there is no running event loop; use `await engine.solve(...)` in async code, or RecursiveEngine"
        ) from None


def _loggers(verbose: bool) -> tuple[Observer, ...]:
    if not verbose:
        return ()
    from importlib import import_module

    observer: Observer = import_module(".observers.logging", __package__).LoggingObserver()
    return (observer,)


def _json(plan: Execute | Recurse) -> dict[str, Any]:
    return plan.model_dump(mode="json")


def _end(run: Run, event: Failed | Cancelled) -> None:
    if not run.tree[event.node].state.final:
        run.emit(replace(event, usage=run.claim(event.node)))


def _require_result(run: Run, node: Node, wanted: str, outcome: Part | Exception) -> None:
    if isinstance(outcome, Exception):
        if isinstance(outcome, LimitError):
            _end(run, Cancelled(at=run.clock(), node=node.id, reason=str(outcome)))
            raise outcome
        message = f"node {node.id} depends on node {wanted}, which failed"
        _end(run, Failed(at=run.clock(), node=node.id, error=message))
        raise ExecutionError(message, node=node.id) from outcome


def _no_plan(node: Node, reply: Reply, problem: UnusablePlan) -> PlanError:
    kind = InvalidJSONError if isinstance(problem, NotJSON) else PlanError
    seen = " ".join(reply.content.split())[:200] or "(nothing)"
    return kind(
        f"node {node.id}: {reply.model} gave no usable plan in {PLAN_ATTEMPTS} attempts: {problem}. "
        f"It wrote: {seen!r}. Use a model that can reply in JSON, or max_depth=1 to answer without planning",
        node=node.id,
    )


def _causes_in_words(node: Node, failed: list[Exception], total: int) -> str:
    """Where it began, not how it was handed up: else a failure deep in the tree is told once per level."""
    origins = list(_origins(failed))
    said = [f"[{getattr(error, 'node', None) or '?'}] {_shortened(str(error))}" for error in origins[:CAUSES_SHOWN]]
    if len(origins) > CAUSES_SHOWN:
        said.append(f"and {len(origins) - CAUSES_SHOWN} more")
    return f"node {node.id}: {len(failed)} of {total} parts failed: {'; '.join(said)}"


def _origins(errors: Iterable[BaseException]) -> Iterator[BaseException]:
    stack = list(errors)[::-1]
    while stack:
        error = stack.pop()
        if type(error) is ExecutionError and error.causes:
            stack.extend(reversed(error.causes))
        else:
            yield error


def _shortened(text: str) -> str:
    return text if len(text) <= CAUSE_CHARACTERS else text[:CAUSE_CHARACTERS] + " […]"
