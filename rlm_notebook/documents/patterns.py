"""Patterns of paths, as `include`, `exclude` and globs have them."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["has_pattern", "matches"]

_MAGIC = re.compile(r"[*?[]")
#: What has a meaning in a set of characters.
_IN_SET = {"\\": "\\\\", "[": "\\[", "^": "\\^", "&&": "&\\&", "||": "|\\|", "~~": "~\\~"}


def has_pattern(path: str) -> bool:
    """Whether a path is a glob."""
    return _MAGIC.search(path) is not None


def matches(path: str, pattern: str, *, anywhere: bool = True) -> bool:
    """Whether a relative path with forward slashes matches: `*` and `?` stay within a folder, `**` is any folders.

    With `anywhere`, a pattern without a slash is for the name alone, in any folder. "drafts/" is for all that is there.
    """
    wanted = pattern.replace("\\", "/").removeprefix("./")
    if wanted.endswith("/"):
        wanted += "**"
    return _compiled(f"**/{wanted}" if anywhere and "/" not in wanted else wanted).fullmatch(path) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    written, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            written, at = written + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            written, at = written + ".*", at + 2
        elif pattern[at] in "*?":
            written, at = written + ("[^/]*" if pattern[at] == "*" else "[^/]"), at + 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end]
            for sign, escaped in _IN_SET.items():
                inside = inside.replace(sign, escaped)
            written += f"(?!/)[{'^' if inside.startswith('!') else ''}{inside.removeprefix('!')}]"
            at = end + 1
        else:
            written, at = written + re.escape(pattern[at]), at + 1
    try:
        return re.compile(written, re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern))
