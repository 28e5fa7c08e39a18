"""What the batch endpoints of providers share: the result of one request, and the words for what went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from ...exceptions import ModelError
from .errors import Endpoint, refused_error
from .http_clients import ClientSettings, client_for

__all__ = ["asked", "field_of", "item_error", "moment"]

T = TypeVar("T")


async def asked(
    settings: ClientSettings, ask: Callable[[Any], Awaitable[T]], error_of: Callable[[Exception], ModelError]
) -> T:
    """What `ask(client)` gives. Raises `ModelError`, which `error_of` makes of what the SDK raises."""
    try:
        return await ask(await client_for(settings))
    except ModelError:
        raise
    except Exception as error:
        # The SDK's error is not chained: it may repeat the key, and says nothing more.
        raise error_of(error) from None


def item_error(status: int, error: Any, endpoint: Endpoint) -> ModelError:
    """The error of one request of a batch, from what its result tells: a mapping with `message`, `code` and `type`."""
    told = error if isinstance(error, Mapping) else {}
    told = inner if isinstance(inner := told.get("error"), Mapping) else told
    words = str(told.get("message") or error or "no reason given")
    return refused_error(status, {told.get("code"), told.get("type")}, words, endpoint, of_many=True)


def field_of(value: Any, name: str) -> Any:
    """A member of what an SDK made of a reply; `None` without it."""
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def moment(value: Any) -> float:
    """A time of a provider in seconds since 1970; 0 for none."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except ValueError:
            return 0.0
    return float(value) if isinstance(value, int | float) else 0.0
