/** axe-core finds nothing, in both themes, in all dialogs and modes, wide and narrow. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { reasonToSkip } from "./chromium.mjs";
import { useSite } from "./site.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const openNode = async (page) => {
  await page.click('[data-node-id="0.1.1.1"]');
  await page.waitForSelector(".rn-markdown");
};

/** An output to be read, in the pane as it is left by `arrange`. */
const reading = (text, arrange) => [
  `reading=${text}`,
  async (page) => {
    await openNode(page);
    await arrange?.(page);
    await page.waitForSelector({ formulas: ".rn-panel math", table: ".rn-table td", arabic: '.rn-panel ul[dir="rtl"]', quotes: ".rn-quote" }[text]);
  },
];

const search = async (page, words, selector) => {
  await page.fill('[aria-label="Search nodes"]', words);
  await page.waitForSelector(selector);
};

const MODES = {
  formula: reading("formulas"),
  "formula, whole width": reading("formulas", (page) => page.click('[aria-label="Whole width"]')),
  "wide table": reading("table"),
  Arabic: reading("arabic"),
  quotes: reading("quotes"),
  "the passage of a quote": [
    "reading=quotes",
    async (page) => {
      await openNode(page);
      await page.click(".rn-wrong .rn-reference");
      await page.waitForSelector(".rn-cited:focus .rn-passage");
    },
  ],
  "full screen": reading("arabic", async (page) => {
    await page.click('[aria-label="Full screen"]');
    await page.waitForSelector(".rn-full");
  }),
  search: [
    "",
    async (page) => {
      await search(page, "interval year", ".rn-hit mark");
      await openNode(page);
      await page.waitForSelector(".rn-panel mark");
    },
  ],
  "nothing found": ["", (page) => search(page, "zebra", ".rn-nothing button")],
  compare: [
    "",
    async (page) => {
      await page.click('button:has-text("Compare")');
      await page.click(".rn-changed td button");
      await page.waitForSelector(".rn-texts ins");
    },
  ],
  details: ["", openNode],
  failed: ["failed=1", async (page) => page.click('button:has-text("Show why")')],
  paused: ["paused=1", openNode],
  flame: ["", async (page) => page.click('button:has-text("Flame")')],
  approval: ["approve=1", async () => undefined],
  silent: ["silent=1", async (page) => page.waitForSelector(".rn-banner-silent")],
  "help dialog": ["", async (page) => page.click('[aria-label="Help"]')],
  "approve dialog": [
    "approve=1",
    async (page) => {
      await page.click('button:has-text("Review plan")');
      await page.waitForSelector(".rn-step");
    },
  ],
  "edit dialog": [
    "failed=1",
    async (page) => {
      await openNode(page);
      await page.click('button:has-text("Edit & re-run")');
      await page.fill("dialog textarea", "Something else");
      await page.waitForSelector(".rn-preview-ready");
    },
  ],
  "plan editor": [
    "failed=1",
    async (page) => {
      await openNode(page);
      await page.click('button:has-text("Edit & re-run")');
      await page.waitForSelector("dialog textarea");
      await page.click("dialog label:nth-of-type(2)");
      await page.click('[aria-label="Delete sub-task 1"]');
      await page.waitForSelector(".rn-preview-ready");
    },
  ],
};

const TWO_LOOKS = [["light", 1400], ["dark", 600]];
const ZOOMED = ["light", 853];
const EVERY_LOOK = [...TWO_LOOKS, ZOOMED, ["dark", 1400], ["light", 700], ["light", 320]];

function summary({ id, nodes }) {
  return `${id}: ${nodes.slice(0, 3).map((each) => `${each.html.slice(0, 160)} ${each.failureSummary}`).join("\n  ")}`;
}

describe("axe-core", { skip: reasonToSkip() }, () => {
  const { open, problems } = useSite();

  for (const [mode, [query, prepare]] of Object.entries(MODES)) {
    for (const [theme, width] of mode === "details" ? EVERY_LOOK : TWO_LOOKS) {
      test(`finds nothing in: ${mode}, ${theme}, ${width} px`, async () => {
        const page = await open(`${query}&theme=${theme}`, { width, height: 1000 });
        await prepare(page);
        await page.evaluate(AXE);
        const { violations } = await page.evaluate(() => window.axe.run(".rn"));
        assert.deepEqual(violations.map(summary), []);
        await page.close();
      });
    }
  }

  for (const [what, options] of [["200 % zoom", { viewport: { width: 640, height: 480 }, deviceScaleFactor: 2 }], ["320 px", { viewport: { width: 320, height: 700 } }]]) {
    test(`nothing is cut off sideways at ${what}`, async () => {
      const page = await open("failed=1", undefined, options);
      await page.setViewportSize(options.viewport);
      await openNode(page);
      const cut = await page.evaluate(() => {
        const { right } = document.querySelector(".rn").getBoundingClientRect();
        const buttons = [...document.querySelectorAll(".rn button")].filter((button) => button.offsetParent !== null);
        return buttons.filter((button) => button.getBoundingClientRect().right > right + 1).map(({ textContent }) => textContent);
      });
      assert.deepEqual(cut, []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      await page.close();
    });
  }

  test("nothing moves by itself for those who asked for that", async () => {
    const page = await open("", undefined, { reducedMotion: "reduce" });
    assert.deepEqual(await page.evaluate(() => document.getAnimations().length), 0);
    await page.close();
    const moving = await open("");
    assert.notEqual(await moving.evaluate(() => document.getAnimations().length), 0);
    await moving.close();
  });

  test("targets are 24 px high and wide, or have room around them", async () => {
    const page = await open("failed=1");
    await openNode(page);
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run(".rn", { runOnly: ["target-size"] }));
    assert.deepEqual(violations.map(summary), []);
    await page.close();
  });

  test("causes no error", () => assert.deepEqual(problems, []));
});
