"""What is said of a run that was stopped: what there is of it, and nothing that there is not."""

import asyncio
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Run, tool
from rlm_notebook.core.events import ToolCalled, ToolReturned
from rlm_notebook.notebook.cell.errors import interruption


async def stopped(*tools: Any, at: type) -> Run:
    """A run that was stopped at the first such event, in a model that calls all tools and is asked again."""

    async def caller(inputs: Any, context: Any) -> Any:
        if context["mode"] == "planner":
            return '{"decision": "EXECUTE"}'
        if any(message["role"] == "tool" for message in inputs):
            await asyncio.Event().wait()
        return {"content": None, "tool_calls": [{"name": each.name, "arguments": {}} for each in tools]}

    run = AsyncRecursiveEngine(caller, tools=tools).start("root")
    async for event in run.events():
        if isinstance(event, at):
            break
    await run.cancel()
    return run


@tool(requires_approval=True)
def send() -> str:
    """Send it."""
    return "sent"


@tool
def look() -> str:
    """Look at it."""
    return "seen"


@pytest.mark.parametrize(("offered", "at", "returned"), [(send, ToolCalled, False), (look, ToolReturned, True)])
async def test_only_what_a_tool_returned_is_said_to_be_kept(offered: Any, at: type, returned: bool) -> None:
    said = str(interruption(await stopped(offered, at=at), "Interrupted"))
    assert ("what the tools of 1 returned" in said) is returned
    assert said.startswith("Interrupted: 0 of 1 nodes are kept in memory only")
