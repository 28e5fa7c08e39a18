// @vitest-environment node
/** The lexer in the bundle is cut out of marked; it must read every text as marked's own does. */
import { build } from "esbuild";
import { Lexer } from "marked";
import { beforeAll, describe, expect, it } from "vitest";
import { OUTPUT } from "../../dev/fixture";
import { HOSTILE_TEXTS } from "../../dev/hostile";
import { markedLexer } from "../../marked_lexer.mjs";

const SAMPLE = `Title
=====

## A *heading* with \`code\` ##

1. one
2. two **bold _both_ bold** ~~gone~~

   - [x] done
   - [ ] open &amp; more

> quote [link](https://example.org "title") and [ref][id]
lazy line

| a | b |
|:--|--:|
| 1 | \\|2 |

\`\`\`python
print("x")
\`\`\`

    indented

<div>raw</div>

www.example.org someone@example.org <https://example.org> ![image](x.png)  
next line \\* escaped &#65;

[id]: https://example.org 'Title'
***`;

const FRAGMENTS = [
  ..."*_~`[]()<>!#|-+\\&\n :",
  "**", "__", "~~", "```\n", "\n\n", "    ", "1. ", "- ", "> ", "a", "word", "https://a.io", "a@b.io", "&#65;", "[a](b)", "[a]: b\n", "| - |\n",
  "<b>", "</b>", "<!-- c -->", "<div>\n", "\t", "é", "“", "🌲",
];

/** The same texts each time; every one is a few dozen fragments in a row. */
function* randomTexts(count: number): Generator<string> {
  let state = 1;
  const next = (limit: number): number => {
    state = (state * 48_271) % 2_147_483_647;
    return state % limit;
  };
  for (let made = 0; made < count; made += 1) {
    yield Array.from({ length: 5 + next(40) }, () => FRAGMENTS[next(FRAGMENTS.length)]).join("");
  }
}

describe("the lexer in the bundle", () => {
  let BundledLexer: typeof Lexer;

  beforeAll(async () => {
    const contents = 'export { Lexer } from "marked";';
    const options = { bundle: true, minify: true, write: false, format: "esm", target: "es2022" } as const;
    const { outputFiles } = await build({ ...options, stdin: { contents }, plugins: [markedLexer] });
    const code = encodeURIComponent(outputFiles[0]?.text ?? "");
    BundledLexer = (await import(/* @vite-ignore */ `data:text/javascript,${code}`)).Lexer;
  });

  const expectSameTokens = (text: string): void =>
    expect(JSON.stringify(new BundledLexer({ gfm: true }).lex(text))).toBe(JSON.stringify(new Lexer({ gfm: true }).lex(text)));

  it.each([OUTPUT, HOSTILE_TEXTS["markup"]!, SAMPLE])("reads a document like marked", (text) => expectSameTokens(text));

  it("reads whatever comes like marked", () => {
    for (const text of randomTexts(3000)) expectSameTokens(text);
  });
});
