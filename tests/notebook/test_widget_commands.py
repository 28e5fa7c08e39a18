"""What a browser tells a run to do: done at once, or refused in words; an edit says before what it will take."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, NodeState, Run, ScriptedModel, load_run
from rlm_notebook.core.events import RunFinished
from rlm_notebook.models.scripted import Fault
from rlm_notebook.notebook.widget import TreeView
from tests.support.waiting import until

SCRIPT = {"root": {"one": "1", "two": {"three": "3", "four": "4"}, "five": "5"}}
CHAIN = {
    "root": {
        "decision": "RECURSE",
        "sub_tasks": [
            {"description": "first", "depends_on": []},
            {"description": "second", "depends_on": [0]},
            {"description": "beside", "depends_on": []},
        ],
    }
}


class Page:
    """A browser that sends commands and keeps what it is told."""

    def __init__(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[dict[str, Any]] = []
        monkeypatch.setattr(TreeView, "send", lambda view, content, buffers=None: self._hear(content, buffers))
        self.view = TreeView(run)
        self._number = 0

    def _hear(self, content: dict[str, Any], buffers: Any) -> None:
        self.messages.append(json.loads(json.dumps(content)) | {"buffers": buffers or []})

    async def ask(self, op: str, node: str | None = None, **args: Any) -> dict[str, Any]:
        """A command's acknowledgement."""
        self._number += 1
        message = {"t": "cmd", "req": self._number, "op": op, "args": args, **({"id": node} if node else {})}
        self.view._handle_custom_msg(message, [])
        found: list[dict[str, Any]] = []

        def acknowledged() -> bool:
            found[:] = [m for m in self.messages if m["t"] == "ack" and m["req"] == self._number]
            return bool(found)

        await until(acknowledged)
        return found[0]

    async def detail(self, node: str, field: str) -> Any:
        """A long field of a node."""
        self._number += 1
        self.view._handle_custom_msg({"t": "get", "req": self._number, "id": node, "fields": [field]}, [])
        found: list[Any] = []

        def answered() -> bool:
            found[:] = [m["data"] for m in self.messages if m["t"] == "d" and m["req"] == self._number]
            return bool(found)

        await until(answered)
        return found[0]

    @property
    def seen(self) -> dict[str, Any]:
        """The snapshot that a browser gets now."""
        found: dict[str, Any] = json.loads(gzip.decompress(self.view.get_state()["_snap"]))
        return found


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], Page]:
    return lambda run: Page(run, monkeypatch)


def started(model: Any = None, checkpoint: Path | None = None, **options: Any) -> Run:
    engine = AsyncRecursiveEngine(model or ScriptedModel(SCRIPT, latency=0.1), retry=None, **options)
    return engine.start("root", checkpoint=checkpoint)


def chained() -> ScriptedModel:
    return ScriptedModel(
        lambda r: CHAIN.get(r.facts.task, "EXECUTE") if r.mode == "planner" else f"done {r.facts.task}"
    )


async def test_an_edit_during_the_run_is_shown_as_a_new_epoch(page: Any) -> None:
    run = started()
    browser = page(run)
    await until(lambda: "0.0" in run.tree and run.tree["0.0"].state is NodeState.DONE)
    ack = await browser.ask("edit", "0.0", result="one, by hand")
    assert ack["ok"], ack
    output = await run
    await asyncio.sleep(0.05)
    assert "one, by hand" in str(output)
    seen = browser.seen
    assert seen["e"] == 2
    assert seen["run"]["status"] == "done"
    assert seen["run"]["forked"] == f"edited at 0.0 of run {run.run_id[:8]}"
    assert browser.view._meta["run_id"] == run.internals.latest.run_id != run.run_id
    # Who is there already gets the new epoch as a snapshot; nothing of the old one comes after it.
    kinds = [(m["t"], m["e"]) for m in browser.messages if m["t"] in "ps"]
    assert ("s", 2) in kinds
    assert [e for _, e in kinds] == sorted(e for _, e in kinds)


async def test_a_finished_run_is_edited_and_what_follows_is_watched(page: Any) -> None:
    run = started(ScriptedModel(SCRIPT))
    browser = page(run)
    await run
    assert set(browser.seen["run"]["can"]) == {"retry", "edit"}
    ends: list[Any] = []
    run.internals.follow(
        lambda new: ends.append(new.internals.watch(lambda e: ends.append(e) if isinstance(e, RunFinished) else None))
    )
    assert (await browser.ask("edit", "0.1", task="another two"))["ok"]
    await until(lambda: len(ends) > 1)
    assert browser.seen["run"]["status"] == "done"
    assert "another two" in browser.seen["nodes"]["title"]
    notes = browser.seen["run"]["notes"]
    assert any("the answer below is that of the run before" in note for note in notes)
    assert not any("-n " in note for note in notes), "in memory there is nothing to go on with"


async def test_where_a_change_is_kept_it_is_said_how_the_cell_goes_on_with_it(page: Any, tmp_path: Path) -> None:
    run = started(ScriptedModel(SCRIPT), checkpoint=tmp_path / "trip.json")
    browser = page(run)
    await run
    assert (await browser.ask("edit", "0.1", task="another two"))["ok"]
    await until(lambda: run.internals.latest.internals.finished)
    said = "with -n trip-edit it resumes this one"
    await until(lambda: any(said in note for note in browser.seen["run"]["notes"]))
    assert (tmp_path / "trip-edit.json").exists()
    assert (await browser.ask("edit", "0.1", result="and again"))["ok"]
    await until(lambda: run.internals.latest.status == "done" and browser.seen["e"] >= 3)


async def test_what_failed_is_tried_again(page: Any) -> None:
    run = started(ScriptedModel(SCRIPT, faults=[Fault("three", error=RuntimeError("gone"), times=1)]))
    browser = page(run)
    with pytest.raises(Exception, match="gone"):
        await run
    assert set(browser.seen["run"]["can"]) == {"retry", "edit", "answer"}
    preview = await browser.ask("preview")
    assert preview["data"]["nodes"] == ["0", "0.1", "0.1.0"]
    assert (await browser.ask("retry"))["ok"]
    await until(lambda: run.internals.latest is not run and run.internals.latest.internals.finished)
    assert run.internals.latest.status == "done"


async def test_an_answer_is_made_of_what_there_is(page: Any) -> None:
    run = started(ScriptedModel(SCRIPT, faults=[Fault("three", error=RuntimeError("gone"), times=None)]))
    browser = page(run)
    with pytest.raises(Exception, match="gone"):
        await run
    assert (await browser.ask("answer"))["ok"]
    await until(lambda: run.internals.latest is not run and run.internals.latest.internals.finished)
    assert run.internals.latest.status == "done"
    assert "answer" not in browser.seen["run"]["can"]


async def test_one_node_is_cancelled(page: Any) -> None:
    run = started(on_failure="synthesize")
    browser = page(run)
    await until(lambda: "0.1" in run.tree)
    assert (await browser.ask("cancel", "0.1"))["ok"]
    await run
    assert run.tree["0.1"].state is NodeState.CANCELLED
    ack = await browser.ask("cancel", "0.1")
    assert (ack["ok"], ack["error"]) == (False, "the run is over")


async def test_a_plan_is_approved_from_the_browser(page: Any) -> None:
    run = started(ScriptedModel(SCRIPT), approve="root")
    browser = page(run)
    await until(lambda: run.awaiting)
    assert "approve" in browser.seen["run"]["can"]
    request = run.awaiting["0"].id
    assert browser.seen["nodes"]["awaiting"] == [request]
    nameless = await browser.ask("approve", "0")
    assert "names the request" in nameless["error"]
    ack = await browser.ask("approve", "0", request=request, plan={"decision": "RECURSE", "sub_tasks": []})
    assert ack["ok"]
    await run
    refused = await browser.ask("approve", "0", request=request)
    assert "approved already" in refused["error"], "with another plan"


async def test_what_the_dialog_shows_is_what_it_decides(page: Any) -> None:
    run = started(ScriptedModel(SCRIPT), approve=True)
    browser = page(run)
    await until(lambda: run.awaiting)
    shown = await browser.detail("0", "approval")
    assert (shown["request"], shown["kind"]) == (run.awaiting["0"].id, "plan")
    assert [each["description"] for each in shown["plan"]["sub_tasks"]] == [
        each.task for each in run.awaiting["0"].plan.sub_tasks
    ]
    estimate = (await browser.ask("estimate", "0", request=shown["request"]))["data"]
    assert 1 <= estimate["least"]["calls"] <= estimate["most"]["calls"]
    other = {"decision": "EXECUTE"}
    alone = (await browser.ask("estimate", "0", request=shown["request"], plan=other))["data"]["most"]
    assert alone["calls"] < estimate["least"]["calls"]

    ack = await browser.ask("reject", "0", request=shown["request"], reason="too long")
    assert ack["ok"]
    told = browser.messages[: browser.messages.index(ack)]
    changes = [change for message in told for change in message.get("ops", ()) if change[:2] == ["p", "0"]]
    assert changes[-1][2]["awaiting"] == "", "a page that reads the answer shows no request that was decided"
    await until(lambda: run.awaiting and run.awaiting["0"].id != shown["request"])
    for op in ("approve", "reject"):
        refused = await browser.ask(op, "0", request=shown["request"])
        assert "rejected already" in refused.get("error", ""), "the next plan was not shown"
    assert [request.node for request in run.awaiting] == ["0"]
    ack = await browser.ask("approve", "0", request=run.awaiting["0"].id, rest=True)
    assert ack["ok"]
    assert (await run).content, "no further plan waits"


@pytest.mark.parametrize(
    ("op", "node", "args", "said"),
    [
        ("edit", "9", {"result": "x"}, "no node '9'"),
        ("edit", "0.0", {}, "give one of task, plan, result"),
        ("edit", "0.0", {"result": "x", "task": "y"}, "result and task was given"),
        ("edit", "0.0", {"plan": {"decision": "MAYBE"}}, "not a plan"),
        ("edit", "0.0", {"plan": 7}, "not a plan"),
        ("edit", "0.0", {"result": " "}, "is no text or empty"),
        ("preview", "0.0", {"task": ""}, "is no text or empty"),
        ("retry", "8", {}, "no node '8'"),
        ("answer", None, {}, "has its answer"),
        ("pause", None, {}, "over"),
        ("approve", "0.0", {}, "waits for no approval"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_changes_nothing(
    page: Any, op: str, node: str | None, args: dict[str, Any], said: str
) -> None:
    run = started(ScriptedModel(SCRIPT))
    browser = page(run)
    await run
    ack = await browser.ask(op, node, **args)
    assert ack["ok"] is False
    assert said in ack["error"]
    await asyncio.sleep(0.01)
    assert run.internals.latest is run
    assert browser.seen["e"] == 1


async def test_a_recorded_run_says_what_to_do_instead(page: Any, tmp_path: Any) -> None:
    path = tmp_path / "run.json"
    await AsyncRecursiveEngine(ScriptedModel(SCRIPT)).solve("root", checkpoint=path)
    browser = page(load_run(path))
    assert browser.seen["run"]["can"] == []
    assert "loaded from a file" in (await browser.ask("retry"))["error"]


# -- what an edit will take -------------------------------------------------------------------------------------------

NEW_PLAN = {"decision": "RECURSE", "sub_tasks": ["three", "and a new one"]}


@pytest.mark.parametrize(
    ("node", "args", "again", "calls"),
    [
        ("0.1.0", {"result": "x"}, ["0", "0.1"], 2),
        ("0.1.0", {"task": "x"}, ["0", "0.1", "0.1.0"], 3),
        ("0.1", {"task": "x"}, ["0", "0.1", "0.1.0", "0.1.1"], 5),
        ("0.1", {"plan": NEW_PLAN}, ["0", "0.1"], 3),
        ("0", {"result": "x"}, [], 0),
    ],
)
async def test_the_preview_says_what_runs_again(
    page: Any, node: str, args: dict[str, Any], again: list[str], calls: int
) -> None:
    """The edited run makes no more calls than were told."""
    run = started(ScriptedModel(SCRIPT))
    browser = page(run)
    await run
    told = (await browser.ask("preview", node, **args))["data"]
    assert told["nodes"] == again
    assert told["calls"] == calls
    assert told["tokens"] > 0 or not again
    assert told["cost_usd"] == 0
    assert (await browser.ask("edit", node, **args))["ok"]
    await until(lambda: run.internals.latest is not run and run.internals.latest.internals.finished)
    assert run.internals.latest.calls <= calls
    assert run.internals.latest.calls == calls or args == {"task": "x"}


async def test_the_preview_counts_what_depends_on_a_node(page: Any) -> None:
    run = started(chained())
    browser = page(run)
    await run
    assert (await browser.ask("preview", "0.0", result="x"))["data"]["nodes"] == ["0", "0.1"]
    assert (await browser.ask("preview", "0.2", result="x"))["data"]["nodes"] == ["0"]
    assert (await browser.ask("edit", "0.0", result="x"))["ok"]
    await until(lambda: run.internals.latest is not run and run.internals.latest.internals.finished)
    made = [node.id for node in run.internals.latest.tree if node.mark != "replayed" and node.usage.calls]
    assert "0.2" not in made
    assert "0.1" in made
