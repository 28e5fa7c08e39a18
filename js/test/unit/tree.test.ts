import { describe, expect, it } from "vitest";
import type { TreeNode } from "../../src/protocol/messages";
import { causesOf, reasonOf, type DisplayState } from "../../src/store/display";
import { flatten, visibleIds } from "../../src/store/rows";
import { Tree } from "../../src/store/tree";
import { wordsOf } from "../../src/store/words";
import { node, treeOf } from "./samples";

const NOTHING: ReadonlySet<string> = new Set();
const sample = () =>
  treeOf([
    node("0"),
    node("0.10", { title: "Tenth" }),
    node("0.2", { title: "Second", state: "failed" }),
    node("0.2.0", { title: "Deep ocean", state: "done" }),
    node("0.2.1", { title: "Deep space", state: "done", mark: "cached" }),
  ]);

describe("the tree", () => {
  it("orders siblings by the plan, whenever they arrive", () => {
    expect(sample().children("0")).toEqual(["0.2", "0.10"]);
  });

  it("counts what states are shown and which children are done", () => {
    const tree = sample();

    expect(tree.count("done")).toBe(1);
    expect(tree.count("cached")).toBe(1);
    expect(tree.completeChildren("0.2")).toBe(2);
    expect(tree.completeChildren("0")).toBe(0);
  });

  it("shows nobody at work who waits: for a turn, for the next attempt, to be allowed a tool", () => {
    const nodes = new Map([["0", node("0", { state: "running", phases: [["execute", 0, null]] })]]);
    const tree = new Tree(nodes);
    tree.rebuild();
    const change = (phases: TreeNode["phases"]): void => {
      const before = nodes.get("0");
      const after = node("0", { state: "running", phases });
      nodes.set("0", after);
      tree.update(before, after);
    };

    expect([tree.count("running"), tree.count("waiting")]).toEqual([1, 0]);
    change([["failed", 0, 1], ["wait", 1, null]]);
    expect([tree.count("running"), tree.count("waiting")]).toEqual([0, 1]);
    change([["failed", 0, 1], ["wait", 1, 2], ["execute", 2, null]]);
    expect([tree.count("running"), tree.count("waiting")]).toEqual([1, 0]);
  });

  it("says why a part failed where that part is, and not once a level", () => {
    const note = "node 0.1: 1 of 2 parts failed: [0.1.0] the provider answered 500: again: later";

    expect(reasonOf(node("0.1", { state: "failed", note }))).toBe("1 of 2 parts failed");
    expect(reasonOf(node("0.1.0", { state: "failed", note: "node 0.1.0: the provider: 500" }))).toBe("the provider: 500");
  });

  it("counts a failure where it began, and the same reason once", () => {
    const failed = (id: string, note: string) => node(id, { state: "failed", note: `node ${id}: ${note}` });
    const nodes = [
      failed("0", "2 of 2 parts failed: [0.0.0] HTTP 429; [0.0.1] HTTP 429"),
      failed("0.0", "3 of 3 parts failed: [0.0.0] HTTP 429"),
      failed("0.0.0", "HTTP 429"),
      failed("0.0.1", "HTTP 429"),
      failed("0.0.2", "no lunch"),
      node("0.1", { state: "failed", note: "node 0.1 depends on node 0.0, which failed" }),
    ];
    const tree = treeOf(nodes);

    expect(tree.count("failed")).toBe(3);
    expect(causesOf(tree.nodes())).toEqual([
      ["HTTP 429", 2],
      ["no lunch", 1],
    ]);
    const shown = visibleIds(tree, { words: [], hits: new Map(), states: new Set<DisplayState>(["failed"]), prompts: false });
    expect(shown?.has("0.1")).toBe(false);
  });

  it("knows the way up", () => {
    expect(sample().ancestors("0.2.1").map(({ id }) => id)).toEqual(["0.2", "0"]);
  });
});

describe("rows", () => {
  it("go depth first and say where they are", () => {
    const rows = flatten(sample(), NOTHING, null);

    expect(rows.map(({ id, depth }) => [id, depth])).toEqual([
      ["0", 0],
      ["0.2", 1],
      ["0.2.0", 2],
      ["0.2.1", 2],
      ["0.10", 1],
    ]);
    expect(rows[3]).toMatchObject({ position: 2, siblings: 2, isLast: true, guides: [true] });
  });

  it("leave out what is folded", () => {
    expect(flatten(sample(), new Set(["0.2"]), null).map(({ id }) => id)).toEqual(["0", "0.2", "0.10"]);
  });

  it.each<[string, string, DisplayState[], string[]]>([
    ["a word, in any case", "DEEP", [], ["0", "0.2", "0.2.0", "0.2.1"]],
    ["a state", "", ["failed"], ["0", "0.2"]],
    ["a word and a state", "deep", ["cached"], ["0", "0.2", "0.2.1"]],
    ["words in any order", "space DEEP", [], ["0", "0.2", "0.2.1"]],
    ["an id with what is below", "0.2", [], ["0", "0.2", "0.2.0", "0.2.1"]],
    ["an id in brackets", "[0.2]", [], ["0", "0.2"]],
    ["nothing that exists", "zebra", [], []],
  ])("are filtered by %s, with their ancestors and through folds", (_, query, states, expected) => {
    const tree = sample();
    const visible = visibleIds(tree, { words: wordsOf(query), hits: new Map(), prompts: false, states: new Set(states) });

    expect(flatten(tree, new Set(["0", "0.2"]), visible).map(({ id }) => id)).toEqual(expected);
  });

  it("of a filter that asks for nothing are all rows", () => {
    expect(visibleIds(sample(), { words: wordsOf("  "), hits: new Map(), prompts: true, states: new Set() })).toBeNull();
  });
});
