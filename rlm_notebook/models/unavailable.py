"""The model that answered a recorded run, where it cannot be had: it lends its name, and answers nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..exceptions import ModelError
from ..ports.model import FREE, Capabilities, Reply, Request

__all__ = ["UnavailableModel"]


@dataclass(frozen=True)
class UnavailableModel:
    """Stands in the place of the model `name`: what that answered is found under its name, and nobody takes its place.

    Asked for anything new, it raises a fatal `ModelError` that says whom to bring.
    """

    name: str

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(tools=True, price=FREE, not_ready=self._error())

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        raise self._error()
        yield ""

    def _error(self) -> ModelError:
        return ModelError(
            f"{self.name} answered this run, and is not here to go on; bring it back (define its variable, set its "
            "key), or name another model (-m VARIABLE, -m openai:NAME): then what depends on the model is asked anew",
            fatal=True,
        )
