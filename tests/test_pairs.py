"""Any two features in one run: the answer comes out, and what each of the two promises still holds."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rlm_notebook import Agent, AsyncRecursiveEngine, Budget, ModelError, RetryPolicy, ScriptedModel
from rlm_notebook.caches.memory import MemoryCache
from rlm_notebook.core.events import Event, Retried, Token
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Capabilities, Request


class Joined(BaseModel):
    parts: list[str]


def look(where: str) -> str:
    """Look somewhere."""
    return f"saw {where}"


@dataclass
class Setup:
    """One run as its features make it: what the engine and `solve` get, and what is checked afterwards."""

    path: Path
    engine: dict[str, Any] = field(default_factory=dict)
    solve: dict[str, Any] = field(default_factory=dict)
    streaming: bool = False
    faults: list[Fault] = field(default_factory=list)
    uses_tools: bool = False
    reads: bool = False
    depends: bool = False
    agents: bool = False
    typed: bool = False
    approves: bool = False
    deep: bool = False
    events: list[Event] = field(default_factory=list)
    checks: list[Callable[[Any, "Setup"], None]] = field(default_factory=list)
    model: Any = None
    writer: Any = None

    def script(self, request: Request) -> Any:
        task = request.facts.task
        if request.mode == "planner":
            if task == "root":
                b = {"description": "b", "depends_on": [0]} if self.depends else {"description": "b"}
                c = {"description": "c", "assigned_agent": "writer" if self.agents else None}
                return {"decision": "RECURSE", "sub_tasks": ["a", b, c]}
            return {"decision": "RECURSE", "sub_tasks": ["c1", "c2"]} if task == "c" and self.deep else None
        if request.mode == "synthesizer":
            texts = [part.content for part in request.facts.parts]
            if self.typed and task == "root":
                return Joined(parts=texts).model_dump_json()
            return ", ".join(texts)
        seen = [message["content"] for message in request.messages if message["role"] == "tool"]
        wanted = ([("look", {"where": "there"})] if self.uses_tools else []) + (
            [("read_reference", {"name": "note"})] if self.reads else []
        )
        if task == "a" and len(seen) < len(wanted):
            name, arguments = wanted[len(seen)]
            return {"tool_calls": [{"name": name, "arguments": arguments}]}
        return None


async def solved(setup: Setup, **changes: Any) -> Any:
    stream = Capabilities(True, True, True, setup.streaming, True)
    setup.model = setup.model or ScriptedModel(setup.script, faults=setup.faults, capabilities=stream, chunk=7)
    setup.writer = setup.writer or ScriptedModel(setup.script, name="writer", capabilities=stream, chunk=7)
    options = {"retry": RetryPolicy(attempts=3, initial=0), "observers": [setup.events.append], **setup.engine}
    if setup.agents:
        options["agents"] = {"planner": setup.model, "writer": Agent("writer", setup.writer, instructions="Be brief.")}
    run = AsyncRecursiveEngine(setup.model, **options).start("root", **{**setup.solve, **changes})
    while not run.ended:
        for node in list(run.awaiting):
            run.approve(node)
        await asyncio.sleep(0.0005)
    return await run


def retries(setup: Setup) -> None:
    setup.faults.append(Fault("^b$", error=ModelError("busy", status=503, retryable=True), times=1))

    def check(output: Any, setup: Setup) -> None:
        assert [e.node for e in setup.events if isinstance(e, Retried)][:1] == ["0.1"]

    setup.checks.append(check)


def tools(setup: Setup) -> None:
    setup.engine["tools"] = [look]
    setup.uses_tools = True

    def check(output: Any, setup: Setup) -> None:
        uses = output.run.tree["0.0"].tool_calls
        assert ("look", "saw there", True) in [(use.name, use.content, use.ok) for use in uses]

    setup.checks.append(check)


def streams(setup: Setup) -> None:
    setup.streaming = True

    def check(output: Any, setup: Setup) -> None:
        told = "".join(e.text for e in setup.events if isinstance(e, Token) and e.node == "0")
        assert told == output.content

    setup.checks.append(check)


def journal(setup: Setup) -> None:
    setup.solve["checkpoint"] = setup.path

    def check(output: Any, setup: Setup) -> None:
        assert setup.path.exists()

    setup.checks.append(check)


def cache(setup: Setup) -> None:
    setup.engine["cache"] = True


def executes_at_limit(setup: Setup) -> None:
    setup.deep = True
    setup.engine.update(max_depth=2)

    def check(output: Any, setup: Setup) -> None:
        assert (output.run.tree["0.2"].limited, len(output.run.tree)) == ("max_depth", 4)

    setup.checks.append(check)


def raises_at_limit(setup: Setup) -> None:
    setup.engine.update(on_limit="raise", max_depth=2, max_steps=4)

    def check(output: Any, setup: Setup) -> None:
        assert not output.metadata["limited"], "a limit that is not reached changes nothing"

    setup.checks.append(check)


def budget(setup: Setup) -> None:
    setup.engine["budget"] = Budget(usd=1, tokens=100_000, calls=40, seconds=60)

    def check(output: Any, setup: Setup) -> None:
        assert output.usage.calls == sum(node.usage.calls for node in output.run.tree) <= 40
        assert output.usage.total_tokens == sum(node.usage.total_tokens for node in output.run.tree)

    setup.checks.append(check)


def types(setup: Setup) -> None:
    setup.typed = True
    setup.solve["output_type"] = Joined

    def check(output: Any, setup: Setup) -> None:
        assert output.parsed == Joined(parts=["answer to: a", "answer to: b", "answer to: c"])

    setup.checks.append(check)


def approval(setup: Setup) -> None:
    setup.engine["approve"] = True
    setup.approves = True

    def check(output: Any, setup: Setup) -> None:
        planned = [type(event).__name__ for event in setup.events if event.node == "0"].index("Planned")
        created = [index for index, event in enumerate(setup.events) if event.node.startswith("0.")]
        assert created[0] > planned

    setup.checks.append(check)


def dependencies(setup: Setup) -> None:
    setup.depends = True

    def check(output: Any, setup: Setup) -> None:
        order = [(type(event).__name__, event.node) for event in setup.events]
        begun = min(
            order.index((kind, "0.1")) for kind in ("PlanStarted", "Started", "Planned") if (kind, "0.1") in order
        )
        assert order.index(("Finished", "0.0")) < begun

    setup.checks.append(check)


def agents(setup: Setup) -> None:
    setup.agents = True

    def check(output: Any, setup: Setup) -> None:
        assert (output.run.tree["0.2"].agent, output.run.tree["0.2"].model) == ("writer", "writer")

    setup.checks.append(check)


def references(setup: Setup) -> None:
    setup.reads = True
    setup.solve["variables"] = {"note": "the key is under the mat", "long": "x" * 100_000}

    def check(output: Any, setup: Setup) -> None:
        assert list(output.run.tree["0.0"].reads) == ["note"]
        assert max(len(m["content"]) for r in setup.model.requests for m in r.messages) < 16_000

    setup.checks.append(check)


FEATURES = [
    tools,
    streams,
    journal,
    cache,
    retries,
    executes_at_limit,
    raises_at_limit,
    budget,
    types,
    approval,
    dependencies,
    agents,
    references,
]
#: Two settings of one option.
PAIRS = [pair for pair in itertools.combinations(FEATURES, 2) if set(pair) != {executes_at_limit, raises_at_limit}]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: " + ".join(feature.__name__ for feature in pair))
async def test_any_two_features_hold_together(pair: tuple[Callable[[Setup], None], ...], tmp_path: Path) -> None:
    setup = Setup(tmp_path / "run.json")
    for feature in pair:
        feature(setup)
    output = await solved(setup)

    if not setup.typed:
        assert output.content == "answer to: a, answer to: b, answer to: c"
    for check in setup.checks:
        check(output, setup)
    assert {str(node.state) for node in output.run.tree} == {"done"}
    assert asyncio.all_tasks() == {asyncio.current_task()}

    # What was done is found again.
    calls = setup.model.calls + setup.writer.calls
    if journal in pair:
        for mode in ("resume", "replay"):
            again = await solved(setup, mode=mode)
            assert (again.content, again.parsed) == (output.content, output.parsed)
        assert setup.model.calls + setup.writer.calls == calls


@pytest.mark.parametrize("other", [f for f in FEATURES if f is not cache], ids=lambda f: f.__name__)
async def test_with_a_cache_a_second_run_asks_nobody_and_says_the_same(other: Any, tmp_path: Path) -> None:
    setup = Setup(tmp_path / "run.json")
    other(setup)
    setup.engine["cache"] = MemoryCache()
    first = await solved(setup)
    calls = setup.model.calls + setup.writer.calls
    setup.solve.pop("checkpoint", None)
    setup.events.clear()
    again = await solved(setup)

    assert (again.content, again.parsed) == (first.content, first.parsed)
    assert setup.model.calls + setup.writer.calls == calls
    assert again.metadata["calls"] == 0
    assert {node.mark for node in again.run.tree} == {"cached"}


def test_all_pairs_are_there() -> None:
    assert len(PAIRS) == len(FEATURES) * (len(FEATURES) - 1) // 2 - 1
