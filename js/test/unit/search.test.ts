import { describe, expect, it, vi } from "vitest";
import type { FoundReply, Hit } from "../../src/protocol/messages";
import { hasWords, Search } from "../../src/store/search";
import { patternOf, wordsOf } from "../../src/store/words";
import { cleanUpAfterEach, mount } from "./mounted";
import { node } from "./samples";

cleanUpAfterEach();

describe("words", () => {
  it.each([
    ["Deep  ocean", ["deep", "ocean"]],
    ['"deep ocean" floor', ["deep ocean", "floor"]],
    ["a a A", ["a"]],
    ['  "  ', []],
    ["[0.2]", ["[0.2]"]],
  ])("of %j", (query, words) => expect(wordsOf(query)).toEqual(words));

  it("are found in any order, in title, agent, note and the end of the text", () => {
    const found = node("0.1", { title: "Deep Ocean", agent: "diver", note: "HTTP 429", tail: "the floor" });

    expect(hasWords(found, ["floor", "deep"])).toBe(true);
    expect(hasWords(found, ["429", "diver", "ocean"])).toBe(true);
    expect(hasWords(found, ["deep", "sky"])).toBe(false);
  });

  it("that are ids find the node, and without brackets what is below it", () => {
    expect(hasWords(node("0.2.1", { title: "Below" }), ["0.2"])).toBe(true);
    expect(hasWords(node("0.2.1", { title: "Below" }), ["[0.2]"])).toBe(false);
    expect(hasWords(node("0.21", { title: "Other" }), ["0.2"])).toBe(false);
  });

  it("mean themselves, whatever signs they have", () => {
    expect("a (b.c)* [d".split(patternOf(["(b.c)*", "[d"])!)).toEqual(["a ", "(b.c)*", " ", "[d", ""]);
  });
});

function asked() {
  const questions: { words: readonly string[]; receive: (reply: FoundReply) => void }[] = [];
  const timers: (() => void)[] = [];
  const search = new Search({
    find: (words, receive) => questions.push({ words, receive }) > 0,
    schedule: (_, action) => void timers.push(action),
    now: () => 0,
  });
  const reply = (index: number, hits: readonly Hit[], done = true): void => questions[index]?.receive({ t: "found", req: 1, hits, done });
  return { search, questions, timers, reply };
}

describe("the search of the kernel", () => {
  it("is asked once the typing pauses, and drops answers to what was typed before", () => {
    const { search, questions, timers, reply } = asked();
    search.ask(["d"]);
    search.ask(["deep"]);
    for (const timer of timers.splice(0)) timer();
    expect(questions.map(({ words }) => words)).toEqual([["deep"]]);

    search.ask(["deeper"]);
    reply(0, [["0.1", "output", "deep"]]);
    expect(search.hits.value.size).toBe(0);
  });

  it("collects parts of an answer", () => {
    const { search, timers, reply } = asked();
    search.ask(["deep"]);
    for (const timer of timers.splice(0)) timer();
    reply(0, [["0.1", "output", "deep"]], false);
    expect([search.status.value, search.hits.value.size]).toEqual(["asking", 1]);
    reply(0, [["0.2", "prompt", "deep"]]);
    expect([search.status.value, search.hits.value.size]).toEqual(["done", 2]);
  });

  it("says when no kernel answers", () => {
    const { search, timers } = asked();
    search.ask(["deep"]);
    for (const timer of timers.splice(0)) timer();
    for (const timer of timers.splice(0)) timer();
    expect(search.status.value).toBe("unanswered");
  });
});

describe("the search", () => {
  const type = (el: HTMLElement, text: string): void => {
    const input = el.querySelector<HTMLInputElement>(".rn-search input")!;
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };

  it("says where the kernel found the words, and marks them", async () => {
    const { el, row } = await mount();
    type(el, "interval hard-carbon");

    await vi.waitFor(() => expect(row("0.1.1.1")?.querySelector(".rn-hit b")?.textContent).toBe("output"));
    expect(row("0.1.1.1")?.querySelector("mark")?.textContent?.toLowerCase()).toMatch(/interval|hard-carbon/);
    expect(el.querySelector(".rn-found")?.textContent).toMatch(/^\d+ found$/);
  });

  it("says when nothing was found, and shows all again", async () => {
    const { el, row, button } = await mount();
    type(el, "zebra");

    await vi.waitFor(() => expect(el.querySelector(".rn-nothing")?.textContent).toContain("No node has “zebra” in its title, output, prompt or id."));
    button("Show all nodes")?.click();
    await vi.waitFor(() => expect(row("0.1")).not.toBeNull());
  });

  it("shows what only prompts have on request, if there is anything else", async () => {
    const { el, row, button } = await mount();
    type(el, "landscape");

    await vi.waitFor(() => expect(button("in prompts 54")).toBeDefined());
    expect(row("0.1")).toBeNull();
    button("in prompts 54")?.click();
    await vi.waitFor(() => expect(row("0.1")).not.toBeNull());
  });

  it("finds a node by its id, and every row shows its own", async () => {
    const { el, row } = await mount();
    expect(row("0.1.1")?.querySelector(".rn-id")?.textContent).toBe("0.1.1");
    type(el, "[0.1.1.1]");

    await vi.waitFor(() => expect([...el.querySelectorAll("[data-node-id]")].map((each) => each.getAttribute("data-node-id"))).toEqual(["0", "0.1", "0.1.1", "0.1.1.1"]));
  });
});
