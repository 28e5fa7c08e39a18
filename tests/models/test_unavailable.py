"""The stand-in for a model that is not there: what it answered is found under its name, and nothing new is made up."""

from pathlib import Path

import pytest

from rlm_notebook import AsyncRecursiveEngine, ExecutionError, ModelError, ScriptedModel
from rlm_notebook.models.unavailable import UnavailableModel
from rlm_notebook.ports import Model

TRIP = {"trip": {"flights": "at 9", "hotel": "downtown"}}


async def test_what_a_model_answered_is_found_and_what_it_did_not_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    model = ScriptedModel(TRIP)
    recorded = await AsyncRecursiveEngine(model).solve("trip", checkpoint=path)
    unavailable = UnavailableModel(model.name)
    engine = AsyncRecursiveEngine(unavailable)

    assert isinstance(unavailable, Model)
    assert (await engine.solve("trip", checkpoint=path)).content == recorded.content
    with pytest.raises(
        ModelError, match="scripted answered this run, and is not here to go on; bring it back"
    ) as caught:
        await engine.solve("another trip", checkpoint=path)
    assert caught.value.run is None, "nothing was begun"

    edited = engine.edit(path, "0.0", result="at 10")
    with pytest.raises(ExecutionError, match="is not here to go on"):
        await edited
    assert edited.tree["0.1"].result == "downtown", "what does not depend on the change is there"
    assert edited.tree["0.1"].mark == "replayed"
