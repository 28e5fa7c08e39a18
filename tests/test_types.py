"""`Output`: a mapping, a text and what came with it."""

import pytest

from rlm_notebook import Output
from rlm_notebook.core.limits import Usage


def test_it_is_a_mapping_of_content_and_metadata() -> None:
    output = Output(content="x", metadata={"k": 1})

    assert dict(output) == {"content": "x", "metadata": {"k": 1}}
    assert output == {"content": "x", "metadata": {"k": 1}}
    assert (output.get("content"), output.get("other", 3), len(output)) == ("x", 3, 2)
    with pytest.raises(KeyError):
        output["other"]


def test_its_text_is_its_content_and_in_a_notebook_markdown() -> None:
    output = Output("# Title")

    assert str(output) == output._repr_markdown_() == "# Title"
    assert f"{output}" == "# Title"


def test_it_does_not_share_what_it_was_made_of() -> None:
    metadata = {"k": 1}
    output = Output("x", metadata)
    output.metadata["k"] = 2

    assert metadata == {"k": 1}
    assert (Output().usage, Output().metadata, Output().run, Output().parsed) == (Usage(), {}, None, None)


def test_a_long_answer_is_shortened_where_it_is_only_glanced_at() -> None:
    assert len(repr(Output("x" * 10_000))) < 300
