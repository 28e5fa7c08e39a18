"""The options of an engine, what is made of them for its runs, and the request of one run. Values only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, Literal, TypeVar

from ..caches.shared_replies import SharedReplies
from ..core.context import RLMContext
from ..core.keys import request_key
from ..core.limits import Budget, Limits
from ..core.redaction import Store
from ..core.retry import RetryPolicy
from ..exceptions import ConfigurationError
from ..memory import SharedMemory
from ..output_type import OutputType
from ..ports import Cache, Journal, Observer
from ..pricing import Prices
from ..prompts import PROMPTS_VERSION
from ..tools import as_tools
from ..version import __version__
from ..wrappers.cached import cache_of
from .scheduler import Slots
from .team import Team

__all__ = [
    "Configuration",
    "EngineOptions",
    "Job",
    "OnFailure",
    "OnLimit",
    "RunMode",
    "instance",
    "one_of",
    "priced",
]

RunMode = Literal["resume", "fresh", "replay"]
OnLimit = Literal["execute", "raise"]
OnFailure = Literal["raise", "synthesize"]


@dataclass(frozen=True, eq=False, repr=False)
class EngineOptions:
    """The arguments of an engine, each checked by itself: both engines take these, and keep them as given.

    What can be iterated only once, or changed by its owner later, is kept as a copy.
    """

    llm: Any
    agents: Mapping[str, Any] | None = None
    router_model: str = "planner"
    tools: Iterable[Any] = ()
    _: KW_ONLY
    max_depth: int = 5
    max_steps: int = 50
    max_concurrency: int = 16
    max_tool_rounds: int = 8
    on_limit: OnLimit = "execute"
    on_failure: OnFailure = "raise"
    budget: Budget | None = None
    retry: RetryPolicy | None = RetryPolicy(at_first=4)
    cache: Cache | bool | None = None
    observers: Iterable[Observer] = ()
    temperature: float | None = None
    #: In seconds per call.
    call_timeout: float | None = 600.0
    default_model: str | None = None
    prices: Mapping[str, tuple[float, float]] | None = None
    verbose: bool = False
    thread_safe: bool = True

    def __post_init__(self) -> None:
        for name, value in (
            ("agents", _copied(self.agents)),
            ("prices", _copied(self.prices)),
            ("tools", as_tools(self.tools)),
            ("observers", _each_called("observers", self.observers)),
            # An engine that is made of this one shares its cache.
            ("cache", cache_of(self.cache)),
            ("on_limit", one_of("on_limit", self.on_limit, ("execute", "raise"))),
            ("on_failure", one_of("on_failure", self.on_failure, ("raise", "synthesize"))),
            ("budget", instance("budget", self.budget, Budget, "Budget(usd=0.5)")),
            ("retry", instance("retry", self.retry, RetryPolicy, "RetryPolicy(attempts=4)")),
            ("call_timeout", _seconds("call_timeout", self.call_timeout)),
            ("default_model", instance("default_model", self.default_model, str, '"my-model"')),
        ):
            object.__setattr__(self, name, value)

    def _arguments(self) -> dict[str, Any]:
        """The values of all arguments, to make an engine of them again."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """An engine's options, and what was made of them for its runs."""

    options: EngineOptions
    team: Team
    limits: Limits
    budget: Budget
    prices: Prices
    observers: tuple[Observer, ...]
    approve: bool | Literal["root"]
    #: Its cache, if it has one, and the requests in flight of all runs that share it.
    replies: SharedReplies
    #: For the calls of all its runs.
    slots: Slots

    @property
    def cached(self) -> bool:
        """Whether a reply may come from a cache."""
        return self.replies.cache is not None

    def to_json(self) -> dict[str, Any]:
        """What checkpoints record of an engine."""
        return {
            **self.team.to_json(),
            "limits": self.limits.to_json(),
            "budget": self.budget.to_json(),
            "on_limit": self.options.on_limit,
            "on_failure": self.options.on_failure,
            "prompts_version": PROMPTS_VERSION,
            "package_version": __version__,
        }

    def request_key(
        self, task: str, context: RLMContext | None, memory: SharedMemory, output_type: OutputType | None
    ) -> str:
        """What makes two executions the same request."""
        context = instance("context", context, RLMContext, 'RLMContext(breadcrumbs=("outer task",))')
        if context is not None and not _are_texts(context.breadcrumbs):
            raise ConfigurationError(
                'context: the breadcrumbs are no texts; give the outer tasks, RLMContext(breadcrumbs=("outer",))'
            )
        meaning: dict[str, Any] = {
            "breadcrumbs": list(context.breadcrumbs) if context is not None else [],
            **self.team.meaning,
        }
        if memory:
            meaning["variables"] = memory.digests()
        if output_type is not None:
            meaning["output_type"] = output_type.digest
        return request_key(_checked_task(task), meaning)

    def for_joining(self) -> Configuration:
        """For an answer from what there is: who asks for it has seen that the budget is spent."""
        return replace(self, budget=Budget(), approve=False)


@dataclass(frozen=True, slots=True)
class Job:
    """One execution as it was asked for.

    `keep_plan`: what was planned at a node's place holds, whatever its key. `store`: how much of the texts is kept.
    `edit`: what tells an edited run from others of the same run. `joins_only`: nothing new is solved, what is
    recorded is joined. `baseline`: it is there to be compared with, and no cell's own run. `title`: what the run is
    called where runs are listed, if not by its task.
    """

    task: str
    context: RLMContext | None
    memory: SharedMemory
    output_type: OutputType | None
    request_key: str
    journal: Journal
    mode: RunMode
    keep_plan: bool = False
    store: Store = "full"
    edit: str = ""
    joins_only: bool = False
    baseline: bool = False
    title: str = ""


def one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """The value. Raises `ConfigurationError` if it is not among those allowed."""
    if value not in allowed:
        raise ConfigurationError(f"{name}={value!r}: expected one of {', '.join(map(repr, allowed))}")
    return value


T = TypeVar("T")


def instance(name: str, value: Any, kind: type[T], example: str) -> T | None:
    """The value, if it is of this kind or `None`. Raises `ConfigurationError` with the example."""
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name}={value!r:.60}: expected {example}, say, or None")
    return value


def _seconds(name: str, value: Any) -> float | None:
    """The value, if it is a time that a call can take. Raises `ConfigurationError`."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise ConfigurationError(f"{name}={value!r}: expected seconds, more than 0, or None for no limit")
    return value


def _copied(given: Any) -> Any:
    """A dict of its own, of a mapping; what is none is left to be refused."""
    return dict(given) if isinstance(given, Mapping) else given


def _each_called(name: str, values: Any) -> tuple[Any, ...]:
    """Callables, or one of them, as a tuple. Raises `ConfigurationError`."""
    if callable(values):
        return (values,)
    found = tuple(values) if isinstance(values, Iterable) else (values,)
    for value in found:
        if not callable(value):
            raise ConfigurationError(f"{name}: {value!r:.60} cannot be called; give functions of one event")
    return found


def priced(budget: Budget, team: Team, prices: Prices) -> Budget:
    """The budget as it can be held: dollars need prices, and where there are none and that is to be ignored, they
    limit nothing. Raises `ConfigurationError` for dollars without a price."""
    if budget.usd is None:
        return budget
    models = {agent.resolved.name: agent.resolved for agent in (team.default, *team.agents.values())}
    unknown = sorted(name for name, model in models.items() if not prices.known(model))
    if budget.unknown_price == "ignore":
        costs = [model for name, model in models.items() if name not in unknown and not model.capabilities.free]
        return budget if costs else replace(budget, usd=None)
    if unknown:
        raise ConfigurationError(
            f"a budget of {budget.usd:g} dollars, but the price of {', '.join(unknown)} is not known; give "
            'prices={"NAME": (dollars per million tokens in, out)} or Budget(unknown_price="ignore"), '
            "or limit calls or tokens"
        )
    return budget


def _are_texts(values: Any) -> bool:
    return isinstance(values, tuple | list) and all(isinstance(each, str) for each in values)


def _checked_task(task: Any) -> str:
    if not isinstance(task, str):
        raise ConfigurationError(f"a task is text, not {type(task).__name__}; pass the task as a string")
    if not task.strip():
        raise ConfigurationError("the task is empty; say what is to be solved")
    return task
