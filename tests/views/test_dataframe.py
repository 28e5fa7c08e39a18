"""A run as a table."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rlm_notebook import AsyncRecursiveEngine, ConfigurationError, ModelError, ScriptedModel, load_run
from rlm_notebook.models.scripted import Fault

TRIP = {"trip": {"flights": "at 9", "food": {"lunch": "soup", "dinner": "stew"}}}


async def test_each_node_is_a_row(tmp_path: Path) -> None:
    model = ScriptedModel(TRIP, faults=[Fault("lunch", error=ModelError("no"), times=None)])
    engine = AsyncRecursiveEngine(model, retry=None, on_failure="synthesize")
    output = await engine.solve("trip", checkpoint=tmp_path / "run.json")
    frame = output.run.to_frame()

    assert list(frame["id"]) == ["0", "0.0", "0.1", "0.1.0", "0.1.1"]
    assert list(frame["depth"]) == [0, 1, 1, 2, 2]
    assert frame["calls"].sum() == output.usage.calls
    assert frame.set_index("id").loc["0.1.0", "state"] == "failed"
    assert frame.set_index("id").loc["0.1.1", "result"] == "stew"
    assert (frame["ended"] >= frame["started"]).all()
    assert str(frame["ended"].dtype).startswith("datetime64")
    assert (frame["seconds"] >= 0).all()
    loaded = load_run(tmp_path / "run.json").to_frame()
    assert list(loaded["result"]) == list(frame["result"])
    assert list(loaded.columns) == list(frame.columns)


async def test_a_price_that_is_not_known_is_no_nought() -> None:

    def llm(inputs: Any, context: Any) -> Any:
        return {"content": "x", "metadata": {"usage": {"prompt_tokens": 1}}}

    frame = (await AsyncRecursiveEngine(llm, max_depth=1).solve("t")).run.to_frame()
    assert frame["cost_usd"].isna().all()


async def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    run = (await AsyncRecursiveEngine(ScriptedModel()).solve("t")).run
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match=r"to_frame\(\) needs pandas; install it with `pip install pandas`"):
        run.to_frame()
