r"""An answer as LaTeX: nothing in it is a command, and it compiles."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlm_notebook.views.export.content import Formula
from rlm_notebook.views.export.latex import latex_of
from rlm_notebook.views.export.tex import escaped, formula_of
from tests.hostile_answers import ANSWERS, PIECES
from tests.support.reports import HOSTILE_ANSWERS, RICH, report
from tests.support.waiting import HANG

#: What a document may use, beside the commands of formulas and symbols.
OURS = frozenset(
    re.findall(
        r"\w+",
        """
        title author date maketitle section subsection subsubsection paragraph subparagraph emph textbf
        rlmstruck texttt href hyperref phantomsection label small par item begin end ttfamily noindent rule
        linewidth tabcolsep dimexpr relax raggedright raggedleft centering arraybackslash tabularnewline
        hline endhead leavevmode newline strut kern ensuremath textsuperscript textbullet textbackslash
        textasciicircum textasciitilde textless textgreater textbar textquotedbl textasciigrave
        """,
    )
)
ENVIRONMENTS = frozenset(["quote", "flushleft", "itemize", "enumerate", "longtable", "document"])
HOSTILE = [
    r"\input{/etc/passwd}",
    r"\write18{touch x}",
    r"\immediate\write18{x} \openin5=x",
    r"^^5cinput{x}",
    r"% a comment",
    r"\end{document} \begin{verbatim}",
    "`\\end{texttt}` `}` `\\`",
    "```\n\\end{flushleft}\\input{x}\n[x]\n*x\n```",
    r"$\input{x}$ and $\def\x{y}\x$ and $x}\input{y}{$",
    r"$$\end{aligned}\input{x}$$",
    r"$\catcode`\%=12$ and $\csname input\endcsname x$ and $a^^5cb$",
    r"$\text{\input{x}}$ and $\mathrm{a % b}$ and $a#1$",
    r"[a](https://x.org/\input{y}%}{) [b](https://x.org/#}\input{z})",
    "| a & b |\n|--|\n| \\\\ & \\hline |\n| [x] |\n| *y |",
    "- [x]\n- \\item\n\n1. }\n2. {",
    "# \\section{x} [y]\n\n<br>x<br><br>",
    r"\(x\) \[y\] \\(z\\) \begin{align} \input{x} \end{align}",
    "--- '' `` ,, << >> ?` !` ~ _ ^ & # $ { } \\ \t |",
    "> > > > > > > - - - - - - a",
]


def wrong_in(text: str) -> list[str]:
    """Commands that no text may cause, groups that are not closed, and comments."""
    body = text.partition("\\begin{document}")[2].rpartition("\\end{document}")[0]
    formulas = re.compile(r"\\\((.*?)\\\)|\\\[(.*?)\\\]", re.DOTALL)
    assert all(
        formula_of(Formula(found[1] or found[2], True)) or "ensuremath" in found[0] for found in formulas.finditer(body)
    )
    body = formulas.sub("", body)
    body = re.sub(r"\\ensuremath\{(?:\\[A-Za-z]+|-|_\d)\}", "", body)
    wrong = [name for name in re.findall(r"\\([A-Za-z]+)", body) if name not in OURS]
    wrong += [name for name in re.findall(r"\\(?:begin|end)\{(\w*)\}", body) if name not in ENVIRONMENTS]
    if re.search(r"(?<!\\)(?:\\\\)*%|\^\^|(?<!\\)(?:\\\\)*[$#]", body):
        wrong.append("a character with a meaning")
    braces = re.sub(r"\\\\|\\[{}]", "", body)
    depth = 0
    for char in re.findall(r"[{}]", braces):
        depth += 1 if char == "{" else -1
        if depth < 0:
            break
    return wrong + (["braces"] if depth else [])


@pytest.mark.parametrize("answer", [*HOSTILE, *HOSTILE_ANSWERS])
def test_nothing_in_an_answer_is_a_command(answer: str) -> None:
    assert wrong_in(latex_of(report(f"{answer}\n\n[0.0]", {answer: answer}))) == []


def test_the_check_sees_what_is_a_command() -> None:
    for body in (r"\input{x}", "{", "a % b", r"\begin{verbatim}", "^^5c", "$x$"):
        assert wrong_in(rf"\begin{{document}}{body}\end{{document}}"), body


TEX_PIECES = [
    "\\",
    "{",
    "}",
    "$",
    "%",
    "^^",
    "#",
    "&",
    "_",
    "input",
    "\\input",
    "\\left",
    "\\right",
    "\\frac",
    "\\text",
    "a",
]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *TEX_PIECES]) | st.text(max_size=3), max_size=14).map("".join))
def test_nothing_in_any_mixture_is_a_command(answer: str) -> None:
    assert wrong_in(latex_of(report(answer))) == []


@pytest.mark.parametrize(
    "tex",
    [
        r"E = mc^2",
        r"\frac{a}{b} + \frac12",
        r"\sqrt[3]{x}",
        r"\left( \frac{a}{b} \right)",
        r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}",
        r"x_1^2 + x^{2^3}",
        r"\text{für alle } x \in \mathbb{R}",
        r"\{x \mid x > 0\}, 50\%",
    ],
)
def test_an_ordinary_formula_is_written_as_it_is(tex: str) -> None:
    assert formula_of(Formula(tex, False)) == tex


def test_what_fits_no_formula_in_a_line_gets_a_form_that_does() -> None:
    aligned = r"\begin{align*} a &= b \\ c &= d \label{x} \end{align*}"
    assert formula_of(Formula(aligned, True)) == r"\begin{aligned} a &= b \\ c &= d  \end{aligned}"
    assert formula_of(Formula(r"a \\ b", True)) == r"\begin{gathered}a \\ b\end{gathered}"
    assert formula_of(Formula("α ≤ 1", False)) == r"{\ensuremath{\alpha}} {\ensuremath{\leq}} 1"


@pytest.mark.parametrize(
    "tex",
    [
        "",
        r"\input{x}",
        "a}b{",
        r"\frac{a}",
        "x^",
        "x^2^3",
        "a & b",
        r"\left(",
        r"\right)",
        "a # b",
        "a % b",
        "$",
        r"\begin{cases} a",
        "^^5cinput",
        r"\text{a_b}",
        r"\text",
        "日",
        r"\begin {cases}",
        r"\begin{verbatim}x\end{verbatim}",
    ],
)
def test_a_formula_that_could_do_more_or_fail_is_text(tex: str) -> None:
    assert formula_of(Formula(tex, True)) is None


def test_text_is_escaped() -> None:
    assert escaped(r"\a{b}_c^d~e%f#g&h$i") == (
        r"\textbackslash{}a\{b\}\_c\textasciicircum{}d\textasciitilde{}e\%f\#g\&h\$i"
    )


def test_citations_lead_to_the_nodes() -> None:
    text = latex_of(report("So it is [0.1], they say [0.5].", {"a": "x", "b": "y"}))
    assert r"\hyperref[node:0.1]{{[}0.1{]}}, they say {[}0.5{]}." in text
    assert r"\subsection*{{[}0.1{]} b}\phantomsection\label{node:0.1}" in text


@pytest.mark.long
@pytest.mark.parametrize("program", ["pdflatex", "lualatex"])
def test_it_compiles(program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        assert not os.environ.get("RLM_REQUIRE_DOCUMENTS"), f"{program} is not installed"
        pytest.skip(f"{program} is not installed (texlive-latex-recommended, texlive-luatex, lmodern)")
    answer = "\n\n".join([RICH, *HOSTILE, *ANSWERS, *(f"# {each}" for each in HOSTILE if "\n" not in each)])
    (tmp_path / "secret.tex").write_text("SECRET")
    (tmp_path / "answer.tex").write_text(
        latex_of(report(answer + r" \input{secret} $\input{secret}$ [0.0]", {r"\x": r"\y"}))
    )
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "answer.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=4 * HANG, check=False)
    log = (tmp_path / "answer.log").read_text(errors="replace")
    assert done.returncode == 0, re.findall(r"(?m)^!.*\n.*\n.*", log)
    assert (tmp_path / "answer.pdf").stat().st_size > 10_000
    assert "secret.tex" not in log
