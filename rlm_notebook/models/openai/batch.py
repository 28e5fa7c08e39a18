"""OpenAI's batch endpoint: many requests as a file, answered within a day for half the price."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ...ports.model import Reply, Request
from ..provider.batch import asked, field_of, item_error
from ..provider.errors import Endpoint
from ..provider.http_clients import ClientSettings
from ..provider.reply import Written
from .errors import model_error
from .request import ProviderRequest

__all__ = ["OpenAIBatches"]

T = TypeVar("T")
#: The name under which a batch says whose it is.
MARK = "rlm_notebook"
PAGES = 10
_ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class OpenAIBatches:
    """The batches of one model. `wanted` makes the request of a call, `wire` its body and the reply."""

    endpoint: Endpoint
    settings: ClientSettings
    wanted: Callable[[Request], ProviderRequest]
    wire: Any
    path: str

    @property
    def url(self) -> str:
        return self.endpoint.url

    def body(self, request: Request) -> dict[str, Any]:
        sent: dict[str, Any] = self.wire.body(self.wanted(request))
        return sent

    async def create(self, key: str, bodies: Mapping[str, dict[str, Any]]) -> str:
        lines = (
            json.dumps({"custom_id": each, "method": "POST", "url": self.path, "body": body}, ensure_ascii=False)
            for each, body in bodies.items()
        )
        content = ("\n".join(lines) + "\n").encode()

        async def made(client: Any) -> str:
            file = await client.files.create(file=(f"{key}.jsonl", content), purpose="batch")
            batch = await client.batches.create(
                input_file_id=field_of(file, "id"),
                endpoint=self.path,
                completion_window="24h",
                metadata={MARK: key},
            )
            return str(field_of(batch, "id"))

        return await self._asked(made)

    async def find(self, key: str, after: float, count: int) -> str | None:
        async def found(client: Any) -> str | None:
            page = await client.batches.list(limit=100)
            for _ in range(PAGES):
                for batch in page.data:
                    if (field_of(batch, "metadata") or {}).get(MARK) == key:
                        return str(field_of(batch, "id"))
                if not page.data or not page.has_next_page():
                    break
                page = await page.get_next_page()
            return None

        return await self._asked(found)

    async def ended(self, batch: str) -> bool:
        state = await self._asked(lambda client: client.batches.retrieve(batch))
        return field_of(state, "status") in _ENDED

    async def results(self, batch: str) -> AsyncIterator[tuple[str, Any]]:
        state = await self._asked(lambda client: client.batches.retrieve(batch))
        for name in ("output_file_id", "error_file_id"):
            if file := field_of(state, name):
                content = await self._asked(partial(_content_of, file=file))
                for line in content.text.splitlines():
                    if line.strip():
                        result = json.loads(line)
                        yield str(result.get("custom_id")), result
        told = field_of(field_of(state, "errors"), "data") or ()
        if reason := "; ".join(str(field_of(each, "message")) for each in told):
            yield "", reason

    def reply(self, request: Request, result: Any) -> Reply:
        response = result.get("response") or {}
        status, body = response.get("status_code"), response.get("body")
        if result.get("error") or status != 200:
            raise item_error(status if isinstance(status, int) else 500, result.get("error") or body, self.endpoint)
        wanted = self.wanted(request)
        written = Written(wanted.model, wanted.answered, self.endpoint, {tool["name"] for tool in request.tools})
        self.wire.add_whole(written, body)
        return written.reply()

    async def _asked(self, ask: Callable[[Any], Awaitable[T]]) -> T:
        return await asked(self.settings, ask, lambda error: model_error(error, self.endpoint))


def _content_of(client: Any, file: str) -> Any:
    return client.files.content(file)
