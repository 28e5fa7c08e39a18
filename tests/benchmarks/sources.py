"""How long sources take to identify, to read and to search, and what memory they take.

`python -m tests.benchmarks.sources [PAGES]`; each figure is of a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rlm_notebook import ConfigurationError, SharedMemory
from tests.support.pdf import pdf

WORDS = (
    "the measured yield of plot {} was {} kilograms per hectare, which agrees with earlier observations of the same "
    "site within the error that the instruments allow"
)


def _page(number: int) -> tuple[str, str]:
    """Two columns of 55 lines, some 4,000 characters."""
    lines = [f"{number}.{line} {WORDS.format(line, number * line % 997)}"[:38] for line in range(110)]
    return "\n".join(lines[:55]), "\n".join(lines[55:])


def _written(folder: Path, pages: int) -> dict[str, Path]:
    report, table, wide, huge = (folder / name for name in ("report.pdf", "rows.csv", "utf16.txt", "huge.txt"))
    report.write_bytes(pdf([_page(number) for number in range(pages)]))
    row = "{},plot {},the yield was {} kilograms per hectare\n"
    table.write_text("id,plot,text\n" + "".join(row.format(at, at % 977, at * 7 % 311) for at in range(1_000_000)))
    wide.write_bytes("\n".join(WORDS.format(at, at) for at in range(20_000)).encode("utf-16"))
    with huge.open("wb") as file:
        file.truncate(300_000_000)
    return {"PDF": report, "the same again": report, "CSV": table, "UTF-16": wide, "300 MB": huge, "folder": folder}


def _measure(path: Path) -> None:
    """Print what one source takes: seconds of CPU time (and by the clock, which counts what else runs), MB."""
    before, started, clock = _peak(), time.process_time(), time.perf_counter()
    try:
        memory = SharedMemory({"x": path})
    except ConfigurationError as error:
        print(f"refused after {time.process_time() - started:.2f} s: {error}")
        return
    identified = time.process_time()
    memory.load()
    read, elapsed = time.process_time(), time.perf_counter() - clock
    grown, passages = _peak() - before, sum(1 for _ in memory.passages())
    begun = time.process_time()
    found = memory.search("x", r"was 5 |^7\.10").splitlines()
    print(
        f"identified {identified - started:.2f} s, read {read - identified:.2f} s ({elapsed:.2f} by the clock), "
        f"+{grown:.0f} MB, {passages:,} passages, searched {time.process_time() - begun:.2f} s, {len(found)} lines"
    )


def _peak() -> float:
    """The most memory that this process has had, in MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found is not None else 0.0


def main() -> None:
    if len(sys.argv) > 2:
        _measure(Path(sys.argv[2]))
        return
    pages = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with tempfile.TemporaryDirectory() as made:
        folder, cache = Path(made) / "sources", Path(made) / "cache"
        folder.mkdir()
        environment = {**os.environ, "RLM_CACHE_DIR": str(cache)}
        for name, path in _written(folder, pages).items():
            command = [sys.executable, "-m", "tests.benchmarks.sources", "-", str(path)]
            printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            print(f"{name:15} {path.stat().st_size / 1e6:6.1f} MB: {printed.strip()}")
        kept = sum(file.stat().st_size for file in cache.rglob("*.json"))
        print(f"{'cache':15} {kept / 1e6:6.1f} MB")


if __name__ == "__main__":
    main()
