/** The tree without a mouse. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { reasonToSkip } from "./chromium.mjs";
import { focusedNode, pressExpecting, useSite } from "./site.mjs";

describe("the keyboard", { skip: reasonToSkip() }, () => {
  const { open, problems } = useSite();

  test("walks the tree", async () => {
    const page = await open();
    const expectFocus = (key, id) => pressExpecting(page, key, id);
    await page.focus('[role="row"][tabindex="0"]');
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
    await expectFocus("[", "0.2.2.2");
    await expectFocus("Home", "0");
    await expectFocus("ArrowUp", "0");
    assert.equal(await page.locator('[role="row"][tabindex="0"]').count(), 1);
    await page.close();
  });

  test("goes by pages and opens all branches of a level", async () => {
    const page = await open("height=400");
    await page.focus('[role="row"][tabindex="0"]');
    await page.keyboard.press("PageDown");
    await page.waitForFunction(() => document.activeElement?.dataset.nodeId !== "0");
    const row = () => page.evaluate(() => Number(document.activeElement.getAttribute("aria-rowindex")));
    const down = await row();
    assert.ok(down > 8, `row ${down}`);
    await pressExpecting(page, "PageUp", "0");
    await pressExpecting(page, "ArrowDown", "0.0");
    assert.equal(await page.getAttribute('[data-node-id="0.0"]', "aria-expanded"), "false");
    await page.keyboard.press("*");
    await page.waitForSelector('[data-node-id="0.0"][aria-expanded="true"]');
    assert.equal(await focusedNode(page), "0.0");
    await page.close();
  });

  test("finds a task by the letters it begins with", async () => {
    const page = await open();
    await page.focus('[role="row"][tabindex="0"]');
    await pressExpecting(page, "m", "0.2");
    await page.waitForTimeout(800);
    await page.keyboard.type("soc");
    await page.waitForTimeout(800);
    await page.keyboard.type("sod");
    await page.waitForFunction(() => document.activeElement?.dataset.nodeId === "0.1.1");
    await page.waitForTimeout(800);
    await page.keyboard.press("c");
    assert.equal(await page.getAttribute(".rn-toggle", "aria-pressed"), "false");
    assert.equal(await focusedNode(page), "0.1.1");
    await page.close();
  });

  test("opens details, which follow it, and comes back", async () => {
    const page = await open();
    await page.focus('[role="row"][tabindex="0"]');
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".rn-details");
    await pressExpecting(page, "ArrowUp", "0");
    assert.match(await page.textContent(".rn-details h3"), /^Market landscape/);
    await page.click('.rn-details [role="tab"]:has-text("Prompt")');
    await page.keyboard.press("ArrowRight");
    assert.equal(await page.evaluate(() => document.activeElement.dataset.tab), "plan");
    await page.keyboard.press("Escape");
    await page.waitForSelector(".rn-details", { state: "detached" });
    assert.equal(await focusedNode(page), "0");
    await page.close();
  });

  test("searches, and Escape ends the search", async () => {
    const page = await open();
    await page.focus('[role="row"][tabindex="0"]');
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement?.tagName), "INPUT");
    await page.keyboard.type("patent");
    await page.waitForFunction(() => document.querySelectorAll("[data-node-id]").length === 5);
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.querySelectorAll("[data-node-id]").length > 20);
    await page.close();
  });

  test("does nothing that cannot be undone, and no key gets out", async () => {
    const page = await open();
    await page.evaluate(() => {
      window.heard = [];
      document.addEventListener("keydown", (event) => window.heard.push(event.key));
    });
    await page.focus('[role="row"][tabindex="0"]');
    for (const key of ["d", "d", "x", "a", "b", "Delete", "Backspace", "z", "1", "y", "i", "0"]) await page.keyboard.press(key);
    assert.deepEqual(await page.evaluate(() => window.heard), []);
    assert.deepEqual(await page.evaluate(() => window.model.sent.filter(({ t }) => t === "cmd")), []);
    assert.equal(await page.getAttribute(".rn", "data-lm-suppress-shortcuts"), "true");
    await page.close();
  });

  test("keeps the focus and the place when rows arrive above", async () => {
    const page = await open("height=400");
    await page.focus('[role="row"][tabindex="0"]');
    await pressExpecting(page, "End", "0.8");
    const place = () => page.evaluate(() => document.activeElement?.getBoundingClientRect().top);
    const before = await place();
    for (let round = 0; round < 5; round += 1) {
      await page.evaluate((start) => {
        window.model.frame(Array.from({ length: 30 }, (_, index) => ["a", { id: `0.1.${start + index}`, parent: "0.1", title: "New" }]));
      }, 20 + round * 30);
      await page.waitForTimeout(60);
      assert.equal(await focusedNode(page), "0.8");
    }
    await page.waitForFunction(() => Number(document.querySelector('[role="treegrid"]').getAttribute("aria-rowcount")) > 180);
    await page.waitForTimeout(100);
    assert.ok(Math.abs((await place()) - before) <= 1, `moved from ${before} to ${await place()}`);
    await page.close();
  });

  test("is not lost when the focused row or button goes away", async () => {
    const page = await open();
    await page.click('[data-node-id="0.1.1.1.0"]');
    await page.evaluate(() => document.querySelector('[data-node-id="0.1.1.1.0"]').focus());
    await page.click('[data-node-id="0.1.1"] .rn-fold');
    await page.waitForSelector('[data-node-id="0.1.1.1.0"]', { state: "detached" });
    assert.equal(await focusedNode(page), "0.1.1");

    await page.focus('.rn-header button:has-text("Pause")');
    await page.keyboard.press("Enter");
    await page.waitForSelector('.rn-header button:has-text("Resume")');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Resume");
    await page.focus('.rn-header button:has-text("Cancel")');
    await page.keyboard.press("Enter");
    await page.waitForSelector('.rn[data-status="cancelled"]');
    await page.waitForTimeout(100);
    assert.ok(await page.evaluate(() => document.activeElement.closest(".rn") !== null));
    await page.close();
  });

  test("follows a reference in an answer to the node it names", async () => {
    const page = await open();
    await page.click('[data-node-id="0.1.1.1"]');
    await page.focus('.rn-reference:has-text("[0.0.4]")');
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector(".rn-details h3").textContent === "Reconcile units and double counting");
    assert.equal(await page.getAttribute('[data-node-id="0.0.4"]', "aria-selected"), "true");
    await page.close();
  });

  test("causes no error", () => assert.deepEqual(problems, []));
});
