"""Variables by reference, types and dollars from a cell's line."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from rlm_notebook import ScriptedModel


class City(BaseModel):
    name: str


def answer(request: Any) -> Any:
    if request.mode == "planner":
        return {"decision": "EXECUTE"}
    results = [message["content"] for message in request.messages if message["role"] == "tool"]
    if not results:
        return {"tool_calls": [{"name": "search_reference", "arguments": {"name": "report", "pattern": "capital"}}]}
    return json.dumps({"name": results[0].split()[-1]})


@pytest.fixture
def model(shell: Any) -> ScriptedModel:
    made = ScriptedModel(answer)
    shell.names.update(model=made, report="x\n" * 50_000 + "the capital is Bern", City=City)
    return made


async def test_a_reference_is_read_and_the_answer_has_its_type(shell: Any, model: ScriptedModel) -> None:
    output = await shell.value("%%rlm -m model -c report --type City --no-checkpoint --view none\nWhich capital?")
    assert output.parsed == City(name="Bern")
    assert max(len(message["content"]) for request in model.requests for message in request.messages) < 8_000
    assert shell.names["_rlm"].tree["0"].reads.keys() == {"report"}


@pytest.mark.parametrize("option", ["-c reprt", "--type Citty"])
async def test_an_unknown_name_is_said_with_its_option(shell: Any, model: ScriptedModel, option: str) -> None:
    error = await shell.failure(f"%%rlm -m model {option} --no-checkpoint\nWhich capital?")
    assert option.split()[1] in str(error)
    assert model.calls == 0


async def test_a_budget_in_dollars_needs_prices(shell: Any, model: ScriptedModel) -> None:
    shell.names["unpriced"] = lambda inputs, context: {"content": "x"}
    error = await shell.failure("%%rlm -m unpriced --budget 0.5 --no-checkpoint\nWhich capital?")
    assert "price" in str(error)
