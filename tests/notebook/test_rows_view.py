"""The view of an experiment without a browser: what it sends, and what it does for a browser."""

from __future__ import annotations

import asyncio
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, Experiment, study
from rlm_notebook.experiments.live import LiveRows
from rlm_notebook.experiments.live_study import StudyRows
from rlm_notebook.notebook.widget import TreeView
from rlm_notebook.notebook.widget.rows_view import RowsView
from tests.support.waiting import until


class Gated:
    """Answers texts as soon as they are allowed; fails for "bad"."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self, inputs: Any, context: Any) -> Any:
        if context["task"] != "first":
            await self.gate.wait()
        if context["task"] == "bad":
            raise ValueError("no idea")
        return {"content": f"<b>{context['task']}</b>", "metadata": {}}


class Sent(RowsView):
    """Keeps what is sent."""

    def send(self, content: Any, buffers: Any = None) -> None:
        vars(self).setdefault("sent", []).append(content)

    def rows(self) -> dict[int, tuple[str, str]]:
        every = (row for message in vars(self).get("sent", []) if message["t"] == "rows" for row in message["rows"])
        return {row[0]: (row[1], row[3]) for row in every}


def mapped(model: Gated, *texts: str, **options: Any) -> Experiment:
    engine = AsyncRecursiveEngine(model, max_depth=1, retry=None)
    return engine.map("{{row}}", list(texts), **{"checkpoint": False, **options})


async def test_rows_are_sent_as_they_begin_and_end() -> None:
    model = Gated()
    labels = mapped(model, "first", "bad", "last", "first", concurrency=2)
    view = Sent(labels)

    await until(lambda: view.rows().get(0) == ("done", "<b>first</b>"))
    await until(lambda: view.rows().get(1) == ("running", ""))
    assert view.rows()[3] == ("done", "<b>first</b>"), "an equal row shares the result"
    assert view._head["status"] == "running"
    model.gate.set()
    await labels
    await until(lambda: view._head["status"] == "done")

    assert view.rows()[1][0] == "failed"
    assert "no idea" in view.rows()[1][1]
    assert view.rows()[2] == ("done", "<b>last</b>")
    assert (view._head["done"], view._head["failed"], view._head["cost"]) == (3, 1, None)


async def test_a_row_opens_in_place_live_or_recorded() -> None:
    model = Gated()
    labels = mapped(model, "first", "last", "later", concurrency=1)
    view = Sent(labels)
    await until(lambda: labels.live_run(1) is not None)

    view._answer({"t": "open", "row": 1})
    (tree,) = view.box.children[1:]
    assert isinstance(tree, TreeView)
    assert view._open == 1
    view._answer({"t": "open", "row": 2})
    assert view.sent[-1] == {"t": "error", "error": "row 2 has no run: it is pending"}
    view._answer({"t": "open", "row": None})
    assert view.box.children == (view,)
    for odd in ({"t": "open", "row": "0"}, {"t": "unheard of"}, {"t": "open", "row": 99}, {}):
        view._answer(odd)
    model.gate.set()
    await labels
    view._answer({"t": "open", "row": 0})

    assert view.box.children[1]._run.status == "done"


async def test_it_is_paused_cancelled_and_run_again_from_the_page() -> None:
    model = Gated()
    labels = mapped(model, "first", "last")
    view = Sent(labels)
    await until(lambda: labels.summary.done == 1)

    view._received(view, {"t": "pause"}, [])
    await until(lambda: labels.status == "paused")
    view._received(view, {"t": "resume"}, [])
    await until(lambda: labels.status == "running")
    view._received(view, {"t": "cancel"}, [])
    await until(lambda: view._head["status"] == "cancelled")
    assert view._head["canRetry"]
    model.gate.set()
    view._received(view, {"t": "retry"}, [])
    await until(lambda: view._head["status"] == "done")

    assert labels.summary.done == 2
    assert view.rows()[1] == ("done", "<b>last</b>")


async def test_what_was_reused_says_so_and_long_texts_are_cut(tmp_path: Any) -> None:
    model = Gated()
    model.gate.set()
    await mapped(model, "first", checkpoint=tmp_path / "labels")

    labels = mapped(model, "first", "x " * 1_000, checkpoint=tmp_path / "labels")
    rows = LiveRows(labels)
    await labels

    assert [row[1] for row in rows.all()] == ["reused", "done"]
    assert len(rows.all()[1][2]) == 160
    assert rows.head()["title"] == "labels"
    assert rows.changed() == []


async def test_the_arms_of_a_study_fill_while_it_runs() -> None:
    model = Gated()
    engine = AsyncRecursiveEngine(model, max_depth=1, retry=None)
    compared = study(
        ["first", "bad", "last"],
        task="{{row}}",
        score=lambda row, output: len(str(output)) == 12,
        grid=[{"name": "one", "max_depth": 1}, {"name": "vote", "max_depth": 1, "best_of": 2, "temperature": 0.5}],
        engine=engine,
    )
    view = Sent(StudyRows(compared))
    await until(lambda: [arm["done"] for arm in view._head["arms"]] == [1, 1])
    one, vote = view._head["arms"]
    assert (one["label"], one["isBaseline"], one["runs"], one["score"], one["low"]) == ("one", True, 3, 1.0, None)
    assert (vote["label"], vote["isBaseline"], vote["failed"]) == ("vote", False, 0)
    assert not view._head["canRetry"]
    sent = {row[0]: row for message in view.sent if message["t"] == "rows" for row in message["rows"]}
    assert [sent[at][2] for at in (0, 1, 2)] == [
        "one: row 0: first",
        "vote: row 0, call 1: first",
        "vote: row 0, call 2: first",
    ]

    view._answer({"t": "open", "row": 2})
    assert view.box.children[1]._run.tree.root.result == "<b>first</b>"
    assert view.box.children[1]._meta["title"] == "vote: row 0"
    model.gate.set()
    await compared
    await until(lambda: view._head["status"] == "done")

    one, vote = view._head["arms"]
    assert (one["done"], one["failed"], one["score"]) == (2, 1, 0.5)
    assert one["low"] is not None
    assert view._head["rows"] == 9
