"""Progress as text: a line per finished node where nothing can be redrawn, a tree where it can."""

import io
import re

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.observers import text
from rlm_notebook.observers.text import TextProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_without_a_terminal_each_finished_node_is_a_line_and_the_tree_comes_last() -> None:
    stream = io.StringIO()
    run = AsyncRecursiveEngine(ScriptedModel({"trip": {"fly \x1b[2J": "at 9", "sleep": "well"}})).start("trip")
    progress = TextProgress(run, stream)
    await run
    progress.close()
    progress.close()
    lines = stream.getvalue().splitlines()

    assert [re.match(r"✓ \[(0[.\d]*)\]", line)[1] for line in lines[:3]] == ["0.0", "0.1", "0"]  # type: ignore[index]
    assert lines[3].startswith("✓ trip")
    assert len(lines) == 6
    assert "\x1b" not in stream.getvalue()


async def test_a_terminal_shows_the_tree_and_is_left_with_the_whole() -> None:
    stream = Terminal()
    model = ScriptedModel({"trip": [f"part {n}" for n in range(60)]}, latency=0.001)
    run = AsyncRecursiveEngine(model, max_steps=100).start("trip")
    text.REDRAW_INTERVAL = 0.0
    try:
        progress = TextProgress(run, stream)
        await run
        progress.close()
    finally:
        text.REDRAW_INTERVAL = 0.1
    last = stream.getvalue().rpartition("\x1b[J")[2]

    assert last.count("✓") == 61
    assert "…\n" in stream.getvalue(), "while it moves, only what fits is drawn"
