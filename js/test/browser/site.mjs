/** The development page in a browser, for one test file: what goes wrong on any page is kept in `problems`. */
import { after, before } from "node:test";
import { serve } from "../../dev/serve.mjs";
import { launch } from "./chromium.mjs";

/** Milliseconds after which something is not slow, but hangs. */
const HANG = 120_000;
const VIEWPORT = { width: 1400, height: 1000 };

/** Call inside `describe`. */
export function useSite() {
  const problems = [];
  let browser;
  let site;

  before(async () => {
    site = await serve();
    browser = await launch();
  });

  after(async () => {
    await browser?.close();
    site?.server.close();
  });

  async function open(query = "", viewport = VIEWPORT, options = {}) {
    const page = await browser.newPage({ viewport, ...options });
    page.setDefaultTimeout(HANG);
    page.on("pageerror", (error) => problems.push(String(error)));
    // The parts that the kernel sends are imported from addresses that the page made itself; nothing else is.
    const own = `blob:${new URL(site.address).origin}/`;
    page.on("request", (request) => {
      const url = request.url();
      const isPart = url.startsWith(own) && request.resourceType() === "script";
      if (!isPart && !url.startsWith(site.address) && !url.startsWith("data:")) problems.push(url);
    });
    await page.goto(`${site.address}?${query}`);
    await page.waitForSelector('[data-node-id="0"]');
    return page;
  }

  return { open, problems };
}

export const focusedNode = (page) => page.evaluate(() => document.activeElement?.dataset.nodeId ?? null);

export async function pressExpecting(page, key, id) {
  await page.keyboard.press(key);
  await page
    .waitForFunction((wanted) => document.activeElement?.dataset.nodeId === wanted, id)
    .catch(async () => {
      throw new Error(`${key}: the focus is on ${await focusedNode(page)}, not on ${id}`);
    });
}

/** What the kernel was told, of one kind. */
export const commands = (page, op) =>
  page.evaluate((name) => window.model.sent.filter((message) => message.t === "cmd" && message.op === name), op);
