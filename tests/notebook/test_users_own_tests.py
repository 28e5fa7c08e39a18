"""Three tests as users write them for notebooks of their own: a scripted model stands in for the paid one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from rlm_notebook import Budget, BudgetExceededError, RecursiveEngine, RetryPolicy, ScriptedModel
from tests.support.waiting import HANG

# -- a function of the user's that uses the engine ---------------------------------------------------------------------


def review(contract: str, llm: Any, lookup: Any) -> dict[str, Any]:
    """What the user wrote: risks of a contract, each clause by itself, with a look at the register of firms."""
    engine = RecursiveEngine(llm, tools=[lookup], max_depth=2, on_failure="synthesize", retry=RetryPolicy(attempts=1))
    answer = engine.solve("Review the contract", variables={"contract": contract})
    return {"summary": answer.content, "complete": all(node.state == "done" for node in answer.run.tree)}


def clerk(request: Any) -> Any:
    """The script as a function: split by clause, look the firm up, answer from what came back."""
    if request.mode == "planner":
        return {"decision": "RECURSE", "sub_tasks": ["Check the price clause", "Check the firm"]}
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if request.facts.task == "Check the firm":
        return (
            f"The firm is {results[0]}."
            if results
            else {"tool_calls": [{"name": "lookup", "arguments": {"firm": "A"}}]}
        )
    return None


def test_my_function_asks_for_each_clause_and_looks_the_firm_up() -> None:
    asked: list[str] = []

    def lookup(firm: str) -> str:
        """The state of a firm."""
        asked.append(firm)
        return "bankrupt"

    model = ScriptedModel(clerk)
    found = review("A sells B a boat.", model, lookup)

    assert asked == ["A"]
    assert "The firm is bankrupt." in found["summary"]
    assert found["complete"]
    assert sorted(set(model.asked("worker"))) == ["Check the firm", "Check the price clause"]
    assert not any("A sells B" in message["content"] for each in model.requests for message in each.messages)


def test_my_function_says_so_when_a_part_fails() -> None:
    def lookup(firm: str) -> str:
        """The state of a firm."""
        return "fine"

    found = review("A sells B a boat.", ScriptedModel(clerk, faults={"price": ConnectionError("no line")}), lookup)

    assert not found["complete"]
    assert "The firm is fine." in found["summary"]


# -- a budget ----------------------------------------------------------------------------------------------------------


def test_my_budget_is_never_passed_however_wide_the_model_splits() -> None:
    model = ScriptedModel([f"topic {number}" for number in range(30)], price=(3.0, 15.0))
    engine = RecursiveEngine(model, budget=Budget(usd=0.02), max_steps=100)
    with pytest.raises(BudgetExceededError) as caught:
        engine.solve("Survey the field")
    spent = caught.value.run.usage.cost_usd
    assert spent is not None
    assert 0 < spent <= 0.02


# -- a whole notebook --------------------------------------------------------------------------------------------------

NOTEBOOK = [
    "%load_ext rlm_notebook\nimport os\nMODEL = os.environ.get('MODEL', 'openai:gpt-5-mini')",
    "%%rlm -m {model} -n trip --view none -o answer\nPlan a trip",
    "assert 'downtown' in str(answer), answer\nprint(answer)",
]
STAND_IN = """
from rlm_notebook import ScriptedModel
model = ScriptedModel({"Plan a trip": {"Flights": "at 9", "Hotel": "downtown"}}, strict=True)
"""


@pytest.mark.kernel
def test_my_notebook_runs_from_top_to_bottom_with_a_model_that_is_put_in_its_place(tmp_path: Path) -> None:
    """The notebook reads its model from a variable; the test defines that variable in a cell before all others."""
    sources = [STAND_IN, *(source.replace("{model}", "model") for source in NOTEBOOK)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(notebook, timeout=HANG, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")})
    assert notebook.cells[-1].outputs[0].text == "Plan a trip: at 9; downtown\n"
