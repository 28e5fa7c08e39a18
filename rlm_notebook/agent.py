"""An agent, and how it is talked to: one model call, and the loop of a model with its tools."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

from .adapters import resolve_model, with_retries
from .core.events import Retried, Token, ToolCalled, ToolReturned
from .core.limits import Usage
from .core.retry import RetryPolicy
from .exceptions import ConfigurationError, ExecutionError, ModelError, RLMError, ToolError
from .ports import Capabilities, Message, Model, Reply, Request, ToolCall
from .run import Run
from .threads import in_daemon_thread
from .tools import Tool, as_text, as_tools

__all__ = ["Agent", "agents_of", "ask", "converse", "first_of"]


@dataclass(frozen=True)
class Agent:
    """Who solves a task: a model with instructions, tools and a temperature of its own.

    `model` is anything that the engine accepts as `llm`; `description` is what the planner is told when it assigns
    sub-tasks. Raises `ConfigurationError` for an empty name or a model that cannot be one.
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
        object.__setattr__(self, "resolved", resolve_model(self.model))
        object.__setattr__(self, "tools", as_tools(self.tools))

    @property
    def plain(self) -> bool:
        """Nothing but a model: what the planner's model answers by itself is as good."""
        return not (self.instructions or self.tools or self.temperature is not None)

    def to_json(self) -> dict[str, Any]:
        """What enters content keys and checkpoints."""
        return {
            "model": self.resolved.name,
            "description": self.description,
            "instructions": self.instructions,
            "temperature": self.temperature,
            "tools": [{"name": t.name, "schema": t.parameters, "version": t.version} for t in self.tools],
        }


def agents_of(given: Mapping[str, Any] | None) -> dict[str, Agent]:
    """Agents by name, of a mapping from names to agents, models, specs or callables."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"agents={given!r}: expected a dict from names to agents, models or callables")
    return {str(name): _agent(str(name), value) for name, value in given.items()}


def _agent(name: str, value: Any) -> Agent:
    if isinstance(value, Agent):
        return value if value.name == name else replace(value, name=name)
    return Agent(name, value)


async def ask(run: Run, node: str, model: Model, request: Request, retry: RetryPolicy | None) -> Reply:
    """One answer of a model: each call in its turn and counted, repeated as the policy says, streamed into the log."""

    def on_retry(error: BaseException, attempt: int, delay: float) -> None:
        reason = f"{error} (attempt {attempt}, again in {delay:.1f} s)"
        run.emit(Retried(at=run.clock(), node=node, reason=reason, usage=run.claim(node)))

    reply = await _reply(run, node, with_retries(_InTurn(run, node, model), retry, on_retry), request)
    return replace(reply, model=reply.model or model.name)


@dataclass(frozen=True)
class _InTurn:
    """The same model, each call made when it is its turn: a wait between two attempts holds nobody up."""

    run: Run
    node: str
    model: Model

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        pieces: Any = self.model.stream(request)
        async with self.run.turn(self.node), aclosing(pieces):
            async for piece in pieces:
                if isinstance(piece, Reply):
                    self.run.settle(self.node, _used(piece))
                yield piece


def _used(reply: Reply) -> Usage:
    """Beside the call itself, which was counted when it began; what a provider does not say is unknown."""
    return replace(reply.usage, calls=0) if reply.usage is not None else Usage(cost_usd=None)


async def _reply(run: Run, node: str, model: Model, request: Request) -> Reply:
    reply: Reply | None = None
    try:
        # An async generator that is left open goes on holding its connection until it is collected.
        async with aclosing(model.stream(request)) as stream:  # type: ignore[type-var]
            async for item in stream:
                if isinstance(item, Reply):
                    reply = item
                elif request.streaming and run.watched:
                    run.emit(Token(at=run.clock(), node=node, text=item))
    except ExecutionError as error:
        raise _of_node(error, node) from error.__cause__
    except RLMError:
        raise
    except Exception as error:
        raise ModelError(
            f"node {node}: the model {model.name} raised {type(error).__name__}: {error}", node=node, causes=[error]
        ) from error
    if reply is None:
        raise ModelError(f"node {node}: the model {model.name} ended its stream without a reply", node=node)
    return reply


def _of_node(error: ExecutionError, node: str) -> ExecutionError:
    """The error as this node's; a copy, if the model raised the same object for another node before."""
    if error.node not in (None, node):
        error = copy.copy(error)
    error.node = node
    return error


async def converse(
    run: Run, node: str, model: Model, request: Request, tools: Mapping[str, Tool], retry: RetryPolicy | None
) -> Reply:
    """Ask until the model answers without calling a tool.

    Raises `ToolError` when it still calls tools after `max_tool_rounds`, or when a tool says that it is fatal.
    """
    for _ in range(run.limits.max_tool_rounds + 1):
        reply = await ask(run, node, model, request, retry)
        if not reply.tool_calls:
            return reply
        told = await _use_tools(run, node, reply.tool_calls, tools)
        request = replace(request, messages=(*request.messages, _asked(reply), *told))
    raise ToolError(
        f"node {node}: {model.name} still calls tools after {run.limits.max_tool_rounds} rounds; "
        "raise max_tool_rounds, or make the task or the tools clearer",
        node=node,
    )


def _asked(reply: Reply) -> Message:
    calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in reply.tool_calls]
    return {"role": "assistant", "content": reply.content, "tool_calls": calls}


async def _use_tools(run: Run, node: str, calls: tuple[ToolCall, ...], tools: Mapping[str, Tool]) -> list[Message]:
    """All calls of one reply, in parallel; the answers in the order of the calls."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_use(run, node, call, tools)) for call in calls]
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None
    return [task.result() for task in tasks]


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a group of tasks ended with; what follows from it is cancelled and says nothing more."""
    first = errors.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first


async def _use(run: Run, node: str, call: ToolCall, tools: Mapping[str, Tool]) -> Message:
    arguments = call.arguments if isinstance(call.arguments, dict) else {"text": call.arguments}
    run.emit(ToolCalled(at=run.clock(), node=node, call=call.id, name=call.name, arguments=arguments))
    content, ok = await _outcome(node, call, tools)
    run.emit(ToolReturned(at=run.clock(), node=node, call=call.id, content=content, ok=ok))
    return {"role": "tool", "content": content, "tool_call_id": call.id}


async def _outcome(node: str, call: ToolCall, tools: Mapping[str, Tool]) -> tuple[str, bool]:
    """What the model is told; only a fatal `ToolError` goes further."""
    wanted = tools.get(call.name)
    if wanted is None:
        return f"There is no tool {call.name!r}; there are: {', '.join(sorted(tools)) or 'none'}.", False
    try:
        arguments = wanted.validated(call.arguments)
    except ValueError as error:
        return str(error), False
    try:
        async with asyncio.timeout(wanted.timeout) as limit:
            return as_text(await _called(wanted, arguments)), True
    except ToolError as error:
        if not error.fatal:
            return str(error), False
        error.node = node
        raise
    except Exception as error:
        if limit.expired():
            return f"{wanted.name} did not finish (limit: {wanted.timeout} s).", False
        return f"{wanted.name} raised {type(error).__name__}: {error}", False


async def _called(wanted: Tool, arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(wanted.function):
        return await wanted.function(**arguments)
    result = await in_daemon_thread(wanted.function, **arguments)
    return await result if inspect.isawaitable(result) else result
