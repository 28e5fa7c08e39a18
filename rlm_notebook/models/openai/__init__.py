"""OpenAI's models, and those of nearly every other model server: requests out, replies in.

The protocol has two forms: `responses.py` for OpenAI's own endpoint, `chat.py` for all others. Servers
differ in what they take and say so only by refusing. So a call starts by asking for everything; what a server refuses
by name (a strict schema, a temperature) is left out, and that is remembered for its model. Nothing that comes back is
trusted to be well formed. Errors are put into words in `errors.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from ...concurrency.deadline import Deadline, Pieces, within
from ...core.json_text import json_values
from ...core.text import well_formed_value
from ...exceptions import ConfigurationError, ModelError, RLMError
from ...ports.model import FREE, BatchEndpoint, Capabilities, Reply, Request
from ..provider.errors import Endpoint
from ..provider.exchange import StreamTimeout, reply_of
from ..provider.http_clients import ClientSettings, check_url, client_for, is_loopback, without_credentials
from ..provider.rate_limit import HeaderCallback, Ticket
from ..provider.rate_limited_call import RateLimitedCall
from ..provider.reply import Written
from ..provider.settings import settings_of
from ..provider.sse import Event
from . import chat, responses
from .batch import OpenAIBatches
from .errors import model_error, rate_limit_headers, refused_part
from .request import ProviderRequest

__all__ = ["OFFICIAL_URL", "OpenAIModel", "Transport", "WireFormat"]

OFFICIAL_URL = "https://api.openai.com/v1"
DEFAULT_DEADLINE = 600.0
_NEEDS_SDK = (
    "needs the package openai, which is not installed: pip install openai. In a browser, where that cannot be "
    "installed, use `-m offline`, or a callable of your own that requests a model"
)
DUMMY_KEY = "none"  # servers without keys still want a header

WireFormat = Literal["responses", "chat"]
Transport = Literal["aiohttp", "httpx"]

#: OpenAI's models that see no images. Of other servers' models only they themselves know.
_TEXT_ALONE = re.compile(r"gpt-3\.5|gpt-4(-\d{4}|-32k.*)?$|o1-(mini|preview)|o3-mini|babbage|davinci")

# (URL, model) -> the optional parts of a request that were refused there.
_refused: dict[tuple[str, str], frozenset[str]] = {}


class _Wire(Protocol):
    """A form of the protocol; each is a module."""

    OPTIONAL: tuple[str, ...]

    def body(self, wanted: ProviderRequest) -> dict[str, Any]: ...
    def requested(self, client: Any) -> Any: ...
    def add(self, written: Written, event: Event) -> str: ...
    def add_whole(self, written: Written, body: Any, /) -> None: ...


_WIRES: dict[str, _Wire] = {"responses": responses, "chat": chat}


@dataclass(frozen=True)
class OpenAIModel:
    """A model of OpenAI, or of any server that speaks its protocol.

    `base_url` is `OPENAI_BASE_URL`, else OpenAI itself. `api_key_env` names the environment variable that holds the
    key and is read at each call: `OPENAI_API_KEY` unless a `base_url` is given, which is sent no key that was not meant
    for it. `label` is the shown name. `temperature`, `max_output_tokens` and `reasoning_effort` ("minimal", "low", ...)
    are sent only if given. `wire` is the form of the protocol, "responses" (at OpenAI itself) or "chat" (elsewhere).
    `transport` is "aiohttp" or, slower, "httpx". A stream whose text has begun and then stops for `stall_timeout`
    seconds is given up, to be tried again; what else takes too long ends with the call's deadline (600 s). `images`:
    whether the model sees images; by default only OpenAI's old models do not.
    """

    model: str
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    label: str | None = field(default=None, kw_only=True)
    max_connections: int = field(default=1000, kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    max_output_tokens: int | None = field(default=None, kw_only=True)
    reasoning_effort: str | None = field(default=None, kw_only=True)
    wire: WireFormat | None = field(default=None, kw_only=True)
    transport: Transport | None = field(default=None, kw_only=True)
    stall_timeout: float | None = field(default=60.0, kw_only=True)
    images: bool | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("OpenAIModel(''): name a model, for example OpenAIModel('gpt-5-mini')")
        if self.base_url is not None:
            check_url(self.base_url, "base_url")
        for name, known in (("wire", ("responses", "chat")), ("transport", ("aiohttp", "httpx"))):
            if (given := getattr(self, name)) not in (None, *known):
                raise ConfigurationError(f"OpenAIModel({name}={given!r}): expected {known[0]!r}, {known[1]!r} or None")

    @property
    def name(self) -> str:
        if self.label is not None:
            return self.label
        return f"openai:{self.model}" if self.base_url is None else f"{without_credentials(self.base_url)}#{self.model}"

    @property
    def capabilities(self) -> Capabilities:
        not_ready: RLMError | None = None
        try:
            self._destination()
        except RLMError as error:
            # What a call would raise before anything is sent.
            not_ready = error
        return Capabilities(
            json_schema=True,
            json_object=True,
            tools=True,
            stream=True,
            usage=True,
            images=not _TEXT_ALONE.match(self.model) if self.images is None else self.images,
            settings=settings_of(self),
            # A server on this machine costs nothing.
            price=FREE if is_loopback(self.base_url or os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL) else None,
            waits_for_rate_limit=True,
            keeps_deadline=True,
            not_ready=not_ready,
        )

    def __repr__(self) -> str:
        where = "" if self.base_url is None else f", base_url={without_credentials(self.base_url)!r}"
        return f"OpenAIModel({self.model!r}{where})"

    def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Pieces of text (only for `request.streaming`), then the reply; raises `ModelError` and nothing else."""
        deadline = DEFAULT_DEADLINE if request.deadline is None else request.deadline
        return within(deadline, partial(self._begun, request), name=self.name)

    async def _begun(self, request: Request, deadline: Deadline) -> Pieces:
        """The call, when it is its turn."""
        url, endpoint = self._destination()
        call = RateLimitedCall.at(url, self.model, endpoint, rate_limit_headers, model_error)
        timeout = StreamTimeout(self.stall_timeout, deadline)
        return self._pieces(request, url, call, await call.turn(request), timeout)

    async def _pieces(
        self, request: Request, url: str, call: RateLimitedCall, ticket: Ticket, timeout: StreamTimeout
    ) -> Pieces:
        endpoint = call.endpoint
        client = await client_for(
            ClientSettings(url, endpoint.key or DUMMY_KEY, self.max_connections, transport=self.transport)
        )
        wire = _WIRES[self.wire or ("responses" if _is_official(url) else "chat")]
        refused = _refused.get((url, self.model), frozenset())
        while True:
            # Now that the SDK is loaded and the client made, which may have taken seconds.
            on_headers = call.begin(ticket)
            wanted = self._wanted(request, url, refused)
            sent = well_formed_value(wire.body(wanted))
            made = _call(client, wire, wanted, sent, endpoint, on_headers, timeout)
            try:
                async with aclosing(call.counted(made, ticket)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Reply) and _ignores(wanted.rung, piece):
                            refused |= {wanted.of_schema(wanted.rung)}
                        yield piece
            except Exception as error:
                part = refused_part(error, sent, wire.OPTIONAL)
                part = wanted.of_schema(part) if part == "json_schema" else part
                if part is None or part in refused:
                    # The SDK's error is not chained: it may repeat the key, and says nothing more.
                    raise model_error(error, endpoint) from None
                refused |= {part}
            else:
                if refused:
                    _refused[url, self.model] = _refused.get((url, self.model), frozenset()) | refused
                return
            ticket = await call.turn(request)

    def batch_endpoint(self) -> BatchEndpoint:
        """The batch endpoint of this model's provider. Raises a fatal `ModelError` without a key or the SDK."""
        url, endpoint = self._destination()
        settings = ClientSettings(url, endpoint.key or DUMMY_KEY, self.max_connections, transport=self.transport)
        form = self.wire or ("responses" if _is_official(url) else "chat")
        path = "/v1/responses" if form == "responses" else "/v1/chat/completions"

        def wanted(request: Request) -> ProviderRequest:
            refused = _refused.get((url, self.model), frozenset())
            return self._wanted(replace(request, streaming=False), url, refused)

        return OpenAIBatches(endpoint, settings, wanted, _WIRES[form], path)

    def _destination(self) -> tuple[str, Endpoint]:
        """The URL, and what is attempted there with which key.

        Raises `ConfigurationError` for what is no URL, and a fatal `ModelError` without the SDK, or if there must be a
        key and is none.
        """
        # In a browser it is not installed.
        if find_spec("openai") is None:
            raise ModelError(f"{self.name} {_NEEDS_SDK}", fatal=True)
        url = self.base_url or check_url(os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL, "OPENAI_BASE_URL")
        variable = self.api_key_env or ("OPENAI_API_KEY" if self.base_url is None else "")
        endpoint = Endpoint(self.name, without_credentials(url), variable, os.environ.get(variable, "").strip())
        if endpoint.key or not (self.api_key_env or url.rstrip("/") == OFFICIAL_URL):
            return url, endpoint
        raise endpoint.needs_key()

    def _wanted(self, request: Request, url: str, refused: frozenset[str]) -> ProviderRequest:
        return ProviderRequest(
            self.model,
            request,
            official=_is_official(url),
            temperature=self.temperature if request.temperature is None else request.temperature,
            max_output_tokens=request.max_output_tokens or self.max_output_tokens,
            reasoning_effort=self.reasoning_effort,
            refused=refused,
        )


async def _call(
    client: Any,
    wire: _Wire,
    wanted: ProviderRequest,
    sent: dict[str, Any],
    endpoint: Endpoint,
    on_headers: HeaderCallback,
    timeout: StreamTimeout,
) -> Pieces:
    raw = await wire.requested(client)(**sent)
    on_headers(raw.headers)
    written = Written(wanted.model, wanted.answered, endpoint, {tool["name"] for tool in wanted.request.tools})
    add, add_whole = partial(wire.add, written), partial(wire.add_whole, written)
    made = reply_of(raw.http_response, written, add, add_whole, timeout, endpoint, streaming=wanted.request.streaming)
    async with aclosing(made) as pieces:
        async for piece in pieces:
            yield piece


def _is_official(url: str) -> bool:
    """OpenAI's own endpoint, or one of those for a region."""
    host, own = urlsplit(url).netloc.rpartition("@")[2], urlsplit(OFFICIAL_URL).netloc
    return host == own or host.endswith(f".{own}")


def _ignores(rung: str, reply: Reply) -> bool:
    """Whether a server took the wanted form and did not care for it: a whole answer, and no JSON anywhere in it."""
    if not rung or reply.tool_calls or reply.finish_reason != "stop" or reply.content.lstrip()[:1] in ("{", "["):
        return False
    return not any(isinstance(value, dict | list) for value in json_values(reply.content))
