"""Anthropic's Messages API: a model that answers through it, and how its replies are read. Needs the extra `anthropic`.

Models differ in what they take and say so by refusing; what is refused by name is left out, and remembered for that
model. Nothing that comes back is trusted to be well formed. What is sent is made in `request.py`, errors are
put into words in `errors.py`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

from ...concurrency.deadline import Deadline, Pieces, within
from ...core.text import well_formed_value
from ...exceptions import ConfigurationError, ModelError, RLMError
from ...host.installation import install_command
from ...ports.model import FREE, BatchEndpoint, Capabilities, Reply, Request
from ..provider.errors import Endpoint
from ..provider.exchange import StreamTimeout, reply_of
from ..provider.http_clients import ClientSettings, check_url, client_for, is_loopback, without_credentials
from ..provider.rate_limit import HeaderCallback, Ticket
from ..provider.rate_limited_call import RateLimitedCall
from ..provider.settings import settings_of
from .batch import AnthropicBatches
from .errors import model_error, rate_limit_headers, refused
from .reply import MessageWritten
from .request import arguments_for, body_of

__all__ = ["OFFICIAL_URL", "AnthropicModel", "arguments_for"]

OFFICIAL_URL = "https://api.anthropic.com"
DEFAULT_DEADLINE = 600.0
DUMMY_KEY = "none"  # servers without keys still want a header
#: The API wants a limit; every current model can write as much.
OUTPUT_TOKENS = 8_192
_NEEDS_SDK = "needs the package anthropic; {}"

# (URL, model) -> what it was found not to take, and the most output tokens that it grants.
_learned: dict[tuple[str, str], dict[str, int]] = {}


@dataclass(frozen=True)
class AnthropicModel:
    """A model of Anthropic, or of any server that speaks its Messages API.

    `base_url` is `ANTHROPIC_BASE_URL`, else Anthropic itself. `api_key_env` names the environment variable that holds
    the key and is read at each call: `ANTHROPIC_API_KEY` unless a `base_url` is given, which is sent no key that was
    not meant for it. `label` is the shown name. `temperature` is sent only if given, and no more once a model refused
    it. A stream whose text has begun and then stops for `stall_timeout` seconds is given up, to be tried again.
    The SDK is needed by calls alone: a recorded run is replayed without it.
    """

    model: str
    base_url: str | None = field(default=None, kw_only=True)
    api_key_env: str | None = field(default=None, kw_only=True)
    label: str | None = field(default=None, kw_only=True)
    max_connections: int = field(default=1000, kw_only=True)
    temperature: float | None = field(default=None, kw_only=True)
    max_output_tokens: int = field(default=OUTPUT_TOKENS, kw_only=True)
    stall_timeout: float | None = field(default=60.0, kw_only=True)

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("AnthropicModel(''): name a model, for example AnthropicModel('claude-haiku-4-5')")
        if self.base_url is not None:
            check_url(self.base_url, "base_url")

    @property
    def name(self) -> str:
        if self.label is not None:
            return self.label
        return f"anthropic:{self.model}"

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
            images=not self.model.startswith(("claude-2", "claude-instant")),
            stream=True,
            usage=True,
            settings=settings_of(self),
            # A server on this machine costs nothing.
            price=FREE if is_loopback(self.base_url or os.environ.get("ANTHROPIC_BASE_URL") or OFFICIAL_URL) else None,
            waits_for_rate_limit=True,
            keeps_deadline=True,
            not_ready=not_ready,
        )

    def __repr__(self) -> str:
        where = "" if self.base_url is None else f", base_url={without_credentials(self.base_url)!r}"
        return f"AnthropicModel({self.model!r}{where})"

    def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        """Pieces of text (only for `request.streaming`), then the reply; raises `ModelError` and nothing else."""
        deadline = DEFAULT_DEADLINE if request.deadline is None else request.deadline
        return within(deadline, partial(self._begun, request), name=self.name)

    async def _begun(self, request: Request, deadline: Deadline) -> Pieces:
        """The call, when it is its turn."""
        url, endpoint = self._destination()
        if find_spec("anthropic") is None:
            raise ModelError(f"{self.name} {_NEEDS_SDK.format(install_command('anthropic'))}", fatal=True)
        call = RateLimitedCall.at(url, self.model, endpoint, rate_limit_headers, model_error)
        timeout = StreamTimeout(self.stall_timeout, deadline)
        return self._pieces(request, url, call, await call.turn(request), timeout)

    async def _pieces(
        self, request: Request, url: str, call: RateLimitedCall, ticket: Ticket, timeout: StreamTimeout
    ) -> Pieces:
        endpoint = call.endpoint
        client = await client_for(ClientSettings(url, endpoint.key or DUMMY_KEY, self.max_connections, sdk="anthropic"))
        known = _learned.get((url, self.model), {})
        while True:
            on_headers = call.begin(ticket)
            body = well_formed_value(body_of(request, known, self.model, self.max_output_tokens, self.temperature))
            made = _call(client, body, request, endpoint, on_headers, timeout)
            try:
                async with aclosing(call.counted(made, ticket)) as pieces:
                    async for piece in pieces:
                        yield piece
            except Exception as error:
                learned = refused(error, body)
                if learned is None or learned.items() <= known.items():
                    # The SDK's error is not chained: it may repeat the key, and says nothing more.
                    raise model_error(error, endpoint) from None
                known = {**known, **learned}
            else:
                if known:
                    _learned[url, self.model] = {**_learned.get((url, self.model), {}), **known}
                return
            ticket = await call.turn(request)

    def batch_endpoint(self) -> BatchEndpoint:
        """The batch endpoint of this model's provider. Raises a fatal `ModelError` without a key or the SDK."""
        url, endpoint = self._destination()
        if find_spec("anthropic") is None:
            raise ModelError(f"{self.name} {_NEEDS_SDK.format(install_command('anthropic'))}", fatal=True)

        def body(request: Request) -> dict[str, Any]:
            known = _learned.get((url, self.model), {})
            plain = replace(request, streaming=False)
            made: dict[str, Any] = well_formed_value(
                body_of(plain, known, self.model, self.max_output_tokens, self.temperature)
            )
            return made

        settings = ClientSettings(url, endpoint.key or DUMMY_KEY, self.max_connections, sdk="anthropic")
        return AnthropicBatches(endpoint, settings, body)

    def _destination(self) -> tuple[str, Endpoint]:
        """The URL, and what is attempted there with which key.

        Raises `ConfigurationError` for what is no URL, and a fatal `ModelError` if there must be a key and is none.
        """
        url = self.base_url or check_url(os.environ.get("ANTHROPIC_BASE_URL") or OFFICIAL_URL, "ANTHROPIC_BASE_URL")
        variable = self.api_key_env or ("ANTHROPIC_API_KEY" if self.base_url is None else "")
        endpoint = Endpoint(self.name, without_credentials(url), variable, os.environ.get(variable, "").strip())
        if endpoint.key or not (self.api_key_env or url.rstrip("/") == OFFICIAL_URL):
            return url, endpoint
        raise endpoint.needs_key()


# -- what comes back ---------------------------------------------------------------------------------------------


async def _call(
    client: Any,
    body: dict[str, Any],
    request: Request,
    endpoint: Endpoint,
    on_headers: HeaderCallback,
    timeout: StreamTimeout,
) -> Pieces:
    required = {name: body[name] for name in ("model", "max_tokens", "messages", "stream")}
    # The rest goes beside the SDK's own arguments: which ones it has changes with its version.
    rest = {name: value for name, value in body.items() if name not in required}
    raw = await client.messages.with_raw_response.create(**required, extra_body=rest)
    on_headers(raw.headers)
    written = MessageWritten.of(body, endpoint)
    add, whole = written.add, written.add_whole
    made = reply_of(raw.http_response, written, add, whole, timeout, endpoint, streaming=request.streaming)
    async with aclosing(made) as pieces:
        async for piece in pieces:
            yield piece
