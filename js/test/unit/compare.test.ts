import { describe, expect, it, vi } from "vitest";
import { changedWords } from "../../src/parts/word_diff";
import { cleanUpAfterEach, mount } from "./mounted";

cleanUpAfterEach();

describe("the words that differ", () => {
  const marked = (old: string, now: string) =>
    changedWords(old, now).map((pieces) => pieces.map(({ text, changed }) => (changed ? `[${text}]` : text)).join(""));

  it.each([
    ["one word", "a b c", "a x c", "a [b] c", "a [x] c"],
    ["none", "a b", "a b", "a b", "a b"],
    ["all", "a", "b", "[a]", "[b]"],
    ["words that were added", "a c", "a b c", "a c", "a [b ]c"],
    ["several places", "the old cat sat", "the new cat ran", "the [old] cat [sat]", "the [new] cat [ran]"],
    ["everything, of nothing", "", "a b", "", "[a b]"],
  ])("are %s", (_, old, now, shownOld, shownNow) => expect(marked(old, now)).toEqual([shownOld, shownNow]));

  it("keep every character of both texts", () => {
    const [old, now] = ["x  y\n\n- z z z\t", "x y\n- z q z "];

    expect(changedWords(old, now).map((pieces) => pieces.map(({ text }) => text).join(""))).toEqual([old, now]);
  });

  it("of texts that are too long are all between their common ends", () => {
    const [old, now] = [Array(5000).fill("a").join(" "), Array(5000).fill("b").join(" ")];

    expect(marked(`x ${old} y`, `x ${now} y`)).toEqual([`x [${old}] y`, `x [${now}] y`]);
  });
});

describe("two runs side by side", () => {
  async function compare() {
    const mounted = await mount();
    mounted.button("Compare")?.click();
    return mounted;
  }

  it("are loaded when they are wanted, and show what differs with what is above it", async () => {
    const { el, model } = await compare();

    await vi.waitFor(() => expect(el.querySelectorAll(".rn-pairs tbody tr").length).toBeGreaterThan(5));
    expect(model.sent.filter(({ t }) => t === "part")).toHaveLength(1);
    expect(model.sent).toContainEqual(expect.objectContaining({ t: "cmd", op: "compare", args: { with: "market.1" } }));
    expect(el.querySelector(".rn-compare [role=status]")?.textContent).toContain("7 changed, 6 added, 6 removed, 36 reused");
    expect(el.querySelector(".rn-compare [role=status]")?.textContent).toContain("cost $0.31 and $0.28 (−$0.030)");
    const before = el.querySelectorAll(".rn-pairs tbody tr").length;
    el.querySelector<HTMLInputElement>('.rn-compare input[type="checkbox"]')?.click();
    await vi.waitFor(() => expect(el.querySelectorAll(".rn-pairs tbody tr").length).toBeGreaterThan(before));
  });

  it("show both outputs of a task, with the words that differ", async () => {
    const { el } = await compare();

    await vi.waitFor(() => expect(el.querySelector(".rn-changed button")).not.toBeNull());
    el.querySelector<HTMLElement>(".rn-changed button")?.click();
    await vi.waitFor(() => expect(el.querySelector("del")?.textContent).toBe("**158"));
    expect([...el.querySelectorAll("ins")].map(({ textContent }) => textContent)).toEqual(["**165", "wide"]);
  });

  it("are compared with the run that is chosen", async () => {
    const { el, model } = await compare();

    await vi.waitFor(() => expect(el.querySelector("select")).not.toBeNull());
    const select = el.querySelector("select")!;
    select.value = "storage";
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await vi.waitFor(() => expect(model.sent).toContainEqual(expect.objectContaining({ op: "compare", args: { with: "storage" } })));
  });

  it("need another run, which is said", async () => {
    const mounted = await mount();
    mounted.model.otherRuns = [];
    mounted.button("Compare")?.click();

    await vi.waitFor(() => expect(mounted.el.querySelector(".rn-compare")?.textContent).toContain("There is no other run to compare with yet."));
  });

  it("say why the kernel refuses", async () => {
    const mounted = await mount();
    mounted.model.refusals["compare"] = "the run cannot be read";
    mounted.button("Compare")?.click();

    await vi.waitFor(() => expect(mounted.el.querySelector(".rn-compare")?.textContent).toContain("the run cannot be read"));
  });

  it("are what the widget of a comparison opens with", async () => {
    const { el } = await mount({ traits: { _meta: { protocol: 1, run_id: "r", title: "t", opens: "compare" } } });

    expect(el.querySelector('.rn-modes [aria-pressed="true"]')?.textContent).toBe("Compare");
  });
});
