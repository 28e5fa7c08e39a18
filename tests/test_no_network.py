"""Nothing is sent anywhere without a model that was named or a key that is set.

Each case runs in a process of its own, in which the interpreter itself refuses every connection and every look-up of
a name (an audit hook sees them whatever library makes them) and writes them down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fault_server import FaultServer
from tests.support.waiting import HANG

_REFUSE = """
import json, os, sys
attempts = []
def refuse(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple):
            attempts.append(list(address[:2]))
            raise ConnectionRefusedError(f"refused: {address}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        if arguments[0] == "127.0.0.1":
            return  # no look-up, but a number; what connects to it is refused above
        attempts.append([str(arguments[0]), "looked up"])
        raise OSError("no names here")
sys.addaudithook(refuse)
"""
_SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "rlm_notebook")
def cell(text):
    result = shell.run_cell(text)
    result.raise_error()
    return result.result
"""
_TELL = """
print("\\n" + json.dumps(attempts))
"""
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "RLM_MODEL", "RLM_MODE")
_LOCAL = [["127.0.0.1", 11434], ["127.0.0.1", 1234], ["127.0.0.1", 8080]]

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="event loops on Windows connect to themselves over 127.0.0.1"
)


def attempted(code: str, folder: Path, *, refuse: str = _REFUSE, **environment: str) -> list[list[object]]:
    """The connections and look-ups that the code tried to make."""
    kept = {name: value for name, value in os.environ.items() if name not in _KEYS}
    kept |= {"IPYTHONDIR": str(folder / ".ipython"), "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", f"{refuse}{code}{_TELL}"],
        capture_output=True,
        text=True,
        timeout=HANG,
        cwd=folder,
        env={**kept, **environment},
    )
    assert done.returncode == 0, done.stderr
    found: list[list[object]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_refusal_works(tmp_path: Path) -> None:
    """A model that is named is asked: so the other cases could fail."""
    cell = "%%rlm -m http://{}/v1#m --view none --no-checkpoint --max-calls 1\nHello"
    cells = [cell.format(server) for server in ("127.0.0.1:9", "models.example")]
    tried = attempted(f"{_SHELL}for each in {cells!r}: shell.run_cell(each)", tmp_path)
    assert ["127.0.0.1", 9] in tried
    assert ["models.example", "looked up"] in tried


#: What is done in one process, one after the other.
_OFFLINE = {
    "import": "import rlm_notebook; [getattr(rlm_notebook, name) for name in rlm_notebook.__all__]",
    "scripted": "rlm_notebook.RecursiveEngine(rlm_notebook.ScriptedModel()).solve('Hello')",
    "terminal": "from rlm_notebook.cli.main import main; assert main(['run', 'What is 2 + 3?']) == 0",
    "load_ext": _SHELL,
    "offline": 'assert "5" in str(cell("%%rlm -m offline --view none\\nWhat is 2 + 3?"))',
    "line commands": 'cell("%rlm"); cell("%rlm runs"); cell("%rlm version")',
}


@pytest.mark.parametrize("keys", [(), ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")], ids=["no key", "with keys"])
def test_no_connection_is_tried(keys: tuple[str, ...], tmp_path: Path) -> None:
    code = "\n".join(f"{step}\nassert not attempts, ({name!r}, attempts)" for name, step in _OFFLINE.items())
    assert attempted(code, tmp_path, **dict.fromkeys(keys, "sk-test")) == []


def test_replay_and_an_unchanged_cell_need_no_connection_and_no_key(tmp_path: Path) -> None:
    """Whoever is given a notebook and its runs reads them without the model, its server or its key."""
    body = "\nTrip\nsplit: Fly there | Sleep there"
    task = f"%%rlm -m openai:gpt-5-mini -n trip --view none{body}"
    with FaultServer() as server:
        record = _SHELL + f"cell({task!r})"
        environment = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test"}
        attempted(record, tmp_path, refuse="import json\nattempts = []\n", **environment)
        assert server.requests
    again = [f"%%rlm -n trip {mode}--view none{body}" for mode in ("--mode replay ", "")]
    read = f"for each in {again!r}: assert 'answer to' in str(cell(each))\n"
    show = "from rlm_notebook import load_run; assert load_run('notebook.rlm/trip.json').output is not None"
    assert attempted(_SHELL + read + show, tmp_path) == []


def test_with_nothing_chosen_local_servers_are_looked_for_under_the_banner_and_nowhere_else(tmp_path: Path) -> None:
    code = _SHELL + 'cell("%%rlm --view none\\nWhat is 2 + 3?")'
    assert sorted(map(str, attempted(code, tmp_path))) == sorted(map(str, _LOCAL))
    on_request = _SHELL + 'cell("%rlm models")'
    assert sorted(map(str, attempted(on_request, tmp_path))) == sorted(map(str, _LOCAL))


def test_a_key_in_a_file_is_no_key_that_is_set(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-test\n", encoding="utf-8")
    code = _SHELL + 'cell("%%rlm --view none\\nWhat is 2 + 3?")'
    assert all(address == "127.0.0.1" for address, _ in attempted(code, tmp_path))
