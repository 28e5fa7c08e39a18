/** Whatever a model writes is text: it does not run, load, or break the layout, and it is shown. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { reasonToSkip } from "./chromium.mjs";
import { useSite } from "./site.mjs";

const FAMILIES = ["markup", "ansi", "bidi", "invisible", "combining", "lines", "nul", "surrogates", "names", "long"];
const ALLOWED_LINK = /^(https?:|mailto:)/;

/** Everything that is drawn lies inside the widget, and the page does not scroll sideways. */
function layoutProblems() {
  const root = document.querySelector(".rn");
  const rows = [...root.querySelectorAll(".rn-rows .rn-row")].map((row) => Math.round(row.getBoundingClientRect().height));
  const problems = [];
  if (rows.some((height) => height !== 25)) problems.push(`rows of ${[...new Set(rows)]} px`);
  if (document.documentElement.scrollWidth > innerWidth) problems.push(`the page is ${document.documentElement.scrollWidth} px wide`);
  if (root.scrollWidth > root.clientWidth) problems.push(`the widget is ${root.scrollWidth} px wide`);
  for (const name of ["header", "toolbar", "footer"]) {
    const height = root.querySelector(`.rn-${name}`).getBoundingClientRect().height;
    if (height > 60) problems.push(`the ${name} is ${height} px high`);
  }
  if (root.getBoundingClientRect().height > 1300) problems.push("the widget is too high");
  const panel = root.querySelector(".rn-panel");
  if (panel.getBoundingClientRect().height < 40) problems.push("there is no room for the details");
  return problems;
}

/** What ran, was forbidden, or got into the page as an element. */
function breaches() {
  const elements = document.querySelectorAll(".rn :is(script, iframe, img, object, embed, form, meta, link, base, audio, video)");
  return [...(window.broken ? ["code ran"] : []), ...window.violations, ...[...elements].map(({ outerHTML }) => outerHTML.slice(0, 80))];
}

describe("hostile text", { skip: reasonToSkip() }, () => {
  const { open, problems } = useSite();

  for (const family of FAMILIES) {
    test(`${family} in every field is shown and does nothing`, async () => {
      const page = await open(`hostile=${family}`);
      const text = await page.evaluate((name) => window.hostileTexts[name], family);
      await page.click('[data-node-id="0.1"] .rn-agent');
      await page.waitForSelector(".rn-panel");
      for (const tab of ["Prompt", "Plan", "Tools", "Events", "Output"]) {
        await page.click(`[role="tab"]:has-text("${tab}")`);
        await page.waitForTimeout(60);
        for (const summary of await page.locator(".rn-tool summary").all()) await summary.click();
        assert.deepEqual(await page.evaluate(layoutProblems), [], tab);
      }
      for (const link of await page.locator(".rn a").all()) assert.match(await link.getAttribute("href"), ALLOWED_LINK);
      for (const link of await page.locator('.rn-markdown >> text="click"').all()) await link.click({ force: true }).catch(() => undefined);
      const shown = await page.evaluate(() => document.querySelector('[data-node-id="0.1"] .rn-title').textContent);
      assert.equal(shown.slice(0, 400), text.slice(0, 400));
      await page.click('button:has-text("Edit & re-run")');
      await page.waitForSelector("dialog textarea");
      await page.click("dialog label:nth-of-type(2)");
      await page.waitForSelector(".rn-step textarea");
      assert.ok(await page.evaluate(() => document.querySelector("dialog").scrollWidth <= document.querySelector("dialog").clientWidth));
      await page.keyboard.press("Escape");
      await page.click('button:has-text("Review plan")');
      await page.waitForSelector(".rn-thoughts");
      assert.deepEqual(await page.evaluate(breaches), []);
      await page.close();
    });
  }

  test("would be noticed if it ran", async () => {
    const page = await open("");
    await page.evaluate(() => {
      const image = document.createElement("img");
      image.src = "x:";
      image.setAttribute("onerror", "window.broken = true");
      document.querySelector(".rn").append(image);
    });
    await page.waitForFunction(() => window.violations.length > 0);
    assert.notDeepEqual(await page.evaluate(breaches), []);
    await page.close();
  });

  test("causes no error and no request anywhere", () =>
    assert.deepEqual(problems.filter((problem) => !problem.startsWith("x:")), []));
});
