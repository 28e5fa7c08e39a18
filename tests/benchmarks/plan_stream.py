"""What it costs to read a plan while it streams in pieces of 20 characters: twice the text should take twice as long.

Prints CPU seconds for a plan that closes, and for one with an element that never does.
"""

import json
import time
from itertools import pairwise

from rlm_notebook.core.plan_stream import PlanReader

SIZES = (400_000, 800_000, 1_600_000, 3_200_000)


def seconds(text: str) -> float:
    reader = PlanReader()
    began = time.process_time()
    for at in range(0, len(text), 20):
        list(reader.feed(text[at : at + 20]))
    return time.process_time() - began


def closed(size: int) -> str:
    words = "x" * (size // 2)
    return json.dumps({"thoughts": words, "decision": "RECURSE", "sub_tasks": ["a", words, "c"]})


def unclosed(size: int) -> str:
    return '{"decision": "RECURSE", "sub_tasks": [{"task": "' + "x" * size


def main() -> None:
    for name, plan in (("closed", closed), ("never closed", unclosed)):
        took = [seconds(plan(size)) for size in SIZES]
        ratios = ", ".join(f"{after / before:.1f}" for before, after in pairwise(took))
        print(f"{name:>12}: {took[0]:.3f} s for {SIZES[0] // 1000} KB; each doubling takes {ratios} times as long")


if __name__ == "__main__":
    main()
