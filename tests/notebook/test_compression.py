"""Large frames are packed, small ones can be read on the wire; what is packed is what was to be said."""

import base64
import gzip
import json
from typing import Any

from rlm_notebook.notebook.widget.compression import PACKED_FROM, packed


def frame(count: int) -> dict[str, Any]:
    said = "lone \ud800, \x00 and 🧭"
    return {"t": "p", "e": 1, "s": 7, "n": 0.5, "ops": [["p", f"0.{n}", {"tail": said}] for n in range(count)]}


def test_a_small_frame_stays_as_it_is() -> None:
    small = frame(PACKED_FROM - 1)
    assert packed(small) is small


def test_a_large_frame_says_the_same_in_far_fewer_bytes() -> None:
    large = frame(200)
    sent = packed(large)

    assert {name: sent[name] for name in ("t", "e", "s", "n")} == {"t": "p", "e": 1, "s": 7, "n": 0.5}
    assert "ops" not in sent
    assert json.loads(gzip.decompress(base64.b64decode(sent["z"]))) == large["ops"]
    assert len(json.dumps(sent)) < len(json.dumps(large)) / 5
    assert packed(large) == sent, "the same bytes again"
