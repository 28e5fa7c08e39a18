"""A cell that was executed, as the place of its outputs: messages that come after its end still belong to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ExecutedCell"]


@dataclass(frozen=True)
class ExecutedCell:
    """`id` is the front end's id of the cell, or "" where it sends none; `message` is the one that executed it."""

    shell: Any
    message: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self._part("metadata").get("cellId") or "")

    @property
    def execution(self) -> str:
        """The id of the execution."""
        return str(self._part("header").get("msg_id") or "")

    def _part(self, name: str) -> Mapping[str, Any]:
        found = self.message.get(name)
        return found if isinstance(found, Mapping) else {}

    @contextmanager
    def outputs(self, *, clear: bool = False) -> Iterator[None]:
        """What is displayed in the block goes to this cell; with `clear`, in the place of all its outputs."""
        publisher = self.shell.display_pub
        header = getattr(publisher, "parent_header", None)
        if header is None or not self.message:
            # Without a kernel there is one place for all outputs.
            yield
            return
        publisher.set_parent(self.message)
        try:
            if clear:
                publisher.clear_output(wait=True)
            yield
        finally:
            publisher.parent_header = header
