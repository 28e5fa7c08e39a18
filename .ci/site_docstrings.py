"""Docstrings of the package as Markdown for the site: examples with `>>>` become code, lists get their blank line."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Puts each example of a docstring, with what it prints, into a fence."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """The text with a fence around each paragraph that begins with `>>>`, and an empty line before each list."""
    text = re.sub(r"(?m)^(?!\s*- )(.*\S)\n(?=- )", r"\1\n\n", text)
    paragraphs = re.split(r"\n{2,}", text)
    return "\n\n".join(f"```pycon\n{each}\n```" if each.lstrip().startswith(">>> ") else each for each in paragraphs)
