"""The cache in memory: bounded, and what was not used for longest goes first."""

from typing import Any

import pytest

from rlm_notebook import ConfigurationError
from rlm_notebook.caches.memory import MemoryCache
from rlm_notebook.ports import Reply


def test_the_oldest_makes_room_and_what_was_asked_for_is_young() -> None:
    cache = MemoryCache(max_entries=2)
    cache.put("a", Reply("a"))
    cache.put("b", Reply("b"))
    cache.get("a")
    cache.put("c", Reply("c"))

    assert [key for key in "abc" if cache.get(key)] == ["a", "c"]
    assert len(cache) == 2


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "x"])
def test_a_size_that_is_none_is_refused(most: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_entries"):
        MemoryCache(most)
