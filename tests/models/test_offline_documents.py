"""The offline model on documents of different kinds, and what holds for all: it quotes, and keeps to lengths."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook import AsyncRecursiveEngine
from rlm_notebook.models.offline import OfflineModel, language
from rlm_notebook.types import Output

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "rlm_notebook" / "demo" / "guide.md").read_text(encoding="utf-8")
PYTHON = topics["compound"]

#: As licences are set: centred titles, indented paragraphs, titles that run into their paragraphs.
LICENCE = (
    """\
                             Example License
                       Version 1.0, January 2024

   TERMS AND CONDITIONS FOR USE

   1. Definitions.

      "License" shall mean the terms and conditions for use and copying as
      defined by Sections 1 through 4 of this document.

      "Licensor" shall mean the owner that is granting the License.

   2. Grant of Copyright License. Subject to the terms of this License,
      each Contributor hereby grants to You a perpetual, worldwide license
      to reproduce the Work. Nothing else is granted by this document.

   3. Redistribution. You may reproduce copies of the Work in any medium,
      provided that You meet the following conditions:

      (a) You must give recipients of the Work a copy of this License; and

      (b) You must retain all notices of the source of the Work.

   4. Disclaimer of Warranty. Unless required by law, Licensor provides the
      Work on an "AS IS" basis, without warranties of any kind. You are
      solely responsible for the risks of using the Work.
"""
    + "\n\n      The Licensor may publish revised versions of this document from time to time." * 20
)

RELEASES = "".join(
    f"What's New in {number}\nReleased in {number}\n==================\n\n"
    + f"- bug-{number}1: Make the window {number} larger than before.\n\n"
    + f"- bug-{number}2: Fix the menu of window {number}.\n\n"
    + "The maintainers thank all who reported what they saw in daily use. " * 30
    + "\n\n"
    for number in range(3, 8)
)


def solved(task: str, **options: Any) -> Output:
    return asyncio.run(AsyncRecursiveEngine(OfflineModel()).solve(task, **options))


def titles(output: Output, parent: str = "0") -> list[str]:
    return [re.sub(r".*?\"(.*)\".*", r"\1", node.task.splitlines()[0]) for node in output.run.tree.children(parent)]


def folded(text: str) -> str:
    """Without Markdown's marks and line breaks."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*_`\\]", "", text).split())


def sentences(output: Output) -> list[str]:
    """The sentences of an answer: no headings, terms, notes, and no references, behind which one ends."""
    notes = ("#", "**Key terms", "*Rule", "No sent")
    blocks = [each for each in str(output).split("\n\n") if not each.startswith(notes)]
    pieces = [piece for block in blocks for piece in re.split(r" ?\[0(?:\.\d+)+\]", block)]
    return [each for piece in pieces for each in language.sentences(piece) if each.strip()]


class TestLicence:
    def test_titles_that_run_into_their_paragraphs_divide_it(self) -> None:
        output = solved(f"Summarise each section in one sentence.\n\n{LICENCE}")
        first = ["1. Definitions", "2. Grant of Copyright License", "3. Redistribution"]
        assert titles(output) == [*first, "4. Disclaimer of Warranty"]

    def test_its_indented_paragraphs_are_read_and_whole_sentences_chosen(self) -> None:
        answer = str(solved(f"Summarise each section in one sentence.\n\n{LICENCE}"))
        assert "shall mean" in answer
        assert "each Contributor hereby grants to You a perpetual, worldwide license to reproduce the Work." in answer
        assert "conditions:" not in answer, "what announces a list says nothing without it"


class TestPythonsDocs:
    def test_the_tree_is_that_of_the_document(self) -> None:
        output = solved(f"Summarise each section in two sentences.\n\n{PYTHON}")
        assert titles(output)[:4] == [
            "Compound statements",
            "The 'if' statement",
            "The 'while' statement",
            "The 'for' statement",
        ]
        every = [title for node in output.run.tree for title in titles(output, node.id)]
        assert not [title for title in every if re.match(r"\d+\. ", title)], "items of a list are no headings"

    def test_names_with_underscores_stay_names(self) -> None:
        assert "__enter__" in str(solved(f"Which method does the with statement call: __enter__?\n\n{PYTHON}"))


class TestReadme:
    def test_code_is_not_quoted_and_no_fragment_is_left(self) -> None:
        output = solved(f"Summarise each section in two sentences.\n\n{README}")
        assert "```" not in str(output)
        assert "pip install" not in str(output)
        assert not [each for each in sentences(output) if each.rstrip().endswith(":")]

    def test_code_within_an_item_is_code(self) -> None:
        steps = "1. Run this now:\n     ```sh\n     make it so\n     ```\n2. Then look at the window that opens.\n"
        assert "make it so" not in str(solved(f"Summarise this in two sentences.\n\n{steps}"))


class TestLongPlainText:
    def test_titles_over_several_lines_divide_it(self) -> None:
        output = solved(f"Summarise each section in one sentence.\n\n{RELEASES}")
        assert titles(output) == [f"What's New in {number}" for number in range(3, 8)]

    def test_a_very_long_one_is_answered_from_all_over(self) -> None:
        everything = "\n\n".join(topics.values())
        assert len(everything) > 300_000
        output = solved(f"Summarise this in five sentences.\n\n{everything}")
        assert len(sentences(output)) == 5
        assert len({each.split(".")[1] for each in re.findall(r"\[([\d.]+)\]", str(output))}) > 2


@pytest.mark.parametrize(
    "document", [LICENCE, PYTHON, README, GUIDE, RELEASES], ids=["licence", "docs", "readme", "guide", "plain"]
)
class TestEvery:
    @pytest.mark.parametrize("asked", ["in three sentences", "each section in two sentences", "in 60 words"])
    def test_each_sentence_stands_in_the_document(self, document: str, asked: str) -> None:
        source = folded(document)
        output = solved(f"Summarise this {asked}.\n\n{document}")
        found = sentences(output)
        assert found
        # A sentence that begins with a name in quotes is not recognised as a new one: two may look like one.
        single = [part for each in found for part in re.split(r'(?<=[.!?]) (?=")', folded(each))]
        assert [each for each in single if each not in source] == []

    def test_a_number_of_sentences_is_honoured(self, document: str) -> None:
        assert len(sentences(solved(f"Summarise this in four sentences.\n\n{document}"))) == 4

    def test_a_number_of_words_is_not_exceeded(self, document: str) -> None:
        words = [
            word for each in sentences(solved(f"Summarise this in 80 words.\n\n{document}")) for word in each.split()
        ]
        assert 20 <= len(words) <= 80

    def test_it_is_the_same_every_time(self, document: str) -> None:
        task = f"Summarise each section in two sentences, list its key terms, then write an overview.\n\n{document}"
        assert str(solved(task)) == str(solved(task))

    def test_an_open_task_gets_an_honest_refusal_with_what_to_do(self, document: str) -> None:
        answer = str(solved(f"Write a sonnet about this.\n\n{document}"))
        assert "needs a language model" in answer
        assert "-m openai:NAME" in answer


_SENTENCES = st.integers(0, 60).map(
    lambda number: f"The river {number} carries sand {number * 7} to the sea of {number % 5}."
)
_BLOCKS = st.one_of(
    st.lists(_SENTENCES, min_size=1, max_size=6).map(" ".join),
    st.integers(0, 30).map(lambda number: f"## Part {number}"),
    st.integers(1, 9).map(lambda number: f"{number}. Scope of Part. It says what part {number} is about in full."),
    st.integers(1, 9).map(lambda number: f"      This paragraph {number} is indented but it is prose all the same."),
    st.sampled_from(
        [
            "    x = f(1)  # code",
            "```\nprint(1)\n```",
            "| a | b |\n|---|---|\n| 1 | 2 |",
            "Title\n=====",
            "- item: that",
        ]
    ),
)
_DOCUMENTS = st.lists(_BLOCKS, min_size=3, max_size=60).map("\n\n".join)


@given(_DOCUMENTS, st.integers(1, 6))
@settings(max_examples=40)
def test_of_any_document_so_many_sentences_at_most_all_of_them_its_own(document: str, count: int) -> None:
    output = solved(f"Summarise this in {count} sentences.\n\n{document}")
    found = sentences(output)
    assert len(found) <= count
    assert [each for each in found if folded(each) not in folded(document)] == []
    assert str(output) == str(solved(f"Summarise this in {count} sentences.\n\n{document}"))


@given(_DOCUMENTS, st.integers(15, 120))
@settings(max_examples=40)
def test_of_any_document_so_many_words_at_most(document: str, count: int) -> None:
    found = sentences(solved(f"Summarise this in {count} words.\n\n{document}"))
    assert len(found) <= 1 or len(" ".join(found).split()) <= count
