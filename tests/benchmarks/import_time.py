"""What `import rlm_notebook` costs beside `import pydantic`, which it is built on.

Run: python tests/benchmarks/import_time.py

Fresh interpreters in turn, the median of each; the start of the interpreter itself is measured and taken off.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
CODES = {"nothing": "pass", "pydantic": "import pydantic", "rlm_notebook": "import rlm_notebook"}
USED = {
    "pydantic, a model": "from pydantic import BaseModel\nclass A(BaseModel):\n    x: int",
    "rlm_notebook, the engine": "from rlm_notebook import RecursiveEngine",
}


def milliseconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - began) * 1000


def main() -> None:
    codes = {**CODES, **USED}
    for code in codes.values():
        milliseconds(code)  # so that all bytecode is there
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(ROUNDS):
        for name, code in codes.items():
            taken[name].append(milliseconds(code))
    medians = {name: statistics.median(each) for name, each in taken.items()}
    bare = medians.pop("nothing")
    for name, median in medians.items():
        print(f"{name:26} {median - bare:7.1f} ms over {bare:.1f} ms of the interpreter")
    own, theirs = medians["rlm_notebook"], medians["pydantic"]
    print(f"import rlm_notebook - import pydantic: {own - theirs:+.1f} ms (ratio {(own - bare) / (theirs - bare):.2f})")


if __name__ == "__main__":
    main()
