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
from dataclasses import dataclass, replace
from typing import Any, Literal

from .adapters import cache_of, journal_for, kept_beside, remembering
from .agent import Agent
from .briefs import Briefs
from .calls import ask
from .children import Children, end_node
from .conversation import Conversation
from .core.context import RLMContext
from .core.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Retried,
    Started,
    SynthesisStarted,
)
from .core.keys import request_key, result_key
from .core.limits import Budget, Limits
from .core.plan import Execute, Recurse
from .core.records import created_fact, end_facts, plan_facts, result_facts
from .core.retry import RetryPolicy
from .core.sources import moved, placeless, sources_in
from .core.tree import Node, Tree
from .exceptions import (
    CheckpointError,
    ConfigurationError,
    ExecutionError,
    LimitError,
    ModelError,
    PlanError,
    ReplayError,
)
from .forks import Fork
from .memory import SharedMemory
from .planning import OnLimit, Planning
from .ports import Cache, Journal, Observer, Part, Reply, Request
from .pricing import Prices, is_free
from .prompts import PROMPTS_VERSION, repair_messages, with_instructions
from .run import Run
from .team import DEFAULT_AGENT, Team
from .tools import Tool
from .typed import OutputType, Unfit
from .types import Output

__all__ = ["AsyncRecursiveEngine"]

ROOT = "0"
#: How many causes the message of a failed node names, and how much of each; `.causes` holds them all.
CAUSES_SHOWN = 20
CAUSE_CHARACTERS = 500
TYPE_ATTEMPTS = 3

RunMode = Literal["resume", "fresh", "replay"]
OnFailure = Literal["raise", "synthesize"]


@dataclass(frozen=True, slots=True)
class _Job:
    """One execution as it was asked for; `joins_only`: nothing new is solved, what is recorded is joined."""

    task: str
    context: RLMContext | None
    memory: SharedMemory
    output_type: OutputType | None
    request_key: str
    journal: Journal
    mode: RunMode
    joins_only: bool = False


class AsyncRecursiveEngine:
    """Solves a task by recursive decomposition: per node, a planner decides to EXECUTE or to RECURSE.

    `llm` is a spec ("offline", "openai:NAME", "http://127.0.0.1:8080/v1#NAME"), a `Model`, or any callable
    `(inputs, context) -> {"content": ..., "metadata": ...}`, blocking or async. `agents` maps names to agents (or to
    anything that `llm` accepts); `router_model` names the one that plans. The root has depth 0 and no node has depth
    `max_depth` or more; a step is one node. With `on_limit="execute"` a task at a limit is answered without splitting,
    with "raise" the run ends in `RecursionDepthError` or `MaxStepsError`. `cache=True` asks no model the same twice,
    over all runs of the engine; any object with `get(key)` and `put(key, reply)` is a cache too.
    `default_model` is the name that is recorded for replies that do not name their model, as those of callables.

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
        cache: Cache | bool | None = None,
        observers: Iterable[Observer] = (),
        temperature: float | None = None,
        call_timeout: float | None = 600.0,
        default_model: str | None = None,
        prices: Mapping[str, tuple[float, float]] | None = None,
        approve: bool | Literal["root"] = False,
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
            "cache": (cache := cache_of(cache)),
            "observers": observers,
            "temperature": temperature,
            "call_timeout": call_timeout,
            "default_model": default_model,
            "prices": prices,
            "approve": approve,
            "verbose": verbose,
        }
        self._team = Team.of(llm, agents, router_model, tools, temperature)
        self._limits = Limits(max_depth, max_steps, max_concurrency, max_tool_rounds)
        self._on_limit: OnLimit = _one_of("on_limit", on_limit, ("execute", "raise"))
        self._on_failure = _one_of("on_failure", on_failure, ("raise", "synthesize"))
        self._default_model = default_model or ""
        self._prices = Prices(prices)
        self._approve = _one_of("approve", approve, (True, False, "root"))
        self._budget = _priced(budget or Budget(), self._team, self._prices)
        self._retry = retry
        agents_by_name = [(agent.name, agent.resolved) for agent in (self._team.default, *self._team.agents.values())]
        self._remember = remembering(cache, agents_by_name)
        self._cached = cache is not None
        self._observers = (*observers, *_loggers(verbose))
        self._briefs = Briefs(self._team, call_timeout)
        self._planning = Planning(self._team, self._briefs, self._on_limit, retry)

    # -- the face ------------------------------------------------------------------------------------------------

    async def solve(
        self,
        task: str,
        *,
        context: RLMContext | None = None,
        checkpoint: Any = None,
        mode: RunMode = "resume",
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Output:
        """The answer to `task`.

        `checkpoint`: `None` keeps the run in memory, a path is the JSON file that it is kept in, `True` is beside the
        notebook. `mode`: "resume" reuses what is recorded there, "fresh" ignores it, "replay" calls no model.
        Raises `ExecutionError` when a node failed, `LimitError`, `CheckpointError`, `ConfigurationError`.
        """
        return await self.start(
            task, context=context, checkpoint=checkpoint, mode=mode, output_type=output_type, variables=variables
        )

    def start(
        self,
        task: str,
        *,
        context: RLMContext | None = None,
        checkpoint: Any = None,
        mode: RunMode = "resume",
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
    ) -> Run:
        """Start solving and return the `Run` at once; needs a running event loop."""
        _require_loop()
        memory = SharedMemory(variables or {})
        wanted_type = OutputType(output_type) if output_type is not None else None
        wanted = self._request_key(task, context, memory, wanted_type)
        journal = journal_for(checkpoint, request_key=wanted, task=task)
        checked_mode = _mode(mode, kept=journal.path is not None)
        return self._start(_Job(task, context, memory, wanted_type, wanted, journal, checked_mode))

    def _start(self, job: _Job) -> Run:
        # Also read when it is not used: a journal has to know what it is about to replace.
        recorded = job.journal.read()
        run = Run(
            task=job.task,
            request_key=job.request_key,
            settings=self.settings(),
            journal=job.journal,
            recorded=recorded if job.mode != "fresh" else None,
            limits=self._limits,
            # Who asks for an answer from what there is has seen that the budget is spent.
            budget=self._budget if not job.joins_only else Budget(),
            context=job.context,
            memory=job.memory,
            output_type=job.output_type,
            prices=self._prices,
            approve=self._approve if not job.joins_only else False,
            joins_only=job.joins_only,
            remember=self._remember,
            observers=self._observers,
        )
        run.default_model = self._default_model
        run.describe_prompt = lambda node_id: self._briefs.prompt(run, run.tree[node_id])
        run.key_of = lambda node_id: self._key_of(run, run.tree[node_id])
        run.join_again = lambda: self._start(replace(job, mode="resume", joins_only=True))
        run.start_fork = lambda fork: self._fork(job, fork, run.clock())
        run.begin(self._replay(run) if job.mode == "replay" else self._main(run))
        return run

    def _fork(self, job: _Job, fork: Fork, at: float) -> Run:
        """A run over changed records: put in a place of their own first, so that no crash loses them."""
        _require_loop()
        key = self._request_key(fork.task, job.context, job.memory, job.output_type)
        journal = kept_beside(job.journal, fork.seed(key, at))
        return self._start(
            replace(job, task=fork.task, request_key=key, journal=journal, mode="resume", joins_only=False)
        )

    def _key_of(self, run: Run, node: Node) -> str:
        return self._briefs.key(run, node, self._briefs.facts(run, node))

    async def stream(
        self,
        task: str,
        *,
        context: RLMContext | None = None,
        checkpoint: Any = None,
        mode: RunMode = "resume",
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Event]:
        """Every event of a run in order, tokens included; leaving the loop early cancels the run.

        When the run fails, its error is raised after the last event.
        """
        run = self.start(
            task, context=context, checkpoint=checkpoint, mode=mode, output_type=output_type, variables=variables
        )
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

    def request_key(
        self,
        task: str,
        context: RLMContext | None = None,
        output_type: Any = None,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """What makes two executions the same request: the task and the options that change its meaning."""
        wanted = OutputType(output_type) if output_type is not None else None
        return self._request_key(task, context, SharedMemory(variables or {}), wanted)

    def _request_key(
        self, task: str, context: RLMContext | None, memory: SharedMemory, output_type: OutputType | None
    ) -> str:
        meaning: dict[str, Any] = {
            "breadcrumbs": list(context.breadcrumbs) if context is not None else [],
            **self._team.meaning,
        }
        if memory:
            meaning["variables"] = memory.digests()
        if output_type is not None:
            meaning["output_type"] = output_type.digest
        return request_key(_checked_task(task), meaning)

    def settings(self) -> dict[str, Any]:
        """What checkpoints record of an engine."""
        return {
            **self._team.to_json(),
            "limits": self._limits.to_json(),
            "budget": self._budget.to_json(),
            "on_limit": self._on_limit,
            "on_failure": self._on_failure,
            "prompts_version": PROMPTS_VERSION,
        }

    # -- the recursion -------------------------------------------------------------------------------------------

    def _main(self, run: Run) -> Callable[[], Awaitable[str]]:
        async def main() -> str:
            run.emit(NodeCreated(at=run.clock(), node=ROOT, parent=None, task=run.task, agent=DEFAULT_AGENT))
            return await self._node(run, ROOT)

        return main

    async def _node(self, run: Run, node_id: str) -> str:
        """Solve a node, and leave it in a final state whatever happens."""
        try:
            return await self._solve(run, run.tree[node_id])
        except asyncio.CancelledError:
            end_node(run, Cancelled(at=run.clock(), node=node_id))
            raise
        except LimitError as error:
            end_node(run, Cancelled(at=run.clock(), node=node_id, reason=str(error)))
            raise
        except CheckpointError:
            raise
        except Exception as error:
            end_node(run, Failed(at=run.clock(), node=node_id, error=str(error), kind=type(error).__name__))
            raise

    async def _solve(self, run: Run, node: Node) -> str:
        children = Children(run, node.id, self._team.assigned, lambda child: self._node(run, child))
        try:
            plan = await self._planning.plan(run, node, children)
            parts = self._parts(run, node, await children.outcomes())
            return await self._answer(run, run.tree[node.id], plan, parts)
        finally:
            await children.close()

    def _parts(self, run: Run, node: Node, outcomes: Mapping[str, Part | Exception]) -> tuple[Part, ...]:
        """The results to join, or the error of a node whose parts failed."""
        failed = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
        for error in failed:
            if isinstance(error, LimitError) and not run.joins_only:
                raise error
        if failed and ((self._on_failure == "raise" and not run.joins_only) or len(failed) == len(outcomes)):
            raise ExecutionError(_causes_in_words(node, failed, len(outcomes)), node=node.id, causes=failed)
        return tuple(
            outcome if isinstance(outcome, Part) else Part(child, run.tree[child].task, f"(missing: {outcome})")
            for child, outcome in outcomes.items()
        )

    async def _answer(self, run: Run, node: Node, plan: Execute | Recurse, parts: tuple[Part, ...]) -> str:
        joined = [(part.task, placeless(part.content, part.id)) for part in parts]
        key = result_key(node.plan_key, plan.decision, joined)
        if (known := run.recalled(key, node.id)) is not None:
            _emit_all(run, result_facts(_brought_to(run, known, node, parts), node.id))
            return run.tree[node.id].result or ""
        reads: set[str] = set()
        if isinstance(plan, Execute) and plan.answer and self._fuses(run, node):
            mark: Literal["", "cached"] = "cached" if self._cached and not node.plan_usage.calls else ""
            reply = Reply(plan.answer, model=node.plan_model, mark=mark)
        elif parts:
            reply = await self._synthesize(run, node, parts)
        else:
            reply = await self._execute(run, node, reads)
        usage = run.claim(node.id)
        run.emit(
            Finished(
                at=run.clock(),
                node=node.id,
                content=reply.content,
                key=key,
                metadata=dict(reply.metadata),
                usage=usage,
                model=reply.model,
                mark=reply.mark if not usage.calls else "",
                reads={name: run.memory.digest(name) or "" for name in sorted(reads)},
            )
        )
        return reply.content

    def _fuses(self, run: Run, node: Node) -> bool:
        """Whether the answer that the planner gave beside its plan will do."""
        typed = run.output_type is not None and node.parent is None
        return self._team.fuses(node) and not run.memory and not typed

    async def _execute(self, run: Run, node: Node, reads: set[str]) -> Reply:
        run.require_solving(node.id)
        run.emit(Started(at=run.clock(), node=node.id))
        agent = self._team.agent(node)
        tools = {**self._team.tools_of(agent), **{tool.name: tool for tool in self._readers(run, agent, reads)}}
        request = self._briefs.for_worker(run, node, self._briefs.facts(run, node), tools.values())
        talk = Conversation(run, run.tree[node.id], agent.resolved, tools, self._retry, reads)
        return await self._fitting(run, node, request, talk.answer, talk.refuse)

    def _readers(self, run: Run, agent: Agent, reads: set[str]) -> tuple[Tool, ...]:
        """The tools to read references with; who cannot call tools is shown excerpts of all, and so has read all."""
        if not run.memory:
            return ()
        if agent.resolved.capabilities.tools:
            return run.memory.tools(reads.add)
        reads.update(reference.name for reference in run.memory)
        return ()

    async def _synthesize(self, run: Run, node: Node, parts: tuple[Part, ...]) -> Reply:
        run.emit(SynthesisStarted(at=run.clock(), node=node.id))
        request = self._briefs.for_synthesizer(self._briefs.facts(run, node, parts))

        def ask_once(request: Request) -> Awaitable[Reply]:
            return ask(run, node.id, self._team.synthesizer.resolved, request, self._retry)

        return self._with_sources(run, await self._fitting(run, node, request, ask_once))

    async def _fitting(
        self,
        run: Run,
        node: Node,
        request: Request,
        ask_once: Callable[[Request], Awaitable[Reply]],
        refuse: Callable[[Reply], None] = lambda reply: None,
    ) -> Reply:
        """A reply that is not empty, and at the root one that fits the output type: repaired where it does not.

        `refuse` is told each reply that did not fit, before the next is asked for.
        """
        if run.output_type is None or node.parent is not None:
            return _not_empty(node, await ask_once(request))
        request = replace(
            request,
            messages=with_instructions(request.messages, run.output_type.instructions),
            schema=run.output_type.schema,
        )
        for attempt in range(1, TYPE_ATTEMPTS + 1):
            reply = _not_empty(node, await ask_once(request))
            try:
                run.output_type.parse(reply.content)
            except Unfit as problem:
                if attempt == TYPE_ATTEMPTS:
                    raise _unfit(node, reply, problem) from problem
                refuse(reply)
                run.emit(Retried(at=run.clock(), node=node.id, reason=str(problem), usage=run.claim(node.id)))
                request = replace(request, messages=repair_messages(request.messages, reply.content, str(problem)))
            else:
                return reply
        raise AssertionError("unreachable: the loop returns or raises")

    def _with_sources(self, run: Run, reply: Reply) -> Reply:
        """The reply with the nodes that it refers to listed in its metadata, if it does."""
        sources = sources_in(reply.content, run.tree.__contains__)
        return replace(reply, metadata={**reply.metadata, "sources": sources}) if sources else reply

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


def _brought_to(run: Run, known: Node, node: Node, parts: tuple[Part, ...]) -> Node:
    """A recorded answer as it reads here: what it refers to may stand at another place now."""
    renamed = [*_renamed_parts(_tree_of(run, known), known, parts), (known.id, node.id)]
    text = moved(known.result or "", renamed) if parts else known.result
    if text == known.result:
        return known
    sources = sources_in(text or "", run.tree.__contains__)
    return replace(known, result=text, metadata={**known.metadata, "sources": sources})


def _tree_of(run: Run, known: Node) -> Tree | None:
    """The tree that a record is from, if it is still at hand."""
    trees = (run.recorded.tree, run.tree) if run.recorded is not None else (run.tree,)
    return next((tree for tree in trees if known.id in tree and tree[known.id].result_key == known.result_key), None)


def _renamed_parts(tree: Tree | None, known: Node, parts: tuple[Part, ...]) -> Iterator[tuple[str, str]]:
    """Which part was which; those that were put aside came before the ones that took their place."""
    before = tree.children(known.id) if tree is not None else []
    for part in reversed(parts):
        while before:
            child = before.pop()
            if child.task == part.task:
                yield child.id, part.id
                break


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


def _priced(budget: Budget, team: Team, prices: Prices) -> Budget:
    """The budget as it can be held: dollars need prices, and where there are none and that is to be ignored, they
    limit nothing."""
    if budget.usd is None:
        return budget
    models = {agent.resolved.name: agent.resolved for agent in (team.default, *team.agents.values())}
    unknown = sorted(name for name, model in models.items() if not prices.known(model))
    if budget.unknown_price == "ignore":
        costs = [model for name, model in models.items() if name not in unknown and not is_free(model)]
        return budget if costs else replace(budget, usd=None)
    if unknown:
        raise ConfigurationError(
            f"a budget of {budget.usd:g} dollars, but the price of {', '.join(unknown)} is not known; give "
            'prices={"NAME": (dollars per million tokens in, out)}, or Budget(unknown_price="ignore")'
        )
    return budget


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
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


def _unfit(node: Node, reply: Reply, problem: Unfit) -> PlanError:
    return PlanError(
        f"node {node.id}: {reply.model} gave no answer of the wanted type in {TYPE_ATTEMPTS} attempts: {problem}. "
        "Use a model that can reply in JSON, or a simpler output_type",
        node=node.id,
    )


def _not_empty(node: Node, reply: Reply) -> Reply:
    if not reply.content.strip():
        raise ModelError(
            f"node {node.id}: {reply.model} gave an empty answer; run again, or choose another model", node=node.id
        )
    return reply


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
