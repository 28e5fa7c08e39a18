"""Errors of OpenAI's kind of server: what the SDK raises and what replies report, as one `ModelError` with one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...exceptions import ModelError
from ..provider.errors import (
    FORMATS,
    SCHEMA_WORDS,
    Endpoint,
    ErrorWithin,
    cannot_be_streamed,
    duration,
    failed_within,
    is_transport,
    not_as_agreed,
    number,
    proxy_wants_password,
    refused_error,
    refused_stream,
    unreachable,
)
from ..provider.http_clients import proxy_for
from ..provider.rate_limit import RateLimitHeaders
from .request import TOOLS_WITH_REASONING

if TYPE_CHECKING:
    from openai import APIStatusError

__all__ = ["model_error", "rate_limit_headers", "refused_part"]


def model_error(error: Exception, endpoint: Endpoint) -> ModelError:
    """What the SDK, its transport or the server's reply raised, as an error of this package."""
    import openai

    if isinstance(error, ModelError):
        return error
    if isinstance(error, openai.APIStatusError):
        return _refused(error, endpoint)
    if isinstance(error, openai.APIConnectionError) or is_transport(error):
        return unreachable(error, endpoint)
    if isinstance(error, ErrorWithin):
        return failed_within(error, endpoint)
    return endpoint.error(not_as_agreed(error), "is this an OpenAI-compatible server?", retryable=True)


def refused_part(error: Exception, sent: Mapping[str, Any], optional: Sequence[str]) -> str | None:
    """Which of the optional parts of the request the server does not take, if that is what the error says.

    For a reply format it is the form that was sent, "json_schema" or "json_object".
    """
    import openai

    if isinstance(error, ErrorWithin):
        status, words, param = error.status or 400, error.words, error.param
    elif isinstance(error, openai.APIStatusError):
        status, words, param = error.status_code, _words(error), error.param
    else:
        return None
    part = None
    if status in (400, 422):
        part = _refused_option(words, param, sent, optional)
    return part or (refused_stream(status, words, param, sent) if sent.get("stream") else None)


def _refused_option(words: str, param: Any, sent: Mapping[str, Any], optional: Sequence[str]) -> str | None:
    if sent.get("stream") and cannot_be_streamed(words):
        # What cannot be streamed need not be left out.
        return None
    thinks_with_tools = "messages" in sent and "tools" in sent and sent.get("reasoning_effort") != "none"
    if thinks_with_tools and "reasoning_effort" in words:
        # Current reasoning models take tools in chat completions only with reasoning off, and think by default.
        return TOOLS_WITH_REASONING
    for part in (each for each in optional if each in sent):
        is_format = part in FORMATS
        if param:
            complains = param.partition(".")[0] == part
        else:
            complains = SCHEMA_WORDS.search(words) is not None if is_format else part in words
        if complains:
            return str(sent[part].get("format", sent[part])["type"]) if is_format else part
    return None


def rate_limit_headers(headers: Mapping[str, str]) -> dict[str, RateLimitHeaders]:
    """What the `x-ratelimit-*` headers say, by "requests" and "tokens"; only where they say all of it."""
    said = {}
    for kind in ("requests", "tokens"):
        limit, remaining = (number(headers.get(f"x-ratelimit-{name}-{kind}")) for name in ("limit", "remaining"))
        reset = duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
        if limit is not None and remaining is not None and reset is not None:
            said[kind] = RateLimitHeaders(limit, remaining, reset)
    return said


def _words(error: Any) -> str:
    """What the server said, without the SDK's frame around it."""
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    return str(said or error.message)


def _refused(error: APIStatusError, endpoint: Endpoint) -> ModelError:
    status, words = error.status_code, _words(error)
    if status == 407 and (proxy := proxy_for(endpoint.url)) is not None:
        return proxy_wants_password(*proxy, endpoint)
    return refused_error(status, {error.code, error.type}, words, endpoint, headers=error.response.headers)
