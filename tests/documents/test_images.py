"""Images: who sees them, in which form, what is recorded of them, and what runs again."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from rlm_notebook import (
    AsyncRecursiveEngine,
    Capabilities,
    ConfigurationError,
    Image,
    ImagePart,
    RecursiveEngine,
    Request,
    ScriptedModel,
    SharedMemory,
)
from rlm_notebook.models.anthropic.request import arguments_for, body_of
from rlm_notebook.models.callable import CallableModel
from rlm_notebook.models.openai import OpenAIModel, chat, responses
from rlm_notebook.models.openai.request import ProviderRequest
from rlm_notebook.ports.model import Message, NodeFacts
from tests.support.pdf import pdf

SEES = Capabilities(images=True)
SEES_BY_TOOLS = Capabilities(tools=True, images=True)


def png(color: str, size: tuple[int, int] = (4, 3)) -> bytes:
    written = io.BytesIO()
    Pillow.new("RGB", size, color).save(written, "PNG")
    return written.getvalue()


def images_of(request: Request) -> list[ImagePart]:
    contents = [message["content"] for message in request.messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part for part in parts if isinstance(part, ImagePart)]


def viewing(page: str) -> Callable[[Request], Any]:
    """A worker that looks at a page, and says which images it has been shown."""

    def reply(request: Request) -> Any:
        if request.mode == "planner":
            return {"decision": "EXECUTE"}
        if request.messages[-1]["role"] == "tool":
            return ", ".join(image.label for image in images_of(request)) or "saw nothing"
        return {"tool_calls": [{"name": "view_reference", "arguments": {"name": "scan", "anchor": page}}]}

    return reply


async def test_the_prompt_shows_an_image_and_the_record_names_it_alone(tmp_path: Path) -> None:
    photo, run = tmp_path / "photo.png", tmp_path / "run.json"
    photo.write_bytes(png("red"))
    model = ScriptedModel(capabilities=SEES)
    engine = AsyncRecursiveEngine(model, max_depth=1)
    for color, calls in (("red", 1), ("red", 1), ("blue", 2)):
        photo.write_bytes(png(color))
        output = await engine.solve("t", variables={"photo": photo}, checkpoint=run)
        assert model.calls == calls
        assert images_of(model.requests[-1])[0].data == png(color)
        assert output.run.tree["0"].reads.keys() == {"photo"}
    recorded = run.read_text()
    assert base64.b64encode(png("blue")).decode()[:40] not in recorded
    assert len(recorded) < 10_000
    assert "[image: photo.png]" in str(output.run.internals.describe_prompt("0"))
    photo.unlink()
    again = await engine.solve("t", variables={"photo": photo}, checkpoint=run, mode="replay")
    assert (again.content, model.calls) == (output.content, 2)


async def test_a_page_without_text_is_viewed_and_runs_again_alone(tmp_path: Path) -> None:
    scan, run = tmp_path / "scan.pdf", tmp_path / "run.json"
    model = ScriptedModel(viewing("p.2"), capabilities=SEES_BY_TOOLS)
    engine = AsyncRecursiveEngine(model, max_depth=1)
    for pages, calls in ((["", "", ""], 2), (["", "", "words"], 2), (["", "changed", ""], 4)):
        scan.write_bytes(pdf(pages))
        output = await engine.solve("t", variables={"scan": scan}, checkpoint=run)
        assert output.content == "scan.pdf p.2"
        assert model.calls == calls
    (seen,) = images_of(model.requests[-1])
    assert max(Pillow.open(io.BytesIO(seen.data)).size) == 1_600
    assert set(output.run.tree["0"].reads) == {"scan :: view p.2"}
    assert output.run.tree["0"].tool_calls[0].content == "[scan.pdf p.2: shown as an image]"


async def test_an_interrupted_node_is_shown_the_page_again(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(pdf(["", ""]))
    given: Any = {"variables": {"scan": tmp_path / "scan.pdf"}, "checkpoint": tmp_path / "run.json"}

    def broken(request: Request) -> Any:
        if request.messages[-1]["role"] == "tool":
            raise RuntimeError("the network is down")
        return viewing("p.1")(request)

    engine = AsyncRecursiveEngine(ScriptedModel(broken, capabilities=SEES_BY_TOOLS), max_depth=1)
    with pytest.raises(Exception, match="the network is down"):
        await engine.solve("t", **given)
    model = ScriptedModel(viewing("p.1"), capabilities=SEES_BY_TOOLS)
    output = await AsyncRecursiveEngine(model, max_depth=1).solve("t", **given)
    assert (output.content, model.calls) == ("scan.pdf p.1", 1)


async def test_a_model_without_tools_sees_pages_without_text(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(pdf(["", "words", *[""] * 20]))
    model = ScriptedModel(capabilities=SEES)
    await AsyncRecursiveEngine(model, max_depth=1).solve("t", variables={"scan": tmp_path / "scan.pdf"})
    labels = [image.label for image in images_of(model.requests[0])]
    assert labels == [f"scan.pdf p.{page}" for page in (1, *range(3, 12))]


async def test_a_damaged_image_is_refused_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    model = ScriptedModel(capabilities=SEES)
    with pytest.raises(ConfigurationError, match=r"source photo\.jpg: the image is damaged"):
        await AsyncRecursiveEngine(model).solve("t", variables={"photo": tmp_path / "photo.jpg"})
    assert model.calls == 0


@pytest.mark.parametrize("name", ["photo.png", "scan.pdf", "image"])
async def test_a_run_whose_models_see_nothing_is_refused_before_any_call(tmp_path: Path, name: str) -> None:
    (tmp_path / "photo.png").write_bytes(png("red"))
    (tmp_path / "scan.pdf").write_bytes(pdf(["", ""]))
    value = Image(png("red")) if name == "image" else tmp_path / name
    model = ScriptedModel()
    with pytest.raises(ConfigurationError, match="sees images"):
        await AsyncRecursiveEngine(model).solve("t", variables={"it": value})
    assert model.calls == 0
    # One agent that sees is enough.
    engine = AsyncRecursiveEngine(model, agents={"planner": model, "eye": ScriptedModel(capabilities=SEES)})
    assert (await engine.solve("t", variables={"it": value})).content


async def test_a_folder_offers_its_images_to_those_who_see(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "b.png").write_bytes(png("red"))
    output = await AsyncRecursiveEngine(ScriptedModel()).solve("t", variables={"scan": tmp_path})
    assert "it is an image" in output.run.notes[0]
    model = ScriptedModel(viewing("b.png"), capabilities=SEES_BY_TOOLS)
    output = await AsyncRecursiveEngine(model, max_depth=1).solve("t", variables={"scan": tmp_path})
    assert output.content == "b.png"
    assert output.run.notes == []


def test_values_that_are_images(tmp_path: Path) -> None:
    (tmp_path / "two.pdf").write_bytes(pdf(["one", "two"]))
    drawn = Pillow.new("RGB", (2, 2), "green")
    page = Image(tmp_path / "two.pdf", page=2)
    memory = SharedMemory({"drawn": drawn, "page": page, "bytes": Image(png("red"))})
    memory.load(seen=True)
    assert [image.media_type for image in memory.shown.values()] == ["image/png", "image/jpeg", "image/png"]
    assert memory.described[1] == "page (page 2 of PDF two.pdf, up to 1 kB)"
    other = SharedMemory({"page": Image(tmp_path / "two.pdf", page=1)})
    assert other.digests()["page"] != memory.digests()["page"]
    for wrong in (Image(b"GIF"), Image(tmp_path / "none.png"), Image(tmp_path / "two.pdf"), Image(tmp_path)):
        with pytest.raises(ConfigurationError):
            SharedMemory({"it": wrong})
    for arguments in ((1,), ("",), ("a.pdf", 0), (b"", 1)):
        with pytest.raises(ConfigurationError):
            Image(*arguments)
    too_many = SharedMemory({"it": Image(tmp_path / "two.pdf", page=3)})
    with pytest.raises(ConfigurationError, match="there is no page 3; it has 2"):
        too_many.load(seen=True)


def test_a_large_image_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_notebook.documents.images.MOST_BYTES", 100)
    memory = SharedMemory({"it": Image(png("red", (3_000, 300)))})
    memory.load(seen=True)
    assert Pillow.open(io.BytesIO(memory.shown["it"].data)).size == (1_600, 160)
    broken = b"\x89PNG\r\n\x1a\n" + b"x" * 90
    with pytest.raises(ConfigurationError, match="too large to be made smaller"):
        SharedMemory({"it": Image(broken * 2)})
    with pytest.raises(ConfigurationError, match="the image is damaged"):
        SharedMemory({"it": Image(broken)})


IMAGE = ImagePart("photo.png", "image/png", "d", b"bytes")
URL = f"data:image/png;base64,{base64.b64encode(b'bytes').decode()}"
CALL = {"id": "c1", "name": "view_reference", "arguments": {"name": "photo"}}
MESSAGES: tuple[Message, ...] = (
    {"role": "system", "content": "s"},
    {"role": "user", "content": ["look", IMAGE]},
    {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": "c2"}]},
    {"role": "tool", "content": ["shown", IMAGE], "tool_call_id": "c1"},
    {"role": "tool", "content": "nothing", "tool_call_id": "c2"},
)


def test_each_provider_gets_its_own_form() -> None:
    request = Request("worker", MESSAGES, NodeFacts("t"))
    seen = {"type": "image_url", "image_url": {"url": URL}}
    sent = chat.body(ProviderRequest("m", request, official=False))["messages"]
    assert sent[1]["content"] == [{"type": "text", "text": "look"}, seen]
    assert [message["role"] for message in sent[3:]] == ["tool", "tool", "user"]
    assert sent[3]["content"] == "shown"
    assert sent[5]["content"] == [{"type": "text", "text": "photo.png"}, seen]

    items = responses.body(ProviderRequest("m", request, official=True))["input"]
    image = {"type": "input_image", "image_url": URL, "detail": "auto"}
    assert items[1]["content"] == [{"type": "input_text", "text": "look"}, image]
    assert items[4]["output"] == [{"type": "input_text", "text": "shown"}, image]

    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": URL.partition(",")[2]}}
    user, _, results = body_of(request, {}, "claude", 100, None)["messages"]
    assert user["content"] == [{"type": "text", "text": "look"}, block]
    assert results["content"][0]["content"] == [{"type": "text", "text": "shown"}, block]
    # What a callable is given is the form of chat completions, from which Anthropic's is made.
    assert block in arguments_for(sent)["messages"][2]["content"]


def test_a_callable_says_that_it_sees() -> None:
    given: list[Any] = []

    def see(inputs: list[dict[str, Any]], context: dict[str, Any]) -> str:
        given.extend(inputs)
        return "a red square"

    with pytest.raises(ConfigurationError, match="sees images"):
        RecursiveEngine(see, max_depth=1).solve("t", variables={"photo": Image(png("red"))})
    model = CallableModel(see, images=True)
    assert str(RecursiveEngine(model, max_depth=1).solve("t", variables={"photo": Image(png("red"))})) == "a red square"
    assert given[1]["content"][-1]["image_url"]["url"].startswith("data:image/png;base64,")
    assert [OpenAIModel(name).capabilities.images for name in ("gpt-5-mini", "gpt-4o", "gpt-4", "o3-mini")] == [
        True,
        True,
        False,
        False,
    ]
