"""Runs of a small trip over a checkpoint file, and what lies beside it."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    ModelError,
    ScriptedModel,
)
from rlm_notebook.models.scripted import Fault
from tests.support.trip import TRIP

__all__ = ["ANSWER", "deny_writing", "engine", "failing", "files", "held", "journal_left_by_a_crash", "journal_of"]

ANSWER = "trip: at 9; downtown; food: soup; stew"


def journal_of(path: Path) -> Path:
    return path.with_name(path.stem + ".journal.jsonl")


def files(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def engine(**options: Any) -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(ScriptedModel(TRIP), **options)


def failing(task: str = "lunch") -> AsyncRecursiveEngine:
    return AsyncRecursiveEngine(ScriptedModel(TRIP, faults=[Fault(task, error=ModelError(f"no {task}"), times=None)]))


async def journal_left_by_a_crash(path: Path, model: Any = None, **options: Any) -> bytes:
    """Run to the end and leave what would be there had the process died just before it."""
    kept: list[bytes] = []
    crashing = AsyncRecursiveEngine(model or ScriptedModel(TRIP), **options)
    run = crashing.start("trip", checkpoint=path)
    run.internals.watch(lambda event: kept.append(journal_of(path).read_bytes()) if journal_of(path).exists() else None)
    await asyncio.wait([asyncio.ensure_future(_awaited(run))])
    path.unlink()  # noqa: ASYNC240 - a small file
    journal_of(path).write_bytes(kept[-1])
    return kept[-1]


async def _awaited(run: Any) -> Any:
    return await run


def held(path: Path) -> Any:
    import filelock

    lock = path.with_name(path.name + ".lock")
    return filelock.FileLock(lock, thread_local=False, is_singleton=False)


def deny_writing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As if the folder were read-only, also for those who may write everywhere."""
    real_open, real_os_open = Path.open, os.open

    def opened(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if self.parent == folder and mode != "rb" and mode != "r":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real_open(self, mode, *args, **kwargs)

    def os_opened(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if str(path).startswith(str(folder)) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real_os_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(Path, "open", opened)
    monkeypatch.setattr(os, "open", os_opened)
