"""Words and sentences of running text. The rules are for English; other languages are accepted with lower quality.

Of Markdown it handles only code spans and URLs, within which no sentence ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["STOP_WORDS", "content_stems", "sentences", "stem", "word_set", "words"]

# CJK text has no spaces: there each character stands for a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_][\w'’]*(?:-\w+)*|\d+(?:[.,]\d+)*")


def word_set(listed: str) -> frozenset[str]:
    """The words of a list that is written with spaces."""
    return frozenset(listed.split())


STOP_WORDS = word_set(
    """
    a about above across after again against all almost alone along already also although always am among an and
    another any anybody anyone anything are aren't around as at away back be became because become becomes been before
    behind being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't done
    down during each either else enough etc even ever every everybody everyone everything everywhere exactly except few
    first for from further get gets give given gives go goes going gone got had has hasn't have haven't having he hence
    her here hers herself him himself his how however i if in indeed instead into is isn't it it's its itself just keep
    keeps kept last later least less let lets like likely made make makes making many may maybe me means merely might
    mine more moreover most mostly much must my myself near need needed needs neither never next no nobody none nor not
    nothing now nowhere of off often on once one only onto or other others otherwise ought our ours ourselves out over
    own per perhaps please put quite rather really s same say says second see seen several shall she should since so
    some somebody someone something sometimes somewhere soon still such take taken takes than that that's the their
    theirs them themselves then there thereby therefore these they thing things this those though three through thus
    till to together too toward towards two under unless until up upon us use used useful uses using usually very via
    want wants was wasn't way ways we well went were what whatever when whenever where whereas wherever whether which
    while who whoever whole whom whose why will with within without won't would yet you your yours yourself yourselves
    able actual actually wrong fast faster slow big eight five four six seven nine ten third ones fail fails
    available better certain clear common different easy entire full good great hard
    important large long main new old particular possible right simple single small sure true various
    come comes happen happens know known look looks seem seems tell tells think thinks try
    au aux avec ce ces dans de des du elle en est et il ils je la le les leur mais ne nous ou par pas pour qu que qui sa
    se ses son sont sur un une vous
    aber als am auch auf aus bei bin bis da das dass dem den der des die du durch ein eine einem einen einer es für
    hat ich ihr im ist mit nach nicht noch nur oder sich sie sind und vom von vor war wenn wie wir wird zu zum zur
    al como con del el ella ellos entre es esta este ha las lo los más muy no para pero por que se sin sobre su sus un
    una y
    """
)


def words(text: str) -> list[str]:
    """The words of a text, unchanged and in order."""
    return _WORD.findall(text)


_SUFFIXES = (("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("s", ""))


def stem(word: str) -> str:
    """A rough stem, so that "resumes", "resumed" and "resuming" are equal."""
    word = word.lower().replace("’s", "").replace("'s", "")
    for suffix, replacement in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3 and not word.endswith(("ss", "us", "is")):
            word = word.removesuffix(suffix) + replacement
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def content_stems(text: str) -> list[str]:
    """The stems of the words that carry meaning, in order."""
    return [stem(word) for word in words(text) if word.lower() not in STOP_WORDS]


_OPAQUE = re.compile(r"(`+)[^`]+?\1|(?:https?|ftp)://\S*[\w/]")
_END = re.compile(r"[.!?…]+[\"'”’)\]*_]*\s+|[。！？।]+[”’」』）]*\s*")
_ABBREVIATIONS = word_set(
    "e.g i.e cf vs dr mr mrs ms prof st jr sr al approx ca resp inc ltd corp dept est mt rev gen col capt z.b d.h bzw "
    "jan feb mar apr jun jul aug sep sept oct nov dec"
)
# Abbreviations only before a number: "No. 5", "Fig. 3"; but "No. It does not."
_BEFORE_NUMBER = word_set("no nos fig figs vol sec ch p pp eq art par nr")


def sentences(text: str) -> Iterator[str]:
    """The sentences of one paragraph, white space folded.

    Does not cut after abbreviations and initials, in decimals, URLs and code spans, or before a lower-case word.
    """
    text = " ".join(text.split())
    masked = _OPAQUE.sub(lambda match: "X" * len(match[0]), text)
    start = 0
    for match in _END.finditer(masked):
        if _ends_sentence(masked, start, match):
            yield text[start : match.end()].strip()
            start = match.end()
    if start < len(text):
        yield text[start:].strip()


def _ends_sentence(text: str, start: int, end: re.Match[str]) -> bool:
    following = text[end.end() : end.end() + 3].lstrip("\"'“‘([*_")
    if not following:
        return True
    if following[0].islower():
        return False
    if end[0][0] not in ".…":
        return True
    # Nor after an abbreviation, an initial, or the number of an item.
    before = text[max(start, end.start() - 30) : end.start()]
    token = before.split()[-1].lstrip("\"'“‘([*_") if before.split() else ""
    lowered = token.lower()
    if lowered in _BEFORE_NUMBER:
        return not following[0].isdigit()
    is_initial = len(token) == 1 and token.isalpha() and token.isascii() and token.isupper()
    is_list_number = token.isdigit() and before.strip() == token
    return not (lowered in _ABBREVIATIONS or (is_initial and token != "I") or is_list_number)
