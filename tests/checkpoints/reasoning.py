"""A small world of reasoning whose dependencies are known: what every node of a random tree is given, and says of it.

`Thinker` is the model of it. `World.evaluate` says, without any of the code that is tested, what each call is given:
so which calls a changed world needs is known before the engine is asked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel, tool
from rlm_notebook.ports import Reply, Request, ToolCall

#: What a call is given: its stage, its task, and all that enters it.
Call = tuple[Any, ...]


@dataclass(frozen=True)
class Thought:
    """One node: `after` are earlier siblings that it waits for, `reads` variables, `coarse` answers come in two kinds
    only, so that another input may give the same."""

    task: str
    parts: tuple[Thought, ...] = ()
    after: tuple[int, ...] = ()
    reads: tuple[str, ...] = ()
    uses_tool: bool = False
    coarse: bool = False

    def walk(self) -> Iterator[Thought]:
        yield self
        for part in self.parts:
            yield from part.walk()


def random_thought(choose: random.Random, names: list[str], task: str = "t", depth: int = 0) -> Thought:
    count = choose.choice([0, 2, 3]) if 0 < depth < 3 else 3 * (depth == 0)
    parts = tuple(
        replace(
            random_thought(choose, names, f"{task}.{at}", depth + 1),
            after=tuple(sorted(choose.sample(range(at), min(at, choose.choice([0, 0, 1, 2]))))),
        )
        for at in range(count)
    )
    reads = tuple(name for name in names if not parts and choose.random() < 0.4)
    return Thought(task, parts, (), reads, not parts and choose.random() < 0.3, choose.random() < 0.4)


def said(thought: Thought, given: Iterable[str]) -> str:
    """The answer of a node; of a coarse one only whether the sum of what it was given is odd."""
    whole = sha256("|".join([thought.task, *given]).encode()).hexdigest()
    return f"kind {int(whole, 16) % 2}" if thought.coarse else f"{thought.task} says {whole[:8]}"


@dataclass
class World:
    """`fixed` are results, `planned` tasks whose plans were given by hand."""

    root: Thought
    variables: dict[str, str]
    tool_version: str = "1"
    fixed: dict[str, str] = field(default_factory=dict)
    planned: set[str] = field(default_factory=set)

    def evaluate(self) -> tuple[str, set[Call]]:
        """The answer, and all calls that it takes."""
        calls: set[Call] = set()
        return self._solve(self.root, (), (), calls), calls

    def _solve(self, node: Thought, above: tuple[str, ...], before: tuple[str, ...], calls: set[Call]) -> str:
        surroundings = (self.tool_version, tuple(self.variables))
        asked = (node.task, above, before, surroundings)
        if node.task not in self.planned:
            calls.add(("planner", node.task, *asked))
        results: list[str] = []
        for part in node.parts:
            results.append(self._solve(part, (*above, node.task), tuple(results[at] for at in part.after), calls))
        if node.task in self.fixed:
            return self.fixed[node.task]
        if node.parts:
            told = tuple(zip((part.task for part in node.parts), results, strict=True))
            calls.add(("synthesizer", node.task, *asked, told))
            return said(node, results)
        read = tuple(self.variables[name] for name in node.reads)
        calls.add(("worker", node.task, *asked, tuple(zip(node.reads, read, strict=True))))
        made = [f"{node.task}!{self.tool_version}"] if node.uses_tool else []
        return said(node, [*before, *read, *made])


def stages(calls: Iterable[Call]) -> Counter[tuple[str, str]]:
    return Counter((call[0], call[1]) for call in calls)


class Thinker:
    """A world's model, tools and engine, and the calls that were made since one last looked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.model = ScriptedModel(self._reply)
        self.tools_called: list[str] = []
        self._seen = 0

    def engine(self, **options: Any) -> AsyncRecursiveEngine:
        version = self.world.tool_version

        @tool(version=version)
        def make(piece: str) -> str:
            """Make a piece."""
            self.tools_called.append(piece)
            return f"{piece}!{version}"

        return AsyncRecursiveEngine(self.model, tools=[make], max_steps=500, retry=None, **options)

    def _reply(self, request: Request) -> Any:
        facts = request.facts
        thought = next(each for each in self.world.root.walk() if each.task == facts.task)
        if request.mode == "planner":
            parts = [{"task": part.task, "depends_on": list(part.after)} for part in thought.parts]
            return {"decision": "RECURSE", "sub_tasks": parts} if parts else {"decision": "EXECUTE"}
        if request.mode == "synthesizer":
            return said(thought, [part.content for part in facts.parts])
        wanted = [ToolCall(f"r{name}", "read_reference", {"name": name}) for name in thought.reads]
        wanted += [ToolCall("make", "make", {"piece": thought.task})] if thought.uses_tool else []
        told = [m["content"] for m in request.messages if m["role"] == "tool"]
        if len(told) < len(wanted):
            # Variables one after the other, so that a loop has several rounds.
            return Reply("", (wanted[len(told)],))
        values = [text.split("]\n", 1)[1] if text.startswith("[") else text for text in told]
        return said(thought, [*(part.content for part in facts.dependencies), *values])

    def made(self) -> Counter[tuple[str, str]]:
        """(stage, task) of the calls since one last looked; the rounds of a worker are one."""
        new = self.model.requests[self._seen :]
        self._seen = len(self.model.requests)
        return Counter(
            (request.mode, request.facts.task)
            for request in new
            if not any(message["role"] == "tool" for message in request.messages)
        )
