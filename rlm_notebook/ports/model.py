"""The protocols of a model, of its batches and of a cache of its replies; and the values they exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, Protocol, TypedDict, runtime_checkable

from ..core.construction import fast_init
from ..core.content import Content, ImagePart

if TYPE_CHECKING:
    # For annotations only: the extension imports this module and must load fast.
    from ..core.usage import Usage
    from ..exceptions import RLMError

__all__ = [
    "FREE",
    "BatchEndpoint",
    "Batchable",
    "Cache",
    "Capabilities",
    "ImagePart",
    "Message",
    "Mode",
    "Model",
    "NodeFacts",
    "Part",
    "ReferencedText",
    "Reply",
    "Request",
    "ToolCall",
    "call_started",
    "report_call_started",
]

Mode = Literal["planner", "worker", "synthesizer", "coder"]

#: The price of a model that costs nothing.
FREE = (0.0, 0.0)


class Message(TypedDict):
    """One message of a conversation, in the form that providers take.

    `content` is a text; for models with `Capabilities.images` also a list of texts and `ImagePart`s.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: Content
    tool_calls: NotRequired[list[dict[str, Any]]]
    tool_call_id: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the engine needs to know of a model beside its name. A wrapper forwards it, or a changed copy."""

    #: What a request may contain, and what a reply contains.
    json_schema: bool = False
    json_object: bool = False
    tools: bool = False
    stream: bool = False
    usage: bool = False
    #: Messages may hold images. A run with images is refused if none of its models sees them.
    images: bool = field(default=False, kw_only=True)
    #: Reads references whole, from `NodeFacts.texts` instead of a prompt: for models that run in this process.
    whole_references: bool = False
    #: The model's settings that enter its requests: temperature, effort, limits, ... . They are part of the content
    #: keys and recorded. Only those that differ from the default, as JSON values, without secrets.
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    #: Dollars per million tokens, read and written; (0, 0) for a model that costs nothing, which a price given to the
    #: engine does not change. `None`: the price table is searched for the model's name.
    price: tuple[float, float] | None = None
    #: A call may wait inside `stream` for a rate limit. The model then calls `report_call_started()` after the wait,
    #: so that the node is shown as waiting until then.
    waits_for_rate_limit: bool = False
    #: `stream` raises a retryable `ModelError` by itself once `Request.deadline` has passed. The engine limits the
    #: calls of all other models, including the time that wrappers take.
    keeps_deadline: bool = False
    #: The error that every call would raise at present, because a key is missing for example: the engine raises it
    #: before the run starts and before anything is written.
    not_ready: RLMError | None = field(default=None, compare=False)

    @property
    def free(self) -> bool:
        """Whether calls cost nothing, so that a budget in dollars needs no price."""
        return self.price is not None and not any(self.price)


@fast_init
@dataclass(frozen=True, slots=True)
class Part:
    """The result of a sub-task (or dependency): its node's id, its task, its text."""

    id: str
    task: str
    content: str


@dataclass(frozen=True, slots=True)
class ReferencedText:
    """A reference as a whole: its name, its kind ("text", "file a.csv", "table, as CSV"), its content as text."""

    name: str
    kind: str
    text: str


@fast_init
@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node's facts apart from any prompt: for models that reason over structure, and for plain callables.

    `goal` is the root's task, `breadcrumbs` the tasks of the ancestors from the root down, `parts` the results to
    synthesise (in the plan's order), `dependencies` the results that this node depends on. `references` describe the
    variables that tools can read, `excerpts` are for models without tools, `texts` for models with `whole_references`.
    """

    task: str
    task_id: str = "0"
    depth: int = 0
    goal: str = ""
    breadcrumbs: tuple[str, ...] = ()
    agent: str = ""
    parts: tuple[Part, ...] = ()
    dependencies: tuple[Part, ...] = ()
    references: tuple[str, ...] = ()
    excerpts: str = ""
    texts: tuple[ReferencedText, ...] = field(default=(), repr=False)


@fast_init
@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model.

    `tools` are JSON schemas in the form {"name", "description", "parameters"}; `schema` is the JSON Schema of the
    wanted reply; `deadline` is in seconds from now. `None` is the model's own default.
    """

    mode: Mode
    messages: tuple[Message, ...]
    facts: NodeFacts
    tools: tuple[dict[str, Any], ...] = ()
    schema: dict[str, Any] | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    deadline: float | None = None
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in a reply; `arguments` are decoded JSON, or the raw text if it does not decode."""

    id: str
    name: str
    arguments: dict[str, Any] | str


@fast_init
@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a model; `usage` is `None` if the provider did not report it.

    A usage with `cost_usd=None` is priced by the engine: by the model's declared price, or from the price table.

    `reasoning` is the model's reasoning before the answer, separate from `content`, as far as its provider returns it.
    `finish_reason` is "stop", "tool_calls", "length" (the limit of output tokens), "content_filter", or the provider's
    own word.
    """

    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage | None = None
    model: str = ""
    finish_reason: str = "stop"
    metadata: dict[str, Any] = field(default_factory=dict)
    mark: Literal["", "cached"] = ""
    reasoning: str = ""


@runtime_checkable
class Model(Protocol):
    """A language model, or a substitute for one.

    `name` is displayed, recorded, priced and part of keys ("openai:gpt-5-mini"); `capabilities` is all else that the
    engine needs to know before a call. `stream` yields pieces of text, then exactly one `Reply` with the complete text;
    it raises `ModelError` for every failure of the provider.

    A wrapper is a model that forwards these three to another one and adds one concern. Wrappers can be combined in any
    order, also with those of `rlm_notebook.wrappers`: the engine looks at the outermost model only, so a wrapper that
    forwards `name` and `capabilities` keeps the price, the readiness, the rate limit and the deadline of the model
    inside.

    >>> from collections.abc import AsyncIterator
    >>> from contextlib import aclosing
    >>> from rlm_notebook import Capabilities, Model, RecursiveEngine, Reply, Request, ScriptedModel
    >>> class Counted:  # the same model; counts the tokens of its replies
    ...     def __init__(self, model: Model) -> None:
    ...         self.model = model
    ...         self.tokens = 0
    ...
    ...     @property
    ...     def name(self) -> str:
    ...         return self.model.name
    ...
    ...     @property
    ...     def capabilities(self) -> Capabilities:
    ...         return self.model.capabilities
    ...
    ...     async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
    ...         async with aclosing(self.model.stream(request)) as pieces:
    ...             async for piece in pieces:
    ...                 if isinstance(piece, Reply) and piece.usage is not None:
    ...                     self.tokens += piece.usage.total_tokens
    ...                 yield piece
    >>> counted = Counted(ScriptedModel({"Plan a trip": "by train"}))
    >>> print(RecursiveEngine(counted, max_depth=1).solve("Plan a trip"))
    by train
    >>> counted.tokens > 0
    True
    """

    @property
    def name(self) -> str: ...
    @property
    def capabilities(self) -> Capabilities: ...
    def stream(self, request: Request) -> AsyncIterator[str | Reply]: ...


class BatchEndpoint(Protocol):
    """Where a provider answers many requests within a day, for less. Each method raises `ModelError`."""

    #: Its address, without credentials.
    @property
    def url(self) -> str: ...
    def body(self, request: Request) -> dict[str, Any]:
        """The request as it is sent."""
        ...

    async def create(self, key: str, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Make a batch of these requests, by their ids; gives the id of the batch. `key` names it, where it can."""
        ...

    async def find(self, key: str, after: float, count: int) -> str | None:
        """The id of the batch of this key, of `count` requests, made after `after` (seconds since 1970)."""
        ...

    async def ended(self, batch: str) -> bool:
        """Whether no further results come."""
        ...

    def results(self, batch: str) -> AsyncIterator[tuple[str, Any]]:
        """The ids of requests with their results; of the id "" why the others have none."""
        ...

    def reply(self, request: Request, result: Any) -> Reply:
        """The reply in a result; raises the `ModelError` of that request."""
        ...


@runtime_checkable
class Batchable(Model, Protocol):
    """A model whose provider answers batches."""

    def batch_endpoint(self) -> BatchEndpoint: ...


#: Called by a model that waits for a rate limit, when a call starts; set by the engine for each call.
call_started: ContextVar[Callable[[], None] | None] = ContextVar("call_started", default=None)


def report_call_started() -> None:
    """Report to the engine that the current call has waited for its rate limit and starts now."""
    report = call_started.get()
    if report is not None:
        report()


class Cache(Protocol):
    """Replies by key. A stored reply is never changed, and a cached reply is copied before it is used."""

    def get(self, key: str, /) -> Reply | None: ...
    def put(self, key: str, reply: Reply, /) -> None: ...
