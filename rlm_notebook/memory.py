"""Variables offered by reference: a prompt names them, and a worker reads what it needs through tools.

A large value is never pasted into a prompt. The run records which values a node has read, and which passages of files,
so that a change re-runs the nodes that read what has changed, and no others. Files are in `documents/`.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from keyword import iskeyword
from pathlib import Path
from threading import Lock
from typing import Any

from .core.content import ImagePart
from .core.error_text import await_hint
from .core.reads import OPERATION, parts_of
from .documents.expressions import compiled
from .documents.extraction import Unreadable
from .documents.images import Image, ImageReference, image_part
from .documents.passages import Passage
from .documents.quotes import QuoteIndex
from .documents.readable_text import ReadableText
from .documents.reference import AbsentSource, SourceReference, text_digest
from .documents.selection import selected
from .documents.sizes import SMALL, size_of_text
from .documents.source import Source
from .exceptions import ConfigurationError
from .ports.model import ReferencedText
from .tools import Tool, tool
from .types import Output
from .values import NoText, is_table, json_text, table_columns, table_text, typed_text, unspoken_text

__all__ = ["ReadableText", "Reference", "SharedMemory"]

#: Longer values are never shown whole, in characters.
THRESHOLD = 8_000
#: The most that one tool call returns, in characters.
PIECE = 2_000
MOST_MATCHES = 20
MOST_LINES = 100
SEARCH_SECONDS = 1.0
#: The images that a prompt shows at once.
MOST_SHOWN = 10
#: Seconds for repeating recorded operations on changed sources; what is left then counts as changed.
MOST_REPEATING = 10.0
#: Longer texts are not copied into the session of a code node, in characters.
MOST_COPIED = 5_000_000


@dataclass(frozen=True)
class Reference:
    """One value as text: its kind, and its content, which is loaded on first use.

    `load` returns the text and, where different values have the same text, a second text that distinguishes them.
    """

    name: str
    kind: str
    load: Callable[[], tuple[str, str]]
    #: The value as it was given.
    value: Any = field(default=None, repr=False, compare=False)

    @cached_property
    def _content(self) -> tuple[str, str]:
        return self.load()

    @property
    def text(self) -> str:
        return self._content[0]

    @cached_property
    def digest(self) -> str:
        text, apart = self._content
        hashed = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16)
        hashed.update(b"\0" + apart.encode("utf-8", "surrogatepass") if apart else b"")
        return hashed.hexdigest()

    @property
    def size(self) -> str:
        """The size, rounded up to the next power of ten, as prompts show it.

        So plans and results that did not read a value stay valid when the value grows a little.
        """
        return size_of_text(self.text)

    @property
    def described(self) -> str:
        """Name, kind and size: all that a prompt shows of the value."""
        return f"{self.name} ({self.kind}, {self.size})"

    @property
    def identity(self) -> list[str]:
        """Its part of the content keys of all nodes whose prompt names it; the smallest size is left out."""
        return [self.name, self.kind, *([self.size] if self.size != SMALL else [])]

    def passages(self) -> Iterator[Passage]:
        """All of its text in passages; one without an anchor for a value that is no document."""
        yield Passage(self.name, "", self.text)


#: What a name may stand for.
AnyReference = Reference | SourceReference | ImageReference | AbsentSource


class SharedMemory:
    """References by name, from a mapping of names to text, bytes, tables, arrays, lists, dicts or models, and to files:
    a `Path` of a file, a folder or a glob, a `Source` or an `Image`.

    Raises `ConfigurationError` for a value that cannot be written completely as text, and for a file that cannot be
    read. With `replaying`, a file may be missing: the run that is replayed has its digest (`as_recorded`).

        SharedMemory({"report": Path("report.pdf"), "papers": Source("papers", include="*.pdf"), "sales": data_frame})
    """

    def __init__(self, variables: Mapping[str, Any] | SharedMemory, *, replaying: bool = False) -> None:
        self._references: dict[str, AnyReference] = {}
        #: The digests of what parts of sources operations gave.
        self._parts: dict[str, str] = {}
        #: Seconds for which recorded operations were repeated.
        self._repeated = 0.0
        self._indexing = Lock()
        self._index: QuoteIndex | None = None
        if isinstance(variables, SharedMemory):
            self._references.update(variables._references)
            return
        if not isinstance(variables, Mapping):
            raise ConfigurationError(f"variables={type(variables).__name__}: expected a dict from names to values")
        for name, value in variables.items():
            if not isinstance(name, str):
                raise ConfigurationError(f"variables: a {type(name).__name__} is no name of a variable; expected text")
            try:
                self._references[name] = _reference(name, value)
            except ConfigurationError as problem:
                if not replaying or not isinstance(value, Path | Source | Image):
                    raise
                self._references[name] = AbsentSource(name, value, "", problem)
        # Sources are cited under their names in `variables` where files of several have the same one.
        labels = Counter(document.label for each in self._sources for document in each.documents)
        for each in self._sources:
            if any(labels[document.label] > 1 for document in each.documents):
                each.rename(each.name)

    @property
    def _sources(self) -> list[SourceReference]:
        return [each for each in self if isinstance(each, SourceReference)]

    @property
    def absent(self) -> list[str]:
        """The sources whose files are not there."""
        return [each.name for each in self if isinstance(each, AbsentSource)]

    def require_present(self) -> None:
        """Raises `ConfigurationError` for a source that is absent."""
        for each in self:
            if isinstance(each, AbsentSource):
                raise each.problem

    def as_recorded(self, digests: Any) -> SharedMemory:
        """The same with the recorded digests of sources that are absent; `digests` is from a file, and may be wrong."""
        recorded = SharedMemory(self)
        for each in self:
            known = digests.get(each.name) if isinstance(digests, dict) else None
            if isinstance(each, AbsentSource) and isinstance(known, str):
                recorded._references[each.name] = AbsentSource(each.name, each.value, known, each.problem)
        return recorded

    def __repr__(self) -> str:
        return f"SharedMemory({', '.join(self.described)})"

    def __iter__(self) -> Iterator[AnyReference]:
        return iter(self._references.values())

    def __len__(self) -> int:
        return len(self._references)

    def __contains__(self, name: object) -> bool:
        return name in self._references

    @cached_property
    def described(self) -> list[str]:
        return [reference.described for reference in self]

    @property
    def has_documents(self) -> bool:
        """Whether any of them is a file that may have text, and not a value of the notebook."""
        return any(
            isinstance(each.value, Path | Source) and not (isinstance(each, SourceReference) and each.is_image)
            for each in self
        )

    def quote_index(self) -> QuoteIndex:
        """Finds quotes in all that can be cited. Blocks at first, while texts are loaded and read."""
        with self._indexing:
            if self._index is None:
                self._index = QuoteIndex(self.passages())
            return self._index

    def load(self, *, seen: bool = False) -> None:
        """Read all files, so that what cannot be read is known before any call.

        `seen`: a model of the run sees images. Blocks, for seconds where there is much to extract. Raises
        `ConfigurationError`, also for an image that no model sees.
        """
        for each in self._sources:
            each.seen = seen
            each.load()
        for image in self._images:
            if not seen:
                raise ConfigurationError(
                    f"variable {image.name!r}: it is an image, and no model of this run sees images; choose a model "
                    "that sees images, or leave it out"
                )
            image.image  # noqa: B018 - one that cannot be drawn is known before any call

    @property
    def _images(self) -> list[ImageReference]:
        return [each for each in self if isinstance(each, ImageReference)]

    @property
    def shown(self) -> dict[str, ImagePart]:
        """The images that prompts show to models that see them, by their names: the first `MOST_SHOWN`. Blocks where
        `load` has not been called."""
        found: dict[str, ImagePart] = {}
        for each in self:
            if len(found) == MOST_SHOWN:
                break
            if isinstance(each, ImageReference):
                found[each.name] = each.image
            elif isinstance(each, SourceReference) and each.is_image and each.seen:
                found[each.name] = each.view("")
        return found

    def all_shown(self) -> list[ImagePart]:
        """The images for models without tools: those of `shown`, and pages without text, `MOST_SHOWN` in all."""
        shown = self.shown
        pages = (page for each in self._sources if each.name not in shown and each.seen for page in each.without_text())
        return [*shown.values(), *islice(pages, MOST_SHOWN - len(shown))]

    @property
    def _visible(self) -> bool:
        """Whether there is more to see than `shown`."""
        hidden = [each for each in self if isinstance(each, SourceReference) and each.is_visible and not each.is_image]
        images = len(self._images) + sum(each.is_image and each.seen for each in self._sources)
        return bool(hidden) or images > MOST_SHOWN

    @property
    def notes(self) -> list[str]:
        """What of the sources could not be read, a sentence each, as far as they have been read."""
        return [note for each in self._sources for note in each.notes]

    def passages(self) -> Iterator[Passage]:
        """All that can be cited, one passage after the other; a text is loaded when its passage is reached."""
        for reference in self:
            yield from reference.passages()

    def digest(self, key: str) -> str | None:
        """The hash of a value's content, or of what was read of a source; `None` if there is no such reference.

        `key` is a name, or one that `read_by` gave.
        """
        reference = self._references.get(key)
        if reference is not None:
            return reference.digest
        name, _, operation = key.partition(OPERATION)
        source = self._references.get(name)
        if not isinstance(source, SourceReference):
            return None
        if key not in self._parts:
            try:
                self._parts[key] = self._part(source, operation)
            except (ValueError, ConfigurationError):
                return None
        return f"{source.digest}.{self._parts[key]}"

    def is_same(self, key: str, recorded: str) -> bool:
        """Whether what was read then is the same now; `key` and `recorded` are an item of a node's `reads`."""
        whole, part = parts_of(recorded)
        if not part:
            return self.digest(key) == recorded
        if self.digest(key.partition(OPERATION)[0]) == whole:
            return True
        if key not in self._parts and self._repeated > MOST_REPEATING:
            # A file of a stranger may record any number of slow searches.
            return False
        started = time.monotonic()
        now = self.digest(key)
        self._repeated += time.monotonic() - started
        return now is not None and parts_of(now)[1] == part

    def read_by(self, tool_name: str, arguments: Mapping[str, Any]) -> str | None:
        """The key of what a call of a tool reads: the name of a value, or a name with an operation on a source."""
        name = arguments.get("name")
        reference = self._references.get(name) if isinstance(name, str) else None
        if not isinstance(reference, SourceReference):
            return name if reference is not None else None
        anchor, start = str(arguments.get("anchor") or ""), arguments.get("start", 0)
        if tool_name == "search_reference":
            operation = f"search {arguments.get('pattern')}"
        elif tool_name == "reference_contents":
            operation = f"contents {start} {anchor}"
        elif (views := tool_name == VIEW_TOOL and not reference.is_image) or (
            tool_name == "read_reference" and anchor.strip()
        ):
            try:
                place = reference.passage_digest(anchor)[0]
            except (ValueError, ConfigurationError):
                if not views:
                    return reference.name
                place = anchor
            operation = f"{'view' if views else 'read'} {place}"
        else:
            return reference.name
        return f"{reference.name}{OPERATION}{operation}"

    def _part(self, source: SourceReference, operation: str) -> str:
        """The digest of what an operation gives. Raises `ValueError` and `ConfigurationError`."""
        kind, _, rest = operation.partition(" ")
        if kind == "read":
            return source.passage_digest(rest)[1]
        if kind == "view":
            return source.view(rest).digest
        if kind == "search":
            return text_digest(self.search(source.name, rest))
        start, _, anchor = rest.partition(" ")
        return text_digest(source.contents(anchor, int(start)))

    def digests(self) -> dict[str, str]:
        return {reference.name: reference.digest for reference in self}

    def read(self, name: str, start: int = 0, length: int = PIECE) -> str:
        """Read a piece of a reference: at most 2000 characters, beginning at the offset `start`."""
        reference = self._named(name)
        if isinstance(reference, SourceReference):
            return reference.read(start, length)
        text = reference.text
        start = max(0, start)
        piece = text[start : start + max(0, min(length, PIECE))]
        return f"[{name}: characters {start} to {start + len(piece)} of {len(text)}]\n{piece}"

    def read_place(self, name: str, anchor: str = "", start: int = 0, length: int = PIECE) -> str:
        """Read a piece of a reference: at most 2000 characters, beginning at the offset `start`. For files: `anchor` is
        a place as searches and contents show it ("p.12", "report.pdf p.12"), and `start` is counted within it."""
        reference = self._named(name)
        if isinstance(reference, SourceReference) and anchor.strip():
            return reference.read_passage(anchor, start, length)
        return self.read(name, start, length)

    def view(self, name: str, anchor: str = "") -> str:
        """See a page of a PDF, or an image, as an image. `anchor` is its place as searches and contents show it
        ("p.12", "scans/a.pdf p.12"); of a reference that is one image leave it out. Read text where there is some."""
        return f"[{self.seen_by({'name': name, 'anchor': anchor}).label}: shown as an image]"

    def seen_by(self, arguments: Mapping[str, Any]) -> ImagePart:
        """The image that a call of `view_reference` shows. Blocks; raises `ValueError`."""
        reference = self._named(str(arguments.get("name")))
        if isinstance(reference, ImageReference):
            return reference.image
        if isinstance(reference, SourceReference) and reference.seen:
            return reference.view(str(arguments.get("anchor") or ""))
        raise ValueError(f"{reference.name} is no image and has none; read, search or sample it")

    def contents(self, name: str, anchor: str = "", start: int = 0) -> str:
        """The table of contents of a reference to files: the files of a folder, or the pages, headings, lines or cells
        of one file, which `anchor` names; from the entry `start` on."""
        reference = self._named(name)
        if not isinstance(reference, SourceReference):
            raise ValueError(f"{name} is no file and has no contents; read, search or sample it")
        return reference.contents(anchor, start)

    def search(self, name: str, pattern: str) -> str:
        """Search a reference with a regular expression; gives offsets and lines, to be read on with read_reference."""
        reference = self._named(name)
        wanted = compiled(pattern, ignore_case=True)
        try:
            if isinstance(reference, SourceReference):
                return reference.search(wanted)
            text = reference.text
            matches = islice(wanted.matches(text, SEARCH_SECONDS), MOST_MATCHES)
            found = [match.start() for match in matches]
        except TimeoutError:
            raise ValueError(f"searching for {pattern!r} takes too long; use a simpler expression") from None
        if not found:
            return f"[{name}: no line matches {pattern!r}]"
        lines = []
        for offset in found:
            # At most 60 characters before the match and 120 behind its beginning.
            start = max(text.rfind("\n", 0, offset) + 1, offset - 60)
            end = text.find("\n", offset)
            lines.append(f"{offset}: {text[start : min(end if end >= 0 else len(text), offset + 120)]}")
        listed = "\n".join(lines)
        return f"[{name}: offset and line of {len(found)} matches]\n{listed}"[:PIECE]

    def sample(self, name: str, count: int = 5) -> str:
        """Some lines from all over a reference, the same ones every time, to see what it is like."""
        reference = self._named(name)
        if isinstance(reference, SourceReference):
            return reference.sample(count)
        lines = [line for line in reference.text.splitlines() if line.strip()]
        chosen = sorted(random.Random(0).sample(range(len(lines)), max(0, min(count, len(lines), MOST_LINES))))
        piece = PIECE // max(1, len(chosen)) - 1
        return "\n".join(lines[index][:piece] for index in chosen)

    def excerpts(self) -> str:
        """The references for models that cannot call tools: the beginning of each, 8,000 characters in all."""
        room = THRESHOLD // max(1, len(self))
        written = []
        for reference in self:
            text = reference.text
            shown = text if len(text) <= room else text[:room] + f"\n[… {len(text) - room:,} characters more]"
            written.append(f"## {reference.described}\n{shown}")
        return "\n\n".join(written)

    def whole(self) -> Iterator[ReferencedText]:
        """The complete texts, for models that read references outside of any prompt."""
        return (
            ReferencedText(each.name, each.kind, each.prose if isinstance(each, SourceReference) else each.text)
            for each in self
        )

    @cached_property
    def code_values(self) -> dict[str, Any]:
        """The values as variables of a cell: text up to `MOST_COPIED` characters as it is, longer text, bytes and files
        as a `ReadableText`, tables as a dict of columns, all else as its JSON value. A single one is also `context`."""
        values = {_code_name(reference.name): _for_code(reference) for reference in self}
        return {"context": next(iter(values.values())), **values} if len(values) == 1 else values

    @cached_property
    def code_described(self) -> list[str]:
        """The variables of a cell, a line each: name, kind, size, and what it is there."""
        only = " (also named context)" if len(self) == 1 else ""
        names = {each.name: _code_name(each.name) for each in self}
        renamed = {name: "" if name == other else f", named {other}" for name, other in names.items()}
        return [
            f"{each.described}{renamed[each.name]}: {_form_of(self.code_values[names[each.name]])}{only}"
            for each in self
        ]

    def tools(self, on_read: Callable[[str], None], *, sees: bool = False) -> tuple[Tool, ...]:
        """The tools to list, read, search and sample, and for a model that sees images to view; `on_read` gets the key
        of what each call reads (`read_by`)."""

        def noting(each: Tool) -> Callable[..., str]:
            def call(name: str, **arguments: Any) -> str:
                result: str = each.function(name, **arguments)
                if (key := self.read_by(each.name, {"name": name, **arguments})) is not None:
                    # Here, beside the event loop, because it repeats the operation.
                    self.digest(key)
                    on_read(key)
                return result

            return call

        listing, *reading = self._tools if sees and self._visible else (t for t in self._tools if t.name != VIEW_TOOL)
        return (listing, *(replace(each, function=noting(each)) for each in reading))

    @cached_property
    def _tools(self) -> tuple[Tool, ...]:
        operations: dict[str, Callable[..., str]] = {
            "list_references": self.overview,
            "read_reference": self.read,
            "search_reference": self.search,
            "sample_reference": self.sample,
        }
        if self._sources:
            operations |= {"read_reference": self.read_place, "reference_contents": self.contents}
        operations[VIEW_TOOL] = self.view
        return tuple(tool(operation, name=name, version="1") for name, operation in operations.items())

    def overview(self) -> str:
        """List the references of this task: name, kind, size."""
        return "\n".join(self.described)

    def _named(self, name: str) -> AnyReference:
        if name not in self._references:
            raise ValueError(f"there is no reference {name!r}; there are: {', '.join(self._references)}")
        return self._references[name]


#: Its results are images.
VIEW_TOOL = "view_reference"
REFERENCE_TOOLS = frozenset(
    ("list_references", "read_reference", "search_reference", "sample_reference", "reference_contents", VIEW_TOOL)
)


#: What a session has by these names; a variable that has one, too, is renamed.
_OF_SESSIONS = frozenset(
    ("llm_query", "llm_query_batched", "rlm_query", "rlm_query_batched", "budget", "SHOW_VARS", "FINAL", "FINAL_VAR")
)


def _code_name(name: str) -> str:
    """The name of a variable in a cell."""
    plain = re.sub(r"\W", "_", name) or "_"
    plain = plain if plain[0].isalpha() or plain[0] == "_" else f"_{plain}"
    return f"{plain}_" if iskeyword(plain) or plain in _OF_SESSIONS else plain


def _for_code(reference: AnyReference) -> Any:
    value = reference.value
    if not isinstance(value, str | bytes | bytearray | Path | Source | Image):
        columns = table_columns(value)
        return json.loads(reference.text) if columns is None and not is_table(value) else columns or reference.text
    if isinstance(value, str) and len(value) <= MOST_COPIED:
        return str.__str__(value)
    return ReadableText(reference.text)


def _form_of(value: Any) -> str:
    """What a variable is in the session."""
    if isinstance(value, str):
        return "str"
    if isinstance(value, dict | list):
        return f"{type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, bool | int | float):
        return type(value).__name__
    return (
        "an object with size (characters), read(start, end) -> str, search(regex, limit=100) -> list of (position, "
        "line) and chunks(n) -> list of (start, end) of at most n characters"
    )


def _reference(name: str, value: Any) -> AnyReference:
    if isinstance(value, str):
        return Reference(name, "text", lambda: (value, ""), value)
    if isinstance(value, Output):
        return Reference(name, "text", lambda: (value.content, ""), value.content)
    if isinstance(value, bytes | bytearray):
        return Reference(name, "bytes", lambda: _decoded(bytes(value)), value)
    if isinstance(value, Path | Source):
        source = value if isinstance(value, Source) else Source(value)
        try:
            return SourceReference(name, source, selected(source))
        except Unreadable as problem:
            raise ConfigurationError(f"variable {name!r}: {source.path}: {problem}") from None
    if isinstance(value, Image):
        return _image_reference(name, value)
    if type(value).__module__.startswith(("PIL.", "IPython.core.display")) and hasattr(value, "_repr_png_"):
        return _image_reference(name, Image(value))
    as_table = is_table(value)

    def load() -> tuple[str, str]:
        try:
            if as_table:
                text = table_text(value) or ""
                return text, typed_text(value, text)
            return json_text(value, indent=1), unspoken_text(value)
        except NoText as problem:
            raise _refused(name, value, problem) from None

    return Reference(name, "table, as CSV" if as_table else f"{type(value).__name__}, as JSON", load, value)


def _image_reference(name: str, value: Image) -> ImageReference:
    """The reference to an image. Raises `ConfigurationError` for one that cannot be found."""
    try:
        if isinstance(value.source, bytes | bytearray):
            part = image_part(name, bytes(value.source))
            return ImageReference(name, value, "image", len(value.source), part.digest, lambda: part)
        selection = selected(Source(value.source))
        document = selection.documents[0]
        if selection.kind != "file" or not document.is_visible or document.is_image != (value.page is None):
            raise Unreadable("expected the path of an image, or of a PDF with page=")
    except Unreadable as problem:
        raise ConfigurationError(f"variable {name!r}: {value}: {problem}") from None
    anchor = f"p.{value.page}" if value.page is not None else ""
    kind = f"{f'page {value.page} of ' if anchor else ''}{document.kind} {document.label}"
    digest = text_digest(f"{document.digest} {anchor}") if anchor else document.digest
    return ImageReference(name, value, kind, document.size, digest, lambda: document.image(anchor))


def _decoded(content: bytes) -> tuple[str, str]:
    """Bytes as text, escaped if they are not UTF-8; then also as hex, because a text may contain such escapes."""
    try:
        return content.decode(), ""
    except UnicodeDecodeError:
        return content.decode("utf-8", "backslashreplace"), content.hex()


def _refused(name: str, value: Any, problem: NoText) -> ConfigurationError:
    kind, container = type(value).__name__, isinstance(value, list | tuple | dict)
    what = "cannot be written as JSON" if container else f"is of type {kind}, which cannot be offered by reference"
    # That a value of this type has no text is said already.
    why = "" if str(problem).startswith(f"a {kind}, which") else f" ({problem})"
    return ConfigurationError(
        f"variable {name!r} {what}{why}; pass text, bytes, a Path, a table, an array, a number, or lists, dicts "
        f"and models of them; of anything else the text that is to be read{await_hint(value)}"
    )
