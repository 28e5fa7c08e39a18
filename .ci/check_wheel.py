"""Checks that the built wheel holds what an installed package needs at run time."""

import sys
import zipfile
from pathlib import Path

NEEDED = ("py.typed", "static/widget.js", "static/THIRD_PARTY_LICENSES.txt", "checkpoints/schema.json", "demo/guide.md")

(wheel,) = Path(sys.argv[1]).glob("*.whl")
names = zipfile.ZipFile(wheel).namelist()
missing = [name for name in NEEDED if f"rlm_notebook/{name}" not in names]
print(f"{wheel.name}: {len(names)} files, {wheel.stat().st_size / 1024:.0f} KB")
sys.exit(f"the wheel lacks {missing}" if missing else 0)
