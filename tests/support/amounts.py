"""How much of the same a test tries: a few in the README's command, and many under the `long` marker.

Both run the same test, so that what is left out of the short command is repetition, never a behaviour.
"""

import pytest

__all__ = ["few_or_many"]


def few_or_many(few: int, many: int) -> pytest.MarkDecorator:
    """Parametrise a test with `amount`: `few`, or `many` where tests marked `long` run."""
    values = [pytest.param(few, id="few"), pytest.param(many, id="many", marks=pytest.mark.long)]
    return pytest.mark.parametrize("amount", values)
