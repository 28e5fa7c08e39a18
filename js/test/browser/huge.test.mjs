/** An output of any size and shape is shown without freezing the page: how much of it is drawn, and what the rest takes. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { reasonToSkip } from "./chromium.mjs";
import { useSite } from "./site.mjs";

/** What one task may have to lay out. */
const MOST_ELEMENTS = 8000;
const MOST_CHARACTERS = 101_000;

/** A node that is done: what it wrote is laid out as a whole. */
const DONE = '[data-node-id]:has([data-state="done"]) .rn-agent, [data-node-id][data-state="done"] .rn-agent';

/** Longest task of the page's thread since the last call, in milliseconds; tasks of less than 50 are not told. */
const longest = (page) => page.evaluate(async () => {
  await new Promise((resolve) => setTimeout(resolve, 300));
  const tasks = window.tasks.splice(0);
  return Math.max(0, ...tasks);
});

describe("a huge output", { skip: reasonToSkip() }, () => {
  const { open, problems } = useSite();

  test("is drawn in part, whatever it is made of", async () => {
    const first = await open("");
    const names = await first.evaluate(() => window.hugeNames);
    await first.close();
    assert.ok(names.length >= 20);
    for (const name of names) {
      const page = await open(`huge=${encodeURIComponent(name)}`);
      await page.evaluate(() => {
        window.tasks = [];
        new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map(({ duration }) => duration))).observe({ type: "longtask" });
      });
      await page.click(DONE);
      await page.waitForSelector(".rn-panel :is(.rn-plain, .rn-markdown)");
      const opened = await longest(page);
      const drawn = await page.evaluate(() => {
        const panel = document.querySelector(".rn-panel");
        return { elements: panel.querySelectorAll("*").length, characters: panel.textContent.length };
      });
      assert.ok(drawn.elements <= MOST_ELEMENTS, `${name}: ${drawn.elements} elements`);
      assert.ok(drawn.characters <= MOST_CHARACTERS, `${name}: ${drawn.characters} characters`);
      const more = page.locator(".rn-more");
      let added = 0;
      if ((await more.count()) > 0) {
        await more.first().click();
        added = await longest(page);
        const now = await page.evaluate(() => document.querySelector(".rn-panel").textContent.length);
        assert.ok(now > drawn.characters - 20 && now <= drawn.characters + MOST_CHARACTERS, `${name}: ${now} characters after a click`);
      }
      console.log(`${name}: ${drawn.elements} elements; longest task ${opened.toFixed(0)} ms, of a further portion ${added.toFixed(0)} ms`);
      await page.close();
    }
  });

  test("can be read to its end", async () => {
    const page = await open("huge=items");
    await page.click(DONE);
    await page.waitForSelector(".rn-plain");
    const more = page.locator(".rn-more");
    while ((await more.count()) > 0) await more.first().click();
    assert.equal(await page.evaluate(() => [...document.querySelectorAll(".rn-piece")].map((piece) => piece.textContent).join("\n")), "- a\n".repeat(20_000));
    await page.close();
  });

  test("causes no error", () => assert.deepEqual(problems, []));
});
