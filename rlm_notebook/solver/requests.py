"""From a node to its requests: facts, messages, content key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from ..agent import Agent
from ..core.citations import placeless
from ..core.keys import digest, plan_key
from ..core.plan import PLAN_SCHEMA, PLAN_SCHEMA_WITH_CODE, Recurse, plan_from_json
from ..core.secret_parameters import secret_parameters
from ..core.tree import Node, NodeState, Rejection
from ..ports.model import Message, Mode, NodeFacts, Part, Request
from ..prompts import (
    ancestors_shown,
    as_text_message,
    coder_messages,
    coder_system_prompt,
    planner_messages,
    planner_system_prompt,
    query_messages,
    rejection_messages,
    synthesizer_messages,
    with_images,
    worker_messages,
)
from ..sandbox.options import CodeSandbox, lacks_of
from ..tools import Tool
from .run import Configuration, NodeSource, References, SolverRun

__all__ = ["LLM_QUERY", "EngineConfiguration", "RequestBuilder", "code_variables", "offered_tools"]

#: The query of nodes that are one call of a worker.
LLM_QUERY = "llm_query"


def offered_tools(tools: Mapping[str, Tool]) -> dict[str, Tool]:
    """The tools that are functions in cells. Not those with secret arguments: a cell is recorded as it is written."""
    return {
        name: tool for name, tool in tools.items() if not secret_parameters(tool.parameters) and name.isidentifier()
    }


def code_variables(memory: References) -> list[str]:
    """The variables of a code node's session, a line each; without any, the task's text is one."""
    return memory.code_described or ["context: str, the text of the task"]


class Team(Protocol):
    """The agents of an engine by role."""

    @property
    def planner(self) -> Agent: ...
    @property
    def synthesizer(self) -> Agent: ...
    @property
    def coder(self) -> Agent: ...
    @property
    def tools(self) -> tuple[Tool, ...]: ...
    @cached_property
    def offered(self) -> dict[str, str]: ...
    @property
    def sees(self) -> bool: ...
    @cached_property
    def fingerprint(self) -> str: ...
    def agent(self, node: Node) -> Agent: ...
    def assigned(self, name: str | None) -> tuple[str, str]: ...
    def tools_of(self, agent: Agent) -> dict[str, Tool]: ...
    def answers_inline(self, node: Node) -> bool: ...
    def recorded_as(self, agent: Agent, settings: Mapping[str, Any]) -> tuple[str, str, frozenset[str]]: ...


class EngineConfiguration(Configuration, Protocol):
    """What the solver of an engine is made from, beside what the runs read."""

    @property
    def team(self) -> Team: ...
    @property
    def code(self) -> CodeSandbox | None: ...
    def quoting(self, memory: References) -> str: ...


class RequestBuilder:
    """Builds the requests of one engine's nodes."""

    def __init__(self, configuration: EngineConfiguration) -> None:
        team, code = configuration.team, configuration.code
        self._team = team
        self._quoting = configuration.quoting
        self._deadline = configuration.options.call_timeout
        self._code = code
        tools = [tool.name for tool in team.tools]
        self._system_prompt = planner_system_prompt(
            team.offered, tools, team.planner.instructions, code=code is not None
        )

    def facts(self, run: NodeSource, node: Node, parts: tuple[Part, ...] = ()) -> NodeFacts:
        """What a prompt of this node is built from; `parts` are the results to synthesise."""
        above = run.tree.tasks_above(node.id)
        context, memory = run.job.context, run.job.memory
        # A sub-query sees its prompt and nothing else.
        described = tuple(memory.described) if memory and node.query != LLM_QUERY else ()
        breadcrumbs = (*context.breadcrumbs, *above) if context is not None else above
        return NodeFacts(
            task=node.task,
            task_id=node.id,
            depth=node.depth,
            goal=breadcrumbs[0] if breadcrumbs else node.task,
            breadcrumbs=breadcrumbs,
            agent=node.agent,
            parts=parts,
            dependencies=tuple(
                Part(each.id, each.task, each.result or "") for each in map(run.tree.__getitem__, node.depends_on)
            )
            if node.depends_on
            else (),
            references=described,
        )

    def key(self, run: NodeSource, node: Node, facts: NodeFacts) -> str:
        return self._key(run, node, facts, self._team.agent(node).identity, self._team.fingerprint)

    def stopped(self, run: SolverRun, node: Node) -> tuple[Node | None, frozenset[str]]:
        """The record of this node from an execution that was interrupted in its tool loop, and the tools that have
        changed since.

        Requests do not contain versions of tools. So the recorded replies are valid although a tool has changed, and
        so are the results of the other tools, which must not be called again: they may not be idempotent.
        """
        records = run.recorded_state.records.stopped
        if (
            (same := records.get(node.plan_key, node.id)) is not None
            or not records
            or run.recorded_state.recorded is None
        ):
            return same, frozenset()
        settings = run.recorded_state.recorded.tree.settings
        agent, fingerprint, changed = self._team.recorded_as(self._team.agent(node), settings)
        key = self._key(run, node, self.facts(run, node), agent, fingerprint)
        return records.get(key, node.id), changed

    def _key(self, run: NodeSource, node: Node, facts: NodeFacts, agent: str, fingerprint: str) -> str:
        return plan_key(
            task=node.task,
            ancestors=ancestors_shown(facts.breadcrumbs),
            dependencies=[placeless(part.content, part.id) for part in facts.dependencies],
            agent=agent,
            surroundings=self._surroundings(run, node, fingerprint),
        )

    def _surroundings(self, run: NodeSource, node: Node, fingerprint: str) -> str:
        """What else enters the requests of a node: the team, the descriptions of references, at the root the type."""
        job = run.job
        if self._code is not None:
            # Prompts of planners and of code nodes differ from those of an engine without code.
            fingerprint = digest([fingerprint, "code", self._code.when])
        quoting = [quotes] if (quotes := self._quoting(job.memory)) else []
        if node.query == LLM_QUERY:
            return digest([fingerprint, LLM_QUERY, node.repeat, *quoting])
        if node.repeat:
            fingerprint = digest([fingerprint, "repeat", node.repeat])
        output_type = job.output_type.digest if job.output_type is not None and node.parent is None else ""
        if not output_type and not job.memory:
            return fingerprint
        # Prompts contain the name, kind and size of references. The content matters only to nodes that read it.
        references = [reference.identity for reference in job.memory]
        return digest([fingerprint, references, output_type, *quoting])

    def for_planner(self, facts: NodeFacts, rejected: Sequence[Rejection] = (), *, streaming: bool = True) -> Request:
        """The request for a plan; `rejected` are the node's plans that the user rejected. With `streaming`, the model
        streams it if it can."""
        messages = planner_messages(facts, self._system_prompt)
        if rejected:
            messages = rejection_messages(messages, [(_as_planners_write(each.plan), each.reason) for each in rejected])
        schema = PLAN_SCHEMA if self._code is None else PLAN_SCHEMA_WITH_CODE
        return self._request("planner", messages, facts, self._team.planner, schema=schema, streaming=streaming)

    def for_coder(self, run: NodeSource, facts: NodeFacts, lacks: str) -> Request:
        """The first request of a code node; `lacks` is what its sandbox has and has not."""
        coder, worker = self._team.coder, self._team.agent(run.tree[facts.task_id])
        tools = [tool.schema for tool in offered_tools(self._team.tools_of(worker)).values()]
        quoting = bool(self._quoting(run.job.memory))
        system_prompt = coder_system_prompt(lacks, tools, coder.instructions, quoting=quoting)
        messages = coder_messages(facts, system_prompt, code_variables(run.job.memory))
        return self._request("coder", messages, facts, coder)

    def for_worker(self, run: NodeSource, node: Node, facts: NodeFacts, tools: Iterable[Tool] = ()) -> Request:
        agent, quoting = self._team.agent(node), bool(self._quoting(run.job.memory))
        if node.query == LLM_QUERY:
            messages = query_messages(node.task, agent.instructions, quoting=quoting)
            return self._request("worker", messages, facts, agent)
        able = agent.resolved.capabilities
        if run.job.memory and able.whole_references:
            facts = replace(facts, texts=tuple(run.job.memory.whole()))
        elif run.job.memory and not able.tools:
            facts = replace(facts, excerpts=run.job.memory.excerpts())
        messages = worker_messages(facts, agent.instructions, quoting=quoting)
        if run.job.memory and able.images:
            memory = run.job.memory
            messages = with_images(messages, memory.shown.values() if able.tools else memory.all_shown())
        return self._request("worker", messages, facts, agent, tools=tuple(tool.schema for tool in tools))

    def for_synthesizer(self, run: NodeSource, facts: NodeFacts) -> Request:
        agent = self._team.synthesizer
        messages = synthesizer_messages(facts, agent.instructions, quoting=bool(self._quoting(run.job.memory)))
        return self._request("synthesizer", messages, facts, agent)

    def prompt(self, run: NodeSource, node: Node) -> tuple[Message, ...]:
        """The main prompt of a node as text, computed from the same facts as when it was sent."""
        return tuple(map(as_text_message, self._prompt(run, node)))

    def _prompt(self, run: NodeSource, node: Node) -> tuple[Message, ...]:
        if node.decision == "RECURSE" and node.state in (NodeState.SYNTHESIZING, NodeState.DONE):
            living = [child for child in run.tree.children(node.id) if child.state is not NodeState.SUPERSEDED]
            parts = tuple(Part(child.id, child.task, child.result or "") for child in living)
            return self.for_synthesizer(run, self.facts(run, node, parts)).messages
        facts = self.facts(run, node)
        if node.decision == "PROGRAM" and self._code is not None:
            return self.for_coder(run, facts, lacks_of(self._code)).messages
        planned_answer = (node.plan or {}).get("answer")
        if any(phase.kind == "execute" for phase in node.phases) and not (
            node.result and node.result == planned_answer
        ):
            return self.for_worker(run, node, facts).messages
        return self.for_planner(facts, node.rejected).messages

    def _request(
        self,
        mode: Mode,
        messages: tuple[Message, ...],
        facts: NodeFacts,
        agent: Agent,
        *,
        schema: dict[str, Any] | None = None,
        tools: tuple[dict[str, Any], ...] = (),
        streaming: bool = True,
    ) -> Request:
        return Request(
            mode=mode,
            messages=messages,
            facts=facts,
            tools=tools,
            schema=schema,
            temperature=agent.temperature,
            deadline=self._deadline,
            streaming=streaming and agent.resolved.capabilities.stream,
        )


def _as_planners_write(recorded: dict[str, Any]) -> str:
    """A recorded plan as JSON, with the names that the planner's prompt asks for."""
    plan = plan_from_json(recorded)
    sub_tasks = [
        {"description": each.task, "assigned_agent": each.agent, "depends_on": list(each.depends_on)}
        for each in (plan.sub_tasks if isinstance(plan, Recurse) else ())
    ]
    written = {"thoughts": plan.thoughts, "decision": plan.decision, "sub_tasks": sub_tasks}
    return json.dumps(written, ensure_ascii=False)
