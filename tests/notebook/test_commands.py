"""The line commands: found by name, corrected, documented, and failing in one line."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.error import UsageError

from rlm_notebook.notebook.commands.registry import command, command_names


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    printed = capsys.readouterr()
    return [line for line in (printed.out + printed.err).splitlines() if line.strip()]


@pytest.mark.parametrize("name", command_names())
def test_each_command_is_there_and_says_in_one_line_what_it_does(name: str) -> None:
    found = command(name)
    assert found.help.strip()
    assert "\n" not in found.help
    assert f"%rlm {name}" in found.parser(name).format_help()


@pytest.mark.parametrize("name", command_names())
async def test_each_command_explains_itself(shell: Any, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await shell.value(f"%rlm {name} --help") is None
    assert command(name).help in capsys.readouterr().out


async def test_the_line_without_a_command_lists_them(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    await shell.value("%rlm")
    printed = capsys.readouterr().out
    assert all(f"%rlm {name}" in printed for name in command_names())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%rlm verison", "there is no such command; did you mean version or versions?"),
        ("%rlm what is this", "`%rlm` lists the commands"),
        ("%rlm version --hepl", "unknown option --hepl; did you mean --help?"),
        ("%rlm version now", "'now' is no option"),
        ('%rlm version "', "close the quotation mark"),
    ],
)
async def test_what_is_wrong_is_one_line_and_a_failed_cell(
    shell: Any, line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(await shell.failure(line), UsageError)
    lines = lines_of(capsys)
    assert len(lines) == 1
    assert said in lines[0]
