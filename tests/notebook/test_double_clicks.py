"""Clicks that come twice, from two pages, late, or from before a crash: nothing is approved that nobody was shown."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Run, tool
from rlm_notebook.notebook.widget import TreeView
from tests.notebook.conftest import Kernel
from tests.support.amounts import few_or_many
from tests.support.virtual_time import in_virtual_time

#: Seconds between the clicks of one person, at most.
APART = 0.2
ROUNDS = 2


class Trip:
    """Plans two levels, and asks for two calls of a tool one after the other at each leaf; every text is unique."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.prompts: list[str] = []

        @tool(requires_approval=True)
        async def send(to: str) -> str:
            """Send a message."""
            self.made.append(to)
            return f"sent {to}"

        self.tool = send

    async def __call__(self, inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.03)
        task, depth = context["task"], context["depth"]
        if context["mode"] == "synthesizer":
            return {"content": "; ".join(part["content"] for part in context["parts"])}
        if context["mode"] == "planner":
            rejected = sum("rejected this plan" in message["content"] for message in inputs)
            parts = [f"{task}/{rejected}{letter}" for letter in "ab"]
            plan = {"decision": "RECURSE", "sub_tasks": parts} if depth < 2 else {"decision": "EXECUTE"}
            return {"content": json.dumps(plan)}
        told = [message["content"] for message in inputs if message["role"] == "tool"]
        if len(told) == ROUNDS:
            return {"content": "; ".join(told)}
        return {"content": None, "tool_calls": [{"name": "send", "arguments": {"to": f"{task} {len(told)}"}}]}


class Pages:
    """Two pages that show one run after the other. Who looks at a request clicks on it several times, too late as well.

    `shown` are the texts that were on a screen.
    """

    def __init__(self, chance: random.Random) -> None:
        self.shown: set[str] = set()
        self._chance = chance
        self._views: list[TreeView] = []
        self._looked: set[str] = set()
        self._clicks: list[asyncio.Task[None]] = []

    def show(self, run: Run) -> None:
        self._views = [TreeView(run), TreeView(run)]

    def look(self, run: Run) -> None:
        for request in run.awaiting:
            if request.id in self._looked or self._chance.random() < 0.5:
                continue
            self._looked.add(request.id)
            approval = self._views[self._chance.randrange(2)]._feed.detail(request.node, "approval")
            texts = [each["description"] for each in (approval["plan"] or {}).get("sub_tasks", ())]
            texts += [call["arguments"]["to"] for call in approval["calls"]]
            self.shown.update(texts)
            op = "reject" if self._chance.random() < 0.2 else "approve"
            for _ in range(self._chance.randint(2, 4)):
                delay = self._chance.choice([0, self._chance.uniform(0, APART)])
                self._clicks.append(asyncio.create_task(self._click(delay, op, request.node, approval["request"])))

    async def _click(self, delay: float, op: str, node: str, request: str) -> None:
        await asyncio.sleep(delay)
        message = {"t": "cmd", "req": 1, "op": op, "id": node, "args": {"request": request, "reason": "no"}}
        self._chance.choice(self._views)._handle_custom_msg(message, [])

    async def close(self) -> None:
        await asyncio.gather(*self._clicks)


async def one_try(seed: int, folder: Path) -> None:
    chance, trip, crashes = random.Random(seed), Trip(), 0
    pages, engine = Pages(chance), AsyncRecursiveEngine(trip, tools=[trip.tool], approve=True, max_depth=3)
    while True:
        run = engine.start("trip", checkpoint=folder / str(crashes) / "trip.json")
        pages.show(run)
        crash = chance.choice([None, chance.uniform(0, 1.5)])
        ends = asyncio.get_running_loop().time() + (crash if crash is not None else 1e9)
        while not run.ended and asyncio.get_running_loop().time() < ends:
            pages.look(run)
            await asyncio.sleep(0.01)
        if run.ended:
            break
        # A crash: what was written until now is all that is left.
        shutil.copytree(folder / str(crashes), folder / str(crashes + 1))
        crashes += 1
        await run.cancel()
    output = await run
    await pages.close()

    assert output.content
    assert set(trip.made) <= pages.shown, "a call that nobody was shown"
    assert {node.task for node in run.tree if node.id != "0"} <= pages.shown, "a plan that nobody was shown"


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TreeView, "send", lambda view, content, buffers=None: None)


@few_or_many(5, 60, 200)
def test_nothing_is_approved_that_was_not_shown(amount: int, tmp_path: Path) -> None:
    for seed in range(amount):
        run: Callable[[], None] = in_virtual_time(partial(one_try, seed, tmp_path / f"try {seed}"))
        run()


# -- in a kernel that is killed --------------------------------------------------------------------------------------

SENDER = """
%load_ext rlm_notebook
from rlm_notebook import tool

@tool(requires_approval=True)
def send(to: str) -> str:
    "Send a message."
    with open("sent.log", "a") as lines:
        lines.write(f"{to}\\n")
    return f"sent {to}"

def llm(inputs, context):
    told = [message["content"] for message in inputs if message["role"] == "tool"]
    if len(told) == 3:
        return {"content": "; ".join(told)}
    return {"content": None, "tool_calls": [{"name": "send", "arguments": {"to": f"harbour {len(told)}"}}]}
"""
CELL = "%%rlm -m llm -t send -n berth --max-depth 1\nAsk for a berth"


def shown_by(kernel: Kernel, comm: str, before: str = "") -> dict[str, Any]:
    """The next request that a page shows."""
    for number in range(1000, 1600):
        kernel.tell(comm, {"t": "get", "c": "page", "req": number, "id": "0", "fields": ["approval"]})
        told = kernel.until(lambda m, n=number: m["content"].get("data", {}).get("content", {}).get("req") == n)
        found = told["content"]["data"]["content"]["data"]
        if found is not None and found["request"] != before:
            return dict(found)
    raise AssertionError("nothing waits")


def clicks(kernel: Kernel, comm: str, request: str, *pauses: float) -> None:
    """Clicks on Approve from two pages, with these pauses between them."""
    for number, pause in enumerate((0.0, *pauses)):
        time.sleep(pause)
        message = {"t": "cmd", "op": "approve", "id": "0", "args": {"request": request}}
        kernel.tell(comm, {**message, "c": f"page {number % 2}", "req": number + 1})


@pytest.mark.kernel
def test_clicks_from_before_a_crash_and_double_clicks_after_it_allow_only_what_is_shown(
    new_kernel: Callable[..., Kernel], tmp_path: Path
) -> None:
    sent = tmp_path / "sent.log"
    kernel = new_kernel()
    assert kernel.run(SENDER).ok
    kernel.send(CELL, cell_id="cell")
    comm = kernel.widget()
    first = shown_by(kernel, comm)
    clicks(kernel, comm, first["request"], 0.05)
    second = shown_by(kernel, comm, first["request"])
    assert (first["calls"][0]["arguments"], second["calls"][0]["arguments"]) == (
        {"to": "harbour 0"},
        {"to": "harbour 1"},
    )
    assert sent.read_text().splitlines() == ["harbour 0"]
    kernel.manager.shutdown_kernel(now=True)

    kernel = new_kernel()
    assert kernel.run(SENDER).ok
    cell = kernel.send(CELL, cell_id="cell")
    comm = kernel.widget()
    again = shown_by(kernel, comm)
    assert again["calls"] == second["calls"]
    assert again["request"] not in (first["request"], second["request"])
    clicks(kernel, comm, second["request"], 0.1)
    clicks(kernel, comm, first["request"], 0.2)
    assert shown_by(kernel, comm)["request"] == again["request"], "a click on what is no longer there decides nothing"
    assert sent.read_text().splitlines() == ["harbour 0"], "what had been sent is not sent again"
    clicks(kernel, comm, again["request"], 0, 0.02, 0.2)
    third = shown_by(kernel, comm, again["request"])
    assert sent.read_text().splitlines() == ["harbour 0", "harbour 1"]
    kernel.tell(
        comm, {"t": "cmd", "c": "page", "req": 9, "op": "reject", "id": "0", "args": {"request": third["request"]}}
    )
    finished = kernel.finish(cell)
    assert finished.ok, finished.reply
    assert "The user rejected this call" in finished.text
    assert sent.read_text().splitlines() == ["harbour 0", "harbour 1"]
