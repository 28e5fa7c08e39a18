"""Embeddings of OpenAI, and of servers that speak its protocol: texts out, vectors in."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ..exceptions import ConfigurationError
from .openai import DUMMY_KEY, OFFICIAL_URL
from .openai.errors import model_error
from .provider.errors import Endpoint
from .provider.http_clients import ClientSettings, check_url, client_for, without_credentials

__all__ = ["openai_embeddings"]

#: As many as a model has by default: at the same address, both share a client.
MAX_CONNECTIONS = 1000


def openai_embeddings(name: str, *, base_url: str | None = None) -> Callable[[str], Awaitable[list[float]]]:
    """An async function from a text to its vector, as the model `name` gives it; for `Similar(model, embed)`.

    `base_url` is `OPENAI_BASE_URL`, else OpenAI itself, each with the key in `OPENAI_API_KEY`, read at each call; a
    server given here is sent no key. Raises `ConfigurationError` for what is no name or no URL; a call raises
    `ModelError`.
    """
    if not name:
        raise ConfigurationError("openai_embeddings(''): name a model, for example 'text-embedding-3-small'")
    if base_url is not None:
        check_url(base_url, "base_url")
    return _Embeddings(name, base_url)


@dataclass(frozen=True)
class _Embeddings:
    name: str
    # It may hold a password.
    base_url: str | None = field(repr=False)

    async def __call__(self, text: str) -> list[float]:
        url = self.base_url or check_url(os.environ.get("OPENAI_BASE_URL") or OFFICIAL_URL, "OPENAI_BASE_URL")
        key = os.environ.get("OPENAI_API_KEY", "").strip() if self.base_url is None else ""
        endpoint = Endpoint(f"embeddings of {self.name}", without_credentials(url), "OPENAI_API_KEY", key)
        if not key and url.rstrip("/") == OFFICIAL_URL:
            raise endpoint.needs_key()
        client = await client_for(ClientSettings(url, key or DUMMY_KEY, MAX_CONNECTIONS))
        try:
            # As numbers: not every server writes them in base64, which the SDK would ask for.
            made = await client.embeddings.create(model=self.name, input=text, encoding_format="float")
            return [float(number) for number in made.data[0].embedding]
        except Exception as error:
            # The SDK's error is not chained: it may repeat the key, and says nothing more.
            raise model_error(error, endpoint) from None
