"""The types of the public interface: the arguments and results of callers, and the output of a run."""

from __future__ import annotations

import copy
import copyreg
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from typing import Any, Literal, NotRequired, Protocol, TypedDict

from .core.content import TextValue
from .core.pickling import is_portable
from .core.quotes import Quote, quotes_of
from .core.usage import Usage
from .views.formats import Format

__all__ = [
    "AsyncLLMCaller",
    "AsyncStreamingLLMCaller",
    "Input",
    "Item",
    "LLMCaller",
    "Output",
    "PlannerDecision",
    "SubTask",
    "ToolCall",
    "TraceObject",
]


class Input(TypedDict):
    """One message for a caller; the system prompt is the first of them."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]


Item = Input


class ToolCall(TypedDict):
    """A tool call in a caller's reply."""

    name: str
    arguments: dict[str, Any] | str
    id: NotRequired[str]


class SubTask(TypedDict):
    """One sub-task of a plan, as a planner writes it; `depends_on` are positions from 0, `effort` is from 1 to 5."""

    description: str
    assigned_agent: NotRequired[str | None]
    depends_on: NotRequired[list[int]]
    effort: NotRequired[int | None]


class PlannerDecision(TypedDict):
    """A planner's reply, as JSON in `content`."""

    thoughts: NotRequired[str]
    decision: Literal["EXECUTE", "RECURSE", "PROGRAM"]
    answer: NotRequired[str | None]
    joining: NotRequired[int | None]
    sub_tasks: NotRequired[list[SubTask]]


class TraceObject(TypedDict):
    """One node of a run, as `Run.trace()` lists them."""

    id: str
    parent: str | None
    depth: int
    task: str
    state: str
    decision: str | None
    result: str | None
    error: str | None


class Output(TextValue, Mapping[str, Any]):
    """An answer: `.content` (Markdown text), `.metadata`, `.parsed`, `.usage` and the `.run` that computed it.

    It is also a mapping with the keys "content" and "metadata", so that callers can return it and read it like a dict.
    `str()` is the content. A notebook displays it in its `.format`: "markdown" (with `.parsed` as a table, if it holds
    records), "text", "json" or "code".

    It can be pickled and deep-copied, without its live run: the copy has `run=None`. A `parsed` value whose type
    another process cannot import becomes plain data.
    """

    __slots__ = ("content", "format", "metadata", "parsed", "run", "usage")

    def __init__(
        self,
        content: str = "",
        metadata: Mapping[str, Any] | None = None,
        *,
        parsed: Any = None,
        usage: Usage | None = None,
        run: Any = None,
    ) -> None:
        self.content = content
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.parsed = parsed
        self.usage = usage or Usage()
        self.run = run
        self.format: Format = "markdown"

    def __getitem__(self, key: str) -> Any:
        if key == "content":
            return self.content
        if key == "metadata":
            return self.metadata
        raise KeyError(key)

    @property
    def quotes(self) -> list[Quote]:
        """The quotes of the answer in their order, each with its state: "verified", "moved", "altered" or "not
        found"."""
        return quotes_of(self.metadata)

    def __iter__(self) -> Iterator[str]:
        return iter(("content", "metadata"))

    def __len__(self) -> int:
        return 2

    def __str__(self) -> str:
        return self.content

    def __repr__(self) -> str:
        shown = self.content if len(self.content) <= 200 else self.content[:200] + "…"
        # Only the number of sub-results: together they are as long as the whole run.
        metadata = {
            name: f"<{len(value)}>" if name == "sub_results" else value for name, value in self.metadata.items()
        }
        return f"Output(content={shown!r}, metadata={metadata!r})"

    def __copy__(self) -> Output:
        return self._with(run=self.run)

    def __deepcopy__(self, memo: dict[int, Any]) -> Output:
        return self._with(metadata=copy.deepcopy(self.metadata, memo), parsed=copy.deepcopy(self.parsed, memo))

    def _with(self, **changes: Any) -> Output:
        """A copy without the run, with some fields changed."""
        copied = type(self).__new__(type(self))
        copied.__setstate__({**self._state(), **changes})
        return copied

    def _state(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in self.__slots__}, "run": None}

    def __reduce__(self) -> tuple[Any, ...]:
        state = self._state()
        state["metadata"] = {name: _portable(value) for name, value in self.metadata.items()}
        state["parsed"] = _portable(self.parsed)
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def _repr_markdown_(self) -> Any:
        return self._shown("text/markdown")

    def _repr_html_(self) -> Any:
        return self._shown("text/html")

    def _repr_json_(self) -> Any:
        return self._shown("application/json")

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(self._shown("text/plain"))

    def _shown(self, mime: str) -> Any:
        # Loaded by the first answer that is shown.
        from .views.rendering import rendered

        return rendered(self.content, self.parsed, self.format).get(mime)


def _portable(value: Any) -> Any:
    """The value, or its plain data if it cannot be pickled (a model that is defined within a function, for example)."""
    if is_portable(value):
        return value
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=repr)


class LLMCaller(Protocol):
    """A blocking caller: takes messages and a context, returns `{"content": ..., "metadata": {...}}`."""

    def __call__(self, inputs: list[Input], context: dict[str, Any], /) -> Mapping[str, Any]: ...


class AsyncLLMCaller(Protocol):
    """An asynchronous caller, with the arguments and result of `LLMCaller`."""

    def __call__(self, inputs: list[Input], context: dict[str, Any], /) -> Awaitable[Mapping[str, Any]]: ...


class AsyncStreamingLLMCaller(Protocol):
    """A caller that is an async generator: yields pieces of text and, optionally, the whole reply as a mapping."""

    def __call__(self, inputs: list[Input], context: dict[str, Any], /) -> AsyncIterator[str | Mapping[str, Any]]: ...
