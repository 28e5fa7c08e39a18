"""The offline model as a `Model`: mode in, text out, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

from ...core.limits import Usage
from ...ports import FREE, Capabilities, Mode, NodeFacts, Reply, Request
from .planner import plan
from .synthesizer import synthesize
from .worker import REFUSAL, answer, is_refusal

__all__ = ["LABEL", "OfflineModel"]

#: `metadata["label"]` of every reply, so that no extract is mistaken for a language model's answer.
LABEL = "rule-based, extractive — not a language model"

_ANSWERS: dict[Mode, Callable[[NodeFacts], str]] = {"planner": plan, "worker": answer, "synthesizer": synthesize}


class OfflineModel:
    """A rule-based model: splits a task by its structure, answers with extracts, counts and sums.

    It uses `request.facts` alone, which include the whole references, and is deterministic. Usage counts words instead
    of tokens; the cost is 0.
    """

    name = "offline"
    capabilities = Capabilities(stream=True, usage=True, whole_references=True, price=FREE)

    async def stream(self, request: Request) -> AsyncIterator[str | Reply]:
        content = _ANSWERS[request.mode](request.facts)
        for piece in _pieces(content):
            yield piece
        # Also as a note of the node: a refusal should be visible in a tree of hundreds of nodes.
        note = _note(request.mode, content)
        metadata = {"label": LABEL, **({"note": note} if note else {})}
        yield Reply(content=content, usage=_usage(request, content), model=self.name, metadata=metadata)

    def __repr__(self) -> str:
        return f"OfflineModel() <{LABEL}>"


def _note(mode: Mode, content: str) -> str:
    if mode == "planner" or not is_refusal(content):
        return ""
    return f"cannot: {REFUSAL}" if mode == "worker" else f"not all of it: some {REFUSAL.replace('needs', 'need')}"


def _pieces(text: str) -> Iterator[str]:
    """The text in at most about fifty pieces of at least a line each: enough to watch, cheap to send."""
    size = max(80, len(text) // 50)
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _usage(request: Request, content: str) -> Usage:
    read = [message["content"] for message in request.messages] or [request.facts.task]
    return Usage(
        prompt_tokens=sum(len(text.split()) for text in read),
        completion_tokens=len(content.split()),
        cost_usd=0.0,
    )
