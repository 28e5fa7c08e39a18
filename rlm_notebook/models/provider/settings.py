"""What of a provider's model enters its requests beside its name."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

__all__ = ["settings_of"]

#: How a model is reached, waited for and shown; all other fields are taken to be sent.
_NOT_SENT = frozenset(
    {"model", "base_url", "api_key_env", "label", "max_connections", "wire", "transport", "stall_timeout", "images"}
)


def settings_of(model: Any) -> dict[str, Any]:
    """The fields that are sent and are not at their default; and the model's own name where a label hides it."""
    sent = [each for each in fields(model) if each.init and each.name not in _NOT_SENT]
    found = {each.name: getattr(model, each.name) for each in sent if getattr(model, each.name) != each.default}
    hidden = model.label is not None and not model.label.endswith(f":{model.model}")
    return {**found, "model": model.model} if hidden else found
