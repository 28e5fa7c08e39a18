"""A run of 10,000 nodes with 1,000 updates a second in JupyterLab: no message of it is dropped on the way."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import HANG

pytestmark = pytest.mark.browser

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SECONDS = 20
UPDATES = 1000 * SECONDS
CELL = f"""
import asyncio, sys, time
sys.path.insert(0, {str(BENCHMARKS)!r})
import feed
from IPython.display import display
from rlm_notebook.notebook.widget import TreeView

run, real = await feed.quiet_run()
for event in feed.grown():
    run.tree.apply(event)
display(TreeView(run))
await asyncio.sleep(2)
happening, began, told = feed.lives(36), time.monotonic(), 0
while told < {UPDATES}:
    due = min({UPDATES}, (time.monotonic() - began) * 1000)
    while told < due:
        event = next(happening)(time.time())
        run.tree.apply(event)
        run.internals.log._notify(event)
        told += 1
    await asyncio.sleep(0.01)
await asyncio.sleep(0.5)
await real.cancel()
print("told", told, "in", time.monotonic() - began)
"""


def test_no_frame_is_dropped(lab: Any, open_notebook: Any) -> None:
    page = open_notebook(lab.write("rate", CELL))
    frames: list[int] = []
    sizes: list[int] = []

    def note(frame: Any) -> None:
        text = frame["response"]["payloadData"]
        if frame["response"]["opcode"] == 2:
            text = base64.b64decode(text).decode("utf-8", "replace")
        for found in re.finditer(r'"content"\s*:\s*\{"t"\s*:\s*"p"\s*,\s*"e"\s*:\s*1\s*,\s*"s"\s*:\s*(\d+)', text):
            frames.append(int(found[1]))
            sizes.append(len(text))

    network = page.tab.context.new_cdp_session(page.tab)
    network.send("Network.enable")
    network.on("Network.webSocketFrameReceived", note)
    page.run_all()
    page.status("running")
    ends = time.monotonic() + SECONDS + HANG
    while page.running() and time.monotonic() < ends:
        page.tab.wait_for_timeout(200)
    page.output(0).get_by_text("told ").first.wait_for()
    told = page.output(0).inner_text().rsplit("told ", 1)[1].split()[0]
    rate = sum(sizes[1:]) / SECONDS / 1000
    print(f"{told} updates in {SECONDS} s: {len(frames)} frames, {rate:.1f} KB/s, {frames[-1] - frames[0] + 1} sent")
    assert int(told) == UPDATES
    assert frames == list(range(frames[0], frames[-1] + 1)), "a gap: a message was dropped"
    assert len(frames) > 5, "they came while it ran, not all at its end"
