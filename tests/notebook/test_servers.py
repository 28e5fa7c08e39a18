"""A cell against a real HTTP server: by its URL, and as OpenAI behind OPENAI_BASE_URL."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fault_server import FaultServer

TASK = "Do it all\nsplit: first thing | second thing | third thing"


@pytest.mark.parametrize("by_url", [True, False], ids=["url", "OPENAI_BASE_URL"])
async def test_a_run_against_a_server_streams_and_records_its_usage(
    shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_url: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with FaultServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-never-written")
        spec = f"{server.url}#m" if by_url else "openai:m"
        output = await shell.value(f"%%rlm -m {spec} -n served --view none\n{TASK}")
        streamed = [request.body.get("stream", False) for request in server.requests]

    kept = (tmp_path / "notebook.rlm" / "served.json").read_text(encoding="utf-8")
    assert output.content.startswith("answer to: Do it all")
    assert len(streamed) == 5
    assert all(streamed), "a plan is read as it arrives"
    assert output.usage.calls == 5
    assert output.usage.total_tokens == sum(node["usage"]["total_tokens"] for node in json.loads(kept)["nodes"]) > 0
    assert "sk-never-written" not in kept
