"""The event loop of an awaited cell: woken for interrupts, and patched only on request."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from ...exceptions import ConfigurationError

__all__ = ["enable_nested_loops", "heartbeat", "interruptible"]

#: The most seconds that an interrupt waits: Python handles a signal when the loop wakes.
_BEAT = 0.05


@contextmanager
def heartbeat() -> Iterator[None]:
    """Wakes the running loop frequently within the block, so that an interrupt is handled promptly."""
    loop = asyncio.get_running_loop()

    beating = True

    def beat() -> None:
        if beating:
            loop.call_later(_BEAT, beat)

    beat()
    try:
        yield
    finally:
        beating = False


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, an interrupt (Ctrl-C) cancels the current task, as it does in kernels.

    In a terminal, Python's default handler raises `KeyboardInterrupt` wherever the loop happens to be, and the task is
    not cancelled. If another handler is installed already, nothing is changed.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    in_main_thread = threading.current_thread() is threading.main_thread()
    by_default = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if task is None or not by_default:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(task.cancel))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def enable_nested_loops() -> None:
    """Lets your synchronous code re-enter the running event loop (`asyncio.run` inside a cell).

    Patches the loop, with `nest_asyncio2` (1.7.3 or newer) if it is installed, else with `nest_asyncio`. Nothing in
    this package needs it: `%%rlm`, `await engine.solve(...)` and `RecursiveEngine` work without.
    Raises `ConfigurationError` where the patch would lose queued cells (ipykernel 7.1 and newer with `nest_asyncio`).
    """
    if _version("nest_asyncio2") >= (1, 7, 3):
        import_module("nest_asyncio2").apply()
        return
    if _version("ipykernel") >= (7, 1) and _in_kernel():
        raise ConfigurationError(
            "enable_nested_loops(): on ipykernel 7.1 and newer, nest_asyncio silently loses cells that wait in the "
            "queue (Run All); use `await engine.solve(...)` or RecursiveEngine, which need no patch, "
            "or `pip install 'nest_asyncio2>=1.7.3'`"
        )
    import_module("nest_asyncio").apply()


def _version(package: str) -> tuple[int, ...]:
    """The numbers of a version; empty if the package is not installed."""
    try:
        return tuple(int(part) for part in version(package).split(".")[:3] if part.isdigit())
    except PackageNotFoundError:
        return ()


def _in_kernel() -> bool:
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
