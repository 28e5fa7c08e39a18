"""A changed cell asks anew only what is new: random edits of random programs, against a fresh run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, Run
from rlm_notebook.sandbox.fake import FakeSandbox
from tests.support.coding import code_engine, coder
from tests.support.waiting import HANG

PROMPTS = st.sampled_from(["a", "b", "c"])
STATEMENTS = st.one_of(
    PROMPTS.map(lambda prompt: f"seen.append(llm_query({prompt!r}))"),
    st.lists(PROMPTS, min_size=1, max_size=3).map(lambda prompts: f"seen.extend(llm_query_batched({prompts!r}))"),
    st.tuples(PROMPTS, st.integers(1, 3)).map(
        lambda loop: f"for _ in range({loop[1]}):\n    seen.append(llm_query({loop[0]!r}))"
    ),
    st.just("print(len(seen))"),
)
CELLS = st.lists(STATEMENTS, min_size=1, max_size=3).map("\n".join)
PROGRAMS = st.lists(CELLS, min_size=1, max_size=3)


def whole(cells: Sequence[str]) -> list[str]:
    # An answer is never empty, also of a program that asks nothing.
    return ["seen = ['seen']", *cells, "FINAL(' '.join(seen))"]


def queries(run: Run, *, new: bool = False) -> set[tuple[str, int]]:
    """The sub-queries of a run by text and number of equal ones before; `new`: those that were not recalled."""
    return {(node.task, node.repeat) for node in run.tree.children("0") if not (new and node.mark == "replayed")}


#: Each example is three runs.
@settings(deadline=None, max_examples=int(os.environ.get("RLM_PROPERTY_EXAMPLES", "30")) // 3)
@given(PROGRAMS, st.data())
def test_a_changed_cell_asks_anew_only_what_is_new(cells: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(cells)))
    changed, rest = data.draw(CELLS), data.draw(PROGRAMS)
    before, after = whole(cells), [*whole(cells)[:place], changed, *whole(rest)[1:]]

    async def compared() -> None:
        async with asyncio.timeout(HANG):
            first, fresh = coder(before), coder(after)
            recorded = await code_engine(first).solve("Go")
            wanted = await code_engine(fresh).solve("Go")
            editing = coder(after)
            output = await AsyncRecursiveEngine(editing, code=CodeSandbox(kind=FakeSandbox(), when="root")).edit(
                recorded.run, "0", code={place: changed}
            )

        assert output.content == wanted.content
        cells_now = [cell.code for cell in output.run.tree["0"].cells]
        assert cells_now == [cell.code for cell in wanted.run.tree["0"].cells] == after
        # The cells after the changed one are written anew, and of the queries those that were not asked before.
        assert sum(request.mode == "coder" for request in editing.requests) == len(after) - place - 1
        assert queries(output.run, new=True) == queries(wanted.run) - queries(recorded.run)

    asyncio.run(compared())
