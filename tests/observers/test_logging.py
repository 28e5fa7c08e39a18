"""The log of a run: one record an event, none for tokens, nothing that could drive a terminal."""

import logging

import pytest

from rlm_notebook import AsyncRecursiveEngine, ModelError, RetryPolicy, ScriptedModel
from rlm_notebook.models.scripted import Fault
from rlm_notebook.observers.logging import LoggingObserver


async def test_events_are_information_and_failures_and_retries_warnings(caplog: pytest.LogCaptureFixture) -> None:
    faults = [
        Fault("b", error=ModelError("busy\x1b[31m", retryable=True)),
        Fault("c", error=ModelError("no"), times=None),
    ]
    model = ScriptedModel({"t": ["a", "b", "c"]}, faults=faults, stream=True)
    with caplog.at_level(logging.INFO, logger="rlm_notebook.run"):
        await AsyncRecursiveEngine(
            model, observers=[LoggingObserver()], on_failure="synthesize", retry=RetryPolicy(initial=0)
        ).solve("t")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    assert [warning.split()[:2] for warning in warnings] == [["0.1", "Retried:"], ["0.2", "Failed:"]]
    assert "Token" not in caplog.text
    assert "\x1b" not in caplog.text
    assert any("RunFinished" in record.getMessage() for record in caplog.records)
