"""What of a result a model reads: its texts once, and the bytes of no image."""

from types import SimpleNamespace
from typing import Any

import pytest

from rlm_notebook.tools.mcp.results import text_of_result

DATA = "iVBORw0KGgp4eA==" * 1_000
IMAGE = {"type": "image", "data": DATA, "mimeType": "image/png"}


def text(content: str) -> Any:
    return SimpleNamespace(type="text", text=content)


def image() -> Any:
    return SimpleNamespace(type="image", data=DATA, mime_type="image/png")


@pytest.mark.parametrize(
    ("blocks", "structured", "read"),
    [
        ([text("a file\n")], {"content": "a file\n"}, "a file\n"),
        ([text("a"), text("b")], {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ([text("a")], {"content": "b"}, 'a\n{"content": "b"}'),
        ([text("3")], {"result": 3}, "3"),
        ([text("a")], {"a": 1, "b": 2}, 'a\n{"a": 1, "b": 2}'),
        ([image()], {"content": [IMAGE]}, "[image image/png, about 12,000 bytes: left out, only text is passed on]"),
        (
            [text("drawn")],
            {"chart": {"of": [IMAGE]}},
            'drawn\n{"chart": {"of": [{"type": "image", "data": "about 12,000 bytes, left out", '
            '"mimeType": "image/png"}]}}',
        ),
    ],
)
def test_structured_content_is_added_where_the_text_does_not_hold_it(
    blocks: list[Any], structured: Any, read: str
) -> None:
    assert text_of_result(SimpleNamespace(content=blocks, structured_content=structured), 100_000) == read
