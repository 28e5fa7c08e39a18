"""What a model thinks is no part of what it says: no plan, no value, no answer; it is kept beside it."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import rlm_notebook.core.reasoning
from rlm_notebook import AsyncRecursiveEngine, ModelError, RetryPolicy, ScriptedModel, load_run
from rlm_notebook.caches.memory import MemoryCache
from rlm_notebook.core.events import NodeCreated, Token
from rlm_notebook.notebook.widget.details import Details
from rlm_notebook.notebook.widget.timeline import Timeline
from rlm_notebook.ports import Capabilities, Reply, Request, ToolCall


class City(BaseModel):
    name: str


SPLIT = json.dumps({"decision": "RECURSE", "sub_tasks": ["one", "two"]})
DONE = json.dumps({"decision": "EXECUTE", "answer": "Rome"})
QUICK = RetryPolicy(attempts=2, initial=0)


def saying(*replies: str | Reply, chunk: int = 7) -> ScriptedModel:
    """Says this to whoever asks, one after the other, and then the last for ever; in pieces."""
    given = list(replies)
    return ScriptedModel(
        lambda request: _reply(given.pop(0) if len(given) > 1 else given[0]), stream=bool(chunk), chunk=chunk or 1
    )


def _reply(given: str | Reply) -> Reply:
    return Reply(given) if isinstance(given, str) else given


@pytest.mark.parametrize("chunk", [0, 1, 7, 1000])
@pytest.mark.parametrize(
    "text",
    [
        f"<think>I could split: {SPLIT}? No.</think>\n{DONE}",
        f"I could split: {SPLIT}? No.\n</think>\n{DONE}",
        f'<think>{{"decision": "RECURSE", "sub_tasks": [{{"description": "x"}}, but no</think>{DONE}',
        f"<THINKING>```json\n{SPLIT}\n```</THINKING>```json\n{DONE}\n```",
        f"[THINK]{SPLIT}[/THINK]{DONE}",
    ],
    ids=["pair", "only the closing tag", "breaks off", "fenced", "brackets"],
)
async def test_a_plan_that_was_only_considered_is_none_and_begins_nothing(text: str, chunk: int) -> None:
    created: list[str] = []
    engine = AsyncRecursiveEngine(
        model := saying(text, chunk=chunk),
        observers=[lambda event: created.append(event.node) if isinstance(event, NodeCreated) else None],
    )
    output = await engine.solve("t")

    assert (output.content, created, model.calls) == ("Rome", ["0"], 1)
    assert "sub_tasks" in output.metadata["reasoning"]


async def test_a_plan_behind_thoughts_still_begins_its_parts_early() -> None:
    seen: list[tuple[str, str]] = []
    model = ScriptedModel(
        lambda r: Reply(f"<think>{DONE}? No, two parts.</think>\n{SPLIT}") if not r.facts.breadcrumbs else None,
        stream=True,
        chunk=3,
    )
    engine = AsyncRecursiveEngine(model, observers=[lambda event: seen.append((type(event).__name__, event.node))])
    run = engine.start("t", mode="fresh")
    await run

    assert [node.task for node in run.tree.children("0")] == ["one", "two"]
    assert seen.index(("NodeCreated", "0.0")) < seen.index(("Planned", "0"))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("draft", [f"{SPLIT}? No.", f"```json\n{SPLIT}\n```\nNo."], ids=["bare", "fenced"])
async def test_a_model_that_only_closes_its_thoughts_begins_no_draft_again(draft: str, chunk: int) -> None:
    created: list[str] = []
    engine = AsyncRecursiveEngine(
        model := saying(f"{draft}\n</think>\n{DONE}", chunk=chunk),
        observers=[lambda event: created.append(event.node) if isinstance(event, NodeCreated) else None],
    )
    assert (await engine.solve("first")).content == "Rome"
    created.clear()
    calls = model.calls
    output = await engine.solve("second")

    assert (output.content, created, model.calls - calls) == ("Rome", ["0"], 1)


@pytest.mark.parametrize("thought", [f"{DONE}? No, two.\n</think>\n", "<think>Two.</think>", "Two.\n</think>\n"])
async def test_what_follows_thoughts_that_only_close_still_begins_early(thought: str) -> None:
    seen: list[tuple[str, str]] = []
    model = ScriptedModel(
        lambda r: Reply(f"{thought}{SPLIT}") if not r.facts.breadcrumbs else None, stream=True, chunk=3
    )
    engine = AsyncRecursiveEngine(model, observers=[lambda event: seen.append((type(event).__name__, event.node))])
    await engine.solve("first")
    seen.clear()
    await engine.solve("second")

    assert seen.index(("NodeCreated", "0.0")) < seen.index(("Planned", "0"))


@pytest.mark.parametrize("chunk", [0, 1, 7])
@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ('<think>Maybe {"name": "Paris"}? No.</think>\n{"name": "Rome"}', City, City(name="Rome")),
        ('Maybe {"name": "Paris"}?</think>{"name": "Rome"}', City, City(name="Rome")),
        ("<think>[1]? no</think>[42]", list[int], [42]),
        ("<think>41? no.</think>\n42", int, 42),
        ("<think>hm</think>\nRome", str, "Rome"),
    ],
)
async def test_a_value_that_was_only_considered_is_none(text: str, wanted: Any, value: Any, chunk: int) -> None:
    output = await AsyncRecursiveEngine(model := saying(text, chunk=chunk), max_depth=1).solve("t", output_type=wanted)

    assert (output.parsed, model.calls) == (value, 1)


@pytest.mark.parametrize("chunk", [1, 5, 1000])
@pytest.mark.parametrize("text", ["<think>\nHmm.\n</think>\n\nIt is `Rome`.", "Hmm.\n</think>\n\nIt is `Rome`."])
async def test_thoughts_are_in_no_answer_and_nobody_watches_them(text: str, chunk: int) -> None:
    shown: list[str] = []

    def watch(event: Any) -> None:
        if isinstance(event, Token):
            shown[:] = [event.text] if event.anew else [*shown, event.text]

    engine = AsyncRecursiveEngine(saying(text, chunk=chunk), max_depth=1, observers=[watch])
    output = await engine.solve("t")

    assert output.content == "".join(shown).strip() == "It is `Rome`."
    assert output.metadata["reasoning"] == "Hmm."


async def test_what_a_provider_tells_of_thoughts_is_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = saying(Reply("<think>second</think>Rome", reasoning="first"))
    engine = AsyncRecursiveEngine(model, max_depth=1)
    outputs = [await engine.solve("t", checkpoint=path, mode=mode) for mode in ("fresh", "resume", "replay")]
    loaded = load_run(path)

    assert [output.metadata["reasoning"] for output in outputs] == ["first\n\nsecond"] * 3
    assert (model.calls, loaded.tree["0"].reasoning) == (1, "first\n\nsecond")
    details = Details(loaded, Timeline(0.0), lambda node: None)
    assert details.read("0", "prompt")[-1] == {"role": "what the model thought", "content": "first\n\nsecond"}


@pytest.mark.parametrize(("store", "kept"), [("full", True), ("outputs", False), ("hashes", False)])
async def test_thoughts_are_in_the_file_as_far_as_what_was_asked_is(tmp_path: Path, store: Any, kept: bool) -> None:
    path = tmp_path / "run.json"
    text = f"<think>of the splitting</think>{SPLIT}"
    model = ScriptedModel(
        lambda r: Reply(text) if r.mode == "planner" and not r.facts.breadcrumbs else Reply("<think>of it</think>x")
    )
    journal = tmp_path / "run.journal.jsonl"
    written: list[str] = []
    engine = AsyncRecursiveEngine(
        model,
        max_depth=2,
        observers=[lambda event: written.append(journal.read_text()) if journal.exists() else None],
    )
    output = await engine.solve("t", checkpoint=path, store=store)

    assert output.run.tree["0"].reasoning == "of the splitting\n\nof it"
    for kept_text in (path.read_text(), "".join(written)):
        assert ("of the splitting" in kept_text, "of it" in kept_text) == (kept, kept)


async def test_an_answer_that_came_only_in_thoughts_is_used_where_json_was_asked_for() -> None:
    typed = saying(Reply("", reasoning='Easy. {"name": "Rome"}'))
    planned = saying(Reply("", reasoning=f"Not {SPLIT}, but\n```json\n{DONE}\n```"))

    assert (await AsyncRecursiveEngine(typed, max_depth=1).solve("t", output_type=City)).parsed == City(name="Rome")
    assert (await AsyncRecursiveEngine(planned).solve("t")).content == "Rome"
    assert (typed.calls, planned.calls) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "calls", "said"),
    [
        (Reply("", reasoning="It is Rome."), 2, "only thought.*gave no answer"),
        (Reply("<think>It is Rome."), 2, "only thought.*gave no answer"),
        (Reply("<think>It is Rome.</think>\n"), 2, "only thought.*gave no answer"),
        (Reply("<think>It is", finish_reason="length"), 1, "limit of output tokens.*raise max_output_tokens"),
        (Reply('<think>{"name": "Rome"}, or', finish_reason="stop"), 2, "only thought"),
        (Reply('<think>{"name": "Rome"}', finish_reason="length"), 1, "limit of output tokens"),
    ],
)
async def test_nothing_but_thoughts_is_an_error_that_says_so(reply: Reply, calls: int, said: str) -> None:
    model = saying(reply)
    with pytest.raises(ModelError, match=said) as error:
        await AsyncRecursiveEngine(model, max_depth=1, retry=QUICK).solve("t", output_type=City)

    assert model.calls == error.value.run.usage.calls == calls, "what is whole may come out otherwise when asked again"


async def test_a_conversation_goes_on_without_the_thoughts_and_keeps_those_of_all_rounds() -> None:
    def script(request: Request) -> Reply:
        if len(request.messages) == 2:
            return Reply("<think>I need a tool.</think>", (ToolCall("a", "lookup", {"of": "it"}),))
        return Reply("<think>Now I know.</think>Rome")

    model = ScriptedModel(script)

    def lookup(of: str) -> str:
        return f"the capital of {of}"

    output = await AsyncRecursiveEngine(model, max_depth=1, tools=[lookup]).solve("t")

    assert output.content == "Rome"
    assert output.metadata["reasoning"] == "I need a tool.\n\nNow I know."
    assert [message["content"] for message in model.requests[-1].messages[2:]] == ["", "the capital of it"]


async def test_what_a_cache_holds_of_others_is_told_apart_too() -> None:
    class Foreign(MemoryCache):
        def get(self, key: str) -> Reply:
            return Reply("<think>Hm.</think>Rome")

    output = await AsyncRecursiveEngine(saying("never"), max_depth=1, cache=Foreign()).solve("t")

    assert (output.content, output.metadata["reasoning"]) == ("Rome", "Hm.")


async def test_a_plan_in_which_a_tag_is_spoken_of_is_read_as_it_stands() -> None:
    answer = "They end with </think>, and begin with <think>."
    output = await AsyncRecursiveEngine(
        saying(json.dumps({"decision": "EXECUTE", "answer": answer}), chunk=4), max_depth=3
    ).solve("t")

    assert output.content == answer
    assert "reasoning" not in output.metadata


async def test_thoughts_within_the_answer_beside_a_plan_are_told_from_it() -> None:
    plan = json.dumps({"decision": "EXECUTE", "answer": "<think>Paris? No.</think>\n\nRome"})
    output = await AsyncRecursiveEngine(model := saying(plan), max_depth=3).solve("t")

    assert (output.content, output.metadata["reasoning"], model.calls) == ("Rome", "Paris? No.", 1)


async def test_more_thoughts_than_anybody_reads_are_kept_in_part() -> None:
    output = await AsyncRecursiveEngine(saying("<think>" + "hm " * 40_000 + "</think>Rome"), max_depth=1).solve("t")

    assert 90_000 < len(output.metadata["reasoning"]) < 110_000


async def test_the_thoughts_of_a_long_reply_are_taken_out_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    on_loop: list[bool] = []
    read = rlm_notebook.core.reasoning.json_whole

    def noted(text: str) -> tuple[Any] | None:
        on_loop.append(threading.current_thread() is threading.main_thread())
        return read(text)

    monkeypatch.setattr(rlm_notebook.core.reasoning, "json_whole", noted)
    for count in (1, 20_000):
        engine = AsyncRecursiveEngine(saying("<think>" + "hm " * count + "</think>Rome"), max_depth=1)
        assert (await engine.solve("t")).content == "Rome"
    assert on_loop == [True, False]


async def test_a_model_may_yield_what_is_no_text() -> None:
    class Odd:
        name = "odd"
        capabilities = Capabilities(stream=True)

        async def stream(self, request: Request) -> Any:
            for piece in ("<think>a", None, 3, "</think>Ro", "me"):
                yield piece
            yield Reply("<think>a</think>Rome", reasoning=None)  # type: ignore[arg-type]

    output = await AsyncRecursiveEngine(Odd(), max_depth=1).solve("t")
    assert output.content == "Rome"
