"""The arguments of an engine, with their defaults and checks, and the mode of a run."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar, cast, get_args

from ..core.choices import MODES, OnFailure, OnLimit, Quotes, RunMode, instance, one_of
from ..core.limits import Budget
from ..core.retry import RetryPolicy
from ..exceptions import ConfigurationError
from ..ports.model import Cache
from ..ports.run import Observer
from ..sandbox.options import CodeSandbox, code_options
from ..tools import as_tools
from ..wrappers.cached import cache_of

__all__ = ["EngineOptions", "hints_at_options", "mode_of", "suggests_options"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class EngineOptions:
    """The arguments of both engines, with their defaults and checks; stored as given.

    Iterators and mappings are copied: one can be read only once, the other may be changed by its owner.
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
    #: Seconds per call.
    call_timeout: float | None = 600.0
    default_model: str | None = None
    prices: Mapping[str, tuple[float, float]] | None = None
    verbose: bool = False
    thread_safe: bool = True
    code: CodeSandbox | Literal["root"] | bool | None = None
    quotes: Quotes | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("agents", dict(self.agents) if isinstance(self.agents, Mapping) else self.agents),
            ("prices", dict(self.prices) if isinstance(self.prices, Mapping) else self.prices),
            ("tools", as_tools(self.tools)),
            ("observers", _each_called("observers", self.observers)),
            # An engine that is created from this one shares its cache.
            ("cache", cache_of(self.cache)),
            ("on_limit", one_of("on_limit", self.on_limit, ("execute", "raise"))),
            ("on_failure", one_of("on_failure", self.on_failure, ("raise", "synthesize"))),
            ("budget", instance("budget", self.budget, Budget, "Budget(usd=0.5)")),
            ("retry", instance("retry", self.retry, RetryPolicy, "RetryPolicy(attempts=4)")),
            ("call_timeout", _seconds("call_timeout", self.call_timeout)),
            ("code", code_options(self.code)),
            ("quotes", one_of("quotes", self.quotes, (None, *get_args(Quotes)))),
            ("default_model", instance("default_model", self.default_model, str, '"my-model"')),
        ):
            object.__setattr__(self, name, value)

    def _arguments(self) -> dict[str, Any]:
        """All arguments by name, for a copy of the engine."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.init}


def hints_at_options(method: Callable[P, T]) -> Callable[P, T]:
    """A method of an engine that, given an option of the engine (`start(task, approve=True)`), says where it goes."""
    known = list(inspect.signature(method).parameters)[1:]
    engine = method.__qualname__.partition(".")[0]
    # `approve` is declared by the engine that can wait for it.
    options = {each.name for each in fields(EngineOptions)} | ({"approve"} if engine.startswith("Async") else set())

    def require_known(given: Iterable[str]) -> None:
        for name in (options & set(given)) - set(known):
            raise TypeError(
                f"{method.__name__}() takes no {name}: it is an option of the engine, {engine}(..., {name}=...)"
            )
        _require_known(method.__name__, given, known)

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        require_known(kwargs)
        return method(*args, **kwargs)

    @wraps(method)
    async def call_awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
        require_known(kwargs)
        awaitable: Any = method(*args, **kwargs)
        return await awaitable

    return cast("Callable[P, T]", call_awaited) if inspect.iscoroutinefunction(method) else call


def suggests_options(engine: type[T]) -> type[T]:
    """An engine that, given an argument that it does not have, names the closest that it has."""
    made: Callable[..., None] = vars(engine)["__init__"]
    known = list(inspect.signature(made).parameters)[1:]

    @wraps(made)
    def make(self: T, *args: Any, **kwargs: Any) -> None:
        _require_known(type(self).__name__, kwargs, known)
        made(self, *args, **kwargs)

    type.__setattr__(engine, "__init__", make)
    return engine


def _require_known(callee: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises `TypeError`, in the words of Python and with a suggestion, if an argument is not known."""
    for name in given:
        if name in known:
            continue
        close = difflib.get_close_matches(name, [*known, *_OTHER_WORDS], n=1)
        meant = f"did you mean {_OTHER_WORDS.get(close[0], close[0])}=...?" if close else f"it takes {', '.join(known)}"
        raise TypeError(f"{callee}() got an unexpected keyword argument {name!r}; {meant}")


#: What people also call an argument.
_OTHER_WORDS = {"model": "llm"}


def mode_of(mode: Any, *, recorded: bool, keep_plan: bool = False) -> RunMode:
    """The mode of a run; `RLM_MODE` sets it for all runs of a session that have a file and no mode of their own."""
    if keep_plan and mode == "fresh":
        raise ConfigurationError(
            'mode="fresh" ignores what is recorded, and keep_plan=True needs its plan; leave out one of them'
        )
    of_session: RunMode = one_of("RLM_MODE", os.environ.get("RLM_MODE") or "resume", MODES)
    checked: RunMode = one_of("mode", mode, MODES)
    return of_session if recorded and checked == "resume" else checked


def _seconds(name: str, value: Any) -> float | None:
    """The value, if it is a positive number or `None`. Raises `ConfigurationError`."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0):
        raise ConfigurationError(f"{name}={value!r}: expected seconds, more than 0, or None for no limit")
    return value


def _each_called(name: str, values: Any) -> tuple[Any, ...]:
    """One or several callables as a tuple. Raises `ConfigurationError`."""
    if callable(values):
        return (values,)
    found = tuple(values) if isinstance(values, Iterable) else (values,)
    for value in found:
        if not callable(value):
            raise ConfigurationError(f"{name}: {value!r:.60} cannot be called; give functions of one event")
    return found
