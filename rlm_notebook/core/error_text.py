"""The text of any error. `str(error)` is code of the error's author, and may itself raise."""

from __future__ import annotations

__all__ = ["described", "encodable", "error_text"]


def encodable(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair.

    UTF-8 cannot encode them: a kernel that has to send such a text fails while it reports the failure, and the cell
    never ends.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def error_text(error: BaseException) -> str:
    """`str(error)` in a form that UTF-8 can encode; if that raises, a statement of the exception's type."""
    try:
        return encodable(str(error))
    except BaseException as second:
        if isinstance(second, KeyboardInterrupt):
            raise
        return f"(its text cannot be read: {type(second).__name__})"


def described(error: BaseException) -> str:
    """The type and the text of an error; for a group also those of its members."""
    text = error_text(error)
    if isinstance(error, BaseExceptionGroup):
        text = f"{text}: {'; '.join(map(described, error.exceptions))}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
