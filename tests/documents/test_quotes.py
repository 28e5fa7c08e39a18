"""Quotes are called verified if the sources have their words, and not if anything but their form differs."""

import random
from collections import Counter

import pytest

from rlm_notebook.core.quotes import Quotation, Quote, quotations_in
from rlm_notebook.documents.passages import Passage
from rlm_notebook.documents.quotes import QuoteIndex
from tests.support.amounts import few_or_many
from tests.support.quoting import PAGES, falsified, noisy, true_quotes

REPORT = "papers/report.pdf"
PASSAGES = [
    Passage(
        REPORT,
        "p.1",
        "The committee found that the bridge was not able to carry heavy loads, and that 1,500 people had crossed "
        "it in 1998. It didn't matter.",
    ),
    Passage(
        REPORT,
        "p.2",
        "Ef\ufb01cient exam-\nple of a well\u2013known \u201cproblem\u201d: costs grew by 5 % in 2020, at "
        "\u22125 degrees. No evidence supports this claim. The area is 10\u00b2 metres, or 1\u00bd rooms.",
    ),
    Passage(
        "notes.md", "", "# Notes\nThe **dog** barks at 10-20 people, unable to stop. It is a pre-existing problem."
    ),
    Passage("table.csv", "rows 1-50", "name,amount\nanna,12\nbert,13"),
    Passage("table.csv", "rows 51-100", "clara,14\ndora,15"),
]
INDEX = QuoteIndex(PASSAGES)


def checked(words: str, label: str = REPORT, index: QuoteIndex = INDEX) -> Quote:
    return index.check(Quotation(0, 0, words, label))


@few_or_many(64, 1_000)
def test_no_falsified_quote_is_verified(amount: int) -> None:
    index = QuoteIndex(PAGES())
    wrong = [
        (kind, quote)
        for kind, quote in falsified(amount)
        if checked(quote, "manual.pdf", index).state not in ("altered", "not found")
    ]

    assert wrong == []


@few_or_many(100, 1_000)
def test_what_a_pdf_does_to_a_text_changes_no_quote(amount: int) -> None:
    index, draw = QuoteIndex(PAGES()), random.Random(1)
    quotes = [noisy(quote, draw) for quote in true_quotes(amount, seed=5)]
    states = Counter(checked(quote, "manual.pdf", index).state for quote in quotes)

    # A random cut right before a "not" says the contrary, and is altered.
    assert states["verified"] >= 0.98 * amount, states


@few_or_many(40, 1_000)
def test_a_source_may_have_the_noise_as_well(amount: int) -> None:
    draw = random.Random(2)
    index = QuoteIndex(Passage(page.source, page.anchor, noisy(page.text, draw)) for page in PAGES())
    states = Counter(checked(quote, "manual.pdf", index).state for quote in true_quotes(amount, seed=6))

    # A space within "notebook" makes a negation of it: of few quotes, one may be altered.
    assert states["verified"] >= min(0.98 * amount, amount - 1), states


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("the bridge was not able to carry heavy loads", "verified"),
        ("The bridge was not able to carry heavy loads.", "verified"),
        ("Efficient example of a well-known 'problem'", "verified"),
        ("1,500 people had crossed it in 1998", "verified"),
        ("costs grew by 5 % in 2020, at -5 degrees", "verified"),
        ("The area is 10² metres, or 1½ rooms", "verified"),
        ("It didn't matter. Efficient example of a well-known", "verified"),
        # A negation, lost or made by its spaces, or cut off.
        ("the bridge was able to carry heavy loads", "altered"),
        ("the bridge was notable to carry heavy loads", "altered"),
        ("able to carry heavy loads", "altered"),
        ("evidence supports this claim", "altered"),
        ("It did matter. Efficient example of a well-known", "altered"),
        # Numbers: a digit, a group of them, a sign, an exponent, a fraction, a unit that turns it into another one.
        ("1,600 people had crossed it in 1998", "altered"),
        ("500 people had crossed it in 1998", "altered"),
        ("5 degrees", "altered"),
        ("the area is 102 metres, or 1½ rooms", "altered"),
        ("The area is 10² metres, or 11/2 rooms", "altered"),
        ("costs grew by 5", "altered"),
        ("the bridge [...] had crossed it in 1998", "altered"),
        ("words that nobody has ever written down here", "not found"),
        ("", "not found"),
        ("…", "not found"),
    ],
)
def test_only_what_is_noise_may_differ(words: str, state: str) -> None:
    assert checked(words).state == state


def test_words_are_not_cut_out_of_words() -> None:
    assert checked("able to stop", "notes.md").state == "altered"
    assert checked("existing problem", "notes.md").state == "altered"
    assert checked("20 people", "notes.md").state == "altered"
    assert checked("The dog barks at 10–20 people", "notes.md").state == "verified"


@pytest.mark.parametrize(
    ("label", "state", "place"),
    [
        ("papers/report.pdf p.2", "verified", "papers/report.pdf p.2"),
        ("report.pdf, page 2", "verified", "papers/report.pdf p.2"),
        ("Report.pdf (pp. 1-3)", "verified", "papers/report.pdf p.2"),
        ("p. 2 of report.pdf", "verified", "papers/report.pdf p.2"),
        ("report.pdf p.2, lines 3-4", "verified", "papers/report.pdf p.2"),
        ("report.pdf", "verified", "papers/report.pdf p.2"),
        ("report p.2", "verified", "papers/report.pdf p.2"),
        ("other/papers/report.pdf p.2", "verified", "papers/report.pdf p.2"),
        ("", "verified", "papers/report.pdf p.2"),
        ("report.pdf p.1", "moved", "papers/report.pdf p.2"),
        ("report.pdf p.99", "moved", "papers/report.pdf p.2"),
        ("notes.md", "moved", "papers/report.pdf p.2"),
        ("another.pdf p.2", "moved", "papers/report.pdf p.2"),
    ],
)
def test_a_place_is_read_as_it_is_written_and_corrected_if_it_is_wrong(label: str, state: str, place: str) -> None:
    found = checked("No evidence supports this claim", label)

    assert (found.state, found.place, found.cited) == (state, place, label)


def test_a_row_is_in_the_range_of_its_rows() -> None:
    assert checked("dora,15", "table.csv row 52").state == "verified"
    assert checked("dora,15", "table.csv row 3").place == "table.csv rows 51-100"


def test_a_place_among_several_with_the_same_words_is_the_one_that_is_named() -> None:
    pages = [Passage("law.pdf", f"p.{number}", f"Page {number}. All rights are reserved.") for number in range(1, 300)]
    found = checked("All rights are reserved", "law.pdf p.257", QuoteIndex(pages))

    assert (found.state, found.anchor) == ("verified", "p.257")


def test_a_found_quote_has_its_passage_as_the_source_has_it() -> None:
    found = checked("Efficient example of a well-known problem", "report.pdf p.2")
    assert found.found == "Ef\ufb01cient exam-\nple of a well\u2013known \u201cproblem"
    assert found.before.endswith("It didn't matter.\n")
    assert found.after.startswith("\u201d: costs grew by 5 %")

    altered = checked("the bridge was able to carry very heavy loads")
    assert altered.found == "the bridge was not able to carry heavy loads"
    assert checked("words that nobody has ever written down here").found == ""


def test_a_quote_may_go_over_the_end_of_a_block_and_of_a_page() -> None:
    words = [f"word{number}" for number in range(9_000)]
    text = " ".join(words)
    index = QuoteIndex([Passage("a.txt", "p.1", text[:30_000]), Passage("a.txt", "p.2", text[30_000:])])
    draw = random.Random(3)
    for start in [draw.randrange(8_900) for _ in range(60)]:
        quote = " ".join(words[start : start + 40])
        found = checked(quote, "a.txt", index)
        assert (found.state, " ".join(found.found.replace("\n", "").split())) == ("verified", quote)


def test_words_that_are_in_every_block_are_found() -> None:
    filler = "it was what it was and so it is as it is and was so. " * 4_000
    index = QuoteIndex([Passage("a.txt", "", f"{filler}It is so, and as it was, so was it. {filler}")])

    assert checked("it is so, and as it was, so was it", "a.txt", index).state == "verified"
    assert checked("it is so, and was as it, so was it", "a.txt", index).state == "not found"


def test_scripts_without_spaces() -> None:
    index = QuoteIndex([Passage("a.txt", "", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。")])

    assert checked("名前はまだ無い", "a.txt", index).state == "verified"
    assert checked("どこで生れたかとんと見当がつくのである", "a.txt", index).state == "altered"
    text = "这座桥不能承受重载。それは重さに耐えられない橋である。費用は5万円。"
    index = QuoteIndex([Passage("a.txt", "", text)])
    assert checked("这座桥不能承受重载", "a.txt", index).state == "verified"
    assert checked("能承受重载", "a.txt", index).state == "altered"
    assert checked("それは重さに耐えられ", "a.txt", index).state == "altered"
    assert checked("費用は5", "a.txt", index).state == "altered"


@pytest.mark.parametrize(
    "words",
    [
        "The ratio was 3",
        "It opened at 10",
        "from 12",
        "about 3",
        "costs 5",
        "kostete 7",
        "had crossed it",
        "стоял мост",
        "bestand tegen water",
    ],
)
def test_no_number_or_negation_is_cut_off(words: str) -> None:
    text = (
        "The ratio was 3:1. It opened at 10:30. It rose from 12-15 to about 3 × 10^5, and costs 5 billion. Es kostete "
        "7 Mrd. Euro. They rarely had crossed it. Там не стоял мост. Het was niet bestand tegen water."
    )
    index = QuoteIndex([Passage("a.txt", "", text)])
    assert checked(words, "a.txt", index).state in ("altered", "not found")
    assert all(checked(each, "a.txt", index).state == "verified" for each in text.split(". "))


HOSTILE = {
    "open": "⟦" * 60_000,
    "nested": "⟦" * 30_000 + "⟧" * 30_000,
    "openings": '⟦"' * 30_000,
    "unbalanced": '⟦"a' * 30_000 + "⟧" * 15_000,
    "escaped": "⟦" + '\\"' * 60_000 + "⟧",
    "bars": "⟦" + "|" * 60_000 + "⟧",
    "many": '⟦"a fine invention of words"|b⟧' * 5_000,
    "long": '⟦"' + "word " * 60_000 + '"|b⟧',
    "long one": '⟦"' + "x" * 300_000,
    "marks": "⟦" + "''''****----" * 10_000 + "⟧",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.timeout(60)
def test_hostile_texts_take_no_time(text: str) -> None:
    states = {INDEX.check(each).state for each in quotations_in(text)}

    # The word "a" is there.
    assert states <= ({"not found"} if text != HOSTILE["unbalanced"] else {"not found", "verified"})


def test_without_sources_no_quote_is_there() -> None:
    assert checked("anything", "report.pdf", QuoteIndex([])).state == "not found"
    assert checked("anything", "a", QuoteIndex([Passage("a", "", "")])).state == "not found"
