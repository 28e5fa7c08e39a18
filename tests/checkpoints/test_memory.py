"""A run that is kept in memory can be resumed from the same journal."""

from rlm_notebook import AsyncRecursiveEngine, ScriptedModel
from rlm_notebook.checkpoints.memory import MemoryJournal


async def test_a_journal_in_memory_keeps_the_last_run_that_called_a_model() -> None:
    journal = MemoryJournal()
    engine = AsyncRecursiveEngine(model := ScriptedModel())
    assert journal.read() is None
    assert journal.path is None
    first = await engine.solve("t", checkpoint=journal)
    await engine.solve("t", checkpoint=journal)

    recorded = journal.read()
    assert recorded is not None
    assert recorded.tree is first.run.tree
    assert model.calls == 1


async def test_without_a_journal_nothing_is_kept() -> None:
    engine = AsyncRecursiveEngine(model := ScriptedModel())
    await engine.solve("t")
    await engine.solve("t")

    assert model.calls == 2
