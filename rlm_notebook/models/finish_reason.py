"""How a reply ended, in the words of OpenAI's chat completions, whatever its provider calls it."""

from __future__ import annotations

from typing import Any

__all__ = ["finish_reason"]

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


def finish_reason(said: Any, *, calls: bool) -> str:
    """ "stop", "tool_calls", "length", "content_filter", or the provider's own word; "" where it said nothing.

    `calls`: whether the reply calls tools; servers disagree on what is then said.
    """
    if not isinstance(said, str) or not said.strip():
        return ""
    word = said.strip().lower()
    reason = _REASONS.get(word, word)
    if reason in ("stop", "tool_calls"):
        return "tool_calls" if calls else "stop"
    return reason
