"""A trip that many tests plan, the models that plan it, and what they look at afterwards."""

import re
from typing import Any

from rlm_notebook import (
    ModelError,
    RetryPolicy,
    ScriptedModel,
)
from rlm_notebook.models.scripted import Fault
from rlm_notebook.ports import Request

__all__ = ["NEVER", "TRIP", "asked", "endless", "failing", "planned", "split", "states"]

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown", "food": {"lunch": "soup", "dinner": "stew"}}}
NEVER = RetryPolicy(attempts=1)


def split(*parts: Any) -> dict[str, Any]:
    return {"decision": "RECURSE", "sub_tasks": list(parts)}


def planned(latency: float = 0, **plans: dict[str, Any]) -> ScriptedModel:
    """A model with these plans by task; every other task is executed."""

    def answer(request: Request) -> Any:
        return plans.get(request.facts.task) if request.mode == "planner" else None

    return ScriptedModel(answer, latency=latency)


def asked(model: ScriptedModel, mode: str | None = None) -> list[str]:
    """The tasks that the model was asked about, in order."""
    return [request.facts.task for request in model.requests if mode in (None, request.mode)]


def states(run: Any) -> dict[str, str]:
    return {node.id: str(node.state) for node in run.tree.walk()}


def failing(*tasks: str, error: ModelError | None = None) -> list[Fault]:
    return [Fault(f"^{re.escape(task)}$", error=error or ModelError(f"no {task}"), times=None) for task in tasks]


def endless() -> ScriptedModel:
    """A planner that never stops splitting."""

    def answer(request: Request) -> Any:
        task = request.facts.task
        return split(f"{task}1", f"{task}2") if request.mode == "planner" else f"<{task}>"

    return ScriptedModel(answer)
