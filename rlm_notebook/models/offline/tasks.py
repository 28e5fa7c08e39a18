"""Parses a task: separates the instruction from the text, and determines what the instruction asks for.

This is the only file with English commands. A title in double quotes within an instruction names a text and is never
read as a command.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = [
    "ParsedInstruction",
    "Task",
    "first_line",
    "is_command",
    "masked",
    "read_instruction",
    "read_task",
    "title_of",
]


@dataclass(frozen=True, slots=True)
class Task:
    """A task, separated into instruction and text; either may be empty."""

    instruction: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ParsedInstruction:
    """What an instruction asks for, as far as the rules recognise it; `None` or empty: not asked for.

    `terms` is 0 for key terms without a number.
    """

    summary: bool = False
    sentences: int | None = None
    words: int | None = None
    bullets: bool = False
    terms: int | None = None
    overview: str = ""
    per_section: bool = False
    counts: tuple[str, ...] = ()

    @property
    def is_extract(self) -> bool:
        return self.summary or self.terms is not None


_COMMAND = re.compile(
    r"""(?:(?:please|now|also|and|then|finally|first|next|can\syou|could\syou),?\s+)*
    (?:
      (?:tl;?dr|list|count|find|compare|extract|write|what|who|whom|whose|when|where|why|which|how|give|tell|show|name
        |create|draft|invent|plan|answer|is|are|does|do|did|can|has|have|make|add|sort|rank|group|label|check|correct
        |turn|report|quote|look\sup|search|read|pick|choose|select|split|join|define|provide|present|solve|sum|using
        |based\son|from\sthe|for\seach|for\severy|in\s\w+\s(?:sentences?|words|bullets?))(?![\w,-])
      |(?:summar|r[ée]sum|fass|riassum|translat|explain|describ|calculat|comput|evaluat|identif|outlin|condens|shorten
        |rewrit|review|analy[sz]|generat|propos|suggest|compos|classif|verif|proofread|convert|determin|estimat|discuss
        |produc|prepar|collect|highlight|combin|merg|contrast)\w*(?![\w,-])
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def is_command(text: str) -> bool:
    """Whether a text begins like an instruction or a question."""
    return bool(_COMMAND.match(text.strip().lstrip("#*->0123456789.) \t")))


_QUOTED = re.compile(r'"[^"\n]*"')


def masked(instruction: str) -> str:
    """The instruction with underscores in place of quoted text, which contains no commands; the length is the same."""
    return _QUOTED.sub(lambda match: '"' + "_" * (len(match[0]) - 2) + '"', instruction)


def first_line(task: str) -> str:
    return next((line.strip() for line in task.splitlines() if line.strip()), "")


def title_of(task: str, longest: int = 80) -> str:
    """A short title of a task: the title that it quotes, or else its first line."""
    line = first_line(task)
    if re.search(r"\bthe opening\b(?! of)", line):
        return "Opening"
    quoted = _QUOTED.search(line)
    title = quoted[0].strip('" ') if quoted else line.lstrip("#*-> ").rstrip(".:; ")
    return title if len(title) <= longest else title[: longest - 1].rsplit(" ", 1)[0] + "…"


_DELIMITED = re.compile(
    r'\A(?P<before>.*?)(?:"""(?P<quoted>.+?)"""|<(?P<tag>document|text|doc|article|context|data)>(?P<tagged>.+?)</(?P=tag)>)'
    r"(?P<after>.*)\Z",
    re.DOTALL | re.IGNORECASE,
)
_LONGEST_INSTRUCTION = 1200


def read_task(task: str) -> Task:
    """Separate the instruction from the text.

    The forms, in the order in which they are tried: a text in triple quotes or a tag; an instruction, a blank line or
    heading, then the text; the text, then an instruction about it; "instruction: text" in one paragraph.
    """
    head = task[:4000]
    delimited = _DELIMITED.match(task) if '"""' in head or "<" in head else None
    if delimited:
        around = f"{delimited['before']} {delimited['after']}".strip()
        return Task(around, (delimited["quoted"] or delimited["tagged"]).strip())
    end = _instruction_end(task)
    instruction, text = task[:end].strip(), task[end:].strip("\n")
    if text.strip():
        # The task with the first paragraph as instruction, or the last one if that is a command and the first is not.
        if len(instruction) <= _LONGEST_INSTRUCTION and (is_command(instruction) or instruction.endswith(":")):
            return Task(instruction, text)
        body, _, last = text.rstrip().rpartition("\n\n")
        if (
            (body.strip() or not _is_topic(instruction))
            and len(last) <= 400
            and is_command(last)
            and not last.lstrip().startswith(("#", "-", "*", "|"))
        ):
            return Task(last.strip(), f"{instruction}\n\n{body}".strip())
        if len(instruction) <= 300:
            wanted = read_instruction(instruction)
            asks = wanted.is_extract or wanted.counts or instruction.endswith("?")
            if asks or _is_topic(instruction):
                return Task(instruction, text)
        return _from_one_paragraph(f"{instruction}\n\n{text}")
    return _from_one_paragraph(instruction)


_BREAK = re.compile(
    r"\n[ \t]*\n|\n(?=[ \t]{0,3}#{1,6}[ \t])|\n(?=[ \t]{0,3}(?:```|~~~))|"
    r"(?<=:)[ \t]*\n(?![ \t]*(?:[-*+•]|\d+[.)])[ \t])"
)
_TASK_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\(?\d{1,3}[.)]|\(?[a-z][.)])[ \t]+")


def _instruction_end(task: str) -> int:
    """The end of the first paragraph, including a list of commands that follows it."""
    offset = len(task) - len(task.lstrip())
    match = _BREAK.search(task, offset)
    while match:
        following = task[match.end() :].lstrip("\n")[:600]
        item = _TASK_ITEM.match(following)
        if not item or not is_command(following[item.end() :]):
            return match.start()
        match = _BREAK.search(task, match.end())
    return len(task)


def _is_topic(instruction: str) -> bool:
    """Whether a line above a text is a topic, not a sentence: "Ada Lovelace: engines", "total by region"."""
    is_line = "\n" not in instruction and len(instruction) <= 120
    return is_line and instruction[:1].isalnum() and instruction[-1:].isalnum()


def _from_one_paragraph(task: str) -> Task:
    before, colon, after = task[:300].partition(": ")
    if colon and len(after) > 30 and is_command(before) and not _TASK_ITEM.match(before):
        return Task(before, task[len(before) + 2 :].strip())
    return Task(task) if len(task) <= _LONGEST_INSTRUCTION else Task("", task)


_NUMBERS = {
    word: value
    for value, names in enumerate(
        re.split(
            ",",
            "one|a|single|une|ein|einem|un,two|couple|deux|zwei|dos|due,three|few|trois|drei|tres|tre,four|quatre|vier,"
            "five|cinq|fünf|cinco,six,seven,eight,nine,ten,eleven,twelve,thirteen,fourteen,fifteen,sixteen,seventeen,"
            "eighteen,nineteen,twenty",
        ),
        start=1,
    )
    for word in names.split("|")
}
_NUMBER = rf"(?P<n>\d{{1,4}}|{'|'.join(_NUMBERS)})"


def _number_before(noun: str, instruction: str) -> int | None:
    """The number in "three short sentences", "a 50-word summary"; `None` without one."""
    match = re.search(rf"\b{_NUMBER}[ -](?:or two |of )?(?:[a-z]+ )?(?:{noun})\b", instruction, re.IGNORECASE)
    if not match:
        return None
    return max(1, _NUMBERS.get(match["n"].lower()) or int(match["n"]))


_SUMMARY = re.compile(
    r"summar|\btl;?dr\b|abstract of|digest|\bgist\b|condense|shorten|(?:main|key|most important|central) (?:points?|"
    r"sentences|statements|ideas|findings)|nutshell|\boutline\b|recap\b|overview|\bextract of|boil\w* down|"
    r"r[ée]sum[ée]\w*\b.*\b(?:texte|document|phrases?|texto|frases|section)|zusammenfass|\bfass\w* .*zusammen|riassum",
    re.IGNORECASE,
)
_TERMS = re.compile(
    r"\bkey[ -]?(?:terms?|words?|phrases?|concepts?)|main (?:terms|concepts)|terminology", re.IGNORECASE
)
_OVERVIEW = re.compile(r"overview|overall summary|executive summary|conclusion|conclude", re.IGNORECASE)
_PER_SECTION = re.compile(
    r"\b(?:each|every|per|all(?: of)?(?: the)?|any)\s+"
    r"(?:(?:of (?:the|its)|single|top-level|main|major|individual)\s+)?"
    r"(?:sections?|chapters?|parts?|headings?|articles?|paragraphs?)|(section|chapter|part|paragraph) by \1|"
    r"section-wise",
    re.IGNORECASE,
)
_COUNTED = "words?|lines?|characters?|letters?|sentences?|paragraphs?|sections?|headings?"
_COUNT = re.compile(
    rf"(?:how many|count(?: up)?(?: all)?(?: of)?(?: the)?(?: number of)?(?: its)?|number of|and(?: the)?|"
    rf",(?: the)?)\s+(?P<what>{_COUNTED})\b|(?P<counted>word|line|character|sentence)[ -]count",
    re.IGNORECASE,
)
_COUNTS = re.compile(r"how many|\bcount\b|number of|[a-z]-? ?count\b", re.IGNORECASE)


def read_instruction(instruction: str) -> ParsedInstruction:
    """Determine what an instruction asks for."""
    text = masked(instruction)
    overview = _OVERVIEW.search(text)
    per_section = bool(_PER_SECTION.search(text))
    counts: tuple[str, ...] = ()
    if _COUNTS.search(text):
        found = [(match["what"] or match["counted"]).lower().rstrip("s") for match in _COUNT.finditer(text)]
        counts = tuple(dict.fromkeys("character" if each == "letter" else each for each in found))
    sentences = None
    if not counts:
        sentences = _number_before("sentences?|phrases?|sätzen?|satz|frases?|frasi", text)
        sentences = sentences or _number_before("bullet points?|bullets?|points?", text)
        sentences = sentences or 5 * (_number_before("paragraphs?", text) or 0) or None
    return ParsedInstruction(
        summary=bool(_SUMMARY.search(text)) or (bool(overview) and per_section),
        sentences=sentences,
        # "Five key words" is not a length.
        words=_number_before("words?", re.sub(r"key ?words?", "", text, flags=re.IGNORECASE)),
        bullets=bool(re.search(r"\bbullet", text, re.IGNORECASE)),
        terms=(_number_before("key ?terms|terms|key ?words|key phrases|key concepts", text) or 0)
        if _TERMS.search(text)
        else None,
        overview=overview[0].lower() if overview else "",
        per_section=per_section,
        counts=counts,
    )
