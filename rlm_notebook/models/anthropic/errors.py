"""The border to Anthropic's servers: whatever goes wrong there becomes one `ModelError` with one line.

The same taxonomy, verdicts and care for keys as in `openai/errors.py`; here is only what Anthropic says in words of
its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...core.keys import digest
from ...exceptions import ModelError
from ..provider.errors import (
    Endpoint,
    ErrorWithin,
    is_transport,
    not_as_agreed,
    number,
    refused_error,
    refused_stream,
    unreachable,
)
from ..provider.rate_limit import RateLimitHeaders

__all__ = ["model_error", "rate_limit_headers", "refused"]

#: What an error is that comes within a stream, whose own status is 200.
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_NO_CREDIT = re.compile(r"credit balance|billing", re.IGNORECASE)
_AT_MOST = re.compile(r"max_tokens: \d+ > (\d+)")


def model_error(error: Exception, endpoint: Endpoint) -> ModelError:
    """What the SDK, its transport or the server's reply raised, as an error of this package."""
    import anthropic

    if isinstance(error, ModelError):
        return error
    if isinstance(error, anthropic.APIStatusError):
        response, told = error.response, error.body.get("error") if isinstance(error.body, dict) else None
        kind = str(told.get("type", "")) if isinstance(told, dict) else ""
        return _told(response.status_code, kind, _words(error), response.headers, endpoint, midway=False)
    if isinstance(error, anthropic.APIConnectionError) or is_transport(error):
        return unreachable(error, endpoint)
    if isinstance(error, ErrorWithin):
        kind = str(error.kind or "")
        return _told(_STATUS.get(kind, error.status or 500), kind, error.words, {}, endpoint, midway=error.midway)
    return endpoint.error(
        not_as_agreed(error), "is this a server that speaks Anthropic's Messages API?", retryable=True
    )


def refused(error: Exception, body: Mapping[str, Any]) -> dict[str, int] | None:
    """What the error says of this model that the next attempt can heed: a part it does not take, a lower limit."""
    import anthropic

    if isinstance(error, ErrorWithin):
        status, words = _STATUS.get(str(error.kind or ""), error.status or 400), error.words
    elif isinstance(error, anthropic.APIStatusError):
        status, words = error.response.status_code, _words(error)
    else:
        return None
    part = _refused_part(words, body) if status in (400, 422) else None
    if part is None and body["stream"] and (stream := refused_stream(status, words, None, body)) is not None:
        return {stream: 0}
    return part


def _refused_part(words: str, body: Mapping[str, Any]) -> dict[str, int] | None:
    if limit := _AT_MOST.search(words):
        return {"max_tokens": int(limit[1])}
    if "tool_choice" in body and "tool_choice" in words:
        # A model that thinks cannot be made to call a tool.
        return {"tool_choice": 0}
    if "output_config" in body and re.search(r"output_config|output_format|json_schema|schema", words):
        return {f"output_config {digest(body['output_config']['format']['schema'])}": 0}
    if "tool_choice" in body and "schema" in words:
        return {f"tool_choice {digest(body['tools'][0]['input_schema'])}": 0}
    if "temperature" in body and "temperature" in words:
        return {"temperature": 0}
    if "tools" in body and "thinking" not in body and "thinking" in words:
        # What a model thought before it called a tool is not kept, so it has to do without.
        return {"thinking": 0}
    return None


def rate_limit_headers(headers: Mapping[str, str]) -> dict[str, RateLimitHeaders]:
    """What the `anthropic-ratelimit-*` headers say, by "requests" and "tokens"; only where they say all of it.

    All of Anthropic's limits are a minute's, and come back steadily. When they are back is told in whole seconds, by
    its own clock: a minute's share is nearer.
    """
    said = {}
    for kind in ("requests", "tokens"):
        limit, remaining = (
            number(headers.get(f"anthropic-ratelimit-{kind}-{name}")) for name in ("limit", "remaining")
        )
        if limit and remaining is not None:
            said[kind] = RateLimitHeaders(limit, remaining, 60 * (limit - remaining) / limit)
    return said


def _words(error: Any) -> str:
    """What the server said, without the SDK's frame around it."""
    inner = error.body.get("error") if isinstance(error.body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else error.body if isinstance(error.body, str) else None
    return str(said or error.message)


def _told(
    status: int, kind: str, words: str, headers: Mapping[str, str], endpoint: Endpoint, *, midway: bool
) -> ModelError:
    # Anthropic has no code of its own for that.
    spent = status in (400, 403) and _NO_CREDIT.search(words) is not None
    return refused_error(
        status, {"insufficient_quota" if spent else kind}, words, endpoint, headers=headers, midway=midway
    )
