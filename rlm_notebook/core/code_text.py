"""The code in a coder's reply: Markdown with fenced blocks of Python, and prose around them, which is thought."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

__all__ = ["code_blocks", "with_block", "without_unclosed"]

#: The words behind a fence that mark code to be run; the field also uses "repl".
_LANGUAGES = frozenset({"python", "repl", "py", "python3"})
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_FINAL = re.compile(r"^\s*FINAL\((.*)\)\s*$", re.DOTALL | re.MULTILINE)
_FINAL_VAR = re.compile(r"^\s*FINAL_VAR\(\s*[\"']?(\w+)[\"']?\s*\)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Block:
    """A fenced block: its language, its code, the lines of its code, and whether its fence is closed."""

    language: str
    code: str
    first: int
    last: int
    closed: bool


def code_blocks(text: str) -> list[str]:
    """The code in a reply, block by block.

    Blocks without a language count where no block has one and they are Python. A reply without any block may give its
    answer as the field's models do, by FINAL(...) in the text.
    """
    blocks = [block for block in _blocks(text) if block.code.strip()]
    marked = [block.code for block in blocks if block.language in _LANGUAGES]
    if marked or blocks:
        return marked or [block.code for block in blocks if not block.language and _is_python(block.code)]
    if named := _FINAL_VAR.search(text):
        return [f'FINAL_VAR("{named[1]}")']
    if given := _FINAL.search(text):
        return [f"FINAL({given[1]})" if _is_python(f"({given[1]}\n)") else f"FINAL({given[1].strip()!r})"]
    return []


def without_unclosed(text: str) -> str:
    """A reply that was cut off, without the block in which it was."""
    blocks = _blocks(text)
    if not blocks or blocks[-1].closed:
        return text
    return "\n".join(text.split("\n")[: blocks[-1].first - 1])


def with_block(text: str, place: int, code: str) -> str:
    """The reply with other code in the block at this place, and without what follows it."""
    marked = [block for block in _blocks(text) if block.language in _LANGUAGES and block.code.strip()]
    if place >= len(marked):
        return f"```python\n{code}\n```"
    lines = text.split("\n")
    return "\n".join([*lines[: marked[place].first], *code.split("\n"), "```"])


def _blocks(text: str) -> list[_Block]:
    found: list[_Block] = []
    fence, language, first = "", "", 0
    lines = text.split("\n")
    for at, line in enumerate(lines):
        match = _FENCE.match(line.rstrip("\r"))
        if not fence:
            if match:
                words = match[2].split()
                fence, language, first = match[1], words[0].strip("{}.").lower() if words else "", at + 1
        elif match and match[1].startswith(fence) and not match[2].strip():
            found.append(_Block(language, "\n".join(lines[first:at]), first, at, True))
            fence = ""
    if fence:
        found.append(_Block(language, "\n".join(lines[first:]), first, len(lines), False))
    return found


def _is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
