/** Text as a hostile web page could make a model repeat it, by what it tries. */

const MARKUP = [
  `<img src=x onerror="window.broken=true">`,
  `<script>window.broken=true</script>`,
  `[click](javascript:window.broken=true)`,
  `[click](JaVaScRiPt&colon;window.broken=true)`,
  `[click](java\tscript:window.broken=true)`,
  `[click](data:text/html,<script>window.broken=true</script>)`,
  `[click](vbscript:window.broken=true)`,
  `![tracker](https://tracker.invalid/pixel.png)`,
  `![x](x" onerror="window.broken=true)`,
  `<iframe srcdoc="<script>parent.broken=true</script>"></iframe>`,
  `</style><svg onload="window.broken=true">`,
  `</textarea></script><img src=x onerror=window.broken=true>`,
  `<a href="javascript:window.broken=true">raw</a>`,
  `<meta http-equiv="refresh" content="0;url=https://tracker.invalid/">`,
  `<form action="https://tracker.invalid/"><button>Approve</button></form>`,
  `<dialog open>Approve</dialog>`,
  `&lt;img src=x onerror=window.broken=true&gt;`,
  `[ref]: javascript:window.broken=true`,
  `[ref]`,
  `<javascript:window.broken=true>`,
  `| a | b |\n|---|---|\n| <img src=x onerror=window.broken=true> | [click](javascript:window.broken=true) |`,
  "```html\n</code></pre><script>window.broken=true</script>\n```",
].join("\n\n");

export const HOSTILE_TEXTS: Readonly<Record<string, string>> = {
  markup: MARKUP,
  ansi: "\u001b[31mred\u001b[0m \u001b]8;;https://tracker.invalid/\u0007link\u001b]8;;\u0007 \u001b[2J\u001b[H \u009b1m",
  bidi: "invoice \u202Efdp.exe\u202D \u2066\u2067 left \u05d0\u05d1\u05d2 right \u200f\u061c done",
  invisible: "zero\u200bwidth\u200c \u200d\ufeff\u2060 soft\u00adhyphen \u{e0041}\u{e0042} \u3164\u115f",
  combining: `Z${"\u0300\u0301\u0302\u0303\u0304\u0305".repeat(60)} algo`,
  lines: "first\r\nsecond\u2028third\u2029fourth\u0085fifth\u000b\u000csixth\tseventh",
  nul: "before\u0000after \u0001\u0008\u007f\uffff\ufffe",
  surrogates: "lone \ud800 and \udfff and \udc00\ud800",
  names: "__proto__ constructor toString hasOwnProperty",
  long: "A".repeat(1_000_000),
};

const nested = (levels: number, line: (level: number) => string): string =>
  Array.from({ length: levels }, (_, level) => line(level)).join("\n");

/** Outputs that are too much for a page, by what there is too much of. */
export const HUGE_TEXTS: Readonly<Record<string, () => string>> = {
  headings: () => "# a\n".repeat(50_000),
  fences: () => "```\na\n```\n".repeat(40_000),
  links: () => "[a](https://a.invalid) ".repeat(100_000),
  "links below the limit": () => "[a](b) ".repeat(3990),
  items: () => "- a\n".repeat(20_000),
  "items below the limit": () => "- a\n".repeat(1990),
  cells: () => `${"|a".repeat(500)}|\n${"|-".repeat(500)}|\n${`${"|a".repeat(500)}|\n`.repeat(100)}`,
  "cells below the limit": () => `|a|b|c|d|\n|-|-|-|-|\n${"|a|b|c|d|\n".repeat(590)}`,
  paragraphs: () => "a\n\n".repeat(20_000),
  quotes: () => "> ".repeat(20_000),
  "nested quotes": () => nested(400, (level) => `${"> ".repeat(level)}a`),
  "nested lists": () => nested(400, (level) => `${"  ".repeat(level)}- a`),
  "lists in a line": () => "- 1. ".repeat(5000),
  brackets: () => "[".repeat(1900).concat(" ").repeat(40),
  images: () => "![a](".repeat(10_000),
  emphasis: () => "*a **b _c ".repeat(10_000),
  "emphasis below the limit": () => "*a _b ".repeat(490),
  ticks: () => Array.from({ length: 400 }, (_, count) => "`".repeat(count + 1)).join(" "),
  angles: () => "<a ".repeat(30_000),
  addresses: () => "http://a.invalid/ a@b.c ".repeat(4000),
  definitions: () => "[a]: http://b\n".repeat(7000),
  "ten megabytes": () => "A line of an ordinary text, as long as lines are.\n".repeat(200_000),
  "ten megabytes without a space": () => "A".repeat(10_000_000),
  "ten megabytes of spaces": () => " ".repeat(10_000_000),
  "ten megabytes of lines": () => "\n".repeat(10_000_000),
};
