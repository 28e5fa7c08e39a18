/** What only a browser can tell: focus, layout, scripts that must not run, accessibility, size. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createRequire } from "node:module";
import { serve } from "../../dev/serve.mjs";
import { launch, reasonToSkip } from "./chromium.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

describe("the widget in Chromium", { skip: reasonToSkip() }, () => {
  let browser;
  let site;
  const problems = [];

  before(async () => {
    site = await serve();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    site?.server.close();
  });

  async function open(query = "", viewport = { width: 1400, height: 1000 }) {
    const page = await browser.newPage({ viewport });
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(site.address) && !request.url().startsWith("data:")) problems.push(request.url());
    });
    await page.goto(`${site.address}?${query}`);
    await page.waitForSelector('[data-node-id="0"]');
    return page;
  }

  const focusedNode = (page) => page.evaluate(() => document.activeElement?.dataset.nodeId ?? null);

  test("is walked with the keyboard", async () => {
    const page = await open();
    await page.focus('[role="row"][tabindex="0"]');
    const expectFocus = async (key, id) => {
      await page.keyboard.press(key);
      await page.waitForFunction((wanted) => document.activeElement?.dataset.nodeId === wanted, id, { timeout: 2000 })
        .catch(async () => assert.equal(await focusedNode(page), id, key));
    };
    await expectFocus("ArrowDown", "0.0");
    await expectFocus("ArrowRight", "0.0");
    assert.equal(await page.getAttribute('[data-node-id="0.0"]', "aria-expanded"), "true");
    await expectFocus("ArrowRight", "0.0.0");
    await expectFocus("ArrowLeft", "0.0");
    await expectFocus("ArrowLeft", "0.0");
    assert.equal(await page.getAttribute('[data-node-id="0.0"]', "aria-expanded"), "false");
    await expectFocus("ArrowLeft", "0");
    await expectFocus("]", "0.2.2.2");
    await expectFocus("End", "0.8");
    await expectFocus("Home", "0");
    assert.equal(await page.locator('[role="row"][tabindex="0"]').count(), 1);

    await page.keyboard.press("Enter");
    await page.waitForSelector(".rn-details");
    await expectFocus("ArrowDown", "0.0");
    assert.equal(await page.textContent(".rn-details h3"), "Size the market by region");
    await page.keyboard.press("Escape");
    await page.waitForSelector(".rn-details", { state: "detached" });
    assert.equal(await focusedNode(page), "0.0");

    const pressed = () => page.getAttribute(".rn-toggle", "aria-pressed");
    assert.equal(await pressed(), "true");
    await page.keyboard.press("c");
    assert.equal(await pressed(), "false");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), "INPUT");
    await page.keyboard.type("patent");
    await page.waitForFunction(() => document.querySelectorAll("[data-node-id]").length === 5);
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.querySelectorAll("[data-node-id]").length > 20);
    await page.close();
  });

  test("keeps the focus and the place when rows arrive above", async () => {
    const page = await open("height=400");
    await page.focus('[role="row"][tabindex="0"]');
    await page.keyboard.press("End");
    await page.waitForFunction(() => document.activeElement?.dataset.nodeId === "0.8");
    const place = () => page.evaluate(() => document.activeElement?.getBoundingClientRect().top);
    const before = await place();
    await page.evaluate(() => {
      const added = Array.from({ length: 30 }, (_, index) => ["a", { id: `0.1.${20 + index}`, parent: "0.1", title: `New ${index}` }]);
      window.model.frame(added);
    });
    await page.waitForFunction(() => Number(document.querySelector('[role="treegrid"]').getAttribute("aria-rowcount")) > 60);
    await page.waitForTimeout(100);
    assert.equal(await focusedNode(page), "0.8");
    assert.ok(Math.abs((await place()) - before) <= 1, `moved from ${before} to ${await place()}`);
    await page.close();
  });

  test("does not run, load or obey hostile text", async () => {
    const page = await open("hostile=1");
    await page.click('[data-node-id="0.1"]');
    await page.waitForSelector(".rn-markdown");
    for (const tab of ["Prompt", "Plan", "Tools", "Events", "Output"]) {
      await page.click(`[role="tab"]:has-text("${tab}")`);
      await page.waitForTimeout(50);
    }
    for (const link of await page.locator(".rn-markdown a").all()) {
      assert.match(await link.getAttribute("href"), /^(https?:|mailto:)/);
    }
    await page.locator('.rn-markdown >> text="click"').first().click();
    await page.waitForTimeout(100);
    assert.equal(await page.evaluate(() => window.broken), undefined);
    assert.equal(await page.locator(".rn :is(script, iframe, img, object, embed)").count(), 0);
    await page.close();
  });

  for (const theme of ["light", "dark"]) {
    for (const width of [1400, 700]) {
      test(`has no accessibility violations (${theme}, ${width} px)`, async () => {
        const page = await open(`theme=${theme}`, { width, height: 1000 });
        await page.click('[data-node-id="0.1.1.1"]');
        await page.waitForSelector(".rn-markdown");
        await page.addScriptTag({ path: AXE });
        const { violations } = await page.evaluate(() => window.axe.run(".rn"));
        const summary = violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((each) => `${each.html.slice(0, 160)} ${each.failureSummary}`).join("\n  ")}`);
        assert.deepEqual(summary, []);
        await page.close();
      });
    }
  }

  test("keeps few rows of a large run", async () => {
    const page = await open("nodes=10000&height=900");
    const rows = () => page.locator('[role="row"]').count();
    assert.ok((await rows()) <= 400, `${await rows()} rows`);
    await page.focus('[role="row"][tabindex="0"]');
    await page.keyboard.press("*");
    for (const key of ["End", "Home", "PageDown", "End"]) {
      await page.keyboard.press(key);
      await page.waitForTimeout(50);
      assert.ok((await rows()) <= 400, `${await rows()} rows after ${key}`);
    }
    assert.notEqual(await focusedNode(page), null);
    await page.close();
  });

  test("draws nothing while it is out of sight", async () => {
    const page = await open("height=400");
    await page.evaluate(() => {
      document.body.style.paddingTop = "3000px";
      window.changes = 0;
    });
    await page.waitForTimeout(300);
    await page.evaluate(() => {
      new MutationObserver((records) => (window.changes += records.length)).observe(document.querySelector(".rn"), { subtree: true, childList: true, attributes: true, characterData: true });
    });
    await page.evaluate(() => window.model.frame([["r", { title: "Changed out of sight" }]]));
    await page.waitForTimeout(600);
    assert.equal(await page.evaluate(() => window.changes), 0);
    await page.evaluate(() => document.querySelector(".rn").scrollIntoView());
    await page.waitForSelector("text=Changed out of sight");
    await page.close();
  });

  test("follows the theme of the host", async () => {
    const page = await open();
    const theme = () => page.getAttribute(".rn", "data-theme");
    assert.equal(await theme(), "light");
    await page.evaluate(() => (document.body.dataset.jpThemeLight = "false"));
    await page.waitForSelector('.rn[data-theme="dark"][data-host="jupyter"]');
    await page.evaluate(() => (document.body.dataset.vscodeThemeKind = "vscode-light"));
    await page.waitForSelector('.rn[data-theme="light"][data-host="vscode"]');
    await page.evaluate(() => window.model.set("theme", "dark"));
    await page.waitForSelector('.rn[data-theme="dark"][data-host="other"]');
    await page.close();
  });

  test("causes no error and no request anywhere", () => assert.deepEqual(problems, []));
});
