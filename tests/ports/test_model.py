"""What users write against: the protocols at the root of the package, as their docstrings show them."""

import doctest

from rlm_notebook import Capabilities
from rlm_notebook.ports import FREE, model


def test_the_example_of_a_wrapper_does_what_it_says() -> None:
    found = doctest.testmod(model)

    assert (found.failed, found.attempted > 5) == (0, True)


def test_only_a_price_of_nothing_is_free() -> None:
    assert Capabilities(price=FREE).free
    assert not Capabilities().free, "unknown is not free"
    assert not Capabilities(price=(0.0, 1.0)).free
