"""From what users name to a `Model`: the forms of a model's specification, and the models that a key gives.

Nothing here asks anybody anything: what answers on this machine is found in `discovery.py`.
"""

from __future__ import annotations

import difflib
import os
import re
from importlib.util import find_spec
from typing import Any, NamedTuple

from ..core.text import printable
from ..exceptions import ConfigurationError
from ..ports import Model
from .anthropic import AnthropicModel
from .callable import CallableModel
from .openai import OpenAIModel
from .provider.http_clients import without_credentials

__all__ = ["FORMS", "KEYS", "LOCAL_SERVERS", "KeyRule", "default_model", "default_openai_model", "resolve_model"]


class KeyRule(NamedTuple):
    """The model that is used when a key is set and no model was chosen; `package`: what has to be installed for it."""

    variable: str
    spec: str
    package: str

    @property
    def is_set(self) -> bool:
        return bool(os.environ.get(self.variable, "").strip())

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None


#: In the order in which they apply. The models are small, cheap, and follow a schema.
KEYS = (
    KeyRule("OPENAI_API_KEY", "openai:gpt-5-mini", "openai"),
    KeyRule("ANTHROPIC_API_KEY", "anthropic:claude-haiku-4-5", "anthropic"),
)

#: The addresses at which local servers listen unless they are told otherwise.
LOCAL_SERVERS = {
    "ollama": "http://127.0.0.1:11434/v1",
    "lmstudio": "http://127.0.0.1:1234/v1",
    "llamacpp": "http://127.0.0.1:8080/v1",
    "vllm": "http://127.0.0.1:8000/v1",
}

FORMS = (
    "offline",
    "openai:NAME",
    "anthropic:NAME",
    *(f"{server}:NAME" for server in LOCAL_SERVERS),
    "http://HOST:PORT/v1#NAME",
    "a Model",
    "a callable (inputs, context)",
)


def default_model() -> KeyRule | None:
    """The first rule whose key is set and whose package is installed."""
    return next((rule for rule in KEYS if rule.is_set and rule.is_installed), None)


def default_openai_model() -> str:
    """The specification of the default model of OpenAI."""
    return KEYS[0].spec


def resolve_model(spec: Any) -> Model:
    """The model that `spec` names; models pass through, callables are wrapped. Raises `ConfigurationError`."""
    if isinstance(spec, str):
        return _named(spec.strip())
    if isinstance(spec, type):
        raise ConfigurationError(f"{spec.__name__} is a class: pass an instance of it, {spec.__name__}(...)")
    if isinstance(spec, Model):
        return spec
    if callable(spec):
        return CallableModel(spec)
    shown = printable(f"{spec!r:.60}")
    raise ConfigurationError(f"{shown} is no model ({type(spec).__name__}{_lacking(spec)}); {_expected()}")


def _lacking(spec: Any) -> str:
    """What a model of somebody's own has forgotten."""
    missing = [f"`{part}`" for part in ("name", "capabilities") if not hasattr(spec, part)]
    return f", with `stream`, but without {' and '.join(missing)}" if missing and hasattr(spec, "stream") else ""


def _named(spec: str) -> Model:
    if spec == "offline":
        from .offline import OfflineModel

        return OfflineModel()
    if re.match(r"https?://", spec):
        return _at_url(spec)
    kind, _, name = spec.partition(":")
    if kind not in _PROVIDERS and kind not in LOCAL_SERVERS:
        raise ConfigurationError(f"unknown model {_shown(spec)}; {_closest(spec)}{_expected()}")
    if not name:
        raise ConfigurationError(f"model {spec!r} names no model; write {kind}:NAME")
    if kind in LOCAL_SERVERS:
        return OpenAIModel(name, base_url=LOCAL_SERVERS[kind], label=spec)
    return AnthropicModel(name) if kind == "anthropic" else OpenAIModel(name)


_PROVIDERS = ("openai", "anthropic")


def _at_url(spec: str) -> Model:
    url, _, name = spec.partition("#")
    if not name:
        raise ConfigurationError(
            f"model {without_credentials(url)!r} names no model; write {without_credentials(url)}#NAME"
        )
    return OpenAIModel(name, base_url=url)


def _shown(spec: str) -> str:
    """A text that was meant to be something else is not printed whole."""
    return repr(spec) if len(spec) <= 60 else f"{spec[:60]!r}… (a text of {len(spec):,} characters)"


def _closest(spec: str) -> str:
    """A correction, if one is near: of the word before the colon, the rest as it was."""
    kind, colon, name = spec.partition(":")
    near = difflib.get_close_matches(kind.lower(), ["offline", *_PROVIDERS, *LOCAL_SERVERS], n=1)
    if not near:
        return f"did you mean '{_provider_of(spec)}:{spec}'? " if re.fullmatch(r"[\w.-]{1,60}", spec) else ""
    found = near[0] if near[0] == "offline" else f"{near[0]}:{name if colon and name else 'NAME'}"
    return f"did you mean {found!r}? "


def _provider_of(name: str) -> str:
    """Whose model a bare name most likely is: most often OpenAI's."""
    return "anthropic" if name.lower().startswith("claude") else "openai"


def _expected() -> str:
    return f"expected one of: {', '.join(FORMS)}"
