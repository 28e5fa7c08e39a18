"""Prints a shell block of README's Quick start, counted from 1: CI runs what the reader is told to run."""

import re
import sys
from pathlib import Path

section = Path("README.md").read_text(encoding="utf-8").split("## Quick start", 1)[1].split("\n## ", 1)[0]
print(re.findall(r"```bash\n(.*?)```", section, re.S)[int(sys.argv[1]) - 1])
