"""What `%load_ext` costs: nothing of the engine is loaded, and nobody is asked over a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import HANG

PROGRAM = """
import json, socket, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
def refused(*arguments, **options):
    raise AssertionError("a socket is opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refused
shell.run_line_magic("load_ext", "rlm_notebook")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_loading_loads_little_and_opens_no_socket(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=HANG,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    loaded = json.loads(ran.stdout.splitlines()[-1])
    heavy = {"pydantic", "openai", "anthropic", "pandas", "anywidget", "ipywidgets", "genai_prices", "ssl", "filelock"}
    assert heavy & {name.partition(".")[0] for name in loaded} == set()
    assert not {"rlm_notebook.runtime.run", "rlm_notebook.async_engine", "rlm_notebook.models.registry"} & set(loaded)
    assert "rlm_notebook.notebook.magic" in loaded
