"""The command line `rlm-notebook`: mistakes are one line that says what was probably meant."""

from __future__ import annotations

import pytest

from rlm_notebook.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "x"], "did you mean run?"),
        (["doctr"], "did you mean doctor?"),
        (["run", "x", "--modle", "y"], "did you mean --mode or --model?"),
        (["show", "x", "--mermaids"], "did you mean --mermaid?"),
        (["run"], "the following arguments are required: task"),
        (["run", "x", "--max-depth", "deep"], "invalid int value: 'deep'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert "--help` lists what there is" in lines[0]
