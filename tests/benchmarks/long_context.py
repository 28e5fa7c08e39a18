"""Aggregation over a long text: one call, a tree and a code node, on tasks of any length whose answers are known.

    python -m tests.benchmarks.long_context                          # a simulated worker, which errs at a known rate
    python -m tests.benchmarks.long_context --model openai:NAME      # a real model; it costs what it costs
    python -m tests.benchmarks.long_context --characters 1000000 --tasks 10 --error 0.05

Each task is a log of messages with a label that only reading tells (here: the mood of a sentence), and a question about
all of them: how many messages of a user have it, or which user has most. The score is the share of tasks with exactly
the right answer. The simulated coder writes a program as a good model would, so its figures show what the method can
reach with workers that err, not how good any model is at writing code.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
from dataclasses import dataclass
from typing import Any

from rlm_notebook import AsyncRecursiveEngine, CodeSandbox, ModelError, Request, RLMError, ScriptedModel

#: Sentences by mood; which mood a sentence has is for a model to tell.
MOODS = {
    "glad": ["what a lovely day it was", "we laughed all the way home", "at last it works, thank you all"],
    "sad": ["nobody came to the door", "the old tree is gone now", "I miss how it used to be"],
    "angry": ["this is the third time it broke", "who allowed such a thing", "I will not pay for that again"],
}
USERS = ["ann", "bob", "cem", "dora", "eli", "fay"]
#: What one call of the simulated model can read, in characters.
WINDOW = 30_000


@dataclass(frozen=True)
class Task:
    """A text, a question about all of it, and the answer."""

    text: str
    question: str
    answer: str


def tasks(count: int, characters: int, seed: int = 0) -> list[Task]:
    """Tasks of about so many characters each, the same ones for the same seed."""
    return [_task(random.Random(f"{seed} {number}"), characters, number) for number in range(count)]


def _task(choose: random.Random, characters: int, number: int) -> Task:
    lines: list[str] = []
    counts: dict[tuple[str, str], int] = {}
    size = 0
    while size < characters:
        user, mood = choose.choice(USERS), choose.choice(list(MOODS))
        lines.append(f"{len(lines)} | {user} | {choose.choice(MOODS[mood])}")
        counts[user, mood] = counts.get((user, mood), 0) + 1
        size += len(lines[-1]) + 1
    mood = choose.choice(list(MOODS))
    by_user = {user: counts.get((user, mood), 0) for user in USERS}
    if number % 2 == 0:
        user = choose.choice(USERS)
        question = f"How many messages of {user} sound {mood}? Answer with the number alone."
        return Task("\n".join(lines), question, str(by_user[user]))
    most = max(USERS, key=lambda user: (by_user[user], user))
    question = f"Which user wrote the most messages that sound {mood}? Answer with the name alone."
    return Task("\n".join(lines), question, most)


def _mood_of(sentence: str) -> str:
    return next((mood for mood, sentences in MOODS.items() if sentence in sentences), "none")


PROGRAM = """\
import re
lines = {variable}.splitlines() if isinstance({variable}, str) else \\
    "\\n".join([{variable}.read(a, b) for a, b in {variable}.chunks(200000)]).splitlines()
question = {question!r}
mood = [each for each in ("glad", "sad", "angry") if each in question][0]
sentences = sorted(set([line.split(" | ")[2] for line in lines]))
votes = {{}}
for sentence in sentences:
    votes[sentence] = 0
for turn in range({votes}):
    asked = "Vote " + str(turn) + ". Which mood (glad, sad, angry) has: "
    answers = llm_query_batched([asked + each for each in sentences])
    for sentence, answer in zip(sentences, answers):
        votes[sentence] += 1 if mood in str(answer) else 0
counts = {{}}
for line in lines:
    number, user, sentence = line.split(" | ")
    if votes[sentence] * 2 > {votes}:
        counts[user] = counts.get(user, 0) + 1
named = [user for user in counts if re.search(r"\\b" + user + r"\\b", question)]
if "How many" in question:
    FINAL(str(counts.get(named[0], 0) if named else 0))
else:
    FINAL(max(counts, key=lambda user: (counts[user], user)))"""


def simulated(error: float, votes: int, seed: int = 0) -> ScriptedModel:
    """A worker that errs at this rate, reads at most `WINDOW` characters, and has a coder's program."""

    def say(request: Request) -> Any:
        task = request.facts.task
        choose = random.Random(f"{seed} {task}")
        if request.mode == "coder":
            return f"```python\n{PROGRAM.format(variable='text', question=task, votes=votes)}\n```"
        if request.mode == "planner":
            pieces = 4 if request.facts.depth == 0 and request.facts.references else 0
            parts = [f"Piece {place} of {pieces} of the text: {task}" for place in range(pieces)]
            return {"decision": "RECURSE" if parts else "EXECUTE", "sub_tasks": parts}
        if request.mode == "synthesizer":
            numbers = [int(found) for part in request.facts.parts for found in re.findall(r"\d+", part.content)]
            names = [part.content for part in request.facts.parts if part.content in USERS]
            return str(sum(numbers)) if numbers else max(set(names), key=names.count, default="unknown")
        if sentence := re.search(r"has: (.*)", task):
            right = _mood_of(sentence[1])
            return right if choose.random() >= error else choose.choice([mood for mood in MOODS if mood != right])
        return _read(request, choose, error)

    return ScriptedModel(say, name="simulated", price=(0.25, 2.0))


def _read(request: Request, choose: random.Random, error: float) -> Any:
    """A worker with reference tools reads pieces until its window is full, and counts what it has seen."""
    read = [message["content"] for message in request.messages if message["role"] == "tool"]
    start = 0
    if piece := re.match(r"Piece (\d+) of (\d+)", request.facts.task):
        size = re.search(r"up to ([\d,]+) characters", " ".join(request.facts.references))
        start = int(int(size[1].replace(",", "")) * int(piece[1]) / int(piece[2])) if size else 0
    if sum(map(len, read)) < WINDOW and len(read) < 6:
        arguments = {"name": "text", "start": start + 2_000 * len(read), "length": 2_000}
        return {"tool_calls": [{"name": "read_reference", "arguments": arguments}]}
    mood = next(mood for mood in MOODS if mood in request.facts.task)
    counts: dict[str, int] = {}
    for user, sentence in re.findall(r"\d+ \| (\w+) \| ([^\n]+)", "\n".join(read)):
        right = _mood_of(sentence) == mood
        if right if choose.random() >= error else not right:
            counts[user] = counts.get(user, 0) + 1
    user = next((user for user in USERS if re.search(rf"\b{user}\b", request.facts.task)), "")
    return str(counts.get(user, 0)) if user else max(counts, key=lambda each: (counts[each], each), default="unknown")


async def measured(model: Any, todo: list[Task], **options: Any) -> tuple[int, int, int, float | None, int]:
    """Right answers, calls, tokens, dollars (`None`: unknown), and how many runs failed."""
    right = calls = tokens = failed = 0
    cost: float | None = 0.0
    for task in todo:
        engine = AsyncRecursiveEngine(model, max_steps=2_000, max_tool_rounds=12, **options)
        run = engine.start(task.question, variables={"text": task.text})
        try:
            answer = (await run).content
            right += answer.strip().strip(".").lower() == task.answer.lower()
        except (ModelError, RLMError):
            failed += 1
        calls, tokens = calls + run.usage.calls, tokens + run.usage.total_tokens
        cost = None if cost is None or run.usage.cost_usd is None else cost + run.usage.cost_usd
    return right, calls, tokens, cost, failed


async def compare(arguments: argparse.Namespace) -> None:
    todo = tasks(arguments.tasks, arguments.characters, arguments.seed)
    model: Any = arguments.model or simulated(arguments.error, arguments.votes, arguments.seed)
    ways: dict[str, dict[str, Any]] = {
        "one call": {"max_depth": 1},
        "tree": {"max_depth": 2},
        'code="root"': {"code": CodeSandbox(kind=arguments.sandbox, when="root")},
    }
    print(f"{arguments.tasks} tasks of {arguments.characters:,} characters, model {arguments.model or 'simulated'}")
    print(f"{'way':14} {'score':>6} {'calls':>7} {'tokens':>9} {'dollars':>9} {'failed':>7}")
    for way, options in ways.items():
        right, calls, tokens, cost, failed = await measured(model, todo, **options)
        dollars = "unknown" if cost is None else f"{cost:.4f}"
        print(f"{way:14} {right / len(todo):6.0%} {calls:7,} {tokens:9,} {dollars:>9} {failed:7}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a model spec, such as openai:NAME; default: the simulated worker")
    parser.add_argument("--characters", type=int, default=200_000)
    parser.add_argument("--tasks", type=int, default=6)
    parser.add_argument("--error", type=float, default=0.05, help="how often the simulated worker errs")
    parser.add_argument("--votes", type=int, default=5, help="how often the simulated coder asks each question")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sandbox", choices=["monty", "python"], default="monty")
    asyncio.run(compare(parser.parse_args()))


if __name__ == "__main__":
    main()
