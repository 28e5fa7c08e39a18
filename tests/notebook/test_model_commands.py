"""`%rlm models` and `--env-file`: what could answer, told without asking anybody but the servers of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import ScriptedModel
from rlm_notebook.models import discovery
from tests.fault_server import FaultServer

KEY = "sk-proj-never-shown-0123456789"


@pytest.fixture(autouse=True)
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A machine on which one server runs."""
    with FaultServer(models=["qwen3", "llama3"]) as server:
        monkeypatch.setattr(discovery, "KNOWN_SERVERS", {"ollama": server.url})
        yield server
    assert server.requests == [], "no model was asked anything"


def kept_as(name: str) -> str:
    return (Path("notebook.rlm") / f"{name}.json").read_text(encoding="utf-8")


def rows(table: Any) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table.rows}


async def test_all_that_could_answer_is_listed_with_what_is_missing(shell: Any, ollama: FaultServer) -> None:
    shell.names["fake"] = ScriptedModel()
    table = await shell.value("%rlm models")
    listed = rows(table)
    assert listed["openai:NAME"][0] == "set OPENAI_API_KEY"
    assert listed["openai:NAME"][1].startswith("openai:gpt-5-mini: $")
    assert listed["ollama:NAME"] == (f"answers at {ollama.url}: qwen3, llama3", "free")
    assert listed["fake"] == ("a variable of this notebook: ScriptedModel 'scripted'", "free")
    assert {"anthropic:NAME", "lmstudio:NAME", "offline", "http://HOST:PORT/v1#NAME"} <= {*listed}
    assert table.note.endswith("offline, because no model was chosen and no key is set.")


async def test_keys_are_found_by_name_and_not_shown(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://ann:{KEY}@127.0.0.1:9/v1?key={KEY}")
    table = await shell.value("%rlm models")
    assert rows(table)["anthropic:NAME"][0] == "ready: ANTHROPIC_API_KEY is set"
    assert "OPENAI_BASE_URL leads to http://127.0.0.1:9/v1" in rows(table)["openai:NAME"][0]
    assert "anthropic:claude-haiku-4-5, because ANTHROPIC_API_KEY is set" in table.note
    assert KEY not in str(table) + table._repr_html_()


@pytest.mark.parametrize(
    ("code", "chosen"),
    [
        ("%config RLMMagics.model = 'ollama:qwen3'", "ollama:qwen3, because %config"),
        ("import os; os.environ['RLM_MODEL'] = 'vllm:m'", "vllm:m, because RLM_MODEL"),
    ],
)
async def test_what_would_answer_is_said_with_the_reason(
    shell: Any, monkeypatch: pytest.MonkeyPatch, code: str, chosen: str
) -> None:
    monkeypatch.setenv("RLM_MODEL", "")
    await shell.value(code)
    assert chosen in (await shell.value("%rlm models")).note


@pytest.mark.parametrize(
    ("spec", "state", "price"),
    [
        ("openai:gpt-5", "set OPENAI_API_KEY", "$1.25 in, $10 out per million tokens"),
        ("openai:no-such-model", "set OPENAI_API_KEY", "price not known"),
        ("ollama:qwen3", "answers at", "free"),
        ("ollama:other", "does not list other; it lists qwen3, llama3", "free"),
        ("lmstudio:x", "", "free"),
        ("http://127.0.0.1:9/v1#m", "by its address", "free"),
        ("offline", "not a language model", "free"),
        ("fake", "a variable", "free"),
    ],
)
async def test_one_model_is_described(shell: Any, spec: str, state: str, price: str) -> None:
    shell.names["fake"] = ScriptedModel()
    ((_, said, costs),) = (await shell.value(f"%rlm models {spec}")).rows
    assert state in said
    assert costs == price


async def test_what_is_no_model_is_refused_with_what_may_be_meant(shell: Any) -> None:
    assert "did you mean 'openai:x'?" in str(await shell.failure("%rlm models opnai:x"))


class TestEnvFile:
    @pytest.fixture
    def env_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        path = tmp_path / "keys.env"
        for each in (path, tmp_path / ".env"):
            each.write_text(f"OPENAI_API_KEY={KEY}\n")
        yield path
        os.environ.pop("OPENAI_API_KEY", None)

    async def test_a_cell_finds_the_keys_of_the_file_that_it_names(
        self, shell: Any, env_file: Path, capsys: pytest.CaptureFixture[str], ollama: FaultServer
    ) -> None:
        with FaultServer() as server:
            os.environ["OPENAI_BASE_URL"] = server.url
            output = await shell.value(f"%%rlm -m openai:m --view none -n kept --env-file {env_file}\nHello")
            assert output.content == "answer to: Hello"
            assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        del os.environ["OPENAI_BASE_URL"]
        printed = capsys.readouterr().out
        assert f"set from {env_file}: OPENAI_API_KEY" in printed
        assert KEY not in printed + kept_as("kept")

    async def test_no_file_is_read_unless_it_is_named(self, shell: Any, env_file: Path) -> None:
        await shell.value("%%rlm -m offline --view none\nWhat is 2 + 3?")
        await shell.value("%rlm models")
        assert "OPENAI_API_KEY" not in os.environ

    async def test_the_line_reads_it_too(self, shell: Any, env_file: Path) -> None:
        table = await shell.value(f"%rlm models --env-file {env_file}")
        assert "openai:gpt-5-mini, because OPENAI_API_KEY is set" in table.note
        assert KEY not in str(table)

    async def test_a_file_that_is_missing_fails_the_cell_in_one_line(self, shell: Any) -> None:
        error = await shell.failure("%%rlm -m offline --env-file nowhere.env\nHi")
        assert "--env-file nowhere.env: No such file" in str(error)
