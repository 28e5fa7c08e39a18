"""Answers a single task: exactly where rules allow it, with extracts elsewhere, and with a refusal for the rest.

It invents nothing: every sentence of an extract is in the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ...ports.model import NodeFacts, ReferencedText
from .arithmetic import calculate
from .documents import outline, paragraphs
from .language import content_stems, sentences, stem, words
from .ranking import choose, passages, read_sentences
from .tables import answer_from, read_table
from .tasks import ParsedInstruction, Task, masked, read_instruction, read_task, title_of
from .terms import key_terms

__all__ = ["REFUSAL", "TERMS", "answer", "as_text", "is_miss", "is_refusal", "terms_line"]

#: The beginning of a list of key terms.
TERMS = "**Key terms:**"
#: The words of a refusal that follow the task's title.
REFUSAL = "needs a language model"
_HOW_TO_CHOOSE = (
    "The offline model is a set of rules. In a text that you give it, it finds the central sentences, the key terms "
    "and the passages that answer a question; it counts, calculates and reads tables. It does not write, explain, "
    "translate or know anything. Choose a model for this: `%%rlm -m openai:NAME` (with `OPENAI_API_KEY` set), "
    "`%%rlm -m ollama:NAME`, `%%rlm -m http://127.0.0.1:8080/v1#NAME`, or the name of a variable that holds a model."
)


def answer(facts: NodeFacts, quoting: bool = False) -> str:
    """The answer to a task: from the text in it, from its dependencies or from its references, which it quotes with
    `quoting`."""
    task = read_task(facts.task)
    sources = _read(task, facts)
    found = [(each.name, _answered(Task(task.instruction, each.text), facts, each)) for each in sources]
    if quoting and facts.texts and all(each in facts.texts for each in sources):
        found = [(name, quoted(text, each.text)) for (name, text), each in zip(found, sources, strict=True)]
    if not found:
        return _answered(task, facts, _NO_SOURCE)
    hits = [(name, text) for name, text in found if not is_miss(text)] or found[:1]
    if len(hits) == 1:
        return hits[0][1]
    return "\n\n".join(f"## {name}\n\n{text}" for name, text in hits)


def quoted(answer: str, source: str) -> str:
    """An answer with the sentences that are in the source, word for word, as quotes.

    The place of each is left open: it is filled in when the quotes are looked up.
    """
    whole = " ".join(source.split())
    lines = []
    for line in answer.split("\n"):
        bullet = _BULLET.match(line)
        lead = bullet[0] if bullet else ""
        written = []
        for sentence in sentences(line[len(lead) :]):
            if len(words(sentence)) >= _QUOTABLE_WORDS and not re.search("[⟦⟧|]", sentence) and sentence in whole:
                # The period is behind the quote, where a reader of the answer finds the end of the sentence.
                bare = sentence.rstrip(".")
                written.append(f'⟦"{bare}"|⟧{sentence[len(bare) :]}')
            else:
                written.append(sentence)
        lines.append(lead + " ".join(written))
    return "\n".join(lines)


_BULLET = re.compile(r"[-*] |\d+\. ")
_QUOTABLE_WORDS = 4


def _answered(task: Task, facts: NodeFacts, source: ReferencedText) -> str:
    wanted = read_instruction(task.instruction)
    for rule in _RULES:
        found = rule(task, wanted, facts, source)
        if found is not None:
            return found
    return describe_cannot(task)


_NO_SOURCE = ReferencedText("", "text", "")
_MISSES = (
    "I cannot read this question off the table",
    "No passage of the text is about this",
    "No sentences to extract",
)


def is_miss(text: str) -> bool:
    """Whether an answer states that there is none."""
    return text.startswith(_MISSES) or REFUSAL in text


def is_refusal(text: str) -> bool:
    """Whether an answer, or a synthesis of answers, states that a language model is needed.

    It looks for the whole sentence, because a quoted text may mention language models.
    """
    return _HOW_TO_CHOOSE in text


def describe_cannot(task: Task) -> str:
    """A refusal: what cannot be done without a language model, and how to choose one."""
    return f'"{title_of(task.instruction or task.text)}" {REFUSAL}. {_HOW_TO_CHOOSE}'


SHOWN_OF_GOAL = 1_500
_REFERS = re.compile(r"\b(?:result|results|above|previous|these|those|them|it|its|the text|the document|this)\b", re.I)


def _read(task: Task, facts: NodeFacts) -> Sequence[ReferencedText]:
    """The texts for a task without one: its dependencies, or the references, or the text of the root's task."""
    if task.text or not task.instruction:
        return ()
    earlier = "\n\n".join(part.content for part in facts.dependencies)
    if earlier:
        return (ReferencedText("earlier results", "text", earlier),)
    if facts.texts:
        named = []
        for text in facts.texts:
            spellings = "|".join(map(re.escape, (text.name, text.name.replace("_", " "))))
            if re.search(rf"(?<!\w)(?:{spellings})(?!\w)", task.instruction, re.IGNORECASE):
                named.append(text)
        return named or facts.texts
    # Content keys cover only the part of the goal that a prompt shows, so no more of it may be used.
    goal = read_task(facts.goal).text if facts.goal != facts.task and len(facts.goal) <= SHOWN_OF_GOAL else ""
    return (ReferencedText("goal", "text", goal),) if goal and _REFERS.search(task.instruction) else ()


def _arithmetic(task: Task, wanted: ParsedInstruction, facts: NodeFacts, source: ReferencedText) -> str | None:
    instruction, text = task.instruction, task.text
    if text and len(text) <= 200 and re.match(r"\s*(?:calculate|compute|evaluate)\b", instruction, re.I):
        instruction = f"{instruction.rstrip(': ')} {text}"
    return calculate(instruction)


def _table(task: Task, wanted: ParsedInstruction, facts: NodeFacts, source: ReferencedText) -> str | None:
    table = read_table(task.text, source.kind)
    if table is None or wanted.counts or not task.instruction or _CREATES.match(task.instruction):
        return None
    unanswered = f"{_MISSES[0]}; its columns are {', '.join(table.columns)}."
    return answer_from(table, task.instruction) or unanswered


def _sections(task: Task, wanted: ParsedInstruction, facts: NodeFacts, source: ReferencedText) -> str | None:
    """A task for each section of a text that was not split: the sections one after the other."""
    found = outline(task.text)
    if not (wanted.per_section and wanted.is_extract) or len(found.sections) < 2:
        return None
    parts = [f"## {part.title}\n\n{_extract(part.text, wanted, part.title)}" for part in found.sections]
    if wanted.overview:
        overview = choose(read_sentences(task.text), 4, title=found.title)
        parts.insert(0, f"## {wanted.overview.capitalize()}\n\n" + " ".join(each.text for each in overview))
    return "\n\n".join(parts)


def _extract_or_count(task: Task, wanted: ParsedInstruction, facts: NodeFacts, source: ReferencedText) -> str | None:
    """Those of counts, extract and key terms that the instruction asks for."""
    quoted = re.search(r'"([^"]+)"', task.instruction)
    if wanted.counts and quoted and not task.text:
        return counted(quoted[1], wanted.counts)
    if not task.text.strip():
        return None
    found = [counted(task.text, wanted.counts)] if wanted.counts else []
    if wanted.is_extract:
        found.append(_extract(task.text, wanted, title_of(task.instruction)))
    return "\n\n".join(found) or None


def _extract(text: str, wanted: ParsedInstruction, title: str) -> str:
    found = []
    if wanted.summary:
        sections = outline(text).sections
        if len(sections) < _MANY_SECTIONS:
            candidates = read_sentences(text)
        else:
            # Of a text in many sections the best of each, so that no section dominates.
            candidates = [best for each in sections for best in choose(read_sentences(each.text), 2, title=each.title)]
        chosen = choose(candidates, wanted.sentences or (None if wanted.words else 3), wanted.words, title)
        lines = sum(1 for line in text.splitlines() if line.strip())
        no_prose = f"{_MISSES[2]}: {lines} lines of code, tables, headings or lists."
        found.append(as_text([each.text for each in chosen], wanted.bullets) or no_prose)
    if wanted.terms is not None:
        found.append(terms_line(key_terms(text, wanted.terms or None, title)))
    return "\n\n".join(each for each in found if each)


_MANY_SECTIONS = 4


def as_text(chosen: list[str], bullets: bool) -> str:
    return "\n".join(f"- {each}" for each in chosen) if bullets else " ".join(chosen)


def terms_line(terms: list[str]) -> str:
    return f"{TERMS} {', '.join(terms)}" if terms else ""


_COUNTERS: dict[str, Callable[[str], int]] = {
    "word": lambda text: len(text.split()),
    "line": lambda text: len(text.splitlines()),
    "character": len,
    "paragraph": lambda text: len(paragraphs(text)),
    "sentence": lambda text: sum(1 for each in paragraphs(text) for _ in sentences(each.text)),
    "section": lambda text: len(outline(text).sections),
    "heading": lambda text: len(outline(text).sections),
}


def counted(text: str, what: tuple[str, ...]) -> str:
    """ "1,234 words, 56 lines", counted in the unchanged text."""
    numbers = [(name, _COUNTERS[name](text)) for name in what if name in _COUNTERS]
    return ", ".join(f"{number:,} {name}{'' if number == 1 else 's'}" for name, number in numbers) + "."


_HOW_OFTEN = re.compile(
    r"how (?:many times|often) (?:does|do|is|are)(?: the (?:word|phrase))? [\"'“]?(.+?)[\"'”]? "
    r"(?:occur|appear|used|mentioned|come up)",
    re.IGNORECASE,
)


def _occurrences(task: Task, wanted: ParsedInstruction, facts: NodeFacts, source: ReferencedText) -> str | None:
    match = _HOW_OFTEN.search(task.instruction)
    if not match or not task.text:
        return None
    count = len(re.findall(rf"(?<!\w){re.escape(match[1])}(?!\w)", task.text, re.IGNORECASE))
    return f'"{match[1]}" occurs {count:,} time{"" if count == 1 else "s"}.'


_ASKED = re.compile(
    r"\s*(?:please\s+)?(?:what|who|whom|whose|when|where|why|which|how|is|are|does|do|did|can|find|look up|search|"
    r"explain|describe|tell me|define|quote|show|list|name|identify|extract|collect)\b",
    re.IGNORECASE,
)


def _question(task: Task, wanted: ParsedInstruction, facts: NodeFacts, source: ReferencedText) -> str | None:
    """The passages that answer a question, or a topic such as "Python: speed"."""
    instruction = task.instruction.strip()
    is_topic = len(instruction) <= 80 and not re.match(r"\s*\w+e?\b.*\b(?:poem|essay|story)\b", instruction, re.I)
    is_asked = bool(_ASKED.match(instruction)) or instruction.endswith("?")
    if not task.text.strip() or not (is_asked or (is_topic and not _CREATES.match(instruction))):
        return None
    query = [each for each in content_stems(masked(instruction)) if each not in _ASKING]
    found = passages(task.text, query)
    if found:
        return " ".join(found)
    sought = [word for word in dict.fromkeys(words(instruction)) if stem(word) in query]
    return f"{_MISSES[1]} (sought: {', '.join(sought) or 'nothing'})." if is_asked else None


_ASKING = frozenset(
    content_stems(
        "find describe explain tell define quote show list name identify extract collect passage passages text "
        "document section sentence sentences say says mention mentions following above"
    )
)
_CREATES = re.compile(
    r"\s*(?:please\s+)?(?:write|compose|invent|create|generate|draft|translate|rewrite|paraphrase|proofread|correct|"
    r"convert|turn|review|analy[sz]e|criticise|critique|discuss|propose|suggest|imagine|design|plan|make|classify|label|rank|sort|"
    r"improve|continue|answer|solve|think|evaluate|estimate|predict|recommend|brainstorm)\b",
    re.IGNORECASE,
)


def _bare_text(task: Task, wanted: ParsedInstruction, facts: NodeFacts, source: ReferencedText) -> str | None:
    """A long text without an instruction: its central sentences."""
    if task.instruction or len(task.text) < 400:
        return None
    return as_text([each.text for each in choose(read_sentences(task.text), 3)], bullets=False) or None


_RULES: tuple[Callable[[Task, ParsedInstruction, NodeFacts, ReferencedText], str | None], ...] = (
    _arithmetic,
    _table,
    _sections,
    _occurrences,
    _extract_or_count,
    _question,
    _bare_text,
)
