"""What a browser is told: frames and snapshots give the same state, whenever it joins."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, RetryPolicy, Run, ScriptedModel, tool
from rlm_notebook.core.events import Event, Finished, NodeCreated, Planned, Retried, Started, Token
from rlm_notebook.exceptions import ModelError, RLMError
from rlm_notebook.models.scripted import Fault
from rlm_notebook.notebook.widget.feed import NODE_FIELDS, TAIL_CHARACTERS, Feed
from rlm_notebook.notebook.widget.rows import DEFAULTS, TITLE_CHARACTERS
from tests.support.amounts import few_or_many
from tests.support.coding import code_engine, coder
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG


class Browser:
    """The receiving end, written once more: what the protocol says, and nothing else."""

    def __init__(self) -> None:
        self.epoch, self.sequence = -1, -1
        self.late = False
        self.run: dict[str, Any] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, str] = {}

    def join(self, snapshot: bytes) -> None:
        self.late = True
        data = json.loads(gzip.decompress(snapshot))
        assert data["v"] == 1
        columns = data["nodes"]
        assert set(columns) == set(NODE_FIELDS)
        self.epoch, self.sequence, self.run = data["e"], data["s"], data["run"]
        rows = zip(*(columns[name] for name in NODE_FIELDS), strict=True)
        self.nodes = {row[0]: dict(zip(NODE_FIELDS, row, strict=True)) for row in rows}

    def frame(self, frame: dict[str, Any]) -> None:
        frame = json.loads(json.dumps(frame))
        assert frame["t"] == "p"
        if (frame["e"], frame["s"]) <= (self.epoch, self.sequence):
            return
        if frame["e"] > self.epoch:
            self.epoch, self.sequence, self.run, self.nodes = frame["e"], 0, {}, {}
        assert frame["s"] == self.sequence + 1, "a gap"
        self.sequence = frame["s"]
        for operation in frame["ops"]:
            self.apply(*operation)

    def apply(self, kind: str, *values: Any) -> None:
        if kind == "r":
            self.run |= values[0]
        elif kind == "a":
            row = DEFAULTS | values[0]
            assert row["id"] not in self.nodes, "announced twice"
            assert row["parent"] is None or row["parent"] in self.nodes, "a child before its parent"
            self.nodes[row["id"]] = row
        elif kind == "p":
            assert values[0] in self.nodes, "a patch of a node that was not announced"
            self.nodes[values[0]] |= values[1]
        else:
            assert kind == "x"
            node, offset, text = values
            known = self.texts.get(node, "").encode("utf-16-le")
            if offset * 2 > len(known):
                # Who joins in the middle of a text gets the whole of it when it opens that node.
                assert self.late, "a gap in the text"
                return
            self.texts[node] = (known[: offset * 2] + text.encode("utf-16-le")).decode("utf-16-le")

    @property
    def state(self) -> tuple[Any, ...]:
        return self.epoch, self.sequence, self.run, self.nodes


def joined(feed: Feed) -> Browser:
    browser = Browser()
    browser.join(feed.snapshot())
    return browser


TASKS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="="), min_size=1, max_size=30).map(
    lambda text: f"do {text}"
)
TREES = st.recursive(
    st.text(alphabet="aé🧭 \n<", min_size=1, max_size=300).map(lambda text: f"r{text}"),
    lambda parts: st.dictionaries(TASKS, parts, min_size=1, max_size=4),
    max_leaves=10,
)
LIMITS = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def model_of(tree: Any, chance: random.Random) -> ScriptedModel:
    faults = [
        Fault(error=ModelError("gone", retryable=True), times=chance.randint(0, 2), after=1, mode="worker"),
        Fault(reply="no plan", times=chance.randint(0, 2), mode="planner"),
    ]
    return ScriptedModel({"root": tree}, latency=(0, 0.002), stream=True, chunk=3, faults=faults)


def started(
    model: Any, watch: Callable[[Event], None], task: str = "root", checkpoint: Any = None, **options: Any
) -> Run:
    engine = AsyncRecursiveEngine(model, retry=RetryPolicy(attempts=3, initial=0.001), **options)
    run = engine.start(task, checkpoint=checkpoint)
    failures: list[Exception] = []

    def watched(event: Event) -> None:
        """A run never fails because of who watches it, but this test does."""
        try:
            watch(event)
        except Exception as error:
            failures.append(error)

    run.internals.watch(watched)
    run.failures = failures  # type: ignore[attr-defined]
    return run


async def over(run: Run) -> None:
    """The run ends, however, and nobody who watched it found anything wrong."""
    with contextlib.suppress(RLMError, asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(run._result())), HANG)
    for failure in run.failures:  # type: ignore[attr-defined]
        raise failure


@LIMITS
@given(TREES, st.integers(0, 2**32), st.booleans())
async def test_frames_from_the_start_and_a_snapshot_at_any_time_agree(tree: Any, seed: int, stopped: bool) -> None:
    chance = random.Random(seed)
    browsers = [Browser()]
    run: Run

    def watch(event: Event) -> None:
        feed.note(event)
        if chance.random() < 0.4 and (frame := feed.frame()) is not None:
            for browser in browsers:
                browser.frame(frame)
        if chance.random() < 0.1:
            browsers.append(joined(feed))
        if chance.random() < 0.1:
            feed.subscribe(chance.sample([node.id for node in run.tree], k=min(2, len(run.tree))))
        if chance.random() < 0.05:
            chance.choice([run.pause, run.resume])()
        if stopped and chance.random() < 0.02:
            run.cancel()

    run = started(model_of(tree, chance), watch)
    feed = Feed(run)
    resumes = asyncio.create_task(resumed(run))
    await over(run)
    resumes.cancel()
    if (frame := feed.frame()) is not None:
        for browser in browsers:
            browser.frame(frame)
    assert feed.frame() is None, "nothing changed since"
    late = joined(feed)
    assert all(browser.state == late.state for browser in browsers)
    assert set(late.nodes) == {node.id for node in run.tree}
    assert late.run["status"] == run.status
    assert {"pause", "resume", "cancel"}.isdisjoint(late.run["can"])


async def resumed(run: Run) -> None:
    """Somebody goes on with a run that was paused."""
    while True:
        await asyncio.sleep(0.005)
        run.resume()


@in_virtual_time
async def test_a_reused_run_begins_a_new_epoch_with_the_recorded_times(tmp_path: Any) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(ScriptedModel({"root": {"a": "1", "b": "2"}}, latency=0.02))
    await engine.solve("root", checkpoint=path)
    run = engine.start("root", checkpoint=path)
    feed, browser = Feed(run), Browser()
    run.internals.watch(feed.note)
    await run
    browser.frame(feed.frame())  # type: ignore[arg-type]
    assert {node["phases"][0][0] for node in browser.nodes.values()} == {"replayed"}
    feed.show_recorded_times()
    browser.frame(feed.frame())  # type: ignore[arg-type]
    assert browser.state == joined(feed).state
    assert browser.epoch == 2
    assert [phase[0] for phase in browser.nodes["0"]["phases"]] == ["plan", "wait", "synthesize"]
    assert browser.nodes["0.0"]["phases"][0][0] == "execute", "the answer came with the plan"
    assert browser.run["notice"] == "reused from just now, 0 calls now"
    assert browser.run["elapsed"] == pytest.approx(0.06, abs=0.001)
    began, ended = browser.nodes["0"]["phases"][0][1], browser.nodes["0"]["phases"][-1][2]
    assert browser.run["worked"] == round(ended - began, 3), "one duration, in the header and in the root's row"


@in_virtual_time
async def test_a_reused_run_leaves_out_the_time_between_its_executions(tmp_path: Any) -> None:
    path = tmp_path / "run.json"
    script = {"root": {"one": {"a": "1"}, "two": {"b": "2"}}}
    broken = ScriptedModel(script, faults=[Fault("b", error=RuntimeError("gone"), times=None)])
    await over(started(broken, lambda event: None, checkpoint=path))
    await asyncio.sleep(3600)
    resumed = started(ScriptedModel(script), lambda event: None, checkpoint=path)
    await over(resumed)
    run = started(ScriptedModel(script), lambda event: None, checkpoint=path)
    await over(run)
    assert (joined(Feed(resumed)).run["calls"], joined(Feed(resumed)).run["notice"]) == (
        9,
        "2 of 5 nodes reused, 3 calls now",
    )
    assert run.internals.reused
    feed = Feed(run)
    feed.show_recorded_times()
    feed.frame()
    browser = joined(feed)
    assert browser.run["elapsed"] == pytest.approx(0, abs=0.001), "no call takes time in this test"
    for node in browser.nodes.values():
        times = [moment for phase in node["phases"] for moment in phase[1:]]
        assert times == sorted(times)
        assert max(times) <= browser.run["elapsed"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7300, "2 hours ago"),
        (86400, "1 day ago"),
        (260000, "3 days ago"),
    ],
)
async def test_a_reused_run_says_since_when(tmp_path: Any, seconds: float, said: str) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(ScriptedModel())
    await engine.solve("root", checkpoint=path)
    run = engine.start("root", checkpoint=path)
    await run
    recorded = run.internals.recorded.tree.ended if run.internals.recorded else None
    assert recorded
    run.internals.clock = lambda: recorded + seconds
    feed = Feed(run)
    feed.show_recorded_times()
    feed.frame()
    assert joined(feed).run["notice"] == f"reused from {said}, 0 calls now"


async def test_what_can_be_done_follows_the_status() -> None:
    seen: list[tuple[str, list[str]]] = []

    def watch(event: Event) -> None:
        feed.note(event)
        feed.frame()
        row = joined(feed).run
        seen.append((row["status"], row["can"]))

    run = started(ScriptedModel(latency=0.01), watch)
    feed = Feed(run)
    await asyncio.sleep(0)
    run.pause()
    run.resume()
    await over(run)
    assert [each for at, each in enumerate(seen) if each not in seen[:at]] == [
        ("running", ["cancel", "pause", "retry", "edit", "approve"]),
        ("paused", ["cancel", "resume", "retry", "edit", "approve"]),
        ("done", ["retry", "edit"]),
    ]


@in_virtual_time
async def test_pauses_are_told_also_to_who_comes_late() -> None:
    run = started(ScriptedModel({"root": ["first", "second"]}, latency=0.02), lambda event: feed.note(event))
    feed = Feed(run)
    await asyncio.sleep(0)
    run.pause()
    await asyncio.sleep(0.06)
    feed.frame()
    [[began, ended]] = joined(feed).run["pauses"]
    assert began >= 0
    assert ended is None
    run.resume()
    await over(run)
    feed.frame()
    [[again, ended]] = joined(feed).run["pauses"]
    assert again == began
    assert ended - began == pytest.approx(0.04, abs=0.001)


@in_virtual_time
async def test_a_call_that_ends_while_its_run_is_paused_is_work_until_then() -> None:
    run = AsyncRecursiveEngine(ScriptedModel({"root": ["only"]}, latency=0.3), max_concurrency=1).start("root")
    feed = Feed(run)
    run.internals.watch(feed.note)
    while not run.calls:  # noqa: ASYNC110 - what is waited for is a state, not an event
        await asyncio.sleep(0.001)
    run.pause()
    feed.frame()
    [[began, ended]] = joined(feed).run["pauses"]
    assert began == ended
    await asyncio.sleep(1)
    feed.frame()
    [[began, ended]] = joined(feed).run["pauses"]
    assert began == pytest.approx(0.3, abs=0.002)
    assert ended is None
    at_rest = run.internals.active_seconds
    assert at_rest == pytest.approx(0.3, abs=0.002)
    await asyncio.sleep(0.1)
    assert run.internals.active_seconds == at_rest
    run.resume()
    await run
    feed.frame()
    [[_, ended]] = joined(feed).run["pauses"]
    assert ended <= joined(feed).nodes["0.0"]["phases"][-1][1]


# -- streaming text --------------------------------------------------------------------------------------------------

STREAM = "🧭 one é two 日本 " * 20


def streaming(fault: Fault | None = None) -> ScriptedModel:
    def answer(request: Any) -> Any:
        return {"decision": "EXECUTE", "answer": None} if request.mode == "planner" else STREAM

    return ScriptedModel(answer, stream=True, chunk=5, latency=0.001, faults=[fault] if fault else [])


async def test_an_open_node_streams_its_whole_text_and_others_a_tail() -> None:
    browser, tails = Browser(), []

    def watch(event: Event) -> None:
        feed.note(event)
        if isinstance(event, Token) and not browser.texts:
            feed.subscribe(["0"])
        if (frame := feed.frame()) is not None:
            browser.frame(frame)
            tails.append(browser.nodes["0"]["tail"] if browser.nodes else "")

    run = started(streaming(), watch)
    feed = Feed(run)
    await over(run)
    assert browser.texts == {"0": STREAM}
    assert max(map(len, tails)) <= TAIL_CHARACTERS
    assert any(STREAM[:60] in tail or tail in STREAM for tail in tails if tail)
    assert tails[-1] == ""


async def test_a_retry_streams_from_the_start_again() -> None:
    browser, offsets = Browser(), []

    def watch(event: Event) -> None:
        feed.note(event)
        feed.subscribe(["0"]) if isinstance(event, Started | Retried) else None
        if (frame := feed.frame()) is not None:
            browser.frame(frame)
            offsets.extend(op[2] for op in frame["ops"] if op[0] == "x")

    run = started(streaming(Fault(error=ModelError("gone", retryable=True), after=9, mode="worker")), watch)
    feed = Feed(run)
    await over(run)
    assert offsets.count(0) == 2
    assert browser.texts == {"0": STREAM}


async def test_nobody_reads_so_no_text_is_sent() -> None:
    frames: list[Any] = []

    def watch(event: Event) -> None:
        feed.note(event)
        frames.append(feed.frame())

    run = started(streaming(), watch)
    feed = Feed(run)
    await over(run)
    assert not [op for frame in frames if frame for op in frame["ops"] if op[0] == "x"]


# -- details ---------------------------------------------------------------------------------------------------------


async def test_details_of_a_node() -> None:
    run = started(ScriptedModel({"root": {"a": "first", "b": "second"}}), lambda event: None)
    await run
    feed = Feed(run)
    assert feed.detail("0.0", "output") == "first"
    assert feed.detail("0", "plan")["decision"] == "RECURSE"
    prompt = feed.detail("0", "prompt")
    assert [message["role"] for message in prompt][:1] == ["system"]
    assert "first" in json.dumps(prompt)
    assert feed.detail("0", "tools") == []
    assert [event["type"] for event in feed.detail("0", "events")] == ["plan", "wait", "synthesize", "done"]


@pytest.mark.parametrize(("node", "field"), [("9", "output"), ("0", "secrets"), ("", ""), ("0", "__class__")])
async def test_what_is_not_there_is_nothing(node: str, field: str) -> None:
    run = started(ScriptedModel(), lambda event: None)
    await run
    assert Feed(run).detail(node, field) is None


async def test_the_label_of_what_is_no_language_model_is_shown() -> None:
    run = AsyncRecursiveEngine("offline").start("What is 2 + 3?")
    feed = Feed(run)
    run.internals.watch(feed.note)
    await run
    feed.frame()
    assert "rule-based" in joined(feed).run["label"]


# -- size ------------------------------------------------------------------------------------------------------------


def large_run(nodes: int) -> Iterator[Event]:
    """Everything that happens to a wide tree, as quickly as it can be said."""
    yield NodeCreated(at=0.0, node="0", parent=None, task="root")
    yield Planned(at=0.1, node="0", plan={"decision": "RECURSE"})
    for index in range(nodes - 1):
        yield NodeCreated(at=0.2, node=f"0.{index}", parent="0", task=f"Part {index} " + "x" * 300)
    for index in range(nodes - 1):
        yield Started(at=0.3, node=f"0.{index}")
    for index in range(nodes - 1):
        yield Finished(at=0.4, node=f"0.{index}", content="done")


@few_or_many(2_000, 10_000)
async def test_thousands_of_nodes_coalesce(amount: int) -> None:
    """Three events a node, a frame for each thousand: a node is in a frame at most once, whatever happened to it."""
    run = started(ScriptedModel(latency=30), lambda event: None)
    await asyncio.sleep(0)
    quiet = copy.copy(run)
    quiet.internals = copy.copy(run.internals)
    quiet.internals.tree = type(run.tree)()
    feed, browser, frames = Feed(quiet), Browser(), 0
    for count, event in enumerate(large_run(amount)):
        quiet.tree.apply(event)
        feed.note(event)
        if count % 1000 == 999 and (frame := feed.frame()) is not None:
            frames += 1
            touched = [op[1]["id"] if op[0] == "a" else op[1] for op in frame["ops"] if op[0] in "ap"]
            assert len(touched) == len(set(touched))
            browser.frame(frame)
    if (frame := feed.frame()) is not None:
        browser.frame(frame)
    await run.cancel()
    snapshot = feed.snapshot()
    assert frames <= amount // 250
    assert len(snapshot) < 40 * amount
    assert joined(feed).nodes == browser.nodes
    assert len(browser.nodes) == amount
    assert max(len(node["title"]) for node in browser.nodes.values()) == TITLE_CHARACTERS


async def test_many_writers_take_turns_and_states_do_not_wait() -> None:
    """A hundred texts grow at once: a frame holds the ends of a few, and every state; none is left out for long."""
    run = started(ScriptedModel(latency=30), lambda event: None)
    await asyncio.sleep(0)
    quiet = copy.copy(run)
    quiet.internals = copy.copy(run.internals)
    quiet.internals.tree = type(run.tree)()
    feed, browser = Feed(quiet), Browser()

    def happens(event: Event) -> None:
        quiet.tree.apply(event)
        feed.note(event)

    for event in [*large_run(101)][:102]:
        happens(event)
    for index in range(100):
        happens(Started(at=0.3, node=f"0.{index}"))
    browser.frame(feed.frame())  # type: ignore[arg-type]
    for index in range(100):
        happens(Token(at=0.4, node=f"0.{index}", text=f"the words of {index}"))
    happens(Finished(at=0.5, node="0.99", content="done"))
    sizes = []
    while (frame := feed.frame()) is not None:
        sizes.append(sum("tail" in op[-1] for op in frame["ops"] if op[0] == "p"))
        browser.frame(frame)
    assert browser.nodes["0.99"]["state"] == "done"
    assert [browser.nodes[f"0.{index}"]["tail"] for index in range(99)] == [f"the words of {n}" for n in range(99)]
    assert max(sizes) <= 10
    assert not feed.behind
    assert browser.state == joined(feed).state
    await run.cancel()


async def test_two_browsers_keep_what_each_has_open() -> None:
    run = started(streaming(), lambda event: None)
    feed = Feed(run)
    seen: list[Any] = []

    def watch(event: Event) -> None:
        feed.note(event)
        if isinstance(event, Started):
            feed.subscribe(["0"], "one")
            feed.subscribe(["0.7"], "other")
        frame = feed.frame() or {"ops": []}
        seen.extend(op for op in frame["ops"] if op[0] == "x")

    run.internals.watch(watch)
    await run
    assert "".join(op[3] for op in seen) == STREAM
    feed.subscribe([], "one")
    for number in range(100):
        feed.subscribe(["0"], f"gone {number}")
    assert len(feed._subscribed) <= 8, "who was never heard of again costs nothing for ever"


async def test_a_plan_that_waits_for_approval_is_marked_until_it_is_approved() -> None:
    engine = AsyncRecursiveEngine(ScriptedModel({"root": {"a": "1", "b": "2"}}), approve="root")
    run = engine.start("root")
    feed = Feed(run)
    run.internals.watch(feed.note)
    while not run.awaiting:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)
    feed.frame()
    assert joined(feed).nodes["0"]["awaiting"] == run.awaiting["0"].id
    plan = feed.detail("0", "plan")
    assert plan["sub_tasks"][1] == {"description": "b", "agent": None, "depends_on": []}
    run.approve("0", {**plan, "sub_tasks": plan["sub_tasks"][::-1]})
    await run
    feed.frame()
    assert joined(feed).nodes["0"]["awaiting"] == ""
    assert [joined(feed).nodes[f"0.{index}"]["title"] for index in (0, 1)] == ["b", "a"]


@in_virtual_time
async def test_while_a_run_only_waits_for_approval_its_clock_stands_still() -> None:
    run = AsyncRecursiveEngine(ScriptedModel({"root": ["a"]}), approve=True).start("root")
    feed, browser = Feed(run), Browser()
    run.internals.watch(feed.note)
    while not run.awaiting:  # noqa: ASYNC110 - what is waited for is a state, not an event
        await asyncio.sleep(0.001)
    browser.frame(feed.frame())  # type: ignore[arg-type]
    ((began, ended),) = browser.run["pauses"]
    assert ended is None
    await asyncio.sleep(0.05)
    run.approve("0")
    await asyncio.sleep(0)
    await run
    browser.frame(feed.frame())  # type: ignore[arg-type]
    ((began, ended),) = browser.run["pauses"]
    assert ended - began == pytest.approx(0.05, abs=0.001)


async def test_a_call_of_a_tool_that_waits_says_what_it_would_do() -> None:
    @tool(requires_approval=True)
    def send(to: str, text: str) -> str:
        """Send a text."""
        return "sent"

    def llm(inputs: list[Any], context: dict[str, Any]) -> dict[str, Any]:
        if inputs[-1]["role"] == "tool":
            return {"content": "done"}
        return {"content": None, "tool_calls": [{"name": "send", "arguments": {"to": "Ann", "text": "hi"}}]}

    run = AsyncRecursiveEngine(llm, tools=[send], max_depth=1).start("t")
    feed = Feed(run)
    run.internals.watch(feed.note)
    while not run.awaiting:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0)
    feed.frame()
    waiting = joined(feed).nodes["0"]
    assert (waiting["awaiting"], waiting["note"]) == (run.awaiting["0"].id, "asks to call send(to='Ann', text='hi')")
    run.approve("0")
    await run
    feed.frame()
    assert "send" not in joined(feed).nodes["0"]["note"]


async def test_the_cells_of_a_code_node_are_fetched_like_any_long_field() -> None:
    run = code_engine(coder(["print('seen', llm_query('one'))", "1 / 0", "FINAL('done')"])).start("root")
    feed = Feed(run)
    run.internals.watch(feed.note)
    await run

    cells = feed.detail("0", "cells")
    assert [cell["code"] for cell in cells] == ["print('seen', llm_query('one'))", "1 / 0", "FINAL('done')"]
    assert cells[0]["output"] == "seen ONE\n"
    assert "ZeroDivisionError" in cells[1]["error"]
    rows = {row[1]["id"]: {**DEFAULTS, **row[1]} for row in feed.frame()["ops"] if row[0] == "a"}  # type: ignore[index]
    assert (rows["0.0"]["query"], rows["0"]["cells"]) == ("llm_query", 5)
