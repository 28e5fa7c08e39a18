"""`%%rlm --over NAME`: the task of a cell for each row of a table."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pandas
import pytest

from rlm_notebook import Experiment, RecursiveEngine, ScriptedModel
from tests.support.waiting import until

QUIET = "-m model --view none --max-depth 1"


@pytest.fixture
def model(shell: Any) -> ScriptedModel:
    shell.names["model"] = made = ScriptedModel(lambda request: request.facts.task.upper())
    shell.names["df"] = pandas.DataFrame({"text": ["late", "broken"], "n": [1, 2]})
    return made


async def test_the_value_is_the_experiment(shell: Any, model: ScriptedModel, tmp_path: Path) -> None:
    labels = await shell.value(f"%%rlm {QUIET} --over df -o labels --name labels\nSay {{{{text}}}}")

    assert isinstance(labels, Experiment)
    assert shell.names["labels"] is labels
    assert labels.frame["answer"].to_list() == ["SAY LATE", "SAY BROKEN"]
    assert labels.checkpoint == str(tmp_path / "notebook.rlm" / "labels.rlmx.jsonl")
    again = await shell.value(f"%%rlm {QUIET} --over df --name labels\nSay {{{{text}}}}")
    assert (again.summary.reused, len(model.requests)) == (2, 2)


async def test_columns_come_before_variables_and_the_row_has_a_name(shell: Any, model: ScriptedModel) -> None:
    shell.names.update(text="a variable", tone="{{n}} kindly")

    await shell.value(f"%%rlm {QUIET} --over df --as case\n{{{{text}}}} {{{{tone}}}} \\{{{{n}}}} {{{{case}}}}")

    assert model.asked()[0] == 'late {{n}} kindly {{n}} {"text": "late", "n": 1}'


async def test_a_list_a_path_and_a_limit(shell: Any, model: ScriptedModel, tmp_path: Path) -> None:
    shell.names["texts"] = ["a", "b", "c"]
    (tmp_path / "rows.csv").write_text("text\nx\ny\n", encoding="utf-8")

    one = await shell.value(f"%%rlm {QUIET} --over texts --limit 2 --no-checkpoint\nq {{{{row}}}}")
    two = await shell.value(f"%%rlm {QUIET} --over rows.csv --no-checkpoint\nq {{{{text}}}}")

    assert one.frame["answer"] == ["Q A", "Q B"]
    assert two.frame["answer"].to_list() == ["Q X", "Q Y"]


@pytest.mark.parametrize(
    ("line", "task", "said"),
    [
        ("--over nothing", "{{text}}", "--over nothing: there is no variable"),
        ("--over df", "{{txet}}", r"\{\{txet\}\} is no column \(text, n"),
        ("--over df", "plain", "names no column"),
        ("--over model", "{{text}}", "expected a table"),
        ("--as x", "{{text}}", "--as goes with --over"),
        ("--over df --dry-run", "{{text}}", "contradict"),
    ],
)
async def test_mistakes_are_one_line(shell: Any, model: ScriptedModel, line: str, task: str, said: str) -> None:
    error = await shell.failure(f"%%rlm {QUIET} {line}\n{task}")

    with pytest.raises(type(error), match=said):
        raise error
    assert model.requests == []


async def test_the_recorded_rows_are_listed_shown_and_exported(
    shell: Any, model: ScriptedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.names["model"] = ScriptedModel(lambda request: 1 / 0 if "late" in request.facts.task else "fine")
    await shell.value(f"%%rlm {QUIET} --over df --name labels\nSay {{{{text}}}}")
    await shell.value(f"%%rlm {QUIET} --name trip\nbroken")

    runs = await shell.value("%rlm runs")
    assert [(run.name, run.kind, run.status, run.nodes, run.failed) for run in runs] == [
        ("trip", "run", "done", 1, 0),
        ("labels", "experiment", "failed", 2, 1),
    ]
    assert re.search(r"labels +experiment +failed +1 of 2 rows, 1 failed", str(runs))
    shown = await shell.value("%rlm show labels")
    assert "1 of 2 rows done, 1 failed" in str(shown)
    assert "Say broken" in shown._repr_html_()
    assert shown.run(0).status in ("done", "failed")
    await shell.value("%rlm export labels --csv")
    assert sorted(pandas.read_csv(tmp_path / "labels.csv")["task"]) == ["Say broken", "Say late"]
    assert "the 2 rows of labels are written to" in capsys.readouterr().out
    assert "written as a table: --csv" in str(await shell.failure("%rlm export labels --html"))
    assert "trip is a run" in str(await shell.failure("%rlm export trip --csv"))
    assert "labels is an experiment" in str(await shell.failure("%rlm diff labels trip"))
    (tmp_path / "notebook.rlm" / "torn.rlmx.jsonl").write_text("{}\n", encoding="utf-8")
    assert (await shell.value("%rlm runs"))[-1].status == "unreadable"


async def test_a_replay_needs_no_model(shell: Any, model: ScriptedModel) -> None:
    cell = "--max-depth 1 --view none --over df --name labels\nSay {{text}}"
    await shell.value(f"%%rlm -m model {cell}")
    del shell.names["model"]

    again = await shell.value(f"%%rlm --mode replay {cell}")

    assert again.frame["answer"].to_list() == ["SAY LATE", "SAY BROKEN"]
    assert again.summary.calls == 0


async def test_an_interrupt_keeps_what_finished_in_the_variable(shell: Any, model: ScriptedModel) -> None:
    started = asyncio.Event()

    async def slow(inputs: Any, context: Any) -> Any:
        if context["task"].endswith("broken"):
            started.set()
            await asyncio.sleep(1_000)
        return {"content": "ok", "metadata": {}}

    shell.names["slow"] = slow
    cell = asyncio.create_task(shell.run("%%rlm -m slow --max-depth 1 --view none --over df -o labels\n{{text}}"))
    await started.wait()
    labels = shell.names["labels"]
    await until(lambda: labels.summary.done == 1)
    cell.cancel()
    result = await cell

    assert "Interrupted: 1 of 2 rows are recorded in" in str(result.error_in_exec)
    assert labels.status == "cancelled"
    assert labels.frame["_state"].to_list() == ["done", "cancelled"]


async def test_the_default_budget_is_for_all_rows(shell: Any, model: ScriptedModel) -> None:
    shell.names["model"] = ScriptedModel(price=(1.0, 1.0))
    labels = await shell.value(f"%%rlm {QUIET} --max-calls 1 --over df\n{{{{text}}}}")

    assert labels.status == "stopped"
    assert labels.internals.budget.usd == 1.0
    assert labels.summary.calls == 1


async def test_text_shows_progress_and_the_result(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    await shell.value("%%rlm -m model --view text --max-depth 1 --over df\n{{text}}")

    out = capsys.readouterr().out
    assert "rlm: 2 of 2 rows done, 2 calls" in out
    assert "LATE" in out


def test_the_display_is_a_table_and_hostile_text_stays_text() -> None:
    model = ScriptedModel(lambda request: "<script>alert(1)</script>" if "a" in request.facts.task else 1 / 0)
    labels = RecursiveEngine(model, max_depth=1, retry=None).map(
        "{{text}}", pandas.DataFrame({"text": ["a", "<img src=x onerror=alert(1)>b"][::-1] * 20})
    )

    html = labels._repr_html_()

    assert "<table" in html
    assert "<script" not in html
    assert "<img" not in html
    assert "30 more rows in .frame" in html
    assert "40 rows" not in html or "rows done" in html
    assert str(labels).startswith("20 of 40 rows done") or "of 40 rows done" in str(labels)


async def test_show_and_export_take_what_is_recorded_under_the_name(
    shell: Any, model: ScriptedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await shell.value(f"%%rlm {QUIET} --over df --name labels\nSay {{{{text}}}}")
    shell.names["texts"] = ["x", "y", "z"]
    await shell.value(f"%%rlm {QUIET} --over texts -o labels --no-checkpoint\nOther {{{{row}}}}")

    async def shown_and_exported() -> tuple[int, list[str], str]:
        capsys.readouterr()
        shown = await shell.value("%rlm show labels")
        said = capsys.readouterr().out
        await shell.value("%rlm export labels --csv")
        written = pandas.read_csv(tmp_path / "labels.csv")
        assert len(written) == len(shown)
        return len(shown), list(written.columns), said

    count, columns, said = await shown_and_exported()
    assert (count, columns[:3]) == (2, ["row", "task", "answer"])
    assert "the variable labels holds another one" in said

    # The variable holds what is recorded under its name: its table comes along.
    await shell.value(f"%%rlm {QUIET} --over df -o labels --name labels\nSay {{{{text}}}}")
    count, columns, said = await shown_and_exported()
    assert (count, columns[:3], columns[-1], "rlm:" in said) == (2, ["text", "n", "answer"], "_row", False)
    await shell.value(f"%%rlm {QUIET} --over df -o labels --name labels --limit 1\nSay {{{{text}}}}")
    assert "with 1 of the 2 rows" in (await shown_and_exported())[2]

    # Nothing is recorded under the name of the variable.
    (tmp_path / "notebook.rlm" / "labels.rlmx.jsonl").unlink()
    await shell.value(f"%%rlm {QUIET} --over texts -o labels --no-checkpoint\nOther {{{{row}}}}")
    assert (await shown_and_exported())[0] == 3
