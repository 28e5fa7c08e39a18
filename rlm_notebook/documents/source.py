"""`Source`: files that are offered by reference, and how each is read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..exceptions import ConfigurationError
from .extraction import Extractor, Unreadable
from .extractors import NOT_READ, extractor_by, extractor_for
from .extractors.text import is_binary
from .patterns import has_pattern

__all__ = ["MOST_BYTES", "Extract", "Source", "named_sources"]

#: Of one file, by default.
MOST_BYTES = 100_000_000

#: A function that reads a file: `(path) -> [(anchor, text), ...]`.
Extract = Callable[[Path], Iterable[tuple[str, str]]]


@dataclass(frozen=True)
class Source:
    """A file, a folder or a glob whose text models read by reference, in passages with anchors.

    `include` and `exclude` are patterns of relative paths ("*.pdf", "drafts/"), of which `exclude` wins. A file with
    more than `max_bytes` bytes is not read. `extract` reads files in another way: a function
    `(path) -> [(anchor, text), ...]`, for all files or, in a dict, by suffix (`{".epub": read_epub}`); it may have an
    attribute `version`, else its code is its version.

    Text, Markdown, code, CSV, JSONL and notebooks need nothing else; PDF, DOCX and HTML need the extra `sources`. Links
    below a folder are not followed, and hidden files are left out. Raises `ConfigurationError` for wrong arguments.
    """

    path: str | Path
    include: str | Sequence[str] | None = None
    exclude: str | Sequence[str] | None = None
    max_bytes: int = MOST_BYTES
    extract: Extract | Mapping[str, Extract] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | Path) or not str(self.path).strip():
            raise ConfigurationError(f"Source({self.path!r:.60}): expected the path of a file or folder, or a glob")
        if "\0" in str(self.path):
            raise ConfigurationError(f"Source({self.path!r:.60}): no path contains a NUL")
        object.__setattr__(self, "path", Path(self.path).expanduser())
        for name in ("include", "exclude"):
            given = getattr(self, name)
            if given is None:
                continue
            patterns = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
            if not all(isinstance(each, str) and each for each in patterns):
                raise ConfigurationError(
                    f'Source: {name}={given!r:.60}: expected patterns such as "*.pdf" or "drafts/"'
                )
            object.__setattr__(self, name, patterns)
        if isinstance(self.max_bytes, bool) or not isinstance(self.max_bytes, int) or self.max_bytes < 1:
            raise ConfigurationError(f"Source: max_bytes={self.max_bytes!r:.60}: expected bytes, at least 1")
        functions = self.extract.values() if isinstance(self.extract, Mapping) else [self.extract]
        if self.extract is not None and not all(map(callable, functions)):
            raise ConfigurationError(
                f"Source: extract={self.extract!r:.60}: expected a function (path) -> [(anchor, text), ...], or a dict "
                'of them by suffix, as {".epub": read_epub}'
            )

    def extractor(self, name: str, head: bytes) -> Extractor:
        """How a file of this name that begins with `head` is read. Raises `Unreadable` for one that cannot be."""
        suffix = PurePosixPath(name).suffix.lower()
        given = self.extract.get(suffix) if isinstance(self.extract, Mapping) else self.extract
        if given is not None:
            return extractor_by(given)
        found = extractor_for(name, head)
        if found.plain and (suffix in NOT_READ or is_binary(head)):
            what = f"{suffix} files are not read" if suffix in NOT_READ else "it is binary, not text"
            raise Unreadable(f"{what}; give a text or a PDF, or Source(..., extract=FUNCTION)")
        return found


def named_sources(paths: Iterable[str], taken: Iterable[str] = ()) -> dict[str, Source]:
    """Sources by the names of their files, with as many folders as tell them apart; a glob by all of it.

    `taken` are names that other references have.
    """
    found: dict[str, Source] = {}
    names = set(taken)
    for path in dict.fromkeys(paths):
        source = Source(path)
        at = Path(source.path)
        parts = at.parts if at.name not in ("", "..") else at.resolve().parts
        tails = ["/".join(parts[-count:]) for count in range(1, len(parts) + 1)] or [path]
        tails = [path] if has_pattern(path) and not at.exists() else tails
        name = next((tail for tail in [*tails, path] if tail not in names), None)
        name = name or next(each for number in itertools.count(2) if (each := f"{path} ({number})") not in names)
        names.add(name)
        found[name] = source
    return found
