"""Adapters by name, loaded on first use.

The engine knows protocols, not who implements them; this table is the one place that connects the two. It imports by
name, so that `import rlm_notebook` stays light and the layers keep pointing one way.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from .core.retry import RetryPolicy
from .exceptions import ConfigurationError
from .ports import Journal, Model, current_host

__all__ = ["journal_for", "resolve_model", "with_retries"]


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


def journal_for(checkpoint: Any, *, request_key: str, task: str) -> Journal:
    """The journal that `checkpoint` asks for: `None` (memory), a path, `True` (beside the notebook), or a journal."""
    if checkpoint is None or checkpoint is False:
        memory: Journal = _load("checkpoints.memory", "MemoryJournal")()
        return memory
    if hasattr(checkpoint, "append") and hasattr(checkpoint, "compact"):
        given: Journal = checkpoint
        return given
    if checkpoint is True:
        checkpoint = current_host().checkpoint_path(None, request_key, task)
    if not isinstance(checkpoint, str | Path):
        raise ConfigurationError(f"checkpoint={checkpoint!r}: expected None, True or a path such as 'run.json'")
    file: Journal = _load("checkpoints.json_file", "JsonFile")(checkpoint)
    return file


def with_retries(model: Model, policy: RetryPolicy | None, on_retry: Any) -> Model:
    """The model with failed calls repeated as the policy says; `on_retry(error, attempt, delay)` is told before."""
    if policy is None or policy.attempts <= 1:
        return model
    wrapped: Model = _load("wrappers.retried", "Retried")(model, policy, on_retry=on_retry)
    return wrapped
