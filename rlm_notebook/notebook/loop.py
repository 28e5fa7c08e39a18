"""The kernel's event loop: kept awake for interrupts, and patched only on explicit demand."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from ..exceptions import ConfigurationError

__all__ = ["enable_nested_loops", "heartbeat"]

#: A signal is handled when the loop next wakes: so long may an interrupt wait, in seconds.
_BEAT = 0.05


@contextmanager
def heartbeat() -> Iterator[None]:
    """Wake the running loop often within the block, so that an interrupt is noticed at once."""
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


def enable_nested_loops() -> None:
    """Let synchronous code of yours re-enter the running event loop (`asyncio.run` inside a cell).

    Patches the loop, with `nest_asyncio2` (1.7.3 or newer) if it is installed, else with `nest_asyncio`. Nothing in
    this package needs it: `%%rlm`, `await engine.solve(...)` and `RecursiveEngine` work without.
    Raises `ConfigurationError` where patching would lose cells that wait in the queue (ipykernel 7.1 and newer with
    `nest_asyncio`).
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
    """The numbers of a version; none where the package is not installed."""
    try:
        return tuple(int(part) for part in version(package).split(".")[:3] if part.isdigit())
    except PackageNotFoundError:
        return ()


def _in_kernel() -> bool:
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
