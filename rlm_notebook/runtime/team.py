"""The agents of an engine by role: planner, workers that it may assign tasks to, synthesizer; and the tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..agent import DEFAULT_AGENT, Agent, agents_of
from ..core.keys import as_json, digest
from ..core.tree import Node
from ..exceptions import ConfigurationError
from ..tools import Tool, as_tools, opened

__all__ = ["Team"]


@dataclass(frozen=True)
class Team:
    """The agents of an engine by role; created by `Team.of`, which raises `ConfigurationError`."""

    default: Agent
    agents: Mapping[str, Agent]
    planner: Agent
    tools: tuple[Tool, ...]
    #: The team as it was given, if servers' tools have taken the places of their placeholders.
    given: Team | None = None

    @classmethod
    def of(
        cls,
        llm: Any,
        agents: Mapping[str, Any] | None,
        router: str,
        tools: Iterable[Any],
        temperature: float | None,
    ) -> Team:
        if llm is None:
            raise ConfigurationError(
                'llm=None: give a model ("offline", "openai:NAME", a callable); None cannot answer anything'
            )
        default = Agent(DEFAULT_AGENT, llm, temperature=temperature)
        known = agents_of(agents)
        if known and router not in known:
            named = sorted(known)
            raise ConfigurationError(
                f"router_model={router!r} is not among the agents ({', '.join(named)}), and it is the one that plans; "
                f"add it to them ({{{router!r}: MODEL, ...}}), or name another one (router_model={named[0]!r}, say)"
            )
        return cls(default, known, known.get(router, default), as_tools(tools))

    @property
    def synthesizer(self) -> Agent:
        return self.agents.get("synthesizer", self.planner)

    @property
    def coder(self) -> Agent:
        return self.agents.get("coder", self.planner)

    @cached_property
    def offered(self) -> dict[str, str]:
        """Descriptions by name of the agents that the planner may assign tasks to."""
        return {name: agent.description for name, agent in self.agents.items() if agent is not self.planner}

    @property
    def sees(self) -> bool:
        """Whether any agent's model sees images."""
        return any(agent.resolved.capabilities.images for agent in (self.default, *self.agents.values()))

    def agent(self, node: Node) -> Agent:
        return self.agents.get(node.agent, self.default)

    def assigned(self, name: str | None) -> tuple[str, str]:
        """The agent's name, and a note if the planner named one that does not exist."""
        if not name or name == DEFAULT_AGENT:
            return DEFAULT_AGENT, ""
        if name in self.agents:
            return name, ""
        return DEFAULT_AGENT, f"there is no agent {name!r}" if self.agents else ""

    def tools_of(self, agent: Agent) -> dict[str, Tool]:
        return {tool.name: tool for tool in (*self.tools, *agent.tools)}

    @cached_property
    def guarded(self) -> list[str]:
        """The names of the tools whose calls require approval; those of servers once they have started."""
        offered = [tool for agent in (self.default, *self.agents.values()) for tool in self.tools_of(agent).values()]
        return list(dict.fromkeys(tool.name for tool in offered if tool.requires_approval and tool.opens is None))

    @property
    def with_servers(self) -> bool:
        """Whether tools come from servers, which have to run."""
        team = self.given or self
        tools = [*team.tools, *(tool for agent in team.agents.values() for tool in agent.tools)]
        return any(tool.opens for tool in tools)

    def opened(self) -> Team:
        """The team with the tools that its servers list now; blocks until they have started.

        This one, if nothing changed. Raises `ConfigurationError` for a server that does not start.
        """
        given = self.given or self
        if not given.with_servers:
            return self
        tools = opened(given.tools)
        agents = {name: agent.opened() for name, agent in given.agents.items()}
        if tools == self.tools and all(agents[name].tools == agent.tools for name, agent in self.agents.items()):
            return self
        planner = next((name for name, agent in given.agents.items() if agent is given.planner), "")
        return replace(given, planner=agents.get(planner, given.planner), tools=tools, agents=agents, given=given)

    def renewed(self) -> Team:
        """The team with the present versions of its tools; this one, if none has changed."""
        changes: dict[str, Any] = {"tools": tuple(tool.renewed() for tool in self.tools)}
        changes["agents"] = {name: agent.renewed() for name, agent in self.agents.items()}
        if changes == {"tools": self.tools, "agents": self.agents}:
            return self
        planner = next((name for name, agent in self.agents.items() if agent is self.planner), "")
        return replace(self, planner=changes["agents"].get(planner, self.planner), **changes)

    @property
    def unseen(self) -> dict[str, str]:
        """By tool name, what the tool depends on without its version depending on it."""
        tools = [tool for agent in (self.default, *self.agents.values()) for tool in self.tools_of(agent).values()]
        return {tool.name: ", ".join(tool.unseen) for tool in tools if tool.unseen}

    def require_ready(self, *, planned: bool) -> None:
        """Raise the error of the first model to be called if it is not ready, before anything starts or is written.

        Which other models are called is known only after planning.
        """
        error = (self.planner if planned else self.default).resolved.capabilities.not_ready
        if error is not None:
            raise error

    def answers_inline(self, node: Node) -> bool:
        """Whether the planner's inline answer is what the node's agent would answer."""
        return self.agent_answers_inline(node.agent)

    def agent_answers_inline(self, name: str) -> bool:
        """As `answers_inline`, for the agent with this name."""
        agent = self.agents.get(name, self.default)
        if self.tools or not agent.plain:
            return False
        one, other = agent.resolved, self.planner.resolved
        if one is other or one == other:
            return True
        # Specs name one model each, but two functions may have the same name.
        same_spec = one.name == other.name and (":" in one.name or one.name == "offline")
        return same_spec and dict(one.capabilities.settings) == dict(other.capabilities.settings)

    @cached_property
    def fingerprint(self) -> str:
        """The digest of what all nodes of a run share in their requests; part of every content key."""
        return digest(self._shared({}))

    def recorded_as(self, agent: Agent, settings: Mapping[str, Any]) -> tuple[str, str, frozenset[str]]:
        """An agent as JSON and the fingerprint, both with the recorded versions of tools; and which of the agent's
        tools have another version now."""
        versions = _recorded_versions(settings)
        changed = (
            name
            for owner, tools in (("", self.tools), (agent.name, agent.tools))
            for name, version in ((tool.name, str(tool.version)) for tool in tools)
            if versions.get((owner, name), version) != version
        )
        return as_json(_at(agent, versions)), digest(self._shared(versions)), frozenset(changed)

    def _shared(self, versions: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        return {
            "planner": _at(self.planner, versions),
            "synthesizer": _at(self.synthesizer, versions),
            "agents": {name: _at(agent, versions) for name, agent in self.agents.items()},
            "tools": [_tool_at(tool.identity, "", versions) for tool in self.tools],
        }

    @cached_property
    def meaning(self) -> dict[str, Any]:
        """What the request key depends on: descriptions, instructions, tools and temperatures, not the models.

        A server counts by its name, so that a recorded run is found while the server does not run.
        """
        if self.given is not None:
            return self.given.meaning
        return {
            "agents": {
                name: [agent.description, agent.instructions, agent.temperature, [t.name for t in agent.tools]]
                for name, agent in self.agents.items()
            },
            "tools": [tool.name for tool in self.tools],
            "temperature": self.default.temperature,
        }

    def to_json(self) -> dict[str, Any]:
        """The team as checkpoints record it."""
        agents = [self.default, *self.agents.values()]
        return {
            "model": self.default.resolved.name,
            "planner": self.planner.resolved.name,
            "agents": {agent.name: agent.to_json() for agent in agents},
            "tools": [tool.name for tool in self.tools],
            **({"tool_versions": {tool.name: str(tool.version) for tool in self.tools}} if self.tools else {}),
            # By the first, a replay of rows finds the second without the servers.
            **({"servers": [self.given.fingerprint, self.fingerprint]} if self.given is not None else {}),
        }

    def recorded_fingerprint(self, recorded: Sequence[Mapping[str, Any]]) -> str:
        """The fingerprint with the tools that its servers listed when they were last recorded, in one of the settings
        of engines; its own if there is none."""
        own = (self.given or self).fingerprint
        pairs = [settings.get("servers") for settings in reversed(recorded)]
        known = [each[1] for each in pairs if isinstance(each, list) and len(each) == 2 and each[0] == own]
        return str(known[0]) if known else own


def _recorded_versions(settings: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The recorded versions of tools, by agent ("" for the tools of all agents) and name."""
    shared = settings.get("tool_versions")
    versions = {("", name): str(version) for name, version in shared.items()} if isinstance(shared, dict) else {}
    agents = settings.get("agents")
    for owner, agent in agents.items() if isinstance(agents, dict) else ():
        tools = agent.get("tools") if isinstance(agent, dict) else None
        for tool in tools if isinstance(tools, list) else ():
            if isinstance(tool, dict) and "name" in tool:
                versions[owner, str(tool["name"])] = str(tool.get("version"))
    return versions


def _at(agent: Agent, versions: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    described = agent.to_json()
    return {**described, "tools": [_tool_at(tool, agent.name, versions) for tool in described["tools"]]}


def _tool_at(tool: dict[str, Any], owner: str, versions: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    return {**tool, "version": versions.get((owner, tool["name"]), tool["version"])}
