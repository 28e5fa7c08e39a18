"""Completion as an IPython matcher. `completion` has the candidates, and is loaded when Tab is first pressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, context_matcher

from ..kernel.session import Session

__all__ = ["matcher_of"]


def matcher_of(session: Session) -> Callable[[CompletionContext], Any]:
    """A matcher for one session. It completes `%%rlm` and `%rlm` lines only, and suppresses all others there."""

    def matcher(context: CompletionContext) -> Any:
        lines = context.full_text.split("\n")[: context.cursor_line + 1]
        text = "\n".join([*lines[:-1], lines[-1][: context.cursor_position]])
        if "%rlm" not in text:
            return {"completions": []}
        from .completion import completions

        found = completions(session, text)
        if found is None:
            return {"completions": []}
        fragment, words = found
        offered = [SimpleCompletion(text=word, type="rlm") for word in words]
        return {"completions": offered, "matched_fragment": fragment, "suppress": bool(offered)}

    marked: Callable[[CompletionContext], Any] = context_matcher(identifier="rlm_notebook")(matcher)
    return marked
