"""`%%rlm` and `%rlm` in a real IPython."""

# ruff: noqa: ASYNC240 - a test may block
from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from rlm_notebook import AsyncRecursiveEngine, Budget, Output, Run, ScriptedModel, Tool
from rlm_notebook.exceptions import RLMError
from rlm_notebook.host import PlainHost, current_host
from rlm_notebook.models.scripted import Fault
from rlm_notebook.notebook.cell.transformer import await_rlm
from tests.fault_server import FaultServer, refusal
from tests.support.waiting import HANG

SCRIPT = {"root": {"one": "1", "two": "2", "=": "# Both\n\n1 and 2"}}
QUIET = "--view none"


@pytest.fixture
def model(shell: Any) -> ScriptedModel:
    """A model as the variable `model`."""
    shell.names["model"] = made = ScriptedModel(SCRIPT)
    return made


def tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}


# -- the value -------------------------------------------------------------------------------------------------------


async def test_the_value_of_the_cell_is_the_answer(shell: Any, model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    output = await shell.value(f"%%rlm -m model {QUIET}\nroot")
    assert isinstance(output, Output)
    assert output.content == "# Both\n\n1 and 2"
    assert capsys.readouterr().out.count("1 and 2") == 1
    assert shell.names["_"] is output
    assert shell.names["Out"][1] is output
    assert isinstance(shell.names["_rlm"], Run)
    assert shell.names["_rlm"].output is output


@pytest.mark.parametrize("line", ["answer <<", "-o answer", "--out=answer"])
async def test_the_answer_goes_into_a_variable(shell: Any, model: Any, line: str) -> None:
    output = await shell.value(f"%%rlm -m model {QUIET} {line}\nroot")
    assert shell.names["answer"] is output


async def test_a_failed_cell_leaves_the_variable_alone(shell: Any) -> None:
    shell.names["answer"] = "before"
    await shell.failure("%%rlm -m nothing answer <<\nroot")
    assert shell.names["answer"] == "before"


async def test_an_answer_is_interpolated_as_text(shell: Any, model: ScriptedModel) -> None:
    await shell.value(f"%%rlm -m model {QUIET} first <<\nroot")
    await shell.value(f"%%rlm -m model {QUIET}\nJudge: {{{{first}}}} and {{{{_}}}} {{x}} $x")
    assert model.requests[-1].facts.task == "Judge: # Both\n\n1 and 2 and # Both\n\n1 and 2 {x} $x"


async def test_a_long_inserted_value_says_how_it_is_offered_by_reference(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.names["book"] = "word " * 30_000
    await shell.value("%%rlm -m model --view text\nSummarise {{book}}")
    assert "has 150,010 characters" in (said := capsys.readouterr().out)
    assert "-c NAME in place of {{NAME}}" in said
    await shell.value(f"%%rlm -m model {QUIET}\nSummarise {{{{book}}}}")
    await shell.value("%%rlm -m model --view text\nSummarise this")
    assert "-c NAME" not in capsys.readouterr().out


async def test_raw_leaves_braces_alone(shell: Any, model: ScriptedModel) -> None:
    await shell.value(f"%%rlm -m model {QUIET} --raw\nJudge: {{{{first}}}}")
    assert model.requests[-1].facts.task == "Judge: {{first}}"


async def test_the_line_is_not_expanded(shell: Any, model: ScriptedModel) -> None:
    shell.names["name"] = "expanded"
    await shell.value(f"%%rlm -m model {QUIET} -n $name\nroot")
    assert Path("notebook.rlm/$name.json").exists()
    await shell.value(f"%%rlm -m model {QUIET} -n {{name}}\nroot")
    assert Path("notebook.rlm/{name}.json").exists()


async def test_what_others_wrote_reaches_the_model_unchanged(shell: Any, model: ScriptedModel) -> None:
    task = 'Explain {"a": {}} and `{{#if}}`, 100 %d, C:\\new, $HOME, !ls, %magic, 🧭\n  indented\n%%rlm\n\t?'
    await shell.value(f"%%rlm -m model {QUIET}\n{task}")
    assert model.requests[-1].facts.task == task


# -- the file --------------------------------------------------------------------------------------------------------


async def test_a_cell_that_is_run_again_asks_nobody(shell: Any, model: ScriptedModel) -> None:
    first = await shell.value(f"%%rlm -m model {QUIET} -n demo\nroot")
    path = Path("notebook.rlm/demo.json")
    calls, content = model.calls, path.read_bytes()
    again = await shell.value(f"%%rlm -m model {QUIET} -n demo\nroot")
    assert (model.calls, path.read_bytes()) == (calls, content)
    assert again.content == first.content
    assert again.metadata["calls"] == 0
    await shell.value(f"%%rlm -m model {QUIET} -n demo\nroot, otherwise")
    assert model.calls > calls
    assert Path("notebook.rlm/demo.1.json").read_bytes() == content


@pytest.mark.parametrize("by", ["option", "environment"])
async def test_replay_needs_no_model_not_even_the_variable(
    shell: Any, model: ScriptedModel, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await shell.value(f"%%rlm -m model {QUIET} -n demo\nroot")
    del shell.names["model"]
    if by == "environment":
        monkeypatch.setenv("RLM_MODE", "replay")
    option = "--mode replay" if by == "option" else ""
    again = await shell.value(f"%%rlm -m model {QUIET} -n demo {option}\nroot")
    assert (again.content, again.metadata["calls"]) == (answer.content, 0)
    refused = "scripted answered this run, and is not here to go on" if by == "option" else "nothing is recorded"
    assert refused in str(await shell.failure("%rlm baseline demo"))
    assert sorted(os.listdir("notebook.rlm")) == ["demo.json"], "nobody answers in the place of the model"
    error = await shell.failure(f"%%rlm -m model {QUIET} -n demo {option}\nroot, otherwise")
    assert "the task changed" in str(error)


async def test_without_replay_a_model_that_is_no_variable_is_refused(shell: Any, model: ScriptedModel) -> None:
    assert "no variable of this notebook" in str(await shell.failure(f"%%rlm -m modell {QUIET} -n demo\nroot"))


@pytest.mark.parametrize("option", ["--detach", "--detach=loop", ""])
async def test_a_cell_whose_run_goes_on_says_so_and_leaves_it_alone(shell: Any, option: str) -> None:
    hold = threading.Event()

    def slow(inputs: Any, context: Any) -> Any:
        hold.wait(HANG)
        return {"content": "done"}

    shell.names["slow"] = slow
    run = await shell.value("%%rlm -m slow -n demo --max-depth 1 --detach\nroot")
    error = await shell.failure(f"%%rlm -m slow -q -n demo --max-depth 1 {option}\nroot")
    assert str(error).startswith("demo is still running (0 of 1 nodes are done): `await _rlm` waits for its answer")
    assert "`%rlm cancel demo` stops it" in str(error)
    assert shell.names["_rlm"] is run
    assert not run.internals.finished

    hold.set()
    assert (await shell.value("await _rlm")).content == "done"
    assert (await shell.value(f"%%rlm -m slow -q -n demo --max-depth 1 {option}\nroot")) is not None


async def test_a_run_that_went_on_as_an_edit_in_another_file_holds_up_no_cell(shell: Any) -> None:
    hold = threading.Event()

    def slow(inputs: Any, context: Any) -> Any:
        if "again" in context["task"]:
            hold.wait(HANG)
        return {"content": "done"}

    shell.names["slow"] = slow
    cell = "%%rlm -m slow -q -n demo --max-depth 1\nroot"
    run = (await shell.value(cell)).run
    run.internals.continue_as(lambda: run.edit("0", task="root again"))
    while run.internals.successor is None:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert (await shell.value(cell)).metadata["calls"] == 0
    hold.set()
    assert (await run.internals.successor).content == "done"


async def test_a_spent_budget_names_the_option_and_what_there_is(shell: Any) -> None:
    async def slow(inputs: Any, context: Any) -> Any:
        await asyncio.sleep(20)

    shell.names["slow"] = slow
    error = await shell.failure(f"%%rlm -m slow {QUIET} -n demo --timeout 0.2\nroot")
    shown = error._render_traceback_()
    assert shown == [
        "BudgetExceededError: the budget of 0.2 seconds is spent (0.2 used); what finished is kept: "
        "execute the cell again with a larger --timeout to continue, or use `_rlm.partial()`"
    ]
    assert shell.names["_rlm"] is error.run


async def test_what_a_cell_may_spend_is_limited_for_an_engine_that_has_no_budget_too(shell: Any) -> None:
    model = ScriptedModel(SCRIPT, price=(1.0, 1.0))
    shell.names.update(bare=AsyncRecursiveEngine(model), limited=AsyncRecursiveEngine(model, budget=Budget(calls=50)))
    await shell.value(f"%%rlm -m bare {QUIET} --no-checkpoint\nroot")
    assert shell.names["_rlm"].internals.budget.usd == 1.0
    await shell.value(f"%%rlm -m limited {QUIET} --no-checkpoint\nroot")
    assert shell.names["_rlm"].internals.budget == Budget(calls=50)
    await shell.value(f"%%rlm -m limited {QUIET} --no-checkpoint --max-calls 40\nroot")
    assert shell.names["_rlm"].internals.budget.calls == 40


async def test_shown_as_text_a_run_says_who_answered_and_where_it_is_kept(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    async def last_line(options: str) -> str:
        await shell.run(f"%%rlm -m model --view text {options}\nroot")
        return next(line for line in capsys.readouterr().out.splitlines() if line.startswith("rlm: "))

    path = Path("notebook.rlm/demo.json").absolute()
    assert await last_line("-n demo") == f"rlm: scripted, {model.calls} calls; saved in {path}"
    reused = await last_line("-n demo")
    assert re.fullmatch(rf"rlm: reused from \d{{4}}-\d\d-\d\d \d\d:\d\d, no model was called; saved in {path}", reused)
    assert (await last_line("--no-checkpoint")).endswith("calls; kept in memory only")


async def test_fresh_asks_again_and_replay_asks_nobody(shell: Any, model: ScriptedModel) -> None:
    await shell.value(f"%%rlm -m model {QUIET} -n demo\nroot")
    calls = model.calls
    await shell.value(f"%%rlm -m model {QUIET} -n demo --mode replay\nroot")
    assert model.calls == calls
    await shell.value(f"%%rlm -m model {QUIET} -n demo --mode fresh\nroot")
    assert model.calls == 2 * calls
    error = await shell.failure(f"%%rlm -m model {QUIET} -n other --mode replay\nroot, otherwise")
    assert "nothing is recorded for this task" in str(error)
    assert shell.names["_rlm"].checkpoint is None, "no file was read or written"
    error = await shell.failure(f"%%rlm -m model {QUIET} -n demo --mode replay\nroot, otherwise")
    assert "replay" in str(error)


async def test_a_named_file_and_none(shell: Any, model: Any, tmp_path: Path) -> None:
    await shell.value(f"%%rlm -m model {QUIET} --checkpoint 'my runs/a.json'\nroot")
    assert json.loads((tmp_path / "my runs" / "a.json").read_text())["status"] == "done"
    await shell.value(f"%%rlm -m model {QUIET} --no-checkpoint\nroot")
    assert not (tmp_path / "notebook.rlm").exists()
    assert shell.names["_rlm"].checkpoint is None


async def test_a_folder_that_cannot_be_written_is_a_warning_and_the_run_goes_on(
    shell: Any, model: ScriptedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where the folder would be; the warning comes before the first call."""
    Path("analysis.ipynb").write_text("{}")
    Path("analysis.rlm").write_text("in the way")
    shell.names["__vsc_ipynb_file__"] = str(Path("analysis.ipynb").absolute())
    calls_when_warned: list[int] = []
    whole = sys.stdout.write

    def noted(text: str) -> int:
        if "warning" in text:
            calls_when_warned.append(model.calls)
        return whole(text)

    sys.stdout.write = noted  # type: ignore[method-assign]
    try:
        output = await shell.value(f"%%rlm -m model {QUIET}\nroot")
    finally:
        del sys.stdout.write
    assert output.content == "# Both\n\n1 and 2"
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning" in line]
    assert len(warnings) == 1
    assert "analysis.rlm" in warnings[0]
    assert "kept in memory only" in warnings[0]
    assert calls_when_warned == [0]
    assert Path("analysis.rlm").read_text() == "in the way"


async def test_a_loop_in_a_cell_reuses_each_of_its_tasks(shell: Any, model: ScriptedModel) -> None:
    cell = (
        "for name in ('one', 'two', 'three'):\n"
        "    get_ipython().run_cell_magic('rlm', '-m model --view none', f'say {name}')"
    )
    (await shell.run(cell)).raise_error()
    assert sorted(path.name for path in Path("notebook.rlm").glob("*.json")) == [
        "say-one.json",
        "say-three.json",
        "say-two.json",
    ]
    calls = model.calls
    (await shell.run(cell)).raise_error()
    assert model.calls == calls


# -- ways to run it --------------------------------------------------------------------------------------------------


async def test_the_magic_can_be_called_inside_a_running_loop(shell: Any, model: ScriptedModel) -> None:
    output = shell.ip.run_cell_magic("rlm", f"-m model {QUIET}", "root")
    assert output.content == "# Both\n\n1 and 2"
    assert tasks() == set()


async def test_a_cell_within_a_cell_works(shell: Any, model: ScriptedModel) -> None:
    """`%%capture` and `get_ipython().run_cell` cannot await, so the inner cell waits in a thread."""
    (await shell.run(f"%%capture captured\n%%rlm -m model {QUIET} answer <<\nroot")).raise_error()
    assert shell.names["answer"].content == "# Both\n\n1 and 2"
    assert [output.data["text/markdown"] for output in shell.names["captured"].outputs] == ["# Both\n\n1 and 2"]
    (await shell.run(f"inner = get_ipython().run_cell('%%rlm -m model {QUIET}\\nroot')")).raise_error()
    assert shell.names["inner"].result.content == "# Both\n\n1 and 2"


async def test_a_cell_within_a_cell_fails_in_one_line(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.names["broken"] = ScriptedModel(faults=[Fault(error=RLMError("no such luck"), times=None)])
    await shell.run(f"%%capture captured\n%%rlm -m broken {QUIET}\nroot")
    shell.names["captured"].show()
    printed = capsys.readouterr()
    assert "no such luck" in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err


@pytest.mark.parametrize("cell", ["%%rlm --help", "%%rlm -h\nroot", "%%rlm --help -m nothing\n"])
async def test_help_is_printed_and_nothing_runs(shell: Any, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await shell.value(cell) is None
    assert "--max-depth" in capsys.readouterr().out
    assert "_rlm" not in shell.names


@pytest.mark.parametrize("cell", ["%%rlm?", "%rlm?", "?%%rlm"])
async def test_a_question_mark_shows_the_options(shell: Any, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    (await shell.run(cell)).raise_error()
    shown = capsys.readouterr().out
    for part in ("--model", "--max-depth", "--checkpoint", "NAME <<"):
        assert part in shown


@pytest.mark.parametrize(
    "above", ["# a note\n", "\n# one\n\n  # two\n", "%%time\n", "%%time\n# a note\n", "%%capture c\n"]
)
async def test_comments_and_other_magics_may_stand_above(shell: Any, model: Any, above: str) -> None:
    await shell.run(f"{above}%%rlm -m model {QUIET}\nroot")
    assert shell.names["_rlm"].output.content == "# Both\n\n1 and 2"


async def test_below_code_it_says_where_it_belongs(shell: Any, model: Any) -> None:
    error = await shell.failure(f"x = 1\n%%rlm -m model {QUIET}\nroot")
    assert "has to begin its cell" in str(error)
    await shell.run("# %%rlm\ny = 2")
    assert shell.names["y"] == 2


async def test_a_price_that_the_table_lacks_is_given_by_config(shell: Any) -> None:
    def called(inputs: Any, context: Any) -> Any:
        return {"content": "x", "metadata": {"usage": {"prompt_tokens": 1000, "completion_tokens": 500}}}

    shell.names["called"] = called
    cell = f"%%rlm -m called {QUIET} --no-checkpoint --max-depth 1\nroot"
    assert (await shell.value(cell)).metadata["cost_usd"] is None
    await shell.run("%config RLMMagics.prices = {'called': (1.0, 2.0)}")
    assert (await shell.value(cell)).metadata["cost_usd"] == pytest.approx(0.002)
    shell.names["engine"] = AsyncRecursiveEngine(called, prices={"called": (3.0, 0.0)})
    of_engine = await shell.value(cell.replace("-m called", "-m engine"))
    assert of_engine.metadata["cost_usd"] == pytest.approx(0.003), "what the engine says comes first"


async def test_the_line_magic_helps(shell: Any, model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (await shell.run("%rlm")).raise_error()
    assert "no run yet" in capsys.readouterr().out
    await shell.value(f"%%rlm -m model {QUIET}\nroot")
    (await shell.run("%rlm")).raise_error()
    printed = capsys.readouterr().out
    assert "last run: <Run" in printed
    assert "--max-depth" in printed
    (await shell.run("%rlm version")).raise_error()
    assert "0." in capsys.readouterr().out
    error = await shell.failure("%rlm what is this")
    assert isinstance(error, UsageError)


# -- loading ---------------------------------------------------------------------------------------------------------


async def test_loading_twice_registers_once(shell: Any, model: Any) -> None:
    from rlm_notebook.notebook.magic import RLMMagics

    await shell.run("%load_ext rlm_notebook")
    await shell.run("%reload_ext rlm_notebook")
    shell.ip.extension_manager.loaded.clear()
    await shell.run("%load_ext rlm_notebook")
    assert shell.ip.input_transformers_post.count(await_rlm) == 1
    assert sum(isinstance(each, RLMMagics) for each in shell.ip.configurables) == 1
    assert (await shell.value(f"%%rlm -m model {QUIET}\nroot")).content == "# Both\n\n1 and 2"


async def test_unloading_takes_everything_away(shell: Any) -> None:
    await shell.run("%unload_ext rlm_notebook")
    assert await_rlm not in shell.ip.input_transformers_post
    assert shell.ip.find_cell_magic("rlm") is None
    assert shell.ip.find_cell_magic("_rlm_async") is None
    assert shell.ip.find_line_magic("rlm") is None
    assert isinstance(current_host(), PlainHost)
    assert isinstance(await shell.failure("%%rlm\nroot"), UsageError)
    await shell.run("%unload_ext rlm_notebook")
    await shell.run("%load_ext rlm_notebook")
    assert await shell.value(f"%%rlm -m offline {QUIET}\nWhat is 2 + 3?")


async def test_defaults_are_configurable(shell: Any, model: ScriptedModel) -> None:
    await shell.run("%config RLMMagics.max_depth = 1")
    await shell.value(f"%%rlm -m model {QUIET}\nroot")
    assert len(shell.names["_rlm"].tree) == 1
    await shell.value(f"%%rlm -m model {QUIET} --max-depth 2 -n other\nroot")
    assert len(shell.names["_rlm"].tree) == 3


async def test_text_is_shown_where_there_is_no_kernel(
    shell: Any, model: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await shell.value("%%rlm -m model\nroot")
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert "✓ [0.0] one" in printed
    assert "├─ ✓ one" in printed


def test_terminal_ipython_runs_a_cell(tmp_path: Path) -> None:
    """In a terminal there is no running loop; the tree is text, the answer is printed."""
    program = (
        "from rlm_notebook import ScriptedModel; m = ScriptedModel({'root': {'one': '1', 'two': '2'}})\n"
        "get_ipython().run_line_magic('load_ext', 'rlm_notebook')\n"
        "r = get_ipython().run_cell('%%rlm -m m -n demo\\nroot'); r.raise_error()\n"
        "get_ipython().run_cell_magic('rlm', '-m m -n demo', 'root'); print('calls', m.calls)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "IPython", "--quick", "--no-banner", "--colors=NoColor", "-c", program],
        capture_output=True,
        text=True,
        timeout=HANG,
        cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
        check=False,
    )
    assert "root: 1; 2" in ran.stdout, ran.stderr
    assert "calls 4" in ran.stdout
    assert "├─ ✓ one" in ran.stderr + ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    assert (tmp_path / "notebook.rlm" / "demo.json").exists()


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "read"), [('{"format": "rlm-checkpoint", "nodes": [', "corrupt"), ("", "empty file")]
)
async def test_a_corrupt_file_beside_the_notebook_is_left_as_it_is(
    shell: Any, model: Any, content: str, read: str
) -> None:
    path = Path("notebook.rlm/demo.json")
    path.parent.mkdir()
    path.write_text(content)
    assert "demo.json" in str(await shell.failure(f"%%rlm -m model {QUIET} -n demo\nroot"))
    assert path.read_text() == content


async def test_a_server_that_cannot_be_reached(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.names["model"] = "http://127.0.0.1:9/v1#m"
    error = await shell.failure(f"%%rlm -m http://127.0.0.1:9/v1#m {QUIET}\nroot")
    assert "127.0.0.1:9" in str(error)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 1


async def test_a_wrong_key(shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer([refusal(401, "Incorrect API key provided", code="invalid_api_key")] * 20) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-0123456789")
        error = await shell.failure(f"%%rlm -m openai:gpt-5-mini {QUIET}\nroot")
        assert len(server.bodies) == 1, "a key that is wrong is not tried again"
    assert "401" in str(error) or "key" in str(error)
    printed = capsys.readouterr().out
    assert len([line for line in printed.splitlines() if line.strip()]) == 1
    assert "very-secret" not in printed


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (refusal(403, "Country not supported"), "access refused"),
        (refusal(404, "The model does not exist", code="model_not_found"), "check the model's name"),
        (refusal(400, "maximum context length is 8192", code="context_length_exceeded"), "pass less context"),
        (refusal(429, "You exceeded your quota", code="insufficient_quota"), "add credit"),
    ],
    ids=["403", "404", "context", "quota"],
)
async def test_what_a_provider_refuses_is_one_line_with_the_next_step(
    shell: Any, act: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(lambda seen: act) as server:
        await shell.failure(f"%%rlm -m {server.url}#m {QUIET}\nroot")
        assert len(server.bodies) == 1, "what is pointless is not tried again"
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(("scheme", "said"), [("https", "no secure connection"), ("http", "is the server running?")])
async def test_a_server_that_cannot_be_reached_is_one_line(
    shell: Any, scheme: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer() as server:
        port = server.port if scheme == "https" else 1
        await shell.failure(f"%%rlm -m {scheme}://127.0.0.1:{port}/v1#m {QUIET}\nroot")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 1
    assert said in lines[0]


async def test_what_an_error_came_from_does_not_make_it_longer(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """IPython prints everything of an error that has an exception group behind it."""
    error = RLMError("no such luck")
    error.__context__ = ExceptionGroup("several", [ValueError("inner"), KeyError("other")])
    shell.names["broken"] = ScriptedModel(faults=[Fault(error=error, times=None)])
    await shell.failure(f"%%rlm -m broken {QUIET}\nroot")
    printed = capsys.readouterr()
    assert (printed.out + printed.err).strip() == "RLMError: no such luck"


async def test_a_view_that_cannot_be_shown_leaves_no_run_behind(
    shell: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*values: Any, **options: Any) -> Any:
        raise OSError("no display")

    monkeypatch.setattr("rlm_notebook.notebook.cell.answer.show", broken)
    assert isinstance(await shell.failure("%%rlm -m model\nroot"), OSError)
    assert shell.names["_rlm"].ended
    assert tasks() == set()


async def test_debug_shows_the_traceback(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    shell.names["broken"] = ScriptedModel(SCRIPT, faults=[Fault("one", error=KeyError("lost"), times=None)])
    await shell.failure(f"%%rlm -m broken {QUIET} --debug\nroot")
    printed = capsys.readouterr()
    assert "Traceback" in printed.out + printed.err
    assert "recursion.py" in printed.out + printed.err


async def test_tools_and_agents_of_the_notebook_are_used(shell: Any) -> None:
    def weather(place: str) -> str:
        """The weather at a place."""
        return f"sunny in {place}"

    def answer(request: Any) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        if request.messages[-1]["role"] == "tool":
            return {"content": f"It is {request.messages[-1]['content']}"}
        return {"tool_calls": [{"name": "weather", "arguments": {"place": "Graz"}}]}

    shell.names.update({"weather": weather, "model": ScriptedModel(answer)})
    assert str(await shell.value(f"%%rlm -m model -t weather {QUIET}\nroot")) == "It is sunny in Graz"
    shell.names["lookup"] = Tool(
        name="weather", description="", function=weather, parameters={"type": "object", "properties": {}}
    )


async def test_the_cell_that_is_cancelled_cancels_its_run(shell: Any) -> None:
    """An interrupt cancels the cell's own task."""
    plans, last = {"root": ["one", "two"], "two": ["three"]}, asyncio.Event()

    async def slow(inputs: Any, context: Any) -> dict[str, Any]:
        parts = plans.get(context["task"], [])
        if context["mode"] == "planner":
            return {"content": json.dumps({"decision": "RECURSE" if parts else "EXECUTE", "sub_tasks": parts})}
        if context["task"] == "three":
            last.set()
            await asyncio.sleep(HANG)
        return {"content": "1"}

    shell.names["slow"] = slow
    cell = asyncio.ensure_future(shell.run(f"%%rlm -m slow {QUIET} -n demo\nroot"))
    await asyncio.wait_for(last.wait(), HANG)
    cell.cancel()
    result = await cell
    error = result.error_in_exec
    assert type(error).__name__ == "RunInterrupted"
    assert str(error).startswith("Interrupted: ")
    assert "of 4 nodes are saved in" in str(error)
    assert "and the plan" in str(error), "what the planner was paid for is kept, too"
    assert "run the cell again to continue" in str(error)
    assert shell.names["_rlm"].status == "cancelled"
    assert tasks() == set()
    assert json.loads(Path("notebook.rlm/demo.json").read_text())["status"] == "cancelled"


async def test_a_second_interrupt_loses_nothing(shell: Any) -> None:
    shell.names["slow"] = ScriptedModel({"root": {f"part {n}": "1" for n in range(8)}}, latency=(0.02, 0.3))
    for moment in (0.05, 0.15, 0.3):
        cell = asyncio.ensure_future(shell.run(f"%%rlm -m slow {QUIET} -n demo\nroot"))
        await asyncio.sleep(moment)
        cell.cancel()
        await asyncio.sleep(0)
        cell.cancel()
        await asyncio.sleep(0)
        cell.cancel()
        await asyncio.wait([cell])
        assert shell.names["_rlm"].ended
        assert tasks() == set()
        document = json.loads(Path("notebook.rlm/demo.json").read_text())
        assert document["status"] == "cancelled"
        done = sum(node["state"] == "done" for node in document["nodes"])
        assert done == sum(str(node.state) == "done" for node in shell.names["_rlm"].tree)


async def test_a_run_that_somebody_else_cancels_fails_the_cell(shell: Any) -> None:
    shell.names["slow"] = ScriptedModel(SCRIPT, latency=0.2)
    cell = asyncio.ensure_future(shell.run(f"%%rlm -m slow {QUIET}\nroot"))
    await asyncio.sleep(0.3)
    await shell.names["_rlm"].cancel()
    error = (await cell).error_in_exec
    assert str(error).startswith("Cancelled: ")
