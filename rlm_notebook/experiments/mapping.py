"""A task over the rows of a table: `engine.map`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.choices import instance, one_of, whole_number
from ..core.keys import digest
from ..core.limits import Budget
from ..core.text import counted
from ..output_type import OutputType
from ..runtime.options import mode_of
from ..runtime.recorded_run import RecordedRun
from .experiment import Experiment, MapEngine
from .progress import progress_of_rows, say_unrecorded
from .recording import store_for
from .row_adoption import with_rows_beside
from .tables import table_of
from .template import RowTemplate

__all__ = ["experiment_of", "started"]

STORES = ("full", "outputs")


def experiment_of(
    engine: MapEngine,
    task: str,
    data: Any,
    *,
    name: str | None,
    checkpoint: Any,
    output_type: Any,
    limit: int | None,
    row: str = "row",
    store: str = "full",
    mode: Any = "resume",
    blocking: Callable[[Callable[[], Any]], Any] | None = None,
) -> Experiment:
    """The experiment of a task over a table, not started yet. Raises `ConfigurationError` and `CheckpointError`."""
    table = table_of(data)
    if limit is not None:
        table = table.head(whole_number("limit", limit, least=0))
    template = RowTemplate(task, table.names, row=row, plain=table.plain)
    wanted = OutputType(output_type) if output_type is not None else None
    trees = one_of("store", store, STORES) == "full"
    kept = store_for(name, checkpoint, task, trees=trees)
    if name is None and checkpoint is None:
        say_unrecorded(f"the answers of {counted(len(table), 'row')}", "labels", [engine])
    checked = mode_of(mode, recorded=kept.path is not None)
    identity = engine.row_identity(wanted, list(kept.engines.values()) if checked == "replay" else None)
    keys = [digest(["row", identity, template.render(values)]) for values in table.values(template.columns)]
    kept = with_rows_beside(kept, dict.fromkeys(keys), checked)
    return Experiment(table, template, keys, engine, kept, wanted, output_type, RecordedRun, blocking=blocking)


def started(
    experiment: Experiment,
    *,
    budget: Any,
    concurrency: int,
    errors: Any,
    pilot: int | None,
    mode: Any,
    executor: Any,
    progress: bool = False,
) -> Experiment:
    """The experiment, running; needs a running event loop. Raises `ConfigurationError`."""
    mode = mode_of(mode, recorded=experiment.checkpoint is not None)
    if executor is not None:
        # Its own module, because most maps have none.
        from .dask_rows import checked_client

        executor = checked_client(executor)
    experiment.start(
        budget=instance("budget", budget, Budget, "Budget(usd=5)"),
        concurrency=whole_number("concurrency", concurrency),
        errors=one_of("errors", errors, ("keep", "raise")),
        mode=mode,
        pilot=whole_number("pilot", pilot, least=2) if pilot is not None else None,
        executor=executor,
    )
    if progress:
        experiment.internals.at_end(progress_of_rows(experiment).close)
    return experiment
