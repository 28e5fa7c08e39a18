r"""A report as a LaTeX document.

Text of models cannot do anything: each character with a meaning for TeX is escaped, code is no verbatim environment
(which text could end), and of formulas only those pass whose commands are in a list of harmless ones and whose braces
match; the TeX of any other is text. Commands such as \input, \write, \def or \catcode are in no list.

The file compiles with LuaLaTeX, XeLaTeX and pdfLaTeX. A character that pdfLaTeX does not know is its code there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from .content import (
    Block,
    Break,
    Citation,
    Code,
    CodeBlock,
    Emphasis,
    Formula,
    Heading,
    Inline,
    Items,
    Link,
    Paragraph,
    Quote,
    Rule,
    Table,
    Text,
)
from .report import Report
from .tex import escaped, formula_of

__all__ = ["foreign_letters", "latex_of"]


def latex_of(report: Report) -> str:
    """The whole document."""
    writer = _Writer(report.cited)
    body = [
        rf"\title{{{escaped(report.title)}}}",
        rf"\author{{}}\date{{{escaped(report.facts)}}}",
        r"\maketitle",
        *(rf"\emph{{{escaped(note)}}}\par" for note in report.notes),
        writer.blocks(report.blocks),
    ]
    if report.sections:
        body.append(r"\section*{Nodes that the answer cites}")
    for section in report.sections:
        place = f"node:{section.node}"
        body += [
            rf"\subsection*{{{escaped(f'[{section.node}] {section.title}')}}}\phantomsection\label{{{place}}}",
            rf"{{\small {escaped(section.facts)}}}\par",
            writer.blocks(section.blocks),
        ]
    text = "\n\n".join(body)
    unknown = "".join(sorted(foreign_letters(text))[:2000])
    declared = "\n".join(rf"  \rlmcharacter{{{char}}}{{{ord(char):04X}}}" for char in unknown)
    return _DOCUMENT % (declared, _FONTS if unknown else "", text)


def foreign_letters(text: str) -> set[str]:
    """The characters that the fonts of TeX do not have, or only for some engines."""
    return {char for char in text if ord(char) > 0x17F and char not in "–—‘’“”„…€™"}


# -- blocks --------------------------------------------------------------------------------------------------------

_HEADINGS = ("section", "subsection", "subsubsection", "paragraph", "subparagraph", "subparagraph")
#: LaTeX nests four lists of a kind, and six in all.
_DEEPEST = 4


class _Writer:
    def __init__(self, cited: Collection[str]) -> None:
        self._cited = cited

    def blocks(self, blocks: Sequence[Block], depth: int = 0) -> str:
        return "\n\n".join(self._block(block, depth) for block in blocks)

    def _block(self, block: Block, depth: int) -> str:
        match block:
            case Paragraph():
                return "".join(self._inline(each, apart=True) for each in block.inner)
            case Heading():
                return rf"\{_HEADINGS[block.level - 1]}*{{{self._inlines(block.inner)}}}"
            case CodeBlock():
                lines = (re.sub(" ", r"\\ ", escaped(line)) or r"\strut" for line in block.text.split("\n"))
                return "\\begin{flushleft}\\ttfamily\\small\n" + "\\\\{}\n".join(lines) + "\n\\end{flushleft}"
            case Quote():
                inner = self.blocks(block.blocks, depth + 1)
                return f"\\begin{{quote}}\n{inner}\n\\end{{quote}}" if depth < _DEEPEST else inner
            case Items():
                texts = [self.blocks(item, depth + 1) for item in block.items]
                if depth >= _DEEPEST:
                    return "\n\n".join(f"--~{text}" for text in texts)
                if block.start is None:
                    return "\\begin{itemize}\n" + "\n".join(rf"\item {text}" for text in texts) + "\n\\end{itemize}"
                numbered = (rf"\item[{block.start + at}.] {text}" for at, text in enumerate(texts))
                return "\\begin{enumerate}\n" + "\n".join(numbered) + "\n\\end{enumerate}"
            case Table():
                return self._table(block)
            case Rule():
                return r"\par\noindent\rule{\linewidth}{0.4pt}\par"

    def _table(self, table: Table) -> str:
        columns = len(table.alignments)
        ragged = {"center": r"\centering", "right": r"\raggedleft"}
        width = rf"\dimexpr(\linewidth-{2 * (columns - 1)}\tabcolsep)/{columns}\relax"
        layout = "".join(
            rf">{{{ragged.get(align, chr(92) + 'raggedright')}\arraybackslash}}p{{{width}}}"
            for align in table.alignments
        )
        head, *rows = (" & ".join(map(self._inlines, row)) + r" \tabularnewline" for row in table.rows)
        lines = [rf"\begin{{longtable}}{{@{{}}{layout}@{{}}}}", r"\hline", head, r"\hline \endhead", *rows, r"\hline"]
        return "\n".join([*lines, r"\end{longtable}"])

    def _inlines(self, inner: Sequence[Inline]) -> str:
        return "".join(map(self._inline, inner))

    def _inline(self, inline: Inline, apart: bool = False) -> str:
        """One element; `apart` allows a formula in a line of its own, which links and headings cannot hold."""
        match inline:
            case Text():
                # A blank line would end the paragraph, within a heading or a link for example.
                return re.sub(r"\s*\n\s*", "\n", escaped(inline.text))
            case Code():
                return rf"\texttt{{{escaped(inline.text)}}}"
            case Formula():
                formula = formula_of(inline)
                if formula is None:
                    return rf"\texttt{{{escaped(' '.join(inline.tex.split()))}}}"
                return rf"\[{formula}\]" if inline.display and apart else rf"\({formula}\)"
            case Citation():
                text = escaped(f"[{inline.node}]")
                return rf"\hyperref[node:{inline.node}]{{{text}}}" if inline.node in self._cited else text
            case Break():
                return r"\leavevmode\newline{}"
            case Emphasis():
                command = {"em": "emph", "strong": "textbf", "s": "rlmstruck"}[inline.kind]
                return rf"\{command}{{{self._inlines(inline.inner)}}}"
            case Link():
                inner = self._inlines(inline.inner)
                if inline.address[0] == "#":
                    # A place in the document that no heading of it has.
                    return inner
                encoded = re.sub(
                    r"[^A-Za-z0-9:/?=.,;@+_&%#-]",
                    lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()),
                    inline.address,
                )
                # What is left has a meaning for TeX.
                address = re.sub(r"[%&#_]", r"\\\g<0>", encoded)
                return rf"\href{{{address}}}{{{inner}}}"


_FONTS = r"""
  \IfFontExistsTF{Noto Serif}{\setmainfont{Noto Serif}}{
    \IfFontExistsTF{DejaVu Serif}{\setmainfont{DejaVu Serif}}{}}"""
_DOCUMENT = r"""%% Compile with lualatex, xelatex or pdflatex. For other scripts than Latin, use lualatex or xelatex and
%% name a font that has them: \setmainfont{Noto Serif CJK SC}, say. pdflatex writes the codes of such letters.
\documentclass[11pt]{article}
\usepackage[a4paper,margin=25mm]{geometry}
\usepackage{iftex}
\ifPDFTeX
  \usepackage[T1]{fontenc}
  \usepackage[utf8]{inputenc}
  \usepackage{textcomp}
  \IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
  \makeatletter
  \newcommand\rlmcharacter[2]{\expandafter\ifx\csname u8:\detokenize{#1}\endcsname\relax
    \DeclareUnicodeCharacter{#2}{[U+#2]}\fi}
  \makeatother
%s
\else
  \usepackage{fontspec}%s
\fi
\usepackage{amsmath,amssymb,bm}
\usepackage{array,longtable}
\usepackage{color}
\usepackage[hidelinks]{hyperref}
\DeclareMathOperator*{\argmax}{arg\,max}
\DeclareMathOperator*{\argmin}{arg\,min}
\newcommand\rlmstruck[1]{\textcolor[gray]{0.55}{#1}}
\setlength{\parindent}{0pt}
\setlength{\parskip}{6pt plus 2pt}
\setlength{\emergencystretch}{3em}
\begin{document}
%s
\end{document}
"""
