"""Which files are images: by the bytes that they begin with."""

from __future__ import annotations

__all__ = ["image_kind"]

_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "PNG image", "image/png"),
    (b"\xff\xd8\xff", "JPEG image", "image/jpeg"),
    (b"GIF87a", "GIF image", "image/gif"),
    (b"GIF89a", "GIF image", "image/gif"),
)


def image_kind(head: bytes) -> tuple[str, str]:
    """The kind and the media type of an image that begins with these bytes; two empty texts for anything else."""
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP image", "image/webp"
    return next(((kind, media) for magic, kind, media in _KINDS if head.startswith(magic)), ("", ""))
