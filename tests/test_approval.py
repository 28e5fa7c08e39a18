"""Approval: nothing is spent on a plan before somebody said yes, and what was said holds."""

import asyncio
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    Agent,
    AsyncRecursiveEngine,
    Budget,
    ConfigurationError,
    RecursiveEngine,
    Run,
    ScriptedModel,
    load_run,
    tool,
)
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.plan import Execute, PlannedTask, Recurse, plan_from_json
from rlm_notebook.runtime.forks import plan_given
from rlm_notebook.views.before_edits import before_edits
from rlm_notebook.views.outline import outline
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import until

TRIP = {"trip": {"flights": "at 9", "food": {"lunch": "soup", "dinner": "stew"}}}


async def waiting(run: Run, *nodes: str) -> None:
    await until(lambda: set(nodes) <= {request.node for request in run.awaiting})


def asked(model: ScriptedModel) -> list[str]:
    return [request.facts.task for request in model.requests]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streaming"])
async def test_nothing_runs_before_the_plan_is_approved(stream: bool) -> None:
    model = ScriptedModel(TRIP, stream=stream)
    run = AsyncRecursiveEngine(model, approve=True).start("trip")
    await waiting(run, "0")
    await asyncio.sleep(0.02)
    assert (asked(model), len(run.tree)) == (["trip"], 1)
    assert [part["task"] for part in run.tree["0"].plan["sub_tasks"]] == ["flights", "food"]  # type: ignore[index]

    run.approve("0")
    await waiting(run, "0.1")
    await asyncio.sleep(0.02)
    assert not {"lunch", "dinner"} & set(asked(model)), "each plan on its own"
    run.approve("0.1")

    assert (await run).content == "trip: at 9; food: soup; stew"


async def test_with_root_only_the_plan_of_the_root_is_asked_about() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve="root").start("trip")
    await waiting(run, "0")
    run.approve("0")

    assert (await run).content == "trip: at 9; food: soup; stew"


async def test_a_task_that_is_not_split_needs_no_approval() -> None:
    assert (await AsyncRecursiveEngine(ScriptedModel(), approve=True).solve("t")).content == "answer to: t"


@pytest.mark.parametrize(
    "plan",
    [
        {"decision": "RECURSE", "sub_tasks": ["flights", {"description": "trains", "depends_on": [0]}]},
        Recurse(sub_tasks=(PlannedTask(task="flights"), PlannedTask(task="trains", depends_on=(0,)))),
    ],
    ids=["dict", "Recurse"],
)
async def test_an_edited_plan_is_what_runs_and_what_is_kept(plan: Any) -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP), approve=True)
    run = engine.start("trip", checkpoint=journal)
    await waiting(run, "0")
    run.approve("0", plan)
    output = await run

    assert output.content == "trip: at 9; answer to: trains"
    assert run.tree["0.1"].depends_on == ("0.0",)
    again = await engine.solve("trip", checkpoint=journal)
    assert (again.content, again.metadata["calls"]) == (output.content, 0), "and it is not asked about again"
    for tree in (run.tree, again.run.tree):
        assert "plan changed at approval" in tree["0"].remark
        assert "plan changed at approval" in outline(tree)
        assert ("plan", str(plan_from_json({"decision": "RECURSE", "sub_tasks": list(TRIP["trip"])}))) in [
            *before_edits(tree, tree["0"])
        ]


@pytest.mark.parametrize("store", ["full", "hashes"])
async def test_a_plan_is_marked_only_if_it_was_changed(tmp_path: Path, store: Any) -> None:
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP), approve="root")
    for place, plan in (("same", None), ("other", {"decision": "RECURSE", "sub_tasks": ["flights"]})):
        run = engine.start("trip", checkpoint=tmp_path / f"{place}.json", store=store)
        await waiting(run, "0")
        run.approve("0", plan)
        await run
        recorded = load_run(tmp_path / f"{place}.json").tree["0"]
        assert recorded.edited == ("" if plan is None else "plan changed at approval")


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({}, "decision is missing"),
        ({"decision": "MAYBE"}, "decision is 'MAYBE', not"),
        ({"decision": "RECURSE", "sub_tasks": "a"}, "sub_tasks is 'a', not a list"),
        ({"decision": "RECURSE", "sub_tasks": ["a", 1]}, "sub_tasks[1] is 1, not an object"),
        ({"decision": "RECURSE", "sub_tasks": [{"task": 7}]}, "sub_tasks[0].task is 7, not a text"),
        ({"decision": "RECURSE", "sub_tasks": [{"agent": "x"}]}, "sub_tasks[0].task is missing"),
        ({"decision": "RECURSE", "sub_tasks": [""]}, "sub_tasks[0].task: a sub-task says what is to be done"),
        ({"decision": "RECURSE", "sub_tasks": [{"task": "a", "depends_on": ["b"]}]}, "[0] is 'b', not a whole number"),
    ],
)
def test_what_is_no_plan_is_said_in_plain_words(plan: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan_given(plan)
    assert said in str(caught.value)
    assert not re.search("valid|Input|tag|Field", str(caught.value))


@pytest.mark.parametrize("plan", [{"decision": "EXECUTE"}, Execute(answer="at home")], ids=["dict", "Execute"])
async def test_a_plan_can_be_edited_to_no_split_at_all(plan: Any) -> None:
    model = ScriptedModel(TRIP)
    run = AsyncRecursiveEngine(model, approve=True).start("trip")
    await waiting(run, "0")
    run.approve("0", plan)
    output = await run

    assert len(run.tree) == 1
    assert run.tree["0"].decision == "EXECUTE"
    assert output.content == ("at home" if isinstance(plan, Execute) else "answer to: trip")


async def test_an_edited_plan_keeps_to_the_limits() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve="root", max_steps=6).start("trip")
    await waiting(run, "0")
    run.approve("0", {"decision": "RECURSE", "sub_tasks": [f"p{n}" for n in range(9)]})
    output = await run

    assert (len(run.tree), run.tree["0"].limited) == (1, "max_steps")
    assert output.metadata["limited"]


async def test_what_cannot_be_approved_is_refused_and_the_run_waits_on() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve=True).start("trip")
    await waiting(run, "0")
    with pytest.raises(ConfigurationError, match=r"node 0\.7 waits for no approval; waiting: 0"):
        run.approve("0.7")
    for nonsense in ({"decision": "MAYBE"}, {"decision": "RECURSE", "sub_tasks": [{"depends_on": []}]}, "x", 3):
        with pytest.raises(ConfigurationError, match="not a plan"):
            run.approve("0", nonsense)  # type: ignore[arg-type]
    assert [request.node for request in run.awaiting] == ["0"]
    run.approve("0")
    await waiting(run, "0.1")
    run.approve("0.1")
    run.approve("0.1")
    await run


async def test_it_may_be_given_from_another_thread() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve="root").start("trip")
    await waiting(run, "0")
    threading.Thread(target=run.approve, args=("0",)).start()

    assert (await run).content.startswith("trip")


async def test_what_waits_when_the_run_is_cancelled_is_kept_and_asked_about_again(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = ScriptedModel(TRIP)
    engine = AsyncRecursiveEngine(model, approve=True)
    run = engine.start("trip", checkpoint=path)
    await waiting(run, "0")
    await run.cancel()
    assert asked(model) == ["trip"]

    run = engine.start("trip", checkpoint=path)
    await waiting(run, "0")
    await asyncio.sleep(0.02)
    assert asked(model) == ["trip"], "the plan was kept, and nothing runs on it yet"
    run.approve("0")
    await waiting(run, "0.1")
    run.approve("0.1")
    assert (await run).content == "trip: at 9; food: soup; stew"


async def test_what_was_approved_and_begun_is_not_asked_about_again(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(ScriptedModel(TRIP), approve=True)
    run = engine.start("trip", checkpoint=path)
    await waiting(run, "0")
    run.approve("0")
    await waiting(run, "0.1")
    await run.cancel()

    run = engine.start("trip", checkpoint=path)
    await waiting(run, "0.1")
    assert [request.node for request in run.awaiting] == ["0.1"]
    run.approve("0.1")
    await run


@in_virtual_time
async def test_waiting_costs_no_time_of_the_budget() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve="root", budget=Budget(seconds=0.1)).start("trip")
    await waiting(run, "0")
    worked = run.internals.active_seconds
    await asyncio.sleep(3600)
    assert run.internals.active_seconds == worked
    run.approve("0")
    output = await run

    assert output.metadata["duration"] == worked, "answers take no time in this test, and the wait none anywhere"


async def test_anything_else_than_yes_no_or_root_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="approve='all'"):
        AsyncRecursiveEngine(ScriptedModel(), approve="all")  # type: ignore[arg-type]


class Lever:
    """A tool whose calls have to be approved, and an engine whose model pulls it once for each of `pulls`."""

    def __init__(self, *pulls: Any) -> None:
        self.pulled: list[int] = []

        @tool(requires_approval=True)
        async def pull(times: int) -> str:
            """Pull the lever."""
            self.pulled.append(times)
            return f"pulled {times}"

        async def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
            told = [message["content"] for message in inputs if message["role"] == "tool"]
            if told:
                return {"content": "; ".join(told)}
            return {"content": None, "tool_calls": [{"name": "pull", "arguments": {"times": n}} for n in pulls]}

        self.tool = pull
        self.llm = llm
        self.engine = AsyncRecursiveEngine(llm, tools=[pull], max_depth=1)


async def test_a_tool_that_requires_approval_is_called_when_it_is_given() -> None:
    lever = Lever(1, 2)
    run = lever.engine.start("t")
    await waiting(run, "0")
    await asyncio.sleep(0.05)
    assert lever.pulled == []
    assert [use.name for use in run.tree["0"].tool_calls] == ["pull", "pull"], "who is asked can see what for"

    run.approve("0")

    assert (await run).content == "pulled 1; pulled 2"
    assert sorted(lever.pulled) == [1, 2]
    assert not run.awaiting


@in_virtual_time
async def test_waiting_to_be_allowed_is_no_work_of_the_tool_nor_of_the_node() -> None:
    lever = Lever(1, 2)
    run = lever.engine.start("t")
    await waiting(run, "0")
    await asyncio.sleep(0.5)
    node = run.tree["0"]
    assert not node.at_work
    assert [use.awaiting_approval for use in node.tool_calls] == [True, True]
    allowed = run.internals.clock()
    run.approve("0")
    await run

    node = run.tree["0"]
    assert [(use.awaiting_approval, use.started >= allowed) for use in node.tool_calls] == [(False, True)] * 2
    assert [phase.kind for phase in node.phases][:3] == ["execute", "wait", "execute"]
    assert all(phase.ended is not None for phase in node.phases)
    worked = [(phase.ended or 0) - phase.started for phase in node.phases if phase.kind == "execute"]
    assert sum(worked) == pytest.approx(0, abs=1e-6), "the wait was half a second"


@in_virtual_time
async def test_a_run_that_only_waits_for_somebody_takes_no_time() -> None:
    lever = Lever(1)
    run = lever.engine.start("t")
    await waiting(run, "0")
    before = run.internals.active_seconds
    await asyncio.sleep(3600)
    assert run.internals.active_seconds == before
    run.approve("0")
    output = await run
    assert output.metadata["duration"] == before


async def test_a_call_that_the_model_has_to_mend_is_nobodys_business() -> None:
    lever = Lever("often")
    assert "wrong arguments for pull" in (await lever.engine.solve("t")).content


async def test_a_run_that_was_stopped_before_approval_asks_again_and_then_calls_once(tmp_path: Path) -> None:
    lever = Lever(7)
    run = lever.engine.start("t", checkpoint=tmp_path / "run.json")
    await waiting(run, "0")
    await run.cancel()

    again = lever.engine.start("t", checkpoint=tmp_path / "run.json")
    await waiting(again, "0")
    again.approve("0")

    assert ((await again).content, again.calls, lever.pulled) == ("pulled 7", 1, [7])


async def test_a_run_can_go_on_as_another_while_a_call_waits_for_approval() -> None:
    lever = Lever(3)
    run = lever.engine.start("t")
    await waiting(run, "0")
    run.internals.continue_as(run.internals.again)
    await until(lambda: run.internals.successor is not None and run.internals.successor.awaiting)
    run.internals.latest.approve("0")
    assert (await run).content == "pulled 3"


def test_who_waits_for_the_answer_cannot_approve() -> None:
    lever = Lever(1)
    with pytest.raises(ConfigurationError, match=r"pull require approval.*AsyncRecursiveEngine"):
        RecursiveEngine(lever.llm, tools=[lever.tool])
    with pytest.raises(ConfigurationError, match="pull require approval"):
        RecursiveEngine(lever.llm, agents={"planner": lever.llm, "a": Agent("a", lever.llm, tools=[lever.tool])})


# -- requests: a decision concerns what was shown --------------------------------------------------------------------


class Planner:
    """Plans "trip" in another way each time; keeps what it was asked."""

    def __init__(self, *ways: list[str]) -> None:
        self.ways = [*ways]
        self.prompts: list[list[Any]] = []

    async def __call__(self, inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        if context["mode"] == "synthesizer":
            return {"content": "; ".join(part["content"] for part in context["parts"])}
        if context["mode"] == "planner" and context["task"] == "trip":
            self.prompts.append(list(inputs))
            way = self.ways.pop(0)
            return {
                "content": json.dumps({"decision": "RECURSE", "sub_tasks": way} if way else {"decision": "EXECUTE"})
            }
        if context["mode"] == "planner":
            return {"content": json.dumps({"decision": "EXECUTE", "answer": None})}
        return {"content": f"{context['task']} done"}


async def test_a_rejected_plan_is_made_anew_with_the_reason_in_the_prompt() -> None:
    planner = Planner(["flights", "hotel"], ["trains", "tent"])
    run = AsyncRecursiveEngine(planner, approve="root").start("trip")
    await waiting(run, "0")
    (request,) = run.awaiting
    assert (request.node, request.kind, request.calls) == ("0", "plan", ())
    assert [each.task for each in request.plan.sub_tasks] == ["flights", "hotel"]
    assert str(run.awaiting).splitlines()[1:] == ["  0. flights", "  1. hotel"]
    run.reject("0", "no flying", request=request.id)
    await until(lambda: run.awaiting and run.awaiting[0].id != request.id)

    assert [each.task for each in run.awaiting["0"].plan.sub_tasks] == ["trains", "tent"]
    first, again = planner.prompts
    assert first == again[: len(first)]
    assert "flights" in again[-2]["content"], "its own plan"
    assert "no flying" in again[-1]["content"]
    assert [(each.reason, len(each.plan["sub_tasks"])) for each in run.tree["0"].rejected] == [("no flying", 2)]
    run.approve("0")
    output = await run
    assert output.content == "trains done; tent done"
    assert len(run.tree) == 3, "nothing of the rejected plan was carried out"
    assert output.metadata["calls"] == 7


async def test_a_rejected_plan_may_be_followed_by_none_at_all() -> None:
    run = AsyncRecursiveEngine(Planner(["flights", "hotel"], []), approve=True).start("trip")
    await waiting(run, "0")
    run.reject("0")
    assert (await run).content == "trip done"


async def test_a_rejected_plan_gives_its_steps_back() -> None:
    run = AsyncRecursiveEngine(Planner(["a", "b", "c"], ["d", "e", "f"]), approve="root", max_steps=4).start("trip")
    await waiting(run, "0")
    run.reject("0")
    await waiting(run, "0")
    run.approve("0")
    assert (await run).content == "d done; e done; f done"


@pytest.mark.parametrize("store", ["full", "outputs"])
async def test_a_rejection_outlives_the_execution(tmp_path: Path, store: Any) -> None:
    """Also where an earlier execution has recorded the plan that a later one rejects."""
    path, planner = tmp_path / "run.json", Planner(["flights"], ["trains"])
    engine = AsyncRecursiveEngine(planner, approve="root")
    run = engine.start("trip", checkpoint=path, store=store)
    await waiting(run, "0")
    await run.cancel()
    run = engine.start("trip", checkpoint=path, store=store)
    await waiting(run, "0")
    assert len(planner.prompts) == 1
    ends, planner.ways = planner.ways, []
    run.reject("0", "no flying")
    with pytest.raises(Exception, match="pop from empty list"):
        await run

    planner.ways = ends
    run = engine.start("trip", checkpoint=path, store=store)
    await waiting(run, "0")
    assert [each.task for each in run.awaiting["0"].plan.sub_tasks] == ["trains"], "the rejected plan is not offered"
    assert ("no flying" in planner.prompts[-1][-1]["content"]) is (store == "full")
    run.approve("0")
    await run
    again = engine.start("trip", checkpoint=path, store=store)
    assert ((await again).metadata["calls"], len(again.tree["0"].rejected)) == (0, 1)
    assert load_run(path).tree["0"].rejected[0].reason == ("no flying" if store == "full" else "")


async def test_a_rejected_call_is_answered_with_the_reason_and_never_made(tmp_path: Path) -> None:
    lever = Lever(1, 2)
    run = lever.engine.start("t", checkpoint=tmp_path / "run.json")
    await waiting(run, "0")
    (request,) = run.awaiting
    assert (request.kind, request.plan) == ("calls", None)
    assert [(call.name, call.arguments) for call in request.calls] == [("pull", {"times": 1}), ("pull", {"times": 2})]
    assert str(run.awaiting) == "node 0: pull(times=1), pull(times=2)"
    run.reject(request, "the bridge is up")
    output = await run

    assert lever.pulled == []
    assert output.content.count("The user rejected this call") == output.content.count("the bridge is up") == 2
    uses = run.tree["0"].tool_calls
    assert [(use.ok, use.awaiting_approval, use.ended is not None) for use in uses] == [(False, False, True)] * 2
    again = await lever.engine.solve("t", checkpoint=tmp_path / "run.json")
    assert (again.content, again.metadata["calls"], lever.pulled) == (output.content, 0, [])


async def test_a_call_that_needs_no_approval_is_made_when_those_beside_it_are_rejected() -> None:
    made: list[str] = []

    @tool(requires_approval=True)
    def send(to: str) -> str:
        """Send."""
        made.append(f"send {to}")
        return "sent"

    @tool
    def look(at: str) -> str:
        """Look."""
        made.append(f"look {at}")
        return "seen"

    def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        told = [message["content"] for message in inputs if message["role"] == "tool"]
        calls = [{"name": "send", "arguments": {"to": "Ann"}}, {"name": "look", "arguments": {"at": "it"}}]
        return {"content": " | ".join(told)} if told else {"content": None, "tool_calls": calls}

    run = AsyncRecursiveEngine(llm, tools=[send, look], max_depth=1).start("t")
    await waiting(run, "0")
    assert [call.name for call in run.awaiting[0].calls] == ["send"]
    run.reject("0", "not now")
    assert (await run).content == "The user rejected this call, and it was not made. The reason: not now | seen"
    assert made == ["look it"]


async def test_a_request_is_decided_once() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve=True).start("trip")
    await waiting(run, "0")
    shown = run.awaiting["0"]
    run.approve("0", request=shown.id)
    run.approve("0", request=shown.id)
    with pytest.raises(ConfigurationError, match=r"request of node 0 was approved already"):
        run.reject("0", "too late", request=shown.id)
    await waiting(run, "0.1")
    with pytest.raises(ConfigurationError, match=r"one of node 0\.1, not of node 0"):
        run.approve("0", request=run.awaiting["0.1"].id)
    with pytest.raises(ConfigurationError, match="no request nonsense that waits"):
        run.approve("0.1", request="nonsense")
    with pytest.raises(ConfigurationError, match="no text"):
        run.reject("0.1", 3)  # type: ignore[arg-type]
    run.approve("0.1")
    await run


async def test_with_the_rest_approved_nothing_is_asked_any_more() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve=True).start("trip")
    await waiting(run, "0")
    run.approve("0", rest=True)
    assert (await run).content == "trip: at 9; food: soup; stew"


async def test_the_rest_of_the_plans_are_no_calls_of_tools() -> None:
    lever = Lever(5)
    planner = Planner(["one", "two"])

    async def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        return await (planner if context["mode"] != "worker" else lever.llm)(inputs, context)

    run = AsyncRecursiveEngine(llm, tools=[lever.tool], approve=True).start("trip")
    await waiting(run, "0")
    run.approve("0", rest=True)
    await waiting(run, "0.0", "0.1")
    assert lever.pulled == []
    run.approve("0.0", rest=True)
    assert (await run).content == "pulled 5; pulled 5"


async def test_of_decisions_from_many_threads_one_counts() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(TRIP), approve=True).start("trip")
    await waiting(run, "0")
    request, refused = run.awaiting["0"], []

    def click(number: int) -> None:
        try:
            run.reject("0", str(number), request) if number % 2 else run.approve("0", request=request)
        except ConfigurationError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=click, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    approved = not run.tree["0"].rejected and "0" not in run.awaiting
    await until(lambda: bool(run.awaiting))
    decided = "rejected" if run.tree["0"].rejected else "approved"
    assert approved
    assert set(refused) == {f"this request of node 0 was {decided} already"}
    await run.cancel()
