"""Sub-tasks start while their plan is still being written; what was begun too early is put aside, once and for all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Event, MaxStepsError, ModelError, PlanError, RetryPolicy, ScriptedModel
from rlm_notebook.checkpoints.memory import MemoryJournal
from rlm_notebook.core.events import Finished, NodeCreated, Superseded
from rlm_notebook.ports import Capabilities, Reply, Request
from tests.support.tasks import others
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG

QUICK = RetryPolicy(attempts=3, initial=0)


class Streaming:
    """Writes each plan of the root in the given pieces with a pause before each; answers all else at once.

    A piece that is an exception is raised; a piece that is an event is waited for.
    """

    name = "streaming"
    capabilities = Capabilities(json_schema=True, stream=True, usage=True)

    def __init__(self, *plans: list[Any], pause: float = 0.0, work: float = 0.0) -> None:
        self.plans = list(plans)
        self.pause = pause
        self.work = work
        self.started: list[tuple[str, float]] = []

    @property
    def asked(self) -> list[str]:
        return [task for task, _ in self.started]

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        task = request.facts.task
        self.started.append((task, time.monotonic()))
        if request.mode == "planner" and task == "root":
            pieces = self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
            for piece in pieces:
                if isinstance(piece, Exception):
                    raise piece
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                    continue
                await asyncio.sleep(self.pause)
                yield piece
            yield Reply("".join(piece for piece in pieces if isinstance(piece, str)))
            return
        await asyncio.sleep(self.work)
        if request.mode == "planner":
            yield Reply(json.dumps({"decision": "EXECUTE", "answer": f"<{task}>"}))
        else:
            yield Reply(f"{task}: " + "; ".join(part.content for part in request.facts.parts))


HEAD = '{"thoughts": "", "decision": "RECURSE", "sub_tasks": ['


def part(task: str, *depends_on: int) -> str:
    return json.dumps({"description": task, "depends_on": list(depends_on)})


def plan(*parts: str, end: str = "]}") -> list[Any]:
    """The pieces in which it streams: the head, one for each part, the end."""
    return [HEAD, *(each + ("," if index < len(parts) - 1 else "") for index, each in enumerate(parts)), end]


def states(run: Any) -> dict[str, str]:
    return {node.id: str(node.state) for node in run.tree.walk()}


@in_virtual_time
async def test_each_part_starts_with_the_piece_that_completes_it() -> None:
    pieces = plan(*(part(f"p{n}") for n in range(8)))
    model = Streaming(pieces, pause=1.0)
    run = AsyncRecursiveEngine(model).start("root")
    output = await run
    began, *parts = [at for _, at in model.started]
    phases = {phase.kind: phase for phase in run.tree["0"].phases}
    written = phases["plan"].ended - phases["plan"].started  # type: ignore[operator]

    assert written == pytest.approx(len(pieces))
    # The first piece is the head; the last call joins.
    assert [task for task, _ in model.started] == ["root", *(f"p{n}" for n in range(8)), "root"]
    assert [at - began for at in parts[:8]] == pytest.approx([n + 2.0 for n in range(8)])
    assert output.content == "root: " + "; ".join(f"<p{n}>" for n in range(8))


async def test_it_is_as_if_the_plan_had_come_at_once() -> None:
    pieces = plan(part("a"), part("b", 0), part("c"), part("d", 1, 2))
    whole = await AsyncRecursiveEngine(Streaming(["".join(pieces)])).solve("root")
    early = await AsyncRecursiveEngine(Streaming(list("".join(pieces)))).solve("root")

    def seen(output: Any) -> Any:
        return output.content, [(n.id, n.task, n.depends_on, n.result, n.state) for n in output.run.tree.walk()]

    assert seen(whole) == seen(early)


async def test_a_plan_that_breaks_puts_aside_what_it_began_and_reuses_what_that_finished() -> None:
    done = asyncio.Event()
    broken = [*plan(part("a"), part("b"), part("gone"))[:3], done, "%% no JSON any more"]
    model = Streaming(broken, plan(part("b"), part("c"), part("a")))
    journal = MemoryJournal()

    def watch(event: Event) -> None:
        if isinstance(event, Finished) and event.node == "0.1":
            done.set()

    output = await AsyncRecursiveEngine(model, observers=[watch]).solve("root", checkpoint=journal)

    assert output.content == "root: <b>; <c>; <a>"
    assert states(output.run) == {
        "0": "done",
        "0.0": "superseded",
        "0.1": "superseded",
        "0.2": "done",
        "0.3": "done",
        "0.4": "done",
    }
    assert sorted(model.asked) == ["a", "b", "c", "root", "root", "root"], "nobody is paid twice"
    assert [output.run.tree[node].mark for node in ("0.2", "0.3", "0.4")] == ["replayed", "", "replayed"]
    assert others() == set()
    again = await AsyncRecursiveEngine(model).solve("root", checkpoint=journal)
    assert (again.content, again.metadata["calls"]) == (output.content, 0)


async def test_what_still_ran_is_stopped_and_counted_where_it_ran() -> None:
    slow = Streaming([*plan(part("a"), part("b"), part("c"))[:3], "%% broken"], plan(part("c"), part("d")), work=0.05)
    output = await AsyncRecursiveEngine(slow).solve("root")
    tree = output.run.tree

    assert states(output.run) == {"0": "done", "0.0": "superseded", "0.1": "superseded", "0.2": "done", "0.3": "done"}
    assert tree["0.0"].usage.calls == 1
    assert sum(node.usage.calls for node in tree) == output.usage.calls == len(slow.asked)
    assert others() == set()


async def test_a_stream_that_breaks_off_does_not_begin_its_parts_again() -> None:
    parts = [part(f"p{n}") for n in range(4)]
    cut = [*plan(*parts)[:3], ModelError("connection lost", retryable=True)]
    model = Streaming(cut, plan(*parts))
    output = await AsyncRecursiveEngine(model, retry=QUICK).solve("root")

    assert [node.task for node in output.run.tree.children("0")] == ["p0", "p1", "p2", "p3"]
    assert len(output.run.tree) == 5
    assert sorted(model.asked) == ["p0", "p1", "p2", "p3", "root", "root", "root"]


async def test_a_stream_that_comes_back_with_another_plan_is_followed_as_it_came_out() -> None:
    cut = [*plan(part("a"), part("b"), part("c"))[:3], ModelError("connection lost", retryable=True)]
    output = await AsyncRecursiveEngine(Streaming(cut, plan(part("x"), part("a"))), retry=QUICK).solve("root")

    assert output.content == "root: <x>; <a>"
    assert [n.task for n in output.run.tree.children("0") if n.state == "done"] == ["x", "a"]


async def test_a_model_that_fails_in_the_middle_of_a_plan_leaves_nothing_running() -> None:
    cut = [*plan(part("a"), part("b"), part("c"))[:3], ModelError("the key was revoked")]
    with pytest.raises(ModelError, match="revoked") as error:
        await AsyncRecursiveEngine(Streaming(cut, work=5)).solve("root")

    assert states(error.value.run) == {"0": "failed", "0.0": "cancelled", "0.1": "cancelled"}
    assert others() == set()


async def test_beyond_max_steps_in_mid_stream_the_task_is_executed_instead() -> None:
    model = Streaming(plan(*(part(f"p{n}") for n in range(6))))
    output = await AsyncRecursiveEngine(model, max_steps=4).solve("root")
    tree = output.run.tree

    assert (tree["0"].limited, tree["0"].decision) == ("max_steps", "EXECUTE")
    assert {str(node.state) for node in tree.children("0")} <= {"superseded"}
    assert len(tree) <= 4
    assert output.content == "root: ", "answered by the worker, from no parts"
    assert others() == set()


async def test_plans_that_never_hold_begin_a_bounded_number_of_nodes() -> None:
    """A planner that breaks off each plan it streams is asked three times a node."""

    class Broken:
        name = "broken"
        capabilities = Capabilities(json_schema=True, stream=True)

        async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
            pieces = plan(*(part(f"{request.facts.task_id}/{n}") for n in range(4)))[:5]
            for piece in pieces:
                # Time for what was begun to break off its own plans.
                await asyncio.sleep(0.01 if request.facts.depth == 0 else 0)
                yield piece
            yield Reply("".join(pieces) + "%%")

    run = AsyncRecursiveEngine(Broken(), max_depth=12, max_steps=20, max_concurrency=64).start("root")
    with pytest.raises(PlanError):
        await run

    assert len(run.tree) <= 3 * 20, "as many at a time, as many put aside before, and the last that were begun early"
    assert others() == set()


async def test_with_raise_too_large_a_plan_ends_the_run_and_is_kept() -> None:
    journal = MemoryJournal()
    model = Streaming(plan(*(part(f"p{n}") for n in range(6))))
    engine = AsyncRecursiveEngine(model, max_steps=4, on_limit="raise")
    with pytest.raises(MaxStepsError):
        await engine.solve("root", checkpoint=journal)
    assert others() == set()
    before = len(model.asked)
    output = await engine.replaced(max_steps=9).solve("root", checkpoint=journal)

    assert output.content == "root: " + "; ".join(f"<p{n}>" for n in range(6))
    assert model.asked[before:].count("root") == 1, "joined, not planned again"


async def test_steps_of_what_was_put_aside_are_given_back() -> None:
    """A plan that fits is followed, however much a broken one had begun before."""
    broken = [*plan(*(part(f"x{n}") for n in range(3)))[:4], "%%"]
    output = await AsyncRecursiveEngine(Streaming(broken, plan(*(part(f"p{n}") for n in range(5)))), max_steps=6).solve(
        "root"
    )

    assert output.run.tree["0"].limited == ""
    assert sum(node.state == "done" for node in output.run.tree) == 6


async def test_a_part_that_depends_on_a_later_one_waits_for_the_whole_plan() -> None:
    pieces = plan(part("a"), part("b", 2), part("c"), part("d", 1))
    created: list[str] = []

    def noted(event: Event) -> None:
        if isinstance(event, NodeCreated) and event.parent is not None:
            created.append(event.node)

    model = Streaming(pieces, pause=0.005)
    output = await AsyncRecursiveEngine(model, observers=[noted]).solve("root")
    order = [task for task in model.asked if task != "root"]

    assert output.content == "root: <a>; <b>; <c>; <d>"
    assert order.index("c") < order.index("b") < order.index("d")
    assert output.run.tree["0.1"].depends_on == ("0.2",)
    assert created == ["0.0", "0.1", "0.2", "0.3"]


async def test_a_circle_found_at_the_end_puts_aside_what_was_begun() -> None:
    circle = plan(part("a"), part("b", 0), part("c", 3), part("d", 2))
    told: list[Event] = []
    output = await AsyncRecursiveEngine(
        Streaming(circle, plan(part("a"), part("b", 0))), observers=[told.append]
    ).solve("root")

    assert output.content == "root: <a>; <b>"
    assert output.run.tree["0"].attempts == 2
    assert len([event for event in told if isinstance(event, Superseded)]) == 2


async def test_nothing_starts_early_where_the_plan_is_to_be_approved() -> None:
    gate = asyncio.Event()
    model = Streaming([*plan(part("a"), part("b"))[:2], gate, *plan(part("a"), part("b"))[2:]])
    run = AsyncRecursiveEngine(model, approve="root").start("root")
    await asyncio.sleep(0.02)
    assert model.asked == ["root"]
    gate.set()
    async with asyncio.timeout(HANG):
        while "0" not in run.awaiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    assert model.asked == ["root"]
    run.approve("0")
    assert (await run).content == "root: <a>; <b>"


async def test_cancelling_in_mid_stream_leaves_nothing() -> None:
    never = asyncio.Event()
    run = AsyncRecursiveEngine(Streaming([*plan(part("a"), part("b"))[:2], never], work=5)).start("root")
    async with asyncio.timeout(HANG):
        while len(run.tree) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    await run.cancel()

    assert others() == set()
    assert states(run) == {"0": "cancelled", "0.0": "cancelled"}


async def test_thoughts_that_look_like_a_plan_begin_nothing() -> None:
    thoughts = 'I could write "decision": "RECURSE", "sub_tasks": [ {"description": "not this"} ] but'
    text = json.dumps({"thoughts": thoughts, "decision": "EXECUTE", "answer": "no"})
    output = await AsyncRecursiveEngine(Streaming(list(text))).solve("root")

    assert (output.content, len(output.run.tree)) == ("no", 1)


async def test_a_long_plan_in_small_pieces_starts_its_parts() -> None:
    words = "x" * 200_000
    text = json.dumps({"thoughts": words, "decision": "RECURSE", "sub_tasks": ["a", words, "c"]})
    pieces = [text[at : at + 20] for at in range(0, len(text), 20)]
    output = await AsyncRecursiveEngine(Streaming(pieces)).solve("root")

    assert len(output.run.tree) == 4


def test_the_same_with_the_scripted_model() -> None:
    """The first sub-tasks are there while the plan still streams."""
    model = ScriptedModel({"root": [f"p{n}" for n in range(8)]}, stream=True, latency=0.2, chunk=4)
    seen: list[tuple[str, str]] = []
    engine = AsyncRecursiveEngine(model, observers=[lambda event: seen.append((type(event).__name__, event.node))])
    asyncio.run(engine.solve("root"))
    planned = seen.index(("Planned", "0"))
    assert [node for name, node in seen[:planned] if name == "NodeCreated"][:4] == ["0", "0.0", "0.1", "0.2"]
    assert ("PlanStarted", "0.0") in seen[:planned]
