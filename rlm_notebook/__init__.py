"""Recursive language-model runs in Jupyter: a `%%rlm` cell, a live tree, and a JSON beside the notebook.

    %load_ext rlm_notebook

    %%rlm -m openai:gpt-5-mini
    Compare these three papers and say what they agree on.

The same from Python: `await AsyncRecursiveEngine("openai:gpt-5-mini").solve("...")`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .agent import Agent
    from .async_engine import AsyncRecursiveEngine
    from .core.context import RLMContext
    from .core.events import Event
    from .core.limits import Budget
    from .core.retry import RetryPolicy
    from .core.tree import Node, NodeState
    from .core.usage import Usage
    from .documents.images import Image
    from .documents.source import Source
    from .engine import RecursiveEngine
    from .exceptions import (
        BudgetExceededError,
        CheckpointError,
        ConfigurationError,
        ExecutionError,
        InvalidJSONError,
        LimitError,
        MaxStepsError,
        ModelError,
        PlanError,
        RecursionDepthError,
        ReplayError,
        RLMError,
        ToolError,
    )
    from .experiments.experiment import Experiment
    from .experiments.start_study import study
    from .experiments.study import Study
    from .memory import SharedMemory
    from .models.scripted import Cells, Fault, ScriptedModel
    from .notebook.kernel.event_loop import enable_nested_loops
    from .ports import Capabilities, ImagePart, Model, Observer, Reply, Request
    from .runtime.recorded_run import RecordedRun, load_run
    from .runtime.run import Run
    from .runtime.run_list import RunList, RunSummary, list_runs
    from .sandbox.options import CodeSandbox
    from .tools import Tool, tool
    from .tools.mcp import MCPServer, mcp
    from .types import Output

__all__ = [
    "Agent",
    "AsyncRecursiveEngine",
    "Budget",
    "BudgetExceededError",
    "Capabilities",
    "Cells",
    "CheckpointError",
    "CodeSandbox",
    "ConfigurationError",
    "Event",
    "ExecutionError",
    "Experiment",
    "Fault",
    "Image",
    "ImagePart",
    "InvalidJSONError",
    "LimitError",
    "MCPServer",
    "MaxStepsError",
    "Model",
    "ModelError",
    "Node",
    "NodeState",
    "Observer",
    "Output",
    "PlanError",
    "RLMContext",
    "RLMError",
    "RecordedRun",
    "RecursionDepthError",
    "RecursiveEngine",
    "ReplayError",
    "Reply",
    "Request",
    "RetryPolicy",
    "Run",
    "RunList",
    "RunSummary",
    "ScriptedModel",
    "SharedMemory",
    "Source",
    "Study",
    "Tool",
    "ToolError",
    "Usage",
    "__version__",
    "enable_nested_loops",
    "list_runs",
    "load_run",
    "mcp",
    "study",
    "tool",
]

_HOMES = {
    "agent": ["Agent"],
    "async_engine": ["AsyncRecursiveEngine"],
    "core.context": ["RLMContext"],
    "core.events": ["Event"],
    "core.limits": ["Budget", "Usage"],
    "core.retry": ["RetryPolicy"],
    "core.tree": ["Node", "NodeState"],
    "documents.images": ["Image"],
    "documents.source": ["Source"],
    "engine": ["RecursiveEngine"],
    "exceptions": [name for name in __all__ if name.endswith("Error")],
    "experiments.experiment": ["Experiment"],
    "experiments.start_study": ["study"],
    "experiments.study": ["Study"],
    "memory": ["SharedMemory"],
    "models.scripted": ["Cells", "Fault", "ScriptedModel"],
    "notebook.kernel.event_loop": ["enable_nested_loops"],
    "ports": ["Capabilities", "ImagePart", "Model", "Observer", "Reply", "Request"],
    "runtime.recorded_run": ["RecordedRun", "load_run"],
    "runtime.run": ["Run"],
    "runtime.run_list": ["RunList", "RunSummary", "list_runs"],
    "sandbox.options": ["CodeSandbox"],
    "tools": ["Tool", "tool"],
    "tools.mcp": ["MCPServer", "mcp"],
    "types": ["Output"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Public names are loaded on first use, so that the import costs next to nothing."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext rlm_notebook`: register `%%rlm` and `%rlm`."""
    import_module(".notebook.magic", __name__).load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext rlm_notebook`: take away what loading added."""
    import_module(".notebook.magic", __name__).unload(shell)
