"""How a model is talked to: one call, in its turn, counted, and made once for all who ask the same."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .adapters import answering, with_retries
from .core.events import Retried, Token
from .core.keys import digest
from .core.limits import NOTHING, Usage
from .core.retry import RetryPolicy
from .exceptions import ExecutionError, ModelError, RLMError
from .ports import Capabilities, Model, Reply, Request, ToolCall
from .pricing import estimate
from .run import Run

__all__ = ["TextReader", "ask"]


class TextReader(Protocol):
    """Reads a reply while it streams; `restart` when the stream begins anew."""

    def feed(self, text: str) -> None: ...
    def restart(self) -> None: ...


async def ask(
    run: Run,
    node: str,
    model: Model,
    request: Request,
    retry: RetryPolicy | None,
    reader: TextReader | None = None,
) -> Reply:
    """One answer of a model. A request that is under way already is not made again: its answer serves both."""
    key = _identity(model, request)
    if key is None:
        return await _asked(run, node, model, request, retry, reader)
    while (other := run.under_way.get(key)) is not None:
        try:
            shared: Reply = await asyncio.shield(other)
            return shared
        except asyncio.CancelledError:
            if not other.cancelled() or _is_being_cancelled():
                raise
            # Whoever made the request was cancelled, and not we: now it is ours to make.
        except ExecutionError as error:
            raise _of_node(error, node) from error.__cause__
    return await _leading(run, key, _asked(run, node, model, request, retry, reader))


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _leading(run: Run, key: Any, asking: Any) -> Reply:
    """Make the request for all who wait for the same."""
    answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    run.under_way[key] = answer
    try:
        reply: Reply = await asking
    except asyncio.CancelledError:
        answer.cancel()
        raise
    except BaseException as error:
        answer.set_exception(error)
        # Nobody else may wait for it; then asyncio would warn of an error that was never looked at.
        answer.exception()
        raise
    else:
        answer.set_result(reply)
        return reply
    finally:
        del run.under_way[key]


def _identity(model: Model, request: Request) -> Any:
    """What makes two requests the same; `None` for one in the middle of a tool loop."""
    if len(request.messages) > 2:
        return None
    said = tuple((message["role"], message["content"]) for message in request.messages)
    offered = tuple(digest(tool) for tool in request.tools)
    # By identity: a run has two schemas at most, and digesting one for each call was a tenth of what a node costs.
    return id(model), request.mode, request.temperature, offered, id(request.schema), said


async def _asked(
    run: Run,
    node: str,
    model: Model,
    request: Request,
    retry: RetryPolicy | None,
    reader: TextReader | None,
) -> Reply:
    """Each call in its turn and counted, repeated as the policy says, its text streamed into the log."""

    def on_retry(error: BaseException, attempt: int, delay: float) -> None:
        reason = f"{error} (attempt {attempt}, again in {delay:.1f} s)"
        run.emit(Retried(at=run.clock(), node=node, reason=reason, usage=run.claim(node)))
        if reader is not None:
            reader.restart()

    patience = retry.patience if retry is not None else 0.0
    patient = with_retries(_InTurn(run, node, model, _priority(run, node, request), patience), retry, on_retry)
    reply = await _reply(run, node, run.configuration.remember(model, patient), request, reader)
    if reply.mark == "cached":
        # Nothing was called, but the answer is to be kept as any other.
        run.log.open()
    named = reply.model if reply.model not in ("", model.name) else run.configuration.default_model or model.name
    return reply if reply.model == named else replace(reply, model=named)


#: A plan counts for so many more calls: nobody knows yet what it unlocks, and it may be much.
_UNKNOWN = 4


def _priority(run: Run, node: str, request: Request) -> float:
    """What has the longest way to the end of the run goes first, as far as that is known: the syntheses of all its
    ancestors, and the nodes that wait for it. `tests/benchmarks/makespan.py` measures it."""
    unknown = _UNKNOWN if request.mode == "planner" else 0
    return request.facts.depth + run.waited_for.get(node, 0) + unknown


@dataclass(frozen=True)
class _InTurn:
    """The same model, each call made when it is its turn: a wait between two attempts holds nobody up."""

    run: Run
    node: str
    model: Model
    priority: float
    patience: float

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        run = self.run
        reserved = estimate(run.configuration.prices, self.model, request) if run.budget.needs_estimates else NOTHING
        used, told = NOTHING, True
        await run.permits.take(self.node, self.name, self.priority, reserved)
        try:
            async with aclosing(answering(self.model, request)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Reply):
                        _require_whole(piece, self.name)
                        used, told = _used(run, self.model, piece), piece.usage is not None
                    yield piece
        except ModelError as error:
            # A wait that nobody is willing to make is not imposed on the others: they are refused themselves.
            if error.retry_after and error.retry_after <= self.patience:
                run.permits.hold(self.name, error.retry_after)
            raise
        finally:
            # Of a call whose usage is not known, what was reserved for it stays set aside: that is the best guess.
            run.permits.give_back(self.node, reserved if told else NOTHING, used)


def _used(run: Run, model: Model, reply: Reply) -> Usage:
    """Beside the call itself, which was counted when it began; what a provider does not say is unknown."""
    if reply.mark == "cached":
        # The model was given as one that remembers: what was counted as a call was none.
        return Usage(calls=-1)
    if getattr(model, "free", False):
        return (reply.usage or NOTHING).without_calls().with_cost(0.0)
    if reply.usage is None:
        return Usage(cost_usd=None)
    return run.configuration.prices.settled(model.name, reply.usage.without_calls())


def _require_whole(reply: Reply, name: str) -> None:
    """A model of somebody else's may put anything into a reply."""
    calls = reply.tool_calls
    if not isinstance(reply.content, str) or not isinstance(calls, tuple | list):
        raise ModelError(f"the model {name} gave a reply whose content is no text, or whose tool calls are no list")
    if not all(isinstance(call, ToolCall) and isinstance(call.name, str) for call in calls):
        raise ModelError(f"the model {name} gave a reply with something among its tool calls that is none")
    if not isinstance(reply.usage, Usage | None) or not isinstance(reply.metadata, Mapping):
        raise ModelError(f"the model {name} gave a reply whose usage is no Usage, or whose metadata is no mapping")


async def _reply(run: Run, node: str, model: Model, request: Request, reader: TextReader | None) -> Reply:
    reply: Reply | None = None
    shown = request.streaming and request.mode != "planner"
    try:
        # An async generator that is left open goes on holding its connection until it is collected.
        async with aclosing(model.stream(request)) as stream:  # type: ignore[type-var]
            async for item in stream:
                if isinstance(item, Reply):
                    reply = item
                elif reader is not None:
                    reader.feed(item)
                elif shown and run.log.watched:
                    run.emit(Token(at=run.clock(), node=node, text=item))
    except ExecutionError as error:
        raise _of_node(error, node) from error.__cause__
    except RLMError:
        raise
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        # Nobody asked this node to stop: something inside the model was cancelled, and that is a failure like any.
        raise ModelError(f"node {node}: the model {model.name} cancelled its own call", node=node) from error
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
