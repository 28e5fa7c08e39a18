/** What only a browser can tell of the widget as a whole: few rows, no drawing out of sight, the theme of the host. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { reasonToSkip } from "./chromium.mjs";
import { focusedNode, useSite } from "./site.mjs";

describe("the widget in Chromium", { skip: reasonToSkip() }, () => {
  const { open, problems } = useSite();

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

  test("shows the run as a flame chart, in which a click opens a task", async () => {
    const page = await open("");
    await page.click('button:has-text("Flame")');
    await page.waitForSelector(".rn-flame canvas");
    await page.waitForTimeout(200);
    const colors = await page.evaluate(() => {
      const canvas = document.querySelector(".rn-flame canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(Array.from({ length: data.length / 4 }, (_, index) => data.slice(index * 4, index * 4 + 4).join())).size;
    });
    assert.ok(colors > 20, `${colors} colours`);
    await page.click(".rn-flame canvas", { position: { x: 60, y: 32 } });
    await page.waitForSelector(".rn-details");
    assert.match(await page.textContent(".rn-details h3"), /^Market landscape/);
    await page.click('button:has-text("Tree")');
    assert.equal(await page.getAttribute('[data-node-id="0"]', "aria-selected"), "true");
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
