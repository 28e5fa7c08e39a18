"""The offline model: what it splits, what it extracts, what it refuses, and that it never invents or hangs."""

import asyncio
import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import RecursiveEngine
from rlm_notebook.core.plan import Execute, Recurse, parse_plan
from rlm_notebook.models.offline import LABEL, OfflineModel
from rlm_notebook.ports import Model, NodeFacts, Part, Reply, Request
from tests.support.amounts import few_or_many

GUIDE = (Path(__file__).parents[2] / "rlm_notebook" / "demo" / "guide.md").read_text(encoding="utf-8")
SUMMARISE_EACH = (
    "Summarise each section of this document in two sentences, list its key terms, then write an overview.\n\n"
)
LOVELACE = (
    "Ada Lovelace was an English mathematician. She worked with Charles Babbage on the Analytical Engine in 1843. "
    "The engine was never built, e.g. for want of money. Her notes hold what many call the first computer program. "
    "Dr. Smith disputes 3.5 percent of the claims, see https://example.org/a.b?c=d for details."
)
PRICES = "product,region,price,units\napple,north,1.20,10\npear,south,2.50,4\nplum,north,0.80,30\nfig,south,3.10,2"


async def reply(mode, task="", **facts):
    *pieces, last = [piece async for piece in OfflineModel().stream(Request(mode, (), NodeFacts(task, **facts)))]
    assert isinstance(last, Reply)
    assert "".join(pieces) == last.content
    return last


def ask(mode, task, **facts):
    return asyncio.run(reply(mode, task, **facts)).content


def planned(task, **facts):
    return parse_plan(ask("planner", task, **facts))


def titles(plan):
    return [part.task.splitlines()[0] for part in plan.sub_tasks]


def worked(task, **facts):
    return ask("worker", task, **facts)


def solve(task, *, max_depth=5):
    """The recursion of the engine in small: the answer, and every node's id, task and plan."""
    nodes = []

    def node(facts):
        plan = planned(facts.task, depth=facts.depth, goal=task) if facts.depth + 1 < max_depth else Execute()
        nodes.append((facts.task_id, facts.task, plan))
        if isinstance(plan, Execute):
            return ask("worker", facts.task, depth=facts.depth, goal=task, dependencies=facts.dependencies)
        parts = []
        for index, each in enumerate(plan.sub_tasks):
            met = tuple(parts[position] for position in each.depends_on)
            child = NodeFacts(each.task, f"{facts.task_id}.{index}", facts.depth + 1, task, dependencies=met)
            parts.append(Part(child.task_id, child.task, node(child)))
        return ask("synthesizer", **dataclasses.asdict(facts) | {"parts": tuple(parts)})

    return node(NodeFacts(task, goal=task)), nodes


def bare(text):
    """A text without Markdown marks and line breaks."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*_`]", "", text).split())


def extracted(answer):
    """The sentences of an answer: no headings, key terms, notes or references."""
    blocks = [block for block in answer.split("\n\n") if not block.startswith(("#", "**Key terms", "*Rule", "No sent"))]
    text = re.sub(r" ?\[0(\.\d+)+\]", "", " ".join(blocks))
    return [each for each in re.split(r"(?<=[.!?])\s+(?=[A-Z`\"])", bare(text)) if each]


# --- the model --------------------------------------------------------------------------------------------------------


def test_it_is_a_model_and_says_in_every_reply_what_it_is():
    assert isinstance(OfflineModel(), Model)
    assert OfflineModel().name == "offline"
    for mode in ("planner", "worker", "synthesizer"):
        answer = asyncio.run(reply(mode, "Write a poem"))
        assert answer.metadata["label"] == LABEL
        assert "not a language model" in answer.metadata["label"]
        assert answer.usage is not None
        assert answer.usage.cost_usd == 0.0
        assert answer.usage.completion_tokens == len(answer.content.split())


def test_the_same_task_gives_the_same_tree_and_answer():
    assert solve(SUMMARISE_EACH + GUIDE) == solve(SUMMARISE_EACH + GUIDE)


# --- the guide --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guide_run():
    return solve(SUMMARISE_EACH + GUIDE)


def test_the_guide_is_long_enough_to_be_worth_splitting():
    assert len(GUIDE.encode()) >= 22 * 1024
    assert 10 <= len(re.findall(r"^## ", GUIDE, re.MULTILINE)) <= 14


def test_the_guide_gives_a_tree_of_readable_size_and_depth(guide_run):
    _, nodes = guide_run
    ids = [node for node, _, _ in nodes]
    assert 12 <= len(nodes) <= 30
    assert max(node.count(".") for node in ids) == 3
    first_lines = [task.splitlines()[0] for _, task, _ in nodes[1:]]
    assert 'Summarise "Privacy" in two sentences and list its key terms' in first_lines
    assert all('"' in line and len(line) < 120 for line in first_lines)


def test_every_section_of_the_guide_comes_back_with_two_sentences_and_its_node(guide_run):
    answer, nodes = guide_run
    sections = re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)
    positions = [re.search(rf"^## {re.escape(title)} \[0\.\d+\]$", answer, re.MULTILINE) for title in sections]
    assert all(positions)
    assert [match.start() for match in positions] == sorted(match.start() for match in positions)
    for node, task, plan in nodes:
        if isinstance(plan, Execute):
            assert len(extracted(worked(task))) == 2, node


def test_the_answer_has_one_overview_one_note_and_nested_headings(guide_run):
    answer, nodes = guide_run
    assert answer.startswith("## Overview\n\n")
    assert answer.count("Overview\n") == 1
    assert answer.count("Rule-based and extractive") == 1
    assert answer.rstrip().endswith("*")
    assert re.search(r"^### Where the file is \[0\.\d+\.\d+\]$", answer, re.MULTILINE)
    assert re.search(r"^#### Replay \[0\.\d+\.\d+\.\d+\]$", answer, re.MULTILINE)
    assert set(re.findall(r"\[(0(?:\.\d+)+)\]", answer)) <= {node for node, _, _ in nodes}
    overview = answer.split("\n\n")[1]
    assert len(re.findall(r"\[0[.\d]+\]", overview)) == 4


def test_every_sentence_of_the_answer_stands_in_the_guide(guide_run):
    source = bare(GUIDE)
    found = extracted(guide_run[0])
    assert len(found) > 40
    assert [sentence for sentence in found if sentence not in source] == []


def test_the_engine_solves_the_guide_as_the_loop_here_does(guide_run):
    engine = pytest.importorskip("rlm_notebook.async_engine").AsyncRecursiveEngine(OfflineModel())
    output = asyncio.run(engine.solve(SUMMARISE_EACH + GUIDE))
    assert output.content == guide_run[0]


def test_without_any_depth_the_sections_are_still_summarised(guide_run):
    answer, nodes = solve(SUMMARISE_EACH + GUIDE, max_depth=1)
    assert len(nodes) == 1
    assert answer.startswith("## Overview\n\n")
    assert "\n## Privacy\n" in answer


# --- planning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        ("1. Count the words\n2. List the key terms", ["Count the words", "List the key terms"]),
        ("Please do this:\n- Find the risks\n- Who wrote it?", ["Find the risks", "Who wrote it?"]),
        ("Count the words; list the terms; and find the date", ["Count the words", "List the terms", "Find the date"]),
        (
            "For each of apples, pears and plums, write a haiku",
            [f"Write a haiku: {n}" for n in ("apples", "pears", "plums")],
        ),
        ("Describe the taste for each of figs and plums.", ["Describe the taste: figs", "Describe the taste: plums"]),
        ("Compare Python and Rust on speed", ["Python: speed", "Rust: speed"]),
        ("First count the words, then find the date", ["Count the words", "Find the date"]),
    ],
)
def test_a_task_is_split_where_its_wording_shows_the_parts(task, expected):
    plan = planned(task)
    assert isinstance(plan, Recurse)
    assert titles(plan) == expected


def test_steps_in_order_depend_on_each_other_and_a_list_does_not():
    ordered = planned("First count the words, then find the date, finally list the names")
    assert [part.depends_on for part in ordered.sub_tasks] == [(), (0,), (1,)]
    listed = planned("1. Count the words\n2. List the key terms")
    assert [part.depends_on for part in listed.sub_tasks] == [(), ()]


def test_each_task_of_a_list_gets_the_text():
    plan = planned(f"1. Count the words\n2. List the key terms\n\n{LOVELACE}")
    assert all(part.task.endswith(LOVELACE) for part in plan.sub_tasks)


@pytest.mark.parametrize(
    "task",
    [
        "What is 2 + 2?",
        "Write a poem about the sea.",
        f"Summarise this in two sentences.\n\n{LOVELACE}",
        f"How many words are there?\n\n{GUIDE}",
        f"What does replay need?\n\n{GUIDE}",
        "Salt and pepper; bread and butter",
        "",
    ],
)
def test_what_gains_nothing_from_splitting_is_executed(task):
    assert isinstance(planned(task), Execute)


FENCED = """\
---
title: "# Not a heading"
---
# Title

Opening words that say little.

## One

{prose}

```python
# a comment
## another comment
```

~~~
# still code
~~~

| # Head | Value |
|---|---|
| # a | 1 |

## Two

{prose}

    # indented code
""".format(prose="The river carries sand to the sea every spring. " * 30)


def test_comments_in_code_cells_of_tables_and_front_matter_are_no_headings():
    plan = planned(f"Summarise each section in one sentence.\n\n{FENCED}")
    assert titles(plan) == ['Summarise "One" in one sentence', 'Summarise "Two" in one sentence']
    assert "# a comment" in plan.sub_tasks[0].task


def test_underlined_and_numbered_headings_divide_a_text_too():
    prose = "The river carries sand to the sea every spring.\n" * 25
    underlined = f"One\n===\n\n{prose}\nTwo\n===\n\n{prose}"
    numbered = f"  1. One.\n\n{prose}\n  2. Two.\n\n{prose}"
    assert titles(planned(f"Summarise each part.\n\n{underlined}")) == [
        f'Summarise "{title}" in two sentences' for title in ("One", "Two")
    ]
    assert titles(planned(f"Summarise each part.\n\n{numbered}")) == [
        f'Summarise "{title}" in two sentences' for title in ("1. One", "2. Two")
    ]


def test_a_long_text_without_headings_is_cut_into_parts_that_hold_all_of_it():
    text = "\n\n".join(
        f"Paragraph {number} tells of river {number}. " + "Water flows down. " * 20 for number in range(60)
    )
    plan = planned(f"Summarise the text.\n\n{text}")
    assert 3 <= len(plan.sub_tasks) <= 24
    joined = "\n".join(part.task for part in plan.sub_tasks)
    assert all(f"tells of river {number}." in joined for number in range(60))


def test_too_many_sections_are_grouped_and_none_is_lost():
    text = "\n\n".join(
        f"## Topic {number}\n\nSentence number {number} stands here. {'More words. ' * 20}" for number in range(100)
    )
    plan = planned(f"Summarise each section.\n\n{text}")
    assert len(plan.sub_tasks) <= 24
    joined = "\n".join(part.task for part in plan.sub_tasks)
    assert all(f"Sentence number {number} stands here." in joined for number in range(100))


pieces = st.sampled_from(
    [
        *("# A\n", "## B\n", "### C\n", "1. count the words\n", "- find it\n", "; and list ", ", then count ", "\n\n"),
        *('"', "```\n", "Summarise each section ", "compare A and B on C", "for each of a, b, c: write", "---\n"),
        *("The river runs. " * 90, "| a | b |\n", "First, ", "<text>", '"""'),
    ]
)


@given(st.lists(pieces, max_size=14).map("".join))
@settings(max_examples=150, deadline=None)
def test_every_sub_task_is_shorter_than_its_task(task):
    plan = planned(task, goal=task)
    if isinstance(plan, Recurse):
        assert 2 <= len(plan.sub_tasks) <= 24
        assert all(len(part.task) < len(task) for part in plan.sub_tasks)


def test_a_split_that_would_make_a_task_longer_is_not_made():
    prose = "The river runs. " * 150
    assert isinstance(planned(f"Recap each part\n\n# A\n\n{prose}\n\n# B\n\n{prose}"), Recurse)
    assert isinstance(planned(f"Recap each part\n\n# A\n\n{prose}\n\n# B\n\nx."), Execute)


@given(st.one_of(st.text(max_size=400), st.lists(pieces, max_size=10).map("".join)))
@settings(max_examples=150, deadline=None)
def test_no_text_makes_it_crash(task):
    facts = {"goal": task, "parts": (Part("0.0", task, task), Part("0.1", "x", "The river runs."))}
    parse_plan(ask("planner", task, **facts))
    assert isinstance(worked(task, **facts), str)
    assert isinstance(ask("synthesizer", task, **facts), str)


@few_or_many(8_000, 30_000)
@pytest.mark.parametrize("piece", ["aaa", "``", "*_", "[", "# \n", "1.\n"])
def test_degenerate_texts_are_planned_and_summarised(piece, amount):
    task = f"Summarise each section.\n\n{piece * amount}"
    planned(task)
    worked(task)


@few_or_many(9_000, 35_000)
def test_a_text_of_megabytes_is_planned_and_summarised(amount):
    text = "\n\n".join(f"The river number {number} carries sand to sea {number % 97}." * 3 for number in range(amount))
    assert len(text) > 120 * amount > 1_000_000
    planned(f"Summarise this.\n\n{text}")
    assert len(extracted(worked(f"Summarise this in three sentences.\n\n{text}"))) == 3


# --- extracts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "count"), [("in one sentence", 1), ("in 2 sentences", 2), ("in four short sentences", 4)]
)
def test_the_number_of_sentences_is_honoured(asked, count):
    answer = worked(f"Summarise this {asked}.\n\n{GUIDE}")
    found = extracted(answer)
    assert len(found) == count
    assert all(sentence in bare(GUIDE) for sentence in found)


def test_a_document_is_summarised_in_the_requested_number_over_all_its_sections():
    answer, nodes = solve(f"Summarise this document in four sentences.\n\n{GUIDE}")
    assert len(nodes) > 10
    assert len(extracted(answer)) == 4


@pytest.mark.parametrize(
    "task",
    [
        f"{LOVELACE}\n\nSummarise the text above in one sentence.",
        f"Summarise in one sentence: {LOVELACE}",
        f"Summarise this in one sentence:\n{LOVELACE}",
        f'In one sentence, summarise: """{LOVELACE}"""',
        f"<text>{LOVELACE}</text> Summarise the text in one sentence.",
    ],
)
def test_the_text_may_stand_anywhere_in_the_task(task):
    assert worked(task) == "Ada Lovelace was an English mathematician."


def test_bullets_and_words():
    bullets = worked(f"Give the key points in three bullet points.\n\n{LOVELACE}")
    assert [line[:2] for line in bullets.splitlines()] == ["- "] * 3
    assert 20 <= len(worked(f"Summarise the text in about 60 words.\n\n{GUIDE}").split()) <= 60


def test_sentences_are_not_cut_at_abbreviations_decimals_and_addresses():
    every = worked(f"Summarise this in nine bullet points.\n\n{LOVELACE}").splitlines()
    assert [line[2:15] for line in every] == [
        "Ada Lovelace ",
        "She worked wi",
        "The engine wa",
        "Her notes hol",
        "Dr. Smith dis",
    ]
    assert " ".join(line[2:] for line in every) == LOVELACE


def test_markdown_is_stripped_and_code_is_never_quoted():
    prose = "The **bold** river [runs](http://x.y) *down* to `the_sea`."
    text = f"# T\n\n{prose}\n\n```\nprint('no. prose')\n```\n\n| a | b |\n|---|---|\n"
    assert worked(f"Summarise this in five sentences.\n\n{text}") == "The bold river runs down to `the_sea`."


def test_key_terms_are_repeated_nouns():
    text = "The glacier moves slowly. A glacier carves its valley. The valley keeps the shape of the glacier. Quickly!"
    terms = worked(f"List the two key terms.\n\n{text}")
    assert terms == "**Key terms:** glacier, valley"


def test_a_question_is_answered_with_the_passage_or_not_at_all():
    assert worked(f"Who was Ada Lovelace?\n\n{LOVELACE}") == "Ada Lovelace was an English mathematician."
    assert "first computer program" in worked(f"What do her notes hold?\n\n{LOVELACE}")
    missing = worked(f"Where was the treaty signed?\n\n{LOVELACE}")
    assert "No passage" in missing
    assert "Lovelace" not in missing


@pytest.mark.parametrize(
    "text", ["ただの文です。これは二番目の文。", "Это предложение. А это второе.", "هذا نص. وهذا نص آخر."]
)
def test_other_languages_do_not_crash(text):
    answer = worked(f"Summarise this in one sentence and list its key terms.\n\n{text}")
    assert answer.split("\n\n")[0] in text


# --- counting, sums, tables -------------------------------------------------------------------------------------------


def test_counts_are_exact():
    assert worked("How many words and lines?\n\none two\nthree") == "3 words, 2 lines."
    assert worked("Count the characters\n\nabcde") == "5 characters."
    assert worked('How many words are in "to be or not to be"?') == "6 words."
    assert worked(f'How often does "engine" occur?\n\n{LOVELACE}') == '"engine" occurs 2 times.'


@pytest.mark.parametrize(
    ("task", "value"),
    [
        ("What is 12*7+3?", "87"),
        ("Calculate 15% of 80", "12"),
        ("What is the average of 3, 4 and 8?", "5"),
        ("compute 2^10", "1,024"),
        ("Calculate the square root of 81", "9"),
        ("What is 7 times 8?", "56"),
        ("2+2", "4"),
    ],
)
def test_sums(task, value):
    assert worked(task).endswith(f" = {value}")


@pytest.mark.parametrize(
    "task",
    [
        "Calculate __import__('os').system('touch /tmp/owned')",
        "Calculate 9**9**9",
        "Calculate 9**99999",
        "compute (1).__class__.__bases__",
        "evaluate ().__class__",
        "Calculate open('/etc/passwd').read()",
        "Calculate [x for x in (1,)].__len__()",
        "Calculate 1/0",
        "Calculate " + "(" * 150 + "1+1" + ")" * 150,
    ],
)
def test_what_is_no_sum_is_refused_in_words_and_not_tried(task):
    answer = worked(task)
    assert re.search("did not calculate|has no value|needs a language model", answer)
    assert " = " not in answer


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the average price?", "1.9"),
        ("How many rows are there?", "4 rows"),
        ("What is the price of plum?", "0.80"),
        ("Which product is the cheapest?", "plum"),
        ("Total units by region", "| north | 40 |"),
        ("Which rows are in region south?", "| fig | south | 3.10 | 2 |"),
        ("Summarise this table", "4 rows and 4 columns"),
    ],
)
def test_questions_to_a_table(question, expected):
    assert expected in worked(f"{question}\n\n{PRICES}")


# --- honesty ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "task",
    ["Write a poem about the sea.", "Explain quantum entanglement.", "What is the capital of France?", "Hello",
     f"Translate this into French.\n\n{LOVELACE}", f"Write a story about this.\n\n{LOVELACE}"],
)  # fmt: skip
def test_what_needs_a_model_is_refused_with_the_way_to_choose_one(task):
    answer = worked(task)
    assert "needs a language model" in answer
    assert "%%rlm -m openai:NAME" in answer
    assert "ollama:NAME" in answer


def test_several_refusals_become_one():
    answer, nodes = solve("For each of apples, pears and plums, write a haiku")
    assert len(nodes) == 4
    assert answer.count("openai:NAME") == 1
    assert all(f"[0.{index}]" in answer for index in range(3))


def test_a_step_builds_on_the_result_that_it_depends_on():
    earlier = Part("0.0", "Find the passages", "Ada wrote notes. Bernoulli numbers were computed.")
    assert worked("Count the words of the result", dependencies=(earlier,)) == "7 words."


# --- synthesis --------------------------------------------------------------------------------------------------------


def test_parts_are_joined_in_order_with_headings_below_their_own():
    parts = (
        Part("0.0", 'Summarise "One" in two sentences', "# Top\n\nText.\n\n```\n# code\n```"),
        Part("0.1", "Count the words", "7 words."),
    )
    answer = ask("synthesizer", "Summarise each section.", parts=parts, depth=1)
    assert answer == "## One [0.0]\n\n### Top\n\nText.\n\n```\n# code\n```\n\n## Count the words [0.1]\n\n7 words."


def test_a_plan_is_one_json_object_with_all_fields():
    for task in ("Hello", SUMMARISE_EACH + GUIDE):
        plan = json.loads(ask("planner", task))
        assert set(plan) == {"thoughts", "decision", "answer", "sub_tasks"}


def test_a_refusal_is_shown_in_the_tree_too() -> None:
    output = RecursiveEngine("offline").solve("1. Calculate 2 + 3\n2. Write a poem about rain")
    remarks = {node.id: node.remark for node in output.run.tree}

    assert remarks == {
        "0": "not all of it: some need a language model",
        "0.0": "",
        "0.1": "cannot: needs a language model",
    }
    assert "cannot: needs a language model" in str(output.run.tree)


def test_an_extract_of_a_file_is_quoted_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "bridge.md").write_text(
        "# Bridge\n\nThe old bridge was built in 1891 from local stone.\nIt was closed for **all** lorries in 1998.\n\n"
        "The repair of the bridge cost 5.2 million, twice the estimate.\n"
    )
    engine = RecursiveEngine("offline")
    for task in ("What did the repair of the bridge cost?", "Summarize the report in three sentences."):
        output = engine.solve(task, variables={"report": tmp_path / "bridge.md"})
        assert output.quotes
        assert all(each.state == "verified" and each.source and each.found for each in output.quotes)
        assert '⟦"The repair of the bridge cost 5.2 million, twice the estimate"|' in output.content
    assert "⟦" not in engine.solve("What did it cost?", variables={"report": "The repair cost 5.2 million."}).content
