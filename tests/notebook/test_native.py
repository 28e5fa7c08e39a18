"""At home in a real kernel: what is written arrives, every way to run a cell works, and each cell keeps to its file."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.notebook.conftest import Kernel

pytestmark = pytest.mark.kernel

SETUP = "from rlm_notebook import ScriptedModel\nm = ScriptedModel({'root': {'one': '1', 'two': '2'}})"
ANSWER = "root: 1; 2"


@pytest.fixture
def k(kernel: Kernel) -> Kernel:
    ran = kernel.run(SETUP)
    assert ran.ok, ran.reply
    return kernel


# -- what is written arrives -----------------------------------------------------------------------------------------

CODE = '''def f(x: dict[str, int]) -> str:
    """Doc with {braces} and 'quotes'."""
    return f"{x['a']!r} {{ 'literal' }} {{ not a name }}"  # 100 % $HOME \\n
'''
TEXTS = {
    "braces": "{x} {{#if a}} {{ a.b }} {{a.b}} {a: {b: {}}} {} }{ {{}} {{1}}",
    "quotes": "'single' \"double\" '''three''' \"\"\"and\"\"\" `back` ‘curly’ don't",
    "dollars": "$HOME ${x} $$math$$ \\$5 $(ls) %magic %%cell %s %(x)d 100 %",
    "backslashes": "C:\\new\\table \\\\server \\x41 \\u00e9 \\N{DASH} \\",
    "emoji": "🧭 👩‍👩‍👧 🇦🇹 e\u0301 \u202eright to left\u202c \u00a0 \ufeff",
    "json": json.dumps({"a": {"b": [1, None, "}}"]}, "c": "{{d}}".replace("d", "#d")}, indent=2),
    "code": CODE,
    "shell": "!ls -la\n?help\n%%rlm -m other\n%time\n/path ; , ~",
    "indented": "    four\n\ttab\n  two\n\n\nafter",
    "html": "<script>alert('x')</script> &amp; <!-- -->",
}


@pytest.mark.parametrize("name", TEXTS)
def test_it_arrives_unchanged(k: Kernel, name: str) -> None:
    assert _arrives(k, TEXTS[name])


def test_raw_leaves_even_references_alone(k: Kernel) -> None:
    """Templates of others have the same form as a reference."""
    assert _arrives(k, 'f"{{literal}} {{{triple}}}" {{ m }} {{m}}', "--raw")


def test_a_megabyte_arrives_unchanged(k: Kernel) -> None:
    line = 'Ein Satz mit {Klammern}, "Zeichen" und 🧭 für 100 % der $Fälle.\n'
    assert _arrives(k, line * (1_000_000 // len(line.encode()) + 1) + "end")


def _arrives(k: Kernel, text: str, options: str = "") -> bool:
    ran = k.run(f"%%rlm {options} -m m -q --no-checkpoint --max-depth 1\n{text}")
    assert ran.ok, ran.reply
    encoded = base64.b64encode(text.strip("\n").encode()).decode()
    same = f"__import__('base64').b64decode('{encoded}').decode() == m.requests[-1].facts.task"
    in_messages = "m.requests[-1].facts.task in ''.join(each['content'] for each in m.requests[-1].messages)"
    return k.value(f"{same}, {in_messages}") == "(True, True)"


# -- every way to run a cell -----------------------------------------------------------------------------------------


def test_captured(k: Kernel) -> None:
    ran = k.run("%%capture captured\n%%rlm -m m -q answer <<\nroot")
    assert ran.ok, ran.reply
    assert k.value("answer.content") == repr(ANSWER)
    assert not ran.of("execute_result", "display_data")
    assert k.value("len(captured.outputs)") == "1"


def test_run_cell(k: Kernel) -> None:
    ran = k.run("r = get_ipython().run_cell('%%rlm -m m -q\\nroot'); r.raise_error()")
    assert ran.ok, ran.reply
    assert k.value("r.result.content") == repr(ANSWER)


def test_run_cell_magic(k: Kernel) -> None:
    assert k.value("get_ipython().run_cell_magic('rlm', '-m m -q', 'root').content") == repr(ANSWER)
    assert k.value("x = get_ipython().run_cell_magic('rlm', '-m m -q', 'root')\nx.content") == repr(ANSWER)
    assert k.value("get_ipython().run_cell_magic('rlm', '-m m -q', 'root')\n_rlm.status") == "'done'"


def test_run_cell_magic_in_a_coroutine(k: Kernel) -> None:
    k.run("async def f():\n    return get_ipython().run_cell_magic('rlm', '-m m -q', 'root')")
    assert k.value("(await f()).content") == repr(ANSWER)


def test_resume_inside_a_function(k: Kernel) -> None:
    k.run("%%rlm -m m -q -n trip --max-calls 2\nroot")
    ran = k.run("def go():\n    answer = %rlm resume trip -m m --max-calls 20\n    return answer")
    assert ran.ok, ran.reply
    assert k.value("go().content") == repr(ANSWER)
    assert json.loads((k.folder / "notebook.rlm" / "trip.json").read_text())["status"] == "done"


def test_a_failure_within_another_cell_is_one_line(k: Kernel) -> None:
    for code in ("%%capture\n%%rlm -m nope -q\nroot", "get_ipython().run_cell_magic('rlm', '-m nope', 'root')"):
        ran = k.run(code)
        shown = ran.failed_with if not ran.ok else ran.printed
        assert "Traceback" not in shown


# -- each cell keeps to its file -------------------------------------------------------------------------------------


def files(k: Kernel) -> list[str]:
    return sorted(path.name for path in (k.folder / "notebook.rlm").glob("*.json"))


def ran(k: Kernel, task: str, cell_id: str) -> str:
    """The answer of a cell, and where it is kept."""
    done = k.run(f"%%rlm -m m -q\n{task}", cell_id=cell_id)
    assert done.ok, done.reply
    return Path(k.value("_rlm.checkpoint").strip("'")).name


def test_two_cells_have_two_files(k: Kernel) -> None:
    assert ran(k, "root", "a") == "root.json"
    assert ran(k, "root otherwise", "b") == "root-otherwise.json"
    assert ran(k, "root", "a") == "root.json"
    assert files(k) == ["root-otherwise.json", "root.json"]


def test_an_edited_cell_stays_in_its_file_and_keeps_what_was(k: Kernel) -> None:
    assert ran(k, "root", "a") == "root.json"
    before = (k.folder / "notebook.rlm" / "root.json").read_bytes()
    assert ran(k, "something else", "a") == "root.json"
    assert files(k) == ["root.1.json", "root.json"]
    assert (k.folder / "notebook.rlm" / "root.1.json").read_bytes() == before


def test_a_copied_cell_gets_a_file_of_its_own(k: Kernel) -> None:
    """Or the edit of one would push the other's run out of it."""
    ran(k, "root", "a")
    assert ran(k, "root", "b") == "root-2.json"
    assert ran(k, "root", "a") == "root.json"
    ran(k, "edited", "b")
    assert "root.json" in files(k)
    assert json.loads((k.folder / "notebook.rlm" / "root.json").read_text())["task"] == "root"


def test_a_cell_in_a_loop_keeps_each_of_its_tasks(k: Kernel) -> None:
    loop = "for n in 'abc':\n    get_ipython().run_cell_magic('rlm', '-m m -q', f'say {n}')"
    assert k.run(loop, cell_id="loop").ok
    assert files(k) == ["say-a.json", "say-b.json", "say-c.json"]
    calls = k.value("m.calls")
    assert k.run(loop, cell_id="loop").ok
    assert k.value("m.calls") == calls


# -- loading ---------------------------------------------------------------------------------------------------------


def test_loading_again_reloading_and_unloading(k: Kernel) -> None:
    for line in ("%load_ext rlm_notebook", "%reload_ext rlm_notebook", "%load_ext rlm_notebook"):
        assert k.run(line).ok
    assert ran(k, "root", "a") == "root.json"
    assert k.run("%unload_ext rlm_notebook").ok
    assert "%%rlm" in k.run("%%rlm -m m\nroot").failed_with
    assert k.run("%load_ext rlm_notebook").ok
    assert ran(k, "root", "a") == "root.json"
