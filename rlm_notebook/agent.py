"""Agents: a model with instructions, tools and a temperature, as a frozen value."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from .core.keys import as_json
from .exceptions import ConfigurationError
from .ports.model import Model
from .tools import as_tools, opened

__all__ = ["DEFAULT_AGENT", "Agent", "agents_of"]

#: The agent of nodes that are assigned to none.
DEFAULT_AGENT = "default"


@dataclass(frozen=True)
class Agent:
    """A model with instructions, tools and a temperature of its own, to which the planner can assign sub-tasks.

    `model` is anything that the engine accepts as `llm`; the planner's prompt shows `name` and `description`.
    Raises `ConfigurationError` for an empty name, a negative temperature, and a model or tools of an unknown kind.

        Agent("translator", "openai:gpt-5-mini", "translates to French", instructions="Keep names as they are.")
    """

    name: str
    model: Any
    description: str = ""
    instructions: str = ""
    tools: Any = ()
    temperature: float | None = None
    resolved: Model = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ConfigurationError(f"Agent(name={self.name!r}): give it a name that the planner can assign tasks to")
        if self.temperature is not None and not (
            isinstance(self.temperature, int | float)
            and not isinstance(self.temperature, bool)
            and 0 <= self.temperature <= sys.float_info.max
        ):
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number of at least 0, or None")
        if self.model is None:
            raise ConfigurationError(
                f'Agent({self.name!r}, model=None): give a model ("offline", "openai:NAME", a callable); None cannot '
                "answer anything"
            )
        object.__setattr__(self, "resolved", _resolved(self.model))
        object.__setattr__(self, "tools", as_tools(self.tools))

    @property
    def plain(self) -> bool:
        """Whether it is nothing but a model: then the planner's own answer is equivalent to the agent's."""
        return not (self.instructions or self.tools or self.temperature is not None)

    @cached_property
    def identity(self) -> str:
        """The agent's part of content keys, as JSON."""
        return as_json(self.to_json())

    def renewed(self) -> Agent:
        """The agent with its tools' code as it is now; this one, if nothing changed."""
        tools = tuple(tool.renewed() for tool in self.tools)
        return self if tools == self.tools else replace(self, tools=tools)

    def opened(self) -> Agent:
        """The agent with the tools of its servers; this one, if it has none. Raises `ConfigurationError`."""
        if all(tool.opens is None for tool in self.tools):
            return self
        return replace(self, model=self.resolved, tools=opened(self.tools))

    def to_json(self) -> dict[str, Any]:
        """The JSON object that a checkpoint records."""
        return {
            "model": self.resolved.name,
            "description": self.description,
            "instructions": self.instructions,
            "temperature": self.temperature,
            "tools": [tool.identity for tool in self.tools],
            **({"settings": settings} if (settings := dict(self.resolved.capabilities.settings)) else {}),
        }


def agents_of(given: Mapping[str, Any] | None) -> dict[str, Agent]:
    """Agents by name, of a mapping from names to agents, models, specs or callables."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"agents=...: expected a dict from names to agents, models or callables, not {type(given).__name__}"
        )
    agents: dict[str, Agent] = {}
    for name, value in ((str(name), value) for name, value in given.items()):
        if not isinstance(value, Agent):
            agents[name] = Agent(name, value)
        else:
            agents[name] = value if value.name == name else replace(value, name=name)
    return agents


def _resolved(model: Any) -> Model:
    """The `Model` for a spec such as "openai:NAME", a model, or any callable; only specs load the adapters."""
    if not isinstance(model, str | type) and isinstance(model, Model):
        return model
    from .models.registry import resolve_model

    return resolve_model(model)
