"""The offline model as a coder: programs for what rules understand, run in a sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, RecursiveEngine
from rlm_notebook.models.offline.coder import is_understood
from rlm_notebook.sandbox.fake import FakeSandbox

LOG = "\n".join(
    f"{place} | user: {('ann', 'bob', 'cy')[place % 3]} | kind: {('refund', 'praise')[place % 2]} | score: {place % 5}"
    for place in range(30)
)
COLUMNS: dict[str, Any] = {"user": ["ann", "bob", "ann"], "score": [1, 2, 6]}


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("Count the lines of log that mention 'refund'", "15"),
        ("How many entries of log are there per user?", "ann: 10\nbob: 10\ncy: 10"),
        ("How many entries of log are there per user where kind is refund?", "ann: 5\nbob: 5\ncy: 5"),
        ("What is the average score in log by kind?", "praise: 2\nrefund: 2"),
        ("What is the highest score in log?", "4"),
        (
            "List the lines of log where score is 4 and that mention 'bob'",
            LOG.splitlines()[4] + "\n" + LOG.splitlines()[19],
        ),
        ("What is the total score per user in table?", "ann: 7\nbob: 2"),
    ],
)
def test_what_rules_understand_is_computed(task: str, answer: str) -> None:
    code = CodeSandbox(kind=FakeSandbox(), when="root")
    output = RecursiveEngine("offline", code=code).solve(task, variables={"log": LOG, "table": COLUMNS})

    assert output.content == answer
    assert [cell.error for cell in output.run.tree["0"].cells] == [None, None]


async def test_each_section_is_a_sub_query() -> None:
    text = "# Trains\n\nTrains are fast. They run on rails.\n\n# Boats\n\nBoats are slow. They float on water.\n"
    engine = AsyncRecursiveEngine("offline", code=CodeSandbox(kind=FakeSandbox(), when="root"))
    output = await engine.solve("Summarize each section of text", variables={"text": text})

    assert [node.query for node in output.run.tree.children("0")] == ["llm_query", "llm_query"]
    assert "## Trains" in output.content
    assert "Boats are slow" in output.content


@pytest.mark.parametrize("task", ["Why is the sky blue?", "Translate the text", "Summarize the text"])
def test_the_planner_does_not_choose_code_for_what_rules_do_not_understand(task: str) -> None:
    assert not is_understood(task)


async def test_the_planner_chooses_code_for_what_they_do() -> None:
    engine = AsyncRecursiveEngine("offline", code=CodeSandbox(kind=FakeSandbox()))
    task = "How many lines of log mention 'bob'?"
    output = await engine.solve(task, variables={"log": LOG})
    assert (output.content, output.run.tree["0"].decision) == ("10", "PROGRAM")
    # Without references, or without code, it does not.
    assert (await engine.solve(task)).run.tree["0"].decision == "EXECUTE"
