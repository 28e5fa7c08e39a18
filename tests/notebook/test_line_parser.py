"""The words of an option line: quotation marks as in a shell, and backslashes that stay."""

import os
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError

from rlm_notebook.notebook.cell.line_parser import words_of


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  -q   -n x\t", ["-q", "-n", "x"]),
        ('-n "two words" -q', ["-n", "two words", "-q"]),
        ("-n 'two words'", ["-n", "two words"]),
        ("-n 'say \"so\"'", ["-n", 'say "so"']),
        (r'-n "say \"so\""', ["-n", 'say "so"']),
        (r'-n "a \"b\" c" -q', ["-n", 'a "b" c', "-q"]),
        ("-n '' -q", ["-n", "", "-q"]),
        ('--name=a" b"c', ["--name=a bc"]),
        ("--type 'list[City]' # no comment", ["--type", "list[City]", "#", "no", "comment"]),
        (r"--checkpoint C:\runs\new\a.json", ["--checkpoint", r"C:\runs\new\a.json"]),
        (r"--checkpoint=C:\runs\a.json -q", [r"--checkpoint=C:\runs\a.json", "-q"]),
        (r'"C:\My Files\a.json"', [r"C:\My Files\a.json"]),
        (r"'C:\My Files\a.json'", [r"C:\My Files\a.json"]),
        (r'C:\"My Files"\a.json', [r"C:\My Files\a.json"]),
        (r"\\server\share\a.json", [r"\\server\share\a.json"]),
        (r'"\\server\my share\a.json" -q', [r"\\server\my share\a.json", "-q"]),
        (r"..\keys.env", [r"..\keys.env"]),
        ("--checkpoint C:\\runs\\ -q", ["--checkpoint", "C:\\runs\\", "-q"]),
        ('--checkpoint "C:\\my runs\\" -q', ["--checkpoint", "C:\\my runs\\", "-q"]),
        ('"C:\\my runs\\"', ["C:\\my runs\\"]),
        ('"C:\\a\\" "D:\\b\\"', ["C:\\a\\", "D:\\b\\"]),
        ('--checkpoint "C:\\runs\\" -n "two words"', ["--checkpoint", "C:\\runs\\", "-n", "two words"]),
        (r"%USERPROFILE%\a.json $x {y}", [r"%USERPROFILE%\a.json", "$x", "{y}"]),
    ],
)
def test_a_line_is_split_into_its_words(line: str, words: list[str]) -> None:
    assert words_of(line, "%%rlm") == words


@pytest.mark.parametrize("line", ['-n "two words', "-n 'two", '"a" "b'])
def test_a_quotation_mark_that_is_not_closed_is_named(line: str) -> None:
    with pytest.raises(UsageError, match="close the quotation mark"):
        words_of(line, "%%rlm")


@pytest.mark.skipif(os.sep == "\\", reason="a backslash separates folders there")
async def test_a_backslash_in_the_name_of_a_file_arrives(shell: Any, tmp_path: Path) -> None:
    await shell.value(f"%%rlm -m offline -q --checkpoint {tmp_path}/C:\\runs\\new.json\nsay so")

    assert [name for name in os.listdir(tmp_path) if name.endswith(".json")] == ["C:\\runs\\new.json"]
