"""`%%rlm` cells against model servers that nobody of this project wrote: npm's @copilotkit/aimock.

Needs Node and `npm ci` in tests/aimock; says so and is skipped without them, and fails where RLM_REQUIRE_ALL is set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.node

FOLDER = Path(__file__).parents[1] / "aimock"
PATIENCE = 30


@dataclass
class Mock:
    url: str

    def requests(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/__aimock/journal", timeout=PATIENCE) as answer:
            entries: list[dict[str, Any]] = json.load(answer)
        return [each for each in entries if each["method"] == "POST"]

    def paths(self) -> set[str]:
        return {each["path"] for each in self.requests()}


def _missing() -> str:
    if shutil.which("node") is None:
        return "there is no Node (https://nodejs.org)"
    return "" if (FOLDER / "node_modules").is_dir() else "run `npm ci` in tests/aimock"


@pytest.fixture
def aimock() -> Iterator[Mock]:
    missing = _missing()
    if missing and os.environ.get("RLM_REQUIRE_ALL") == "1":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    server = subprocess.Popen(
        ["node", "server.mjs"], cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), url
        yield Mock(url)
    finally:
        server.stdin.close()
        server.wait(timeout=PATIENCE)
        server.stdout.close()


#: Each way to reach a model: the environment that it needs, the spec, and where it asks.
WAYS: dict[str, Callable[[str], tuple[dict[str, str], str, str]]] = {
    "url": lambda url: ({}, f"{url}/v1#some-model", "/v1/chat/completions"),
    "openai": lambda url: (
        {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "sk-never-shown"},
        "openai:gpt-5-mini",
        "/v1/",
    ),
    "anthropic": lambda url: (
        {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-ant-never-shown"},
        "anthropic:claude-haiku-4-5",
        "/v1/messages",
    ),
}


@dataclass
class Asking:
    """A notebook whose cells name one of these models."""

    shell: Any
    mock: Mock
    spec: str
    path: str

    async def value(self, task: str, options: str = "") -> Any:
        return await self.shell.value(f"%%rlm -m {self.spec} --view none {options}\n{task}")


@pytest.fixture(params=WAYS)
def asking(request: Any, shell: Any, aimock: Mock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asking]:
    environment, spec, path = WAYS[request.param](aimock.url)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yield Asking(shell, aimock, spec, path)
    assert aimock.requests(), "the test has asked the server"
    assert all(each.startswith(path) for each in aimock.paths())


async def test_a_task_is_split_answered_and_joined(asking: Asking) -> None:
    output = await asking.value("Plan a trip")
    run = asking.shell.names["_rlm"]
    assert output.content == "Fly at nine [0.0], sleep downtown [0.1]."
    assert [node.result for node in run.tree.children("0")] == ["Flights leave at nine.", "The hotel is downtown."]
    assert output.usage.calls == len(asking.mock.requests()) == 4
    assert (run.tree["0"].usage.prompt_tokens, run.tree["0"].usage.completion_tokens) >= (100, 7)


async def test_what_is_shown_while_it_is_written_is_streamed(asking: Asking) -> None:
    await asking.value("Plan a trip")
    assert all(each["body"]["stream"] for each in asking.mock.requests())


async def test_tools_are_called_in_parallel_and_their_results_given_back(asking: Asking) -> None:
    asked = []

    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return f"{city} is sunny"

    asking.shell.names["weather"] = weather
    output = await asking.value("What is the weather?", "-t weather")
    assert output.content == "Oslo is sunny and Rome is sunny"
    assert sorted(asked) == ["Oslo", "Rome"]


async def test_a_typed_answer(asking: Asking) -> None:
    await asking.shell.run("from pydantic import BaseModel\nclass City(BaseModel):\n    name: str\n    people: int")
    output = await asking.value("Describe Oslo", "--type City")
    assert output.parsed == asking.shell.names["City"](name="Oslo", people=700_000)


@pytest.mark.parametrize("how", ["limited", "broken", "cut", "dropped", "garbled"])
async def test_a_failure_is_tried_again_and_changes_nothing(asking: Asking, how: str) -> None:
    """429, 500, a stream that is cut short, a connection that is dropped, a reply that is no JSON."""
    output = await asking.value(f"Plan a trip ({how})")
    assert output.content == "Fly at nine [0.0], sleep downtown [0.1]."
    assert asking.shell.names["_rlm"].tree["0.0"].result == "Flights leave at nine."
    assert len(asking.mock.requests()) == 5, "four calls, and the one that failed"


async def test_a_wrong_key_fails_the_cell_in_one_line_without_it(asking: Asking) -> None:
    error = await asking.shell.failure(f"%%rlm -m {asking.spec} --view none\nrefused")
    assert "access refused (401" in str(error)
    assert "\n" not in str(error)
    assert "never-shown" not in str(error)
    assert len(asking.mock.requests()) == 1


@pytest.mark.kernel
def test_in_a_real_kernel(aimock: Mock, kernel: Any) -> None:
    key = (
        f"import os\nos.environ |= {{'ANTHROPIC_BASE_URL': {aimock.url!r}, 'ANTHROPIC_API_KEY': 'sk-ant-never-shown'}}"
    )
    assert kernel.run(key).ok
    ran = kernel.run("%%rlm -m anthropic:claude-haiku-4-5 -n trip\nPlan a trip (limited)")
    assert ran.ok, ran.reply
    assert "Fly at nine" in ran.text
    assert "never-shown" not in (kernel.folder / "notebook.rlm" / "trip.json").read_text(encoding="utf-8")
    assert kernel.run("del os.environ['ANTHROPIC_BASE_URL'], os.environ['ANTHROPIC_API_KEY']").ok
