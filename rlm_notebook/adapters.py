"""Adapters by name, loaded on first use.

The engine knows protocols, not who implements them; this table is the one place that connects the two. It imports by
name, so that `import rlm_notebook` stays light and the layers keep pointing one way.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from .core.records import Recorded
from .core.redaction import Store
from .core.retry import RetryPolicy
from .exceptions import CheckpointError, ConfigurationError
from .ports import Cache, Journal, Model, Request, current_host

__all__ = [
    "answering",
    "baseline_of",
    "cache_of",
    "found_beside",
    "journal_for",
    "kept_beside",
    "page_of",
    "patience",
    "recorded_in",
    "remembering",
    "require_at_rest",
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


def journal_for(checkpoint: Any, *, request_key: str, task: str, store: Store = "full") -> Journal:
    """The journal that `checkpoint` asks for: `None` (memory), a path, `True` (beside the notebook), or a journal.

    A file holds as much of the texts as `store` says.
    """
    journal = _journal(checkpoint, request_key, task)
    if store == "full" or journal.path is None:
        return journal
    reduced: Journal = _load("checkpoints.redacted", "Reduced")(journal, store)
    return reduced


def _journal(checkpoint: Any, request_key: str, task: str) -> Journal:
    if checkpoint is None or checkpoint is False:
        memory: Journal = _load("checkpoints.memory", "MemoryJournal")()
        return memory
    if hasattr(checkpoint, "append") and hasattr(checkpoint, "compact"):
        given: Journal = checkpoint
        return given
    if checkpoint is True:
        found = current_host().checkpoint_path(None, request_key, task)
        checkpoint = found or _load("checkpoints.location", "place_without_cell")(None, request_key, task)
    if not isinstance(checkpoint, str | Path):
        raise ConfigurationError(f"checkpoint={checkpoint!r}: expected None, True or a path such as 'run.json'")
    file: Journal = _load("checkpoints.json_file", "JsonFile")(checkpoint)
    return file


def found_beside(path: Path | None, wanted: Recorded, store: Store) -> Journal | None:
    """The file beside that at `path` which holds the same edit of the same run, if there is one."""
    if path is None or not wanted.tree.settings.get("edit"):
        return None
    is_edit = re.compile(re.escape(_stem_of_edits(path)) + r"-edit(-\d+)?\.json")
    # Of an edit that was kept under a number, because another took its place, nothing is found.
    for place in sorted(each for each in path.parent.iterdir() if is_edit.fullmatch(each.name)):
        try:
            recorded = recorded_in(place)
        except CheckpointError:
            continue
        if recorded is not None and _edit_of(recorded) == _edit_of(wanted):
            return journal_for(place, request_key="", task="", store=store)
    return None


def _edit_of(recorded: Recorded) -> tuple[Any, ...]:
    tree = recorded.tree
    return tree.parent, tree.request_key, tree.settings.get("edit")


def _stem_of_edits(path: Path) -> str:
    return re.sub(r"-edit(-\d+)?$", "", path.stem)


def kept_beside(path: Path | None, recorded: Recorded, store: Store) -> Journal:
    """A journal that holds `recorded`: in memory, or a new file `<name>-edit.json` beside that at `path`.

    Raises `CheckpointError` where that cannot be written.
    """
    if path is None:
        memory = journal_for(None, request_key="", task="", store=store)
        memory.open()
        memory.compact(recorded)
        memory.close()
        return memory
    for place in _names_beside(path):
        file: Any = journal_for(place, request_key="", task="", store=store)
        if file.claim(recorded):
            kept: Journal = file
            return kept
    raise AssertionError("unreachable: there are names without end")


def baseline_of(path: Path) -> Path:
    """Where the plain answer is kept that a run in this file is compared with."""
    return path.with_name(f"{path.stem}-baseline.json")


def _names_beside(path: Path) -> Iterator[Path]:
    stem = _stem_of_edits(path)
    yield path.with_name(f"{stem}-edit.json")
    for number in itertools.count(2):
        yield path.with_name(f"{stem}-edit-{number}.json")


def require_at_rest(path: Path) -> None:
    """Raises `ConfigurationError` while a run is being written there, by this process or another one."""
    _load("checkpoints.json_file", "require_at_rest")(path)


def recorded_in(path: Path) -> Recorded | None:
    """What is kept in a run's file, or `None` if there is none. Raises `CheckpointError` for what cannot be read."""
    recorded: Recorded | None = _load("checkpoints.json_file", "load_recorded")(path)
    return recorded


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


def answering(model: Model, request: Request) -> Any:
    """The pieces of an answer, within the request's deadline even if the model does not care for it.

    A wrapper may have to wait for its turn before the time of the call begins: what is inside keeps the deadline.
    """
    pieces: Any = model.stream(request)
    if hasattr(getattr(model, "model", None), "stream"):
        return pieces
    if _load("models.deadline", "keeps_deadline")(pieces):
        return pieces
    return _load("models.deadline", "within")(request.deadline, pieces, name=model.name)


def patience(policy: RetryPolicy, on_retry: Any, answered: Callable[[], bool]) -> Any:
    """What waits between the attempts of one call; `on_retry(error, attempt, delay)` is told before each wait, and
    `answered` says whether the model has answered anything yet."""
    return _load("wrappers.retried", "Patience")(policy, on_retry, answered)
