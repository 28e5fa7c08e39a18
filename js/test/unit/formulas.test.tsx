import { render } from "preact";
import { describe, expect, it } from "vitest";
import { typeset } from "../../src/parts/formulas";
import { extractFormulas, FormulaContext, type MathTree } from "../../src/ui/formulas";
import { Markdown } from "../../src/ui/markdown";
import cases from "../../../tests/formulas.json";

const found = (text: string): string[] => extractFormulas(text).formulas.map(({ tex }) => tex.trim());

function show(text: string, typesetter: typeof typeset | null = typeset): HTMLElement {
  const element = document.createElement("div");
  const port = { typeset: typesetter, request: () => undefined };
  render(
    <FormulaContext.Provider value={port}>
      <Markdown text={text} />
    </FormulaContext.Provider>,
    element,
  );
  return element;
}

interface Case {
  readonly text: string;
  readonly formulas: readonly string[];
}

/** The same cases are tested where the kernel decides, for the answer below the tree. */
const CASES = cases as readonly Case[];

describe("formulas", () => {
  it.each(CASES)("of $text are $formulas", ({ text, formulas }) => expect(found(text)).toEqual(formulas));

  it("in a quote leave its marks out", () => expect(found("> $$\n> a\n> + b\n> $$")).toEqual(["a\n+ b"]));

  it("keep their backslashes and underscores", () => {
    const text = String.raw`The sum $\sum_{i=1}^n x_i \, y_i$ and \(\{a_1, a_2\}\).`;

    expect(show(text, null).textContent).toBe(text);
    expect(show(text, null).querySelector("em")).toBeNull();
  });

  it("become MathML, where they have no errors", () => {
    const element = show(String.raw`So $x^2$ and \[\frac{a}{b}\] cost $5 and $10.

| a |
|---|
| $\sigma_{\max}$ |

An error: $\frac{1}{$`);
    const texts = [...element.querySelectorAll(".rn-tex")].map(({ textContent }) => textContent);

    expect(element.querySelectorAll("math")).toHaveLength(3);
    expect(element.querySelectorAll(".rn-display mfrac")).toHaveLength(1);
    expect(element.querySelector("table math msub")).not.toBeNull();
    expect(element.textContent).toContain("cost $5 and $10.");
    expect(texts).toEqual([String.raw`$\frac{1}{$`]);
  });

  it("stay what they are in code, addresses and titles of links", () => {
    const element = show("```\n$a$\n```\n\n`$b$` [c](https://example.org/$d$) <b>$e$</b>");

    expect(element.querySelector("pre")?.textContent).toBe("$a$");
    expect(element.querySelector("p code")?.textContent).toBe("$b$");
    expect(element.querySelector("a")?.getAttribute("href")).toBe("https://example.org/$d$");
    expect(element.textContent).not.toMatch(/[\ufdd0\ufdd1]/);
  });

  it("are looked for in one pass, however many delimiters do not close", () => {
    const before = performance.now();
    for (const sign of ["$a ", "$$a ", "\\(a ", "\\[a ", "\\begin{align} ", "`$a "]) extractFormulas(sign.repeat(20_000));

    expect(performance.now() - before).toBeLessThan(60_000);
  });
});

const HOSTILE = [
  String.raw`\href{javascript:window.broken=true}{x}`,
  String.raw`\href{https://tracker.invalid}{x}`,
  String.raw`\url{https://tracker.invalid}`,
  String.raw`\class{rn-button rn-primary}{x}`,
  String.raw`\cssId{x}{y}`,
  String.raw`\id{x}{y}`,
  String.raw`\style{position:fixed;inset:0}{x}`,
  String.raw`\data{x=y}{z}`,
  String.raw`\unicode{x3c}`,
  String.raw`\includegraphics{https://tracker.invalid/pixel.png}`,
  String.raw`\require{html}`,
  String.raw`\htmlClass{a}{b} \htmlStyle{color:red}{b}`,
  String.raw`\label{a} \ref{a} \eqref{a}`,
  String.raw`\text{<img src=x onerror="window.broken=true">}`,
  String.raw`\color{white} x \colorbox{red}{y} \textcolor{#fff}{z}`,
  String.raw`\hspace{-400em} x \kern-900pt y \raisebox{-300em}{z} \rule{9000em}{9000em}`,
  String.raw`\def\a{\a\a}\a`,
  String.raw`\def\a#1{#1#1#1#1#1#1#1#1}\a{\a{\a{\a{\a{x}}}}}`,
  "{".repeat(1900) + "}".repeat(1900),
  "\\sqrt{".repeat(300) + "x" + "}".repeat(300),
  "\\left(".repeat(300) + "x" + "\\right)".repeat(300),
  "\\begin{matrix}".concat("a & ".repeat(1800), "\\end{matrix}"),
];

const LENGTH = /-?\d+(?:\.\d+)?(?=em|pt|px|ex|mu|cm|in|%)/g;

/** Every element of a formula, with its depth. */
function* elementsOf(trees: readonly MathTree[]): Generator<readonly [string, Readonly<Record<string, string>>]> {
  for (const tree of trees) {
    if (typeof tree === "string") continue;
    yield [tree[0], tree[1]];
    yield* elementsOf(tree[2]);
  }
}

describe("a hostile formula", () => {
  it.each(HOSTILE)("makes no more than a formula: %s", (tex) => {
    const elements = [...elementsOf(typeset(tex, true) ?? [])];

    for (const [tag, attributes] of elements) {
      expect(tag).toMatch(/^(math|m[a-z]+|none)$/);
      for (const [name, value] of Object.entries(attributes)) {
        expect(name).not.toMatch(/^(on|href|src|id$|xlink|data|mathcolor|mathbackground)/);
        expect(value).not.toMatch(/url|:\/\/|javascript|position|fixed|color|rn-/);
        for (const [length] of value.matchAll(LENGTH)) expect(Math.abs(Number(length))).toBeLessThanOrEqual(100);
      }
    }
    expect(elements.length).toBeLessThan(5000);
  });

  it.each(["\\href{https://a.invalid}{x}", "\\class{a}{x}", "\\unicode{x41}"])("%s is shown as its source", (tex) =>
    expect(show(`$${tex}$`).querySelector(".rn-tex")?.textContent).toBe(`$${tex}$`),
  );
});
