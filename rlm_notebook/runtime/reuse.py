"""What a request reuses of what is recorded, as it is decided before its run starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..checkpoints.heads import differ, options_in
from ..core.changes import changes_of, reusable
from ..core.choices import RunMode
from ..core.redaction import store_of
from ..core.tree import Node, NodeState, Recorded
from ..memory import SharedMemory
from ..ports.run import Journal, VersionedJournal
from .config import Configuration, RunRequest

__all__ = ["as_recorded", "needs_a_model", "other_versions"]


def as_recorded(memory: SharedMemory, mode: RunMode, journal: Journal) -> SharedMemory:
    """The references of a replay, as recorded where their files are missing. Raises `ConfigurationError` otherwise."""
    if mode != "replay":
        memory.require_present()
    recorded = journal.read()
    return memory.as_recorded(recorded.tree.settings.get("variables") if recorded is not None else None)


def needs_a_model(job: RunRequest, known: Recorded | None) -> bool:
    """Whether a run certainly calls a model: the result of its request is not recorded, and it is no edit."""
    if job.mode == "replay" or job.joins_only or job.edit:
        return False
    if known is not None and known.tree.request_key == job.request_key and changes_of(known.tree):
        return False
    done = known is not None and known.tree.root is not None and known.tree.root.state is NodeState.DONE
    return not done or known is None or known.tree.request_key != job.request_key


def other_versions(job: RunRequest, known: Recorded | None, configuration: Configuration) -> Sequence[Node]:
    """The nodes of the other versions of the run, unless the file itself has the answer, and for a new file those of
    the same request with other options: what was paid for there is not paid for again."""
    if job.mode != "resume" or not isinstance(job.journal, VersionedJournal):
        return ()
    same = known.tree if known is not None and known.tree.request_key == job.request_key else None
    finished = same is not None and same.status == "done"
    if same is not None and finished and not differ(options_in(same.settings), options_in(configuration.to_json())):
        return ()
    mine, found = changes_of(same) if same is not None else [], list[Node]()
    # The newest last: of equal records, the last one counts.
    for version in reversed(job.journal.versions() if known is not None else job.journal.related()):
        # A fresh run has another id: nothing of the run that it replaced belongs to it.
        replaced = same is not None and version.tree.run_id != same.run_id
        if version.tree.request_key != job.request_key or replaced:
            continue
        since = [change for change in mine if change not in changes_of(version.tree)]
        nodes = reusable((*version.earlier, *version.tree), since) if store_of(version) != "hashes" else []
        # Without the texts of tools, an interrupted transcript cannot be resumed.
        found += nodes if store_of(version) == "full" else [replace(node, rounds=()) for node in nodes]
    return found
