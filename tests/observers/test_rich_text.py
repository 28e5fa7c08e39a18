"""Progress with rich: the same tree, whatever the titles hold; plain text where there is no terminal."""

import io
import re

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.observers.rich_text import RichProgress
from rlm_notebook.observers.text import TextProgress, progress_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_the_final_tree_is_left_behind_and_titles_are_only_text() -> None:
    terminal = Terminal()
    model = ScriptedModel({"root": {"[bold]not markup[/bold]": "a", "bell \x07 and \x1b[31mred": "b"}})
    run = AsyncRecursiveEngine(model).start("root")
    progress = progress_of(run, terminal)
    await run
    progress.close()

    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert isinstance(progress, RichProgress)
    assert "[bold]not markup[/bold]" in shown
    assert "bell   and  [31mred" in shown
    assert "\x07" not in shown


async def test_a_pipe_gets_plain_lines() -> None:
    run = AsyncRecursiveEngine(ScriptedModel()).start("root")
    assert isinstance(progress_of(run, io.StringIO()), TextProgress)
    await run
