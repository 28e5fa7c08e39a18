"""The recursion, which exists once: plan a node, solve its sub-tasks, answer it.

Streaming, tools, checkpoints, budgets and replay are elsewhere: they are observers of the log, wrappers of the model,
or records that a node looks itself up in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from ..agent import DEFAULT_AGENT
from ..concurrency.threads import in_daemon_thread, read_beside
from ..core.changes import edited_task
from ..core.citations import placeless, sources_in
from ..core.edits import TASK_EDITED
from ..core.error_text import error_text
from ..core.events import Cancelled, Failed, Finished, NodeCreated, Retried
from ..core.finish_reason import ended_early
from ..core.keys import result_key
from ..core.node import ENDED, THOUGHTS
from ..core.plan import Execute, Program
from ..core.quotes import counted_quotes
from ..core.tree import Node
from ..exceptions import CheckpointError, ConfigurationError, ExecutionError, LimitError
from ..host.credentials import without_keys
from ..output_type import TypeMismatch
from ..ports.model import Message, Part, Reply, Request
from ..prompts import quote_repair_messages, repair_messages, with_instructions
from .code_loop import CodeLoop
from .errors import TYPE_ATTEMPTS, failed_parts, not_empty, reply_metadata, unfit, what_was_wrong, without_node
from .model_calls import call_model
from .planning import Planning
from .quoting import checked_quotes, described_quotes, first_quotes, missing_quotes, settled
from .replay import ROOT, program_parts, replay_program, replay_result, replay_tree, unchanged
from .requests import LLM_QUERY, EngineConfiguration, RequestBuilder
from .run import NodeSource, SolverRun
from .subtasks import SubTasks, end_node
from .tool_loop import ToolLoop, Transcript

__all__ = ["Recursion"]


class Recursion:
    """Solves the tasks of one engine's runs; holds no state of a run."""

    def __init__(self, configuration: EngineConfiguration) -> None:
        self._configuration = configuration
        self._team = configuration.team
        self._retry = configuration.options.retry
        self._requests = RequestBuilder(configuration)
        self._planning = Planning(configuration, self._requests)

    async def solve(self, run: SolverRun) -> str:
        """The answer to a run's task."""
        note = TASK_EDITED if edited_task(run.changes) else ""
        run.emit(NodeCreated(at=run.clock(), node=ROOT, parent=None, task=run.task, agent=DEFAULT_AGENT, note=note))
        if (known := unchanged(run, self.key(run, ROOT))) is not None:
            return replay_tree(run, known)
        if run.job.memory and not run.job.joins_only:
            # A source that cannot be read ends the run before its first call.
            try:
                await in_daemon_thread(partial(run.job.memory.load, seen=self._team.sees))
            except ConfigurationError as error:
                end_node(run, _failure(run, ROOT, error))
                raise
        return await self.node(run, ROOT)

    def prompt(self, run: NodeSource, node_id: str) -> tuple[Message, ...]:
        """The main prompt of a node, computed from the same facts as when it was sent."""
        return self._requests.prompt(run, run.tree[node_id])

    def key(self, run: NodeSource, node_id: str) -> str:
        """The plan key of a node."""
        node = run.tree[node_id]
        return self._requests.key(run, node, self._requests.facts(run, node))

    async def node(self, run: SolverRun, node_id: str) -> str:
        """The result of a node, which ends in a final state in any case."""
        try:
            if node_id in run.control.cancelled:
                raise asyncio.CancelledError
            children = SubTasks(run, node_id, self)
            try:
                draft = self._planning.draft(run, node_id)
                plan = draft.plan or await self._planning.from_planner(run, node_id, draft, children)
                alone = (
                    plan
                    if isinstance(plan, Execute)
                    else await self._planning.start_sub_tasks(run, node_id, draft, plan, children)
                )
                if isinstance(alone, Program):
                    return await self._program(run, run.tree[node_id])
                # The tree has the plan: this frame need not hold it while the sub-tasks run.
                del plan
                parts = self._parts(run, node_id, await children.outcomes()) if children else ()
                return await self._answer(run, run.tree[node_id], alone, parts)
            finally:
                if children:
                    await children.close()
        except asyncio.CancelledError:
            failing = run.failing.get(node_id)
            reason = f"its calls failed until then: {without_keys(failing)}" if failing else ""
            end_node(run, Cancelled(at=run.clock(), node=node_id, reason=reason))
            raise
        except LimitError as error:
            end_node(run, Cancelled(at=run.clock(), node=node_id, reason=error_text(error)))
            raise
        except CheckpointError:
            raise
        except Exception as error:
            end_node(run, _failure(run, node_id, error))
            raise
        finally:
            run.control.node_tasks.pop(node_id, None)

    def assigned(self, agent: str | None) -> tuple[str, str]:
        """The agent's name, and a note if the planner named one that does not exist."""
        return self._team.assigned(agent)

    def _parts(self, run: SolverRun, node_id: str, outcomes: Mapping[str, Part | Exception]) -> tuple[Part, ...]:
        """The results to synthesise. Raises the error of the node where failed sub-tasks do not allow that."""
        failed = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
        joins_only = run.job.joins_only
        for error in failed:
            if isinstance(error, LimitError) and not joins_only:
                raise error
        strict = self._configuration.options.on_failure == "raise" and not joins_only
        if failed and (strict or len(failed) == len(outcomes)):
            raise failed_parts(node_id, failed, len(outcomes))
        return tuple(
            outcome
            if isinstance(outcome, Part)
            else Part(child, run.tree[child].task, f"(missing: {without_node(outcome)})")
            for child, outcome in outcomes.items()
        )

    async def _answer(self, run: SolverRun, node: Node, execute: Execute | None, parts: tuple[Part, ...]) -> str:
        joined = [(part.task, placeless(part.content, part.id)) for part in parts]
        key = result_key(node.plan_key, "EXECUTE" if execute is not None else "RECURSE", joined)
        if (known := run.recorded_state.result(key, node.id)) is not None:
            return replay_result(run, known, node, parts)
        reads: set[str] = set()
        # The answer that the planner gave with its plan.
        typed = run.job.output_type is not None and node.parent is None
        inline = execute.answer if execute is not None and not run.job.memory and not typed else None
        if inline and self._team.answers_inline(node):
            mark: Literal["", "cached"] = "cached" if self._configuration.cached and not node.plan_usage.calls else ""
            beside = node.plan or {}
            ended, thoughts = str(beside.get(ENDED) or "stop"), str(beside.get(THOUGHTS) or "")
            reply = Reply(inline, model=node.plan_model, mark=mark, finish_reason=ended, reasoning=thoughts)
            reply = settled(run, node, reply, await checked_quotes(run, node, reply))
        elif parts:
            reply = await self._synthesize(run, node, parts)
        else:
            reply = await self._execute(run, node, reads)
        return self._finish(run, node, reply, key, reads)

    def _finish(self, run: SolverRun, node: Node, reply: Reply, key: str, reads: set[str]) -> str:
        usage = run.claim(node.id)
        run.emit(
            Finished(
                at=run.clock(),
                node=node.id,
                content=reply.content,
                key=key,
                metadata={**reply.metadata, **reply_metadata(reply)},
                usage=usage,
                model=reply.model,
                mark=reply.mark if not usage.calls else "",
                reads={name: run.job.memory.digest(name) or "" for name in sorted(reads)},
            )
        )
        return reply.content

    async def _program(self, run: SolverRun, node: Node) -> str:
        """The answer of a code node: the recorded one if nothing below it has changed, else that of its cells."""
        known, changed = self._requests.stopped(run, node)
        if known is not None and (answer := replay_program(run, known, node)) is not None:
            return answer
        from_record = run.job.joins_only and known is not None and bool(known.cells)
        if not from_record:
            run.require_solving(node.id)
        options, output_type = self._configuration.code, run.job.output_type if node.parent is None else None
        assert options is not None, "only an engine with code has code nodes"

        async def check(text: str) -> None:
            if output_type is not None:
                await read_beside(output_type.parse, text)

        def call(request: Request) -> Awaitable[Reply]:
            return call_model(run, node.id, self._team.coder.resolved, request, self._retry)

        loop = CodeLoop(
            run,
            node.id,
            solver=self,
            requests=self._requests,
            options=options,
            coder=self._team.coder.resolved,
            tools=self._team.tools_of(self._team.agent(node)),
            retry=self._retry,
            on_limit=self._configuration.options.on_limit,
            known=known,
            changed=changed,
            check=check,
            extract=lambda request: self._fitting(run, node, request, call),
        )
        reply = await (loop.from_record() if from_record else loop.answer())
        reply = settled(run, node, reply, await checked_quotes(run, node, reply))
        key = result_key(node.plan_key, "PROGRAM", program_parts(run.tree, node.id))
        return self._finish(run, node, reply, key, {reference.name for reference in run.job.memory})

    async def _execute(self, run: SolverRun, node: Node, reads: set[str]) -> Reply:
        run.require_solving(node.id)
        agent, memory = self._team.agent(node), run.job.memory
        able = agent.resolved.capabilities
        tools = self._team.tools_of(agent) if node.query != LLM_QUERY else {}
        if memory and node.query != LLM_QUERY:
            # A model without tools is sent excerpts of all references, and one that sees images is shown those.
            if not able.tools:
                reads.update(reference.name for reference in memory)
            else:
                reads.update(memory.shown if able.images else ())
                tools |= {tool.name: tool for tool in memory.tools(reads.add, sees=able.images)}
        make = partial(self._requests.for_worker, run, node, self._requests.facts(run, node), tools.values())
        # Pages are drawn beside the event loop.
        request = await in_daemon_thread(make) if memory and able.images else make()
        stopped, changed = self._requests.stopped(run, run.tree[node.id])
        transcript = Transcript(stopped, memory, run.limits.max_tool_rounds, tools, changed)
        loop = ToolLoop(run, node.id, agent.resolved, tools, self._retry, reads, transcript)
        return await self._quoting(run, node, request, loop.answer, loop.record_rejected)

    async def _synthesize(self, run: SolverRun, node: Node, parts: tuple[Part, ...]) -> Reply:
        """The synthesis, with the nodes that it cites listed in its metadata."""
        request = self._requests.for_synthesizer(run, self._requests.facts(run, node, parts))

        def call(request: Request) -> Awaitable[Reply]:
            return call_model(run, node.id, self._team.synthesizer.resolved, request, self._retry)

        reply = await self._quoting(run, node, request, call)
        sources = sources_in(reply.content, run.tree.__contains__)
        return replace(reply, metadata={**reply.metadata, "sources": sources}) if sources else reply

    async def _quoting(
        self,
        run: SolverRun,
        node: Node,
        request: Request,
        call: Callable[[Request], Awaitable[Reply]],
        on_rejected: Callable[[Reply], None] = lambda reply: None,
    ) -> Reply:
        """A fitting reply with the state of each of its quotes.

        One with quotes that the sources do not have is sent back for repair once, after `on_rejected(reply)`. Raises
        as `_fitting` does, and `ExecutionError` where the quotes are required to be there.
        """
        reply = await self._fitting(run, node, request, call, on_rejected)
        checked = await checked_quotes(run, node, reply)
        if missing := missing_quotes(checked):
            on_rejected(reply)
            reason = f"{counted_quotes(missing)}: {first_quotes(missing)}"
            run.emit(Retried(at=run.clock(), node=node.id, reason=reason, usage=run.claim(node.id)))
            messages = quote_repair_messages(request.messages, reply.content, described_quotes(missing))
            reply = await self._fitting(run, node, replace(request, messages=messages), call, on_rejected)
            checked = await checked_quotes(run, node, reply)
        return settled(run, node, reply, checked)

    async def _fitting(
        self,
        run: SolverRun,
        node: Node,
        request: Request,
        call: Callable[[Request], Awaitable[Reply]],
        on_rejected: Callable[[Reply], None] = lambda reply: None,
    ) -> Reply:
        """A reply that is not empty and, at the root, fits the output type.

        One that does not fit is sent back for repair, after `on_rejected(reply)`. Raises `ModelError`, `PlanError`.
        """
        if run.job.output_type is None or node.parent is not None:
            return not_empty(node, await call(request))
        request = replace(
            request,
            messages=with_instructions(request.messages, run.job.output_type.instructions),
            schema=run.job.output_type.schema,
        )
        for attempt in range(1, TYPE_ATTEMPTS + 1):
            reply = not_empty(node, await call(request))
            try:
                ended = ended_early(reply.finish_reason, reply.metadata)
                await read_beside(partial(run.job.output_type.parse, cut_off=bool(ended)), reply.content)
            except TypeMismatch as problem:
                if attempt == TYPE_ATTEMPTS:
                    raise unfit(node, reply, problem) from problem
                on_rejected(reply)
                wrong = what_was_wrong(reply, problem)
                run.emit(Retried(at=run.clock(), node=node.id, reason=wrong, usage=run.claim(node.id)))
                request = replace(request, messages=repair_messages(request.messages, reply.content, wrong))
            else:
                return reply
        raise AssertionError("unreachable: the loop returns or raises")


def _failure(run: SolverRun, node_id: str, error: Exception) -> Failed:
    """The failure of a node. A run that only synthesises solves no failed node again, and leaves each its error."""
    unsolved = run.job.joins_only and type(error) is ExecutionError
    before = run.recorded_state.failure_at(run.tree[node_id], run.tree) if unsolved else None
    if before is not None:
        text, kind = before.error or "", before.error_kind
        return Failed(at=run.clock(), node=node_id, error=text, kind=kind, text=before.partial)
    return Failed(at=run.clock(), node=node_id, error=without_keys(error_text(error)), kind=type(error).__name__)
