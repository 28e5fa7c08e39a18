"""A tool that is changed while a run is stopped: it alone is called again, and what the others returned stays."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import Agent, AsyncRecursiveEngine, tool
from rlm_notebook.core.events import ToolReturned


class Desk:
    """A model that lets two tools be called in one reply; the second never returns while it is `stuck`."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.reached = asyncio.Event()

    def tools(self, fee: int, *, stuck: bool) -> list[Any]:
        done, reached = self.done, self.reached

        @tool(version="1")
        def pay(to: str) -> str:
            """Pay somebody."""
            done.append(("pay", to))
            return f"paid {to}"

        @tool(version=f"fee of {fee}")
        async def book(room: str) -> str:
            """Book a room."""
            if stuck:
                reached.set()
                await asyncio.Event().wait()
            done.append(("book", room, fee))
            return f"{room} for {fee}"

        return [pay, book]

    async def caller(self, inputs: list[Any], context: dict[str, Any]) -> Any:
        if context["mode"] == "planner":
            return '{"decision": "EXECUTE"}'
        self.done.append("asked")
        told = [message["content"] for message in inputs if message["role"] == "tool"]
        if told:
            return " and ".join(told)
        calls = [{"name": "pay", "arguments": {"to": "Ann"}}, {"name": "book", "arguments": {"room": "blue"}}]
        return {"content": None, "tool_calls": calls}


def of_engine(desk: Desk, tools: list[Any]) -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(desk.caller, tools=tools)


def of_agent(desk: Desk, tools: list[Any]) -> AsyncRecursiveEngine:
    planner = '{"decision": "RECURSE", "sub_tasks": [{"description": "book", "assigned_agent": "clerk"}]}'

    def plans(inputs: list[Any], context: dict[str, Any]) -> str:
        if context["mode"] == "synthesizer":
            return context["parts"][0]["content"] if isinstance(context["parts"][0], dict) else "joined"
        return planner if context["depth"] == 0 else '{"decision": "EXECUTE"}'

    agents = {"planner": plans, "clerk": Agent("clerk", desk.caller, tools=tools)}
    return AsyncRecursiveEngine(plans, agents=agents)


async def stopped(desk: Desk, engine: AsyncRecursiveEngine, path: Path) -> None:
    run = engine.start("a room", checkpoint=path)
    async for event in run.events():
        if isinstance(event, ToolReturned):
            break
    await desk.reached.wait()
    await run.cancel()
    desk.done.clear()


@pytest.mark.parametrize("made", [of_engine, of_agent])
async def test_a_tool_that_had_returned_is_not_called_again_when_another_one_has_changed(
    made: Callable[[Desk, list[Any]], AsyncRecursiveEngine], tmp_path: Path
) -> None:
    desk = Desk()
    await stopped(desk, made(desk, desk.tools(5, stuck=True)), tmp_path / "run.json")
    await made(desk, desk.tools(7, stuck=False)).solve("a room", checkpoint=tmp_path / "run.json")
    assert desk.done == [("book", "blue", 7), "asked"]


async def test_a_changed_tool_is_called_again_for_recorded_results(tmp_path: Path) -> None:
    desk = Desk()
    pay, book = desk.tools(5, stuck=True)
    await stopped(desk, of_engine(desk, [pay, book]), tmp_path / "run.json")
    _, booked = desk.tools(5, stuck=False)
    other = tool(pay.function, name="pay", version="2")
    await of_engine(desk, [other, booked]).solve("a room", checkpoint=tmp_path / "run.json")
    assert sorted(map(str, desk.done)) == sorted(map(str, [("pay", "Ann"), ("book", "blue", 5), "asked"]))


async def test_with_other_instructions_no_stopped_node_continues(tmp_path: Path) -> None:
    desk = Desk()
    await stopped(desk, of_engine(desk, desk.tools(5, stuck=True)), tmp_path / "run.json")
    engine = AsyncRecursiveEngine(
        desk.caller,
        tools=desk.tools(7, stuck=False),
        agents={
            "planner": desk.caller,
            "default": Agent("default", desk.caller, instructions="Be brief."),
        },
    )
    await engine.solve("a room", checkpoint=tmp_path / "run.json")
    assert ("pay", "Ann") in desk.done
    assert desk.done.count("asked") == 2
