"""Images as references, and the bytes that models get.

Providers take PNG, JPEG, GIF and WebP of up to 5 MB as base64. A larger one is made smaller, with Pillow.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..core.content import ImagePart
from ..exceptions import ConfigurationError
from ..host.installation import install_command
from .extraction import Unreadable
from .image_kinds import image_kind
from .sizes import size_of_files

__all__ = ["LONGEST_SIDE", "Image", "ImageReference", "encoded", "image_part"]

#: As base64 these are 5 MB, which all providers take.
MOST_BYTES = 3_700_000
#: Of a page or an image that is made smaller, in pixels: providers make larger ones smaller, too.
LONGEST_SIDE = 1_600

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")


@dataclass(frozen=True)
class Image:
    """An image that models with `Capabilities.images` see: `variables={"photo": Image("photo.jpg")}`.

    `source` is the path of a PNG, JPEG, GIF or WebP file, or of a PDF with `page`, counted from 1; or the bytes of such
    an image; or an object that draws itself as PNG (`_repr_png_`, as Pillow's images do). The path of an image in
    `variables` means the same as `Image(path)`. Raises `ConfigurationError` for anything else.
    """

    source: Any = field(repr=False)
    page: int | None = None

    def __post_init__(self) -> None:
        source: Any = self.source
        draw = getattr(source, "_repr_png_", None)
        if callable(draw) and not isinstance(source, type):
            drawn = draw()
            # IPython's own images give their metadata beside it.
            drawn = drawn[0] if isinstance(drawn, tuple) else drawn
            if not isinstance(drawn, bytes):
                raise ConfigurationError(
                    f"Image({type(source).__name__}): its _repr_png_() gave no PNG; give the bytes, or a path"
                )
            object.__setattr__(self, "source", drawn)
        elif isinstance(source, str | Path) and str(source).strip() and "\0" not in str(source):
            object.__setattr__(self, "source", Path(source).expanduser())
        elif not isinstance(source, bytes | bytearray):
            raise ConfigurationError(
                f"Image({source!r:.60}): expected a path, bytes, or an object that draws itself as PNG"
            )
        if self.page is not None and (isinstance(self.page, bool) or not isinstance(self.page, int) or self.page < 1):
            raise ConfigurationError(f"Image(page={self.page!r:.60}): expected the number of a page of a PDF, from 1")
        if self.page is not None and not isinstance(self.source, Path):
            raise ConfigurationError(f"Image(page={self.page}): only the path of a PDF has pages")

    def __repr__(self) -> str:
        shown = repr(str(self.source)) if isinstance(self.source, Path) else f"<{len(self.source):,} bytes>"
        return f"Image({shown}{f', page={self.page}' if self.page is not None else ''})"


class ImageReference:
    """An `Image` under a name; has what a `Reference` of `memory.py` has. `load` raises `Unreadable`."""

    def __init__(self, name: str, value: Any, kind: str, size: int, digest: str, load: Callable[[], ImagePart]) -> None:
        self.name, self.value, self.kind, self.digest = name, value, kind, digest
        self.size = size_of_files(size)
        self._load = load
        self._image: ImagePart | None = None

    @property
    def described(self) -> str:
        return f"{self.name} ({self.kind}, {self.size})"

    @property
    def identity(self) -> list[str]:
        return [self.name, self.kind, self.size]

    @property
    def text(self) -> str:
        return f"[{self.kind}: it has no text]"

    @property
    def image(self) -> ImagePart:
        """Raises `ConfigurationError`."""
        if self._image is None:
            try:
                self._image = self._load()
            except Unreadable as problem:
                raise ConfigurationError(f"variable {self.name!r}: {problem}") from None
        return self._image

    def passages(self) -> tuple[()]:
        """None: nothing of it can be quoted."""
        return ()


def image_part(label: str, data: bytes) -> ImagePart:
    """The image as a part of a message, made smaller where it is too large. Raises `Unreadable`."""
    kind, media = image_kind(data[:16])
    if not kind:
        raise Unreadable("it is no PNG, JPEG, GIF or WebP")
    if len(data) > MOST_BYTES:
        media, data = "image/jpeg", _smaller(data)
    else:
        _require_whole(data)
    return ImagePart(label, media, blake2b(data, digest_size=16).hexdigest(), data)


def _require_whole(data: bytes) -> None:
    """Raises `Unreadable` for an image that is damaged, as far as Pillow is there to see it."""
    try:
        from PIL import Image as Pillow
    except ImportError:
        return
    try:
        Pillow.open(io.BytesIO(data), formats=_FORMATS).verify()
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        raise Unreadable("the image is damaged") from None


def _smaller(data: bytes) -> bytes:
    """A JPEG of at most `LONGEST_SIDE` pixels."""
    try:
        from PIL import Image as Pillow
        from PIL import ImageOps
    except ImportError:
        raise Unreadable(
            f"the image has {len(data):,} bytes, and models take {MOST_BYTES:,}; make it smaller, or "
            f"{install_command('sources')}, which brings Pillow for that"
        ) from None
    try:
        opened = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data), formats=_FORMATS))
        opened.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        return encoded(opened)
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError):
        raise Unreadable(f"the image is damaged, or too large to be made smaller ({len(data):,} bytes)") from None


def encoded(image: Any) -> bytes:
    """An image of Pillow as JPEG, on white."""
    from PIL import Image as Pillow

    if image.mode not in ("L", "RGB"):
        layer = image.convert("RGBA")
        image = Pillow.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=85)
    return written.getvalue()
