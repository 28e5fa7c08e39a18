"""The page of a run as text: what is in it, and what never is; `tests/browser/test_page.py` opens it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, Run, ScriptedModel, load_run
from tests.support.virtual_time import in_virtual_time

HOSTILE = "</script><script>alert(1)</script><!-- <![CDATA[ & \u2028"
#: What models say is fit for UTF-8 before it is shown.
UNFIT, FIT = f"{HOSTILE} \ud800 \x00", f"{HOSTILE} \ufffd \ufffd"
SCRIPT = {"Weigh it": {HOSTILE: UNFIT, "b": "2"}}


async def solved(checkpoint: Any = None) -> Run:
    run = AsyncRecursiveEngine(ScriptedModel(SCRIPT)).start("Weigh it", checkpoint=checkpoint)
    await run
    return run


def data_of(page: str) -> dict[str, Any]:
    """What the page holds for its script."""
    (found,) = re.findall(r'<script type="application/json" id="rlm-run">(.*?)</script>', page, re.S)
    data: dict[str, Any] = json.loads(found)
    for name in ("snapshot", "details"):
        data[name] = json.loads(gzip.decompress(base64.b64decode(data[name])))
    return data


async def test_a_page_holds_the_run_and_all_its_long_fields(tmp_path: Path) -> None:
    run = await solved()
    assert run.to_html(tmp_path / "run.html") == str(tmp_path / "run.html")
    page = run.to_html()
    assert (tmp_path / "run.html").read_text(encoding="utf-8") == page
    data = data_of(page)
    assert data["snapshot"]["run"]["readonly"] is True
    assert data["snapshot"]["run"]["can"] == []
    assert data["details"]["0.1"]["output"] == "2"
    assert data["details"]["0.1"]["task"] == "b"
    assert data["details"]["0"]["plan"]["decision"] == "RECURSE"
    assert "Weigh it" in json.dumps(data["details"]["0"]["prompt"])


async def test_text_of_a_model_ends_no_element(tmp_path: Path) -> None:
    page = (await solved()).to_html()
    # The data, and the program; each ends once, and nothing begins in between.
    assert page.count("<script") == page.count("</script>") == 2
    assert "<script>alert" not in page
    assert data_of(page)["details"]["0.0"]["output"] == FIT


async def test_a_page_asks_nobody_for_anything() -> None:
    head = (await solved()).to_html().split("<body>")[0]
    assert "default-src 'none'" in head
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}';", head)
    assert "unsafe-eval" not in head
    assert "http://" not in head
    assert "https://" not in head


async def test_where_this_machine_keeps_the_run_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "demo.rlm" / "run.json"
    path.parent.mkdir()
    pages = [(await solved(path)).to_html(), load_run(path).to_html()]
    for page in pages:
        assert str(tmp_path) not in page
        assert str(tmp_path) not in json.dumps(data_of(page))
        assert data_of(page)["snapshot"]["run"]["checkpoint"] == "demo.rlm/run.json"


async def test_a_run_under_way_is_shown_as_it_stands() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(SCRIPT, latency=5)).start("Weigh it")
    while "0" not in run.tree:  # noqa: ASYNC110 - it takes a step or two
        await asyncio.sleep(0)
    shown = data_of(run.to_html())["snapshot"]["run"]
    await run.cancel()
    assert shown["status"] == "running"
    assert shown["elapsed"] is not None


async def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    run = await solved()
    with pytest.raises(OSError, match="nowhere"):
        run.to_html(tmp_path / "nowhere" / "run.html")


@in_virtual_time
async def test_a_pause_takes_no_time_on_the_page_of_a_run_either() -> None:
    run = AsyncRecursiveEngine(ScriptedModel(SCRIPT, latency=0.02)).start("Weigh it")
    while not run.calls:  # noqa: ASYNC110 - what is waited for is a state, not an event
        await asyncio.sleep(0.001)
    run.pause()
    await asyncio.sleep(3600)
    run.resume()
    await run
    assert data_of(run.to_html())["snapshot"]["run"]["elapsed"] == pytest.approx(0.06), (
        "three calls one after the other"
    )
