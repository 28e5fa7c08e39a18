"""What `%load_ext rlm_notebook` adds to IPython's own start, and what the first `%%rlm` cell adds to that.

Run: python tests/benchmarks/load_time.py

Processor time of fresh interpreters, the median of each; nothing is asked of a network.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 7
PROGRAM = """
import time
began = time.process_time()
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
ready = time.process_time()
shell.run_line_magic("load_ext", "rlm_notebook")
loaded = time.process_time()
shell.run_cell_magic("rlm", "-m offline -q --no-checkpoint", "What is 2 + 3?")
answered = time.process_time()
print((ready - began) * 1000, (loaded - ready) * 1000, (answered - loaded) * 1000)
"""


def milliseconds() -> tuple[float, ...]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    return tuple(map(float, ran.stdout.split()[-3:]))


def main() -> None:
    milliseconds()  # so that all bytecode is there
    ipython, load, first = (
        statistics.median(each) for each in zip(*(milliseconds() for _ in range(ROUNDS)), strict=True)
    )
    print(f"IPython itself          {ipython:7.1f} ms")
    print(f"%load_ext rlm_notebook  {load:7.1f} ms (ratio to IPython {load / ipython:.2f})")
    print(f"the first %%rlm cell    {first:7.1f} ms (the engine is loaded, and an offline answer)")


if __name__ == "__main__":
    main()
