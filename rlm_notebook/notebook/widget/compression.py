"""Frames that tell of much at once, in a fifth of the bytes: their operations say nearly the same again and again."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import Any

__all__ = ["packed"]

#: Operations; a smaller frame is sent as it is, so that it can be read on the wire.
PACKED_FROM = 12


def packed(frame: dict[str, Any]) -> dict[str, Any]:
    """The frame with "z" in place of "ops" if it is a large one: Base64 of gzip of JSON."""
    operations = frame["ops"]
    if len(operations) < PACKED_FROM:
        return frame
    text = json.dumps(operations, ensure_ascii=True, separators=(",", ":"))
    packed = b64encode(gzip.compress(text.encode("ascii"), compresslevel=1, mtime=0)).decode("ascii")
    return {**{name: value for name, value in frame.items() if name != "ops"}, "z": packed}
