"""One run at a time writes a file."""

# What is tested blocks by design: small files, read and written where the loop may wait.
# ruff: noqa: ASYNC110, ASYNC220, ASYNC240

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import (
    AsyncRecursiveEngine,
    CheckpointError,
    ScriptedModel,
)
from tests.support.checkpoint_files import (
    ANSWER,
    engine,
    files,
    journal_of,
)
from tests.support.trip import TRIP
from tests.support.waiting import HANG


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trip.json"


async def test_a_second_writer_is_refused_and_told_who_holds_the_file(path: Path) -> None:
    gate = asyncio.Event()

    async def waiting(request: Any) -> str:
        await gate.wait()
        return "slow"

    first = AsyncRecursiveEngine(ScriptedModel({"trip": waiting}), max_depth=1).start("trip", checkpoint=path)
    while not journal_of(path).exists():
        await asyncio.sleep(0.001)
    model = ScriptedModel(TRIP)
    with pytest.raises(CheckpointError, match="another run of this very session is writing it; wait for that run"):
        await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
    assert model.calls == 0
    gate.set()

    assert (await first).content == "slow"
    assert files(path) == ["trip.json"], "neither journal nor lock is left"


async def test_a_writer_that_was_overtaken_does_not_overwrite_what_the_other_one_wrote(path: Path) -> None:
    gate = asyncio.Event()
    late = engine().start("trip", checkpoint=path)
    late.internals.admission.pause()
    await asyncio.sleep(0)
    output = await AsyncRecursiveEngine(ScriptedModel({"other": "first"})).solve("other", checkpoint=path)
    gate.set()
    late.internals.admission.resume()
    with pytest.raises(CheckpointError, match="another run changed it in the meantime; run again"):
        await late

    assert json.loads(path.read_text())["result"]["content"] == output.content
    assert files(path) == ["trip.json"]


HOLDER = """
import asyncio, sys
from rlm_notebook import AsyncRecursiveEngine, ScriptedModel

async def forever(request):
    print("holding", flush=True)
    await asyncio.sleep(60)

asyncio.run(AsyncRecursiveEngine(ScriptedModel({"trip": forever}), max_depth=1).solve("trip", checkpoint=sys.argv[1]))
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
async def test_the_lock_of_a_killed_process_is_free(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holding\n"
        with pytest.raises(CheckpointError, match=f"process {holder.pid} is writing it"):
            await engine().solve("trip", checkpoint=path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(HANG)
        assert (await engine().solve("trip", checkpoint=path)).content == ANSWER
    finally:
        holder.kill()
        holder.communicate()
