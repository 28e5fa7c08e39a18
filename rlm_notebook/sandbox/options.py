"""The options of code nodes, and the sandbox that they choose."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

from ..exceptions import ConfigurationError
from ..host.installation import install_command
from .port import Sandbox

__all__ = ["CodeSandbox", "code_options", "lacks_of", "make_sandbox", "require_available"]

#: By kind: the module and the class that implement it.
_KINDS = {"monty": ("monty", "MontySandbox"), "python": ("confined", "ConfinedPython")}


@dataclass(frozen=True, slots=True)
class CodeSandbox:
    """Where and when models solve a task by code: `AsyncRecursiveEngine(llm, code=CodeSandbox(max_cells=10))`.

    `kind`: "monty" (a small Python without files, network and other modules; needs the extra `code`), "python" (a
    confined CPython with this environment's packages, on Linux only) or a `Sandbox`. `when`: "planner" lets the planner
    decide, "root" makes the root a code node at once. `memory_mb` limits a session, `cell_seconds` the time that one
    cell computes (without the time that it waits for models and tools), `max_cells` the cells of one node;
    `output_characters` of what a cell prints are kept.
    Raises `ConfigurationError` for a value that is not possible.
    """

    kind: Literal["monty", "python"] | Sandbox = "monty"
    when: Literal["planner", "root"] = "planner"
    memory_mb: int = 256
    cell_seconds: float = 30.0
    max_cells: int = 20
    output_characters: int = 10_000

    def __post_init__(self) -> None:
        if isinstance(self.kind, str) and self.kind not in _KINDS:
            raise ConfigurationError(f'CodeSandbox(kind={self.kind!r}): expected "monty", "python" or a Sandbox')
        if not isinstance(self.kind, str) and not hasattr(self.kind, "open"):
            raise ConfigurationError(f'CodeSandbox(kind={self.kind!r:.60}): expected "monty", "python" or a Sandbox')
        if self.when not in ("planner", "root"):
            raise ConfigurationError(f'CodeSandbox(when={self.when!r}): expected "planner" or "root"')
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("kind", "when"):
                continue
            whole = each.name != "cell_seconds"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value > 0:
                expected = "a whole number of at least 1" if whole else "seconds, more than 0"
                raise ConfigurationError(f"CodeSandbox({each.name}={value!r}): expected {expected}")

    @property
    def kind_name(self) -> str:
        """The name of the sandbox, as it is recorded."""
        return self.kind if isinstance(self.kind, str) else self.kind.kind

    def to_json(self) -> dict[str, Any]:
        """As checkpoints record it."""
        return {**{each.name: getattr(self, each.name) for each in fields(self)}, "kind": self.kind_name}


def code_options(code: Any) -> CodeSandbox | None:
    """The options for the engine's argument `code`: `None`, `True`, "root" or a `CodeSandbox`.

    Raises `ConfigurationError`.
    """
    if code is None or code is False:
        return None
    if isinstance(code, CodeSandbox):
        return code
    if code is True:
        return CodeSandbox()
    if code == "root":
        return CodeSandbox(when="root")
    raise ConfigurationError(f'code={code!r:.60}: expected True, "root", CodeSandbox(...), or None for no code')


def require_available(options: CodeSandbox) -> None:
    """Raise `ConfigurationError` if the sandbox cannot run here, before anything is paid; cheap."""
    if sys.platform == "emscripten":
        raise ConfigurationError(
            "code=...: no sandbox runs in a browser, so cells cannot be computed here; replay a recorded run, or use a "
            "kernel outside the browser"
        )
    if options.kind == "monty" and find_spec("pydantic_monty") is None:
        raise ConfigurationError(
            f'code=...: the sandbox "monty" is not installed; run `{install_command("code")}`, or use '
            'CodeSandbox(kind="python") on Linux'
        )
    if options.kind == "python" and sys.platform != "linux":
        raise ConfigurationError(
            f'CodeSandbox(kind="python"): code can be confined on Linux only, and this is {sys.platform}; '
            'use kind="monty"'
        )


def lacks_of(options: CodeSandbox) -> str:
    """What the sandbox has and has not, for a prompt; "" where it cannot run."""
    try:
        return make_sandbox(options).lacks
    except ConfigurationError:
        return ""


def make_sandbox(options: CodeSandbox) -> Sandbox:
    """The sandbox of these options. Raises `ConfigurationError` if it cannot run here."""
    if not isinstance(options.kind, str):
        return options.kind
    require_available(options)
    module, name = _KINDS[options.kind]
    sandbox: Sandbox = getattr(import_module(f".{module}", __package__), name)()
    return sandbox
