r"""Text and formulas in TeX.

Each character with a meaning for TeX is escaped. A formula passes only if all its commands are in a list of harmless
ones and everything that it opens is closed in it: `\input`, `\write`, `\def`, `\catcode` and `^^` are in no list.
"""

from __future__ import annotations

import re

from .content import Formula

__all__ = ["escaped", "formula_of"]

_GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
_GREEK_NAMES = re.findall(
    r"\w+",
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi "
    "psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ",
)
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    # After a line break, a bracket would begin an argument.
    "[": "{[}",
    "]": "{]}",
    "\t": " ",
    "\u00a0": "~",
    "\u2011": "-",
    **{sign: rf"\textsuperscript{{{digit}}}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    # Bound to no engine's fonts.
    "→": r"\ensuremath{\rightarrow}",
    "←": r"\ensuremath{\leftarrow}",
    "↔": r"\ensuremath{\leftrightarrow}",
    "⇒": r"\ensuremath{\Rightarrow}",
    "⇐": r"\ensuremath{\Leftarrow}",
    "⇔": r"\ensuremath{\Leftrightarrow}",
    "↑": r"\ensuremath{\uparrow}",
    "↓": r"\ensuremath{\downarrow}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "≠": r"\ensuremath{\neq}",
    "≈": r"\ensuremath{\approx}",
    "≡": r"\ensuremath{\equiv}",
    "±": r"\ensuremath{\pm}",
    "×": r"\ensuremath{\times}",
    "÷": r"\ensuremath{\div}",
    "·": r"\ensuremath{\cdot}",
    "∞": r"\ensuremath{\infty}",
    "√": r"\ensuremath{\surd}",
    "∑": r"\ensuremath{\sum}",
    "∏": r"\ensuremath{\prod}",
    "∫": r"\ensuremath{\int}",
    "∂": r"\ensuremath{\partial}",
    "∆": r"\ensuremath{\Delta}",
    "∇": r"\ensuremath{\nabla}",
    "∈": r"\ensuremath{\in}",
    "∉": r"\ensuremath{\notin}",
    "⊂": r"\ensuremath{\subset}",
    "⊆": r"\ensuremath{\subseteq}",
    "∪": r"\ensuremath{\cup}",
    "∩": r"\ensuremath{\cap}",
    "∅": r"\ensuremath{\emptyset}",
    "∀": r"\ensuremath{\forall}",
    "∃": r"\ensuremath{\exists}",
    "¬": r"\ensuremath{\neg}",
    "∧": r"\ensuremath{\wedge}",
    "∨": r"\ensuremath{\vee}",
    "∼": r"\ensuremath{\sim}",
    "∝": r"\ensuremath{\propto}",
    "−": r"\ensuremath{-}",
    "✓": r"\ensuremath{\surd}",
    "★": r"\ensuremath{\star}",
    "•": r"\textbullet{}",
    **dict(zip("²³¹", (rf"\textsuperscript{{{digit}}}" for digit in "231"), strict=True)),
    **dict(zip("₀₁₂₃₄₅₆₇₈₉", (rf"\ensuremath{{_{digit}}}" for digit in range(10)), strict=True)),
    **{letter: rf"\ensuremath{{\{name}}}" for letter, name in zip(_GREEK, _GREEK_NAMES, strict=True)},
    # No font has them, and none needs them.
    "\u200b": "",
    "\ufe0f": "",
    "\ufeff": "",
    # LuaTeX takes it for a damaged file.
    "\ufffd": "?",
}
_ESCAPED = str.maketrans(_ESCAPES)
#: The symbols that formulas may hold as characters.
_SYMBOLS = {char: f"{{{tex}}}" for char, tex in _ESCAPES.items() if tex.startswith("\\ensuremath")}


def escaped(text: str) -> str:
    """The text so that TeX prints it."""
    # Two of these are a ligature.
    return re.sub(r"([-',])(?=\1)", r"\1{\\kern0pt}", text.translate(_ESCAPED))


#: Letters, operators and relations, arrows, functions, structures, fonts.
_COMMANDS = frozenset(
    re.findall(
        r"\w+",
        """
        alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho
        varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi
        Psi Omega ell hbar imath jmath Re Im aleph wp partial nabla infty emptyset varnothing
        sum prod coprod int iint iiint oint bigcup bigcap bigvee bigwedge bigoplus bigotimes pm mp times div cdot ast
        star circ bullet oplus ominus otimes oslash odot cup cap sqcup sqcap vee wedge land lor setminus wr amalg
        dagger ddagger leq le geq ge neq ne equiv sim simeq approx cong propto ll gg prec succ preceq succeq subset
        supset subseteq supseteq in ni notin mid parallel perp models vdash dashv asymp doteq triangleq lesssim gtrsim
        not neg lnot forall exists nexists top bot angle therefore because surd prime
        to gets leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow uparrow downarrow updownarrow
        mapsto longrightarrow longleftarrow Longrightarrow implies iff hookrightarrow rightharpoonup xrightarrow
        xleftarrow dots ldots cdots vdots ddots
        sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth log ln lg exp lim limsup liminf sup inf max
        min arg argmax argmin det dim ker hom gcd deg Pr bmod pmod mod operatorname
        frac dfrac tfrac cfrac sqrt binom tbinom dbinom overline underline overbrace underbrace overset underset
        stackrel hat widehat bar vec dot ddot tilde widetilde acute grave check breve boxed phantom left right middle
        big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr lfloor rfloor lceil rceil langle rangle lbrace rbrace lvert
        rvert lVert rVert vert Vert limits nolimits displaystyle textstyle scriptstyle quad qquad
        mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak boldsymbol bm text textbf textit textrm
        """,
    )
)
_ENVIRONMENTS = frozenset(
    {
        "matrix",
        "pmatrix",
        "bmatrix",
        "vmatrix",
        "Vmatrix",
        "Bmatrix",
        "smallmatrix",
        "cases",
        "aligned",
        "gathered",
        "split",
    }
)
#: Environments that stand for themselves, and the form that they have within a formula.
_WITHIN = {"align": "aligned", "equation": "", "gather": "gathered", "eqnarray": "aligned", "multline": "gathered"}
_TEXTUAL = frozenset({"text", "textbf", "textit", "textrm"})
_SIGNS = frozenset(r",;:!>{}|%&$#_ ")
_TOKEN = re.compile(
    r"\\(?P<kind>begin|end)\{(?P<env>[A-Za-z]+)\*?\}|\\(?P<name>[A-Za-z]+)|\\(?P<sign>.)|(?P<char>.)", re.DOTALL
)
#: One argument: a group (written as 0), a command, or a character.
_ATOM = r"\s*(?:\\[A-Za-z]+|\\[^A-Za-z]|[^\s{}&^_\\])"
_TWO = r"\\(?:[dtc]?frac|[dt]?binom|overset|underset|stackrel)(?![A-Za-z])"
_ONE = (
    r"(?:[\^_]|\\(?:sqrt(?:\s*\[[^\[\]]*\])?|left|right|[bB]igg?[lr]?|(?:over|under)(?:line|brace)|(?:wide)?(?:hat|tilde)|bar"
    r"|vec|d?dot|acute|grave|check|breve|boxed|phantom|x(?:left|right)arrow|math[a-z]+|boldsymbol|bm|operatorname|not|pmod"
    r"|text(?:bf|it|rm)?)(?![A-Za-z]))"
)
_UNFINISHED = re.compile(
    rf"{_TWO}(?!{_ATOM}{_ATOM})|{_ONE}(?!{_ATOM})|['^]{_ATOM}?\s*(?:_{_ATOM}\s*)?\^|_{_ATOM}\s*(?:\^{_ATOM}\s*)?_"
)
_GROUP = re.compile(r"\{([^{}]*)\}")


def formula_of(formula: Formula) -> str | None:
    """The formula as it is written between its delimiters.

    `None` if it must be text: it could do more than typeset, end what is around it, or fail.
    """
    tex = formula.tex
    tex = re.sub(r"\\(?:label|tag|nonumber|notag)(?![A-Za-z])\*?(?:\{[^{}]*\})?", "", tex)
    outer = re.fullmatch(r"\s*\\begin\{([a-z]+)\*?\}(.*)\\end\{\1\*?\}\s*", tex, re.DOTALL)
    if outer is not None and outer[1] in _WITHIN:
        within = _WITHIN[outer[1]]
        tex = rf"\begin{{{within}}}{outer[2]}\end{{{within}}}" if within else outer[2]
    # A blank line would end the formula.
    tex = re.sub(r"\s*\n\s*", "\n", tex.strip())
    if not tex or not _is_complete(tex):
        return None
    #: What is open: "{" a group, "t" a group of text, "l" a \left, or the name of an environment.
    stack: list[str] = []
    textual, broken = False, False
    for token in _TOKEN.finditer(tex):
        inside = stack[-1] if stack else ""
        kind, environment, name, sign, char = token.group("kind", "env", "name", "sign", "char")
        if kind == "begin" and environment in _ENVIRONMENTS:
            stack.append(environment)
        elif kind == "end" and stack and inside == environment:
            stack.pop()
        elif kind:
            return None
        elif name == "left":
            stack.append("l")
        elif name == "right" and inside == "l":
            stack.pop()
        elif char == "{":
            stack.append("t" if textual or inside == "t" else "{")
        elif char == "}" and inside in ("{", "t"):
            stack.pop()
        elif name:
            if name not in _COMMANDS or inside == "t" or name == "right":
                return None
        elif sign:
            broken = broken or (sign == "\\" and inside not in _ENVIRONMENTS)
            if sign not in _SIGNS and sign != "\\":
                return None
        elif not _is_harmless(char, inside):
            return None
        # White space may stand between a command and its group.
        textual = name in _TEXTUAL or (textual and char is not None and char.isspace())
    if stack or (broken and not formula.display) or "^^" in tex:
        return None
    tex = "".join(_SYMBOLS.get(char, char) for char in tex)
    return rf"\begin{{gathered}}{tex}\end{{gathered}}" if broken else tex


def _is_complete(tex: str) -> bool:
    """Whether each command and script has its arguments, and none has two; groups are looked at from the inside."""
    tex = re.sub(r"\\[{}]", r"\\|", tex)
    while found := _GROUP.search(tex):
        if _UNFINISHED.search(found[1]):
            return False
        # A word and not a digit: what stands before it may be a command's name.
        tex = f"{tex[: found.start()]} 0{tex[found.end() :]}"
    return _UNFINISHED.search(tex) is None


def _is_harmless(char: str, inside: str) -> bool:
    if char in "}#%$":
        return False
    if inside == "t":
        return char not in "&^_" and (char.isascii() or (char.isalpha() and ord(char) < 0x180) or char in _SYMBOLS)
    # Only a matrix or alignment has columns.
    return (char.isascii() or char in _SYMBOLS) and (char != "&" or inside in _ENVIRONMENTS)
