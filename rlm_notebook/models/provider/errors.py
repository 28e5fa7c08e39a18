"""Errors of providers: whatever goes wrong becomes one `ModelError` with one line.

The line names what was attempted (model and address), what was wrong and what to do next. No key is ever in it: the
one that was sent and everything that looks like one is masked, and no error of an SDK is chained to it. What a provider
reports in words of its own is read in its own package.
"""

from __future__ import annotations

import email.utils
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ...core.masking import redacted
from ...core.text import well_formed
from ...core.usage import Usage
from ...exceptions import ModelError
from ...host.credentials import remember_key, without_keys
from .http_clients import is_loopback, proxy_for
from .reply import Sender, listed
from .sse import NotJSON

__all__ = [
    "FORMATS",
    "RETRYABLE",
    "SCHEMA_WORDS",
    "STREAM",
    "STREAM_WITH_SCHEMA",
    "STREAM_WITH_TOOLS",
    "Endpoint",
    "ErrorWithin",
    "Verdict",
    "cannot_be_streamed",
    "duration",
    "failed_midway",
    "failed_within",
    "headers_of",
    "is_transport",
    "not_as_agreed",
    "number",
    "one_line",
    "proxy_wants_password",
    "refused_error",
    "refused_stream",
    "require_no_error",
    "retry_after",
    "unreachable",
    "verdict_on",
]

#: What streaming is refused with: alone, or only together with tools or with a form of the reply.
STREAM = "stream"
STREAM_WITH_TOOLS = "stream with tools"
STREAM_WITH_SCHEMA = "stream with schema"
RETRYABLE = frozenset({408, 409, 425, 429})
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
#: What the two forms of the protocol call the wanted form of the reply.
FORMATS = ("response_format", "text")

_TOO_LONG = re.compile(
    r"context_length|context (length|window|size)|maximum context|prompt is too long|input is too long|too many tokens",
    re.IGNORECASE,
)
SCHEMA_WORDS = re.compile(r"response_format|json_schema|json_object|json mode|structured output|grammar|guided", re.I)
#: Streaming is meant, and not what lies upstream.
_STREAM = re.compile(r"\bstream(s|ed|ing)?\b", re.IGNORECASE)
_CANNOT = re.compile(
    r"support|cannot|can't|can not|n't allow|not allow|not permitted|not implemented|incompatible|must be verified",
    re.I,
)
_REFUSES = re.compile(
    rf"{_CANNOT.pattern}|must|disabled|unavailable|not available|enabled|invalid|unknown|unrecognized|extra|only|false",
    re.IGNORECASE,
)
_LOOKS_LIKE_A_KEY = re.compile(
    r"\b(?:sk|gsk|xai|hf)[-_][\w*-]{8,}|\bAIza[\w-]{20,}|(?<=Bearer )\S+|(?<=//)[^/@\s]+:[^/@\s]*(?=@)"
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is being attempted: which model, where, with which key."""

    name: str
    url: str
    key_env: str = ""
    key: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        remember_key(self.key)

    @property
    def free(self) -> bool:
        """A server on this machine costs nothing."""
        return is_loopback(self.url)

    def error(self, wrong: str, advice: str, **facts: Any) -> ModelError:
        """`facts` are the keywords of `ModelError`."""
        # A model without a name of its own is named by its address.
        attempted = self.name if self.url in self.name else f"{self.name} at {self.url}"
        return ModelError(f"{attempted}: {one_line(wrong, self.key)}; {advice}", **facts)

    def needs_key(self) -> ModelError:
        advice = "set it, or choose another model (offline, ollama:NAME, http://HOST/v1#NAME)"
        return ModelError(f"{self.name} needs {self.key_env}; {advice}", fatal=True)


def one_line(text: str, *secrets: str) -> str:
    """The text as one line of bounded length, the secrets and whatever looks like a key masked."""
    # A short key is a placeholder for a server without keys; masking it would only garble the text.
    text = without_keys(redacted(text, (secret for secret in secrets if len(secret) >= 8)))
    line = " ".join(_LOOKS_LIKE_A_KEY.sub("***", well_formed(text)).split())
    return line if len(line) <= 300 else line[:297] + "..."


def not_as_agreed(error: Exception) -> str:
    """What is wrong with a reply that cannot be read."""
    said = error.text or "it is empty" if isinstance(error, NotJSON) else f"{type(error).__name__}: {error}"
    return f"the reply is not what the protocol says ({said})"


def failed_within(error: ErrorWithin, endpoint: Sender, usage: Usage | None = None) -> ModelError:
    """A failure that is told in a reply."""
    return failed_midway(error.code, error.kind, error.words, endpoint, usage, midway=error.midway)


class ErrorWithin(Exception):
    """An error told in the body of a reply whose status says that all is well; gateways do that."""

    def __init__(self, told: Any, *, midway: bool) -> None:
        facts = told if isinstance(told, Mapping) else {}
        said = facts.get("message") or facts.get("detail") or facts.get("error") or facts.get("msg") or told
        self.words = said if isinstance(said, str) else json.dumps(said, default=str)
        super().__init__(self.words)
        self.code, self.kind, self.param = facts.get("code"), facts.get("type"), facts.get("param")
        self.midway = midway

    @property
    def status(self) -> int | None:
        """What would have been the status, if a gateway tells it."""
        code = str(self.code)
        return int(code) if code.isdecimal() else _STATUS_OF.get(code)


def require_no_error(body: Any, *, midway: bool, named: str = "") -> None:
    """Raises `ErrorWithin` for a body, or an event, that tells an error."""
    if not isinstance(body, Mapping):
        if named == "error":
            raise ErrorWithin(body, midway=midway)
        return
    choices = listed(body.get("choices"))
    told = body.get("error") or next((each["error"] for each in choices if each.get("error")), None)
    if told or named == "error":
        raise ErrorWithin(told or body, midway=midway)
    told = body.get("detail") or body.get("message") or body.get("errors")
    if not body.get("choices") and isinstance(told, str | list):
        raise ErrorWithin({**body, "message": told}, midway=midway)


def cannot_be_streamed(words: str) -> bool:
    """Whether a refusal is about streaming what can well be requested otherwise."""
    return bool(_STREAM.search(words) and _CANNOT.search(words))


def refused_stream(status: int, words: str, param: Any, sent: Mapping[str, Any]) -> str | None:
    """How streaming is refused, if it is: at all, or only together with tools or with a form of the reply."""
    if status in (401, 402, 407, 408, 429):
        return None
    refuses = param == STREAM or (_STREAM.search(words) and (_REFUSES if status < 500 else _CANNOT).search(words))
    if not refuses or (param and param != STREAM):
        return None
    if "tools" in sent and re.search(r"\b(tool|function)", words, re.IGNORECASE):
        return STREAM_WITH_TOOLS
    if any(form in sent for form in FORMATS) and SCHEMA_WORDS.search(words):
        return STREAM_WITH_SCHEMA
    return STREAM


def headers_of(error: Exception) -> Mapping[str, str]:
    """The headers of the reply that an error of the SDK came from, if it has one."""
    headers: Mapping[str, str] = getattr(getattr(error, "response", None), "headers", {})
    return headers


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait: `retry-after(-ms)`, else when the exhausted rate limit resets."""
    if (milliseconds := number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    if (given := headers.get("retry-after")) is not None:
        if (seconds := number(given)) is not None:
            return max(0.0, seconds)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time())
        except ValueError:
            return None
    exhausted = [kind for kind in ("requests", "tokens") if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    resets = [duration(headers.get(f"x-ratelimit-reset-{kind}", "")) for kind in exhausted]
    return max((seconds for seconds in resets if seconds is not None), default=None)


def duration(text: str) -> float | None:
    """Seconds of "6m0s", "20ms" or "1.5"."""
    parts = _DURATION.findall(text)
    return sum(float(amount) * _UNITS[unit] for amount, unit in parts) if parts else number(text)


def number(text: str | None) -> float | None:
    """The number in a header, if there is one."""
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


class Verdict(NamedTuple):
    """What a status means; "{key}" in the advice is where the key comes from."""

    wrong: str
    advice: str
    retryable: bool = False
    fatal: bool = False


_NO_ACCESS = Verdict("access refused", "check {key}", fatal=True)
_VERDICTS = {
    401: _NO_ACCESS,
    403: _NO_ACCESS,
    404: Verdict("not found", "check the model's name and the URL, which usually ends in /v1", fatal=True),
    429: Verdict("rate limited", "wait, or lower max_concurrency", retryable=True),
}
#: Codes within a reply that mean what a status means.
_STATUS_OF = {"rate_limit_exceeded": 429, "invalid_prompt": 400}
_QUOTA_SPENT = Verdict("the account's quota is spent", "add credit or change the plan", fatal=True)
_PROMPT_TOO_LONG = Verdict("the prompt is too long", "split the task or pass less context")
_SERVER_FAILED = Verdict("the server failed", "try again later", retryable=True)
_REFUSED = Verdict("the request was refused", "change the option that it names")


def verdict_on(status: int, codes: set[str | None], words: str) -> Verdict:
    """What a refusal means, by its status, the codes in it and its words."""
    if status == 402 or codes & QUOTA_CODES:
        return _QUOTA_SPENT
    if status == 413 or (status in (400, 422) and ("context_length_exceeded" in codes or _TOO_LONG.search(words))):
        return _PROMPT_TOO_LONG
    if status in _VERDICTS:
        return _VERDICTS[status]
    return _SERVER_FAILED if status >= 500 or status in RETRYABLE else _REFUSED


def refused_error(
    status: int,
    codes: set[str | None],
    words: str,
    endpoint: Endpoint,
    *,
    headers: Mapping[str, str] | None = None,
    midway: bool = False,
    of_many: bool = False,
) -> ModelError:
    """A refusal, by its status, the codes in it, its words and its headers.

    `midway`: it came after the beginning of the reply. `of_many`: of one request of a batch, of which others may well
    succeed.
    """
    verdict = verdict_on(status, codes, words)
    key = f"the key in {endpoint.key_env}" if endpoint.key_env else "its key (name its variable with api_key_env)"
    wrong = f"{verdict.wrong} while it was writing" if midway else verdict.wrong
    return endpoint.error(
        f"{wrong} ({status}: {words})",
        verdict.advice.format(key=key),
        status=status,
        retryable=verdict.retryable,
        fatal=verdict.fatal and not of_many,
        retry_after=retry_after(headers) if verdict.retryable and headers is not None else None,
    )


def failed_midway(
    code: Any, kind: Any, words: str, endpoint: Sender, usage: Usage | None = None, *, midway: bool = True
) -> ModelError:
    """A failure told within a reply; some gateways put the status of the provider behind them into `code`."""
    status = int(code) if str(code).isdecimal() else _STATUS_OF.get(str(code))
    quota = bool({code, kind} & QUOTA_CODES)
    retryable = not quota and (status is None or status >= 500 or status in RETRYABLE)
    wrong = f"the server failed while it was writing ({words})" if midway else f"the server tells an error ({words})"
    advice = "try again later" if retryable else "change what it names"
    return endpoint.error(wrong, advice, status=status, retryable=retryable, fatal=quota, usage=usage)


def is_transport(error: Exception) -> bool:
    """Whether an error comes from below the SDK."""
    return type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "anyio")


def unreachable(error: Exception, endpoint: Endpoint) -> ModelError:
    """A connection that was not made or did not hold, by what lies beneath the transport's own error."""
    causes = list(_causes(error))
    # The transports wrap what happened in names of their own, which differ and mislead; what is beneath does not.
    if tls := _first(causes, ssl.SSLError):
        return endpoint.error(f"no secure connection ({tls})", "check the URL's scheme and the certificate")
    if (proxy := proxy_for(endpoint.url)) is not None:
        return _proxy_failed(causes, *proxy, endpoint)
    if unknown := _first(causes, socket.gaierror):
        wrong = "cannot reach it, its name does not resolve"
        return endpoint.error(wrong, "check the URL and the network", retryable=_may_resolve_later(unknown))
    if _first(causes, ConnectionRefusedError):
        return endpoint.error("cannot reach it, connection refused", "is the server running?", retryable=True)
    if _first(causes, TimeoutError):
        return endpoint.error("cannot reach it, no connection in time", "is the server running?", retryable=True)
    if _never_connected(causes):
        return endpoint.error("cannot reach it, the connection failed", "check the URL and its scheme", retryable=True)
    return endpoint.error("the connection broke before the reply was complete", "try again", retryable=True)


def _proxy_failed(causes: Sequence[BaseException], proxy: str, variable: str, endpoint: Endpoint) -> ModelError:
    """With a proxy in between, what cannot be reached is most often the proxy."""
    refusal = next((cause for cause in causes if "Proxy" in type(cause).__name__), None)
    status = _STATUS.search(str(refusal)) if refusal is not None else None
    if status is not None and status[0] == "407":
        return proxy_wants_password(proxy, variable, endpoint)
    without = f"add {urlsplit(endpoint.url).hostname} to NO_PROXY if it needs none"
    if status is not None:
        wrong = f"the proxy {proxy} refused to connect ({status[0]})"
        return endpoint.error(wrong, f"ask whoever runs it, or {without}", retryable=status[0] >= "500")
    unknown = _first(causes, socket.gaierror)
    if unknown or _first(causes, ConnectionRefusedError, TimeoutError) or _never_connected(causes):
        advice = f"check {variable}, or {without}"
        retryable = unknown is None or _may_resolve_later(unknown)
        return endpoint.error(f"cannot reach the proxy {proxy}", advice, retryable=retryable)
    wrong = f"the connection through the proxy {proxy} broke before the reply was complete"
    return endpoint.error(wrong, "try again", retryable=True)


def proxy_wants_password(proxy: str, variable: str, endpoint: Endpoint) -> ModelError:
    advice = f"write them into {variable}, as http://USER:PASSWORD@HOST:PORT"
    return endpoint.error(f"the proxy {proxy} wants a user and a password", advice, status=407, fatal=True)


_STATUS = re.compile(r"\b[45]\d\d\b")


def _first(causes: Sequence[BaseException], *kinds: type[BaseException]) -> BaseException | None:
    return next((cause for cause in causes if isinstance(cause, kinds)), None)


def _may_resolve_later(unknown: BaseException) -> bool:
    """'Try again' is what a resolver says while the network is down; anything else is a wrong name."""
    return getattr(unknown, "errno", None) == socket.EAI_AGAIN


def _never_connected(causes: Sequence[BaseException]) -> bool:
    return any(type(cause).__name__ in ("ConnectError", "ClientConnectorError") for cause in causes)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and everything beneath it: transports wrap the reason several layers deep."""
    if error is None:
        return
    yield error
    for member in getattr(error, "exceptions", ()):
        yield from _causes(member)
    if isinstance(inner := getattr(error, "os_error", None), OSError):
        yield inner
    yield from _causes(error.__cause__ or error.__context__)
