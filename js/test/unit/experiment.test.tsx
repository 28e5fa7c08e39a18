import { render } from "preact";
import { afterEach, describe, expect, it, vi } from "vitest";
import { armsFrom, scaleOf } from "../../src/experiment/arms";
import createExperiment from "../../src/experiment/index";
import { Rows, type Choice } from "../../src/experiment/rows";
import { headFrom, ROW_HEIGHT } from "../../src/experiment/table";

const choice = (changes: Partial<Choice> = {}): Choice => ({ words: "", state: "", order: { column: "number", descending: false }, ...changes });
const numbers = (rows: Rows, changes: Partial<Choice> = {}): number[] => rows.chosen(choice(changes)).map(({ number }) => number);

const SENT = [
  [0, "done", "late parcel", "delivery", 0.002, 900, 1.5],
  [1, "failed", "broken cup", "the model gave no answer", null, 0, 0.5],
  [2, "pending", "lost parcel", "", null, 0, 0],
  [3, "reused", "wrong size", "Returns", 0.001, 800, 0.7],
];

function sample(): Rows {
  const rows = new Rows();
  rows.add(SENT);
  return rows;
}

describe("the rows of an experiment", () => {
  it("are filtered by words in any order, and by state", () => {
    expect(numbers(sample(), { words: "PARCEL late" })).toEqual([0]);
    expect(numbers(sample(), { words: "returns" })).toEqual([3]);
    expect(numbers(sample(), { state: "failed" })).toEqual([1]);
    expect(numbers(sample(), { words: "nothing of the kind" })).toEqual([]);
  });

  it("are sorted by any column, equal ones by number, unknown costs lowest", () => {
    expect(numbers(sample(), { order: { column: "cost", descending: true } })).toEqual([0, 3, 1, 2]);
    expect(numbers(sample(), { order: { column: "state", descending: false } })).toEqual([1, 0, 3, 2]);
    expect(numbers(sample(), { order: { column: "input", descending: false } })).toEqual([1, 0, 2, 3]);
  });

  it("change one by one, and the filter follows", () => {
    const rows = sample();
    expect(numbers(rows, { state: "done" })).toEqual([0]);

    rows.add([[2, "done", "lost parcel", "delivery", 0.002, 900, 2]]);

    expect(numbers(rows, { state: "done" })).toEqual([0, 2]);
    expect(numbers(rows, { words: "delivery" })).toEqual([0, 2]);
    expect(rows.counts()).toMatchObject({ done: 2, failed: 1, reused: 1, pending: 0 });
  });

  it("that are malformed are left out", () => {
    const rows = new Rows();

    rows.add([null, "x", [], [-1, "done"], [0.5, "done"], [1, "unheard of"], [2, "done", null, undefined, "free", "many", NaN]]);
    rows.add("nothing");

    expect(rows.chosen(choice())).toEqual([{ number: 2, state: "done", input: "", text: "", cost: null, tokens: 0, seconds: 0 }]);
    expect(headFrom({ rows: "many", cost: null, done: 3, extra: 1 })).toMatchObject({ rows: 0, cost: null, done: 3 });
    expect(headFrom(null).status).toBe("loading");
  });
});

class FakeModel {
  readonly sent: unknown[] = [];
  readonly #handlers = new Map<string, Set<(...values: unknown[]) => void>>();

  constructor(readonly traits: Record<string, unknown>) {}

  get = (name: string): unknown => this.traits[name];
  send = (message: unknown): void => void this.sent.push(message);
  on = (event: string, handler: (...values: never[]) => void): void => {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers.add(handler as never));
  };
  off = (event: string, handler: (...values: never[]) => void): void => void this.#handlers.get(event)?.delete(handler as never);
  receive(message: unknown): void {
    this.#handlers.get("msg:custom")?.forEach((handler) => handler(message));
  }
  set(name: string, value: unknown): void {
    this.traits[name] = value;
    this.#handlers.get(`change:${name}`)?.forEach((handler) => handler());
  }
  get listeners(): number {
    return [...this.#handlers.values()].reduce((sum, { size }) => sum + size, 0);
  }
}

const HEAD = {
  title: "labels", status: "running", rows: 10_000, done: 6_000, failed: 12, reused: 300, calls: 5_712, tokens: 9_000_000, cost: 1.25,
  limit: " of $5", left: "about 1:20 left", note: "", hidden: 0, canRetry: true,
};

const cleanups: (() => void)[] = [];

/** What was asked for is drawn. */
const drawn = () => new Promise((resolve) => setTimeout(resolve, 20));

function mounted() {
  vi.stubGlobal("requestAnimationFrame", (draw: () => void) => (queueMicrotask(draw), 1));
  const model = new FakeModel({ _head: HEAD, _open: -1, _id: "x1", theme: "light" });
  const widget = createExperiment();
  const stop = widget.initialize({ model });
  const el = document.createElement("div");
  document.body.append(el);
  const remove = widget.render({ model, el });
  cleanups.push(remove, stop);
  const button = (name: string) =>
    [...el.querySelectorAll("button")].find((each) => (each.getAttribute("aria-label") ?? each.textContent)?.startsWith(name));
  return { model, el, button, remove, stop };
}

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  document.body.replaceChildren();
  vi.unstubAllGlobals();
  render(null, document.body);
});

describe("the arms of a study", () => {
  const arm = { label: "tree", isBaseline: false, runs: 10, done: 7, failed: 1, metric: "exact", score: 0.75, low: 0.5, high: 0.9, cost: 0.0001 };

  it("are small multiples on one scale; an arm chooses its runs", async () => {
    const { model, el, button } = mounted();
    model.receive({ t: "rows", rows: [[0, "done", "one call: row 0: a", "x", 0, 1, 1], [1, "done", "tree: row 0: a", "y", 0, 1, 1]] });
    model.set("_head", { ...HEAD, arms: [{ ...arm, label: "one call", isBaseline: true, low: null, high: null }, arm, { label: 3 }, null] });
    await drawn();

    const lines = [...el.querySelectorAll(".rx-arms tbody tr")];
    expect(lines.map((line) => line.textContent)).toEqual(["one call (baseline)7 of 10, 1 failed0.75$0.00010", "tree7 of 10, 1 failed0.75 [0.5, 0.9]$0.00010"]);
    const interval = lines[1]?.querySelector<HTMLElement>(".rx-interval");
    expect([interval?.style.left, interval?.style.width]).toEqual(["50%", "40%"]);

    button("tree")?.click();
    await drawn();
    expect([...el.querySelectorAll("tr[data-row]")].map((row) => (row as HTMLElement).dataset["row"])).toEqual(["1"]);
    expect(button("tree")?.getAttribute("aria-pressed")).toBe("true");
    button("tree")?.click();
    await drawn();
    expect(el.querySelectorAll("tr[data-row]").length).toBe(2);
  });

  it("whose scores leave 0 to 1 widen the scale", () => {
    const [known] = armsFrom([{ ...arm, score: 12, low: -2, high: 20 }]);
    expect(scaleOf(known ? [known] : [])).toEqual([-2, 20]);
    expect(armsFrom("nothing")).toEqual([]);
  });
});

describe("the view of an experiment", () => {
  const many = Array.from({ length: 10_000 }, (_, number) => [number, number % 10 === 0 ? "failed" : "done", `text ${number}`, "ok", 0.001, 10, 1]);

  it("asks for its rows, says how far it is, and draws the rows in sight alone", async () => {
    const { model, el } = mounted();
    expect(model.sent).toEqual([{ t: "sync" }]);

    model.receive({ t: "rows", rows: many, reset: true });
    await drawn();

    expect(el.querySelector(".rx-summary")?.textContent).toBe(
      "6,000 of 10,000 rows done · 12 failed · 300 reused · 5,712 calls · 9.0M tokens · $1.25 of $5 · about 1:20 left",
    );
    const inSight = el.querySelectorAll("tbody tr[data-row]").length;
    expect(inSight).toBeGreaterThan(10);
    expect(inSight).toBeLessThan(60);
    const spacer = el.querySelector<HTMLElement>("tbody tr:last-child");
    expect(spacer?.style.height).toBe(`${(10_000 - inSight) * ROW_HEIGHT}px`);
  });

  it("sorts and filters, also while rows come", async () => {
    const { model, el, button } = mounted();
    const shown = () => [...el.querySelectorAll("tbody tr[data-row]")].slice(0, 2).map((row) => (row as HTMLElement).dataset["row"]);
    model.receive({ t: "rows", rows: many });
    await drawn();

    button("Row")?.click();
    await drawn();
    expect(shown()).toEqual(["9999", "9998"]);
    expect(el.querySelector('th[aria-sort="descending"]')?.textContent).toContain("Row");
    const select = el.querySelector("select") as HTMLSelectElement;
    select.value = "failed";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await drawn();
    expect(shown()).toEqual(["9990", "9980"]);
    model.receive({ t: "rows", rows: [[9_999, "failed", "text 9999", "no", null, 0, 0]] });
    await drawn();

    expect(shown()).toEqual(["9999", "9990"]);
    expect(el.querySelector(".rx-count")?.textContent).toBe("1,001 rows");
  });

  it("opens the tree of a row, and closes it", async () => {
    const { model, el, button } = mounted();
    model.receive({ t: "rows", rows: SENT });
    await drawn();

    button("The tree of row 3")?.click();
    await drawn();
    expect(model.sent.at(-1)).toEqual({ t: "open", row: 3 });
    model.set("_open", 3);
    await drawn();
    expect(el.querySelector("tr.rx-open")?.getAttribute("data-row")).toBe("3");
    button("The tree of row 3")?.click();
    await drawn();

    expect(model.sent.at(-1)).toEqual({ t: "open", row: null });
  });

  it("brings the opened tree into sight once, on the page on which it was opened", async () => {
    const { model, el, button } = mounted();
    const box = document.createElement("div");
    box.className = "widget-vbox";
    el.replaceWith(box);
    box.append(el);
    const tree = document.createElement("section");
    tree.className = "rn";
    const scrolled = vi.fn();
    tree.scrollIntoView = scrolled;
    model.receive({ t: "rows", rows: SENT });
    model.receive({ t: "opened" });
    box.append(tree);
    tree.innerHTML = '<div data-node-id="0"></div>';
    await drawn();
    expect(scrolled).not.toHaveBeenCalled();

    tree.remove();
    tree.replaceChildren();
    button("The tree of row 3")?.click();
    model.receive({ t: "opened" });
    box.append(tree);
    await drawn();
    expect(scrolled).not.toHaveBeenCalled();
    tree.innerHTML = '<div data-node-id="0"></div>';
    await vi.waitFor(() => expect(scrolled).toHaveBeenCalledTimes(1));
    tree.append(document.createElement("p"));
    await drawn();
    expect(scrolled).toHaveBeenCalledTimes(1);
    box.remove();
  });

  it("commands the kernel, and shows what it refuses", async () => {
    const { model, el, button } = mounted();
    button("Pause")?.click();
    await drawn();
    button("Cancel")?.click();
    await drawn();
    model.receive({ t: "error", error: "row 2 has no run: it is pending" });
    await drawn();
    expect(model.sent.slice(1)).toEqual([{ t: "pause" }, { t: "cancel" }]);
    expect(el.querySelector("[role=alert]")?.textContent).toBe("row 2 has no run: it is pending");

    model.set("_head", { ...HEAD, status: "stopped", note: "the budget of 5 usd is spent" });
    await drawn();

    expect(el.querySelector(".rx-note")?.textContent).toBe("the budget of 5 usd is spent");
    expect(button("Run the others again")).toBeDefined();
    expect(button("Pause")).toBeUndefined();
  });

  it("hides the copy in the notebook while it is on the page, and leaves nothing behind", () => {
    const styles = () => [...document.head.querySelectorAll("style")].filter((style) => style.textContent?.includes("x1"));
    const { model, el, remove, stop } = mounted();
    expect(styles()).toHaveLength(1);

    remove();
    stop();

    expect(styles()).toHaveLength(0);
    expect(el.childNodes).toHaveLength(0);
    expect(model.listeners).toBe(0);
  });
});
