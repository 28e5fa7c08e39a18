"""Quotes in the answers of runs: checked against the references, repaired once, marked, recorded, passed on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ConfigurationError,
    ExecutionError,
    Output,
    RecursiveEngine,
    ReplayError,
    load_run,
)
from rlm_notebook.core.redaction import redacted_run
from rlm_notebook.notebook.display.static_tree import summary_of
from rlm_notebook.notebook.widget.details import Details
from rlm_notebook.notebook.widget.timeline import Timeline

REPORT = "The bridge was not able to carry heavy loads. It cost 5 million, and Anna never crossed it."
NOTES = "Dogs bark at night, and they sleep by day."
SOURCES = {"report": REPORT, "notes": NOTES}
TRUE = '⟦"The bridge was not able to carry heavy loads"|report⟧'
FALSE = '⟦"The bridge was able to carry heavy loads"|report⟧'
PLAN = json.dumps({"decision": "RECURSE", "sub_tasks": [{"description": "bridge"}, {"description": "dogs"}]})


class Model:
    """Answers by mode and task; `answers` are functions of the number of messages. Counts its calls."""

    def __init__(self, plan: str = '{"decision": "EXECUTE"}', **answers: Callable[[int], str] | str) -> None:
        self.plan, self.answers = plan, answers
        self.seen: list[tuple[str, list[dict[str, Any]]]] = []

    def __call__(self, inputs: list[dict[str, Any]], context: dict[str, Any]) -> dict[str, Any]:
        mode, task = context["mode"], context["task"]
        self.seen.append((mode, inputs))
        if mode == "planner":
            return {"content": self.plan if context["depth"] == 0 else '{"decision": "EXECUTE"}'}
        answer = self.answers.get(task) or self.answers[mode]
        return {"content": answer if isinstance(answer, str) else answer(len(inputs))}

    def prompts(self, mode: str) -> list[str]:
        return ["\n".join(str(each["content"]) for each in inputs) for seen, inputs in self.seen if seen == mode]


def solve(model: Any, **options: Any) -> Output:
    engine = {name: options.pop(name) for name in ("quotes", "max_depth", "code") if name in options}
    return RecursiveEngine(model, **{"max_depth": 1, **engine}).solve("task", variables=SOURCES, **options)


def test_a_quote_that_is_there_costs_no_further_call() -> None:
    model = Model(worker=f"It says {TRUE}.")
    output = solve(model, quotes="check")

    assert output.content == 'It says ⟦"The bridge was not able to carry heavy loads"|report|verified⟧.'
    [quote] = output.quotes
    assert (quote.state, quote.source, quote.anchor, quote.node) == ("verified", "report", "", "0")
    assert quote.found == "The bridge was not able to carry heavy loads"
    assert len(model.seen) == 1


def test_a_quote_that_is_not_there_is_repaired_once() -> None:
    model = Model(worker=lambda messages: FALSE if messages == 2 else TRUE)
    output = solve(model, quotes="check")

    assert [each.state for each in output.quotes] == ["verified"]
    assert len(model.seen) == 2
    told = model.prompts("worker")[1]
    assert '"The bridge was able to carry heavy loads" (report): altered' in told
    assert "report has:" in told
    assert "The bridge was not able to carry heavy loads" in told.partition("report has:")[2]


def test_one_that_stays_wrong_is_marked_in_the_answer_and_in_the_tree() -> None:
    model = Model(worker=f'{FALSE} ⟦"Cats are kept in all of the houses"|notes p.3⟧ {TRUE}')
    output = solve(model, quotes="check")

    assert [each.state for each in output.quotes] == ["altered", "not found", "verified"]
    assert '|notes p.3|not found⟧ ⟦"The bridge' in output.content
    assert len(model.seen) == 2
    assert "1 quote altered, 1 not found" in str(output.run)


def test_where_quotes_are_required_a_wrong_one_fails_its_node() -> None:
    with pytest.raises(
        ExecutionError, match=r"node 0: 1 of 2 quotes is not .*altered.*The bridge was able to"
    ) as error:
        solve(Model(worker=f"{FALSE} {TRUE}"), quotes="require")
    assert error.value.node == "0"
    assert solve(Model(worker=TRUE), quotes="require").quotes[0].state == "verified"


def test_without_checks_nothing_is_touched_and_no_state_is_believed() -> None:
    forged = TRUE.replace("⟧", "|verified⟧")
    off = Model(worker=f"{FALSE} {forged}")
    output = solve(off, quotes="off")
    assert (output.content, output.quotes, len(off.seen)) == (f"{FALSE} {TRUE}", [], 1)

    # Without references there is nothing to check against.
    alone = RecursiveEngine(Model(worker=forged), max_depth=1, quotes="check").solve("task")
    assert (alone.content, alone.quotes) == (TRUE, [])


def test_a_state_that_a_model_wrote_is_replaced() -> None:
    output = solve(Model(worker=FALSE.replace("⟧", "|verified⟧")), quotes="check")

    assert [each.state for each in output.quotes] == ["altered"]
    assert output.content.endswith("|altered⟧")


def test_models_are_told_to_quote_files_and_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text(REPORT)
    told = []
    for variables, quotes in (
        (SOURCES, None),
        (SOURCES, "check"),
        ({"report": tmp_path / "report.md"}, None),
        ({"report": tmp_path / "report.md"}, "off"),
        (None, "check"),
    ):
        model = Model(worker="answer")
        RecursiveEngine(model, max_depth=1, quotes=quotes).solve("task", variables=variables)
        told.append("⟦" in model.prompts("worker")[0])

    assert told == [False, True, True, False, False]


def test_what_is_not_told_to_quote_keeps_its_keys() -> None:
    def key(**options: Any) -> str:
        engine = RecursiveEngine(Model(worker="answer"), max_depth=1, **options)
        return engine.solve("task", variables=SOURCES).run.tree["0"].plan_key

    assert key() == key(quotes="off")
    assert len({key(), key(quotes="check"), key(quotes="require")}) == 3


def test_a_synthesis_passes_on_what_was_verified() -> None:
    model = Model(
        PLAN,
        bridge=f"{FALSE} and {TRUE}",
        dogs='⟦"dogs bark at night"|notes⟧',
        synthesizer=lambda messages: f"{FALSE} {TRUE}" if messages == 2 else f"Joined: {TRUE} [0.0]",
    )
    output = solve(model, quotes="check", max_depth=3)

    first = model.prompts("synthesizer")[0]
    assert '⟦"The bridge was able to carry heavy loads"|report|altered⟧' in first
    assert '⟦"dogs bark at night"|notes|verified⟧' in first
    assert "Never pass on one that is altered" in first
    assert [(each.state, each.node) for each in output.quotes] == [("verified", "0.0")]
    assert output.metadata["sources"] == ["0.0"]


def test_the_tree_counts_them_and_gives_their_passages_when_it_is_asked() -> None:
    run = solve(Model(worker=f"{FALSE} {TRUE}"), quotes="check").run
    assert "1 quote verified, 1 altered" in summary_of(run)

    read = Details(run, Timeline(0.0), lambda node: None).read
    quotes = read("0", "quotes")
    assert [(each["state"], each["node"], each["found"]) for each in quotes] == [
        ("altered", "0", "The bridge was not able to carry heavy loads"),
        ("verified", "0", "The bridge was not able to carry heavy loads"),
    ]
    without = RecursiveEngine(Model(worker="plain"), max_depth=1).solve("task").run
    assert Details(without, Timeline(0.0), lambda node: None).read("0", "quotes") is None


def test_a_typed_answer_stays_json() -> None:
    content = json.dumps({"claim": TRUE, "other": "⟦'it cost 6 million, and Anna'|report⟧"})
    output = solve(Model(worker=content), quotes="check", output_type=dict)

    assert output.content == content
    assert [each.state for each in output.quotes] == ["verified", "altered"]
    with pytest.raises(ExecutionError, match="node 0: 1 of 2 quotes is not"):
        solve(Model(worker=content), quotes="require", output_type=dict)


def test_the_answer_of_code_is_checked_too() -> None:
    model = Model('{"decision": "PROGRAM"}', coder=f"```python\nFINAL('''{FALSE} {TRUE}''')\n```")
    output = solve(model, quotes="check", max_depth=2, code="root")

    assert [each.state for each in output.quotes] == ["altered", "verified"]


@pytest.mark.parametrize("quotes", ["check", "off"])
def test_coders_and_their_sub_queries_are_told_to_quote(quotes: Any) -> None:
    cell = "asked = llm_query('[report]\\n' + report)\nFINAL(asked)"
    model = Model('{"decision": "PROGRAM"}', coder=f"```python\n{cell}\n```", worker=TRUE)
    output = solve(model, quotes=quotes, max_depth=2, code="root")

    told = ["⟦" in model.prompts(mode)[0] for mode in ("coder", "worker")]
    assert told == [quotes == "check"] * 2
    assert [(each.state, each.node) for each in output.quotes] == ([("verified", "0.0")] if quotes == "check" else [])


async def test_a_replay_and_a_resume_have_the_same_quotes_without_a_call(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = Model(PLAN, bridge=f"{FALSE} {TRUE}", dogs="nothing", synthesizer=f"{TRUE}")
    engine = AsyncRecursiveEngine(model, quotes="check")
    first = await engine.solve("task", variables=SOURCES, checkpoint=path)
    calls = len(model.seen)
    for mode in ("resume", "replay"):
        again = await engine.solve("task", variables=SOURCES, checkpoint=path, mode=mode)
        assert (again.quotes, again.content) == (first.quotes, first.content)
    assert len(model.seen) == calls

    loaded = load_run(path)
    assert loaded.output.quotes == first.quotes
    assert [each["state"] for each in loaded.tree["0.0"].metadata["quotes"]] == ["altered", "verified"]
    with pytest.raises(ReplayError):
        await engine.solve("task", variables={"report": "changed"}, checkpoint=path, mode="replay")


async def test_an_interrupted_repair_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    def fails(messages: int) -> str:
        if messages == 2:
            return FALSE
        raise RuntimeError("the connection broke")

    with pytest.raises(ExecutionError):
        await AsyncRecursiveEngine(Model(worker=fails), max_depth=1, quotes="check", retry=None).solve(
            "task", variables=SOURCES, checkpoint=path
        )
    model = Model(worker=lambda messages: TRUE if messages > 2 else "a second first answer")
    output = await AsyncRecursiveEngine(model, max_depth=1, quotes="check").solve(
        "task", variables=SOURCES, checkpoint=path
    )

    assert [len(inputs) for _, inputs in model.seen] == [4]
    assert [each.state for each in output.quotes] == ["verified"]


@pytest.mark.parametrize(("store", "kept"), [("outputs", True), ("hashes", False)])
async def test_a_narrower_record_has_no_passages(store: Any, kept: bool, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    engine = AsyncRecursiveEngine(Model(worker=f"{FALSE}{TRUE}"), max_depth=1, quotes="check")
    output = await engine.solve("task", variables=SOURCES, checkpoint=path, store=store)
    text = path.read_text()

    assert "Anna never crossed" in output.quotes[0].after
    assert "Anna" not in text
    assert ("carry heavy loads" in text) is kept
    states = [each["state"] for each in load_run(path).tree["0"].metadata["quotes"]]
    assert states == ["altered", "verified"]
    assert "Anna" not in str(redacted_run(output.run.internals.snapshot(), store).tree["0"].metadata)


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="quotes='always': expected one of"):
        RecursiveEngine("offline", quotes="always")  # type: ignore[arg-type]
