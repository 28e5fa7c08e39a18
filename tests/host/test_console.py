"""Streams that are not UTF-8 (a Windows pipe, `PYTHONIOENCODING`): everything is written, in ASCII where it must be."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell

from rlm_notebook import RecursiveEngine, ScriptedModel
from rlm_notebook.__main__ import main
from rlm_notebook.host.console import AS_ASCII, encodable, lenient_streams
from rlm_notebook.observers.text import TextProgress
from rlm_notebook.views.outline import SYMBOLS
from tests.support.waiting import HANG

ENCODINGS = ["ascii", "cp1252", "latin-1", "cp437", "shift_jis", "utf-8", "utf-16"]
TASK = "wäge → 日本 ab"
SCRIPT = {TASK: {"größe 日本": "12 ≤ 13 ✓", "b": "…"}}


@given(text=st.text(), encoding=st.sampled_from(ENCODINGS))
def test_any_text_can_be_written_in_any_encoding(text: str, encoding: str) -> None:
    encodable(text, encoding).encode(encoding)
    io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=AS_ASCII).write(text)


def test_symbols_become_ascii_and_letters_escapes() -> None:
    assert encodable("✓ ├─ x… → é 日", "ascii") == "v |- x... -> \\xe9 \\u65e5"
    assert encodable("✓ é … 日", "cp1252") == "v é … \\u65e5"
    assert encodable("✓ é … 日", "utf-8") == "✓ é … 日"
    assert encodable("✓", None) == encodable("✓", "no such encoding").replace("v", "✓") == "✓"


def test_each_symbol_of_a_state_stays_a_symbol() -> None:
    shown = [encodable(symbol, "ascii") for symbol in SYMBOLS.values()]
    assert not any("\\" in each for each in shown)
    assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_progress_as_text_is_written_to_any_stream(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    output = RecursiveEngine(ScriptedModel(SCRIPT)).solve(TASK)
    TextProgress(output.run, stream).close()
    stream.seek(0)
    assert "v b" in stream.read()


Narrow = Callable[[], io.TextIOWrapper]


@pytest.fixture(params=["ascii", "cp1252"])
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Narrow:
    """Makes standard output and standard error hold few characters, strictly; to be called by the test, because pytest
    sets its own streams when the test begins."""

    def set_streams() -> io.TextIOWrapper:
        made = [io.TextIOWrapper(io.BytesIO(), encoding=request.param, newline="\n") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", made[0])
        monkeypatch.setattr(sys, "stderr", made[1])
        return made[0]

    return set_streams


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)  # type: ignore[attr-defined,no-any-return]


def test_commands_of_the_terminal_write_to_any_stream(narrow: Narrow, tmp_path: Path) -> None:
    stdout = narrow()
    RecursiveEngine(ScriptedModel(SCRIPT)).solve(TASK, checkpoint=tmp_path / "日本.json")
    assert main(["show", str(tmp_path / "日本.json")]) == 0
    assert main(["show", "--mermaid", str(tmp_path / "日本.json")]) == 0
    assert main(["doctor"]) == 0
    assert main(["show", str(tmp_path / "無.json")]) == 1
    assert "v b" in written(stdout)
    assert "\\u7121.json" in written(sys.stderr)  # type: ignore[arg-type]
    assert stdout.errors == "strict"


def test_a_program_without_a_console_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with lenient_streams():
        assert encodable("✓", None) == "✓"


def test_cells_in_a_terminal_write_to_any_stream(
    narrow: Narrow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = narrow()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(colors="nocolor")
    try:
        shell.run_line_magic("load_ext", "rlm_notebook")

        def broken(inputs: object, context: object) -> None:
            raise ValueError("日本 ✗")

        shell.user_ns.update(model=ScriptedModel(SCRIPT), broken=broken)
        for cell in (f"%%rlm -m model -n 答え --time\n{TASK}", "%rlm runs", "%rlm show", "%rlm diff 答え 答え"):
            shell.run_cell(cell).raise_error()
        failed = shell.run_cell(f"%%rlm -m broken --no-checkpoint\n{TASK}")
        assert type(failed.error_in_exec).__name__ == "ModelError"
        unknown = shell.run_cell("%rlm show 日本")
        assert type(unknown.error_in_exec).__name__ == "ConfigurationError"
    finally:
        shell.run_line_magic("unload_ext", "rlm_notebook")
        InteractiveShell.clear_instance()
    text = written(stdout)
    assert "v b" in text
    assert "ModelError: node 0: " in text
    assert "there is no run named '\\u65e5\\u672c' here" in text


@pytest.mark.kernel
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_real_commands(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "text.md").write_text("# Größe 日本\n\nWäge ≤ ab. Es gibt 12 → 13.\n\n# B\n\nEnde ✓.", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "0", "RLM_MODEL": "offline"}
    for command in (
        ["demo"],
        ["run", "Summarise each section 日本 → …", "--file", "text.md", "--name", "答え"],
        ["run", "Summarise each section 日本 → …", "--file", "text.md", "--name", "答え"],
        ["show", "notebook.rlm/答え.json"],
        ["show", "--mermaid", "notebook.rlm/答え.json"],
        ["doctor"],
        ["--help"],
        ["run", "--help"],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "rlm_notebook", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            timeout=3 * HANG,
            check=False,
        )
        assert ran.returncode == 0, (command, ran.stderr.decode(encoding))
        ran.stdout.decode(encoding)
    unknown = subprocess.run(
        [sys.executable, "-m", "rlm_notebook", "show", "無.json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=HANG,
        check=False,
    )
    assert unknown.returncode == 1
    assert "Error" not in unknown.stderr.decode(encoding)
    assert "\\u7121.json" in unknown.stderr.decode(encoding)
