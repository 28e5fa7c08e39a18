import { render } from "preact";
import { describe, expect, it } from "vitest";
import { HOSTILE_TEXTS } from "../../dev/hostile";
import { OUTPUT } from "../../dev/fixture";
import { TextContext } from "../../src/ui/linked_text";
import { Markdown, decodeEntities, safeLink } from "../../src/ui/markdown";

function show(text: string): HTMLElement {
  const element = document.createElement("div");
  render(<Markdown text={text} />, element);
  return element;
}

const ALLOWED = new Set(
  "DIV P H3 H4 H5 H6 UL OL LI TABLE THEAD TBODY TR TH TD PRE CODE BLOCKQUOTE HR BR STRONG EM DEL A SPAN".split(" "),
);
const SAFE_ATTRIBUTES = new Set(["class", "dir", "href", "target", "rel", "style", "start", "role", "aria-label", "tabindex"]);

function expectHarmless(element: HTMLElement): void {
  for (const each of element.querySelectorAll("*")) {
    expect(ALLOWED).toContain(each.tagName);
    for (const { name } of each.attributes) expect(SAFE_ATTRIBUTES).toContain(name);
    const link = each.getAttribute("href");
    if (link !== null) expect(link).toMatch(/^(https?:\/\/|mailto:)/i);
  }
}

describe("markdown", () => {
  it("becomes elements", () => {
    const element = show(OUTPUT);

    expect(element.querySelector("h3")?.textContent).toBe("Energy-density trajectory");
    expect([...element.querySelectorAll("td")].map(({ textContent }) => textContent)).toContain("172");
    expect(element.querySelector("pre")?.textContent).toContain('learning_rate(df, x="year"');
    expect(element.querySelector("a")?.getAttribute("rel")).toContain("noopener");
  });

  it("leaves out no level of headings, whatever the text does", () => {
    const levels = [...show("### a\n\n##### b\n\n# c\n\n###### d\n\n## e").querySelectorAll("h3, h4, h5, h6")];

    expect(levels.map(({ tagName, textContent }) => [tagName, textContent])).toEqual([["H3", "a"], ["H4", "b"], ["H3", "c"], ["H4", "d"], ["H4", "e"]]);
  });

  it("never becomes markup of the text's own", () => {
    const element = show(HOSTILE_TEXTS["markup"]!);

    expectHarmless(element);
    expect(element.textContent).toContain("<script>window.broken=true</script>");
    expect(element.textContent).toContain('<img src=x onerror="window.broken=true">');
  });

  it("loads no image but links to it", () => {
    const element = show("![a cat](https://example.org/cat.png)");

    expect(element.querySelector("img")).toBeNull();
    expect(element.textContent).toBe("[image: a cat]");
    expect(element.querySelector("a")?.getAttribute("href")).toBe("https://example.org/cat.png");
  });

  it.each([
    "javascript:alert(1)",
    "JAVASCRIPT:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "&#106;avascript:alert(1)",
    "javascript&colon;alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "//example.org",
    "relative/path",
    "",
  ])("does not link to %j", (address) => expect(safeLink(address)).toBeNull());

  it.each(["https://example.org/?a=1&b=2", "http://example.org", "mailto:someone@example.org"])(
    "links to %s",
    (address) => expect(safeLink(address)).toBe(address),
  );

  it("shows entities as the characters they stand for, once", () => {
    expect(decodeEntities("&lt;b&gt; &amp;lt; &#65; &#x1F332; &bogus; &constructor;")).toBe("<b> &lt; A 🌲 &bogus; &constructor;");
    expect(show("a &lt;b&gt; c").textContent).toBe("a <b> c");
    expect(show("`&lt;`").textContent).toBe("&lt;");
  });

  it.each([
    ["quotes", ">".repeat(20_000)],
    ["nested quotes", `${">".repeat(900)} a`],
    ["nested lists", `${"- ".repeat(900)} a`],
    ["deep lists", `${"- ".repeat(20_000)} a`],
    ["brackets", "[".repeat(20_000)],
    ["emphasis", "*a ".repeat(20_000)],
    ["mixed emphasis", "**a_".repeat(15_000)],
    ["mixed emphasis in many paragraphs", `${"**a_".repeat(400)}\n\n`.repeat(100)],
    ["strikes", "~~a ".repeat(20_000)],
    ["tags", "<a ".repeat(20_000)],
  ])("survives endless %s without freezing", (_, text) => {
    expect(show(text).textContent).not.toBe("");
  });

  it("still reads much emphasis, as people write it", () => {
    const element = show("**Bold:** and _more_ of it. ".repeat(20).concat("\n\n").repeat(50));

    expect(element.querySelectorAll("strong")).toHaveLength(1000);
    expect(element.querySelectorAll("em")).toHaveLength(1000);
  });

  it("leads from a reference to the node, if there is one", () => {
    const opened: string[] = [];
    const references = { title: (id: string) => (id === "0.2" ? "Prices" : undefined), open: (id: string) => void opened.push(id), cite: () => undefined };
    const element = document.createElement("div");
    render(
      <TextContext.Provider value={{ ...references, words: null }}>
        <Markdown text={"**Prices** rose [0.2], [0.9] and `[0.2]`; [0.2](https://example.org)"} />
      </TextContext.Provider>,
      element,
    );
    const buttons = [...element.querySelectorAll("button")];

    expect(buttons.map(({ textContent, title }) => [textContent, title])).toEqual([["[0.2]", "Prices"]]);
    expect(element.textContent).toBe("Prices rose [0.2], [0.9] and [0.2]; 0.2");
    buttons[0]?.click();
    expect(opened).toEqual(["0.2"]);
  });

  it("shows quotes as quotations with their places, and leads to their passages", () => {
    const cited: string[] = [];
    const setting = { title: () => undefined, open: () => undefined, cite: (words: string) => void cited.push(words), words: null };
    const element = document.createElement("div");
    render(
      <TextContext.Provider value={setting}>
        <Markdown
          text={
            'It says ⟦"a *b* <i>c</i>\n$x$"|r_1.pdf p.12|verified⟧ and ⟦"no | way"|n.md|not found⟧, ⟦"d"|n.md⟧.\n\n' +
            '| a | b |\n|-|-|\n| ⟦"e"|t.csv row 3|altered⟧ | 2 |\n\n`⟦"f"|x⟧`\n\n⟦open'
          }
        />
      </TextContext.Provider>,
      element,
    );
    const buttons = [...element.querySelectorAll("button")];

    expect([...element.querySelectorAll(".rn-quote")].map(({ textContent }) => textContent)).toEqual([
      "“a *b* <i>c</i> $x$”r_1.pdf p.12",
      "“no | way”not found",
      "“d”n.md",
      "“e”altered",
    ]);
    expect(element.querySelectorAll(".rn-wrong, em, i")).toHaveLength(2);
    expect(element.querySelector("td")?.textContent).toBe("“e”altered");
    expect(element.querySelector("code")?.textContent).toBe('⟦"f"|x⟧');
    expect(element.textContent).toContain("⟦open");
    expect(buttons.map(({ title }) => title)).toEqual(["r_1.pdf p.12, verified", "n.md, not found", "n.md, not checked", "t.csv row 3, altered"]);
    for (const button of buttons) button.click();
    expect(cited).toEqual(["a *b* <i>c</i> $x$", "no | way", "d", "e"]);
  });

  it.each([
    ["long", "# word\nof text\n".repeat(10_000)],
    ["full of blocks", "# a\n".repeat(3000)],
    ["full of signs", "[a](b) ".repeat(5000)],
    ["full of cells", "|a|b|c|d|e|f|g|h|i|\n".repeat(700)],
    ["deep by its marks", `${"- > ".repeat(20)}a`],
    ["deep by its indentation", Array.from({ length: 60 }, (_, level) => `${"  ".repeat(level)}- a`).join("\n")],
  ])("shows what is too %s as it is", (_, text) => {
    const element = show(text);

    expect(element.querySelector(".rn-markdown")).toBeNull();
    expect(element.querySelector(".rn-plain")?.textContent?.replaceAll("\n", "").slice(0, 80_000)).toBe(text.replaceAll("\n", "").slice(0, 80_000));
  });

  it("still reads a long report", () => {
    const section = "## Part\n\nSome **bold** text with a [link](https://a.b) and `code`.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n";

    expect(show(`${section}${"word ".repeat(60)}\n\n`.repeat(140)).querySelectorAll("h3")).toHaveLength(140);
  });
});
