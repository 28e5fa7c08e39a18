"""The kernel's loop is kept awake, and patched only on demand."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rlm_notebook import enable_nested_loops
from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.notebook.kernel import event_loop
from tests.support.virtual_time import in_virtual_time
from tests.support.waiting import HANG

VERSIONS = {"ipykernel": (7, 1, 0), "nest_asyncio": (1, 6, 0), "nest_asyncio2": ()}


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was patched with, instead of patching."""
    used: list[str] = []

    class Patch:
        def __init__(self, name: str) -> None:
            self.apply = lambda: used.append(name)

    monkeypatch.setattr(event_loop, "import_module", Patch)
    monkeypatch.setattr(event_loop, "_in_kernel", lambda: True)
    monkeypatch.setattr(event_loop, "_version", VERSIONS.__getitem__)
    return used


def versions(monkeypatch: pytest.MonkeyPatch, **changed: tuple[int, ...]) -> None:
    monkeypatch.setattr(event_loop, "_version", {**VERSIONS, **changed}.__getitem__)


def test_it_refuses_where_queued_cells_would_be_lost(patched: list[str]) -> None:
    with pytest.raises(ConfigurationError, match=r"silently loses cells.*nest_asyncio2>=1\.7\.3"):
        enable_nested_loops()
    assert patched == []


@pytest.mark.parametrize("ipykernel", [(6, 31, 0), (7, 0, 1)])
def test_older_kernels_are_patched(
    patched: list[str], monkeypatch: pytest.MonkeyPatch, ipykernel: tuple[int, ...]
) -> None:
    versions(monkeypatch, ipykernel=ipykernel)
    enable_nested_loops()
    assert patched == ["nest_asyncio"]


def test_the_successor_that_keeps_cells_is_preferred(patched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, nest_asyncio2=(1, 7, 3))
    enable_nested_loops()
    assert patched == ["nest_asyncio2"]


def test_a_successor_that_is_too_old_is_not_used(patched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, nest_asyncio2=(1, 7, 2))
    with pytest.raises(ConfigurationError):
        enable_nested_loops()


def test_outside_a_kernel_there_is_no_queue_to_lose(patched: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_loop, "_in_kernel", lambda: False)
    enable_nested_loops()
    assert patched == ["nest_asyncio"]


@pytest.mark.parametrize(("text", "numbers"), [("7.4.0", (7, 4, 0)), ("7.1.0rc1", (7, 1)), ("1.6", (1, 6))])
def test_versions_are_numbers(monkeypatch: pytest.MonkeyPatch, text: str, numbers: tuple[int, ...]) -> None:
    monkeypatch.setattr(event_loop, "version", lambda package: text)
    assert event_loop._version("any") == numbers


def test_a_package_that_is_missing_has_no_version() -> None:
    assert event_loop._version("rlm-notebook-no-such-package") == ()


def test_nothing_else_patches_a_loop() -> None:
    """Neither import, nor loading, nor running a cell touches asyncio."""
    program = """
import asyncio, sys
def state():
    names = [asyncio.run, asyncio.get_event_loop, asyncio.BaseEventLoop.run_until_complete,
             asyncio.BaseEventLoop.run_forever, asyncio.Task, asyncio.Future]
    return [id(each) for each in names]
before = state()
from IPython.core.interactiveshell import InteractiveShell
ip = InteractiveShell.instance()
ip.run_line_magic("load_ext", "rlm_notebook")
result = ip.run_cell("%%rlm -m offline --view none --no-checkpoint\\nWhat is 2 + 3?")
assert result.success, result
import rlm_notebook
rlm_notebook.RecursiveEngine("offline").solve("What is 2 + 3?")
assert state() == before
assert not [name for name in sys.modules if name.startswith("nest_asyncio")], "imported"
print("untouched")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG, check=False)
    assert "untouched" in ran.stdout, ran.stderr


@in_virtual_time
async def test_the_heartbeat_wakes_the_loop_and_leaves_nothing_behind() -> None:
    wakes = 0
    running = asyncio.get_running_loop()
    original = running._run_once  # type: ignore[attr-defined]

    def counted(*values: Any) -> Any:
        nonlocal wakes
        wakes += 1
        return original(*values)

    running._run_once = counted  # type: ignore[attr-defined]
    try:
        with event_loop.heartbeat():
            began = time.monotonic()
            await asyncio.sleep(0.5)
            assert wakes >= (time.monotonic() - began) / 0.1
        await asyncio.sleep(0.12)
        wakes = 0
        await asyncio.sleep(0.3)
        assert wakes <= 3
    finally:
        del running._run_once  # type: ignore[attr-defined]
    assert asyncio.all_tasks() == {asyncio.current_task()}


@contextmanager
def interrupts_go_to(handler: Any) -> Iterator[None]:
    """In a terminal, IPython leaves them to Python; in kernels it does not."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def test_an_interrupt_cancels_the_cell_where_python_would_raise_anywhere() -> None:
    async def cell() -> str:
        with event_loop.interruptible():
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(10)
        return "went on"

    with interrupts_go_to(signal.default_int_handler):
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(cell())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def test_who_handles_interrupts_already_goes_on_doing_so() -> None:
    seen: list[int] = []

    def handler(number: int, _frame: Any) -> None:
        seen.append(number)

    with interrupts_go_to(handler):
        with event_loop.interruptible():
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)
        assert seen == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is handler
