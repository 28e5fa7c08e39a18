"""Separates a model's reasoning from its answer: `<think>...</think>` and similar tags.

Some servers put reasoning ("thoughts") into the text of a reply, between tags. The rules for a complete text:

- The text from an opening tag to the balancing closing tag (or the last closing tag, or the end) is reasoning.
- The text before a closing tag without an opening one is reasoning: the chat template had opened it.
- A tag is only mentioned, and stays in the answer, in fenced code, in a JSON value, in quotes or backticks; where a
  sentence continues around it (`the tag <think> opens`, `then comes </think>.`), or it encloses at most one word within
  a sentence; and where it opens in the middle of a line and never closes.

The end of a streamed text is unknown. A `ThoughtFilter` holds back text that it cannot classify yet. Only a closing tag
without an opening one makes it retract text that it has already returned.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from .json_text import JsonText, json_whole

__all__ = [
    "MOST_CHARACTERS",
    "ThoughtFilter",
    "begins_with_thoughts",
    "last_value",
    "only_closes_thoughts",
    "split_thoughts",
]

# Fast and linear whatever a text holds: each alternative begins with a literal character, which a search can look for,
# and what may repeat without end gives nothing back.
_TAG = re.compile(
    r"<(?=[|/\s\w])(?:\|?\s*+(?P<a>/?)\s*+(?:\w++:)?(?:think|thinking|thoughts?|reasoning)(?:\s[^<>]*)?\|?>"
    r"|\|(?:begin|start|(?P<d>end))_(?:of_thought|thinking)\|>"
    # The channels of some models, where a server leaves their marks in the text.
    r"|\|(?:end\|>\s*+<\|)?(?:start\|>assistant\s*+<\|)?channel\|>\s*+(?:analysis|commentary|(?P<e>final))\b[^<>]*"
    r"(?:<\|constrain\|>[^<>]*)?<\|message\|>"
    r"|\|channel>\s*+thought(?=\s)|(?P<f>channel\|>))"
    r"|\[(?P<b>/?)THINK\]|◁(?P<c>/?)think▷",
    re.IGNORECASE,
)
#: Longer texts are left as they are: no model thinks so much, and a search is one step that nothing can interrupt.
MOST_CHARACTERS = 2_000_000
#: The beginning of what may become a tag, or a longer row of backticks, with the next piece.
_UNFINISHED = re.compile(
    r"(?:(?:<\|(?:start|channel|end|constrain)\|?>[^<>]{0,80}){1,4}(?:<[^<>\n]{0,80})?"
    r"|<[^<>\n]{0,80}|\[/?(?:T(?:H(?:I(?:NK?)?)?)?)?|◁[/\w]{0,6}|`+)\Z",
    re.IGNORECASE,
)
_FENCE = re.compile(r"`{3,}|^~{3,}", re.MULTILINE)
_BLACK = re.compile(r"\S")
_WORD = re.compile(r"[^\W_]+")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»"}
#: The characters before and after a tag that decide whether it is only mentioned.
_CONTEXT = 200


def split_thoughts(text: str) -> tuple[str, str]:
    """The reasoning in a complete text, and the rest; the unchanged text if it contains none, or has more than
    `MOST_CHARACTERS`."""
    if len(text) > MOST_CHARACTERS or _TAG.search(text) is None or json_whole(text) is not None:
        return "", text
    # A tag in square brackets may be parsed as a list.
    places = [place for place in JsonText.of(text).places() if _TAG.fullmatch(text, *place) is None]
    found = ThoughtFilter(places)
    content, found.took_back = found.feed(text), False
    rest = found.rest()
    content = rest if found.took_back else content + rest
    thoughts = "\n\n".join(each.strip() for each in found.thoughts if each.strip())
    return thoughts, content.rstrip() if content != text else text


def begins_with_thoughts(text: str) -> bool:
    """Whether a text begins with an opening tag."""
    first = _TAG.match(text.lstrip())
    return first is not None and not _closes(first)


def only_closes_thoughts(text: str) -> bool:
    """Whether the first tag of a text is a closing one: the chat template had opened the reasoning."""
    first = _TAG.search(text)
    return first is not None and _closes(first)


def last_value(thoughts: str) -> str | None:
    """The text of the JSON value at the end of the reasoning, which may be the only answer."""
    places = JsonText.of(thoughts).places()
    if not places or _WORD.search(thoughts, places[-1][1]):
        return None
    return thoughts[slice(*places[-1])]


class ThoughtFilter:
    """Removes the reasoning from a text that arrives in pieces. `places` are the positions of JSON values, if known.

    `took_back` is set when all text returned so far turns out to be reasoning; the caller resets it. With `opened` the
    text begins within reasoning: nothing is returned before that closes.
    """

    def __init__(self, places: Sequence[tuple[int, int]] | None = None, *, opened: bool = False) -> None:
        self.thoughts: list[str] = []
        self.took_back = False
        self._places = places
        #: All text returned since the last retraction, which may still turn out to be reasoning.
        self._given: list[str] = []
        #: The end of that text.
        self._before = ""
        #: The text that is not classified yet, from `_next` on; `_at` is the position of `_next` in the whole text.
        self._pending = ""
        self._next = 0
        self._at = 0
        #: The pieces from an opening tag on, the number of open tags, and the position of the last closing one.
        self._held: list[str] = []
        self._held_length = 0
        self._depth = 0
        self._closed = 0
        self._fences = 0
        self._is_json: bool | None = None
        #: Leading white space, and whether the white space after reasoning is being dropped.
        self._blank = ""
        self._strips = False
        #: The number of opening tags that were only mentioned: so are the closing ones that belong to them.
        self._mentioned = 0
        if opened:
            self.feed("<think>\n")

    def feed(self, text: str) -> str:
        """The text that is certainly not reasoning, as far as the pieces so far decide."""
        if self._is_json:
            return text
        self._pending, self._next = self._pending[self._next :] + text, 0
        if self._is_json is None and self._places is None:
            led = self._pending.lstrip()
            if led and _UNFINISHED.fullmatch(led) is None:
                # A JSON value is not reasoning, and tags in its strings are only mentioned.
                self._is_json = led[0] in "{[" and _TAG.match(led) is None
        return self._give(self._pending) if self._is_json else self._read(final=False)

    def rest(self) -> str:
        """The text that is still held back, when the text has ended."""
        given = "" if self._is_json else self._read(final=True)
        if not self._held:
            return given
        held = self._end_held()
        if self._closed:
            self.thoughts.append(_inside(held[: self._closed]))
            return given + self._behind_thoughts(held[self._closed :])
        if self._begins_line():
            self.thoughts.append(_inside(held))
            return given
        return given + self._give(held)

    def _read(self, final: bool) -> str:
        given: list[str] = []
        while True:
            if self._held:
                if not self._hold(given):
                    break
                continue
            tag = _TAG.search(self._pending, self._next)
            if tag is None:
                given.append(self._give(self._take(len(self._pending) if final else self._certain(self._next))))
                break
            given.append(self._give(self._take(tag.start())))
            behind = tag.end()
            if not final and _BLACK.search(self._pending, behind) is None:
                # The text after a tag decides whether it is only mentioned.
                break
            closes = _closes(tag)
            if self._is_quoted(behind):
                given.append(self._give(self._take(behind)))
            elif closes and self._mentioned:
                self._mentioned -= 1
                given.append(self._give(self._take(behind)))
            elif self._is_mentioned(behind):
                self._mentioned += not closes
                given.append(self._give(self._take(behind)))
            elif closes:
                # Nothing opened the reasoning: it is all text before the tag.
                self.thoughts.append("".join(self._given))
                self.took_back = self.took_back or any(each.strip() for each in self._given)
                self._take(behind)
                self._given, self._before, self._blank, self._strips = [], "", "", True
                given.clear()
            else:
                self._held, self._held_length, self._depth, self._closed = [self._take(behind)], len(tag[0]), 1, 0
        return "".join(given)

    def _hold(self, given: list[str]) -> bool:
        """Continue the held reasoning; false if its end has not arrived."""
        position = self._next
        while self._depth and (tag := _TAG.search(self._pending, position)):
            position = tag.end()
            self._depth += -1 if _closes(tag) else 1
            if _closes(tag):
                self._closed = self._held_length + position - self._next
        if self._depth:
            position = self._certain(position)
        taken = self._take(position)
        self._held.append(taken)
        self._held_length += len(taken)
        if self._depth:
            return False
        held = self._end_held()
        if self._encloses_a_word(held):
            given.append(self._give(held))
        else:
            self.thoughts.append(_inside(held))
            self._behind_thoughts("")
        return True

    def _end_held(self) -> str:
        held = "".join(self._held)
        self._held, self._depth = [], 0
        return held

    def _certain(self, position: int) -> int:
        """The end of the pending text that contains no tag and no beginning of one."""
        partial = _UNFINISHED.search(self._pending, max(position, len(self._pending) - _CONTEXT))
        return partial.start() if partial else len(self._pending)

    def _take(self, end: int) -> str:
        """Consume the pending text up to `end`."""
        taken = self._pending[self._next : end]
        self._at += end - self._next
        self._next = end
        return taken

    def _give(self, text: str) -> str:
        if self._strips:
            text = text.lstrip()
            self._strips = not text
        if not self._before:
            text = self._blank + text
            self._blank = "" if text.strip() else text
        if not text or text is self._blank:
            return ""
        self._given.append(text)
        self._before = (self._before + text)[-_CONTEXT:]
        self._fences += sum(1 for _ in _FENCE.finditer(text))
        return text

    def _behind_thoughts(self, text: str) -> str:
        self._blank = ""
        self._strips = self._strips or not self._before or self._before[-1].isspace()
        return self._give(text)

    def _begins_line(self) -> bool:
        return not self._before.rpartition("\n")[2].strip()

    def _is_quoted(self, behind: int) -> bool:
        """Whether the tag at the beginning of the pending text is in code, in a JSON value, or in quotes."""
        if self._places:
            last = bisect_right(self._places, (self._at, self._places[-1][1] + 1)) - 1
            if last >= 0 and self._at < self._places[last][1]:
                return True
        if self._fences % 2 and (self._places is None or _FENCE.search(self._pending, behind)):
            return True
        return bool(self._before) and _QUOTES.get(self._before[-1], "\0") == self._pending[behind : behind + 1]

    def _is_mentioned(self, behind: int) -> bool:
        """Whether a sentence continues around a tag: `the tag <think> opens`."""
        following = self._pending[behind : behind + _CONTEXT]
        if self._before[-1:] != " " or not self._before.rstrip(" ")[-1:].isalnum():
            return False
        punctuated = following[:1] in tuple(",;:.!?)") and following[:3] != "..."
        return punctuated or (following[:1] == " " and following.lstrip(" ")[:1].islower())

    def _encloses_a_word(self, held: str) -> bool:
        """Whether a pair of tags encloses no reasoning: nothing, or a single word within a sentence."""
        if self._begins_line():
            return False
        words = len(_WORD.findall(_inside(held)))
        return not words or (words == 1 and (self._before.rstrip(" ")[-1:].isalnum() or self._before[-1:] == ","))


def _closes(tag: re.Match[str]) -> bool:
    return any(tag.group(name) for name in "abcdef")


def _inside(held: str) -> str:
    """The text between a pair of tags, of which the closing one may be missing."""
    opening, *others = _TAG.finditer(held)
    closed = bool(others) and _closes(others[-1]) and others[-1].end() == len(held)
    return held[opening.end() : others[-1].start() if closed else len(held)]
