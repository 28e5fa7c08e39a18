"""Interrupted tool loops: the next run resumes after the last call that had ended."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from rlm_notebook import AsyncRecursiveEngine, ModelError, Run, ScriptedModel, ToolError, tool
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.ports import Reply, Request, ToolCall


class Workshop:
    """An engine whose model calls tools round by round, with its requests and calls recorded."""

    def __init__(self, rounds: list[list[str]], **options: Any) -> None:
        self.rounds = rounds
        self.called: list[str] = []
        self.asked: list[int] = []
        #: Calls that do not come back, and rounds whose reply does not come.
        self.hangs: set[str] = set()
        self.fails_at: int | None = None
        self.engine = AsyncRecursiveEngine(ScriptedModel(self._reply), tools=[self._tool()], retry=None, **options)

    def _reply(self, request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        told = [m["content"] for m in request.messages if m["role"] == "tool"]
        at = sum(m["role"] == "assistant" for m in request.messages)
        self.asked.append(at)
        if at == self.fails_at:
            raise ModelError("no line")
        if at < len(self.rounds):
            calls = tuple(ToolCall(f"c{n}", "work", {"piece": p}) for n, p in enumerate(self.rounds[at]))
            return Reply(f"round {at}", calls)
        return " ".join(told)

    def _tool(self) -> Any:
        @tool(version="1")
        async def work(piece: str) -> str:
            """Work on a piece."""
            self.called.append(piece)
            if piece in self.hangs:
                await asyncio.Event().wait()
            return piece.upper()

        return work

    async def run(self, journal: Any, stop_when_called: int | None = None) -> Run:
        run = self.engine.start("make it", checkpoint=journal)
        if stop_when_called is not None:
            while len(self.called) < stop_when_called:  # noqa: ASYNC110 - tools tell nobody when they begin
                await asyncio.sleep(0)
            # What returned at once is told in the next steps of the loop.
            for _ in range(10):
                await asyncio.sleep(0)
            await run.cancel()
        with contextlib.suppress(asyncio.CancelledError, ModelError, ToolError):
            await run
        return run

    def new(self) -> tuple[list[int], list[str]]:
        """The rounds asked for and the pieces worked on since one last looked."""
        made = (self.asked[:], sorted(self.called))
        self.asked.clear()
        self.called.clear()
        return made


ROUNDS = [["a"], ["b", "c", "d"], ["e"]]


@pytest.fixture(params=["memory", "file"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryJournal() if request.param == "memory" else tmp_path / "run.json"


async def test_calls_that_had_ended_are_not_made_again_and_those_that_had_not_are(journal: Any) -> None:
    shop = Workshop(ROUNDS)
    shop.hangs = {"c"}
    await shop.run(journal, stop_when_called=4)
    assert shop.new() == ([0, 1], ["a", "b", "c", "d"])

    shop.hangs.clear()
    run = await shop.run(journal)
    assert shop.new() == ([2, 3], ["c", "e"])
    assert str(run.output) == "A B C D E"
    assert [use.arguments["piece"] for use in run.tree["0"].tool_calls] == ["a", "b", "c", "d", "e"]


async def test_usage_is_counted_once(journal: Any) -> None:
    whole = await Workshop(ROUNDS).run(None)
    shop = Workshop(ROUNDS)
    shop.hangs = {"c"}
    stopped = await shop.run(journal, stop_when_called=4)
    assert (stopped.usage.calls, stopped.tree["0"].usage) == (3, stopped.usage)
    shop.hangs.clear()
    run = await shop.run(journal)

    assert run.usage == whole.usage
    assert run.tree["0"].usage == run.usage
    assert run.calls == 2


async def test_a_tool_loop_that_failed_in_the_middle_resumes_there(journal: Any) -> None:
    shop = Workshop(ROUNDS)
    shop.fails_at = 2
    await shop.run(journal)
    assert shop.new() == ([0, 1, 2], ["a", "b", "c", "d"])
    shop.fails_at = None
    await shop.run(journal)
    assert shop.new() == ([2, 3], ["e"])


async def test_a_run_that_is_stopped_twice_loses_nothing(journal: Any) -> None:
    shop = Workshop(ROUNDS)
    for hangs, called in (("a", 1), ("d", 4), ("e", 2)):
        shop.hangs = {hangs}
        await shop.run(journal, stop_when_called=called)
        shop.new()
    shop.hangs.clear()
    run = await shop.run(journal)
    assert (shop.new(), str(run.output)) == (([3], ["e"]), "A B C D E")


async def test_a_changed_tool_is_called_again_and_the_model_is_not(journal: Any) -> None:
    shop = Workshop(ROUNDS)
    shop.fails_at = 2
    await shop.run(journal)
    shop.new()
    shop.fails_at = None
    (old,) = shop.engine.tools

    @tool(name="work", version="2")
    async def newer(piece: str) -> str:
        """Work on a piece."""
        result: str = await old.function(piece)
        return result

    shop.engine = shop.engine.replaced(tools=[newer])
    await shop.run(journal)
    assert shop.new() == ([1, 2, 3], ["a", "b", "c", "d", "e"])


async def test_a_tool_loop_at_its_limit_starts_over_unless_the_limit_is_raised(journal: Any) -> None:
    shop = Workshop([["a"], ["b"], ["c"]], max_tool_rounds=2)
    await shop.run(journal)
    assert shop.new() == ([0, 1, 2], ["a", "b"]), "calls that lead nowhere are not made"
    await shop.run(journal)
    assert shop.new() == ([0, 1, 2], ["a", "b"])
    shop.engine = shop.engine.replaced(max_tool_rounds=3)
    await shop.run(journal)
    assert shop.new() == ([3], ["c"])


async def test_calls_without_distinct_ids_are_given_some(journal: Any) -> None:
    def reply(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        told = [m["content"] for m in request.messages if m["role"] == "tool"]
        return " ".join(told) if told else Reply("", tuple(ToolCall("", "f", {"x": x}) for x in "pqr"))

    def f(x: str) -> str:
        """Say it."""
        return x * 2

    output = await AsyncRecursiveEngine(ScriptedModel(reply), tools=[f]).solve("t", checkpoint=journal)
    assert output.content == "pp qq rr"
    assert [use.content for use in output.run.tree["0"].tool_calls] == ["pp", "qq", "rr"]


class Answer(BaseModel):
    number: int


async def test_an_answer_that_did_not_fit_is_mended_from_where_that_was_stopped(journal: Any) -> None:
    asked: list[int] = []
    failing = True

    def reply(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        asked.append(len(request.messages))
        mending = "many" in str(request.messages)
        if not any(m["role"] == "tool" for m in request.messages):
            return Reply("", (ToolCall("1", "f", {"x": "mended" if mending else "first"}),))
        if mending and failing:
            raise ModelError("no line")
        return '{"number": 3}' if mending else "many"

    called: list[str] = []

    @tool(version="1")
    def f(x: str) -> str:
        """Look."""
        called.append(x)
        return x

    engine = AsyncRecursiveEngine(ScriptedModel(reply), tools=[f], retry=None)
    with pytest.raises(ModelError):
        await engine.solve("t", checkpoint=journal, output_type=Answer)
    assert (len(asked), called) == (4, ["first", "mended"])
    failing = False
    output = await engine.solve("t", checkpoint=journal, output_type=Answer)
    assert (output.parsed, len(asked), called) == (Answer(number=3), 5, ["first", "mended"])
    assert output.usage.calls == 6, "the plan, four replies, and the call that failed"


# -- references ----------------------------------------------------------------------------------------------------


def reading(*names: str) -> Any:
    """Reads one reference after the other, then answers with what it read."""

    def reply(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        told = [m["content"].splitlines()[-1] for m in request.messages if m["role"] == "tool"]
        if len(told) < len(names):
            return Reply("", (ToolCall(f"c{len(told)}", "read_reference", {"name": names[len(told)]}),))
        return " ".join(told)

    return ScriptedModel(reply)


async def test_a_changed_reference_is_read_again_and_later_rounds_are_dropped(journal: Any) -> None:
    class Failing:
        name, capabilities = "scripted", reading().capabilities

        def stream(self, request: Request) -> Any:
            told = sum(m["role"] == "tool" for m in request.messages)
            if told == 3:
                raise ModelError("no line")
            return reading("one", "two", "three").stream(request)

    old = {"one": "1", "two": "2", "three": "3"}
    with pytest.raises(ModelError):
        await AsyncRecursiveEngine(Failing(), retry=None).solve("t", checkpoint=journal, variables=old)
    model = reading("one", "two", "three")
    output = await AsyncRecursiveEngine(model).solve("t", checkpoint=journal, variables={**old, "two": "II"})

    assert output.content == "1 II 3"
    rounds = [sum(m["role"] == "tool" for m in r.messages) for r in model.requests if r.mode == "worker"]
    assert rounds == [2, 3], "the first reply and what it read still hold, and so does the request to read the second"
    assert set(output.run.tree["0"].reads) == {"one", "two", "three"}


async def test_the_file_of_a_finished_run_holds_no_rounds(tmp_path: Path) -> None:
    await Workshop(ROUNDS).run(tmp_path / "run.json")
    (node,) = json.loads((tmp_path / "run.json").read_text())["nodes"]
    assert "rounds" not in node
    assert len(node["tool_calls"]) == 5


class Flaky:
    """A tool that fails some times before it returns, called once by a model that repeats its result."""

    def __init__(self, failures: list[Any], **options: Any) -> None:
        self.calls = 0
        left = iter(failures)

        @tool(**options)
        async def fetch(what: str) -> str:
            """Fetch."""
            self.calls += 1
            failure = next(left, None)
            if failure == "hang":
                await asyncio.Event().wait()
            if failure is not None:
                raise failure
            return "got " + what

        def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
            if inputs[-1]["role"] == "tool":
                return {"content": inputs[-1]["content"]}
            return {"content": None, "tool_calls": [{"name": "fetch", "arguments": {"what": "it"}}]}

        self.engine = AsyncRecursiveEngine(llm, tools=[fetch], max_depth=1)


@pytest.mark.parametrize(
    ("failures", "options", "calls", "said"),
    [
        ([OSError("no")], {}, 1, "fetch raised OSError: no"),
        ([OSError("no"), OSError("no")], {"retries": 2}, 3, "got it"),
        ([OSError("a"), OSError("b")], {"retries": 1}, 2, "fetch raised OSError: b"),
        (["hang"], {"retries": 1, "timeout": 0.05}, 2, "got it"),
        (["hang", "hang"], {"retries": 1, "timeout": 0.05}, 2, "fetch did not finish (limit: 0.05 s)."),
        ([TimeoutError("mine")], {"timeout": 60}, 1, "fetch raised TimeoutError: mine"),
        ([ToolError("ask for less")], {"retries": 5}, 1, "ask for less"),
    ],
)
async def test_a_tool_is_called_again_as_often_as_it_bears(
    failures: list[Any], options: dict[str, Any], calls: int, said: str
) -> None:
    flaky = Flaky(failures, **options)
    assert (await flaky.engine.solve("t")).content == said
    assert flaky.calls == calls
