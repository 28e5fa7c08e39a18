"""What is kept of a cell's output."""

from hypothesis import given
from hypothesis import strategies as st

from rlm_notebook.sandbox.output import KeptOutput, shortened


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(0, 60))
def test_output_keeps_its_beginning_and_its_end(pieces: list[str], limit: int) -> None:
    kept, whole = KeptOutput(limit), "".join(pieces)
    for piece in pieces:
        kept.write(piece)

    if len(whole) <= limit:
        assert kept.text == whole
    else:
        head, tail = limit - limit // 2, limit // 2
        said = f"\n[… {len(whole) - limit:,} characters left out …]\n"
        assert kept.text == whole[:head] + said + whole[len(whole) - tail :]


def test_a_text_is_shortened_like_output() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdef", 4) == "ab\n[… 2 characters left out …]\nef"
