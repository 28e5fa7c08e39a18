"""Which model answers a cell: the first that applies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ReplayError, Run, ScriptedModel
from rlm_notebook.models import discovery
from tests.fault_server import FaultServer

CELL = "%%rlm --view none -n demo {}\nWhat is 2 + 3?"
FILE = Path("notebook.rlm") / "demo.json"


@pytest.fixture
def scripted(shell: Any) -> dict[str, ScriptedModel]:
    """Models that answer with their names, as variables of the notebook."""
    models = {name: ScriptedModel(lambda r, name=name: name, name=name) for name in ("option", "config", "variable")}
    shell.names.update(models)
    return models


async def answered(shell: Any, options: str = "") -> str:
    return str(await shell.value(CELL.format(options)))


async def test_the_option_comes_first(shell: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await shell.run("%config RLMMagics.model = 'config'")
    monkeypatch.setenv("RLM_MODEL", "variable")
    assert await answered(shell, "-m option") == "option"


async def test_then_the_configuration(shell: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await shell.run("%config RLMMagics.model = 'config'")
    monkeypatch.setenv("RLM_MODEL", "variable")
    assert await answered(shell) == "config"


async def test_then_the_environment(shell: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_MODEL", "variable")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert await answered(shell) == "variable"


def record_another_model(model: str) -> None:
    """As if the recorded run had been made by `model`."""
    data = json.loads(FILE.read_text())
    data["engine"]["model"] = model
    FILE.write_text(json.dumps(data))


async def test_then_the_recorded_model_even_if_there_is_a_key(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer() as server:
        local = f"{server.url}#local-model"
        assert "answer to" in await answered(shell, f"-m {local}")
        calls = len(server.bodies)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
        await shell.value(CELL.format("").replace("3", "4"))
        assert len(server.bodies) > calls
        assert {body["model"] for body in server.bodies} == {"local-model"}
    assert shell.names["_rlm"].internals.settings["model"] == local


async def test_a_reader_without_the_model_reuses_what_is_recorded(
    shell: Any, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The author's model cannot be had by its name: the same request is answered from the file, nothing is written."""
    assert await answered(shell, "-m option") == "option"
    before, calls = FILE.read_bytes(), scripted["option"].calls
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert await answered(shell) == "option"
    assert scripted["option"].calls == calls
    assert FILE.read_bytes() == before


@pytest.mark.parametrize("elsewhere", ["http://example.com/v1#m", "https://models.example/v1#m"])
async def test_a_file_does_not_choose_a_server_elsewhere(
    shell: Any, capsys: pytest.CaptureFixture[str], elsewhere: str
) -> None:
    """A changed cell must not send its text where a stranger's file says."""
    await answered(shell, "-m offline")
    record_another_model(elsewhere)
    await shell.value(CELL.format("").replace("3", "4"))
    assert shell.names["_rlm"].internals.settings["model"].startswith("offline")
    assert "NO MODEL CHOSEN" in capsys.readouterr().out


async def chosen(shell: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The model of the next cell, which is not asked."""
    seen: list[str] = []

    class Seen(Exception):
        pass

    def start(self: AsyncRecursiveEngine, *args: Any, **options: Any) -> Run:
        seen.append(self.settings()["model"])
        raise Seen

    monkeypatch.setattr(AsyncRecursiveEngine, "start", start)
    assert isinstance(await shell.failure(CELL.format("")), Seen)
    return seen[0]


async def test_then_a_key_that_is_set(
    shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert await chosen(shell, monkeypatch) == "openai:gpt-5-mini"
    assert "rlm: using openai:gpt-5-mini, because OPENAI_API_KEY is set" in capsys.readouterr().out


async def test_that_offline_answered_before_binds_nobody(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await answered(shell)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert await chosen(shell, monkeypatch) == "openai:gpt-5-mini"


async def test_then_offline_under_a_banner(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert "5" in await answered(shell)
    printed = capsys.readouterr().out
    for part in ("NO MODEL CHOSEN", "not a language model", "OPENAI_API_KEY", "-m VARIABLE", "%config RLMMagics.model"):
        assert part in printed
    await answered(shell, "-m offline")
    assert "NO MODEL" not in capsys.readouterr().out


async def test_a_replay_has_no_model_to_choose(
    shell: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLM_MODE", "replay")
    with pytest.raises(ReplayError):
        await answered(shell)
    assert "NO MODEL" not in capsys.readouterr().out


async def test_the_banner_names_the_models_of_local_servers_and_asks_none(
    shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(models=["qwen3", "other"]) as server:
        monkeypatch.setattr(discovery, "KNOWN_SERVERS", {"ollama": server.url, "lmstudio": "http://127.0.0.1:1/v1"})
        await answered(shell)
        assert server.bodies == []
    printed = capsys.readouterr().out
    assert f"-m ollama:qwen3 (answers at {server.url})" in printed
    assert "lmstudio" not in printed
    assert shell.names["_rlm"].internals.settings["model"].startswith("offline")


async def test_the_key_of_anthropic_decides_after_openais(
    shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    assert await chosen(shell, monkeypatch) == "anthropic:claude-haiku-4-5"
    printed = capsys.readouterr().out
    assert "using anthropic:claude-haiku-4-5, because ANTHROPIC_API_KEY is set" in printed
    assert "per million tokens" in printed
    assert "sk-ant" not in printed


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("optoin", "did you mean option?"),
        ("ofline", "did you mean offline?"),
        ("openia:gpt", "did you mean 'openai:gpt'?"),
        ("nothing_near_it_at_all", "openai:NAME"),
        ("openai:", "names no model"),
    ],
)
async def test_a_model_that_is_none_is_refused_with_the_closest(
    shell: Any, scripted: Any, option: str, said: str
) -> None:
    error = await shell.failure(CELL.format(f"-m {option}"))
    assert re.search(re.escape(said), str(error))


async def test_an_engine_as_model_keeps_its_own_options(shell: Any) -> None:
    model = ScriptedModel({"root": {"a": "1", "b": "2"}})
    shell.names["engine"] = AsyncRecursiveEngine(model, max_depth=1, temperature=0.5, agents={"planner": model})
    await shell.value("%%rlm --view none -m engine\nroot")
    assert len(shell.names["_rlm"].tree) == 1
    again = model.calls
    await shell.value("%%rlm --view none -m engine\nroot")
    assert model.calls == again
    await shell.value("%%rlm --view none -m engine --max-depth 3 --no-checkpoint\nroot")
    assert len(shell.names["_rlm"].tree) == 3
