"""The committed widget bundle is the one its sources make, and stays small."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "js"
BUNDLE = ROOT / "rlm_notebook" / "static" / "widget.js"
LICENSES = BUNDLE.parent / "THIRD_PARTY_LICENSES.txt"
# Of this, 9 KB are marked's lexer, 7 KB Preact with signals, 7 KB styles.
LARGEST_BUNDLE = 60_000

pytestmark = pytest.mark.skipif(not SOURCES.is_dir(), reason="the sources of the widget are only in a checkout")


def source_hash() -> str:
    """The same hash as `sourceHash` in `js/build.mjs`."""
    sources = [path for path in (SOURCES / "src").rglob("*") if path.is_file()]
    paths = [*sources, *(SOURCES / name for name in ("build.mjs", "marked_lexer.mjs", "package-lock.json"))]
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(SOURCES).as_posix() for path in paths):
        text = (SOURCES / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(name.encode() + b"\0" + text + b"\0")
    return digest.hexdigest()


def test_bundle_is_built_from_the_sources_beside_it() -> None:
    banner = BUNDLE.read_text(encoding="utf-8").splitlines()[0]
    built_from = re.search(r"sha256:([0-9a-f]{64})", banner)

    assert built_from, f"{BUNDLE.name} has no banner: run `cd js && npm ci && npm run build`"
    assert built_from[1] == source_hash(), f"{BUNDLE.name} is stale: run `cd js && npm ci && npm run build`"


@pytest.mark.parametrize("path", sorted((BUNDLE.parent / "parts").glob("*.js")), ids=lambda path: path.stem)
def test_parts_are_built_from_their_sources(path: Path) -> None:
    """The same hash as `partHash` in `js/build.mjs`."""
    content = path.read_text(encoding="utf-8")
    included = re.findall(r"^Includes (\S+):$", content, re.MULTILINE)
    digest = source_hash()
    if included:
        source = (SOURCES / "src" / "parts" / f"{path.stem}.ts").read_bytes().replace(b"\r\n", b"\n")
        versions = json.loads((SOURCES / "package.json").read_text(encoding="utf-8"))["devDependencies"]
        packages = "".join(f"{name}@{versions[name]}\0" for name in included)
        digest = hashlib.sha256(source + b"\0" + packages.encode()).hexdigest()

    assert content.startswith(f"/* rlm_notebook widget, part {path.stem}, sources sha256:{digest} */")


def test_the_view_of_experiments_is_built_from_the_sources_and_small() -> None:
    content = (BUNDLE.parent / "experiment.js").read_bytes()

    assert f"experiment, sources sha256:{source_hash()}".encode() in content.splitlines()[0]
    assert len(gzip.compress(content, compresslevel=9)) <= 15_000


def test_bundle_is_small_enough_to_send_to_every_notebook() -> None:
    assert len(gzip.compress(BUNDLE.read_bytes(), compresslevel=9)) <= LARGEST_BUNDLE


def test_licenses_of_what_the_bundle_includes_are_beside_it() -> None:
    notice = BUNDLE.read_text(encoding="utf-8").split("*/")[1]
    included = re.findall(r"^(\S+): Copyright", notice, re.MULTILINE)
    licenses = LICENSES.read_text(encoding="utf-8")

    assert LICENSES.name in notice
    assert included
    assert included == re.findall(r"^(\S+)\n=+$", licenses, re.MULTILINE)


FORBIDDEN = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|(: |as |<)any\b"


def test_sources_make_no_markup_of_text_and_leave_nothing_untyped() -> None:
    sources = [path for path in (SOURCES / "src").rglob("*") if path.suffix in {".ts", ".tsx"}]
    found = [(path.name, re.findall(FORBIDDEN, path.read_text(encoding="utf-8"))) for path in sources]

    assert sources
    assert [(name, words) for name, words in found if words] == []


def test_lockfile_names_no_address_of_a_registry() -> None:
    lockfile = (SOURCES / "package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in lockfile
