"""How a model is talked to: one call, in its turn, counted, and made once for all who ask the same."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import Any, Protocol, cast
from weakref import WeakSet

from ..concurrency.cancellation import is_being_cancelled, is_failure, is_running
from ..concurrency.deadline import answer_in_time
from ..concurrency.threads import READ_AT_ONCE, in_daemon_thread
from ..core.error_text import described, error_text
from ..core.events import PlanStarted, Retried, Started, SynthesisStarted, Token
from ..core.finish_reason import advice, cut_off, ended_early
from ..core.keys import digest
from ..core.limits import NOTHING, UNKNOWN_COST, Usage
from ..core.plan_stream import answer_so_far
from ..core.reasoning import ThoughtFilter, begins_with_thoughts, last_value, only_closes_thoughts, split_thoughts
from ..core.recordable import plain, plain_arguments, plain_text, plain_usage
from ..core.retry import RetryPolicy
from ..core.tree import NodeState
from ..credentials import without_keys
from ..exceptions import ExecutionError, ModelError, RLMError
from ..ports import Capabilities, Mode, Model, Reply, Request, ToolCall, call_started
from ..pricing import estimate
from ..runtime.run_context import RunContext
from ..runtime.scheduler import held
from ..wrappers.retried import Patience
from .errors import without_node

__all__ = ["TextReader", "ask", "emit_work"]

#: What a node's call is told as, and the state that it leads to.
_WORK: dict[Mode, tuple[type[PlanStarted | Started | SynthesisStarted], NodeState]] = {
    "planner": (PlanStarted, NodeState.PLANNING),
    "worker": (Started, NodeState.RUNNING),
    "synthesizer": (SynthesisStarted, NodeState.SYNTHESIZING),
}


log = logging.getLogger("rlm_notebook")

#: The models that close thoughts without opening them: what streams in of a plan then begins with a draft.
_opened_unseen: WeakSet[Model] = WeakSet()

#: More than anything is urgent.
_BEFORE_ALL = 1e9


class TextReader(Protocol):
    """Reads a reply while it streams; `restart` when the stream begins anew."""

    def feed(self, text: str) -> None: ...
    def restart(self) -> None: ...


def ask(
    run: RunContext,
    node: str,
    model: Model,
    request: Request,
    retry: RetryPolicy | None,
    reader: TextReader | None = None,
) -> Awaitable[Reply]:
    """One answer of a model. A request that is under way already is not made again: its answer serves both."""
    asking = ModelCall(run, node, model, retry, reader, _identity(model, request))
    remembering = run.configuration.remember(model, asking)
    return asking.reply(request, shared=True) if remembering is asking else _remembered(asking, remembering, request)


def emit_work(run: RunContext, node_id: str, mode: Mode) -> None:
    """The node is at work from here on, if it was not yet: its call has its turn, or its answer is there."""
    node, (begins, state) = run.tree[node_id], _WORK[mode]
    if node.state is not state or not node.at_work:
        run.emit(begins(at=run.clock(), node=node_id))


async def _remembered(asking: ModelCall, remembering: Model, request: Request) -> Reply:
    """The reply of a model that may know it already; what it says of an answer that is known is taken in here."""
    while asking.is_late:
        if (shared := await asking.answer_of_first()) is not None:
            emit_work(asking.run, asking.node, request.mode)
            return shared
    reply: Reply | None = None
    asking.begin()
    try:
        async with aclosing(cast(Any, remembering.stream(request))) as pieces:
            async for piece in pieces:
                emit_work(asking.run, asking.node, request.mode)
                if isinstance(piece, Reply):
                    # What a cache holds may be from somebody who does not tell thoughts from answers.
                    asking.take_rest(request)
                    reply = _answered(_without_thoughts(piece), request, asking.model.name)
                else:
                    asking.take_in(request, piece)
        return asking.settled(reply)
    except BaseException as error:
        problem = asking.failed(error)
        raise problem from problem.__cause__


def _explained(error: BaseException, node: str, model: Model) -> BaseException:
    """What a call ended with, as an error of this node."""
    if isinstance(error, RLMError) and not isinstance(error, ExecutionError):
        return error
    if is_being_cancelled() and not isinstance(error, KeyboardInterrupt):
        # Whatever the model made of it.
        return error if isinstance(error, asyncio.CancelledError) else asyncio.CancelledError()
    if isinstance(error, ExecutionError):
        return _of_node(error, node)
    if not is_failure(error):
        return error
    if isinstance(error, asyncio.CancelledError):
        # Nobody asked this node to stop: something inside the model was cancelled, and that is a failure like any.
        message = f"node {node}: the model {model.name} cancelled its own call"
    else:
        message = f"node {node}: the model {model.name} raised {without_keys(described(error))}"
    told = ModelError(message, node=node, causes=[error])
    told.__cause__ = error
    return told


async def _shared(under_way: dict[Any, asyncio.Future[Reply] | None], key: Any, node: str) -> Reply | None:
    """The answer that somebody else asks for; `None` if they gave up, so that now it is ours to ask for."""
    awaited = under_way[key]
    if awaited is None:
        awaited = under_way[key] = asyncio.get_running_loop().create_future()
    try:
        return await asyncio.shield(awaited)
    except asyncio.CancelledError:
        if not awaited.cancelled() or is_being_cancelled():
            raise
        return None
    except ExecutionError as error:
        raise _of_node(error, node) from error.__cause__


def _failed(awaited: asyncio.Future[Reply] | None, error: BaseException) -> None:
    """Tell those who wait for the same answer, if anybody does."""
    if awaited is None:
        return
    if isinstance(error, asyncio.CancelledError):
        awaited.cancel()
        return
    awaited.set_exception(error)
    # They may have gone meanwhile; then asyncio would warn of an error that was never looked at.
    awaited.exception()


def _identity(model: Model, request: Request) -> Any:
    """What makes two requests the same; `None` for one in the middle of a tool loop."""
    if len(request.messages) > 2:
        return None
    said = map(itemgetter("role", "content"), request.messages)
    offered = [digest(tool) for tool in request.tools]
    # By identity: a run has two schemas at most, and digesting one for each call was a tenth of what a node costs.
    return id(model), request.mode, request.temperature, id(request.schema), *said, *offered


def _settled(run: RunContext, node: str, model: Model, reply: Reply | None) -> Reply:
    """The reply, with the name under which it is recorded."""
    reply = _present(reply, node, model)
    if reply.mark == "cached":
        # Nothing was called, but the answer is to be kept as any other.
        run.log.open()
    named = reply.model if reply.model not in ("", model.name) else run.configuration.default_model or model.name
    return reply if reply.model == named else replace(reply, model=named)


def _present(reply: Reply | None, node: str, model: Model) -> Reply:
    if reply is None:
        raise ModelError(f"node {node}: the model {model.name} ended its stream without a reply", node=node)
    return _recordable(reply)


def _recordable(reply: Reply) -> Reply:
    """The reply with nothing in it that could not be kept: what goes on from here is what is recorded."""
    said = reply.content, reply.model, reply.finish_reason, reply.reasoning
    if {*map(type, said)} == {str} and not (reply.tool_calls or reply.metadata):
        return reply
    texts = {name: plain_text(getattr(reply, name)) for name in ("content", "model", "finish_reason", "reasoning")}
    calls = tuple(_recordable_call(call) for call in reply.tool_calls)
    same_calls = all(made is call for made, call in zip(calls, reply.tool_calls, strict=True))
    changes = {**texts, "metadata": plain(reply.metadata), "tool_calls": reply.tool_calls if same_calls else calls}
    same = all(value is getattr(reply, name) for name, value in changes.items())
    return reply if same else replace(reply, **changes)


def _recordable_call(call: ToolCall) -> ToolCall:
    told = plain_text(call.id), plain_text(call.name), plain_arguments(call.arguments)
    same = told[0] is call.id and told[1] is call.name and told[2] is call.arguments
    return call if same else ToolCall(*told)


@dataclass(slots=True)
class ModelCall:
    """The same model, each call made when it is its turn and repeated as the policy says, for one node.

    It does what `Retried` around a model in its turn would do. A wait between two attempts holds nobody up. Who asks
    what another asks already (`key`) is late, and gets the answer of that one.
    """

    run: RunContext
    node: str
    model: Model
    retry: RetryPolicy | None
    reader: TextReader | None
    key: Any
    #: Between what the model writes and what is taken in of it; made with the first piece.
    filter: ThoughtFilter | None = field(default=None, init=False)
    #: The plan that streams in.
    plan: list[str] = field(default_factory=list, init=False)

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """For what remembers: texts were taken in while they came, and what is left is the whole."""
        yield await self.reply(request)

    @property
    def is_late(self) -> bool:
        return self.key in self.run.under_way

    def answer_of_first(self) -> Awaitable[Reply | None]:
        """The answer that somebody else asks for; `None` if they gave up, so that now it is ours to ask for."""
        return _shared(self.run.under_way, self.key, self.node)

    # No context manager: the method that ends one would be held by each call under way.
    def begin(self) -> None:
        """From here on others are late, until `settled` or `failed`."""
        if self.key is not None:
            self.run.under_way[self.key] = None

    def settled(self, reply: Reply | None) -> Reply:
        """The reply as it is recorded, for all who asked."""
        reply = _settled(self.run, self.node, self.model, reply)
        if (awaited := self.run.under_way.pop(self.key, None)) is not None:
            awaited.set_result(reply)
        return reply

    def failed(self, error: BaseException) -> BaseException:
        """What went wrong as an error of the node, for all who asked."""
        collected = isinstance(error, GeneratorExit) and not is_running(self.run.task_of(self.node))
        told = error if collected else _explained(error, self.node, self.model)
        _failed(self.run.under_way.pop(self.key, None), told)
        return told

    async def reply(self, request: Request, *, shared: bool = False) -> Reply:
        """The model's answer; `shared` with all who are late. All in one coroutine: thousands may wait here."""
        while shared and self.is_late:
            if (known := await self.answer_of_first()) is not None:
                emit_work(self.run, self.node, request.mode)
                return known
        if shared:
            self.begin()
        try:
            patience, priority = None, self._priority(request)
            while True:
                if is_being_cancelled():
                    # The model kept it to itself, or made a failure of it.
                    raise asyncio.CancelledError
                reserved, used, told = self._reserved(request), NOTHING, True
                await self.run.admission.take(self.node, self.model.name, priority, reserved)
                try:
                    held.set(self.run.configuration.slots)
                    paced = self._begin_call(request.mode)
                    pieces, reply = answer_in_time(self.model, request), None
                    try:
                        async for piece in pieces:
                            if paced:
                                emit_work(self.run, self.node, request.mode)
                            if isinstance(piece, Reply):
                                _require_whole(piece, self.model.name)
                                used, told = _used(self.run, self.model, piece), piece.usage is not None
                                if len(piece.content) <= READ_AT_ONCE:
                                    reply = _without_thoughts(piece)
                                else:
                                    reply = await in_daemon_thread(_without_thoughts, piece)
                                _remember_thoughts(self.model, piece, reply)
                                self.take_rest(request)
                            else:
                                self.take_in(request, piece)
                    except BaseException as error:
                        if reply is None or not is_failure(error):
                            raise
                        # It is whole and paid for: what its stream does after that does not undo it.
                        log.debug("a stream failed after its reply", exc_info=True)
                    finally:
                        # An async generator that is left open goes on holding its connection until it is collected.
                        await _closed(pieces, quietly=reply is not None)
                        if reply is None and self.filter is not None:
                            self._take(request, self.filter.rest(), self.filter)
                            self._keep_answer()
                    self.run.admission.answered.add(self.model.name)
                    reply = _answered(reply, request, self.model.name)
                    break
                except ModelError as error:
                    failure = error
                    if isinstance(error.usage, Usage):
                        # What a failed attempt used is paid for all the same.
                        used = _priced(self.run, self.model, error.usage)
                    self._hold(error)
                finally:
                    held.set(None)
                    _set_begin(None)
                    # Of a call whose usage is not known, what was reserved stays set aside: that is the best guess.
                    self.run.admission.release(self.node, reserved if told else NOTHING, used)
                if self.retry is None:
                    raise failure
                emit_work(self.run, self.node, request.mode)
                patience = patience or Patience(self.retry, self._tell, self._has_answered)
                await patience.after(failure)
            return self.settled(reply) if shared else _present(reply, self.node, self.model)
        except BaseException as error:
            if not shared:
                raise
            problem = self.failed(error)
            raise problem from problem.__cause__

    def _begin_call(self, mode: Mode) -> bool:
        """It is the node's turn. The model may have the call wait for a rate limit; that it may gives true."""
        paced = self.model.capabilities.waits_for_rate_limit
        _set_begin(partial(emit_work, self.run, self.node, mode) if paced else None)
        if not paced:
            emit_work(self.run, self.node, mode)
        return paced

    def _priority(self, request: Request) -> float:
        """Who goes first; where the budget may well end before the run, what is planned is answered before more is."""
        priority = self.run.priorities.of(self.node, request.facts.depth, request.mode)
        finishing = request.mode != "planner" and self.run.admission.meter.runs_low
        return priority + _BEFORE_ALL if finishing else priority

    def take_in(self, request: Request, text: str) -> None:
        """A piece of a streamed reply: a plan is read, an answer is shown; thoughts are neither."""
        if not isinstance(text, str):
            # A model of somebody else's may yield anything; what counts is its reply.
            return
        if self.filter is None:
            self.filter = ThoughtFilter(opened=self.reader is not None and _opens_unseen(self.model))
        self._take(request, self.filter.feed(text), self.filter)

    def take_rest(self, request: Request) -> None:
        """The reply is whole."""
        if self.filter is not None:
            self._take(request, self.filter.rest(), self.filter)
            self.filter = None
            self.plan.clear()
            self.run.drafts.pop(self.node, None)

    def _take(self, request: Request, text: str, told_from: ThoughtFilter) -> None:
        if not text and not told_from.took_back:
            return
        anew, told_from.took_back = told_from.took_back, False
        if request.mode == "planner":
            self._take_plan(text, anew)
            return
        if not request.streaming:
            return
        draft = self.run.drafts.setdefault(self.node, [])
        if anew:
            draft.clear()
        draft.append(text)
        if self.run.log.watched:
            self.run.emit(Token(at=self.run.clock(), node=self.node, text=text, anew=anew))

    def _take_plan(self, text: str, anew: bool) -> None:
        if anew:
            self.plan.clear()
        self.plan.append(text)
        if self.reader is None:
            return
        if anew:
            self.reader.restart()
        self.reader.feed(text)

    def _keep_answer(self) -> None:
        """Of a plan that broke off, the answer in it is what a user asked for."""
        if answer := answer_so_far(split_thoughts("".join(self.plan))[1]):
            self.run.drafts[self.node] = [answer]
        self.plan.clear()

    def _reserved(self, request: Request) -> Usage:
        if not self.run.budget.needs_estimates:
            return NOTHING
        return estimate(self.run.configuration.prices, self.model, request)

    def _hold(self, error: ModelError) -> None:
        """A wait that nobody is willing to make is not imposed on the others: they are refused themselves."""
        if error.retry_after and self.retry is not None and error.retry_after <= self.retry.patience:
            self.run.admission.hold(self.model.name, error.retry_after)

    def _has_answered(self) -> bool:
        return self.model.name in self.run.admission.answered

    def _tell(self, error: BaseException, attempt: int, delay: float) -> None:
        run = self.run
        reason = f"{error_text(error)} (attempt {attempt}, again in {delay:.1f} s)"
        usage, text = run.claim(self.node), run.take_draft(self.node)
        run.emit(Retried(at=run.clock(), node=self.node, reason=reason, usage=usage, text=text))
        self.filter = None
        if self.reader is not None:
            self.reader.restart()


async def _closed(pieces: Any, *, quietly: bool) -> None:
    """Let go of a stream; `quietly`: the reply is there, and what closing raises does not undo it."""
    try:
        await pieces.aclose()
    except BaseException as error:
        if not quietly or not is_failure(error):
            raise
        log.debug("a stream could not be closed after its reply", exc_info=True)


def _set_begin(begins: Callable[[], None] | None) -> None:
    """For the call that is made now: sub-tasks that begin meanwhile, and tools, are to hear nothing of it."""
    if begins is not None or call_started.get() is not None:
        call_started.set(begins)


def _used(run: RunContext, model: Model, reply: Reply) -> Usage:
    """Beside the call itself, which was counted when it began; what a provider does not say is unknown."""
    if reply.mark == "cached":
        # The model was given as one that remembers: what was counted as a call was none.
        return Usage(calls=-1)
    if reply.usage is None:
        return NOTHING if model.capabilities.free else UNKNOWN_COST
    return _priced(run, model, reply.usage)


def _priced(run: RunContext, model: Model, usage: Usage) -> Usage:
    usage = plain_usage(usage).not_negative
    if model.capabilities.free:
        return usage.without_calls().with_cost(0.0)
    return run.configuration.prices.settled(model, usage.without_calls())


def _require_whole(reply: Reply, name: str) -> None:
    """A model of somebody else's may put anything into a reply."""
    calls = reply.tool_calls
    if not isinstance(reply.content, str) or not isinstance(calls, tuple | list):
        raise ModelError(f"the model {name} gave a reply whose content is no text, or whose tool calls are no list")
    if not all(isinstance(call, ToolCall) and isinstance(call.name, str) for call in calls):
        raise ModelError(f"the model {name} gave a reply with something among its tool calls that is none")
    if not (reply.usage is None or isinstance(reply.usage, Usage)) or not isinstance(reply.metadata, dict | Mapping):
        raise ModelError(f"the model {name} gave a reply whose usage is no Usage, or whose metadata is no mapping")


def _without_thoughts(reply: Reply) -> Reply:
    """The reply with the thoughts that stand in its text beside it."""
    thoughts, content = split_thoughts(reply.content)
    known = reply.reasoning if isinstance(reply.reasoning, str) else ""
    if content == reply.content and known is reply.reasoning:
        return reply
    return replace(reply, content=content, reasoning="\n\n".join(filter(None, (known, thoughts))))


def _remember_thoughts(model: Model, said: Reply, told_apart: Reply) -> None:
    """Whether this model, or its server, opens the thoughts that it closes."""
    if told_apart is said:
        return
    # Nothing is remembered of a model that cannot stand in a set.
    with suppress(TypeError):
        if only_closes_thoughts(said.content):
            _opened_unseen.add(model)
        elif begins_with_thoughts(said.content):
            _opened_unseen.discard(model)


def _opens_unseen(model: Model) -> bool:
    with suppress(TypeError):
        return model in _opened_unseen
    return False


def _answered(reply: Reply | None, request: Request, name: str) -> Reply | None:
    """The reply; where JSON is wanted and was given in the thoughts alone, at their end, with that as its answer.

    Raises `ModelError` for one that holds nothing but thoughts.
    """
    if reply is None or reply.content.strip() or reply.tool_calls or not reply.reasoning.strip():
        return reply
    reason = ended_early(reply.finish_reason, reply.metadata)
    value = last_value(reply.reasoning) if request.schema is not None and not reason else None
    if value is not None:
        return replace(reply, content=value)
    thought = f"the model {name} only thought ({len(reply.reasoning)} characters of reasoning) and gave no answer"
    if reason:
        raise ModelError(f"{thought}: it was {cut_off(reason)}; {advice(reason)}, or of reasoning")
    raise ModelError(f"{thought}; run again, or choose another model", retryable=True)


def _of_node(error: ExecutionError, node: str) -> ExecutionError:
    """The error as this node's, which it names; a copy, because the model may raise the same object again."""
    named = copy.copy(error)
    named.args, named.node = (f"node {node}: {without_keys(without_node(error))}",), node
    named.__cause__, named.__suppress_context__ = error.__cause__, True
    return named.with_traceback(error.__traceback__)
