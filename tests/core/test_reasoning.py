"""Reasoning is separated from answers, in complete and in streamed texts; a tag that is only mentioned stays."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rlm_notebook.core.reasoning import MOST_CHARACTERS, ThoughtFilter, last_value, split_thoughts
from tests.support.amounts import few_or_many

pytestmark = pytest.mark.timeout(120)

PLAN = '{"decision": "RECURSE", "sub_tasks": [{"description": "x"}]}'


def streamed(text: str, size: int) -> str:
    """What is left to be seen of a text that comes in pieces."""
    reading, seen = ThoughtFilter(), ""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    for read in (*(lambda piece=piece: reading.feed(piece) for piece in pieces), reading.rest):
        given = read()
        if given:
            seen, reading.took_back = ("" if reading.took_back else seen) + given, False
    return "" if reading.took_back else seen


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>\nHmm.\n</think>\n\nRome", "Hmm.", "Rome"),
        ("  <think>Hmm.</think>Rome", "Hmm.", "Rome"),
        ("<THINKING effort='high'>a</THINKING>Rome", "a", "Rome"),
        ("<thought>a</thought>\n<reasoning>b</reasoning>\nRome", "a\n\nb", "Rome"),
        ("<seed:think>a</seed:think>Rome", "a", "Rome"),
        ("[THINK]a[/THINK]Rome", "a", "Rome"),
        ("◁think▷a◁/think▷Rome", "a", "Rome"),
        ("<|begin_of_thought|>a<|end_of_thought|>Rome", "a", "Rome"),
        ("<thoughts>a</thoughts>Rome", "a", "Rome"),
        ("<|thinking|>a<|/thinking|>Rome", "a", "Rome"),
        ("<|START_THINKING|>a<|END_THINKING|>Rome", "a", "Rome"),
        ("<|channel>thought\na<channel|>Rome", "a", "Rome"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Rome", "a", "Rome"),
        ("<|start|>assistant<|channel|>commentary to=user<|message|>a<|channel|>final<|message|>Rome", "a", "Rome"),
        ("a<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>Rome", "a", "Rome"),
        ("<think>a<think>b</think>c</think>Rome", "a<think>b</think>c", "Rome"),
        ("<think>I use <think> tags</think>Rome", "I use <think> tags", "Rome"),
        ("<think>write </think> first. Yes.</think>Rome", "write\n\nfirst. Yes.", "Rome"),
        ("<think>\n\n</think>\n\nRome", "", "Rome"),
        ("<think>cut off", "cut off", ""),
        ("Hmm.\n</think>\n\nRome", "Hmm.", "Rome"),
        ("Hmm.</think>Rome", "Hmm.", "Rome"),
        ("Hmm. </think> rome", "Hmm.", "rome"),
        ("</think>Rome", "", "Rome"),
        ("Hmm.[/THINK]Rome", "Hmm.", "Rome"),
        ("Hmm.\n[/THINK]\n[1, 2]", "Hmm.", "[1, 2]"),
        ("Hmm.\n<channel|>Rome", "Hmm.", "Rome"),
        (f"I could: {PLAN}? No.\n</think>\nRome", f"I could: {PLAN}? No.", "Rome"),
        ("Well.\n<think>is it?</think>\nRome", "is it?", "Well.\nRome"),
        ("It is <think>let me see</think> Rome", "let me see", "It is Rome"),
        ("Well. <think>hm</think> Rome", "hm", "Well. Rome"),
        ("Rome\n<think>cut off again", "cut off again", "Rome"),
        ("<think>a ```x</think>Rome ```y```", "a ```x", "Rome ```y```"),
    ],
)
def test_thoughts_are_separated(text: str, thoughts: str, answer: str) -> None:
    assert split_thoughts(text) == (thoughts, answer)
    for size in (1, 2, 3, 7, 1000):
        assert streamed(text, size).strip() == answer


@pytest.mark.parametrize(
    "text",
    [
        "Rome",
        "",
        "  a\n",
        "a < b and <thinking about>",
        "Use <think> and </think> to delimit thoughts.",
        "The tag </think> ends them.",
        "Models write <think>.",
        "They end with </think>, and begin with <think>.",
        "First comes <think>: then all that was thought. Then </think>.",
        "Put it in <think>...</think> tags.",
        "Models emit <think>reasoning</think> first.",
        "It is `<think>`, then `</think>`.",
        'It ends with "</think>".',
        "So:\n```xml\n<think>\na thought\n</think>\n```\nThat is all.",
        "So:\n```\n</think>\n```\n",
        '{"answer": "it ends with </think>, always"}',
        '{"a": "<think>x y</think>", "b": 1}',
        '[{"a": "x</think>y"}]',
        '```json\n{"a": "x</think>y"}\n```',
    ],
)
def test_a_tag_that_is_only_mentioned_stays(text: str) -> None:
    assert split_thoughts(text) == ("", text)
    for size in (1, 2, 3, 7, 1000):
        assert streamed(text, size) == text


def test_in_a_whole_text_values_are_known_and_so_is_a_block_that_never_ends() -> None:
    assert split_thoughts('Here: {"a": "x</think>y"}, as JSON.') == ("", 'Here: {"a": "x</think>y"}, as JSON.')
    assert split_thoughts('{"a": 1}? No.\n</think>\n{"a": 2}') == ('{"a": 1}? No.', '{"a": 2}')
    assert split_thoughts("see ```python\nx\n</think>\nRome") == ("see ```python\nx", "Rome")


PIECES = [
    "<think>",
    "</think>",
    "<",
    "think",
    ">",
    "/",
    "a b",
    "Rome. ",
    "\n",
    " ",
    "`",
    "```",
    '"',
    "{",
    "}",
    "[THINK]",
]


@example("<\n[THINK]</think><", 2)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.integers(1, 5))
def test_any_text_is_separated_and_nothing_is_added(text: str, size: int) -> None:
    thoughts, answer = split_thoughts(text)

    assert set(thoughts + answer) <= set(text) | {"\n"}
    left = iter("".join(text.split()))
    assert all(char in left for char in "".join(answer.split())), "in their order, what is left of the text"
    assert streamed(text, size) is not None


@given(st.text(alphabet="ab .\n", max_size=20), st.text(alphabet="ab .\n", max_size=20), st.integers(1, 9))
def test_a_streamed_text_is_separated_as_the_complete_one(thought: str, answer: str, size: int) -> None:
    for text in (f"<think>{thought}</think>{answer}", f"{thought}\n</think>\n{answer}"):
        assert split_thoughts(text) == (thought.strip(), answer.strip())
        assert streamed(text, size).strip() == answer.strip()


@pytest.mark.parametrize("piece", ["<think>", "</think>", "a</think>", "<", "`", "<think ", "[", "<think>a</think>b"])
@few_or_many(15_000, 100_000)
def test_a_long_text_of_nothing_but_tags_is_read_through(piece: str, amount: int) -> None:
    text = piece * amount
    split_thoughts(text)
    streamed(text, 50)


@pytest.mark.parametrize("inside", [" ", "\n", "a", "|", "think "])
def test_a_tag_that_never_ends_is_read_through(inside: str) -> None:
    text = "<" + inside * 1_000_000
    assert split_thoughts(text) == ("", text)


def test_a_text_longer_than_any_model_writes_is_left_as_it_is() -> None:
    thought = "<think>" + "x" * (MOST_CHARACTERS - 20) + "</think>"
    assert split_thoughts(f"{thought}Rome")[1] == "Rome"
    assert split_thoughts(f"{thought}Rome{'.' * 20}") == ("", f"{thought}Rome{'.' * 20}")


@pytest.mark.parametrize(
    ("thoughts", "value"),
    [
        ('So it is {"name": "Rome"}', '{"name": "Rome"}'),
        ('{"name": "Paris"}? No:\n```json\n{"name": "Rome"}\n```\n', '{"name": "Rome"}'),
        ('Maybe {"name": "Paris"}, but I am not sure', None),
        ('Maybe {"name": "Par', None),
        ("no", None),
    ],
)
def test_an_answer_in_thoughts_is_what_they_end_with(thoughts: str, value: str | None) -> None:
    assert last_value(thoughts) == value
