"""A model and its tools: it is asked, it calls tools, it is asked again, until it answers.

Every reply and what every tool returned is in the log before it is used further. So a run that was stopped goes on
after the last call that had ended: no reply that is recorded is asked for again, and no tool that had returned is
called again - it may not bear that.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..concurrency.cancellation import apart, is_failure
from ..concurrency.threads import calling_thread, in_daemon_thread
from ..core.error_text import described, error_text
from ..core.events import Replied, Retried, ToolCalled, ToolReturned
from ..core.finish_reason import cut_off, ended_early
from ..core.limits import Usage
from ..core.recordable import plain_text
from ..core.replay_events import tool_events
from ..core.retry import RetryPolicy
from ..core.tree import Node, Round, ToolUse
from ..credentials import without_keys
from ..exceptions import ToolError
from ..memory import REFERENCE_TOOLS, THRESHOLD, SharedMemory
from ..ports import Message, Model, Reply, Request, ToolCall
from ..runtime.run_context import RunContext
from ..tools import Tool, as_text
from ..values import NoText
from .model_calls import call_model, emit_work
from .secret_arguments import is_masked, masked, secrets_of, told_call, without, without_in

__all__ = ["ToolLoop", "Transcript"]


class ToolLoop:
    """What one node's model is asked, and which tools it may call; `reads` gathers the references that they read."""

    def __init__(
        self,
        run: RunContext,
        node: str,
        model: Model,
        tools: Mapping[str, Tool],
        retry: RetryPolicy | None,
        reads: set[str],
        recorded: Transcript,
    ) -> None:
        self._run = run
        self._node = node
        self._model = model
        self._tools = tools
        self._retry = retry
        self._reads = reads
        self._rounds = run.limits.max_tool_rounds
        self._recorded = recorded
        #: What the model gave to tools and nobody is told, the longest first.
        self._secrets: list[str] = []
        self._paid = False
        #: What the model thought in the rounds so far.
        self._thoughts: list[str] = []
        #: The id of a call that the model did not write to its end, and why.
        self._cut_off: tuple[str, str] = ("", "")

    async def answer(self, request: Request) -> Reply:
        """Ask until the model answers without calling a tool.

        Raises `ToolError` when it still calls tools after `max_tool_rounds`, or when a tool says that it is fatal.
        """
        said: list[str] = []
        for left in range(self._rounds, -1, -1):
            reply, uses = await self._reply(request)
            self._note_thoughts(reply)
            if not reply.tool_calls:
                if self._secrets:
                    metadata = without_in(dict(reply.metadata), self._secrets)
                    reply = replace(reply, content=self._hushed(reply.content), metadata=metadata)
                # What took a round that was paid for does not come from a cache, whatever its last words do.
                reply = replace(reply, mark="") if self._paid and reply.mark else reply
                return replace(reply, reasoning="\n\n".join(self._thoughts)) if self._thoughts else reply
            said.append(self._hushed(reply.content).strip())
            if left:
                told = await self._use_tools(reply.tool_calls, uses)
                request = replace(request, messages=_within_threshold((*request.messages, _said(reply), *told)))
        partial = "\n\n".join(filter(None, said))
        early = f" (the last call was {self._cut_off[1]})" if self._cut_off[1] else ""
        raise ToolError(
            f"node {self._node}: {self._model.name} still calls tools after {self._rounds} rounds{early}; "
            f"raise max_tool_rounds, or make the task or the tools clearer{_so_far(partial)}",
            node=self._node,
            partial=partial,
        )

    def refuse(self, reply: Reply) -> None:
        """An answer that the model has to mend: it is kept as the rounds before it are."""
        if not self._recorded.was_last(reply):
            self._tell(reply)

    async def _reply(self, request: Request) -> tuple[Reply, Sequence[ToolUse | None]]:
        """What the model says, or said; and what is known of each call that it makes."""
        known = self._recorded.next()
        if known is not None:
            emit_work(self._run, self._node, "worker")
            reply, uses = await self._with_secrets(request, known) if known.lacking else (known.reply, known.uses)
            event = Replied(at=self._run.clock(), node=self._node, content=reply.content, calls=known.told)
            self._run.emit(replace(event, usage=known.usage, model=reply.model, mark="replayed"))
            self._paid = self._paid or known.usage.calls > 0
            return reply, uses
        reply = _distinct(await call_model(self._run, self._node, self._model, request, self._retry))
        self._cut_off = _cut_off_call(reply)
        if reply.tool_calls:
            self._tell(reply)
        return reply, [None] * len(reply.tool_calls)

    async def _with_secrets(self, request: Request, known: _Known) -> tuple[Reply, Sequence[ToolUse | None]]:
        """A recorded reply with the secret arguments that were not kept: the model is asked for them again.

        Only these are taken of what it says now: other calls of the reply have ended, or are made as recorded. A call
        that it does not repeat cannot be made, and it is told so.
        """
        again = await call_model(self._run, self._node, self._model, request, self._retry)
        names = ", ".join(sorted({known.reply.tool_calls[at].name for at in known.lacking}))
        reason = f"asked again for the secret arguments of {names}, which are not kept"
        now = self._run.clock()
        self._run.emit(Retried(at=now, node=self._node, reason=reason, usage=self._run.claim(self._node)))
        offered, calls, uses = list(again.tool_calls), list(known.reply.tool_calls), list(known.uses)
        for at in known.lacking:
            call = calls[at]
            told = {**known.told[at], "id": ""}
            said = next((each for each in offered if self._told(replace(each, id="")) == told), None)
            if said is not None:
                offered.remove(said)
                calls[at] = replace(call, arguments=said.arguments)
            else:
                given = call.arguments if isinstance(call.arguments, dict) else {"text": call.arguments}
                uses[at] = ToolUse(call.id, call.name, given, now, content=_NOT_MADE, ok=False, ended=now)
        reply = replace(known.reply, tool_calls=tuple(calls))
        self._learn(reply)
        return reply, uses

    def _told(self, call: ToolCall) -> dict[str, Any]:
        return told_call(call, self._tools)

    def _learn(self, reply: Reply) -> None:
        """Remember what is secret in a reply."""
        found = [text for call in reply.tool_calls for text in secrets_of(call, self._tools)]
        if found:
            self._secrets = sorted({*self._secrets, *found}, key=len, reverse=True)

    def _hushed(self, text: str) -> str:
        """The text without what is secret in this conversation."""
        return without(text, self._secrets)

    def _tell(self, reply: Reply) -> None:
        self._learn(reply)
        usage = self._run.claim(self._node)
        self._paid = self._paid or usage.calls > 0
        self._run.emit(
            Replied(
                at=self._run.clock(),
                node=self._node,
                content=self._hushed(reply.content),
                calls=tuple(map(self._told, reply.tool_calls)),
                usage=usage,
                model=reply.model,
            )
        )

    def _note_thoughts(self, reply: Reply) -> None:
        if reply.reasoning:
            self._thoughts.append(self._hushed(reply.reasoning))

    async def _use_tools(self, calls: Sequence[ToolCall], uses: Sequence[ToolUse | None]) -> list[Message]:
        """All calls of one reply, in parallel; the answers in the order of the calls."""
        asks = any(use is None and self._asks_somebody(call) for call, use in zip(calls, uses, strict=True))
        # All are told before any begins: what is recorded of a reply's calls is in their order.
        for call, use in zip(calls, uses, strict=True):
            if use is None:
                self._tell_call(call, asks)
            else:
                self._tell_again(use)
        if asks:
            await self._run.control.approval_of(self._node)
            for call, use in zip(calls, uses, strict=True):
                if use is None:
                    self._tell_call(call, asks=False)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._use(call)) if use is None else use
                    for call, use in zip(calls, uses, strict=True)
                ]
        except BaseExceptionGroup as errors:
            raise _first_of(errors) from None
        contents = [each.content or "" if isinstance(each, ToolUse) else each.result() for each in tasks]
        return [
            {"role": "tool", "content": content, "tool_call_id": call.id}
            for call, content in zip(calls, contents, strict=True)
        ]

    def _asks_somebody(self, call: ToolCall) -> bool:
        """Whether somebody has to allow the call; what the model has to mend first is nobody's business yet."""
        wanted = self._tools.get(call.name) if call.id != self._cut_off[0] else None
        return wanted is not None and wanted.requires_approval and _fits(wanted, call)

    def _tell_again(self, use: ToolUse) -> None:
        self._reads.update(use.reads)
        for event in tool_events(use, self._node):
            self._run.emit(event)

    def _tell_call(self, call: ToolCall, asks: bool) -> None:
        told = masked(call, self._tools).arguments
        given = told if isinstance(told, dict) else {"text": told}
        now = self._run.clock()
        self._run.emit(
            ToolCalled(at=now, node=self._node, call=call.id, name=call.name, arguments=given, awaiting_approval=asks)
        )

    async def _use(self, call: ToolCall) -> str:
        try:
            content, ok = await self._outcome(call)
        except ToolError as error:
            said = error_text(error)
            if (told := self._hushed(without_keys(said))) == said:
                raise
            raise ToolError(told, fatal=True, node=self._node) from None
        content = self._hushed(plain_text(content))
        reads = _read_by(call, self._run.job.memory) if ok else {}
        self._run.emit(
            ToolReturned(at=self._run.clock(), node=self._node, call=call.id, content=content, ok=ok, reads=reads)
        )
        return content

    async def _outcome(self, call: ToolCall) -> tuple[str, bool]:
        if call.id == self._cut_off[0]:
            return f"This call was not made: your output was {self._cut_off[1]}. Call again, with less text.", False
        return await _outcome(self._node, call, self._tools)


def _so_far(partial: str) -> str:
    """The end of what was written; the error has all of it."""
    if not partial:
        return ""
    shown = partial if len(partial) <= _SHOWN else f"[…] {partial[-_SHOWN:]}"
    return f". What it had written by then: {shown}"


#: How many characters of an unfinished answer the message of an error shows.
_SHOWN = 1_000


_NOT_MADE = "This call was not made: the run was stopped, and secret arguments are not kept. Call it again if need be."


@dataclass(frozen=True, slots=True)
class _Known:
    """A recorded reply, as it was told; what became of each of its calls (`None`: it has to be made again), and which
    of those are `lacking` secret arguments."""

    reply: Reply
    told: tuple[dict[str, Any], ...]
    uses: Sequence[ToolUse | None]
    usage: Usage
    lacking: Sequence[int]


class Transcript:
    """The rounds of a node that was stopped, one after the other, as far as they still hold.

    What `changed` tools returned holds no longer.
    """

    def __init__(
        self,
        node: Node | None,
        memory: SharedMemory,
        most_rounds: int,
        tools: Mapping[str, Tool],
        changed: Collection[str] = (),
    ) -> None:
        goes_on = node is not None and _open_rounds(node.rounds) <= most_rounds
        # A model that went on calling tools until it was stopped would be stopped again: it begins anew.
        self._rounds = deque(node.rounds if node is not None and goes_on else ())
        self._uses = deque(node.tool_calls if node is not None else ())
        self._memory = memory
        self._tools = tools
        self._changed = changed
        self._last: Reply | None = None

    def next(self) -> _Known | None:
        """The next reply, if there is one."""
        self._last = None
        if not self._rounds:
            return None
        told = self._rounds.popleft()
        calls = tuple(ToolCall(call["id"], call["name"], call["arguments"]) for call in told.calls)
        uses = [self._still(call, self._uses.popleft() if self._uses else None) for call in calls]
        lacking = [at for at, use in enumerate(uses) if use is None and is_masked(told.calls[at], self._tools)]
        if None in uses:
            # What the model said next was said of something else.
            self._rounds.clear()
        self._last = Reply(told.content, calls, model=told.model)
        return _Known(self._last, told.calls, uses, told.usage, lacking)

    def was_last(self, reply: Reply) -> bool:
        return reply is self._last

    def _still(self, call: ToolCall, use: ToolUse | None) -> ToolUse | None:
        """What a call returned, if it had ended, and the tool and the references that it read are the same."""
        if use is None or use.ended is None or (use.call, use.name) != (call.id, call.name):
            return None
        if use.name in self._changed:
            return None
        same = all(self._memory.digest(name) == digest for name, digest in use.reads.items())
        return use if same else None


def _open_rounds(rounds: Sequence[Round]) -> int:
    """How many rounds of tools there were since the model last gave an answer."""
    count = 0
    for told in rounds:
        count = count + 1 if told.calls else 0
    return count


def _distinct(reply: Reply) -> Reply:
    """The reply with an id of its own for each call: some models give none, or the same to all."""
    ids = [call.id for call in reply.tool_calls]
    if all(ids) and len(set(ids)) == len(ids):
        return reply
    return replace(
        reply, tool_calls=tuple(replace(call, id=f"{call.id}#{at}") for at, call in enumerate(reply.tool_calls))
    )


def _cut_off_call(reply: Reply) -> tuple[str, str]:
    """The id of the call with which a reply breaks off, and why; what its arguments would have been nobody knows."""
    reason = ended_early(reply.finish_reason, reply.metadata) if reply.tool_calls else ""
    last = reply.tool_calls[-1] if reason else None
    broken = last is not None and (not last.arguments or isinstance(last.arguments, str))
    return (last.id, cut_off(reason)) if last is not None and broken else ("", "")


def _calls(reply: Reply) -> tuple[dict[str, Any], ...]:
    return tuple({"id": call.id, "name": call.name, "arguments": call.arguments} for call in reply.tool_calls)


def _said(reply: Reply) -> Message:
    return {"role": "assistant", "content": reply.content, "tool_calls": list(_calls(reply))}


def _within_threshold(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """What was read of references is shown up to a threshold; the oldest pieces make room, and can be read again."""
    reading = {
        call["id"] for message in messages for call in message.get("tool_calls", ()) if call["name"] in REFERENCE_TOOLS
    }
    room, kept = THRESHOLD, list(messages)
    for index in range(len(kept) - 1, -1, -1):
        message = kept[index]
        if message.get("tool_call_id") in reading:
            room -= len(message["content"])
            if room < 0:
                kept[index] = {**message, "content": _MADE_ROOM}
    return tuple(kept)


_MADE_ROOM = "[left out to keep the prompt short; read it again if it is needed]"


def _read_by(call: ToolCall, memory: SharedMemory) -> dict[str, str]:
    """The content hash of the reference that a call read, by its name."""
    name = call.arguments.get("name") if isinstance(call.arguments, dict) and call.name in REFERENCE_TOOLS else None
    digest = memory.digest(name) if isinstance(name, str) else None
    return {name: digest} if isinstance(name, str) and digest is not None else {}


def _first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a group of tasks ended with; what follows from it is cancelled and says nothing more."""
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first


def _fits(wanted: Tool, call: ToolCall) -> bool:
    try:
        wanted.validated(call.arguments)
    except BaseException as error:
        # A validator is code of the tool's author; what it raises is told when the tool is called.
        if not is_failure(error):
            raise
        return False
    return True


async def _outcome(node: str, call: ToolCall, tools: Mapping[str, Tool]) -> tuple[str, bool]:
    """What the model is told; only a fatal `ToolError` goes further."""
    wanted = tools.get(call.name)
    if wanted is None:
        return f"There is no tool {call.name!r}; there are: {', '.join(sorted(tools)) or 'none'}.", False
    content, error = await _called_again(wanted, call.arguments)
    if error is None:
        return content or "", True
    if isinstance(error, ToolError) and error.fatal:
        error.node = node
        raise error
    return _in_words(wanted, error), False


def _in_words(wanted: Tool, error: BaseException) -> str:
    if isinstance(error, ToolError | _Unfit):
        return without_keys(error_text(error))
    if isinstance(error, _TooLong):
        return f"{wanted.name} did not finish (limit: {wanted.timeout} s)."
    if isinstance(error, NoText):
        kinds = "text, numbers, dates, lists, dicts, models, dataclasses, arrays or tables"
        return f"{wanted.name} returned {error}: its result cannot be read. A tool has to return {kinds}."
    return f"{wanted.name} raised {without_keys(described(error))}"


class _TooLong(Exception):
    """The time limit of a tool: not a `TimeoutError` of its own."""


class _Unfit(Exception):
    """The arguments are none that the tool takes: not a `ValueError` of its own."""


async def _called_again(wanted: Tool, arguments: dict[str, Any] | str) -> tuple[str | None, BaseException | None]:
    """What the tool returns as text, or the error it fails with, called as often as it bears.

    What it says itself, by a `ToolError`, is its last word; arguments that do not fit are not tried again.
    """
    error: BaseException | None = None
    for _ in range(wanted.retries + 1):
        limit = asyncio.timeout(wanted.timeout)
        try:
            async with limit:
                content, error = await apart(partial(_called, wanted, arguments))
        except TimeoutError:
            content, error = None, _TooLong()
        if error is None or isinstance(error, ToolError | _Unfit | NoText):
            return content, error
    return None, error


async def _called(wanted: Tool, arguments: dict[str, Any] | str) -> str:
    try:
        given = wanted.validated(arguments)
    except ValueError as error:
        raise _Unfit(error_text(error)) from error
    if inspect.iscoroutinefunction(wanted.function):
        result = await wanted.function(**given)
    else:
        result = await _in_its_thread(wanted, lambda: _text_unless_awaited(wanted.function(**given)))
    while inspect.isawaitable(result):
        result = await result
    return _told([item async for item in result] if isinstance(result, AsyncIterator) else result)


async def _in_its_thread(wanted: Tool, call: Callable[[], Any]) -> Any:
    """A limit of time can be kept only beside the thread that waits for the run."""
    caller = calling_thread.get()
    if caller is not None and caller.for_all and wanted.timeout is None:
        return await caller.call(call)
    return await in_daemon_thread(call)


def _told(result: Any) -> str:
    """What a tool returned, as the model reads it: no key of this process is told to anybody."""
    return without_keys(as_text(result))


def _text_unless_awaited(result: Any) -> Any:
    """What a blocking tool returned, as text already: writing a large table, too, is work for the tool's thread."""
    return result if inspect.isawaitable(result) or isinstance(result, AsyncIterator) else _told(result)
