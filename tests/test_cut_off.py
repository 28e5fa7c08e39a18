"""A reply that ended early is never taken for a whole one in silence: every view, the repair and the errors say so."""

import gzip
import html
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from rlm_notebook import AsyncRecursiveEngine, InvalidJSONError, PlanError, ScriptedModel, ToolError, load_run, tool
from rlm_notebook.caches.memory import MemoryCache
from rlm_notebook.caches.shared_replies import is_whole
from rlm_notebook.core.finish_reason import cut_off, ended_early
from rlm_notebook.notebook.display.static_tree import bundle_of
from rlm_notebook.notebook.widget.feed import Feed
from rlm_notebook.notebook.widget.rows import node_row
from rlm_notebook.notebook.widget.timeline import Timeline
from rlm_notebook.ports import Reply, Request, ToolCall

pytestmark = pytest.mark.timeout(120)

LIMIT = "cut off at the limit of output tokens"
FILTER = "cut off by the provider's content filter"


class Part(BaseModel):
    name: str
    kids: list["Part"] = []


def saying(*replies: Reply) -> ScriptedModel:
    given = list(replies)
    return ScriptedModel(lambda request: given.pop(0) if len(given) > 1 else given[0])


def short(text: str, reason: str = "length") -> Reply:
    return Reply(text, finish_reason=reason)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("length", LIMIT),
        ("max_tokens", LIMIT),
        ("content_filter", FILTER),
        ("refusal", FILTER),
        ("insufficient_system_resource", "cut off by the server"),
    ],
)
async def test_an_answer_that_was_cut_off_says_so_in_every_view(tmp_path: Path, reason: str, said: str) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(model := saying(short("1. Fire 2. Flo", reason)), max_depth=1)
    for mode in ("fresh", "resume", "replay"):
        output = await engine.solve("t", checkpoint=path, mode=mode)
        node = output.run.tree["0"]

        assert output.content == "1. Fire 2. Flo"
        assert output.metadata["finish_reason"] == ended_early(reason)
        assert said in node.remark
        assert said in output.metadata["notes"][0]
        assert said in str(output.run)
        row = node_row(node, Timeline(0.0), tail="", awaiting="", recalled=None)
        assert (row["ended_early"], said in row["note"]) == (True, True)
        assert said in json.loads(gzip.decompress(Feed(output.run).snapshot()))["run"]["notes"][-1]
        assert said in html.unescape(bundle_of(output.run)["text/html"])
    assert model.calls == 1
    assert said in load_run(path).tree["0"].remark
    assert said in str(load_run(path))


async def test_what_a_function_says_of_how_it_ended_counts_too() -> None:
    engine = AsyncRecursiveEngine(
        lambda inputs, context: {"content": "1. Fi", "metadata": {"finish_reason": "MAX_TOKENS"}}, max_depth=1
    )
    output = await engine.solve("t")

    assert LIMIT in output.run.tree["0"].remark
    assert output.metadata["finish_reason"] == "length"


async def test_whole_answers_say_nothing_of_it() -> None:
    output = await AsyncRecursiveEngine(saying(short("Rome", "stop")), max_depth=1).solve("t")

    assert not {"finish_reason", "notes"} & set(output.metadata)
    assert output.run.tree["0"].ended_early == ""


@pytest.mark.parametrize(
    "said",
    [
        {"stop_reason": "max_tokens"},
        {"done_reason": "length"},
        {"metadata": {"stop_reason": "max_tokens"}},
        {"finish_reason": None, "stop_reason": "max_tokens"},
    ],
)
async def test_a_callable_may_say_so_in_the_words_of_other_libraries(said: dict[str, Any]) -> None:
    for given in ({"content": "1. Fi", **said}, SimpleNamespace(content="1. Fi", **said)):
        engine = AsyncRecursiveEngine(lambda inputs, context, given=given: given, max_depth=1)
        assert (await engine.solve("t")).metadata["finish_reason"] == "length"


async def test_an_answer_beside_a_plan_that_was_cut_off_is_one_that_was() -> None:
    text = json.dumps({"decision": "EXECUTE", "answer": "1. Fire 2. Flo"})
    output = await AsyncRecursiveEngine(model := saying(short(text)), max_depth=3).solve("t")

    assert (output.content, model.calls) == ("1. Fire 2. Flo", 1)
    assert output.metadata["finish_reason"] == "length"
    assert LIMIT in output.run.tree["0"].remark


async def test_a_synthesis_and_the_parts_below_it_are_told_of_one_by_one() -> None:
    def script(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "RECURSE", "sub_tasks": ["a", "b"]}
        return short("cut", "content_filter") if request.facts.task in ("t", "b") else "whole"

    output = await AsyncRecursiveEngine(ScriptedModel(script), max_depth=2).solve("t")

    assert [node.id for node in output.run.tree if node.ended_early] == ["0", "0.1"]
    assert [note.partition(":")[0] for note in output.metadata["notes"]] == [
        f"node 0 was {FILTER} (finish_reason content_filter)",
        f"node 0.1 was {FILTER} (finish_reason content_filter)",
    ]


CUT_PLAN = '{"decision": "RECURSE", "sub_tasks": [{"description": "one"}, {"descrip'
PLAN = json.dumps({"decision": "RECURSE", "sub_tasks": ["one", "two"]})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plan_that_was_cut_off_is_asked_for_again_and_told_why(stream: bool) -> None:
    texts = iter([short(CUT_PLAN), Reply(PLAN)])
    model = ScriptedModel(
        lambda r: next(texts) if r.mode == "planner" and not r.facts.breadcrumbs else None, stream=stream, chunk=9
    )
    output = await AsyncRecursiveEngine(model, max_depth=2).solve("t")
    told = next(r for r in model.requests if r.mode == "planner" and len(r.messages) > 2).messages[-1]["content"]

    assert LIMIT in told
    assert "be brief" in told
    assert [node.task for node in output.run.tree.children("0") if node.state == "done"] == ["one", "two"]
    assert output.content == "t: answer to: one; answer to: two"


async def test_a_plan_that_is_always_cut_off_is_an_error_that_says_what_to_raise() -> None:
    with pytest.raises(InvalidJSONError, match=f"{LIMIT}.*[Rr]aise max_output_tokens"):
        await AsyncRecursiveEngine(saying(short(CUT_PLAN))).solve("t")


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (Part, '{"name": "root", "kids": [{"name": "inner"}, {"name": "cut'),
        (list[int], "[[1, 2], [3"),
        (int, "42"),
        (list[Part], '{"result": [{"name": "a"}, {"na'),
        (dict[str, int], '{"a": 1, "b"'),
    ],
)
async def test_a_value_that_was_cut_off_is_none(wanted: Any, text: str) -> None:
    model = saying(short(text))
    with pytest.raises(PlanError, match=f"{LIMIT}.*[Rr]aise max_output_tokens"):
        await AsyncRecursiveEngine(model, max_depth=1).solve("t", output_type=wanted)

    assert LIMIT in model.requests[-1].messages[-1]["content"]


async def test_a_whole_value_before_the_cut_is_one_and_is_marked() -> None:
    output = await AsyncRecursiveEngine(saying(short('{"name": "a"}   \n\n')), max_depth=1).solve("t", output_type=Part)

    assert output.parsed == Part(name="a")
    assert LIMIT in output.run.tree["0"].remark


def usable(calls: list[Any]) -> Any:
    @tool
    def note(text: str = "nothing") -> str:
        """Keep a text."""
        calls.append(text)
        return "kept"

    return note


@pytest.mark.parametrize("arguments", [{}, '{"text": "a long sto', ""], ids=["none", "broken", "empty"])
async def test_a_call_that_was_cut_off_is_not_made_and_the_model_is_told(arguments: Any) -> None:
    model = saying(
        Reply(
            "",
            (ToolCall("a", "note", {"text": "whole"}), ToolCall("b", "note", arguments)),
            finish_reason="length",
        ),
        Reply("", (ToolCall("c", "note", {"text": "again"}),), finish_reason="tool_calls"),
        Reply("done"),
    )
    calls: list[Any] = []
    output = await AsyncRecursiveEngine(model, max_depth=1, tools=[usable(calls)]).solve("t")

    assert calls == ["whole", "again"]
    refused = output.run.tree["0"].tool_calls[1]
    assert (refused.ok, LIMIT in (refused.content or "")) == (False, True)
    assert output.run.tree["0"].ended_early == "", "its last words are whole"


async def test_a_call_whose_arguments_are_whole_is_made_whatever_came_behind_it() -> None:
    reply = Reply("", (ToolCall("a", "note", {"text": "whole"}),), finish_reason="length")
    calls: list[Any] = []
    await AsyncRecursiveEngine(saying(reply, Reply("done")), max_depth=1, tools=[usable(calls)]).solve("t")

    assert calls == ["whole"]


async def test_calls_that_are_always_cut_off_are_an_error_that_says_so() -> None:
    model = saying(Reply("", (ToolCall("a", "note", ""),), finish_reason="length"))
    with pytest.raises(ToolError, match=f"{LIMIT}.*max_tool_rounds"):
        await AsyncRecursiveEngine(model, max_depth=1, tools=[usable([])]).solve("t")


async def test_nobody_is_asked_to_allow_a_call_that_is_not_made() -> None:
    calls: list[Any] = []

    @tool(requires_approval=True)
    def send(text: str = "") -> str:
        """Send it."""
        calls.append(text)
        return "sent"

    model = saying(Reply("", (ToolCall("a", "send", {}),), finish_reason="length"), Reply("done"))
    output = await AsyncRecursiveEngine(model, max_depth=1, tools=[send]).solve("t")

    assert (output.content, calls) == ("done", [])


@pytest.mark.parametrize(
    "reply",
    [short("1. Fi"), short("1. Fi", "content_filter"), Reply("1. Fi", metadata={"finish_reason": "max_tokens"})],
)
async def test_what_was_cut_off_is_in_no_cache(reply: Reply) -> None:
    cache = MemoryCache()
    engine = AsyncRecursiveEngine(model := saying(reply), max_depth=1, cache=cache)
    for _ in range(2):
        await engine.solve("t")

    assert (model.calls, is_whole(reply)) == (2, False)


def test_words_that_nobody_knows_say_nothing() -> None:
    assert [ended_early(each) for each in ("stop", "", None, 3, "whatever", "tool_calls", "eos")] == [""] * 7
    assert cut_off("") == cut_off("stop") == ""
    assert ended_early("stop", {"finish_reason": "SAFETY"}) == "content_filter"
