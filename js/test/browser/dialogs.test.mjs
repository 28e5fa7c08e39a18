/** Dialogs are modal for everybody: focus, Escape, the way back. And every click is answered at once. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { reasonToSkip } from "./chromium.mjs";
import { commands, focusedNode, useSite } from "./site.mjs";

const insideDialog = (page) => page.evaluate(() => document.activeElement.closest("dialog") !== null);

describe("a dialog", { skip: reasonToSkip() }, () => {
  const { open, problems } = useSite();

  async function openedEditor() {
    const page = await open("failed=1");
    await page.click('[data-node-id="0.1.1.1"]');
    await page.focus('button:has-text("Edit & re-run")');
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog textarea");
    return page;
  }

  test("has a name and keeps the focus inside, forwards and backwards", async () => {
    const page = await openedEditor();
    assert.equal(await page.getByRole("dialog", { name: "Edit & re-run" }).count(), 1);
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "TEXTAREA");
    for (const key of ["Tab", "Shift+Tab"]) {
      for (let step = 0; step < 20; step += 1) {
        await page.keyboard.press(key);
        assert.ok(await insideDialog(page), `${key} ${step} left the dialog`);
      }
    }
    await page.close();
  });

  test("is left with Escape, and whoever opened it has the focus again", async () => {
    const page = await openedEditor();
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    assert.match(await page.evaluate(() => document.activeElement.textContent), /Edit & re-run/);

    await page.focus('[data-node-id="0.1.1.1"]');
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Reading the tree" }).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    assert.equal(await focusedNode(page), "0.1.1.1");
    await page.close();
  });

  test("lets no key and no click through to what lies below", async () => {
    const page = await openedEditor();
    await page.evaluate(() => {
      window.heard = 0;
      document.addEventListener("keydown", () => (window.heard += 1));
    });
    await page.keyboard.type("ddxc/[]?*");
    assert.equal(await page.evaluate(() => window.heard), 0);
    assert.match(await page.inputValue("dialog textarea"), /ddxc\/\[\]\?\*$/);
    assert.equal(await page.evaluate(() => document.activeElement.closest("[data-lm-suppress-shortcuts]") !== null), true);
    await page.mouse.click(20, 400);
    assert.equal(await page.locator("dialog").count(), 1);
    assert.equal(await page.getAttribute(".rn-toggle", "aria-pressed"), "true");
    await page.close();
  });

  test("edits a plan by keyboard alone", async () => {
    const page = await openedEditor();
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("ArrowRight");
    await page.waitForSelector(".rn-step");
    await page.focus('[aria-label="Sub-task 1"]');
    await page.keyboard.press("Alt+ArrowDown");
    await page.waitForFunction(() => document.querySelectorAll(".rn-step textarea")[1].value.startsWith("Read patent"));
    assert.equal(await page.evaluate(() => document.activeElement.value), "Read patent abstracts (n = 212)");
    await page.focus('[aria-label="Delete sub-task 1"]');
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelectorAll(".rn-step").length === 2);
    assert.ok(await insideDialog(page));
    await page.focus(".rn-add-step");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Sub-task 3");
    await page.keyboard.type("Compare with lithium");
    await page.waitForSelector(".rn-preview-ready");
    await page.focus('dialog button:has-text("Run again")');
    await page.keyboard.press("Enter");
    await page.waitForSelector("dialog", { state: "detached" });
    const [edit] = await commands(page, "edit");
    assert.deepEqual(edit.args.plan.sub_tasks.map(({ description }) => description), [
      "Read patent abstracts (n = 212)",
      "Fit learning-rate model",
      "Compare with lithium",
    ]);
    await page.waitForFunction(() => document.querySelector(".rn-heading").textContent.includes("edited from"));
    await page.close();
  });

  test("keeps what is typed while the run goes on", async () => {
    const page = await open("");
    await page.click('[data-node-id="0.1.1.1"]');
    await page.click('button:has-text("Edit & re-run")');
    await page.waitForSelector("dialog textarea");
    for (let round = 0; round < 10; round += 1) {
      await page.keyboard.type("ab ");
      await page.evaluate((index) => window.model.frame([["a", { id: `0.1.${30 + index}`, parent: "0.1", title: "New" }]]), round);
    }
    assert.match(await page.inputValue("dialog textarea"), /(ab ){10}$/);
    await page.close();
  });

  test("answers every click by itself, also when the kernel does not", async () => {
    const page = await open("failed=1");
    await page.evaluate(() => (window.model.send = (message) => window.model.sent.push(message)));
    await page.click('[data-node-id="0.2.2.2"]');
    for (const [label, busy] of [["Retry", "Retrying…"], ["Retry all failed", "Retrying…"], ["Answer with what there is", "Answering…"]]) {
      await page.getByRole("button", { name: label, exact: true }).click();
      await page.waitForSelector(`button[aria-busy="true"]:has-text("${busy}")`);
    }
    await page.waitForSelector('.rn-alert:has-text("has not answered yet")');
    await page.close();
  });

  test("says why the kernel refused, and that can be put away", async () => {
    const page = await open("");
    await page.evaluate(() => (window.model.refusals.pause = "nothing is running"));
    await page.click('button:has-text("Pause")');
    await page.waitForSelector('[role="alert"]:has-text("nothing is running")');
    await page.click('button:has-text("Dismiss")');
    await page.waitForFunction(() => !document.querySelector(".rn").textContent.includes("nothing is running"));
    await page.close();
  });

  test("says so when the kernel is gone: the clock stops and nothing can be commanded", async () => {
    const page = await open("silent=1");
    await page.waitForSelector('.rn-banner:has-text("No news from the kernel")');
    const clock = () => page.textContent(".rn-heading span");
    const stopped = await clock();
    await page.waitForTimeout(1500);
    assert.equal(await clock(), stopped);
    const pause = page.locator('.rn-header button:has-text("Pause")');
    assert.equal(await pause.getAttribute("aria-disabled"), "true");
    assert.match(await pause.getAttribute("title"), /no news from the kernel/);
    await pause.click({ force: true });
    assert.deepEqual(await commands(page, "pause"), []);

    await page.evaluate(() => window.model.beat());
    await page.waitForSelector(".rn-banner", { state: "detached" });
    assert.equal(await pause.getAttribute("aria-disabled"), "false");
    await page.close();
  });

  test("causes no error", () => assert.deepEqual(problems, []));
});
