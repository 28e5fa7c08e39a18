import { describe, expect, it } from "vitest";
import { queriesOf } from "../../src/store/queries";
import { editOf } from "../../src/ui/edit_dialog";
import { node, treeOf } from "./samples";

describe("the sub-queries of a code node", () => {
  const children = Array.from({ length: 1200 }, (_, place) =>
    node(`0.${place}`, { query: "llm_query", state: place < 3 ? "failed" : "done" }),
  );

  it("are counted in one line, by the function that asked, with those that failed", () => {
    const other = node("0.1200", { query: "rlm_query" });
    const tree = treeOf([node("0", { decision: "PROGRAM" }), ...children, other]);

    expect(queriesOf(tree, node("0", { decision: "PROGRAM" }))).toBe("llm_query × 1,200, 3 failed; rlm_query × 1");
  });

  it("are nothing that a node without code has", () => {
    const tree = treeOf([node("0", { decision: "RECURSE" }), node("0.0")]);

    expect(queriesOf(tree, node("0", { decision: "RECURSE" }))).toBe("");
  });
});

describe("an edit of cells", () => {
  const texts = { task: "t", result: "r", plan: { thoughts: "", steps: [] }, code: ["a = 1", "b = 2", "FINAL(a)"] };

  it("is of the first cell that is changed: what follows is written anew", () => {
    expect(editOf("code", texts, { ...texts, code: ["a = 1", "b = 3", "FINAL(b)"] })).toEqual({ code: { 1: "b = 3" } });
  });

  it("is none where no cell is changed, or one is emptied", () => {
    expect(editOf("code", texts, texts)).toBeNull();
    expect(editOf("code", texts, { ...texts, code: ["a = 1", " ", "FINAL(a)"] })).toBeNull();
  });
});
