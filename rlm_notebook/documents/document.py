"""One file of a source: identified by its bytes, read when its text is first needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import blake2b
from importlib.util import find_spec
from typing import NamedTuple

from ..core.content import ImagePart
from ..host.installation import install_command
from . import cache
from .anchors import covers, folded
from .extraction import Extraction, Extractor, Span, Unreadable
from .extractors.text import decoded
from .files import Contents, FileAt, contents_of
from .images import image_part
from .passages import Passage

__all__ = ["Document", "MissingPackage", "Selection"]

#: Packages whose module has another name.
_MODULES = {"python-docx": "docx"}
#: Drawn pages that are kept, per file.
_MOST_DRAWN = 8


class MissingPackage(Unreadable):
    """A file cannot be read without a package that is not installed."""


class Document:
    """A file that is cited as `label`. `size` is in bytes; `digest` covers its bytes and the extractor's version.

    Its text may be read by several threads.
    """

    def __init__(self, label: str, file: FileAt, contents: Contents, extractor: Extractor, most_bytes: int) -> None:
        self.label = label
        self.kind = extractor.kind
        self.size = contents.size
        self.is_plain = extractor.plain
        #: Whether models that see images can be shown it; an image has nothing else to show.
        self.is_visible = extractor.draw is not None
        self.is_image = self.is_visible and not extractor.package
        self._file = file
        self._contents = contents
        self._extractor = extractor
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._text: str | None = None
        self._drawn: dict[str, ImagePart] = {}
        #: What came of reading it, once it has been read.
        self.outcome: Extraction | Unreadable | None = None

    @property
    def digest(self) -> str:
        if self.is_plain and self._extractor.version == "1":
            return self._contents.digest
        identity = f"{self._contents.digest} {self._version}"
        return blake2b(identity.encode(), digest_size=16).hexdigest()

    @property
    def _version(self) -> str:
        return f"{self._extractor.kind} {self._extractor.version}"

    @property
    def text(self) -> str:
        """The whole text. Raises `Unreadable`."""
        with self._lock:
            if self._text is None and self.is_plain:
                self._text, _ = decoded(self._bytes())
        return self._text if self._text is not None else self.extraction.text

    @property
    def extraction(self) -> Extraction:
        """Its text with its passages: those of the cache, or else extracted. Raises `Unreadable`."""
        with self._lock:
            if self.outcome is None:
                try:
                    self.outcome = self._extracted()
                    self._text = self.outcome.text
                except Unreadable as problem:
                    self.outcome = problem
            if isinstance(self.outcome, Unreadable):
                raise self.outcome
            return self.outcome

    def _extracted(self) -> Extraction:
        extractor = self._extractor
        # A plain text is read as fast as it would be found.
        known = cache.load(self._contents.digest, self._version) if not self.is_plain else None
        if known is not None:
            return known
        package = extractor.package
        if package and find_spec(_MODULES.get(package, package)) is None:
            raise MissingPackage(
                f"reading {extractor.kind} needs {package}, which is not installed: {install_command('sources')}"
            )
        content = self._bytes()
        if extractor.read_path is not None:
            found = extractor.read_path(self._file.path)
        else:
            assert extractor.read is not None, "an extractor reads bytes or a path"
            found = extractor.read(content)
        if not self.is_plain:
            cache.save(self._contents.digest, self._version, found)
        return found

    def _bytes(self) -> bytes:
        return contents_of(self._file, self._contents.digest, self._most_bytes)

    def image(self, anchor: str) -> ImagePart:
        """A page of it, or all of an image, as an image. Raises `Unreadable`."""
        draw = self._extractor.draw
        if draw is None:
            raise Unreadable(f"a file of kind {self.kind} is not drawn, but read as text")
        with self._lock:
            if anchor not in self._drawn:
                place = Passage(self.label, anchor, "").place
                drawn = image_part(place, draw(self._bytes(), anchor))
                if len(self._drawn) >= _MOST_DRAWN:
                    self._drawn.pop(next(iter(self._drawn)))
                self._drawn[anchor] = drawn
            return self._drawn[anchor]

    def passages(self) -> Iterator[Passage]:
        """All of its text in passages. Raises `Unreadable`."""
        extraction = self.extraction
        for span in extraction.spans:
            yield Passage(self.label, span.anchor, extraction.text[span.start : span.end])

    def find(self, anchor: str) -> Span | None:
        """The passage that an anchor names, as a model may write it. Raises `Unreadable`."""
        spans, wanted = self.extraction.spans, folded(anchor)
        exact = next((span for span in spans if folded(span.anchor) == wanted), None)
        if exact is not None or not wanted:
            return exact
        return next((span for span in spans if covers(span.anchor, anchor)), None)


class Selection(NamedTuple):
    """The files of a source. `kind`: "file", "folder" or "glob"; `left_out`: paths and reasons."""

    kind: str
    documents: list[Document]
    left_out: list[tuple[str, str]]
