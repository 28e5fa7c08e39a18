"""Memory by meaning: a task that says the same as one answered before gets that answer, where one asks for it.

Embeddings find what is alike, and err: they hardly see a negation, who did what to whom, or a unit. So the words of two
tasks have to be the same as well (`wording`), nothing else of a request may differ, and an answer that was made for
another task says so. Equal requests are the business of `Cached`.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import math
import textwrap
import threading
import time
from array import array
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import astuple, dataclass, field, replace
from operator import mul
from typing import Any

from ..caches.shared_replies import as_cached, is_whole
from ..concurrency.threads import in_daemon_thread
from ..core.keys import digest
from ..exceptions import ConfigurationError
from ..models.provider.errors import one_line
from ..ports.model import Capabilities, Model, Reply, Request
from .wording import most_tokens, wording

__all__ = ["Embed", "Similar"]

#: A text as a vector: blocking (then called in a thread, several at a time), or async.
Embed = Callable[[str], Iterable[float] | Awaitable[Iterable[float]]]

log = logging.getLogger("rlm_notebook")
#: How long one embedding is waited for, and how long no other is asked for after one that took longer, in seconds.
PATIENCE = 30.0
REST = 30.0
#: Vectors of the same direction differ by this much, as they are rounded.
DIGITS = 9


@dataclass(frozen=True, eq=False)
class Similar:
    """The same model; a task similar to one that it answered gets the same reply, marked "cached", at no cost.

        model, embed = OpenAIModel("gpt-5-mini"), openai_embeddings("text-embedding-3-small")
        engine = AsyncRecursiveEngine(Similar(model, embed), {"planner": model})

    Similar is a cosine of at least `threshold` (above 0, at most 1) between what `embed` gives for the two tasks, and
    the same words in the same order. What may differ is how it is put: "please", "can you tell me", articles, "which"
    for "what", British or American spelling, "two" for "2", "X's Y" for "Y of X". Negations, prepositions, numbers,
    units, names, signs and every other word are compared as they stand. Of 131 pairs that ask for something else (with
    these words, numbers or roles changed) the embedding alone took 55 for the same at 0.95, and this takes none at any
    threshold; of 24 pairs in other words it finds 21 at 0.85 (measured with all-MiniLM-L6-v2 and
    `tests/wrappers/alike.py`, in English).

    Only workers' requests are compared, since plans and syntheses speak of their own parts, and only those that are
    equal in all but the task's wording: system prompt, goal, ancestors, dependencies, tools, schema, temperature,
    maximum of tokens. Never compared: a task of more than `max_tokens` (what `embed` reads of a text; counted as one
    for three letters, so 256 are about 120 words), one that holds what looks like a key, who reads references, and a
    conversation after its first turn. With one model for all, planners answer most leaves beside their plans, and no
    worker is asked: hence two above. Kept are whole texts, in this object and this process alone, at most
    `max_entries`; the one longest not used goes first.

    An answer for another task says so: `metadata` holds "similar_to" (that task), "similarity" and a "note" that is
    shown with the node. `embed` sees the tasks' texts, and what it costs is in no budget. Where it fails, takes longer
    than 30 s or gives no vector (empty, not finite, all 0, of another length than before), the model is asked, with one
    warning. Raises `ConfigurationError` for arguments that make no sense.
    """

    model: Model
    # It may hold a key.
    embed: Embed = field(repr=False)
    threshold: float = field(default=0.85, kw_only=True)
    max_entries: int = field(default=10_000, kw_only=True)
    max_tokens: int = field(default=256, kw_only=True)
    _meanings: _Meanings = field(init=False, repr=False)
    _answers: _Answers = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.embed):
            raise ConfigurationError(f"Similar(embed={type(self.embed).__name__}): expected a function text -> vector")
        if (
            isinstance(self.threshold, bool)
            or not isinstance(self.threshold, int | float)
            or not 0 < self.threshold <= 1
        ):
            raise ConfigurationError(
                f"Similar(threshold={self.threshold!r}): expected a cosine above 0 and at most 1, such as 0.85"
            )
        for name in ("max_entries", "max_tokens"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(f"Similar({name}={value!r}): expected a whole number of at least 1")
        object.__setattr__(self, "_meanings", _Meanings(self.embed))
        object.__setattr__(self, "_answers", _Answers(self.max_entries))

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def capabilities(self) -> Capabilities:
        return self.model.capabilities

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        frame = _frame(self.name, request, self.max_tokens)
        vector = await self._meanings.of(request.facts.task, request.deadline) if frame is not None else None
        if frame is not None and vector is not None:
            # There may be thousands to compare with: in a thread, the event loop goes on meanwhile.
            similarity, kept = await in_daemon_thread(self._answers.nearest, frame, vector)
            if kept is not None and similarity >= self.threshold:
                self._answers.keep(frame, kept)
                task = textwrap.shorten(kept.task, 100, placeholder=" …")
                note = f"the answer of a similar task ({similarity:.3f}): {task}"
                told = {"similar_to": kept.task, "similarity": min(1.0, similarity), "note": note}
                reply = as_cached(kept.reply)
                reply = replace(reply, metadata={**reply.metadata, **told})
                if request.streaming:
                    yield reply.content
                yield reply
                return
        pieces: Any = self.model.stream(request)
        async with aclosing(pieces):
            async for piece in pieces:
                # A reply that calls tools, or is that of another task itself, serves no other.
                serves = isinstance(piece, Reply) and is_whole(piece) and not piece.tool_calls
                if frame is not None and vector is not None and serves and "similar_to" not in piece.metadata:
                    self._answers.keep(frame, _Answer(request.facts.task, vector, copy.deepcopy(piece)))
                yield piece


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was answered for a task; `vector` has length 1."""

    task: str
    vector: array[float]
    reply: Reply


class _Answers:
    """Answers by the frame and the task that they were made for; may be used from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_frame: dict[str, dict[str, _Answer]] = {}
        self._by_age: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def nearest(self, frame: str, vector: array[float]) -> tuple[float, _Answer | None]:
        """The answer whose task is nearest, and the cosine between the two."""
        with self._lock:
            answers = list(self._by_frame.get(frame, {}).values())
        found: tuple[float, _Answer | None] = -1.0, None
        for answer in answers:
            cosine = round(sum(map(mul, vector, answer.vector)), DIGITS)
            if cosine > found[0]:
                found = cosine, answer
        return found

    def keep(self, frame: str, answer: _Answer) -> None:
        """Keep an answer, or know that it was used."""
        with self._lock:
            self._by_frame.setdefault(frame, {})[answer.task] = answer
            self._by_age[frame, answer.task] = None
            self._by_age.move_to_end((frame, answer.task))
            if len(self._by_age) > self._most:
                (frame, task), _ = self._by_age.popitem(last=False)
                del self._by_frame[frame][task]
                if not self._by_frame[frame]:
                    del self._by_frame[frame]


class _Meanings:
    """Texts as vectors of length 1 and of the same number of dimensions; for a text that has none it is `None`."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._dimensions = 0
        self._warned = False
        self._rests_until = 0.0
        self._lock = threading.Lock()

    async def of(self, text: str, deadline: float | None) -> array[float] | None:
        if time.monotonic() < self._rests_until:
            return None
        limit = asyncio.timeout(PATIENCE if deadline is None else min(PATIENCE, deadline))
        try:
            async with limit:
                # What is async only makes its coroutine there.
                given: Any = await in_daemon_thread(self._embed, text)
                vector = _normalized(await given if inspect.isawaitable(given) else given)
            with self._lock:
                self._dimensions = self._dimensions or len(vector)
            if len(vector) != self._dimensions:
                raise ValueError(f"a vector of {len(vector)} numbers, and the first one had {self._dimensions}")
            return vector
        except Exception as error:
            wrong = one_line(f"{type(error).__name__}: {error}")
            if limit.expired():
                self._rests_until, wrong = time.monotonic() + REST, "took too long"
            with self._lock:
                first, self._warned = not self._warned, True
            if first:
                log.warning("embed failed (%s); models are asked without looking for similar tasks (told once)", wrong)
            return None


def _normalized(given: Iterable[float]) -> array[float]:
    """The vector at length 1. Raises `TypeError` or `ValueError` for what is none."""
    vector = array("d", iter(given))
    length = math.hypot(*vector)
    if not 0 < length < math.inf:
        raise ValueError("a vector that is empty, not finite or all 0")
    return array("d", (number / length for number in vector))


def _frame(model: str, request: Request, most: int) -> str | None:
    """The digest of all of a request but how its task is put; `None` where an answer serves its own task alone.

    The task is taken out at one place, the last in the user's message; what repeats it elsewhere stays. So of two
    requests of one frame each is the other with the task put otherwise, and nothing else.
    """
    facts = request.facts
    roles = [message["role"] for message in request.messages]
    if request.mode != "worker" or facts.references or facts.excerpts or facts.texts:
        return None
    # The first turn alone: what the user says, and nothing after it.
    if roles != ["system"] * (len(roles) - 1) + ["user"]:
        return None
    asked = request.messages[-1]["content"]
    if not isinstance(asked, str) or facts.task not in asked or most_tokens(facts.task) > most:
        return None
    holds_a_key = one_line(facts.task).count("***") > facts.task.count("***")
    words = wording(facts.task)
    if holds_a_key or not words:
        return None
    before, _, after = asked.rpartition(facts.task)
    # What models that do not go by messages know of a node, apart from its task.
    goal = facts.goal if facts.goal != facts.task else None
    known, parts = (list(map(astuple, given)) for given in (facts.dependencies, facts.parts))
    return digest(
        [
            [model, request.temperature, request.max_output_tokens, request.schema, list(request.tools)],
            [list(request.messages[:-1]), before, after, list(words)],
            [facts.agent, goal, facts.breadcrumbs, known, parts],
        ]
    )
