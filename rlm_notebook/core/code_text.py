"""The code in a coder's reply: Markdown with fenced blocks of Python, and prose around them, which is thought."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

__all__ = ["code_blocks", "with_block", "without_unclosed"]

#: The words behind a fence that mark code to be run; the field also uses "repl", and Gemma was trained on "tool_code".
_LANGUAGES = re.compile(r"i?python[\d.]*|py3?|repl|tool_code")
_FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})[ \t]*([^`\n]*)$")
_ON_ONE_LINE = re.compile(r"^[ \t]*```(?:python|py|repl)[ \t]+(\S[^`\n]*)```[ \t]*$", re.MULTILINE)
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

    @property
    def runs(self) -> bool:
        return _LANGUAGES.fullmatch(self.language) is not None


def code_blocks(text: str) -> list[str]:
    """The code in a reply, block by block.

    Blocks without a language count where no block has one and they are Python. A reply without any block may be a
    program as a whole, or give its answer as the field's models do, by FINAL(...) in the text.
    """
    blocks = [block for block in _blocks(text) if block.code.strip()]
    marked = [block.code for block in blocks if block.runs]
    if marked or blocks:
        return marked or [block.code for block in blocks if not block.language and _parsed(block.code)]
    if on_one_line := _ON_ONE_LINE.findall(text):
        return list(on_one_line)
    if _is_program(text):
        return [text.strip()]
    if named := _FINAL_VAR.search(text):
        return [f'FINAL_VAR("{named[1]}")']
    if given := _FINAL.search(text):
        return [f"FINAL({given[1]})" if _parsed(f"({given[1]}\n)") else f"FINAL({given[1].strip()!r})"]
    return []


def without_unclosed(text: str) -> str:
    """A reply that was cut off, without the block in which it was; "" for a program without a block."""
    blocks = _blocks(text)
    if not blocks and _is_program(text):
        return ""
    if not blocks or blocks[-1].closed:
        return text
    return "\n".join(text.split("\n")[: blocks[-1].first - 1])


def with_block(text: str, place: int, code: str) -> str:
    """The reply with other code in the block at this place, and without what follows it."""
    marked = [block for block in _blocks(text) if block.runs and block.code.strip()]
    if place >= len(marked):
        return f"```python\n{code}\n```"
    lines = text.split("\n")
    return "\n".join([*lines[: marked[place].first], *code.split("\n"), "```"])


def _blocks(text: str) -> list[_Block]:
    """The blocks of a text. One that is indented, as below an item of a list, loses the indentation of its fence."""
    found: list[_Block] = []
    indent, fence, language, first = "", "", "", 0
    lines = text.split("\n")

    def block(last: int, closed: bool) -> _Block:
        kept = (line[min(len(indent), len(line) - len(line.lstrip(" \t"))) :] for line in lines[first:last])
        return _Block(language, "\n".join(kept), first, last, closed)

    for at, line in enumerate(lines):
        match = _FENCE.match(line.rstrip("\r"))
        if not fence:
            if match:
                words = match[3].split()
                indent, fence, language, first = match[1], match[2], words[0] if words else "", at + 1
                language = language.strip("{}.:").lower()
        elif match and match[2].startswith(fence) and not match[3].strip() and len(match[1]) <= len(indent) + 3:
            found.append(block(at, True))
            fence = ""
    if fence:
        found.append(block(len(lines), False))
    return found


def _is_program(text: str) -> bool:
    """Whether a text is Python that calls or imports something: "42", "Paris" and "Paris (France)" are Python, too."""
    tree = _parsed(text.strip())
    if tree is None or not any(isinstance(part, ast.Call | ast.Import | ast.ImportFrom) for part in ast.walk(tree)):
        return False
    alone = tree.body[0].value if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
    called = alone.func if isinstance(alone, ast.Call) else None
    return not isinstance(called, ast.Name) or called.id in _CALLED


#: What a program of one call may call; FINAL alone is read as a text, where its text need not be Python.
_CALLED = frozenset({"SHOW_VARS", "print", "len", "llm_query", "rlm_query"})


def _parsed(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
