"""What all tests share: the same examples in every run, and an environment that decides nothing."""

import gc
import os
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Each worker and dozens of child processes import the same modules: what one has compiled serves the others, also where
# the environment says that nothing compiled is to be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile(
    "suite",
    max_examples=int(os.environ.get("RLM_PROPERTY_EXAMPLES", "30")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _nothing_chosen_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a mode or a model set for their own sessions."""
    for name in ("RLM_MODE", "RLM_MODEL"):
        monkeypatch.delenv(name, raising=False)
    # No test finds, or leaves, texts in this user's cache.
    monkeypatch.setenv("RLM_CACHE_DIR", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser come last: Playwright keeps an event loop in this thread, which no other test can bear."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def pytest_collection_finish() -> None:
    """What collecting thousands of tests has made stays to the end: each later collection of garbage skips it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Reports travel between processes as UTF-8, which has no lone surrogates; what tests print and compare has."""
    return _fit_for_utf8((yield))


def _fit_for_utf8(data: Any) -> Any:
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(data, dict):
        return {_fit_for_utf8(key): _fit_for_utf8(value) for key, value in data.items()}
    # Why a test was skipped has to stay a tuple.
    return type(data)(map(_fit_for_utf8, data)) if type(data) in (list, tuple) else data
