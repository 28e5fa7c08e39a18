"""What a saved notebook shows of a run."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, Run, ScriptedModel
from rlm_notebook.core.events import Finished, NodeCreated, Planned
from rlm_notebook.core.limits import Usage
from rlm_notebook.core.text import well_formed
from rlm_notebook.exceptions import RLMError
from rlm_notebook.models.scripted import Fault
from rlm_notebook.notebook.display.static_tree import bundle_of
from rlm_notebook.ports import Reply
from tests.support.coding import code_engine, coder
from tests.support.virtual_time import in_virtual_time

SCRIPT = {"root": {"one": "1", "two": {"three": "3", "four": "4", "=": "34"}, "=": "## All\n\n1 and 34"}}


class Page(HTMLParser):
    """The text that a reader sees where every style is stripped, and the tags that make it."""

    ALLOWED = frozenset({"div", "details", "summary", "span", "small", "b", "style", "pre"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == [], "unbalanced"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attributes if name.startswith("on") or name in ("src", "href")]
        self.tags.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


async def ended(model: Any, **options: Any) -> Run:
    run = AsyncRecursiveEngine(model, retry=None).start("root", **options)
    try:
        await run
    except RLMError:
        assert run.status == "failed"
    return run


async def test_it_shows_the_tree_with_states_and_times() -> None:
    bundle = bundle_of(await ended(ScriptedModel(SCRIPT, latency=0.01)))
    assert set(bundle) == {"text/html", "text/markdown", "text/plain"}
    page = Page(bundle["text/html"])
    for text in (page.text, bundle["text/plain"], bundle["text/markdown"]):
        assert re.search(r"rlm done: 5 of 5 nodes · 7 calls · [\d,]+ tokens · 0\.\ds · model scripted", text)
        assert re.search(r"✓ root .*✓ one .*✓ two .*✓ three .*✓ four", text.replace("\n", " "))
    indents = [len(line) - len(line.lstrip()) for line in bundle["text/plain"].splitlines()[1:]]
    assert indents == [0, 2, 2, 4, 4]


async def test_it_says_how_much_of_the_prompts_the_provider_had_in_its_cache() -> None:
    answer = Reply("done", usage=Usage(1000, 20, cached_tokens=800))
    output = await AsyncRecursiveEngine(ScriptedModel(lambda request: answer), max_depth=1).solve("root")
    bundle = bundle_of(output.run)
    assert "1 call · 1,020 tokens, 80% of the prompts cached" in bundle["text/plain"]


async def test_the_answer_is_not_repeated() -> None:
    bundle = bundle_of(await ended(ScriptedModel(SCRIPT)))
    assert "All" not in "".join(bundle.values())


async def test_what_failed_says_why() -> None:
    model = ScriptedModel(SCRIPT, faults=[Fault("three", error=RuntimeError("no <b>disk</b>\x1b[31m"), times=None)])
    bundle = bundle_of(await ended(model))
    page = Page(bundle["text/html"])
    assert "rlm failed" in page.text
    assert "no <b>disk</b>" in page.text
    assert "\x1b" not in "".join(bundle.values())


async def test_it_names_the_run_so_that_a_live_widget_can_hide_it() -> None:
    run = await ended(ScriptedModel())
    assert f'data-rlm-run="{run.run_id}"' in bundle_of(run)["text/html"]


async def test_a_run_and_its_reuse_give_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "analysis.rlm" / "demo.json"
    model = ScriptedModel(SCRIPT, latency=(0.001, 0.02), faults=[Fault("one", reply="no plan", mode="planner")])
    first = await ended(model, checkpoint=path)
    again = await ended(model, checkpoint=path)
    replayed = await ended("offline", checkpoint=path, mode="replay")
    assert again.internals.reused
    assert first.run_id == again.run_id
    assert bundle_of(first) == bundle_of(again) == bundle_of(replayed)
    # Both say when the calls were made: a later execution made none.
    when = datetime.fromtimestamp(first.tree.ended or 0, UTC).strftime("%Y-%m-%d %H:%M UTC")
    summary = bundle_of(again)["text/plain"].splitlines()[0]
    assert f"saved in analysis.rlm/demo.json · recorded {when}, counted over all exec" in summary
    assert "counted over" not in bundle_of(await ended(ScriptedModel(SCRIPT)))["text/plain"]
    assert str(tmp_path) not in "".join(bundle_of(first).values())


@in_virtual_time
async def test_the_time_between_two_executions_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    script = {"root": {"one": {"a": "1"}, "two": {"b": "2"}}}
    await ended(ScriptedModel(script, faults=[Fault("b", error=RuntimeError("gone"), times=None)]), checkpoint=path)
    await asyncio.sleep(3600)
    run = await ended(ScriptedModel(script), checkpoint=path)
    seconds = float(re.search(r"tokens · ([\d.]+)s", bundle_of(run)["text/plain"])[1])  # type: ignore[index]
    assert seconds == 0


HOSTILE = [
    "<script>alert(1)</script>",
    "</summary></details></div><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" \'',
    "a & b &lt; c",
    "\x1b[31mred\x1b[0m \x07 \x00 \u202e evil \u2028 end",
    "``` \n~~~ # heading",
    "<!-- ]]> -->",
    "\ud800 lone",
    "[link](javascript:alert(1)) $$x$$",
]


@pytest.mark.parametrize("title", HOSTILE)
async def test_hostile_titles_are_text(title: str) -> None:
    run = await ended(ScriptedModel({"root": {f"x {title}": "1"}}))
    bundle = bundle_of(run)
    page = Page(bundle["text/html"])
    assert set(page.tags) <= Page.ALLOWED
    shown = " ".join("".join(c if c.isprintable() else " " for c in well_formed(f"x {title}").splitlines()[0]).split())
    assert shown in page.text
    assert all(c.isprintable() or c == "\n" for text in bundle.values() for c in text)
    assert bundle["text/markdown"].count("```") == 2


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.text(min_size=1, max_size=200), min_size=1, max_size=6))
async def test_any_title_is_text(titles: list[str]) -> None:
    run = await ended(ScriptedModel({"root": [f"x {title}" for title in titles]}))
    page = Page(bundle_of(run)["text/html"])
    assert set(page.tags) <= Page.ALLOWED
    assert page.tags.count("details") == 2


def grown(run: Run, shape: str, title: str, nodes: int) -> Run:
    """The run with a large tree in place of its own."""
    tree = type(run.tree)()
    parents = {"wide": lambda i: "0", "deep": lambda i: "0" + ".0" * (i - 1), "bushy": lambda i: _bushy((i - 1) // 10)}
    names = {"wide": lambda i: f"0.{i - 1}", "deep": lambda i: "0" + ".0" * i, "bushy": _bushy}
    for index in range(nodes):
        parent = parents[shape](index) if index else None
        name = names[shape](index) if index else "0"
        tree.apply(NodeCreated(at=1.0, node=name, parent=parent, task=title))
        tree.apply(Planned(at=1.5, node=name, plan={"decision": "RECURSE"}))
    for node in reversed(list(tree)):
        tree.apply(Finished(at=2.0, node=node.id, content="x" * 1000))
    run.internals.tree = tree
    return run


def _bushy(index: int) -> str:
    return "0" if index == 0 else f"{_bushy((index - 1) // 10)}.{(index - 1) % 10}"


# Each shape and each title once in the README's command, and each with each where long tests run.
@pytest.mark.parametrize(
    ("shape", "title"),
    [
        pytest.param(shape, title, marks=[] if at == nr else pytest.mark.long, id=f"{shape}-title{nr}")
        for at, shape in enumerate(["wide", "deep", "bushy"])
        for nr, title in enumerate(["<\"'&>" * 60, "A plain title", "日本語" * 70])
    ],
)
async def test_ten_thousand_nodes_are_small_and_say_what_is_folded(shape: str, title: str) -> None:
    nodes = 900 if shape == "deep" else 10_000
    run = grown(await ended(ScriptedModel()), shape, title, nodes)
    bundle = bundle_of(run)
    assert size_in_a_notebook(bundle) <= 18_000
    for text in (Page(bundle["text/html"]).text, bundle["text/plain"], bundle["text/markdown"]):
        counts = re.findall(r"… and ([\d,]+) more nodes? below", text)
        folded = sum(int(count.replace(",", "")) for count in counts)
        assert text.count("✓") + folded == nodes
        assert text.count("✓") >= (25 if len(title) < 140 else 8)


def size_in_a_notebook(bundle: dict[str, str]) -> int:
    output = nbformat.v4.new_output("display_data", data=bundle)
    cell = nbformat.v4.new_code_cell("%%rlm\nroot", outputs=[output])
    return len(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])).encode())


async def test_the_upper_part_of_a_large_tree_is_what_remains() -> None:
    run = grown(await ended(ScriptedModel()), "bushy", "t", 10_000)
    lines = bundle_of(run, 100_000)["text/plain"].splitlines()
    assert len([line for line in lines if line.startswith("  ✓")]) == 10
    assert len([line for line in lines if line.startswith("    ✓")]) == 100


async def test_the_code_of_a_code_node_is_there_folded_and_escaped() -> None:
    run = code_engine(coder(["x = '<script>$a$</script>'", "FINAL(llm_query('one'))"])).start("root")
    await run

    html = bundle_of(run)["text/html"]
    assert "2 cells of code" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert Page(html).tags.count("pre") == 1
    assert "<details open" not in html.split("2 cells of code")[0].rpartition("<details")[2], "it is folded"
