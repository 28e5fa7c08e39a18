"""Changes of a run's file read well: what did not change has the same lines, in the same order."""

import difflib
import json
from pathlib import Path
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.ports import Reply, Request, ToolCall

#: Regions of reports; each leaf reads the one it is named after.
REGIONS = ["north", "south", "east", "west"]
DATA = {region: f"{region} sold {count}" for count, region in enumerate(REGIONS)}


def reply(request: Request) -> Any:
    facts = request.facts
    if request.mode == "planner":
        parts = {"sales": ["coast", "inland"], "coast": ["north", "south"], "inland": ["east", "west"]}.get(facts.task)
        return {"decision": "RECURSE", "sub_tasks": parts} if parts else {"decision": "EXECUTE"}
    if request.mode == "synthesizer":
        return " and ".join(part.content for part in facts.parts)
    told = [m["content"].split("\n", 1)[1] for m in request.messages if m["role"] == "tool"]
    return told[0] if told else Reply("", (ToolCall("1", "read_reference", {"name": facts.task}),))


async def solved(path: Path, data: dict[str, str]) -> Any:
    return await AsyncRecursiveEngine(ScriptedModel(reply)).solve("sales", checkpoint=path, variables=data)


def changed_nodes(before: str, after: str) -> dict[str, int]:
    """How many lines of each node changed; "" is what is said of the whole run."""
    old, new = before.splitlines(), after.splitlines()
    owner = owners(new)
    found: dict[str, int] = {}
    for tag, _, _, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for line in range(start, max(end, start + 1)) if tag != "equal" else ():
            found[owner[line]] = found.get(owner[line], 0) + 1
    return found


def owners(lines: list[str]) -> list[str]:
    """The node that each line belongs to, by the layout of the file."""
    node, found = "", []
    for line in lines:
        if line.startswith('   "id": "'):
            node = line.split('"')[3]
            found[-1] = node
        elif line.startswith(" ]") or line.startswith(' "'):
            node = ""
        found.append(node)
    return found


async def test_a_changed_node_changes_its_own_lines_and_those_of_what_depends_on_it(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    first = await solved(path, DATA)
    before = path.read_text(encoding="utf-8")
    again = await solved(path, {**DATA, "south": "south sold 40"})
    after = path.read_text(encoding="utf-8")
    touched = changed_nodes(before, after)

    assert again.metadata["calls"] == 2 + 2, "the leaf's two rounds, and two syntheses"
    assert set(touched) == {"", "0", "0.0", "0.0.1"}
    whole = len(after.splitlines())
    print(f"\n{sum(touched.values())} of {whole} lines changed: {touched}")
    assert sum(touched.values()) < whole / 5
    assert first.run.run_id != again.run.run_id, "it is another request"


async def test_an_unchanged_run_changes_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    await solved(path, DATA)
    before, status = path.read_bytes(), path.stat()
    again = await solved(path, DATA)

    assert again.metadata["calls"] == 0
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, status.st_mtime_ns)


async def test_keys_are_in_one_order_and_texts_are_readable(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    await solved(path, {**DATA, "north": "größer — 多い"})
    text = path.read_text(encoding="utf-8")

    assert "größer — 多い" in text
    nodes = json.loads(text)["nodes"]
    assert len({tuple(node) for node in nodes}) == 1
    assert [node["id"] for node in nodes] == ["0", "0.0", "0.0.0", "0.0.1", "0.1", "0.1.0", "0.1.1"]
