"""A model that writes given cells, for tests of code nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, Request, ScriptedModel
from rlm_notebook.sandbox.fake import FakeSandbox


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def coder(cells: Sequence[str], answer: Callable[[Request], Any] | None = None, **options: Any) -> ScriptedModel:
    """Writes these cells, one a reply; `answer` replies to everything else, by default with the prompt in capitals."""

    def say(request: Request) -> Any:
        if request.mode == "coder":
            written = sum(message["role"] == "assistant" for message in request.messages)
            return fenced(cells[min(written, len(cells) - 1)])
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        return answer(request) if answer is not None else request.facts.task.upper()

    return ScriptedModel(say, **options)


def code_engine(model: Any, *, sandbox: FakeSandbox | None = None, limits: Any = None, **options: Any) -> Any:
    """An engine whose root is a code node; `limits` are options of its `CodeSandbox`."""
    code = CodeSandbox(kind=sandbox or FakeSandbox(), when="root", **(limits or {}))
    return AsyncRecursiveEngine(model, code=code, **options)
