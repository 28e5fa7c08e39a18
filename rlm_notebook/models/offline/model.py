"""The offline model as a `Model`: mode in, text out, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

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
        # About fifty pieces of at least a line each: enough to watch, cheap to send.
        size = max(80, len(content) // 50)
        for start in range(0, len(content), size):
            yield content[start : start + size]
        metadata = {"label": LABEL}
        # Also as a note of the node: a refusal should be visible in a tree of hundreds of nodes.
        if request.mode != "planner" and is_refusal(content):
            some = f"not all of it: some {REFUSAL.replace('needs', 'need')}"
            metadata["note"] = f"cannot: {REFUSAL}" if request.mode == "worker" else some
        read = [message["content"] for message in request.messages] or [request.facts.task]
        words = sum(len(text.split()) for text in read), len(content.split())
        usage = Usage(prompt_tokens=words[0], completion_tokens=words[1], cost_usd=0.0)
        yield Reply(content=content, usage=usage, model=self.name, metadata=metadata)

    def __repr__(self) -> str:
        return f"OfflineModel() <{LABEL}>"
