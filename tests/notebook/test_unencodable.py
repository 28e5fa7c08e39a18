"""Half an emoji in an error: a kernel that cannot send what it has to say never ends the cell."""

from collections.abc import Callable

import pytest

from tests.notebook.conftest import Kernel

pytestmark = pytest.mark.kernel

SETUP = r"""
%load_ext rlm_notebook
import rlm_notebook

def fails(inputs, context):
    raise ValueError("bad byte \ud800")

def stop() -> str:
    "Stop."
    raise rlm_notebook.ToolError("bad byte \ud800", fatal=True)

def calls(inputs, context):
    return {"tool_calls": [{"name": "stop", "arguments": {}}]}

def says(inputs, context):
    return {"content": "bad byte \ud800", "metadata": {"k": "\ud800"}}
"""


@pytest.mark.parametrize(
    ("code", "ok"),
    [
        ("%%rlm -m fails --no-checkpoint --view none\nroot", False),
        ("%%rlm -m fails --no-checkpoint --view none --debug\nroot", False),
        ("%%rlm -m fails --no-checkpoint --view text\nroot", False),
        ("%%rlm -m calls -t stop --max-depth 1 --no-checkpoint --view none\nroot", False),
        ("%%rlm -m says --max-depth 1 --no-checkpoint --view none\nroot", True),
        ("rlm_notebook.RecursiveEngine(fails, max_depth=1).solve('root')", False),
        ("rlm_notebook.RecursiveEngine(calls, tools=[stop], max_depth=1).solve('root')", False),
        ("raise rlm_notebook.ConfigurationError('bad byte \\ud800')", False),
    ],
)
def test_the_cell_ends_and_says_what_was_wrong(new_kernel: Callable[..., Kernel], code: str, ok: bool) -> None:
    kernel = new_kernel()
    kernel.run(SETUP)
    ran = kernel.run(code)

    assert ran.reply["status"] == ("ok" if ok else "error")
    assert "bad byte" in (ran.text if ok else ran.reply["evalue"])
    assert kernel.run("1 + 1").text == "2"
