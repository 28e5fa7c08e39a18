"""From what users name to a `Model`: the forms of a model's specification, and the default model of a provider."""

from __future__ import annotations

import difflib
import re
from typing import Any

from ..exceptions import ConfigurationError
from ..ports import Model
from .callable import CallableModel
from .clients import without_credentials
from .openai import OpenAIModel

__all__ = ["DEFAULT_OPENAI_MODEL", "LOCAL_SERVERS", "default_openai_model", "resolve_model"]

#: What is used when there is a key for OpenAI and no model was chosen: small, cheap, follows a schema.
DEFAULT_OPENAI_MODEL = "gpt-5-mini"

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
    *(f"{server}:NAME" for server in LOCAL_SERVERS),
    "http://HOST:PORT/v1#NAME",
    "a Model",
    "a callable (inputs, context)",
)


def default_openai_model() -> str:
    """The specification of the default model of OpenAI."""
    return f"openai:{DEFAULT_OPENAI_MODEL}"


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
    raise ConfigurationError(f"{spec!r} is no model ({type(spec).__name__}); {_expected()}")


def _named(spec: str) -> Model:
    if spec == "offline":
        from .offline import OfflineModel

        return OfflineModel()
    if re.match(r"https?://", spec):
        return _at_url(spec)
    kind, _, name = spec.partition(":")
    if kind == "anthropic":
        raise ConfigurationError(
            f"model {spec!r}: there is no adapter for Anthropic's own protocol yet; "
            "any OpenAI-compatible endpoint works, as http://HOST:PORT/v1#NAME"
        )
    if kind != "openai" and kind not in LOCAL_SERVERS:
        raise ConfigurationError(f"unknown model {_shown(spec)}; {_closest(spec)}{_expected()}")
    if not name:
        raise ConfigurationError(f"model {spec!r} names no model; write {kind}:NAME")
    return OpenAIModel(name) if kind == "openai" else OpenAIModel(name, base_url=LOCAL_SERVERS[kind], label=spec)


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
    near = difflib.get_close_matches(kind.lower(), ["offline", "openai", *LOCAL_SERVERS], n=1)
    if not near:
        # A bare name is most often that of a model of OpenAI's.
        return f"did you mean 'openai:{spec}'? " if re.fullmatch(r"[\w.-]{1,60}", spec) else ""
    found = near[0] if near[0] == "offline" else f"{near[0]}:{name if colon and name else 'NAME'}"
    return f"did you mean {found!r}? "


def _expected() -> str:
    return f"expected one of: {', '.join(FORMS)}"
