"""Runs as OpenTelemetry traces: a span for the run, for each node, for each model call, and for each tool call.

The span of a model call begins when the call is admitted, that of a tool call when it is approved: waiting is not part
of them.

Spans go to the given tracer, else to the program's; nothing global is set here. Names and attributes follow
OpenTelemetry's conventions for generative AI (`gen_ai.*`) where these define one, and are `rlm.*` otherwise. Texts may
be confidential, so they are recorded only with `content=True`.
"""

from __future__ import annotations

from typing import Any

from ..core.events import (
    Cancelled,
    CellRan,
    CellWritten,
    Event,
    Failed,
    Finished,
    NodeCreated,
    Planned,
    PlanStarted,
    Replied,
    Retried,
    RunFinished,
    RunStarted,
    Started,
    Superseded,
    SynthesisStarted,
    ToolCalled,
    ToolReturned,
)
from ..core.usage import Usage
from ..exceptions import ConfigurationError
from ..host.installation import install_command

try:
    from opentelemetry import trace
    from opentelemetry.trace import Span, Status, StatusCode, Tracer
except ImportError as missing:
    raise ConfigurationError(
        f"tracing needs OpenTelemetry, which is not installed: {install_command('tracing')}"
    ) from missing

__all__ = ["Tracing"]

_NANOSECONDS = 1_000_000_000
_MOST_CHARACTERS = 4_000


class Tracing:
    """An observer for `AsyncRecursiveEngine(observers=[Tracing()])`; each run is a trace, or part of the caller's.

    `tracer`: where spans go (default: the program's). With `content=True`, tasks, answers, tool arguments and results
    are recorded, each up to 4,000 characters. Raises `ConfigurationError` on import without OpenTelemetry.
    """

    def __init__(self, tracer: Tracer | None = None, *, content: bool = False) -> None:
        self._tracer = tracer or trace.get_tracer("rlm_notebook")
        self._content = content

    def for_run(self) -> _RunTrace:
        """The observer of one run; its spans are children of the span that is current now."""
        return _RunTrace(self._tracer, self._content)

    def __call__(self, event: Event) -> None:
        raise TypeError("a Tracing observes runs through for_run(); give it to an engine")


class _RunTrace:
    """The open spans of one run. Keys are (kind, id): ("run", ""), ("node", id), ("phase", node id), ("tool", ...)."""

    def __init__(self, tracer: Tracer, content: bool) -> None:
        self._tracer = tracer
        self._content = content
        self._context = trace.set_span_in_context(trace.get_current_span())
        self._spans: dict[tuple[str, str], Span] = {}

    def __call__(self, event: Event) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    # -- the run -------------------------------------------------------------------------------------------------

    def run_started(self, event: RunStarted) -> None:
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "rlm.run_id": event.run_id,
            **self._text("task", event.task),
        }
        self._start("rlm.run", ("run", ""), self._context, event, attributes)

    def run_finished(self, event: RunFinished) -> None:
        for key in [key for key in self._spans if key != ("run", "")]:
            self._end(key, event)
        self._end(("run", ""), event, {"rlm.status": event.status}, event.error)

    # -- its nodes -----------------------------------------------------------------------------------------------

    def node_created(self, event: NodeCreated) -> None:
        parent = ("node", event.parent) if event.parent is not None else ("run", "")
        attributes = {"rlm.node": event.node, "gen_ai.agent.name": event.agent, **self._text("task", event.task)}
        self._start(f"rlm.node {event.node}", ("node", event.node), self._under(parent), event, attributes)

    def finished(self, event: Finished) -> None:
        self._end(("phase", event.node), event, _usage_attributes(event.usage, event.model))
        attributes = {"rlm.mark": event.mark, **self._text("answer", event.content)}
        self._end(("node", event.node), event, attributes)

    def failed(self, event: Failed) -> None:
        self._end(("phase", event.node), event, _usage_attributes(event.usage), event.error)
        self._end(("node", event.node), event, {"error.type": event.kind}, event.error)

    def cancelled(self, event: Cancelled | Superseded) -> None:
        self._end(("phase", event.node), event)
        self._end(("node", event.node), event, {"rlm.cancelled": event.reason or type(event).__name__.lower()})

    # -- what they do --------------------------------------------------------------------------------------------

    def phase_started(self, event: PlanStarted | Started | SynthesisStarted) -> None:
        self._end(("phase", event.node), event)
        name = {PlanStarted: "plan", Started: "execute", SynthesisStarted: "synthesize"}[type(event)]
        self._start(f"rlm.{name}", ("phase", event.node), self._under(("node", event.node)), event)

    def planned(self, event: Planned) -> None:
        attributes = {"rlm.decision": str(event.plan.get("decision", "")), "rlm.limited": event.limited}
        self._end(("phase", event.node), event, {**attributes, **_usage_attributes(event.usage, event.model)})

    def replied(self, event: Replied) -> None:
        self._end(("phase", event.node), event, _usage_attributes(event.usage, event.model))

    def cell_written(self, event: CellWritten) -> None:
        self._end(("phase", event.node), event, _usage_attributes(event.usage, event.model))
        parent = self._under(("node", event.node))
        self._start("rlm.cell", ("cell", event.node), parent, event, self._text("code", event.code))

    def cell_ran(self, event: CellRan) -> None:
        self._end(("cell", event.node), event, self._text("output", event.stdout), event.error)

    def retried(self, event: Retried) -> None:
        node = self._spans.get(("node", event.node))
        if node is not None:
            node.add_event("rlm.retry", self._text("reason", event.reason), timestamp=_timestamp(event))
        self._end(("phase", event.node), event, _usage_attributes(event.usage), event.reason)

    def tool_called(self, event: ToolCalled) -> None:
        if event.awaiting_approval:
            return
        attributes = {"gen_ai.tool.name": event.name, "gen_ai.tool.call.id": event.call}
        texts = self._text("tool.arguments", str(event.arguments))
        parent = self._under(("node", event.node))
        self._start(f"execute_tool {event.name}", _tool(event), parent, event, {**attributes, **texts})

    def tool_returned(self, event: ToolReturned) -> None:
        wrong = "" if event.ok else "the tool call failed"
        self._end(_tool(event), event, self._text("tool.result", event.content), wrong)

    # -- spans ---------------------------------------------------------------------------------------------------

    def _text(self, name: str, text: str) -> dict[str, str]:
        return {f"rlm.{name}": text[:_MOST_CHARACTERS]} if self._content else {}

    def _under(self, key: tuple[str, str]) -> Any:
        span = self._spans.get(key) or self._spans.get(("run", ""))
        return trace.set_span_in_context(span) if span is not None else self._context

    def _start(
        self, name: str, key: tuple[str, str], context: Any, event: Event, attributes: dict[str, Any] | None = None
    ) -> None:
        self._spans[key] = self._tracer.start_span(
            name, context, attributes=_without_empty(attributes or {}), start_time=_timestamp(event)
        )

    def _end(
        self, key: tuple[str, str], event: Event, attributes: dict[str, Any] | None = None, error: str | None = None
    ) -> None:
        span = self._spans.pop(key, None)
        if span is None:
            return
        span.set_attributes(_without_empty(attributes or {}))
        if error:
            span.set_status(Status(StatusCode.ERROR, error if self._content else "see the run"))
        span.end(_timestamp(event))


_HANDLERS: dict[type[Event], Any] = {
    RunStarted: _RunTrace.run_started,
    RunFinished: _RunTrace.run_finished,
    NodeCreated: _RunTrace.node_created,
    PlanStarted: _RunTrace.phase_started,
    Planned: _RunTrace.planned,
    Started: _RunTrace.phase_started,
    SynthesisStarted: _RunTrace.phase_started,
    Replied: _RunTrace.replied,
    CellWritten: _RunTrace.cell_written,
    CellRan: _RunTrace.cell_ran,
    Retried: _RunTrace.retried,
    ToolCalled: _RunTrace.tool_called,
    ToolReturned: _RunTrace.tool_returned,
    Finished: _RunTrace.finished,
    Failed: _RunTrace.failed,
    Cancelled: _RunTrace.cancelled,
    Superseded: _RunTrace.cancelled,
}


def _tool(event: ToolCalled | ToolReturned) -> tuple[str, str]:
    return ("tool", f"{event.node} {event.call}")


def _timestamp(event: Event) -> int:
    return int(event.at * _NANOSECONDS)


def _without_empty(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value not in ("", None)}


def _usage_attributes(usage: Usage, model: str = "") -> dict[str, Any]:
    if not usage.calls and not usage.total_tokens:
        return {}
    return {
        "gen_ai.response.model": model,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "rlm.calls": usage.calls,
        "rlm.cost_usd": usage.cost_usd,
    }
