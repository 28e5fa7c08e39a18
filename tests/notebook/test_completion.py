"""What Tab offers, through IPython's own completer and through a real kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from pydantic import BaseModel

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.models.discovery import LocalServer
from tests.notebook.conftest import Kernel


class Book(BaseModel):
    title: str


def search(place: str) -> str:
    """Search a place."""
    return place


def offered(shell: Any, text: str) -> list[str]:
    """The text as it is after each completion that IPython offers."""
    with provisionalcompleter():
        found = list(shell.ip.Completer.completions(text, len(text)))
    return [text[: each.start] + each.text + text[each.end :] for each in found]


@pytest.fixture
async def filled(shell: Any) -> Any:
    """A notebook with two runs and variables of every kind."""
    shell.names.update(
        model=ScriptedModel({"root": "1"}),
        motor=AsyncRecursiveEngine("offline"),
        search=search,
        team={},
        text="some text",
        place=Path("x"),
        number=3,
        Book=Book,
        Books=list[Book],
    )
    await shell.value("%%rlm -m model -q -n first\nroot")
    await shell.value("%%rlm -m model -q -n fresh\nroot")
    await shell.value("%%rlm -m model -q -n fresh\nroot again")
    return shell


@pytest.mark.parametrize(
    ("text", "completed"),
    [
        ("%%rlm --max-d", ["%%rlm --max-depth"]),
        ("%%rlm -m model --mod", ["%%rlm -m model --mode", "%%rlm -m model --model"]),
        ("%%rlm --mode re", ["%%rlm --mode replay", "%%rlm --mode resume"]),
        ("%%rlm --mode=fr", ["%%rlm --mode=fresh"]),
        ("%%rlm --view=", ["%%rlm --view=none", "%%rlm --view=text", "%%rlm --view=widget"]),
        ("%%rlm -m mo", ["%%rlm -m model", "%%rlm -m motor"]),
        ("%%rlm -m off", ["%%rlm -m offline"]),
        ("%%rlm --model=oll", ["%%rlm --model=ollama:"]),
        ("%%rlm -m openai:gpt-5-m", ["%%rlm -m openai:gpt-5-mini"]),
        ("%%rlm -a ", ["%%rlm -a team"]),
        ("%%rlm -t ", ["%%rlm -t search"]),
        ("%%rlm -t search,se", ["%%rlm -t search,search"]),
        ("%%rlm -c te", ["%%rlm -c team", "%%rlm -c text"]),
        ("%%rlm -c place,tex", ["%%rlm -c place,text"]),
        ("%%rlm --type Bo", ["%%rlm --type Book", "%%rlm --type Books"]),
        ("%%rlm -n f", ["%%rlm -n first", "%%rlm -n fresh", "%%rlm -n fresh.1"]),
        ("%%rlm --approve=r", ["%%rlm --approve=root"]),
        ("%%rlm --detach --vi", ["%%rlm --detach --view"]),
        ("%rlm sh", ["%rlm show"]),
        ("x = %rlm ru", ["x = %rlm runs"]),
        ("1 + 1\n%rlm ver", ["1 + 1\n%rlm version", "1 + 1\n%rlm versions"]),
        ("%rlm show fi", ["%rlm show first"]),
        ("%rlm diff fresh.1 fr", ["%rlm diff fresh.1 fresh", "%rlm diff fresh.1 fresh.1"]),
        ("%rlm resume first -m mod", ["%rlm resume first -m model"]),
        ("%rlm export first --me", ["%rlm export first --mermaid"]),
        ("%%rlm -q\nSee {{te", ["%%rlm -q\nSee {{team}}", "%%rlm -q\nSee {{text}}"]),
    ],
)
async def test_tab(filled: Any, text: str, completed: list[str]) -> None:
    assert sorted(offered(filled, text)) == completed


async def test_a_cell_without_a_word_offers_all_options(filled: Any) -> None:
    found = offered(filled, "%%rlm ")
    assert "%%rlm --model" in found
    assert "%%rlm --detach" in found


async def test_models_of_a_server_on_this_machine(filled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "rlm_notebook.notebook.commands.completion.local_servers",
        lambda known: [LocalServer("ollama", "http://127.0.0.1:11434/v1", ("tiny", "large"))],
    )
    assert offered(filled, "%%rlm -m ollama:t") == ["%%rlm -m ollama:tiny"]


@pytest.mark.parametrize("text", ["mod", "print(te", "%%timeit\nte", "%rl", "sea"])
async def test_other_cells_are_completed_as_before(filled: Any, text: str) -> None:
    # Jedi gives up after a while by the clock.
    filled.ip.Completer.use_jedi = False
    before = offered(filled, text)
    assert before
    await filled.run("%unload_ext rlm_notebook")
    if text != "%rl":
        assert offered(filled, text) == before
    await filled.run("%load_ext rlm_notebook")


@pytest.mark.parametrize(
    "text", ["%%rlm --nothing-like-this", "%rlm unknown x", "%%rlm -n 'x", "%rlm show -", "%%rlm -m http://x:"]
)
async def test_nonsense_offers_nothing_of_ours_and_breaks_nothing(filled: Any, text: str) -> None:
    assert isinstance(offered(filled, text), list)


async def test_unloading_takes_it_away(filled: Any) -> None:
    await filled.run("%unload_ext rlm_notebook")
    assert "%%rlm --max-depth" not in offered(filled, "%%rlm --max-d")
    assert filled.ip.Completer.custom_matchers == []
    await filled.run("%load_ext rlm_notebook")
    await filled.run("%reload_ext rlm_notebook")
    assert len(filled.ip.Completer.custom_matchers) == 1


@pytest.mark.kernel
def test_in_a_kernel(kernel: Kernel) -> None:
    kernel.run("from rlm_notebook import ScriptedModel; my_model = ScriptedModel()")
    for code, start, word in [
        ("%%rlm -m my_m", 9, "my_model"),
        ("%%rlm -m openai:gpt-5-min", 9, "openai:gpt-5-mini"),
        ("%rlm doc", 5, "doctor"),
    ]:
        kernel.client.complete(code, len(code))
        reply = kernel.client.get_shell_msg(timeout=30)["content"]
        assert (reply["matches"], reply["cursor_start"], reply["cursor_end"]) == ([word], start, len(code))
