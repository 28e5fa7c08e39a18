"""A task copied as Python: code that runs in the notebook it was copied from."""

from __future__ import annotations

from typing import Any

from rlm_notebook import AsyncRecursiveEngine, RecursiveEngine, ScriptedModel, load_run, tool
from rlm_notebook.notebook.widget.python_code import python_code

QUIET = "--view none --no-checkpoint"


def solved(shell: Any, code: dict[str, str], task: str) -> Any:
    """What the copied code gives in the notebook."""
    assert code["note"] == ""
    names = {**shell.names, "RecursiveEngine": RecursiveEngine, "AsyncRecursiveEngine": AsyncRecursiveEngine}
    return eval(f"{code['engine']}.solve({task!r}{code['solve']})", names)


async def test_a_callable_is_named_by_its_variable(shell: Any) -> None:
    shell.names["llm"] = lambda inputs, context: {"content": f"about {context['task']}"}
    await shell.value(f"%%rlm -m llm {QUIET} --max-depth 1\nroot")
    code = python_code(shell.names["_rlm"])
    assert code == {"engine": "RecursiveEngine(llm, max_depth=1)", "solve": "", "note": ""}
    assert solved(shell, code, "it").content == "about it"


async def test_agents_tools_and_variables_have_their_names(shell: Any) -> None:
    def look(at: str) -> str:
        """Look."""
        return at

    model = ScriptedModel()
    shell.names.update(llm=model, look=look, team={"planner": model, "writer": model}, report="long", other={"a": 1})
    await shell.value(f"%%rlm -m llm -a team -t look -c report --temperature 0.5 {QUIET}\nroot")
    code = python_code(shell.names["_rlm"])
    assert code["engine"] == "RecursiveEngine(llm, agents=team, tools=[look], temperature=0.5)"
    assert code["solve"] == ", variables={'report': report}"
    assert solved(shell, code, "it").content == "answer to: it"


async def test_an_engine_of_the_notebook_gives_its_model(shell: Any) -> None:
    shell.names["engine"] = RecursiveEngine(ScriptedModel(), max_depth=2)
    await shell.value(f"%%rlm -m engine {QUIET}\nroot")
    code = python_code(shell.names["_rlm"])
    assert code["engine"] in ("RecursiveEngine(engine.llm, max_depth=2)", "RecursiveEngine(_rlm.llm, max_depth=2)")
    assert solved(shell, code, "it").content == "answer to: it"


async def test_what_needs_approval_is_awaited(shell: Any) -> None:
    @tool(requires_approval=True)
    def send(to: str) -> str:
        """Send."""
        return to

    shell.names.update(llm=ScriptedModel(), send=send)
    await shell.value(f"%%rlm -m llm -t send {QUIET}\nroot")
    code = python_code(shell.names["_rlm"])
    assert code["engine"] == "AsyncRecursiveEngine(llm, tools=[send])"
    assert (await solved(shell, code, "it")).content == "answer to: it"


async def test_a_spec_stays_one_and_what_nobody_names_is_to_be_filled_in(shell: Any, tmp_path: Any) -> None:
    await shell.value("%%rlm -m offline -q -n kept\nWhat is 2 + 3?")
    path = shell.names["_rlm"].checkpoint
    assert python_code(shell.names["_rlm"])["engine"] == "RecursiveEngine('offline')"
    assert "offline" in python_code(load_run(path))["engine"]
    run = AsyncRecursiveEngine(ScriptedModel(name="hidden")).start("t", checkpoint=tmp_path / "run.json")
    await run
    code = python_code(run)
    assert code["engine"] == "RecursiveEngine(model)"
    assert code["note"].startswith("model = ...  #")
    assert python_code(load_run(tmp_path / "run.json"))["note"].startswith("model = ...  # recorded with ")


async def test_the_tree_brings_the_code_along(shell: Any) -> None:
    from rlm_notebook.notebook.widget.feed import Feed

    shell.names["llm"] = ScriptedModel()
    await shell.value(f"%%rlm -m llm {QUIET}\nroot")
    feed = Feed(shell.names["_rlm"], python=python_code(shell.names["_rlm"]))
    feed.frame()
    assert feed.columns()["run"]["python"]["engine"] == "RecursiveEngine(llm)"
