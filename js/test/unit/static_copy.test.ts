import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watchStaticCopy } from "../../src/static_copy";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

/** A cell's outputs in JupyterLab: a tree, and a static copy of this version. */
function outputs(version: string): HTMLElement {
  document.body.innerHTML = `<div class="jp-OutputArea"><div class="tree"></div><div class="rlm-static" data-rlm-run="r1" data-rlm-version="${version}"></div></div>`;
  return document.querySelector<HTMLElement>(".tree")!;
}

const DONE = { run_id: "r1", version: "v2", answers: true };

test.each([
  ["the page has the end of the run", "v2", DONE, false],
  ["the page was loaded again while the run went on", "", DONE, true],
  ["the page was loaded again before a change in the tree", "v1", DONE, true],
  ["the run has not ended", "", { ...DONE, version: "" }, false],
  ["no answer is shown below", "v1", { ...DONE, answers: false }, false],
  ["another run is beside it", "v1", { ...DONE, run_id: "r2" }, false],
])("%s", (_, version, shown, isElsewhere) => {
  const tell = vi.fn();
  const stop = watchStaticCopy(outputs(version), () => shown, tell);
  vi.advanceTimersByTime(3500);
  expect(tell).toHaveBeenLastCalledWith(isElsewhere);
  stop();
  tell.mockClear();
  vi.advanceTimersByTime(3500);
  expect(tell).not.toHaveBeenCalled();
});

test("an update that is still to arrive is waited for", () => {
  const tell = vi.fn();
  const tree = outputs("v1");
  const stop = watchStaticCopy(tree, () => DONE, tell);
  vi.advanceTimersByTime(1500);
  document.querySelector<HTMLElement>(".rlm-static")!.dataset["rlmVersion"] = "v2";
  vi.advanceTimersByTime(3000);
  expect(tell).not.toHaveBeenCalledWith(true);
  stop();
});
