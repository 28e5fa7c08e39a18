"""A position in a tree, passed on downwards."""

import pytest

from rlm_notebook import RLMContext


def test_a_child_stands_one_deeper_with_its_parents_task_above_it() -> None:
    child = RLMContext().child("outer", 2).child("inner", 0)

    assert child == RLMContext(task_id="0.2.0", depth=2, breadcrumbs=("outer", "inner"))


def test_a_position_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RLMContext().depth = 3  # type: ignore[misc]
