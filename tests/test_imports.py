"""Importing the package is light: whatever is heavy or optional is loaded when it is used."""

import subprocess
import sys

import pytest

from tests.support.waiting import HANG

HEAVY = ["openai", "IPython", "anywidget", "pandas", "ipywidgets", "numpy", "httpx", "tenacity", "filelock"]


#: What only a cell needs, or the answer that it shows.
FOR_CELLS = ["rlm_notebook.async_engine", "rlm_notebook.views.rendering", "rlm_notebook.core.json_text", "difflib"]


def loaded_by(code: str, heavy: list[str] = HEAVY) -> list[str]:
    """The heavy modules that are loaded after the code ran in a fresh interpreter."""
    check = f"{code}\nimport sys\nprint(*[name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, timeout=HANG)
    return done.stdout.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import rlm_notebook") == []


def test_the_extension_loads_nothing_that_only_cells_need() -> None:
    code = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import sys
sys.modules.pop("difflib", None)
shell.run_line_magic("load_ext", "rlm_notebook")
"""
    assert loaded_by(code, FOR_CELLS) == []


@pytest.mark.parametrize(
    "code",
    [
        "from rlm_notebook import AsyncRecursiveEngine, RecursiveEngine, Budget, Output",
        "from rlm_notebook import RecursiveEngine\n"
        "RecursiveEngine(lambda inputs, context: {'content': 'x'}, max_depth=1, retry=None).solve('t')",
    ],
    ids=["names", "a run of a callable"],
)
def test_a_run_of_a_callable_needs_no_provider_and_no_notebook(code: str) -> None:
    assert not set(loaded_by(code)) & {"openai", "IPython", "anywidget", "pandas", "ipywidgets"}


def test_importing_touches_neither_logging_nor_the_event_loop() -> None:
    code = """
import asyncio, logging, warnings
warnings.simplefilter("error")
before = list(logging.root.handlers), asyncio.events._event_loop_policy
import rlm_notebook
from rlm_notebook import RecursiveEngine
assert (list(logging.root.handlers), asyncio.events._event_loop_policy) == before
assert not logging.getLogger("rlm_notebook").handlers
"""
    assert loaded_by(code) == []
