"""Approvals: the plans and tool calls of a run that wait for a person, and what the person decided.

A node that needs approval makes an `ApprovalRequest` and awaits its decision. A request has one of three states: it is
waiting; it is decided, once and for good; or it is gone, because its node was cancelled or its run ended.

Its id is random and is never used again, in this run or in one that resumes it. So a decision that names a request can
only concern what was shown under that id: a second click, a click in another view, or a click from before a crash finds
its request decided or gone, and never reaches the request that follows. Only `approve(node)` without a request, for
whoever calls it from Python, means what waits at the node at that moment.

Decisions come from any thread. The lock is held while a request is looked up and decided, so that of two decisions
exactly one counts; the node learns of it on the loop of the run.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from ..core.decisions import Approved, Decision
from ..core.plan import Plan
from ..core.text import printable
from ..exceptions import ConfigurationError
from ..ports.model import ToolCall

__all__ = ["ApprovalRequest", "Approvals", "Awaiting"]

#: How many decided requests are remembered, to tell a repeated decision from another one.
_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What waits for `run.approve` or `run.reject`: a node's `plan` (`kind` "plan"), or its tool `calls` ("calls").

    The `id` is unique over all requests of all runs. `calls` are those that require approval, without secret arguments.
    """

    id: str
    node: str
    kind: Literal["plan", "calls"]
    plan: Plan | None = None
    calls: tuple[ToolCall, ...] = ()

    def __str__(self) -> str:
        if self.plan is not None:
            return f"node {self.node}: {self.plan}"
        shown = []
        for call in self.calls:
            given = call.arguments if isinstance(call.arguments, dict) else {"text": call.arguments}
            arguments = ", ".join(printable(f"{name}={value!r:.200}") for name, value in given.items())
            shown.append(f"{printable(call.name)}({arguments})")
        return f"node {self.node}: {', '.join(shown)}"


class Awaiting(Sequence[Any]):
    """The requests that wait, in the order in which they were made.

    Also by node: `"0.1" in awaiting`, `awaiting["0.1"]`.
    """

    def __init__(self, requests: Sequence[ApprovalRequest] = ()) -> None:
        self._requests = tuple(requests)

    @overload
    def __getitem__(self, key: int | str) -> ApprovalRequest: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[ApprovalRequest]: ...
    def __getitem__(self, key: int | str | slice) -> ApprovalRequest | Sequence[ApprovalRequest]:
        if isinstance(key, str):
            for each in self._requests:
                if each.node == key:
                    return each
            raise KeyError(key)
        return self._requests[key]

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[ApprovalRequest]:
        return iter(self._requests)

    def __contains__(self, value: object) -> bool:
        return any(value in (each, each.node) for each in self._requests)

    def __repr__(self) -> str:
        """For people: what is to be decided."""
        return "\n".join(map(str, self._requests)) or "(nothing waits)"


@dataclass(slots=True)
class _Waiting:
    request: ApprovalRequest
    decided: asyncio.Future[Decision] = field(repr=False)


class Approvals:
    """The requests of one run; created on its event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        #: By request id, in the order in which they were made.
        self._waiting: dict[str, _Waiting] = {}
        #: The latest decisions by request id, with the request.
        self._decided: dict[str, tuple[ApprovalRequest, Decision]] = {}
        #: What needs no decision any more: subjects of requests.
        self._granted: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def awaiting(self) -> Awaiting:
        """The requests that wait now."""
        with self._lock:
            return Awaiting([each.request for each in self._waiting.values()])

    async def decision(
        self, node: str, plan: Plan | None, calls: Sequence[ToolCall], begun: Callable[[], None]
    ) -> Decision:
        """Wait for the decision on the plan, or on the tool calls, of a node; `begun` is called when it waits."""
        kind: Literal["plan", "calls"] = "plan" if plan is not None else "calls"
        request = ApprovalRequest(secrets.token_hex(8), node, kind, plan, tuple(calls))
        if _subjects(request) <= self._granted:
            return Approved()
        waiting = _Waiting(request, self._loop.create_future())
        with self._lock:
            self._waiting[request.id] = waiting
        try:
            begun()
            return await waiting.decided
        finally:
            with self._lock:
                self._waiting.pop(request.id, None)

    def decide(self, node: str, request: str | None, decision: Decision, *, rest: bool = False) -> None:
        """Decide the request of a node, the one with the id `request` if that is given; with `rest`, also approve all
        that waits or will wait for the same: a plan, or a call of the same tools.

        A repeated equal decision has no effect. Raises `ConfigurationError` if no such request waits.
        """
        with self._lock:
            found = self._find(node, request, decision)
            if found is None:
                return
            if isinstance(decision, Approved) and decision.plan is not None and found.request.kind == "calls":
                raise ConfigurationError(
                    f"node {node} waits with tool calls, not with a plan: approve it without plan="
                )
            self._settle(found, decision)
            if rest:
                self._granted |= _subjects(found.request)
                for other in [each for each in self._waiting.values() if _subjects(each.request) <= self._granted]:
                    self._settle(other, Approved())

    def _find(self, node: str, request: str | None, decision: Decision) -> _Waiting | None:
        """The waiting request; `None` if it has this decision already. Raises `ConfigurationError`."""
        here = [each for each in self._waiting.values() if each.request.node == node]
        if request is None and here:
            return here[0]
        if request is not None and request in self._waiting:
            if self._waiting[request].request.node == node:
                return self._waiting[request]
            raise ConfigurationError(
                f"the request {request} is one of node {self._waiting[request].request.node}, not of node {node}"
            )
        earlier = [(each, made) for each, made in self._decided.values() if each.node == node]
        if request is not None:
            earlier = [(each, made) for each, made in earlier if each.id == request]
        if earlier and earlier[-1][1] == decision:
            return None
        if request is not None and earlier:
            was = "approved" if isinstance(earlier[-1][1], Approved) else "rejected"
            raise ConfigurationError(f"this request of node {node} was {was} already")
        waiting = ", ".join(each.request.node for each in self._waiting.values()) or "-"
        if request is not None:
            raise ConfigurationError(
                f"node {node} has no request {request} that waits: it was decided, or its run ended; waiting: {waiting}"
            )
        raise ConfigurationError(f"node {node} waits for no approval; waiting: {waiting}")

    def _settle(self, waiting: _Waiting, decision: Decision) -> None:
        del self._waiting[waiting.request.id]
        self._decided[waiting.request.id] = (waiting.request, decision)
        while len(self._decided) > _REMEMBERED:
            del self._decided[next(iter(self._decided))]

        def resolve() -> None:
            if not waiting.decided.done():
                waiting.decided.set_result(decision)

        # The loop may have been closed under a run that was never awaited.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(resolve)


def _subjects(request: ApprovalRequest) -> set[str]:
    """What the request is about: "" for a plan, else the names of the tools."""
    return {""} if request.kind == "plan" else {call.name for call in request.calls}
