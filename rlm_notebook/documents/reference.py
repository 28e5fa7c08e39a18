"""A source as a reference: one name for a file or a folder, read and searched by passages.

Each operation of a tool is a pure function of the passages that it concerns, so it can be repeated: what a node has
read is recorded as the operation and the digest of its result. When a file changes, a node runs again only if one of
its operations gives something else now.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from ..core.content import ImagePart
from ..core.text import counted
from ..exceptions import ConfigurationError
from .document import Document, MissingPackage, Selection
from .expressions import Expression
from .extraction import Extraction, Span, Unreadable
from .passages import Passage
from .sizes import SMALL, size_of_files, size_of_text
from .source import Source

__all__ = ["AbsentSource", "SourceReference", "text_digest"]

#: The most that one operation returns, in characters.
PIECE = 2_000
MOST_MATCHES = 20
SEARCH_SECONDS = 10.0
#: Around a match, in characters.
_BEFORE, _BEHIND = 60, 120
_FIRST_LINE = 80


class SourceReference:
    """The files of one source under one name; has what a `Reference` of `memory.py` has.

    Raises `ConfigurationError` for a file that cannot be read; in a folder such a file is left out, as `notes` say.
    """

    def __init__(self, name: str, source: Source, selection: Selection) -> None:
        self.name = name
        self.value: Any = source
        self.documents = selection.documents
        self._form = selection.kind
        self._left_out = dict(selection.left_out)
        #: Whether a model of the run sees images: else what has no text cannot be read.
        self.seen = False
        #: Those that were left out before any was read; reading adds to `_left_out`, and must not change the digest.
        self._never_read = list(self._left_out)

    @property
    def is_single(self) -> bool:
        return self._form == "file"

    @property
    def is_plain(self) -> bool:
        """Whether it is one text file, whose text is the file's."""
        return self.is_single and self.documents[0].is_plain

    @property
    def is_image(self) -> bool:
        return self.is_single and self.documents[0].is_image

    @property
    def is_visible(self) -> bool:
        """Whether anything of it can be shown to a model that sees images."""
        return self.seen and any(document.is_visible for document in self.documents)

    # -- what prompts and keys have of it --------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        source = Path(self.value.path)
        if not self.is_single:
            return f"{self._form} {source.name or source}"
        document = self.documents[0]
        return f"file {source.name}" if document.is_plain else f"{document.kind} {source.name}"

    @property
    def size(self) -> str:
        if self.is_plain:
            return size_of_text(self.text)
        return size_of_files(sum(each.size for each in self.documents), 1 if self.is_single else len(self.documents))

    @property
    def described(self) -> str:
        return f"{self.name} ({self.kind}, {self.size})"

    @property
    def identity(self) -> list[str]:
        size = self.size
        return [self.name, self.kind, *([size] if size != SMALL else [])]

    @cached_property
    def digest(self) -> str:
        if self.is_single:
            return self.documents[0].digest
        files = [f"{each.label}\0{each.digest}" for each in self.documents]
        left_out = [f"{path}\0" for path in self._never_read]
        return text_digest("\n".join([*files, *left_out]))

    def rename(self, label: str) -> None:
        """Cite it under its own name, because another source has the same one."""
        for document in self.documents:
            document.label = label if self.is_single else f"{label}/{document.label}"

    # -- its text --------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read all files. Raises `ConfigurationError`."""
        for document, _ in self._read():
            if self.is_image:
                try:
                    document.image("")
                except Unreadable as problem:
                    raise self._refused(document, problem) from None

    def _read(self) -> Iterator[tuple[Document, Extraction]]:
        """The files that can be read, with their passages."""
        readable = False
        for document in self.documents:
            try:
                extraction = document.extraction
                if not extraction.has_text and document.is_visible and not self.seen:
                    raise _invisible(document, extraction)
            except Unreadable as problem:
                if self.is_single or isinstance(problem, MissingPackage):
                    raise self._refused(document, problem) from None
                self._left_out[document.label] = str(problem)
                continue
            readable = True
            yield document, extraction
        if not readable:
            path, reason = next(iter(self._left_out.items()))
            raise ConfigurationError(f"source {self.name}: no file can be read; {path}: {reason}")

    def _refused(self, document: Document, problem: Unreadable) -> ConfigurationError:
        return ConfigurationError(f"source {document.label}: {problem}")

    @property
    def text(self) -> str:
        """All of its text; of a text file exactly that, of all else with a line in brackets before each passage."""
        if self.is_plain:
            try:
                return self.documents[0].text
            except Unreadable as problem:
                raise self._refused(self.documents[0], problem) from None
        return self._marked[0]

    @cached_property
    def _marked(self) -> tuple[str, list[int], list[str]]:
        """The text with its marks: where in it each begins, and the places that they name."""
        pieces, starts, places, position = list[str](), list[int](), list[str](), 0
        for document, extraction in self._read():
            whole = [Passage(document.label, "", extraction.text)]
            for passage in whole if document.is_plain else document.passages():
                pieces.append(f"[{passage.place}]\n{passage.text}")
                starts.append(position)
                places.append(passage.place)
                position += len(pieces[-1]) + 2
        return "\n\n".join(pieces), starts, places

    @property
    def prose(self) -> str:
        """All of its text without marks."""
        return self.text if self.is_plain else "\n\n".join(extraction.text for _, extraction in self._read())

    def passages(self) -> Iterator[Passage]:
        for document, _ in self._read():
            yield from document.passages()

    @property
    def notes(self) -> list[str]:
        """What could not be read, as far as it has been read, a sentence each."""
        read = ((document.label, document.outcome) for document in self.documents)
        found = [
            f"{label}: {note}" for label, outcome in read if isinstance(outcome, Extraction) for note in outcome.notes
        ]
        if self._left_out:
            shown = "; ".join(f"{path}: {reason}" for path, reason in islice(self._left_out.items(), 3))
            more = f"; and {len(self._left_out) - 3} more" if len(self._left_out) > 3 else ""
            found.append(f"{self.name}: {counted(len(self._left_out), 'file')} left out ({shown}{more})")
        return found

    # -- operations of tools ---------------------------------------------------------------------------------------

    def read(self, start: int, length: int) -> str:
        """A piece of the whole text."""
        text, start = self.text, max(0, start)
        piece = text[start : start + max(0, min(length, PIECE))]
        end, place = start + len(piece), ""
        if piece and self.is_plain:
            place = f"; {self.documents[0].label} {self.documents[0].extraction.anchor_of(start, end)}"
        elif piece:
            _, starts, places = self._marked
            place = f"; from {places[max(0, bisect_right(starts, start) - 1)]} on"
        return f"[{self.name}: characters {start} to {end} of {len(text)}{place}]\n{piece}"

    def read_passage(self, anchor: str, start: int, length: int) -> str:
        """A piece of one passage. Raises `ValueError` for an anchor that does not exist."""
        document, span = self._passage(anchor)
        extraction = document.extraction
        text = extraction.text[span.start : span.end]
        start = max(0, start)
        piece = text[start : start + max(0, min(length, PIECE))]
        if self.seen and document.is_visible and not text.strip():
            piece = "(no text; view_reference shows it)"
        columns = f"; columns: {extraction.header}" if extraction.header else ""
        place = Passage(document.label, span.anchor, "").place
        return f"[{place}: characters {start} to {start + len(piece)} of {len(text)}{columns}]\n{piece}"

    def search(self, wanted: Expression) -> str:
        """The matches of an expression, each with its place, the start to read on from, and the line it is in.

        Raises `TimeoutError`.
        """
        found: list[str] = []
        deadline = time.monotonic() + SEARCH_SECONDS
        for document, extraction in self._read():
            left = max(0.01, deadline - time.monotonic())
            matches = wanted.matches(extraction.text, left)
            room = MOST_MATCHES - len(found)
            for match in islice(matches, room):
                at, text = match.start(), extraction.text
                span = extraction.span_at(at)
                if span is None:
                    found.append(f"{document.label}: (empty)")
                    continue
                begin, end = max(span.start, at - _BEFORE), min(span.end, at + _BEHIND)
                if document.is_plain:
                    # Lines of a page say little: there, the match is shown with what surrounds it.
                    begin, line_end = max(begin, text.rfind("\n", begin, at) + 1), text.find("\n", at, end)
                    end = line_end if line_end >= 0 else end
                place = Passage(document.label, extraction.anchor_of(at, at + 1), "").place
                found.append(f"{place} (start {at - span.start}): {' '.join(text[begin:end].split())}")
            if len(found) >= MOST_MATCHES:
                break
        if not found:
            return f"[{self.name}: nothing matches {wanted.pattern!r}]"
        listed = "\n".join(found)
        more = "the first " if len(found) == MOST_MATCHES else ""
        return f"[{self.name}: {more}{len(found)} matches; start is counted within the passage]\n{listed}"[:PIECE]

    def sample(self, count: int) -> str:
        """Lines of passages from all over it, the same ones every time, each with its place."""
        passages = [(document, span) for document, extraction in self._read() for span in extraction.spans]
        chosen = sorted(random.Random(0).sample(range(len(passages)), max(0, min(count, len(passages), 100))))
        room = PIECE // max(1, len(chosen)) - 1
        found = (
            (Passage(document.label, span.anchor, "").place, document, span)
            for document, span in map(passages.__getitem__, chosen)
        )
        return "\n".join(_entry(*each, longest=room)[:room] for each in found)

    def contents(self, file: str, start: int) -> str:
        """The table of contents: the files of a folder, or the passages of one file, from the entry `start` on."""
        if self.is_single or file.strip():
            document = self._addressed(file.strip())[0] if file.strip() else self.documents[0]
            extraction = self._extraction_of(document)
            entries: Iterator[str] = (_entry(span.anchor, document, span) for span in extraction.spans[max(0, start) :])
            notes = "".join(f"; {note}" for note in extraction.notes)
            title, count = f"{document.label} ({document.kind}{notes})", len(extraction.spans)
        else:
            files = [f"{each.label} ({each.kind}, {size_of_files(each.size)})" for each in self.documents]
            left_out = [f"{path}: left out, {reason}" for path, reason in self._left_out.items()]
            entries, title, count = iter([*files, *left_out][max(0, start) :]), self.name, len(files) + len(left_out)
        shown, room = list[str](), PIECE
        for entry in entries:
            room -= len(entry) + 1
            if room < 0 and shown:
                break
            shown.append(entry)
        end = max(0, start) + len(shown)
        more = f"; the next ones: start={end}" if end < count else ""
        return "\n".join([f"[{title}: entries {max(0, start)} to {end} of {count}{more}]", *shown])

    def passage_digest(self, anchor: str) -> tuple[str, str]:
        """The place of the passage that an anchor names, and the digest of its text. Raises `ValueError`."""
        document, span = self._passage(anchor)
        place = span.anchor if self.is_single else Passage(document.label, span.anchor, "").place
        return place, text_digest(document.extraction.text[span.start : span.end])

    def view(self, anchor: str) -> ImagePart:
        """A page of a PDF, or an image. Raises `ValueError`."""
        document, span = self._passage(anchor)
        try:
            return document.image(span.anchor)
        except Unreadable as problem:
            raise ValueError(f"{document.label} cannot be shown: {problem}") from None

    def without_text(self) -> Iterator[ImagePart]:
        """What has no text and can be shown instead, in order. Raises `ConfigurationError`."""
        for document, extraction in self._read():
            for span in extraction.spans if document.is_visible else ():
                if not extraction.text[span.start : span.end].strip():
                    try:
                        yield document.image(span.anchor)
                    except Unreadable as problem:
                        raise self._refused(document, problem) from None

    # -- anchors ---------------------------------------------------------------------------------------------------

    def _passage(self, anchor: str) -> tuple[Document, Span]:
        document, rest = self._addressed(anchor.strip())
        extraction = self._extraction_of(document)
        span = document.find(rest)
        if span is None and not rest and extraction.spans:
            span = extraction.spans[0]
        if span is None:
            names = [each.anchor for each in extraction.spans]
            known = ", ".join(names) if len(names) < 5 else f"{names[0]}, {names[1]} to {names[-1]}"
            raise ValueError(f"there is no passage {rest!r} in {document.label}; there are: {known or 'none'}")
        return document, span

    def _addressed(self, place: str) -> tuple[Document, str]:
        """The file that a place begins with, and the anchor behind it."""
        by_length = sorted(self.documents, key=lambda each: -len(each.label))
        for document in by_length:
            if place == document.label or place.startswith(f"{document.label} "):
                return document, place[len(document.label) :].strip()
        if len(self.documents) == 1:
            return self.documents[0], place
        # A name without its folders, where only one file has it.
        for document in by_length:
            name = document.label.rpartition("/")[2]
            if place == name or place.startswith(f"{name} "):
                same = [each for each in self.documents if each.label.rpartition("/")[2] == name]
                if len(same) == 1:
                    return document, place[len(name) :].strip()
        known = ", ".join(each.label for each in self.documents[:5])
        raise ValueError(f"no file of {self.name} is at the beginning of {place!r}; there are: {known}, ...")

    def _extraction_of(self, document: Document) -> Extraction:
        try:
            return document.extraction
        except MissingPackage as problem:
            raise self._refused(document, problem) from None
        except Unreadable as problem:
            raise ValueError(f"{document.label} cannot be read: {problem}") from None


class AbsentSource:
    """A source that is not there any more, in a replay: what was recorded of it is all that is known.

    `digest` is the recorded one, which a replay compares with the request that was recorded.
    """

    def __init__(self, name: str, value: Any, digest: str, problem: ConfigurationError) -> None:
        self.name, self.value, self.digest = name, value, digest
        self.kind, self.size = "not here", "recorded only"
        self.problem = problem

    @property
    def described(self) -> str:
        return f"{self.name} ({self.kind})"

    @property
    def identity(self) -> list[str]:
        return [self.name, self.kind]

    @property
    def text(self) -> str:
        raise self.problem

    def passages(self) -> Iterator[Passage]:
        raise self.problem


def _entry(place: str, document: Document, span: Span, longest: int = _FIRST_LINE) -> str:
    """A passage in a list: its place and its first line."""
    text = document.extraction.text
    first = next((line for line in text[span.start : min(span.end, span.start + 500)].splitlines() if line.strip()), "")
    shown = " ".join(first.split())[:longest]
    return place if shown == span.anchor.removeprefix("§") else f"{place}: {shown or '(no text)'}"


def _invisible(document: Document, extraction: Extraction) -> Unreadable:
    """Why a file without text cannot be read where no model sees images."""
    choose = "choose a model that sees images"
    if document.is_image:
        return Unreadable(f"it is an image, and no model of this run sees images; {choose}, or give its text")
    count = len(extraction.spans)
    pages = f"{count} of {count} pages hold" if count > 1 else "its page holds"
    return Unreadable(f"{pages} no text: it is a scan; run OCR first (ocrmypdf, say), and give the result, or {choose}")


def text_digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
