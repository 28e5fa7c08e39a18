"""A model that says what a test tells it to: deterministic, instant or slow, faultless or not. Public, for your tests.

It plans, answers and synthesises from one script, so a whole run can be described as the tree that it should become.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ..concurrency.deadline import within
from ..core.content import content_text
from ..core.usage import Usage
from ..exceptions import ConfigurationError, ModelError
from ..ports.model import FREE, Capabilities, Mode, Reply, Request
from ..pricing import Prices
from .callable.reply import reply_from

__all__ = ["Cells", "Fault", "ScriptedModel"]

SYNTHESIS = "="
_USED_UP = object()


@dataclass(frozen=True)
class Fault:
    """Something to go wrong for the first `times` requests (`None`: always) whose task contains `pattern`.

    `error` is raised, after `after` pieces of the answer if it streams; or `reply` is given, as it is.
    """

    pattern: str | re.Pattern[str] = ""
    error: BaseException | None = None
    reply: str | Reply | None = None
    times: int | None = 1
    after: int = 0
    mode: Mode | None = None

    def __post_init__(self) -> None:
        if (self.error is None) == (self.reply is None):
            raise ConfigurationError("Fault(...): give either an error to raise or a reply")

    def matches(self, request: Request) -> bool:
        return self.mode in (None, request.mode) and re.search(self.pattern, request.facts.task) is not None


class Cells:
    """The cells of a task that is solved by code, in a `ScriptedModel`: each is one reply of the coder.

    >>> from rlm_notebook import CodeSandbox, RecursiveEngine
    >>> from rlm_notebook.sandbox.fake import FakeSandbox
    >>> cells = Cells("parts = llm_query_batched(['left', 'right'])", "FINAL(' and '.join(parts))")
    >>> model = ScriptedModel({"Both": cells, "left": "L", "right": "R"}, strict=True)
    >>> print(RecursiveEngine(model, code=CodeSandbox(kind=FakeSandbox())).solve("Both"))
    L and R
    """

    def __init__(self, *codes: str) -> None:
        self.codes = codes

    def __repr__(self) -> str:
        return f"Cells({', '.join(map(repr, self.codes))})"

    def reply(self, request: Request) -> str:
        """The plan, or the next cell; after the last one, prose."""
        if request.mode == "planner":
            return _plan("PROGRAM")
        written = sum(message["role"] == "assistant" for message in request.messages)
        return _fenced(self.codes[written]) if written < len(self.codes) else "There is no further cell."


class ScriptedModel:
    """A deterministic stand-in for a language model.

    `script` is one of
    - a nested dict {task: {sub-task: "answer", ...}} (lists where the answers do not matter): a task with parts is
      split into them, any other is answered; the key "=" holds the text of the synthesis, else it is
      "task: part; part". Keys are whole tasks, or regular expressions that match whole tasks. `Cells` as an
      answer solve the task by code;
    - a list: the parts of the root;
    - a function of the `Request` (`request.facts.task`, `.mode`, `.messages`, `.tools`) that returns a str (the
      answer), a dict (a plan for a planner, else {"content"} or {"tool_calls"}), a `Reply` (given as it is), or `None`
      (the default). It may be a coroutine.

    A task that the script does not know is answered by "answer to: task"; with `strict=True` that is a `ModelError`
    instead, so that a test notices what it did not foresee. `latency` is in seconds, or a range from which each request
    draws its own, always the same. `stream=True` gives text in pieces of `chunk` characters. `faults` go wrong on
    purpose: `Fault`s, or a mapping from patterns of tasks to what is raised once. Words are counted as tokens, and cost
    nothing, or `price`: dollars per million of them, read and written. `requests` are the calls so far, `asked()` their
    tasks, `peak` the most that were under way at once.

    Say how a task is split and answered, and look at the run:

    >>> from rlm_notebook import RecursiveEngine, ScriptedModel
    >>> model = ScriptedModel({"Plan a trip": {"Flights": "at 9", "Hotel": "downtown"}}, strict=True)
    >>> print(RecursiveEngine(model).solve("Plan a trip"))
    Plan a trip: at 9; downtown
    >>> model.asked("planner")
    ['Plan a trip', 'Flights', 'Hotel']

    Have a tool called, with a function of the request:

    >>> def price(item: str) -> float:
    ...     return {"tea": 2.5}[item]
    >>> def say(request):
    ...     if request.mode == "planner":
    ...         return {"decision": "EXECUTE"}
    ...     results = [message["content"] for message in request.messages if message["role"] == "tool"]
    ...     if results:
    ...         return f"It costs {results[0]}."
    ...     return {"tool_calls": [{"name": "price", "arguments": {"item": "tea"}}]}
    >>> print(RecursiveEngine(ScriptedModel(say), tools=[price]).solve("What is tea?"))
    It costs 2.5.

    Let something fail, and see whether the notebook copes (in a cell: `%%rlm -m model --on-failure synthesize`):

    >>> model = ScriptedModel({"Trip": ["Flights", "Hotel"]}, faults={"Hotel": ValueError("closed")})
    >>> answer = RecursiveEngine(model, on_failure="synthesize").solve("Trip")
    >>> [node.task for node in answer.run.tree if node.state == "failed"]
    ['Hotel']
    """

    def __init__(
        self,
        script: Any = None,
        *,
        latency: float | tuple[float, float] = 0.0,
        stream: bool = False,
        chunk: int = 12,
        faults: Sequence[Fault] | Mapping[str, BaseException] = (),
        strict: bool = False,
        name: str = "scripted",
        capabilities: Capabilities | None = None,
        price: tuple[float, float] | None = None,
    ) -> None:
        self.name = name
        self._prices = Prices({name: price} if price is not None else None)
        can = capabilities or Capabilities(True, True, True, stream, True)
        self.capabilities = replace(can, price=FREE if price is None else price, keeps_deadline=True)
        self.requests: list[Request] = []
        self.peak = 0
        self._script = _Script(script, strict)
        self._latency = latency if isinstance(latency, tuple) else (latency, latency)
        self._chunk = chunk
        self._faults = [
            (fault, itertools.repeat(None) if fault.times is None else iter(range(fault.times)))
            for fault in _faults(faults)
        ]
        self._active = 0

    def __repr__(self) -> str:
        return f"ScriptedModel(name={self.name!r}, calls={self.calls})"

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.requests)

    def asked(self, mode: Mode | None = None) -> list[str]:
        """The tasks that it was asked about, in order; of one mode, or of all."""
        return [request.facts.task for request in self.requests if mode in (None, request.mode)]

    def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        return within(request.deadline, self._pieces(request), name=self.name)

    async def _pieces(self, request: Request) -> AsyncGenerator[str | Reply, None]:
        self.requests.append(request)
        # The first fault that matches and is not used up; it is used once more.
        matching = ((fault, left) for fault, left in self._faults if fault.matches(request))
        fault = next((fault for fault, left in matching if next(left, _USED_UP) is not _USED_UP), None)
        error = fault.error if fault is not None else None
        latency, streams = self._latency_of(request), self.capabilities.stream and request.streaming
        self._active += 1
        self.peak = max(self.peak, self._active)
        try:
            await asyncio.sleep(latency / 2 if streams else latency)
            if error is not None and not (streams and fault is not None and fault.after):
                raise error
            reply = await self._reply(request, fault)
            pieces = [reply.content[at : at + self._chunk] for at in range(0, len(reply.content), self._chunk)]
            for index, piece in enumerate(pieces if streams else ()):
                if error is not None and fault is not None and index == fault.after:
                    raise error
                yield piece
                await asyncio.sleep(latency / 2 / len(pieces))
            if error is not None:
                raise error
            yield reply
        finally:
            self._active -= 1

    def _latency_of(self, request: Request) -> float:
        """Drawn from the range by the request itself: the same request always takes as long."""
        shortest, longest = self._latency
        asked = json.dumps([request.mode, request.facts.task_id, request.facts.task, request.messages], default=str)
        drawn = int.from_bytes(hashlib.sha256(asked.encode()).digest()[:4]) / 2**32
        return shortest + (longest - shortest) * drawn

    async def _reply(self, request: Request, fault: Fault | None) -> Reply:
        given: Any = fault.reply if fault is not None else None
        if given is None:
            given = await self._script.answer(request)
        reply = reply_from(given, request, self.name)
        read = sum(len(content_text(message["content"]).split()) for message in request.messages)
        usage = Usage(read, len(reply.content.split()))
        usage = usage if self.capabilities.free else usage.with_cost(self._prices.cost(self.name, usage))
        return replace(reply, usage=reply.usage or usage, model=self.name)


def _faults(given: Sequence[Fault] | Mapping[str, BaseException]) -> Sequence[Fault]:
    if isinstance(given, Mapping):
        for pattern, error in given.items():
            if not isinstance(error, BaseException):
                raise ConfigurationError(
                    f"ScriptedModel(faults={{{pattern!r}: {error!r}}}): expected an exception, "
                    f'such as {{{pattern!r}: ValueError("closed")}}, or a list of Fault(...)'
                )
        return [Fault(pattern, error=error) for pattern, error in given.items()]
    return given


@dataclass(frozen=True)
class _Entry:
    """What the script says about one task: its parts, and its answer (of a task with parts: the synthesis)."""

    parts: tuple[str, ...] = ()
    text: Any = None


_UNKNOWN = _Entry()


class _Script:
    """The script by task: a path from the root finds its own entry, a task that moved is still found by its name."""

    def __init__(self, script: Any, strict: bool) -> None:
        self._strict = strict
        self._root = _Entry((), script) if callable(script) else None
        self._entries: dict[tuple[str, ...], _Entry] = {}
        self._patterns: list[tuple[re.Pattern[str], _Entry]] = []
        if isinstance(script, list | tuple):
            self._root = _Entry(tuple(_parts(script)))
        if not callable(script) and script is not None:
            self._learn((), script)

    def _learn(self, path: tuple[str, ...], script: Any) -> None:
        for task, value in _items(script):
            entry = _Entry(tuple(_parts(value)), _text(task, value))
            if isinstance(task, re.Pattern):
                self._patterns.append((task, entry))
                continue
            self._entries[*path, task] = entry
            self._entries.setdefault((task,), entry)
            if task != re.escape(task) and set(task) & set("*+?[]()|^$\\"):
                # A key that is plain text is no pattern, nor is one that cannot be.
                with suppress(re.error):
                    self._patterns.append((re.compile(task, re.DOTALL), entry))
            self._learn((*path, task), value)

    def _entry(self, request: Request) -> _Entry:
        task, above = request.facts.task, request.facts.breadcrumbs
        if self._root is not None and (not above or not self._root.parts):
            return self._root
        for path in ((*above, task), (*above[1:], task), (task,)):
            if path in self._entries:
                return self._entries[path]
        return next((entry for pattern, entry in self._patterns if pattern.fullmatch(task)), _UNKNOWN)

    async def answer(self, request: Request) -> Any:
        """A str (the model's text), or what `reply_from` reads."""
        entry = self._entry(request)
        if request.mode == "planner" and entry.parts:
            return _plan("RECURSE", sub_tasks=entry.parts)
        if isinstance(entry.text, Cells) and request.mode in ("planner", "coder"):
            return entry.text.reply(request)
        if isinstance(entry.text, str) and request.mode == "coder":
            return _fenced(f"FINAL({entry.text!r})")
        given = entry.text(request) if callable(entry.text) else entry.text
        given = await given if inspect.isawaitable(given) else given
        if given is None or isinstance(given, Cells):
            given = self._default(request, entry)
        if request.mode != "planner" or isinstance(given, Reply):
            return given
        if isinstance(given, str):
            # A text that is a plan already is one; any other is the answer, given together with the decision.
            return given if _is_plan(given) else _plan("EXECUTE", answer=given)
        return json.dumps(given) if isinstance(given, Mapping) and "content" not in given else given

    def _default(self, request: Request, entry: _Entry) -> str:
        """The answer that the script leaves open; raises `ModelError` if it is strict and does not know the task."""
        task = request.facts.task
        if self._strict and (entry is _UNKNOWN or callable(entry.text)):
            known = ", ".join(repr(path[-1]) for path in self._entries if len(path) == 1) or "what its function answers"
            message = f"the script says nothing of {task!r} ({request.mode}); it knows {known}"
            raise ModelError(f"ScriptedModel: {message}", fatal=True)
        if request.mode == "synthesizer":
            return f"{task}: {'; '.join(part.content for part in request.facts.parts)}"
        return f"answer to: {task}"


def _plan(decision: str, *, answer: str | None = None, sub_tasks: tuple[str, ...] = ()) -> str:
    return json.dumps({"thoughts": "", "decision": decision, "answer": answer, "sub_tasks": list(sub_tasks)})


def _fenced(code: str) -> str:
    return f"```python\n{code}\n```"


def _is_plan(text: str) -> bool:
    try:
        return "decision" in json.loads(text)
    except (ValueError, TypeError):
        return False


def _items(script: Any) -> Iterator[tuple[Any, Any]]:
    """The tasks in a mapping or list, each with what the script says about it."""
    if isinstance(script, Mapping):
        yield from ((task, value) for task, value in script.items() if task != SYNTHESIS)
    elif isinstance(script, list | tuple):
        for item in script:
            yield from _items(item) if isinstance(item, Mapping) else [(item, None)]


def _parts(value: Any) -> Iterator[str]:
    return (task for task, _ in _items(value) if not isinstance(task, re.Pattern))


def _text(task: Any, value: Any) -> Any:
    text = value.get(SYNTHESIS) if isinstance(value, Mapping) else value
    if not isinstance(task, str | re.Pattern):
        raise ConfigurationError(f"ScriptedModel: {task!r} is no task; expected text (or a compiled pattern)")
    if isinstance(text, list | tuple):
        return None
    if text is not None and not isinstance(text, str | Reply | Cells) and not callable(text):
        raise ConfigurationError(f"ScriptedModel: {task!r}: {text!r} is no answer; expected text, parts or a function")
    return text
