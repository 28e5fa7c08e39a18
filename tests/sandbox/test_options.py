"""Options of code nodes."""

from __future__ import annotations

from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, ConfigurationError
from rlm_notebook.sandbox.fake import FakeSandbox
from rlm_notebook.sandbox.options import code_options, make_sandbox, require_available


def test_what_the_engine_takes_as_code() -> None:
    assert code_options(None) is None
    assert code_options(True) == CodeSandbox()
    assert code_options("root") == CodeSandbox(when="root")
    assert code_options(CodeSandbox(max_cells=3)) == CodeSandbox(max_cells=3)
    assert AsyncRecursiveEngine("offline", code="root").settings()["code"]["when"] == "root"
    assert "code" not in AsyncRecursiveEngine("offline").settings()


@pytest.mark.parametrize("code", ["planner", 3, object(), FakeSandbox()])
def test_anything_else_is_refused(code: Any) -> None:
    with pytest.raises(ConfigurationError, match="code="):
        AsyncRecursiveEngine("offline", code=code)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "none"},
        {"kind": None},
        {"when": "never"},
        {"max_cells": 0},
        {"memory_mb": 0.5},
        {"cell_seconds": True},
        {"output_characters": -1},
    ],
)
def test_options_that_are_not_possible_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="CodeSandbox"):
        CodeSandbox(**options)


def test_a_missing_package_and_a_wrong_system_are_said_before_anything_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_notebook.sandbox.options.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"rlm-notebook\[code\]"):
        require_available(CodeSandbox())
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigurationError, match="Linux"):
        make_sandbox(CodeSandbox(kind="python"))
    require_available(CodeSandbox(kind=FakeSandbox()))


async def test_a_run_is_refused_before_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_notebook.sandbox.options.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"rlm-notebook\[code\]"):
        await AsyncRecursiveEngine("offline", code=True).solve("Count")
