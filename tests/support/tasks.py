"""The asyncio tasks that a run leaves behind, or does not."""

import asyncio
from typing import Any

__all__ = ["others"]


def others() -> set[asyncio.Task[Any]]:
    """All tasks of this loop but the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[arg-type]
