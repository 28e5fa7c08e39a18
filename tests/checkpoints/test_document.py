"""The JSON of a run: described by a schema, validated as a whole, back as it was."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from rlm_notebook import AsyncRecursiveEngine, ModelError, RetryPolicy, ScriptedModel
from rlm_notebook.checkpoints import document
from rlm_notebook.checkpoints.document import document_of, json_schema, recorded_of
from rlm_notebook.core.tree import Recorded
from rlm_notebook.models.scripted import Fault

SCHEMA = Path(document.__file__).with_name("schema.json")
TRIP = {"trip": {"flights": "at 9", "food": {"lunch": "soup", "dinner": "stew"}}}


async def recorded(**options: Any) -> Recorded:
    """A run with retries, tools, a note, a failure that was joined over."""

    def look(where: str) -> str:
        """Look somewhere."""
        return f"seen {where}"

    def answer(request: Any) -> Any:
        if request.mode == "worker" and request.facts.task == "lunch" and len(request.messages) == 2:
            return {"tool_calls": [{"name": "look", "arguments": {"where": "kitchen"}}]}
        plans = {"trip": ["flights", {"task": "food", "agent": "cook", "depends_on": [0]}], "food": ["lunch", "dinner"]}
        plan = plans.get(request.facts.task)
        return {"decision": "RECURSE", "sub_tasks": plan} if plan and request.mode == "planner" else None

    faults = [
        Fault("flights", error=ModelError("busy", retryable=True)),
        Fault("dinner", error=ModelError("no"), times=None),
    ]
    engine = AsyncRecursiveEngine(
        ScriptedModel(answer, faults=faults),
        tools=[look],
        retry=RetryPolicy(initial=0),
        on_failure="synthesize",
        **options,
    )
    return (await engine.solve("trip")).run.internals.snapshot()


async def test_a_document_is_valid_by_the_shipped_schema() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    data = json.loads(json.dumps(document_of(await recorded())))

    jsonschema.validate(data, schema)
    for wrong in ({**data, "status": "fine"}, {**data, "version": 2}, {**data, "nodes": [{}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_the_shipped_schema_is_that_of_the_models() -> None:
    assert meaning(json.loads(SCHEMA.read_text(encoding="utf-8"))) == meaning(json_schema())


def meaning(schema: Any) -> Any:
    """A schema without what says nothing: older versions of pydantic do not write it."""
    if isinstance(schema, dict):
        return {name: meaning(each) for name, each in schema.items() if (name, each) != ("additionalProperties", True)}
    return [meaning(each) for each in schema] if isinstance(schema, list) else schema


async def test_a_run_comes_back_from_its_document_as_it_was() -> None:
    kept = await recorded()
    data = document_of(kept)
    back = recorded_of(json.loads(json.dumps(data)))

    assert list(back.tree.walk()) == list(kept.tree.walk())
    assert document_of(back) == data
    assert back.tree.usage == kept.tree.usage


def set_to(path: str, value: Any) -> Any:
    """A change of one field; a path such as "nodes.1.id"."""

    def change(data: dict[str, Any]) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in way:
            data = data[part]
        if value is ...:
            del data[last]
        else:
            data[last] = value

    change.__name__ = path
    return change


WRONG = [
    set_to("version", 0),
    set_to("version", "1"),
    set_to("status", "splendid"),
    set_to("task", None),
    set_to("task", ...),
    set_to("run_id", 3),
    set_to("created", "yesterday"),
    set_to("started", float("nan")),
    set_to("updated", float("inf")),
    set_to("nodes", {}),
    set_to("nodes.1.id", "0.x"),
    set_to("nodes.1.id", "../../etc"),
    set_to("nodes.1.id", "0"),
    set_to("nodes.1.id", "0.00"),
    set_to("nodes.1.parent", "0.1"),
    set_to("nodes.1.parent", None),
    set_to("nodes.1.state", "fine"),
    set_to("nodes.1.task", 7),
    set_to("nodes.0.plan", {"decision": "PERHAPS"}),
    set_to("nodes.0.plan", {"decision": "RECURSE", "sub_tasks": [3]}),
    set_to("nodes.0.plan.sub_tasks.0.depends_on", [1]),
    set_to("nodes.0.plan.sub_tasks.0.depends_on", [0]),
    set_to("nodes.0.plan.sub_tasks.0.depends_on", [9]),
    set_to("nodes.1.result", "text"),
    set_to("nodes.1.usage", None),
    set_to("nodes.1.usage.calls", "many"),
    set_to("nodes.1.phases", [{"kind": "plan"}]),
    set_to("nodes.1.tool_calls", [{}]),
    set_to("nodes.1.keys", []),
    set_to("nodes.1.depends_on", "0.0"),
    set_to("nodes.1.depends_on", ["0.0"]),
    set_to("nodes.1.depends_on", ["0"]),
    set_to("nodes.0.depends_on", ["0.0"]),
    set_to("nodes.1.attempts", -1),
    set_to("usage", []),
    set_to("parent", "a run"),
]


@pytest.mark.parametrize("change", WRONG, ids=lambda change: change.__name__)
async def test_a_wrong_field_is_refused_and_named(change: Any) -> None:
    data = document_of(await recorded())
    wrong = copy.deepcopy(data)
    change(wrong)
    with pytest.raises(ValueError, match=r"\w") as error:
        recorded_of(wrong)

    said = str(getattr(error.value, "errors", lambda **_: str(error.value))())
    assert change.__name__.split(".")[0] in said


async def test_a_circle_of_dependencies_is_refused_and_named() -> None:
    data = document_of(await recorded())
    first, second = [node for node in data["nodes"] if node["parent"] == "0"][:2]
    first["depends_on"], second["depends_on"] = [second["id"]], [first["id"]]
    with pytest.raises(ValueError, match=r"nodes.depends_on: they wait for each other in a circle, 0\.\d -> 0\.\d"):
        recorded_of(data)

    # Killed while the parts of a plan came into being: one may be missing yet.
    first["depends_on"], second["depends_on"] = [], ["0.7"]
    assert recorded_of(data).tree["0.1"].depends_on == ("0.7",)


async def test_no_secret_is_in_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    engine = AsyncRecursiveEngine("http://user:hidden@127.0.0.1:9/v1#m")
    text = json.dumps(engine.settings())

    assert "secret" not in text
    assert "hidden" not in text
