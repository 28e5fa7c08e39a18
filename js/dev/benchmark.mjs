/**
 * How much of the browser's main thread a large run takes: `npm run benchmark`. The committed bundle,
 * 10,000 nodes, 1,000 updates a second for 20 seconds, measured in thread time by the DevTools protocol: a tree of plans,
 * then one of code nodes with 200, and one with 10,000 sub-queries, whose rows are grouped.
 */
import { launch } from "../test/browser/chromium.mjs";
import { serve } from "./serve.mjs";

const SECONDS = Number(process.env.SECONDS ?? 20);
const NODES = Number(process.env.NODES ?? 10_000);
const UPDATES_PER_SECOND = Number(process.env.UPDATES ?? 1000);
const FRAMES_PER_SECOND = 20;

/** Runs in the page: what a kernel would send, 20 times a second. */
function load({ seconds, nodes, queries, rate, framesPerSecond }) {
  const text = "The median wait rose from 3.1 to 4.7 years, driven by queue reform and by the number of requests ";
  let step = 0;
  const operation = () => {
    step += 1;
    if (queries > 0 && step % 200 === 0) return ["p", "0.0", { cells: step / 100 }];
    const id = window.nodeIds[1 + ((step * 7919) % (nodes - 1))];
    const start = (step % 600) / 10;
    const kinds = [
      { tokens_out: step, tail: text.slice(step % 40, 60 + (step % 40)) },
      { state: "done", tail: "", phases: [["plan", start, start + 1], ["execute", start + 1, start + 6]], cost: 0.003 },
      { state: "running", phases: [["plan", start, start + 1], ["execute", start + 1, null]] },
    ];
    return ["p", id, kinds[step % 3]];
  };
  return new Promise((resolve) => {
    const began = performance.now();
    const timer = setInterval(() => {
      const elapsed = (performance.now() - began) / 1000;
      // A busy machine calls late: the rate is kept nevertheless.
      window.model.frame(Array.from({ length: Math.round(elapsed * rate) - step }, operation));
      window.mostRows = Math.max(window.mostRows ?? 0, document.querySelectorAll('[role="row"]').length);
      if (elapsed < seconds) return;
      clearInterval(timer);
      resolve(step);
    }, 1000 / framesPerSecond);
  });
}

/** The same without a widget that listens: what the measurement itself takes. */
const idle = (options) => `window.model.frame = () => undefined; (${load})(${JSON.stringify(options)})`;

async function metrics(session) {
  const { metrics: list } = await session.send("Performance.getMetrics");
  return Object.fromEntries(list.map(({ name, value }) => [name, value]));
}

async function measured(session, page, work) {
  const before = await metrics(session);
  const drawnBefore = await page.evaluate(() => window.drawn);
  const updates = await page.evaluate(work);
  const after = await metrics(session);
  const drawn = (await page.evaluate(() => window.drawn)) - drawnBefore;
  return { milliseconds: (after.TaskDuration - before.TaskDuration) * 1000, drawn, updates };
}

const site = await serve();
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
await page.addInitScript(() => {
  const request = window.requestAnimationFrame.bind(window);
  window.drawn = 0;
  window.requestAnimationFrame = (callback) =>
    request((time) => {
      window.drawn += 1;
      callback(time);
    });
});
for (const queries of [0, 200, NODES]) {
  await page.goto(`${site.address}?built=1&nodes=${NODES}&queries=${queries}&height=900`);
  await page.waitForSelector('[data-node-id="0"]');
  await page.click(`[data-node-id="${queries > 0 ? "0.0" : "0"}"] .rn-agent`);
  if (queries > 0) await page.click('[data-tab="cells"]');
  await page.waitForTimeout(1000);
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const options = { seconds: SECONDS, nodes: NODES, queries, rate: UPDATES_PER_SECOND, framesPerSecond: FRAMES_PER_SECOND };
  const busy = await measured(session, page, `(${load})(${JSON.stringify(options)})`);
  await session.send("HeapProfiler.collectGarbage");
  const heap = (await metrics(session)).JSHeapUsedSize / 1e6;
  const rows = await page.evaluate(() => window.mostRows);
  const base = await measured(session, page, idle({ ...options, seconds: Math.min(5, SECONDS) }));
  const perSecond = busy.milliseconds / SECONDS;
  const what = queries > 0 ? `code nodes of ${queries} sub-queries` : "plans";
  console.log(`${NODES} nodes, ${what}: ${busy.updates} updates in ${SECONDS} s, details open`);
  console.log(`main thread: ${(busy.milliseconds / busy.drawn).toFixed(2)} ms per drawn frame (${busy.drawn} frames), ${perSecond.toFixed(0)} ms per second`);
  console.log(`of it, without messages to the widget: ${(base.milliseconds / Math.min(5, SECONDS)).toFixed(0)} ms per second`);
  console.log(`heap ${heap.toFixed(1)} MB, at most ${rows} rows in the page`);
}
await browser.close();
site.server.close();
