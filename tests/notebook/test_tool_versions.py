"""Tools that are defined in cells: executed again, moved, changed."""

from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ScriptedModel

HELPER = "def rate(city):\n    return 3"
TOOL = 'def tax(city: str) -> int:\n    """The tax."""\n    return rate(city) * BASE'


def asks(request: Any) -> Any:
    if request.mode == "planner":
        return {"decision": "EXECUTE"}
    told = [message["content"] for message in request.messages if message["role"] == "tool"]
    return told[0] if told else {"tool_calls": [{"name": "tax", "arguments": {"city": "Graz"}}]}


async def executed(shell: Any, folder: Path, *cells: str) -> tuple[str, int]:
    """The answer of a cell that uses the tool, after other cells were executed, and how many calls it took."""
    for cell in cells:
        (await shell.run(cell)).raise_error()
    shell.names["model"] = model = ScriptedModel(asks)
    answer = await shell.value(f"%%rlm -m model -t tax -q --checkpoint {folder / 'run.json'}\nWhat is the tax?")
    return str(answer), model.calls


async def test_the_answer_follows_the_code_of_the_cells_and_nothing_else(shell: Any, tmp_path: Path) -> None:
    assert await executed(shell, tmp_path, "BASE = 2", HELPER, TOOL) == ("6", 3)
    assert await executed(shell, tmp_path) == ("6", 0)
    assert await executed(shell, tmp_path, "BASE = 2", HELPER, TOOL) == ("6", 0), "all cells again"
    assert await executed(shell, tmp_path, f"# First the helper.\n\n\n{HELPER}  # percent\n\n\n{TOOL}") == ("6", 0)
    assert await executed(shell, tmp_path, "other = 3\n\ndef unrelated(city):\n    return BASE") == ("6", 0)
    assert await executed(shell, tmp_path, HELPER.replace("3", "4")) == ("8", 3), "what the tool calls"
    assert await executed(shell, tmp_path, "BASE = 5") == ("20", 3), "what it reads"
    assert await executed(shell, tmp_path, TOOL.replace("* BASE", "+ BASE")) == ("9", 3), "the tool itself"
    assert await executed(shell, tmp_path, TOOL.replace("* BASE", "+ BASE").replace("The tax", "A tax")) == ("9", 3)


@pytest.mark.parametrize("decorator", ["@tool", "@tool(timeout=5)", "@tool(description='The tax.')"])
async def test_a_tool_that_was_made_before_its_helper_follows_it(shell: Any, tmp_path: Path, decorator: str) -> None:
    made = f"from rlm_notebook import tool\nBASE = 2\n{decorator}\n{TOOL}"
    assert await executed(shell, tmp_path, made, HELPER) == ("6", 3)
    assert await executed(shell, tmp_path, HELPER) == ("6", 0)
    assert await executed(shell, tmp_path, HELPER.replace("3", "4")) == ("8", 3)
