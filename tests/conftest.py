"""What all tests share: the same examples in every run, and an environment that decides nothing."""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "suite",
    max_examples=60,
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser come last: Playwright keeps an event loop in this thread, which no other test can bear."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
