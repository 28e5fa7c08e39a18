"""An answer that breaks off keeps what had come of it: in the run, in its file, in the details of its node."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ModelError, RetryPolicy, load_run
from rlm_notebook.core.events import Failed, Retried, from_json, to_json
from rlm_notebook.notebook.widget.details import Details
from rlm_notebook.notebook.widget.timeline import Timeline
from rlm_notebook.ports import Capabilities, Reply, Request
from rlm_notebook.runtime.run_context import MOST_OF_A_DRAFT

QUICK = RetryPolicy(attempts=2, initial=0)


class Breaking:
    """Streams this, one attempt after the other; what is an error is raised, an event is waited for."""

    name = "breaking"
    capabilities = Capabilities(json_schema=True, stream=True)

    def __init__(self, *attempts: list[Any], mode: str = "worker", plan: Any = None) -> None:
        self.attempts = list(attempts)
        self.mode = mode
        self.plan = plan or {"decision": "EXECUTE"}

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        if request.mode != self.mode or (request.facts.breadcrumbs and self.mode == "synthesizer"):
            plan = self.plan if not request.facts.breadcrumbs else {"decision": "EXECUTE", "answer": "a part"}
            yield Reply(json.dumps(plan))
            return
        pieces = self.attempts.pop(0) if len(self.attempts) > 1 else self.attempts[0]
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            yield piece
        yield Reply("".join(piece for piece in pieces if isinstance(piece, str)))


LOST = ModelError("connection lost", retryable=True)


async def failed(model: Any, **options: Any) -> Any:
    with pytest.raises(ModelError) as error:
        await AsyncRecursiveEngine(model, retry=options.pop("retry", None)).solve("t", **options)
    return error.value.run


async def test_what_came_is_in_the_run_in_its_file_and_in_the_details(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    run = await failed(Breaking(["One. ", "Two. ", LOST]), checkpoint=path)

    for known in (run, load_run(path)):
        assert "One. Two." in known.partial().content
        assert "breaks off" in known.partial().content
        assert known.tree["0"].partial == "One. Two. "
        assert Details(known, Timeline(0.0), lambda node: None).read("0", "output") == "One. Two. "


@pytest.mark.parametrize(("store", "kept"), [("full", True), ("outputs", True), ("hashes", False)])
async def test_it_is_kept_as_answers_are(tmp_path: Path, store: Any, kept: bool) -> None:
    run = await failed(Breaking(["One. ", LOST]), checkpoint=tmp_path / "run.json", store=store)

    assert ("One." in (tmp_path / "run.json").read_text()) == kept
    assert "One." in run.partial().content


async def test_of_several_attempts_the_most_is_kept_and_each_is_in_the_journal_before_the_next(tmp_path: Path) -> None:
    journal, seen = tmp_path / "run.journal.jsonl", []

    def watch(event: Any) -> None:
        if isinstance(event, Retried):
            seen.append("One. Two." in journal.read_text())

    model = Breaking(["One. ", "Two. ", LOST], ["One. ", LOST])
    engine = AsyncRecursiveEngine(model, retry=QUICK, observers=[watch])
    with pytest.raises(ModelError) as error:
        await engine.solve("t", checkpoint=tmp_path / "run.json")

    assert seen == [True]
    assert error.value.run.tree["0"].partial == "One. Two. "


async def test_an_answer_that_came_in_the_end_is_all_there_is(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(Breaking(["Wrong. ", LOST], ["Right."]), retry=QUICK)
    output = await engine.solve("t", checkpoint=path)

    assert output.run.partial().content == output.content == "Right."
    assert output.run.tree["0"].partial == ""
    assert "Wrong." not in path.read_text()


async def test_what_is_being_written_is_in_the_best_answer_so_far_and_is_kept_when_it_is_cancelled() -> None:
    never, seen = asyncio.Event(), asyncio.Event()
    run = AsyncRecursiveEngine(
        Breaking(["One. ", never]), observers=[lambda event: seen.set() if type(event).__name__ == "Token" else None]
    ).start("t")
    async with asyncio.timeout(60):
        await seen.wait()
    assert "One." in run.partial().content
    assert "goes on" in run.partial().content
    await run.cancel()

    assert run.tree["0"].partial == "One. "
    assert "One." in run.partial().content


async def test_a_synthesis_that_breaks_off_stands_before_its_parts() -> None:
    plan = {"decision": "RECURSE", "sub_tasks": ["a", "b"]}
    run = await failed(Breaking(["Both say ", LOST], mode="synthesizer", plan=plan))
    content = run.partial().content

    assert content.index("Both say") < content.index("a part")
    assert content.count("a part") == 2


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (["<think>hm, ", "let me see", LOST], ""),
        (["<think>hm</think>", "Ro", LOST], "Ro"),
        (["hm, let me see.", "</think>", "Ro", LOST], "Ro"),
        (["hm, let me see.", "</think>\n", LOST], ""),
    ],
)
async def test_thoughts_are_no_part_of_it(pieces: list[Any], kept: str) -> None:
    run = await failed(Breaking(pieces))

    assert run.tree["0"].partial == kept


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        (['{"decision": "EXECUTE", "ans', 'wer": "Ro'], "Ro"),
        (['{"answer": "\\"Ro\\"', "\\nis \\"], '"Ro"\nis '),
        (['```json\n{"decision": "EXECUTE", "answer": "a \\u00e9 \\ud83d'], "a é "),
        (['{"decision": "EXECUTE", "answer": "Rome", "sub_t'], "Rome"),
        (['<think>{"answer": "no"}</think>{"answer": "Ro'], "Ro"),
        (['{"answer": "no"} hm', '</think>{"answer": "Ro'], "Ro"),
        (['<think>{"answer": "no'], ""),
        (['{"thoughts": "\\"answer\\": \\"no'], ""),
        (['{"decision": "RECURSE", "answer": "no", "sub_tasks": ["a"'], ""),
        (['{"decision": "EXECUTE", "answer": null, "sub'], ""),
        (["Ro"], ""),
    ],
)
@pytest.mark.parametrize("max_depth", [2, 3])
async def test_of_a_plan_that_breaks_off_the_answer_is_kept(
    tmp_path: Path, pieces: list[str], kept: str, max_depth: int
) -> None:
    path = tmp_path / "run.json"
    model = Breaking([*pieces, LOST], mode="planner")
    with pytest.raises(ModelError) as error:
        await AsyncRecursiveEngine(model, retry=None, max_depth=max_depth).solve("t", checkpoint=path)

    for known in (error.value.run, load_run(path)):
        assert known.tree["0"].partial == kept


async def test_of_a_plan_that_was_asked_for_again_nothing_is_left(tmp_path: Path) -> None:
    plan = ['{"decision": "EXECUTE", ', '"answer": "Rome"}']
    engine = AsyncRecursiveEngine(Breaking([*plan[:1], '"answer": "Pa', LOST], plan, mode="planner"), retry=QUICK)
    output = await engine.solve("t")

    assert (output.content, output.run.tree["0"].partial) == ("Rome", "")
    assert "Pa" not in output.run.partial().content


async def test_of_an_endless_answer_the_beginning_is_kept(tmp_path: Path) -> None:
    run = await failed(Breaking([*["0123456789" * 1000] * 50, LOST]), checkpoint=tmp_path / "run.json")

    assert len(run.tree["0"].partial) == MOST_OF_A_DRAFT


async def test_a_run_that_goes_on_after_that_asks_again_and_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    await failed(Breaking(["One. ", LOST]), checkpoint=path)
    output = await AsyncRecursiveEngine(Breaking(["Whole."])).solve("t", checkpoint=path)

    assert (output.content, output.run.tree["0"].partial) == ("Whole.", "")


def test_events_of_earlier_versions_are_read_and_say_nothing_of_it() -> None:
    told = to_json(Failed(at=1.0, node="0", error="e"))
    del told["text"]

    assert from_json(told) == Failed(at=1.0, node="0", error="e")
