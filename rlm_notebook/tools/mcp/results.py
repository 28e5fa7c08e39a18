"""The result of a call as text for the model: data of a stranger, never instructions of ours; and never shortened
without a word."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ...core.content import ImagePart
from ...core.text import printable, well_formed
from ...documents.extraction import Unreadable
from ...documents.images import image_part

__all__ = ["images_of_result", "limited", "text_of_resource", "text_of_result"]

#: Of one result, and the bytes of one as base64.
MOST_IMAGES, MOST_OF_IMAGE = 10, 5_000_000


def text_of_result(result: Any, most: int) -> str:
    """The content of a `CallToolResult`, at most `most` characters of it and a note of what was left out."""
    parts = [_block(block) for block in result.content]
    structured = result.structured_content
    if structured is not None and not _is_said(structured, parts, result.content):
        parts.append(json.dumps(_without_media(structured), ensure_ascii=False))
    return limited(well_formed("\n".join(parts)), most)


def images_of_result(result: Any, name: str) -> tuple[ImagePart, ...]:
    """The images among the content, for models that see them; one that is too large or damaged is left out."""
    found: list[ImagePart] = []
    for block in result.content:
        if block.type != "image" or len(block.data) > MOST_OF_IMAGE or len(found) == MOST_IMAGES:
            continue
        with suppress(ValueError, Unreadable):
            found.append(image_part(f"{name} image {len(found) + 1}", b64decode(block.data, validate=True)))
    return tuple(found)


def text_of_resource(result: Any) -> str:
    """The texts of a resource. Content that is no text is named."""
    return well_formed("\n".join(_contents(each) for each in result.contents))


def limited(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    left_out = f"This result has {len(text):,} characters, and only the first {most:,} are here"
    return f"{text[:most]}\n[{left_out}. Ask for less: a part, a page, a narrower query.]"


def _block(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type in ("image", "audio"):
        # Base64 has four characters for three bytes.
        size = len(block.data) * 3 // 4
        who = "only models that see images get it" if block.type == "image" else "left out, only text is passed on"
        return f"[{block.type} {printable(block.mime_type)}, about {size:,} bytes: {who}]"
    if block.type == "resource_link":
        name = f" ({printable(block.name)})" if block.name else ""
        return f"[resource {printable(block.uri)}{name}: linked, not read]"
    if block.type == "resource":
        return _contents(block.resource)
    return f"[content of type {printable(str(block.type))}: left out, only text is passed on]"


def _contents(contents: Any) -> str:
    text = getattr(contents, "text", None)
    if text is not None:
        return str(text)
    kind = printable(contents.mime_type or "data")
    size = len(contents.blob) * 3 // 4
    return f"[resource {printable(contents.uri)}, {kind}, about {size:,} bytes: left out, only text is passed on]"


def _is_said(structured: Any, parts: Sequence[str], blocks: Sequence[Any]) -> bool:
    """Whether the texts hold the structured content already, as servers should have them do."""
    if not parts:
        return False
    if isinstance(structured, dict) and len(structured) == 1:
        # The wrapping of a value that is no object: of the text, or of all blocks.
        value = next(iter(structured.values()))
        if "result" in structured or value == "\n".join(parts):
            return True
        if isinstance(value, list):
            kinds = [each.get("type") if isinstance(each, dict) else None for each in value]
            if kinds == [block.type for block in blocks]:
                return True
    for part in parts:
        with suppress(ValueError, RecursionError):
            if json.loads(part) == structured:
                return True
    return False


def _without_media(value: Any) -> Any:
    """The value without the bytes of images and sounds in it."""
    if isinstance(value, list):
        return [_without_media(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") in ("image", "audio") and isinstance(value.get("data"), str):
        return {**value, "data": f"about {len(value['data']) * 3 // 4:,} bytes, left out"}
    return {name: _without_media(each) for name, each in value.items()}
