"""The table of providers, and from what users name to a `Model`.

A provider is one row here: specs, keys, addresses, extras, the default model, completion, `%rlm models` and
`%rlm doctor` derive from it. The row names the class of its models, which is imported for the first of them: who reads
the table needs no adapter. Nothing here sends a request: what answers on this machine is found in `discovery.py`.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..core.text import printable
from ..exceptions import ConfigurationError
from ..ports.model import Model
from .provider.http_clients import without_credentials

__all__ = [
    "FORMS",
    "HOSTED",
    "LOCAL_SERVERS",
    "PROVIDERS",
    "Provider",
    "default_model",
    "default_openai_model",
    "resolve_model",
]


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, hosted or on this machine.

    `name` begins its specs ("openai:NAME") and is its name in the price table; `model_class` is the place of the class
    of its models, "MODULE:CLASS" in this package. A hosted one has a key, in the environment variable `key_env`, and
    needs `package`, which the extra of the same name installs; `url_env` is the variable that redirects its calls,
    `default` the model that is used when the key is set and none was chosen, and `family` how the names of its models
    begin, where they tell. A local one speaks chat completions at `local_url`, unless it is configured otherwise, and
    `detected` says that no other kind of server is usual there.
    """

    name: str
    model_class: str
    key_env: str = ""
    url_env: str = ""
    package: str = ""
    default: str = ""
    family: str = ""
    local_url: str = ""
    detected: bool = False

    def make(self, model: str) -> Model:
        """The model of this name, which is the provider's own."""
        module, _, name = self.model_class.partition(":")
        model_class: Callable[..., Model] = getattr(import_module(f".{module}", __package__), name)
        if self.local_url:
            return model_class(model, base_url=self.local_url, label=f"{self.name}:{model}")
        return model_class(model)

    @property
    def spec(self) -> str:
        """The specification of its default model."""
        return f"{self.name}:{self.default or 'NAME'}"

    @property
    def is_set(self) -> bool:
        """Whether its key is."""
        return bool(os.environ.get(self.key_env, "").strip())

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None


_OPENAI = "openai:OpenAIModel"
#: By name. Of the hosted ones, the first whose key is set and whose package is installed is the default; their default
#: models are small, cheap, and follow a schema.
PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("openai", _OPENAI, "OPENAI_API_KEY", "OPENAI_BASE_URL", "openai", "gpt-5-mini"),
        Provider(
            "anthropic",
            "anthropic:AnthropicModel",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_BASE_URL",
            "anthropic",
            "claude-haiku-4-5",
            family="claude",
        ),
        Provider("ollama", _OPENAI, local_url="http://127.0.0.1:11434/v1", detected=True),
        Provider("lmstudio", _OPENAI, local_url="http://127.0.0.1:1234/v1", detected=True),
        Provider("llamacpp", _OPENAI, local_url="http://127.0.0.1:8080/v1", detected=True),
        # It shares its port with too many others to be looked for.
        Provider("vllm", _OPENAI, local_url="http://127.0.0.1:8000/v1"),
    )
}
HOSTED = tuple(provider for provider in PROVIDERS.values() if provider.key_env)
LOCAL_SERVERS = {provider.name: provider.local_url for provider in PROVIDERS.values() if provider.local_url}

FORMS = (
    "offline",
    *(f"{name}:NAME" for name in PROVIDERS),
    "http://HOST:PORT/v1#NAME",
    "a Model",
    "a callable (inputs, context)",
)
_EXPECTED = f"expected one of: {', '.join(FORMS)}"


def default_model() -> Provider | None:
    """The first provider whose key is set and whose package is installed."""
    return next((provider for provider in HOSTED if provider.is_set and provider.is_installed), None)


def default_openai_model() -> str:
    """The specification of the default model of OpenAI."""
    return PROVIDERS["openai"].spec


def resolve_model(spec: Any) -> Model:
    """The model that `spec` names; models pass through, callables are wrapped. Raises `ConfigurationError`."""
    if isinstance(spec, str):
        return _named(spec.strip())
    if isinstance(spec, type):
        raise ConfigurationError(f"{spec.__name__} is a class: pass an instance of it, {spec.__name__}(...)")
    if isinstance(spec, Model):
        return spec
    if callable(spec):
        from .callable import CallableModel

        return CallableModel(spec)
    shown, kind = printable(f"{spec!r:.60}"), type(spec).__name__
    if inspect.iscoroutine(spec):
        raise ConfigurationError(
            f"{shown} is no model but a coroutine, which is one call of an async function; pass the function itself, "
            "without (...)"
        )
    missing = [f"`{part}`" for part in ("name", "capabilities") if not hasattr(spec, part)]
    if missing and hasattr(spec, "stream"):
        # What a model of somebody's own has forgotten.
        kind += f", with `stream`, but without {' and '.join(missing)}"
    raise ConfigurationError(f"{shown} is no model ({kind}); {_EXPECTED}")


def _named(spec: str) -> Model:
    if spec == "offline":
        from .offline import OfflineModel

        return OfflineModel()
    if re.match(r"https?://", spec):
        url, _, name = spec.partition("#")
        if not name:
            shown = without_credentials(url)
            raise ConfigurationError(f"model {shown!r} names no model; write {shown}#NAME")
        from .openai import OpenAIModel

        return OpenAIModel(name, base_url=url)
    kind, _, name = spec.partition(":")
    if kind not in PROVIDERS:
        # A text that was meant to be something else is not printed whole.
        shown = repr(spec) if len(spec) <= 60 else f"{spec[:60]!r}… (a text of {len(spec):,} characters)"
        raise ConfigurationError(f"unknown model {shown}; {_closest(spec)}{_EXPECTED}")
    if not name:
        raise ConfigurationError(f"model {spec!r} names no model; write {kind}:NAME")
    return PROVIDERS[kind].make(name)


def _closest(spec: str) -> str:
    """A correction, if one is near: of the word before the colon, the rest as it was."""
    kind, colon, name = spec.partition(":")
    near = difflib.get_close_matches(kind.lower(), ["offline", *PROVIDERS], n=1)
    if not near:
        # Whose model a bare name most likely is: most often OpenAI's.
        families = (each.name for each in HOSTED if each.family and spec.lower().startswith(each.family))
        return f"did you mean '{next(families, 'openai')}:{spec}'? " if re.fullmatch(r"[\w.-]{1,60}", spec) else ""
    found = near[0] if near[0] == "offline" else f"{near[0]}:{name if colon and name else 'NAME'}"
    return f"did you mean {found!r}? "
