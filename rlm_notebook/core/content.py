"""What a message says: text, or a list of texts and images."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "ANSWER_TOKENS",
    "CHARACTERS_OF_IMAGE",
    "CHARACTERS_PER_TOKEN",
    "Content",
    "ImagePart",
    "PicturedText",
    "TextValue",
    "content_characters",
    "content_text",
    "joined_content",
]

#: What an image counts for in estimates, in characters; providers count 800 to 1,700 tokens for one.
CHARACTERS_OF_IMAGE = 6_000
#: How long a token is taken to be in estimates, in characters; and an answer, in tokens.
CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 500


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image in a message.

    `label` is the place that answers cite ("scan.pdf p.3"), `media_type` one of "image/png", "image/jpeg",
    "image/gif" and "image/webp"; `digest` identifies the bytes in keys and records, which never hold `data`.
    """

    label: str
    media_type: str
    digest: str
    data: bytes = field(repr=False, compare=False)

    @property
    def base64(self) -> str:
        return b64encode(self.data).decode()

    @property
    def data_url(self) -> str:
        return f"data:{self.media_type};base64,{self.base64}"


class PicturedText(str):
    """A text with images beside it: the result of a tool. Only models that see images get them, and no record."""

    images: tuple[ImagePart, ...]

    def __new__(cls, text: str, images: tuple[ImagePart, ...]) -> PicturedText:
        made = super().__new__(cls, text)
        made.images = images
        return made


#: The content of a message. Only models with `Capabilities.images` get a list.
Content = str | list[str | ImagePart]


def content_text(content: Any) -> str:
    """The content as text, with a line in brackets for each image."""
    if isinstance(content, str):
        return content
    return "\n".join(part if isinstance(part, str) else f"[image: {part.label}]" for part in content or ())


class TextValue:
    """A value that stands for a text, its `content`, wherever values are written for a model."""

    __slots__ = ()
    content: str


def content_characters(content: Any) -> int:
    """The length of the content, for estimates of tokens."""
    if isinstance(content, str):
        return len(content)
    return sum(len(part) if isinstance(part, str) else CHARACTERS_OF_IMAGE for part in content or ())


def joined_content(content: Content, text: str) -> Content:
    """The content with more text at its end."""
    return f"{content}\n\n{text}" if isinstance(content, str) else [*content, text]
