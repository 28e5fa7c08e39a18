"""Finish reasons in the vocabulary of OpenAI's chat completions, whatever the provider calls them; what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["advice", "cut_off", "ended_early", "finish_reason"]

_KNOWN = {
    "stop": (
        *("stop", "end_turn", "stop_sequence", "end", "eos", "eos_token", "stop_token", "complete", "completed"),
        "finish_reason_stop",
    ),
    "length": (
        *("length", "max_tokens", "max_output_tokens", "max_new_tokens", "max_length", "model_length", "incomplete"),
        *("model_context_window_exceeded", "token_limit", "limit", "truncated", "finish_reason_max_tokens"),
    ),
    "content_filter": (
        *("content_filter", "content_filtered", "refusal", "safety", "recitation", "blocklist", "prohibited_content"),
        *("guardrail_intervened", "sensitive", "spii", "error_toxic", "finish_reason_safety"),
    ),
    "tool_calls": ("tool_calls", "tool_call", "tool_use", "function_call", "function_calls"),
}
_REASONS = {word: reason for reason, words in _KNOWN.items() for word in words}
#: The reasons after which a reply is incomplete: a description, and advice.
_EARLY = {
    "length": (
        "cut off at the limit of output tokens",
        "raise max_output_tokens of the model (or the limit of its server), or ask for less",
    ),
    "content_filter": ("cut off by the provider's content filter", "reword the task, or choose another model"),
    **dict.fromkeys(
        ("error", "abort", "aborted", "cancelled", "interrupted", "time_limit", "insufficient_system_resource"),
        ("cut off by the server", "run it again later"),
    ),
}


def finish_reason(given: Any, *, calls: bool) -> str:
    """ "stop", "tool_calls", "length", "content_filter", or the provider's own word; "" if it gave none.

    `calls`: whether the reply calls tools; servers disagree on the reason in that case.
    """
    if not isinstance(given, str) or not given.strip():
        return ""
    word = given.strip().lower()
    reason = _REASONS.get(word, word)
    if reason in ("stop", "tool_calls"):
        return "tool_calls" if calls else "stop"
    return reason


def ended_early(given: Any, metadata: Mapping[str, Any] | None = None) -> str:
    """The reason why a reply is incomplete, or "": its finish reason, or else that in its metadata."""
    if not metadata and (given is None or (type(given) is str and given in ("stop", ""))):
        return ""
    for each in (given, (metadata or {}).get("finish_reason")):
        if (reason := finish_reason(each, calls=False)) in _EARLY:
            return reason
    return ""


def cut_off(reason: str) -> str:
    """The description of a reason for which a reply ended early; "" for other reasons."""
    return f"{_EARLY[reason][0]} (finish_reason {reason})" if reason in _EARLY else ""


def advice(reason: str) -> str:
    """What a user can do about a reply that ended early; "" for other reasons."""
    return _EARLY[reason][1] if reason in _EARLY else ""
