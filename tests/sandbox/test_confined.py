"""What is of the confined Python alone: its packages, its process, and when it refuses."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook.exceptions import ConfigurationError
from rlm_notebook.sandbox import confined, confinement
from rlm_notebook.sandbox.confined import ConfinedPython
from rlm_notebook.sandbox.port import SessionSettings
from tests.support.sandboxes import host_call, made, run_cells
from tests.support.waiting import HANG, until


@pytest.fixture
async def sandbox() -> AsyncIterator[ConfinedPython]:
    sandbox = made("python")
    assert isinstance(sandbox, ConfinedPython)
    yield sandbox
    await sandbox.close()


def settings(**changes: Any) -> SessionSettings:
    return SessionSettings(**{"functions": ("echo",), "cell_seconds": HANG, **changes})


async def test_pandas_works_on_a_table_and_its_clock_stands_still(sandbox: ConfinedPython) -> None:
    table = {"kind": ["a", "b", "a"], "n": [1, 2, 3]}
    session = await sandbox.open(settings(variables={"table": table}, started=1_000_000_000.0))
    results = await run_cells(
        session,
        "import pandas as pd\nframe = pd.DataFrame(table)\nframe.groupby('kind').n.sum().to_dict()",
        "str(pd.Timestamp.now())",
        "FINAL(frame)",
    )

    assert [result.error for result in results] == [None] * 3
    assert results[0].value == "{'a': 4, 'b': 2}"
    assert results[1].value == "'2001-09-09 01:46:40'"
    assert results[2].final is not None
    assert results[2].final.value == table


async def test_threads_of_a_cell_call_the_host_at_the_same_time(sandbox: ConfinedPython) -> None:
    waiting = asyncio.Event()
    arrived = []

    async def together(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        arrived.append(args[0])
        if len(arrived) == 5:
            waiting.set()
        async with asyncio.timeout(HANG):
            await waiting.wait()
        return args[0]

    session = await sandbox.open(settings())
    result = await session.run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(5) as pool: answers = list(pool.map(echo, range(5)))\nanswers",
        together,
    )

    assert (result.value, result.error) == ("[0, 1, 2, 3, 4]", None)


async def test_an_interrupt_from_inside_ends_no_cell(sandbox: ConfinedPython) -> None:
    session = await sandbox.open(settings())
    refused, *later = await run_cells(
        session,
        "import _thread\n_thread.interrupt_main()",
        "import ctypes\nctypes.pythonapi.PyErr_SetInterrupt()\nsum(range(1_000))",
        "echo(1)",
    )

    assert "cannot be interrupted from inside" in str(refused.error)
    assert [(result.value, result.error) for result in later] == [("499500", None), ("[[1], {}]", None)]


async def test_the_process_is_stopped_between_cells(sandbox: ConfinedPython) -> None:
    session = await sandbox.open(settings())
    spinning = "import threading\ndef spin():\n    while True: pass\nthreading.Thread(target=spin, daemon=True).start()"
    [started] = await run_cells(session, spinning)
    stat = Path(f"/proc/{session.process_id}/stat")
    await until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    [after] = await run_cells(session, "1 + 1")

    assert (started.error, after.value) == (None, "2")


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ("landlock_version", "no Landlock"),
        ("machine_is_known", "not known"),
    ],
)
async def test_without_a_part_of_the_confinement_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, part: str, problem: str
) -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere it is refused before")
    monkeypatch.setattr(confinement, part, lambda: 0)
    monkeypatch.setattr(confined, "_ConfinedSession", None)

    with pytest.raises(ConfigurationError, match=problem):
        await ConfinedPython().open(settings())


async def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(confined, "_ConfinedSession", None)

    with pytest.raises(ConfigurationError, match=r'needs Linux.*kind="monty"'):
        await ConfinedPython().open(settings())


@pytest.mark.parametrize(
    "left_out",
    ["_limit_resources", "_drop_capabilities", "_restrict_files", "_filter_calls"],
)
async def test_a_process_that_leaves_out_a_part_is_refused(
    sandbox: ConfinedPython, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    """Each part is missed: by the process itself, or by the kernel's view of it."""
    broken = confined._START.replace(
        "main()", f"import rlm_session.confinement as c; c.{left_out} = lambda *arguments: None; main()"
    )
    monkeypatch.setattr(confined, "_START", broken)
    if left_out == "_drop_capabilities" and not has_capabilities():
        pytest.skip("this user has no capabilities to drop")

    with pytest.raises(ConfigurationError, match="cannot confine a process here"):
        await sandbox.open(settings())


def has_capabilities() -> bool:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapEff:")[2].split()[0], 16) != 0


async def test_what_a_process_may_say_of_itself_is_not_believed(
    sandbox: ConfinedPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that says it is ready without any confinement."""
    monkeypatch.setattr(
        confined,
        "_START",
        confined._START.replace(
            "main()", "import rlm_session.worker as w; w.confine = w.prove = lambda *arguments: None; main()"
        ),
    )
    with pytest.raises(ConfigurationError, match="the kernel says of the process"):
        await sandbox.open(settings())


async def test_the_host_answers_after_a_process_ended(sandbox: ConfinedPython) -> None:
    session = await sandbox.open(settings())
    died, after = await run_cells(session, "import os\nos._exit(3)", "1")

    assert died.lost
    assert "exited with code 3" in str(died.error)
    assert after.lost
    assert (await session.run("1", host_call)).lost
