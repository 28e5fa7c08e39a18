"""How a run is shown: a view that fails never fails the run."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.notebook.display.show import show


class Broken:
    encoding = "utf-8"

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        raise OSError("the pipe is closed")

    def flush(self) -> None:
        raise OSError("the pipe is closed")


async def test_a_stream_that_breaks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    run = AsyncRecursiveEngine(ScriptedModel({"root": {"a": "1", "b": "2"}})).start("root")
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "rlm_notebook"):
        patched.setattr("sys.stdout", Broken())
        with show(run, "text"):
            output = await run
    assert output.content == "root: 1; 2"
    assert "the end of the run" in caplog.text
    assert "the pipe is closed" in caplog.text


@pytest.mark.parametrize("kind", ["widget", "static"])
async def test_a_display_that_breaks(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def display(*values: Any, **options: Any) -> None:
        raise RuntimeError("no socket")

    monkeypatch.setattr("IPython.display.display", display)
    run = AsyncRecursiveEngine(ScriptedModel({"root": {"a": "1", "b": "2"}})).start("root")
    with caplog.at_level(logging.WARNING, "rlm_notebook"), show(run, kind) as widget:
        output = await run
    assert widget is None
    assert output.content == "root: 1; 2"
    assert "no socket" in caplog.text


async def test_an_error_of_the_run_is_not_hidden() -> None:
    run = AsyncRecursiveEngine(ScriptedModel()).start("root")
    with pytest.raises(KeyError), show(run, "none"):
        raise KeyError("mine")
    await run.cancel()
