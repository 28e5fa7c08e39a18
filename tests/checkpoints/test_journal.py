"""One line of a journal: whole or not there, whatever is in it."""

import json
import zlib

from rlm_notebook.checkpoints.journal import line_of
from rlm_notebook.core.events import Finished, RunStarted, from_json


def test_a_journal_line_carries_its_own_check() -> None:
    event = Finished(at=1.0, node="0", content="tab\tand\nbreak")
    line = line_of(event)

    assert line.count(b"\n") == 1
    data = json.loads(line)
    assert from_json(data) == event
    body = line.removesuffix(b"\n").removesuffix(b',"crc":"%s"}' % data["crc"].encode()) + b"}"
    assert data["crc"] == f"{zlib.crc32(body):08x}"
    assert from_json(json.loads(body)) == event


def test_the_first_line_says_which_cell_the_run_is_of() -> None:
    line = line_of(RunStarted(at=1.0, run_id="r", task="t"), cell_id="abc")

    assert json.loads(line)["cell_id"] == "abc"
    assert b"cell_id" not in line_of(Finished(at=1.0, node="0", content="x"), cell_id="abc")
