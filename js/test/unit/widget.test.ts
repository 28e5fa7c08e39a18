/** The whole widget on a fake kernel. */
import { describe, expect, it, vi } from "vitest";
import { RUN } from "../../dev/fixture";
import { EMPTY_NODE } from "../../src/protocol/messages";
import { addView, cleanUpAfterEach, mount } from "./mounted";
import { node } from "./samples";

const nextFrame = () => new Promise((resolve) => setTimeout(resolve, 40));
const hidingRules = () => [...document.head.querySelectorAll("style")].map(({ textContent }) => textContent);

cleanUpAfterEach();

describe("the widget", () => {
  it("asks for a snapshot and shows the run", async () => {
    const { model, root, row } = await mount();

    expect(model.sent[0]).toEqual({ t: "sync", e: -1, s: -1 });
    expect(root.dataset).toMatchObject({ runId: "market-landscape", status: "running" });
    expect(row("0")?.getAttribute("aria-level")).toBe("1");
    expect(row("0.1")?.dataset["state"]).toBe("synthesizing");
  });

  it("shows what a frame changes", async () => {
    const { model, row } = await mount({ nodes: [node("0"), node("0.0", { state: "running" })] });

    model.frame([["p", "0.0", { state: "failed", note: "out of luck" }], ["a", { ...EMPTY_NODE, id: "0.1", parent: "0", title: "Late" }]]);

    await vi.waitFor(() => expect(row("0.1")?.textContent).toContain("Late"));
    expect(row("0.0")?.dataset["state"]).toBe("failed");
  });

  it("leaves the details open when the run is run again", async () => {
    const { model, el, row } = await mount({ nodes: [node("0"), node("0.0"), node("0.0.1")] });
    const details = (): string => el.querySelector(".rn-details")?.textContent ?? "(closed)";
    row("0.0.1")?.click();
    await vi.waitFor(() => expect(details()).toContain("Task 0.0.1"));

    await model.restart({ status: "running" }, [node("0", { title: "Again" })]);
    await vi.waitFor(() => expect(row("0")?.textContent).toContain("Again"));
    expect(details()).toContain("Node 0.0.1 is not there yet");
    model.frame([["a", { ...node("0.0") }], ["a", { ...node("0.0.1", { title: "The same" }) }]]);
    await vi.waitFor(() => expect(details()).toContain("The same"));

    await model.restart({ status: "done" }, [node("0"), node("0.0", { title: "Without a task below" })]);
    await vi.waitFor(() => expect(details()).toContain("Without a task below"));
  });

  it("gives every model a store of its own and every view of a model the same", async () => {
    const first = await mount({ run: { run_id: "first" }, nodes: [node("0", { title: "First" })] });
    const second = await mount({ run: { run_id: "second" }, nodes: [node("0", { title: "Second" })] });
    const third = addView(first.widget, first.model);
    await nextFrame();

    expect(first.row("0")?.textContent).toContain("First");
    expect(second.row("0")?.textContent).toContain("Second");
    expect(third.row("0")?.textContent).toContain("First");
    expect(first.model.sent.filter(({ t }) => t === "sync")).toHaveLength(1);
  });

  it("hides the static copy of its run while it lives", async () => {
    const { dispose } = await mount({ run: { run_id: 'a "b' } });
    await nextFrame();

    expect(hidingRules()).toEqual(['[data-rlm-run="a\\ \\"b"]{display:none}']);
    dispose();
    expect(hidingRules()).toEqual([]);
  });

  it("leaves the static copy to an exported page, which no kernel answers", async () => {
    const page = document.createElement("main");
    page.innerHTML = '<div data-rlm-run="exported"></div>';
    document.body.append(page);
    const live = await mount({ run: { run_id: "exported" } });
    expect(live.el.childNodes.length).toBeGreaterThan(0);

    page.insertAdjacentHTML("beforeend", '<script type="application/vnd.jupyter.widget-state+json">{}</script>');
    const exported = addView(live.widget, live.model);
    expect(exported.el.childNodes).toHaveLength(0);
    const other = await mount({ run: { run_id: "without a copy" } });
    expect(other.el.childNodes.length).toBeGreaterThan(0);
    page.remove();
  });

  it("leaves nothing behind and hears nothing more when disposed of", async () => {
    const { model, el, dispose } = await mount();
    dispose();
    model.frame([["r", { title: "later" }]]);
    await nextFrame();

    expect(el.childNodes).toHaveLength(0);
  });

  it("shows what was saved although no kernel answers", async () => {
    const json = JSON.stringify({ v: 1, e: 4, s: 2, n: 5, run: { ...RUN, status: "failed", elapsed: 5 }, nodes: { id: ["0"], parent: [null], title: ["Saved"] } });
    const packed = new Blob([json]).stream().pipeThrough(new CompressionStream("gzip"));
    const bytes = new DataView(await new Response(packed).arrayBuffer());
    const { model, row, root } = await mount({ traits: { _snap: bytes } });

    expect(root.dataset["status"]).toBe("failed");
    expect(row("0")?.textContent).toContain("Saved");
    expect(model.sent).toEqual([]);
  });
});

describe("the header", () => {
  const cost = ({ root }: { root: HTMLElement }) => root.querySelector('[title="Cost"]')?.textContent;

  it("names the cost as soon as there are calls, or a limit to it", async () => {
    expect(cost(await mount({ run: { cost: 0.5, budget: {} } }))).toBe("$0.50");
    expect(cost(await mount({ run: { cost: 0, budget: { usd: 2 } } }))).toBe("$0 of $2.00");
    expect(cost(await mount({ run: { cost: 0, budget: {}, calls: 3 } }))).toBe("$0");
    expect(cost(await mount({ run: { cost: 0, budget: {}, calls: 0 } }))).toBeUndefined();
    const { root } = await mount({ run: { cost: null, budget: {}, calls: 3 } });
    expect(cost({ root })).toBeUndefined();
    expect(root.querySelector(".rn-header")?.textContent).toContain("cost unknown");
  });

  it("says of a run that it was reused although it is folded", async () => {
    const { root, button } = await mount({ run: { status: "done", elapsed: 9, notice: "reused from 3 days ago" } });

    await vi.waitFor(() => expect(button("Show tree")).toBeDefined());
    expect(root.querySelector(".rn-header")?.textContent).toContain("reused from 3 days ago");
  });
});

describe("the calls", () => {
  it("are named as those of all executions where this one made others", async () => {
    const calls = async (calls_now: number) =>
      (await mount({ run: { status: "done", calls: 8, calls_now, notice: "reused from just now, 0 calls now" } })).root.querySelector(".rn-calls")?.textContent;
    expect(await calls(0)).toBe("8 calls in all");
    expect(await calls(8)).toBe("8 calls");
  });
});

describe("a node whose result was edited", () => {
  const edited = node("0.0", { state: "done", mark: "replayed", decision: "EXECUTE", edited: "result edited by hand", note: "result edited by hand" });
  const planned = node("0.1", { state: "done", edited: "task edited by hand", note: "task edited by hand" });
  const nodes = [node("0", { state: "done" }), edited, planned];

  it("is edited, and neither reused nor executed", async () => {
    const { el, row } = await mount({ nodes });
    expect(row("0.0")?.className).toContain("rn-row-edited");
    expect(row("0.0")?.textContent).toContain("edited");
    expect(el.querySelector(".rn-filters")?.textContent).toContain("edited");
    expect(el.querySelector(".rn-footer")?.textContent).toContain("edited");
    row("0.0")?.click();
    await vi.waitFor(() => expect(el.querySelector(".rn-chips")?.textContent).toBe("0.0edited"));
  });

  it("differs from one whose task was edited, which a model answered", async () => {
    const { el, row } = await mount({ nodes });
    expect(row("0.1")?.className).toContain("rn-row-done");
    expect(row("0.1")?.querySelector(".rn-edited")?.textContent).toBe("edited");
    row("0.1")?.click();
    await vi.waitFor(() => expect(el.querySelector(".rn-chips")?.textContent).toBe("0.1doneedited"));
  });
});

describe("the legend", () => {
  it("has what the bars have: reused only if something was", async () => {
    const legend = async (mark: "" | "replayed") =>
      (await mount({ nodes: [node("0", { state: "done", mark })] })).el.querySelector(".rn-footer")?.textContent;
    expect(await legend("replayed")).toContain("reused");
    expect(await legend("")).not.toContain("reused");
  });
});

describe("the plan of a leaf", () => {
  it("has no empty field", async () => {
    const { el, row } = await mount({ nodes: [node("0", { state: "done", decision: "EXECUTE" })] });
    row("0")?.click();
    await vi.waitFor(() => expect(el.querySelector('[data-tab="plan"]')).not.toBeNull());
    el.querySelector<HTMLElement>('[data-tab="plan"]')?.click();
    await vi.waitFor(() => expect(el.querySelector(".rn-panel")?.textContent).toContain("EXECUTE"));
    expect(el.querySelector(".rn-panel")?.textContent).not.toContain("sub tasks");
  });
});

describe("a task that failed", () => {
  it("says why in its row, without its own id", async () => {
    const failed = node("0.0", { state: "failed", note: "node 0.0: out of luck", phases: [["plan", 0, 1]] });
    const { row } = await mount({ nodes: [node("0"), failed] });

    expect(row("0.0")?.querySelector(".rn-reason")?.textContent).toBe("out of luck");
    expect(row("0")?.querySelector(".rn-reason")).toBeNull();
  });
});

describe("an answer that was cut off", () => {
  it("says so in its row, and other notes of what is done do not", async () => {
    const phases = [["execute", 0, 1]] as const;
    const early = node("0.0", { state: "done", note: "cut off at the limit", ended_early: true, phases });
    const { row } = await mount({ nodes: [node("0", { state: "done", note: "limited: max_depth", phases }), early] });

    expect(row("0.0")?.querySelector(".rn-reason")?.textContent).toBe("cut off at the limit");
    expect(row("0")?.querySelector(".rn-reason")).toBeNull();
  });
});

describe("commands", () => {
  it("are offered only if the kernel accepts them", async () => {
    const { button } = await mount({ run: { can: ["cancel"] } });

    expect(button("Cancel")).toBeDefined();
    expect(button("Pause")).toBeUndefined();
  });

  it("are sent, and what follows is shown", async () => {
    const { model, button, root } = await mount();
    button("Pause")?.click();

    expect(model.sent.at(-1)).toMatchObject({ t: "cmd", op: "pause", args: {} });
    await vi.waitFor(() => expect(root.dataset["status"]).toBe("paused"));
    button("Resume")?.click();
    await vi.waitFor(() => expect(root.dataset["status"]).toBe("running"));
    button("Cancel")?.click();
    await vi.waitFor(() => expect(root.dataset["status"]).toBe("cancelled"));
    expect(button("Cancel")).toBeUndefined();
  });
});

describe("undo and redo", () => {
  it("name the version that was shown", async () => {
    const { model, button } = await mount({ run: { status: "done", can: ["redo"], version: "v1", forked: "" } });
    expect(button("Undo")).toBeUndefined();
    button("Redo")?.click();
    expect(model.sent.at(-1)).toMatchObject({ t: "cmd", op: "redo", args: { version: "v1" } });
  });
});

describe("a finished run", () => {
  it("folds to its header, and a button unfolds it", async () => {
    const { model, root, button, row } = await mount();
    model.frame([["r", { status: "done", elapsed: 97, can: [] }]]);
    await vi.waitFor(() => expect(root.dataset["status"]).toBe("done"));

    expect(row("0")).toBeNull();
    button("Show tree")?.click();
    await vi.waitFor(() => expect(row("0")).not.toBeNull());
  });

  it("stays open for those who touched it", async () => {
    const { model, root, row } = await mount();
    row("0.1")?.click();
    model.frame([["r", { status: "done", elapsed: 97, can: [] }]]);
    await vi.waitFor(() => expect(root.dataset["status"]).toBe("done"));

    expect(row("0")).not.toBeNull();
  });
});

describe("details", () => {
  it("are fetched when a row is clicked, and again when the node changes its state", async () => {
    const { model, el, row } = await mount();
    row("0.1.1.1")?.click();
    await vi.waitFor(() => expect(el.querySelector(".rn-panel")?.textContent).toContain("165 Wh/kg"));

    expect(model.sent.filter(({ t }) => t === "get")).toMatchObject([{ id: "0.1.1.1", fields: ["output", "quotes", "tools", "task"] }]);
    model.frame([["p", "0.1.1.1", { state: "failed" }]]);
    await vi.waitFor(() => expect(model.sent.filter(({ t }) => t === "get")).toHaveLength(2));
  });

  it("show the passage of a quote, and the node that it is from", async () => {
    const output = 'Prices ⟦"rose by 5 %"|report.pdf p.12|verified⟧, then ⟦"fell by 6 %"|notes.md|altered⟧.';
    const { el, row, button } = await mount({ output });
    const text = (selector: string): string | undefined => el.querySelector(selector)?.textContent?.replace(/\s+/g, " ");
    row("0.1.1.1")?.click();
    await vi.waitFor(() => expect(button("Source: notes.md, altered")).toBeDefined());
    expect(text('[data-tab="quotes"]')).toBe("Quotes2");

    button("Source: notes.md, altered")?.click();
    await vi.waitFor(() => expect(el.querySelectorAll(".rn-cited")).toHaveLength(2));
    await vi.waitFor(() => expect(document.activeElement?.textContent).toContain("fell by 6 %"));
    expect(text('.rn-cited[data-state="altered"] .rn-passage')).toBe("They fell by 7 % later.");
    expect(text('.rn-cited[data-state="altered"] mark')).toBe("fell by 7 %");
    expect(text('.rn-cited[data-state="altered"] .rn-place')).toContain("notes.md §Prices (the answer says notes.md)");

    button("[0.1]")?.click();
    await vi.waitFor(() => expect(row("0.1")?.getAttribute("aria-selected")).toBe("true"));
  });

  it("of a node without quotes have no tab for them", async () => {
    const { el, row } = await mount();
    row("0.1.1.1")?.click();
    await vi.waitFor(() => expect(el.querySelector(".rn-panel")?.textContent).toContain("165 Wh/kg"));
    expect(el.querySelector('[data-tab="quotes"]')).toBeNull();
  });

  it("of a node that writes show its text as it streams", async () => {
    const { model, el, row } = await mount({ nodes: [node("0", { state: "running", phases: [["execute", 0, null]] })] });
    row("0")?.click();
    await vi.waitFor(() => expect(model.sent.find(({ t }) => t === "sub")).toMatchObject({ t: "sub", ids: ["0"] }));

    model.frame([["x", "0", 0, "Once upon "]]);
    model.frame([["x", "0", 10, "**a time**"]]);
    await vi.waitFor(() => expect(el.querySelector(".rn-panel strong")?.textContent).toBe("a time"));

    model.frame([["p", "0", { state: "done", phases: [["execute", 0, 1]] }]]);
    await vi.waitFor(() => expect(model.sent.findLast(({ t }) => t === "sub")).toMatchObject({ t: "sub", ids: [] }));
  });

  it("say so when the kernel is gone", async () => {
    const { model, el, row } = await mount();
    const send = vi.spyOn(model, "send").mockImplementation(() => {
      throw new Error("the connection is closed");
    });
    vi.spyOn(console, "warn").mockImplementation(() => undefined);
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    row("0.1.1.1")?.click();
    await vi.waitFor(() => expect(send).toHaveBeenCalledWith(expect.objectContaining({ t: "get" })));
    expect(el.querySelector(".rn-panel")?.textContent).toBe("Loading…");
    vi.advanceTimersByTime(5000);
    vi.useRealTimers();

    await vi.waitFor(() => expect(el.querySelector(".rn-panel")?.textContent).toContain("does not answer"));
  });
});

describe("finding one's way", () => {
  it("filters by state and by words", async () => {
    const { el, button } = await mount();
    button("failed 1")?.click();
    const ids = () => [...el.querySelectorAll<HTMLElement>("[data-node-id]")].map(({ dataset }) => dataset["nodeId"]);
    await vi.waitFor(() => expect(ids()).toEqual(["0", "0.2", "0.2.2", "0.2.2.2"]));

    button("failed 1")?.click();
    const input = el.querySelector("input") as HTMLInputElement;
    input.value = "patent";
    input.dispatchEvent(new Event("input", { bubbles: true }));
    await vi.waitFor(() => expect(ids().at(-1)).toBe("0.1.1.1.0"));
    expect(el.querySelector("mark")?.textContent).toBe("patent");
  });

  it("folds finished branches when there are more rows than fit, but not the critical path", async () => {
    const { row } = await mount();

    expect(row("0.0")?.getAttribute("aria-expanded")).toBe("false");
    expect(row("0.1.1")?.getAttribute("aria-expanded")).toBe("true");
    expect(row("0.2")?.getAttribute("aria-expanded")).toBe("true");
  });

  it("folds nothing by itself as long as all rows fit", async () => {
    const done = { state: "done", phases: [["execute", 0, 1]] } as const;
    const { row } = await mount({ nodes: [node("0", { state: "waiting" }), node("0.0", done), node("0.0.0", done), node("0.1")] });

    expect(row("0.0")?.getAttribute("aria-expanded")).toBe("true");
  });

  it("keeps keys from the notebook around it", async () => {
    const { el, row, root } = await mount();
    const heard = vi.fn();
    el.parentElement?.addEventListener("keydown", heard);
    row("0")?.dispatchEvent(new KeyboardEvent("keydown", { key: "d", bubbles: true }));

    expect(heard).not.toHaveBeenCalled();
    expect(root.dataset["lmSuppressShortcuts"]).toBe("true");
  });
});
