"""What of a result a model reads: its texts once, and the bytes of no image."""

import base64
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image as Pillow

from rlm_notebook import AsyncRecursiveEngine, Capabilities, ImagePart, Request, ScriptedModel, tool
from rlm_notebook.core.content import PicturedText
from rlm_notebook.tools.mcp.results import images_of_result, text_of_result

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
        ([image()], {"content": [IMAGE]}, "[image image/png, about 12,000 bytes: only models that see images get it]"),
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


def pixel() -> str:
    written = io.BytesIO()
    Pillow.new("RGB", (1, 1), "red").save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode()


def test_images_are_for_models_that_see_and_damaged_ones_for_none() -> None:
    blocks = [SimpleNamespace(type="image", data=data) for data in (pixel(), DATA, "no base64", pixel())]
    found = images_of_result(SimpleNamespace(content=[*blocks, text("a")]), "chart")
    assert [(image.label, image.media_type) for image in found] == [
        ("chart image 1", "image/png"),
        ("chart image 2", "image/png"),
    ]


@pytest.mark.parametrize("sees", [True, False])
async def test_the_image_beside_a_result_reaches_who_sees_and_no_record(sees: bool, tmp_path: Path) -> None:
    part = ImagePart("chart image 1", "image/png", "d", b"the bytes")

    @tool(version="1")
    def chart(query: str) -> Any:
        """Draw."""
        return PicturedText("[image]", (part,))

    def say(request: Request) -> Any:
        results = [message["content"] for message in request.messages if message["role"] == "tool"]
        if not results:
            return {"tool_calls": [{"name": "chart", "arguments": {"query": "cats"}}]}
        return "saw" if isinstance(results[-1], list) and part in results[-1] else f"read {results[-1]}"

    model = ScriptedModel(say, capabilities=Capabilities(tools=True, images=sees))
    engine = AsyncRecursiveEngine(model, tools=[chart], max_depth=1)
    output = await engine.solve("t", checkpoint=tmp_path / "run.json")
    assert output.content == ("saw" if sees else "read [image]")
    assert "the bytes" not in (tmp_path / "run.json").read_text()
