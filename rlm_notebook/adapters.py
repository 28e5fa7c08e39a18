"""Adapters by name, loaded on first use.

The engine knows protocols, not who implements them; this table is the one place that connects the two. It imports by
name, so that `import rlm_notebook` stays light and the layers keep pointing one way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from typing import Any

from .core.retry import RetryPolicy
from .exceptions import ConfigurationError
from .ports import Cache, Model

__all__ = [
    "cache_of",
    "page_of",
    "patience",
    "remembering",
    "resolve_model",
    "view_of",
]


@cache
def _load(module: str, name: str) -> Any:
    return getattr(import_module(f".{module}", __package__), name)


def resolve_model(spec: Any) -> Model:
    """A `Model` for what a user names: a spec such as "openai:NAME", a model, or any callable."""
    if spec is None:
        raise ConfigurationError(
            'llm=None: give a model ("offline", "openai:NAME", a callable); None cannot answer anything'
        )
    if not isinstance(spec, str | type) and isinstance(spec, Model):
        return spec
    model: Model = _load("models.registry", "resolve_model")(spec)
    return model


def page_of(run: Any) -> str:
    """The run, recorded or not, as an HTML page that needs nothing but a browser."""
    page: str = _load("notebook.display.html_page", "page_of")(run)
    return page


def view_of(run: Any) -> Any:
    """The run, recorded or not, as a live tree for notebooks that ask what to show."""
    return _load("notebook.widget", "TreeView")(run)


def cache_of(given: Any) -> Cache | None:
    """The cache that an engine's `cache` asks for: `True` is one in memory, anything with `get` and `put` itself."""
    if given is None or given is False:
        return None
    if given is True:
        memory: Cache = _load("wrappers.cached", "MemoryCache")()
        return memory
    if not (callable(getattr(given, "get", None)) and callable(getattr(given, "put", None))):
        raise ConfigurationError(f"cache={given!r}: expected True, None or an object with get(key) and put(key, reply)")
    cache_given: Cache = given
    return cache_given


def remembering(cache: Cache | None, models: Iterable[tuple[str, Model]]) -> Callable[[Model, Model], Model]:
    """Wraps what asks a model, so that what is in the cache is not asked; `models` are all, by the names of agents.

    A spec names one model. Functions may share a name: all but the first are kept apart by who uses them.
    """
    if cache is None:
        return lambda model, asking: asking
    wrap, flights = _load("wrappers.cached", "Cached"), _load("wrappers.cached", "Flights")()
    first: dict[str, Model] = {}
    salts: dict[int, str] = {}
    for agent, model in models:
        known = first.setdefault(model.name, model)
        if known is not model and known != model and ":" not in model.name:
            salts.setdefault(id(model), agent)

    def remember(model: Model, asking: Model) -> Model:
        wrapped: Model = wrap(asking, cache, flights=flights, salt=salts.get(id(model), ""))
        return wrapped

    return remember


def patience(policy: RetryPolicy, on_retry: Any, answered: Callable[[], bool]) -> Any:
    """What waits between the attempts of one call; `on_retry(error, attempt, delay)` is told before each wait, and
    `answered` says whether the model has answered anything yet."""
    return _load("wrappers.retried", "Patience")(policy, on_retry, answered)
