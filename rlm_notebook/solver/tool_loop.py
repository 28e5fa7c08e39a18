"""The loop of one node's model and its tools: call the model, run the tools it calls, repeat until it answers.

A round is one reply and the results of its tool calls. Its states, as events: the reply is recorded (`Replied`), then
each call (`ToolCalled`), then each result (`ToolReturned`), all before they are used further. The last reply, which
calls no tool, ends the loop and is recorded by the solver.

A run that was interrupted therefore resumes after the last recorded call: `Transcript` replays the recorded rounds as
far as they are valid. From the first call whose tool, references or secret arguments have changed, or that had not
ended, the rest of the transcript is dropped, because the model wrote it in view of a result that no longer holds.

What must never happen: a reply that is recorded is requested again (it was paid for); a tool that returned is called
again (it may not be idempotent); a tool runs before its call is recorded, or before the approval that it requires; a
secret argument reaches an event, a file or an error. Secret arguments are not in the file, so a call that was
interrupted needs its reply once more, for these arguments alone (`_restore_secrets`).

Errors of tools are texts for the model, which can repair its call. Only `ToolError(fatal=True)` and a loop that does
not end within `max_tool_rounds` fail the node.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from ..concurrency.cancellation import apart, is_failure
from ..concurrency.threads import calling_thread, in_daemon_thread
from ..core.content import Content, ImagePart, PicturedText
from ..core.decisions import Rejected
from ..core.error_text import described, error_text
from ..core.events import Replied, Retried, ToolCalled, ToolReturned
from ..core.finish_reason import cut_off, ended_early
from ..core.recordable import plain_text
from ..core.replay_events import tool_events
from ..core.retry import RetryPolicy
from ..core.text import counted
from ..core.tree import Node, Round, ToolUse
from ..core.usage import Usage
from ..exceptions import ConfigurationError, ToolError
from ..host.credentials import without_keys
from ..memory import MOST_SHOWN, REFERENCE_TOOLS, THRESHOLD, VIEW_TOOL
from ..ports.model import Message, Model, Reply, Request, ToolCall
from ..tools import Tool, as_text
from ..values import NoText
from .model_calls import call_model, emit_work
from .run import References, SolverRun
from .secret_arguments import is_masked, masked, recorded_call, secrets_of, without, without_in

__all__ = ["ToolLoop", "Transcript"]


#: How many characters of an unfinished answer an error message shows, from its end.
_SHOWN = 1_000
#: For the model, in the place of a result.
_NOT_MADE = "This call was not made: the run was stopped, and secret arguments are not kept. Call it again if need be."
_NOTHING_READ: Mapping[str, str] = MappingProxyType({})
_MADE_ROOM = "[left out to keep the prompt short; read it again if it is needed]"


class ToolLoop:
    """Calls one node's model and the tools that it calls; `reads` collects the names of the references they read."""

    def __init__(
        self,
        run: SolverRun,
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
        #: The secret arguments that the model has given to tools, the longest first.
        self._secrets: list[str] = []
        self._paid = False
        #: The images beside results, by the ids of their calls.
        self._images: dict[str, tuple[ImagePart, ...]] = {}
        #: The reasoning of the rounds so far.
        self._thoughts: list[str] = []
        #: The id of a tool call that was cut off, and why.
        self._cut_off: tuple[str, str] = ("", "")

    async def answer(self, request: Request) -> Reply:
        """The first reply that calls no tool.

        Raises `ToolError` when the model still calls tools after `max_tool_rounds`, or when a tool raises a fatal one.
        """
        written: list[str] = []
        for left in range(self._rounds, -1, -1):
            reply, uses = await self._reply(request)
            if reply.reasoning:
                self._thoughts.append(self._without_secrets(reply.reasoning))
            if not reply.tool_calls:
                if self._secrets:
                    metadata = without_in(dict(reply.metadata), self._secrets)
                    reply = replace(reply, content=self._without_secrets(reply.content), metadata=metadata)
                # An answer after a paid round does not count as cached, even where its last reply was.
                reply = replace(reply, mark="") if self._paid and reply.mark else reply
                return replace(reply, reasoning="\n\n".join(self._thoughts)) if self._thoughts else reply
            written.append(self._without_secrets(reply.content).strip())
            if left:
                calls = [{"id": each.id, "name": each.name, "arguments": each.arguments} for each in reply.tool_calls]
                assistant: Message = {"role": "assistant", "content": reply.content, "tool_calls": calls}
                results = await self.use_tools(reply.tool_calls, uses)
                request = replace(request, messages=_within_threshold((*request.messages, assistant, *results)))
        partial = "\n\n".join(filter(None, written))
        shown = partial if len(partial) <= _SHOWN else f"[…] {partial[-_SHOWN:]}"
        early = f" (the last call was {self._cut_off[1]})" if self._cut_off[1] else ""
        raise ToolError(
            f"node {self._node}: {self._model.name} still calls tools after {counted(self._rounds, 'round')}{early}; "
            "raise max_tool_rounds, or make the task or the tools clearer"
            f"{f'. What it had written by then: {shown}' if shown else ''}",
            node=self._node,
            partial=partial,
        )

    def record_rejected(self, reply: Reply) -> None:
        """Record an answer that the model has to repair, as the rounds before it are recorded."""
        if not self._recorded.was_last(reply):
            self._emit_reply(reply)

    async def _reply(self, request: Request) -> tuple[Reply, Sequence[ToolUse | None]]:
        """The next reply, replayed or requested; and the recorded use of each of its calls, `None` if it has none."""
        known = self._recorded.next()
        if known is not None:
            emit_work(self._run, self._node, "worker")
            reply, uses = known.reply, known.uses
            if known.lacking:
                reply, uses = await self._restore_secrets(request, known)
            event = Replied(at=self._run.clock(), node=self._node, content=reply.content, calls=known.calls)
            self._run.emit(replace(event, usage=known.usage, model=reply.model, mark="replayed"))
            self._paid = self._paid or known.usage.calls > 0
            return reply, uses
        reply = await call_model(self._run, self._node, self._model, request, self._retry)
        self._cut_off = ("", "")
        if calls := reply.tool_calls:
            if not all(call.id for call in calls) or len({call.id for call in calls}) < len(calls):
                # Some models give their calls no ids, or the same one to all.
                calls = tuple(replace(call, id=f"{call.id}#{at}") for at, call in enumerate(calls))
                reply = replace(reply, tool_calls=calls)
            early, last = ended_early(reply.finish_reason, reply.metadata), calls[-1]
            if early and (not last.arguments or isinstance(last.arguments, str)):
                # Its arguments are incomplete.
                self._cut_off = (last.id, cut_off(early))
            self._emit_reply(reply)
        return reply, [None] * len(reply.tool_calls)

    async def _restore_secrets(self, request: Request, known: _RecordedRound) -> tuple[Reply, Sequence[ToolUse | None]]:
        """A recorded reply with the secret arguments that were not recorded: the same request is made once more.

        Only these arguments are taken from the new reply: other calls have ended, or are made as recorded. A call that
        the new reply does not repeat is not made, and the model gets that as its result.
        """
        again = await call_model(self._run, self._node, self._model, request, self._retry)
        names = ", ".join(sorted({known.reply.tool_calls[at].name for at in known.lacking}))
        reason = f"asked again for the secret arguments of {names}, which are not kept"
        now = self._run.clock()
        self._run.emit(Retried(at=now, node=self._node, reason=reason, usage=self._run.claim(self._node)))
        offered, calls, uses = list(again.tool_calls), list(known.reply.tool_calls), list(known.uses)
        for at in known.lacking:
            call, wanted = calls[at], {**known.calls[at], "id": ""}
            same = (each for each in offered if recorded_call(replace(each, id=""), self._tools) == wanted)
            if (repeated := next(same, None)) is not None:
                offered.remove(repeated)
                calls[at] = replace(call, arguments=repeated.arguments)
            else:
                given = call.arguments if isinstance(call.arguments, dict) else {"text": call.arguments}
                uses[at] = ToolUse(call.id, call.name, given, now, content=_NOT_MADE, ok=False, ended=now)
        reply = replace(known.reply, tool_calls=tuple(calls))
        self._note_secrets(reply)
        return reply, uses

    def _note_secrets(self, reply: Reply) -> None:
        found = [text for call in reply.tool_calls for text in secrets_of(call, self._tools)]
        if found:
            self._secrets = sorted({*self._secrets, *found}, key=len, reverse=True)

    def _without_secrets(self, text: str) -> str:
        return without(text, self._secrets)

    def _emit_reply(self, reply: Reply) -> None:
        self._note_secrets(reply)
        usage = self._run.claim(self._node)
        self._paid = self._paid or usage.calls > 0
        self._run.emit(
            Replied(
                at=self._run.clock(),
                node=self._node,
                content=self._without_secrets(reply.content),
                calls=tuple(recorded_call(call, self._tools) for call in reply.tool_calls),
                usage=usage,
                model=reply.model,
            )
        )

    async def use_tools(self, calls: Sequence[ToolCall], uses: Sequence[ToolUse | None]) -> list[Message]:
        """Run all calls of one reply in parallel; their results in the order of the calls."""
        pairs = list(zip(calls, uses, strict=True))
        guarded = [call for call, use in pairs if use is None and self._requires_approval(call)]
        # All calls are recorded before any runs, so that the record has them in their order.
        for call, use in pairs:
            if use is None:
                self._emit_call(call, awaiting_approval=bool(guarded))
            else:
                self._reads.update(use.reads)
                for event in tool_events(use, self._node):
                    self._run.emit(event)
        rejected: dict[str, str] = {}
        if guarded:
            shown = [masked(call, self._tools) for call in guarded]
            decision = await self._run.control.decision(self._node, calls=shown)
            if isinstance(decision, Rejected):
                reason = plain_text(decision.reason.strip())
                why = f" The reason: {reason}" if reason else " No reason was given."
                told = f"The user rejected this call, and it was not made.{why}"
                rejected = dict.fromkeys((call.id for call in guarded), told)
            for call, use in pairs:
                if use is None and call.id in rejected:
                    self._emit_return(call, rejected[call.id], ok=False)
                elif use is None:
                    self._emit_call(call, awaiting_approval=False)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._use(call)) if use is None and call.id not in rejected else use
                    for call, use in pairs
                ]
        except BaseExceptionGroup as errors:
            # The first error cancelled the other tasks: it is the one to raise.
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        results: list[Message] = []
        for call, ended in zip(calls, tasks, strict=True):
            if isinstance(ended, ToolUse):
                text = ended.content or ""
            else:
                text = ended.result() if ended is not None else rejected[call.id]
            results.append({"role": "tool", "content": await self._with_image(call, text), "tool_call_id": call.id})
        return results

    async def _with_image(self, call: ToolCall, content: str) -> Content:
        """The result of a call with the images that it shows: the record has only its text."""
        if images := self._images.pop(call.id, ()):
            return [content, *(part for image in images for part in (f"# Image: {image.label}", image))]
        if call.name != VIEW_TOOL or call.name not in self._tools or not isinstance(call.arguments, dict):
            return content
        try:
            return [content, await in_daemon_thread(self._run.job.memory.seen_by, call.arguments)]
        except (ValueError, ConfigurationError):
            # The content says why nothing is shown.
            return content

    def _requires_approval(self, call: ToolCall) -> bool:
        """Whether a person has to approve the call; one that the model has to repair first needs no approval yet."""
        tool = self._tools.get(call.name) if call.id != self._cut_off[0] else None
        if tool is None or not tool.requires_approval:
            return False
        try:
            tool.validated(call.arguments)
        except BaseException as error:
            # A validator is the tool author's code; its error is the result when the tool is called.
            if not is_failure(error):
                raise
            return False
        return True

    def _emit_call(self, call: ToolCall, *, awaiting_approval: bool) -> None:
        arguments = masked(call, self._tools).arguments
        self._run.emit(
            ToolCalled(
                at=self._run.clock(),
                node=self._node,
                call=call.id,
                name=call.name,
                arguments=arguments if isinstance(arguments, dict) else {"text": arguments},
                awaiting_approval=awaiting_approval,
            )
        )

    async def _use(self, call: ToolCall) -> str:
        """Run one call and record its result, which it returns as the model reads it."""
        if call.id == self._cut_off[0]:
            content = f"This call was not made: your output was {self._cut_off[1]}. Call again, with less text."
            ok = False
        else:
            try:
                content, ok = await _result_for_model(self._node, call, self._tools)
            except ToolError as error:
                message = error_text(error)
                if (shown := self._without_secrets(without_keys(message))) == message:
                    raise
                raise ToolError(shown, fatal=True, node=self._node) from None
        if isinstance(content, PicturedText) and self._model.capabilities.images:
            self._images[call.id] = content.images
        content = self._without_secrets(plain_text(content))
        reads: dict[str, str] = {}
        if ok and call.name in REFERENCE_TOOLS and isinstance(call.arguments, dict):
            # The content hash of what was read: a changed one makes the result invalid.
            key = self._run.job.memory.read_by(call.name, call.arguments)
            digest = self._run.job.memory.digest(key) if key is not None else None
            reads = {key: digest} if key is not None and digest is not None else {}
        self._emit_return(call, content, ok=ok, reads=reads)
        return content

    def _emit_return(self, call: ToolCall, content: str, *, ok: bool, reads: Mapping[str, str] = _NOTHING_READ) -> None:
        now = self._run.clock()
        self._run.emit(ToolReturned(at=now, node=self._node, call=call.id, content=content, ok=ok, reads=dict(reads)))


@dataclass(frozen=True, slots=True)
class _RecordedRound:
    """A recorded reply with its calls as recorded.

    `uses` holds what each call came to (`None`: it has to be made), `lacking` the positions of those calls to be made
    that lack secret arguments.
    """

    reply: Reply
    calls: tuple[dict[str, Any], ...]
    uses: Sequence[ToolUse | None]
    usage: Usage
    lacking: Sequence[int]


class Transcript:
    """The recorded rounds of an interrupted node, in order, as far as they are valid.

    Results of `changed` tools are invalid.
    """

    def __init__(
        self,
        node: Node | None,
        memory: References,
        most_rounds: int,
        tools: Mapping[str, Tool],
        changed: Collection[str] = (),
    ) -> None:
        rounds: Sequence[Round] = node.rounds if node is not None else ()
        since_answer = 0
        for each in rounds:
            since_answer = since_answer + 1 if each.calls else 0
        # A model that called tools until the limit would only reach the limit again: it starts over.
        self._rounds = deque(rounds if since_answer <= most_rounds else ())
        self._uses = deque(node.tool_calls if node is not None else ())
        self._memory = memory
        self._tools = tools
        self._changed = changed
        self._last: Reply | None = None

    def next(self) -> _RecordedRound | None:
        """The next round, if there is one."""
        self._last = None
        if not self._rounds:
            return None
        recorded = self._rounds.popleft()
        calls = tuple(ToolCall(call["id"], call["name"], call["arguments"]) for call in recorded.calls)
        uses = [self._next_use(call) for call in calls]
        lacking = [at for at, use in enumerate(uses) if use is None and is_masked(recorded.calls[at], self._tools)]
        if None in uses:
            # The model wrote the later rounds in view of a result that is made again.
            self._rounds.clear()
        self._last = Reply(recorded.content, calls, model=recorded.model)
        return _RecordedRound(self._last, recorded.calls, uses, recorded.usage, lacking)

    def was_last(self, reply: Reply) -> bool:
        """Whether `next` gave this reply last."""
        return reply is self._last

    def _next_use(self, call: ToolCall) -> ToolUse | None:
        """The recorded use of the next call, if it had ended and neither its tool nor what it read has changed."""
        use = self._uses.popleft() if self._uses else None
        if use is None or use.ended is None or (use.call, use.name) != (call.id, call.name):
            return None
        if use.name in self._changed:
            return None
        same = all(self._memory.is_same(*each) for each in use.reads.items())
        return use if same else None


def _within_threshold(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with results of reference tools up to a total length and a number of images; the oldest results are
    left out beyond it."""
    reading = {
        call["id"] for message in messages for call in message.get("tool_calls", ()) if call["name"] in REFERENCE_TOOLS
    }
    room, images, shown = THRESHOLD, MOST_SHOWN, list(messages)
    for index in range(len(shown) - 1, -1, -1):
        message = shown[index]
        if message.get("tool_call_id") in reading:
            parts = [message["content"]] if isinstance(message["content"], str) else message["content"]
            seen = sum(isinstance(part, ImagePart) for part in parts)
            room, images = room - sum(len(part) for part in parts if isinstance(part, str)), images - seen
            if room < 0 or (seen and images < 0):
                shown[index] = {**message, "content": _MADE_ROOM}
    return tuple(shown)


async def _result_for_model(node: str, call: ToolCall, tools: Mapping[str, Tool]) -> tuple[str, bool]:
    """The result of a call as text for the model, and whether it succeeded. Raises only a fatal `ToolError`."""
    tool = tools.get(call.name)
    if tool is None:
        return f"There is no tool {call.name!r}; there are: {', '.join(sorted(tools)) or 'none'}.", False
    content, error = await _call_with_retries(tool, call.arguments)
    if error is None:
        return content or "", True
    if isinstance(error, ToolError) and error.fatal:
        error.node = node
        raise error
    if isinstance(error, ToolError | _BadArguments):
        return without_keys(error_text(error)), False
    if isinstance(error, _TimeLimitPassed):
        return f"{tool.name} did not finish (limit: {tool.timeout} s).", False
    if isinstance(error, NoText):
        kinds = "text, numbers, dates, lists, dicts, models, dataclasses, arrays or tables"
        return f"{tool.name} returned {error}: its result cannot be read. A tool has to return {kinds}.", False
    return f"{tool.name} raised {without_keys(described(error))}", False


class _TimeLimitPassed(Exception):
    """The tool's `timeout` has passed: distinct from a `TimeoutError` that the tool raises."""


class _BadArguments(Exception):
    """The arguments do not fit the tool's signature: distinct from a `ValueError` that the tool raises."""


async def _call_with_retries(tool: Tool, arguments: dict[str, Any] | str) -> tuple[str | None, BaseException | None]:
    """The tool's result as text, or the error of its last attempt.

    A `ToolError` is the tool's own message to the model; neither it nor bad arguments are retried.
    """
    error: BaseException | None = None
    for _ in range(tool.retries + 1):
        limit = asyncio.timeout(tool.timeout)
        try:
            async with limit:
                content, error = await apart(partial(_call_tool, tool, arguments))
        except TimeoutError:
            content, error = None, _TimeLimitPassed()
        if error is None or isinstance(error, ToolError | _BadArguments | NoText):
            return content, error
    return None, error


async def _call_tool(tool: Tool, arguments: dict[str, Any] | str) -> str:
    try:
        given = tool.validated(arguments)
    except ValueError as error:
        raise _BadArguments(error_text(error)) from error

    def blocking() -> Any:
        # The result becomes text in the tool's thread: for a large table that is work, too.
        result = tool.function(**given)
        return result if inspect.isawaitable(result) or isinstance(result, AsyncIterator) else _text_of(result)

    caller = calling_thread.get()
    if inspect.iscoroutinefunction(tool.function):
        result = await tool.function(**given)
    elif caller is not None and caller.for_all and tool.timeout is None:
        # In the thread that waits for the run. Not with a time limit: that thread could not be left.
        result = await caller.call(blocking)
    else:
        result = await in_daemon_thread(blocking)
    while inspect.isawaitable(result):
        result = await result
    return _text_of([item async for item in result] if isinstance(result, AsyncIterator) else result)


def _text_of(result: Any) -> str:
    """A tool's result as the model reads it, without the API keys of this process."""
    text = without_keys(as_text(result))
    return PicturedText(text, result.images) if isinstance(result, PicturedText) else text
