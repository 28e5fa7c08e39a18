"""Code in the text of a reply."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.core.code_text import code_blocks, with_block, without_unclosed


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("I look.\n```python\nprint(1)\n```\nand\n```repl\nprint(2)\n```", ["print(1)", "print(2)"]),
        ("```json\n{}\n```\n```py\nx = 1\n```", ["x = 1"]),
        ("````python\ns = '''\n```\n'''\n````", ["s = '''\n```\n'''"]),
        ("~~~python\nx\n~~~", ["x"]),
        ("```\nx = 1\n```", ["x = 1"]),
        ("```\nnot python at all\n```", []),
        ("```python\nunclosed = 1", ["unclosed = 1"]),
        ("no code", []),
        ("FINAL(42)", ["FINAL(42)"]),
        ("So it is.\nFINAL(The answer is 42.)", ["FINAL('The answer is 42.')"]),
        ("FINAL_VAR(result)", ['FINAL_VAR("result")']),
        ("1. I look:\n    ```python\n    for x in y:\n        print(x)\n    ```", ["for x in y:\n    print(x)"]),
        ("```python\ns = '''\n    ```\n'''\n```", ["s = '''\n    ```\n'''"]),
        ("```tool_code\nprint(1)\n```", ["print(1)"]),
        ("```Python3.12\nprint(1)\n```\n```pycon\n>>> 1\n```", ["print(1)"]),
        ("So:\n```python print(len(context))```", ["print(len(context))"]),
        ("lines = context.splitlines()\nFINAL(len(lines))\n", ["lines = context.splitlines()\nFINAL(len(lines))"]),
        ("import re", ["import re"]),
        ("print(context[:100])", ["print(context[:100])"]),
        ("42", []),
        ("Paris", []),
        ("Paris (France)", []),
        ("not found", []),
        ("x = 5", []),
        ("So it is Paris.\nprint(1)", []),
    ],
)
def test_the_code_of_a_reply(text: str, blocks: list[str]) -> None:
    assert code_blocks(text) == blocks


def test_a_block_that_was_cut_off_does_not_run() -> None:
    kept = without_unclosed("First.\n```python\na = 1\n```\n```python\nb = ")
    assert code_blocks(kept) == ["a = 1"]
    assert without_unclosed(kept) == kept
    assert without_unclosed("total = 0\nprint(total)") == ""


CODES = st.lists(st.sampled_from(["a = 1", "b = 2\nprint(b)", "FINAL('x')"]), min_size=1, max_size=4)


@given(CODES, st.data())
def test_a_changed_block_is_in_its_place_and_nothing_follows_it(codes: list[str], data: st.DataObject) -> None:
    text = "thought\n" + "\nmore\n".join(f"```python\n{code}\n```" for code in codes)
    place = data.draw(st.integers(0, len(codes) - 1))

    changed = with_block(text, place, "new = 0")

    assert code_blocks(changed) == [*codes[:place], "new = 0"]
