"""What a task says, apart from how it is put: whether two tasks ask for the same.

Embeddings tell what texts are about, and take "list the drugs that are safe" and "list the drugs that are not safe" for
nearly the same. So the words decide: `wording` gives a task's words in a regular form, and two tasks of the same form
ask for the same. What is made regular:

- words without a meaning of their own ("please", "the", "of", "is" in a question, "can you tell me");
- the few words that are interchangeable wherever they stand ("which" and "what", "buy" and "purchase", British and
  American spelling), numbers in words, contractions, "X's Y" for "Y of X";
- a first phrase set off by a comma ("In 2020, who ..."), which goes to the end.

Every other word is kept with its case, number, tense and place, and so is every sign: negations, prepositions, units,
names, quantities and roles differ where they are written differently. Made for English: of other languages, only tasks
of the same words are the same.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["most_tokens", "wording"]

_TOKEN = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,]\d+)*|\n|[^\w\s]|_")
_RUN = re.compile(r"[A-Za-z]+|\S")


def _words(text: str) -> list[str]:
    return text.split()


#: What may begin a sentence with a capital letter and means the same without one. ("Polish" and "Turkey" do not.)
_PLAIN = frozenset(
    _words(
        """a an the this that these those i we you he she it they my our your his her its their what which who whom
        whose where when why how is are was were do does did can could will would shall should may might must has have
        had please kindly tell show give provide write create produce make list enumerate name summarise summarize
        explain describe compare contrast find identify translate convert calculate compute estimate count sort rank
        classify extract outline draft review check evaluate assess analyse analyze define discuss suggest recommend
        propose plan design predict determine state quote rewrite rephrase shorten correct fix in on at for from to by
        with without of into about after before during since until under over between among within according if and or
        but not no all any some each every one two three four five six seven eight nine ten most least more less many
        much only also then there here help let solve choose select pick add remove divide multiply subtract measure
        research search read answer"""
    )
)
_CONTRACTED = {"can't": "can not", "won't": "will not", "shan't": "shall not", "cannot": "can not", "let's": "let us"}
_ENDS = {"re": "are", "ll": "will", "ve": "have", "m": "am"}
_IS_AFTER = frozenset(_words("what who where when why how which it that there here he she"))
_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        _words(
            """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
            seventeen eighteen nineteen twenty"""
        )
    )
}
#: Interchangeable wherever they stand; the first stands for all.
_SAME = """
what which; list enumerate; buy purchase; film movie; begin start commence; automobile car; automobiles cars;
children kids; disadvantages drawbacks; percent %; use utilise utilize; phone telephone; TV television;
photo photograph; photos photographs;
summarise summarize; analyse analyze; colour color; colours colors; centre center; centres centers; organise organize;
organisation organization; organisations organizations; behaviour behavior; labour labor; favourite favorite;
neighbour neighbor; programme program; licence license; metre meter; metres meters; litre liter; litres liters;
kilometre kilometer; kilometres kilometers; theatre theater; defence defense; catalogue catalog; dialogue dialog;
travelling traveling; modelling modeling; categorise categorize; prioritise prioritize; optimise optimize;
minimise minimize; maximise maximize; recognise recognize; characterise characterize; emphasise emphasize
"""
_REGULAR = {**_NUMBERS, **{word: words.split()[0] for words in _SAME.split(";") for word in words.split()}}
_FILLERS = frozenset(["the", "of", "please", "kindly"])

_ASKED = "tell|show|give|provide|write|list|name|summarise|explain|describe|translate|calculate|compare|find|identify"
_POLITE = re.compile(
    rf"^(?:please ,? ?|kindly )?"
    rf"(?:(?:can|could|will|would) you (?:please |kindly )?(?=(?:{_ASKED}|help) )"
    rf"|(?:i|we) (?:want|need|would like) to know |(?:i|we) (?:would|'d) like you to )?"
    rf"(?:help me (?:to )?(?=(?:{_ASKED}) ))?"
)
_THANKS = re.compile(r" ,? ?(?:please|thanks|thank you)$")
_MADE = {
    "summary": "summarise",
    "list": "list",
    "description": "describe",
    "explanation": "explain",
    "comparison": "compare",
    "translation": "translate",
    "definition": "define",
    "analysis": "analyse",
}
#: Before these words only: a primary school is no main school.
_NOUNS = (
    "causes?|benefits?|reasons?|risks?|findings?|points?|goals?|features?|advantages?|disadvantages?|differences?|factors?"
    "|ideas?|arguments?|topics?|themes?|results?|challenges?|problems?|issues?|purposes?|effects?|components?|functions?"
)
_MAIN = re.compile(rf"\b(?:key|primary|principal|chief) (?=(?:{_NOUNS})\b)")
_GIVE_A = re.compile(rf"^(?:give|provide|write|create|produce|make) (?:me |us )?(?:a|an|the) ({'|'.join(_MADE)}) of ")
_LIST = re.compile(r"^(?:name|give|provide|state|mention) (?=\d+ )")
_TELL = re.compile(r"^(?:tell|show|give) (?:me|us) ")
_TOLD = re.compile(r"^(?:explain|describe|tell me|tell us|show me|show us) (?:to me )?(?=(?:what|who|where|why|how) )")
_WHAT_IS = re.compile(r"^what (?:is|are) (?=the )")
_FRONTED = re.compile(r"^((?:in|on|at|for|from|during|since|after|before|within|under|according) [^,]+) , ([^,]+)$")
_QUESTION = re.compile(r"^(?:what|who|whom|whose|where|when|why|how) ")
_HELPING = frozenset(["is", "are", "do", "does"])


def wording(task: str) -> tuple[str, ...]:
    """The words of a task in a regular form; equal for two tasks that ask for the same in other words."""
    words = re.sub(r"(?: [.!?])+$", "", " ".join(_spelt(task)))
    words = _FRONTED.sub(r"\2 \1", _THANKS.sub("", _POLITE.sub("", words)))
    words = _GIVE_A.sub(lambda match: f"{_MADE[match[1]]} ", words)
    # "Explain how it works" and "How does it work?", "Tell me the capital" and "What is the capital?".
    words = _WHAT_IS.sub("", _TELL.sub("", _TOLD.sub("", words)))
    words = _MAIN.sub("main ", re.sub("^provide ", "give ", _LIST.sub("list ", words)))
    if words.startswith(("translate ", "convert ")):
        words = words.replace(" into ", " to ")
    dropped = _FILLERS | _HELPING if _QUESTION.match(words) else _FILLERS
    parts = words.split(" ")
    # "X 's Y" becomes "Y X", as "Y of X" is without its "of"; where more is owned, it stays as it stands.
    if parts.count("'s") == 1 and 0 < (at := parts.index("'s")) < len(parts) - 1:
        parts[at - 1 : at + 2] = [parts[at + 1], parts[at - 1]]
    return tuple(word for word in parts if word and word not in dropped)


def most_tokens(text: str) -> int:
    """About the most tokens that an embedding makes of a text: one for three Latin letters or for any other sign."""
    return sum((len(run) + 2) // 3 for run in _RUN.findall(text))


def _spelt(task: str) -> list[str]:
    """Its words and signs, with contractions in full and one spelling of interchangeable words."""
    words: list[str] = []
    begins = True
    for token in _TOKEN.findall(unicodedata.normalize("NFC", task).replace("\u2019", "'").strip()):
        lower = token.lower()
        word = token
        if begins and (lower.split("'")[0] in _PLAIN or lower in _CONTRACTED or lower.endswith("n't")):
            word = token[0].lower() + token[1:]
        begins = token in {".", "!", "?", ":", "\n"}
        # "isn't" is "is not", "what's" is "what is"; a name's "'s" stands alone.
        start, apostrophe, end = word.rpartition("'")
        if word in _CONTRACTED:
            parts = _CONTRACTED[word].split()
        elif not apostrophe:
            parts = [word]
        elif word.endswith("n't"):
            parts = [word[:-3], "not"]
        elif end == "s":
            parts = [start, "is" if start in _IS_AFTER else "'s"]
        else:
            parts = [start, _ENDS.get(end, f"'{end}")]
        words.extend(_REGULAR.get(part, part) for part in parts)
    return words
