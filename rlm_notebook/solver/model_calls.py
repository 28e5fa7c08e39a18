"""One call of a model for one node: coalesced, admitted, attempted, counted.

States of a call (`ModelCall`):

- *known*: the reply is in the cache, or an equal request is in flight (`run.replies`). No slot, no budget is used.
  If the first caller of a request in flight is cancelled, a duplicate takes its place.
- *first*: it has to make the request, and settles it in `run.replies` in any case, which resolves the duplicates.
- *attempting*: it holds a slot and a reservation in the budget, from `Admission.take` to `Admission.release`.
- *waiting to retry*: it holds nothing, so that other calls proceed during the wait.

An engine with a cache shares it, and the requests in flight, between its runs; without one each run has its own.

What must never happen: a request that is not settled (its duplicates would wait forever), a slot or a reservation
that is not released, a reply that is paid for and lost because its stream failed afterwards, a cancellation that a
model turns into a failure or swallows, or an error that names another node than the one it is raised for.

`ModelCall.reply` is one long coroutine on purpose: thousands of calls may wait in it at once, and each further frame
costs memory and time per node.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Awaitable, Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import Any, Protocol
from weakref import WeakSet

from ..concurrency.cancellation import is_being_cancelled, is_failure, is_running
from ..concurrency.deadline import answer_in_time
from ..concurrency.retrying import RetryDriver
from ..concurrency.threads import READ_AT_ONCE, in_daemon_thread
from ..core.error_text import described, error_text
from ..core.events import PlanStarted, Retried, Started, SynthesisStarted, Token
from ..core.finish_reason import advice, cut_off, ended_early
from ..core.keys import digest
from ..core.plan_stream import answer_so_far
from ..core.reasoning import ThoughtFilter, begins_with_thoughts, last_value, only_closes_thoughts, split_thoughts
from ..core.recordable import plain, plain_arguments, plain_text, plain_usage
from ..core.retry import RetryPolicy
from ..core.tree import NodeState
from ..core.usage import NOTHING, UNKNOWN_COST, Usage
from ..exceptions import ExecutionError, ModelError, RLMError
from ..host.credentials import without_keys
from ..ports.model import Mode, Model, Reply, Request, ToolCall, call_started
from ..pricing import estimate
from .errors import without_node
from .run import SolverRun

__all__ = ["TextReader", "call_model", "emit_work"]

#: The event that a call of each mode emits when it starts, and the state that this leads to.
_WORK: dict[Mode, tuple[type[PlanStarted | Started | SynthesisStarted], NodeState]] = {
    "planner": (PlanStarted, NodeState.PLANNING),
    "worker": (Started, NodeState.RUNNING),
    "coder": (Started, NodeState.RUNNING),
    "synthesizer": (SynthesisStarted, NodeState.SYNTHESIZING),
}


log = logging.getLogger("rlm_notebook")

#: The models whose replies close thoughts without opening them: their text counts as thoughts from the start.
_implicitly_opened: WeakSet[Model] = WeakSet()

#: Added to a priority; higher than any that `Priorities` computes.
_BEFORE_ALL = 1e9


class TextReader(Protocol):
    """Reads a reply while it streams; `restart` is called when the stream starts again from the beginning."""

    def feed(self, text: str) -> None: ...
    def restart(self) -> None: ...


def call_model(
    run: SolverRun,
    node: str,
    model: Model,
    request: Request,
    retry: RetryPolicy | None,
    reader: TextReader | None = None,
) -> Awaitable[Reply]:
    """One reply of a model. A duplicate of a request in flight awaits the first caller's result."""
    return ModelCall(run, node, model, retry, reader).reply(request)


def emit_work(run: SolverRun, node_id: str, mode: Mode) -> None:
    """Emit that the node's call has started, or that its result is there, unless the node is at work already."""
    node, (started, state) = run.tree[node_id], _WORK[mode]
    # After a rejected plan, a node is planned while it is waiting.
    expected = (state, NodeState.WAITING) if mode == "planner" else (state,)
    if node.state not in expected or not node.at_work:
        run.emit(started(at=run.clock(), node=node_id))


def _error_of_node(error: BaseException, node: str, model: Model) -> BaseException:
    """The error that a call ended with, as an error of this node."""
    if isinstance(error, RLMError) and not isinstance(error, ExecutionError):
        return error
    if is_being_cancelled() and not isinstance(error, KeyboardInterrupt):
        # The model may have turned the cancellation into another error.
        return error if isinstance(error, asyncio.CancelledError) else asyncio.CancelledError()
    if isinstance(error, ExecutionError):
        # A copy that names this node: the model may raise the same object again.
        named = copy.copy(error)
        named.args, named.node = (f"node {node}: {without_keys(without_node(error))}",), node
        named.__cause__, named.__suppress_context__ = error.__cause__, True
        return named.with_traceback(error.__traceback__)
    if not is_failure(error):
        return error
    if isinstance(error, asyncio.CancelledError):
        # This node was not cancelled: something inside the model was, which is a failure like any other.
        message = f"node {node}: the model {model.name} cancelled its own call"
    else:
        message = f"node {node}: the model {model.name} raised {without_keys(described(error))}"
    failure = ModelError(message, node=node, causes=[error])
    failure.__cause__ = error
    return failure


def _coalescing_key(model: Model, request: Request) -> Hashable:
    """Equal within a run for requests that one call can serve; `None` for a request in the middle of a tool loop."""
    if len(request.messages) > 2:
        return None
    texts = (
        map(itemgetter("role", "content"), request.messages)
        if all(type(message["content"]) is str for message in request.messages)
        else (item for message in request.messages for item in (message["role"], *message["content"]))
    )
    tools = [digest(tool) for tool in request.tools]
    # The schema by identity: a run has two at most, and a digest per call was a tenth of the CPU time of a node.
    return id(model), request.mode, request.temperature, id(request.schema), *texts, *tools


def _recordable(reply: Reply | None, node: str, model: Model) -> Reply:
    """The reply as it is recorded and used: without texts and values that a checkpoint cannot hold.

    Raises `ModelError` if there is none.
    """
    if reply is None:
        raise ModelError(f"node {node}: the model {model.name} ended its stream without a reply", node=node)
    texts = reply.content, reply.model, reply.finish_reason, reply.reasoning
    if {*map(type, texts)} == {str} and not (reply.tool_calls or reply.metadata):
        return reply
    changes: dict[str, Any] = {
        name: plain_text(getattr(reply, name)) for name in ("content", "model", "finish_reason", "reasoning")
    }
    calls = []
    for call in reply.tool_calls:
        id, name, arguments = plain_text(call.id), plain_text(call.name), plain_arguments(call.arguments)
        same = id is call.id and name is call.name and arguments is call.arguments
        calls.append(call if same else ToolCall(id, name, arguments))
    same = all(plain_call is call for plain_call, call in zip(calls, reply.tool_calls, strict=True))
    changes |= {"metadata": plain(reply.metadata), "tool_calls": reply.tool_calls if same else tuple(calls)}
    same = all(value is getattr(reply, name) for name, value in changes.items())
    return reply if same else replace(reply, **changes)


@dataclass(slots=True)
class ModelCall:
    """A model as one node calls it: each attempt is admitted, and failed attempts are repeated as `retry` says.

    Behaves as `Cached` and `Retried` around an admitted model.
    """

    run: SolverRun
    node: str
    model: Model
    retry: RetryPolicy | None
    reader: TextReader | None
    #: Removes thoughts from the streamed text; created with the first piece.
    filter: ThoughtFilter | None = field(default=None, init=False)
    #: The text of a plan, as far as it has streamed in.
    plan: list[str] = field(default_factory=list, init=False)

    async def reply(self, request: Request) -> Reply:
        """The reply to the request: a known one, or the model's."""
        replies, first = self.run.replies, None
        try:
            cached = self.run.configuration.cached
            key: Hashable = replies.key(self.model, request) if cached else _coalescing_key(self.model, request)
            if key is not None:
                found = await replies.find(key, self.run)
                if isinstance(found, Reply):
                    return self._reuse(found, request)
                first = found
            retries, priority = None, self.run.priorities.of(self.node, request.facts.depth, request.mode)
            if request.mode != "planner" and self.run.admission.meter.runs_low:
                # Where the budget may end before the run, answers to what is planned come before further plans.
                priority += _BEFORE_ALL
            while True:
                if is_being_cancelled():
                    # The last attempt swallowed the cancellation, or turned it into a failure.
                    raise asyncio.CancelledError
                reserved, used, usage_known = NOTHING, NOTHING, True
                if self.run.admission.meter.needs_estimates:
                    reserved = estimate(self.run.configuration.prices, self.model, request)
                await self.run.admission.take(self.node, self.model.name, priority, reserved)
                try:
                    # A model with a rate limit reports itself when the call starts.
                    paced = self.model.capabilities.waits_for_rate_limit
                    _set_call_started(partial(emit_work, self.run, self.node, request.mode) if paced else None)
                    if not paced:
                        emit_work(self.run, self.node, request.mode)
                    pieces, reply = answer_in_time(self.model, request), None
                    try:
                        async for piece in pieces:
                            if paced:
                                emit_work(self.run, self.node, request.mode)
                            if isinstance(piece, Reply):
                                _require_well_formed(piece, self.model.name)
                                used, usage_known = _usage_of(self.run, self.model, piece), piece.usage is not None
                                if len(piece.content) <= READ_AT_ONCE:
                                    reply = _without_thoughts(piece)
                                else:
                                    reply = await in_daemon_thread(_without_thoughts, piece)
                                _note_how_thoughts_open(self.model, piece, reply)
                                self.end_text(request)
                            else:
                                self.add_text(request, piece)
                    except BaseException as error:
                        if reply is None or not is_failure(error):
                            raise
                        # The reply is complete and paid for: a later failure of its stream does not undo it.
                        log.debug("a stream failed after its reply", exc_info=True)
                    finally:
                        # An async generator that is left open holds its connection until it is collected.
                        await _close(pieces, quietly=reply is not None)
                        if reply is None and self.filter is not None:
                            self._emit_text(request, self.filter.rest(), self.filter)
                            self._keep_planned_answer()
                    self.run.admission.answered.add(self.model.name)
                    self.run.failing.pop(self.node, None)
                    reply = _require_answer(reply, request, self.model.name)
                    break
                except ModelError as error:
                    failure = error
                    if isinstance(error.usage, Usage):
                        # A failed attempt costs what it used.
                        used = _priced(self.run, self.model, error.usage)
                    if error.retry_after and self.retry is not None and error.retry_after <= self.retry.patience:
                        # A longer wait than this policy accepts is not imposed on other calls of the model.
                        self.run.admission.suspend(self.model.name, error.retry_after)
                finally:
                    _set_call_started(None)
                    # A call whose usage is unknown keeps its reservation: the estimate is the best figure there is.
                    self.run.admission.release(self.node, reserved if usage_known else NOTHING, used)
                if self.retry is None:
                    raise failure
                emit_work(self.run, self.node, request.mode)
                retries = retries or RetryDriver(self.retry, self._emit_retry, self._has_answered)
                await retries.after(failure)
            recordable = _recordable(reply, self.node, self.model)
            if first is not None:
                replies.settle(first, request, recordable)
            return self._with_model_name(recordable)
        except BaseException as error:
            collected = isinstance(error, GeneratorExit) and not is_running(self.run.task_of(self.node))
            problem = error if collected else _error_of_node(error, self.node, self.model)
            if first is not None:
                replies.settle(first, request, problem)
            raise problem from problem.__cause__

    def _reuse(self, known: Reply, request: Request) -> Reply:
        """A reply to an equal request as the reply of this node; the text of a cached one is streamed."""
        emit_work(self.run, self.node, request.mode)
        if known.mark == "cached":
            if request.streaming and known.content:
                self.add_text(request, known.content)
            self.end_text(request)
            # It may have been stored by a program that does not separate thoughts from answers.
            answer = _require_answer(_without_thoughts(known), request, self.model.name)
            known = _recordable(answer, self.node, self.model)
        return self._with_model_name(known)

    def _with_model_name(self, reply: Reply) -> Reply:
        """The reply as it is recorded, with the name of its model."""
        if reply.mark == "cached":
            # No call opened the journal, but this result is recorded as any other.
            self.run.log.open()
        if reply.model not in ("", self.model.name):
            return reply
        name = self.run.configuration.options.default_model or self.model.name
        return reply if reply.model == name else replace(reply, model=name)

    def add_text(self, request: Request, text: str) -> None:
        """Process a piece of a streamed reply: a plan is parsed, an answer is emitted, thoughts are dropped."""
        if not isinstance(text, str):
            # A user's model may yield anything; only its reply counts.
            return
        if self.filter is None:
            opened = False
            if self.reader is not None:
                # A model that is not hashable is not noted.
                with suppress(TypeError):
                    opened = self.model in _implicitly_opened
            self.filter = ThoughtFilter(opened=opened)
        self._emit_text(request, self.filter.feed(text), self.filter)

    def end_text(self, request: Request) -> None:
        """The reply is complete: process the rest of its text and discard the draft."""
        if self.filter is not None:
            self._emit_text(request, self.filter.rest(), self.filter)
            self.filter = None
            self.plan.clear()
            self.run.drafts.pop(self.node, None)

    def _emit_text(self, request: Request, text: str, thoughts: ThoughtFilter) -> None:
        """Pass on text without thoughts. If earlier text has turned out to be thoughts, this text replaces it."""
        if not text and not thoughts.took_back:
            return
        anew, thoughts.took_back = thoughts.took_back, False
        if request.mode == "planner":
            if anew:
                self.plan.clear()
            self.plan.append(text)
            if self.reader is not None:
                if anew:
                    self.reader.restart()
                self.reader.feed(text)
        elif request.streaming:
            draft = self.run.drafts.setdefault(self.node, [])
            if anew:
                draft.clear()
            draft.append(text)
            if self.run.log.watched:
                self.run.emit(Token(at=self.run.clock(), node=self.node, text=text, anew=anew))

    def _keep_planned_answer(self) -> None:
        """Keep the answer in a plan that broke off: it is the part that a user can read."""
        if answer := answer_so_far(split_thoughts("".join(self.plan))[1]):
            self.run.drafts[self.node] = [answer]
        self.plan.clear()

    def _has_answered(self) -> bool:
        return self.model.name in self.run.admission.answered

    def _emit_retry(self, error: BaseException, attempt: int, delay: float) -> None:
        run = self.run
        # Named if the run ends before the next attempt: what was wrong is not its budget alone.
        run.failing[self.node] = error_text(error)
        reason = f"{error_text(error)} (attempt {attempt}, again in {delay:.1f} s)"
        usage, text = run.claim(self.node), run.take_draft(self.node)
        run.emit(Retried(at=run.clock(), node=self.node, reason=reason, usage=usage, text=text))
        self.filter = None
        if self.reader is not None:
            self.reader.restart()


async def _close(pieces: Any, *, quietly: bool) -> None:
    """Close a stream; `quietly`: its reply is complete, and an error in closing does not undo it."""
    try:
        await pieces.aclose()
    except BaseException as error:
        if not quietly or not is_failure(error):
            raise
        log.debug("a stream could not be closed after its reply", exc_info=True)


def _set_call_started(report: Callable[[], None] | None) -> None:
    """Set or clear `call_started`. Cleared after the call: sub-tasks and tools copy the context."""
    if report is not None or call_started.get() is not None:
        call_started.set(report)


def _usage_of(run: SolverRun, model: Model, reply: Reply) -> Usage:
    """The usage beside the call itself, which was counted when it started; unknown where a provider reports none."""
    if reply.mark == "cached":
        # The user's model has a cache of its own: what was counted as a call was a cache hit.
        return Usage(calls=-1)
    if reply.usage is None:
        return NOTHING if model.capabilities.free else UNKNOWN_COST
    return _priced(run, model, reply.usage)


def _priced(run: SolverRun, model: Model, usage: Usage) -> Usage:
    usage = plain_usage(usage).not_negative
    if model.capabilities.free:
        return usage.without_calls().with_cost(0.0)
    return run.configuration.prices.settled(model, usage.without_calls())


def _require_well_formed(reply: Reply, name: str) -> None:
    """Raises `ModelError` for a reply with fields of wrong types: a user's model may put anything into it."""
    calls = reply.tool_calls
    if not isinstance(reply.content, str) or not isinstance(calls, tuple | list):
        raise ModelError(f"the model {name} gave a reply whose content is no text, or whose tool calls are no list")
    if not all(isinstance(call, ToolCall) and isinstance(call.name, str) for call in calls):
        raise ModelError(f"the model {name} gave a reply whose tool calls are not all `ToolCall`s")
    if not (reply.usage is None or isinstance(reply.usage, Usage)) or not isinstance(reply.metadata, dict | Mapping):
        raise ModelError(f"the model {name} gave a reply whose usage is no Usage, or whose metadata is no mapping")


def _without_thoughts(reply: Reply) -> Reply:
    """The reply with the thoughts in its text moved to `reasoning`."""
    thoughts, content = split_thoughts(reply.content)
    known = reply.reasoning if isinstance(reply.reasoning, str) else ""
    if content == reply.content and known is reply.reasoning:
        return reply
    return replace(reply, content=content, reasoning="\n\n".join(filter(None, (known, thoughts))))


def _note_how_thoughts_open(model: Model, reply: Reply, without_thoughts: Reply) -> None:
    """Note whether this model, or its server, opens the thoughts that it closes."""
    if without_thoughts is reply:
        return
    # A model that is not hashable is not noted.
    with suppress(TypeError):
        if only_closes_thoughts(reply.content):
            _implicitly_opened.add(model)
        elif begins_with_thoughts(reply.content):
            _implicitly_opened.discard(model)


def _require_answer(reply: Reply | None, request: Request, name: str) -> Reply | None:
    """The reply. If it is all thoughts, and JSON is wanted and stands at their end, that becomes the content.

    Raises `ModelError` for a reply that is otherwise all thoughts.
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
